"""The host that works with any DAW and with none: clips appear, complete, in a folder that is watched."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bridge.host import Host, HostError
from dcldm_plugin.settings import writable_folder
from dcldm_plugin.types import Clip, Placement, TimelineTarget


class FolderHost(Host):
    """Copies clips into one folder, each under a name that no file there had before."""

    name = "folder"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self) -> None:
        writable_folder(self._folder)

    def describe(self) -> Mapping[str, object]:
        return {"folder": str(self._folder)}

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        """Copy each clip. One whose very bytes are there already, under one of its names, stays as it is."""
        try:
            return [
                Placement(clip.id, self.name, self._deliver(clip).name, target.track, target.position) for clip in clips
            ]
        except OSError as error:
            raise HostError(
                f"The clip can't be copied to {self._folder} ({error.strerror or error}); "
                "check that folder and the free space, then place it again."
            ) from error

    def _deliver(self, clip: Clip) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        # The hidden name keeps programs that watch the folder from taking up half a file.
        handle, temporary_name = tempfile.mkstemp(prefix=".", suffix=".part", dir=self._folder)
        os.close(handle)
        temporary = Path(temporary_name)
        try:
            shutil.copyfile(clip.path, temporary)
            for path in _names(self._folder, clip.path):
                if path.exists():
                    if filecmp.cmp(path, temporary, shallow=False):
                        return path
                elif _appear(temporary, path):
                    return path
        finally:
            temporary.unlink(missing_ok=True)
        raise AssertionError("names never run out")


def _names(folder: Path, source: Path) -> Iterator[Path]:
    yield folder / source.name
    number = 2
    while True:
        yield folder / f"{source.stem}_{number}{source.suffix}"
        number += 1


def _appear(temporary: Path, path: Path) -> bool:
    """Give the finished file its name in one step. False if somebody took that name meanwhile."""
    with suppress(OSError):
        os.link(temporary, path)  # unlike a rename, this never overwrites
        return True
    if path.exists():
        return False
    os.replace(temporary, path)  # a file system without links
    return True
