"""Files of ours in a folder of somebody else's: put there, known again, and taken away exactly.

What was written is recorded beside it, with check sums: a file that somebody else wrote, changed or made with
a newer version of ours is never touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from bridge.host import HostError
from dcldm_plugin import __version__

RECORD = "dcldm-installed.json"
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Record:
    """What was put into a folder: check sums (SHA-256) by path within it, and the folders that were made."""

    version: str
    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


def put(root: Path, record_path: str, texts: Mapping[str, bytes]) -> Record:
    """Write files, by their paths within `root`. Putting them again is an update. Raises `HostError`."""
    old = read_record(root / record_path, Record) or Record("0")
    check_not_newer(root, old.version)
    for name in texts:
        check_ours(root / name, old.files.get(name, ""))
    made = {parent for name in [*texts, record_path] for parent in Path(name).parents if not (root / parent).exists()}
    record = Record(
        version=__version__,
        files={name: check_sum(text) for name, text in texts.items()},
        folders=sorted({*old.folders, *(folder.as_posix() for folder in made)}),
    )
    # The record first: whatever happens after it, what is there can be told to be ours.
    kept = Record(record.version, {**old.files, **record.files}, record.folders)
    write(root / record_path, json.dumps(asdict(kept), indent=1).encode())
    for name, text in texts.items():
        write(root / name, text)
    take_files(root, {name: its_sum for name, its_sum in old.files.items() if name not in texts})  # an older version's
    write(root / record_path, json.dumps(asdict(record), indent=1).encode())
    return record


def take(root: Path, record_path: str) -> list[Path]:
    """Take away what `put` wrote. Returns files that were changed since and were therefore left."""
    record = read_record(root / record_path, Record)
    if record is None:
        raise HostError(f"Nothing of ours is installed in {root}; name another folder with --path.")
    left = take_files(root, record.files)
    (root / record_path).unlink()
    for folder in sorted(record.folders, reverse=True):  # the inner ones first
        shutil.rmtree(root / folder / "__pycache__", ignore_errors=True)  # the DAW's own Python made it
        with suppress(OSError):  # not empty, so no longer ours alone
            (root / folder).rmdir()
    return left


def take_files(root: Path, sums: Mapping[str, str]) -> list[Path]:
    """Take away files by their check sums. Returns those that were changed since and were therefore left."""
    left = []
    for name, its_sum in sums.items():
        path = root / name
        if path.is_dir() or (path.is_file() and check_sum(path.read_bytes()) != its_sum):
            left.append(path)
        else:
            path.unlink(missing_ok=True)
    return left


def read_record(path: Path, make: Callable[..., Made]) -> Made | None:
    """What was put there, made of the record's fields, or None. Raises `HostError` if that can't be read."""
    try:
        return make(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, OSError) as error:
        raise HostError(f"{path} can't be read; move it and the other dcldm files there away.") from error


def check_not_newer(root: Path, version: str) -> None:
    """Raises `HostError` if what is there was put there by a newer version of ours."""
    if numbers(version) > numbers(__version__):
        raise HostError(
            f"The scripts in {root} are of the newer version {version}; "
            "update this program, or uninstall them with that version first."
        )


def check_ours(path: Path, its_sum: str) -> None:
    """Raises `HostError` if there is a file that is not the one with this check sum."""
    if path.exists() and check_sum(path.read_bytes()) != its_sum:
        raise HostError(f"{path} was written or changed by somebody else; move it away and try again.")


def check_sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


def write(path: Path, content: bytes) -> None:
    """Replace a file as a whole, and make its folder. Raises `HostError`."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HostError(f"{path} can't be written ({error.strerror or error}); check its permissions.") from error
