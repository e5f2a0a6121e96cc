"""The public weights on this disk: installed by name, verified, shared between models, removed without rest.

Below the store's folder each part (see `sources.py`) has a folder of its own: its files and `manifest.json`,
with the size and SHA-256 of each. What is not complete yet is in `NAME.part` beside it, so a part that has its
manifest is whole; an interrupted installation goes on from there. Knows no torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.hub import Hub, Listing, bytes_present, disk_sentence
from dcldm_plugin.local_weights import check_whole, copy, find_parts, sha256_of
from dcldm_plugin.settings import writable_folder
from dcldm_plugin.sources import MODELS, PARTS, Model, Part

MANIFEST = "manifest.json"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a file has to be."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is known of an installed part.

    source: the page or folder that it came from. licence_there: what that page declared. wanted_by: the models
    that were installed by name and need it.
    """

    source: str
    revision: str
    licence: str
    licence_there: str
    wanted_by: tuple[str, ...]
    files: dict[str, StoredFile]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())


def find(name: str) -> Model:
    """A model of the table. Raises `InvalidInput` with what to do."""
    if name not in MODELS:
        raise InvalidInput(f"There is no model named {name!r} to install; see `dcldm models list`.")
    return MODELS[name]


class Store:
    """The models below one folder, which need not be there yet."""

    def __init__(self, folder: Path, hub: Hub | None = None) -> None:
        self.folder, self.hub = folder, hub or Hub()

    # What is there

    def manifest(self, part: str) -> Manifest | None:
        """The manifest of a part whose files are all there with their sizes, else None."""
        manifest = _read_manifest(self.folder / part)
        if manifest is None:
            return None
        for name, file in manifest.files.items():
            path = self.folder / part / name
            if not path.is_file() or path.stat().st_size != file.size_bytes:
                return None
        return manifest

    def installed(self, model: Model) -> bool:
        """Whether all parts of a model are there."""
        return all(self.manifest(part) for part in model.parts)

    def locked(self, model: Model) -> list[Part]:
        """The parts that are not there yet and are given only to those who have accepted their licence."""
        return [PARTS[part] for part in model.parts if PARTS[part].gated and not self.manifest(part)]

    def size_bytes(self, model: Model) -> int:
        """What a model takes on disk, or is going to, about, for parts that are not there."""
        sizes = []
        for part in model.parts:
            manifest = self.manifest(part)
            sizes.append(manifest.size_bytes if manifest else PARTS[part].size_bytes)
        return sum(sizes)

    def present_bytes(self, model: Model) -> int:
        """How much of a model is on disk now, what is not complete yet included."""
        folders = [folder for part in model.parts for folder in (self.folder / part, self._staging(part))]
        return sum(_size_bytes(path) for folder in folders for path in folder.rglob("*"))

    def paths(self, name: str) -> dict[str, Path]:
        """The folder of each part of a model, for whoever loads it. Raises `DcldmError` with what to do."""
        model = find(name)
        for part in model.parts:
            if self.manifest(part) is None:
                raise DcldmError(
                    f"{name} needs {PARTS[part].title}, which is not installed or not whole; "
                    f"run `dcldm models install {name}`."
                )
        return {part: self.folder / part for part in model.parts}

    # Installing

    def install(self, name: str, say: Say) -> None:
        """Bring every part of a model from the hub; what is there already is verified, and mended if need be.

        `say` gets one line per step, each part's licence before anything of it is downloaded. Raises
        `DcldmError` with what to do; to run it again goes on where it stopped.
        """
        model = find(name)
        with self._changing():
            lacking = [part for part in model.parts if not self._verified(part, name, say)]
            wanted = {part: self.hub.listing(PARTS[part].repository) for part in lacking if PARTS[part].repository}
            chosen = {
                part: PARTS[part].choose(there.files.keys(), self.hub.page(there.repository))
                for part, there in wanted.items()
            }
            self._make_room(wanted, chosen)
            for part, there in wanted.items():
                size_bytes = sum(there.files[file].size_bytes for file in chosen[part])
                say(f"{part}: {_megabytes(size_bytes)} from {self.hub.page(there.repository)}, {_terms(PARTS[part])}")
            for part, there in wanted.items():
                staging = self._staging(part)
                files = {
                    file: StoredFile(there.files[file].size_bytes, self.hub.download(there, file, staging))
                    for file in chosen[part]
                }
                source = self.hub.page(there.repository)
                self._complete(part, name, Manifest(source, there.revision, "", there.licence, (), files))
                say(f"{part}: complete")
            for part in set(lacking) - set(wanted):
                say(
                    f"{part}: still needs {PARTS[part].title}, which nobody published: train them, "
                    f"then run `dcldm models install {name} --from FILE`"
                )

    def install_from(self, name: str, source: Path, say: Say) -> None:
        """Copy parts of a model from a folder, or one file, on this machine. Asks no hub.

        The folder may hold the files of one part, or a folder of each part's name.
        """
        model = find(name)
        if not source.exists():
            raise InvalidInput(f"{source} is not there; name the folder or file that holds the weights.")
        found = find_parts([PARTS[part] for part in model.parts], source)
        if not found:
            expected = "; ".join(", ".join(PARTS[part].required) for part in model.parts).replace("|", " or ")
            raise InvalidInput(f"{source} holds no part of {name}; choose a folder with: {expected}.")
        with self._changing():
            sizes_bytes = [path.stat().st_size for files in found.values() for path in files.values()]
            writable_folder(self.folder, sum(sizes_bytes))
            for path in (path for files in found.values() for path in files.values()):
                check_whole(path)
            for part, files in found.items():
                say(f"{part}: from {source}, {_terms(PARTS[part])}")
                staging = self._staging(part)
                stored = {file: StoredFile(*copy(path, staging / file)) for file, path in files.items()}
                self._complete(part, name, Manifest(str(source.absolute()), "", "", "", (), stored))
                say(f"{part}: complete")

    def _verified(self, part: str, wanted_by: str, say: Say) -> bool:
        """Whether a part is there, to the byte; if it is damaged, what is good of it is kept for the download."""
        folder, staging = self.folder / part, self._staging(part)
        if not folder.exists():
            return False
        manifest = _read_manifest(folder)
        damaged = MANIFEST if manifest is None else _first_damaged(folder, manifest)
        if manifest is None or damaged:
            say(f"{part}: {damaged} is damaged")
            if staging.exists():
                shutil.rmtree(staging)
            os.replace(folder, staging)
            return False
        self._write_manifest(folder, _with_wish(manifest, wanted_by))
        say(f"{part}: is there, and as it should be")
        return True

    def _make_room(self, wanted: dict[str, Listing], chosen: dict[str, list[str]]) -> None:
        missing_bytes = sum(
            there.files[file].size_bytes - bytes_present(there, file, self._staging(part))
            for part, there in wanted.items()
            for file in chosen[part]
        )
        writable_folder(self.folder, missing_bytes)

    def _complete(self, part: str, wanted_by: str, manifest: Manifest) -> None:
        """Put a part that is whole in `NAME.part` in its place, in one step."""
        staging, folder = self._staging(part), self.folder / part
        earlier = _read_manifest(folder) or _read_manifest(staging)
        wishes = earlier.wanted_by if earlier else ()
        manifest = replace(manifest, licence=PARTS[part].licence, wanted_by=wishes)
        self._write_manifest(staging, _with_wish(manifest, wanted_by))
        for path in [path for path in staging.rglob("*") if path.is_file()]:
            name = path.relative_to(staging).as_posix()
            if name not in manifest.files and (name in PARTS[part].names or path.suffix == ".part"):
                path.unlink()  # of an earlier revision
        if folder.exists():
            self._delete(part)
        os.replace(staging, folder)

    # Removing

    def remove(self, name: str) -> int:
        """Delete what was installed for a model and nothing else needs; return the bytes that are free now.

        Raises `InvalidInput` if there is nothing to remove, with why.
        """
        model = find(name)
        freed_bytes, found = 0, False
        with self._changing():
            for part in model.parts:
                staging, folder = self._staging(part), self.folder / part
                if staging.exists():
                    found = True
                    freed_bytes += sum(path.stat().st_size for path in staging.rglob("*") if path.is_file())
                    shutil.rmtree(staging)
                manifest = _read_manifest(folder)
                if not folder.exists() or (manifest is not None and name not in manifest.wanted_by):
                    continue
                found = True
                others = tuple(other for other in manifest.wanted_by if other != name) if manifest else ()
                if manifest and others:
                    self._write_manifest(folder, replace(manifest, wanted_by=others))
                else:
                    freed_bytes += self._delete(part)
            if not found:
                raise InvalidInput(self._why_not(model))
        return freed_bytes

    def _why_not(self, model: Model) -> str:
        name = model.info.name
        holders = {
            holder
            for part in model.parts
            if (manifest := _read_manifest(self.folder / part)) is not None
            for holder in manifest.wanted_by
        }
        if holders:
            return f"{name} was not installed by its name; its files are those of {', '.join(sorted(holders))}."
        return f"{name} is not installed, so there is nothing to remove."

    def _delete(self, part: str) -> int:
        """Delete the files of a part, its manifest last; files of others stay."""
        folder = self.folder / part
        manifest = _read_manifest(folder)
        freed_bytes = 0
        for name in [*(manifest.files if manifest else PARTS[part].names), MANIFEST]:
            path = folder / name
            if path.is_file():
                freed_bytes += path.stat().st_size
                path.unlink()
        for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
            if not any(path.iterdir()):
                path.rmdir()
        if not any(folder.iterdir()):
            folder.rmdir()
        return freed_bytes

    # On disk

    def _staging(self, part: str) -> Path:
        return self.folder / f"{part}.part"

    @staticmethod
    def _write_manifest(folder: Path, manifest: Manifest) -> None:
        partial = folder / f"{MANIFEST}.part"
        partial.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
        os.replace(partial, folder / MANIFEST)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One at a time; what the disk refuses becomes a sentence."""
        from filelock import FileLock, Timeout

        lock = FileLock(writable_folder(self.folder) / ".lock")
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout as error:
            raise DcldmError("Another dcldm changes the models right now; wait until it is done.") from error
        except OSError as error:
            raise DcldmError(disk_sentence(error)) from error


def _first_damaged(folder: Path, manifest: Manifest) -> str | None:
    """The name of a file that is missing or is not what was installed."""
    for name, file in manifest.files.items():
        if not (folder / name).is_file() or sha256_of(folder / name) != file.sha256:
            return name
    return None


def _size_bytes(path: Path) -> int:
    """Of a file; 0 for anything else, and for one that is moved just now."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def _terms(part: Part) -> str:
    if not part.repository:
        return "under your own licence"
    may = "may" if part.commercial_use else "may not"
    return f"licence {part.licence}: clips {may} be used commercially" + (f". {part.terms}" if part.terms else "")


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _with_wish(manifest: Manifest, name: str) -> Manifest:
    return replace(manifest, wanted_by=(*dict.fromkeys((*manifest.wanted_by, name)),))


def _read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if there is none, or it is not one of ours."""
    try:
        values: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {name: StoredFile(**file) for name, file in values.pop("files").items()}
        wanted_by = tuple(values.pop("wanted_by"))
        manifest = Manifest(**values, wanted_by=wanted_by, files=files)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None
    paths = [PurePosixPath(name) for name in manifest.files]
    return None if any(path.is_absolute() or ".." in path.parts for path in paths) else manifest
