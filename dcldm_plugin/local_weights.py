"""Weights that are already on this machine: which parts a folder holds, and whether its files are whole.

Knows no torch: what a file's own format tells of its end is enough to refuse one that is cut short. What its
tensors are is found when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.sources import Part

LONGEST_HEADER_BYTES = 100_000_000  # as safetensors itself allows


def check_whole(path: Path) -> None:
    """Refuse a file that is cut short, as far as its own format tells. Raises `DcldmError`."""
    size_bytes = path.stat().st_size
    broken = False
    if path.suffix == ".safetensors":
        broken = not _whole_safetensors(path, size_bytes)
    elif path.suffix in {".bin", ".ckpt", ".pt"}:
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"PK"
        broken = size_bytes == 0 or (zipped and not zipfile.is_zipfile(path))  # its index comes last
    elif path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError:
            broken = True
    if broken:
        raise DcldmError(f"{path} is cut short or damaged; fetch it again.")


def _whole_safetensors(path: Path, size_bytes: int) -> bool:
    """https://github.com/huggingface/safetensors#format: 8 bytes of length, a JSON header, the numbers."""
    with path.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        if header_bytes > min(size_bytes, LONGEST_HEADER_BYTES):
            return False
        try:
            header = json.loads(stream.read(header_bytes))
            ends = [int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            return False
    return size_bytes == 8 + header_bytes + max(ends, default=0)


def find_parts(parts: Sequence[Part], source: Path) -> dict[str, dict[str, Path]]:
    """Which parts `source` holds, each with its files: one file, a folder of one part, or a folder of such.

    Raises `InvalidInput` where a folder could be more than one part, as those of two T5s can.
    """
    if source.is_file():
        alone = [part for part in parts if Path(part.single_file).suffix == source.suffix]
        return {part.name: {part.single_file: source} for part in alone}
    found = {part.name: files for part in parts if (files := _files_of(part, source / part.name))}
    if found:
        return found
    fitting = {part.name: files for part in parts if (files := _files_of(part, source))}
    if len(fitting) > 1 and source.name in fitting:
        return {source.name: fitting[source.name]}
    if len(fitting) > 1:
        names = " or ".join(fitting)
        raise InvalidInput(f"{source} could be {names}; put it into a folder of that name, and name that with --from.")
    return fitting


def _files_of(part: Part, folder: Path) -> dict[str, Path]:
    available = {name for name in part.names if (folder / name).is_file()}
    try:
        return {name: folder / name for name in part.choose(available, str(folder))}
    except DcldmError:
        return {}


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file; return the size in bytes and the SHA-256 of what arrived."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, partial)
    arrived = partial.stat().st_size, sha256_of(partial)
    os.replace(partial, target)
    return arrived
