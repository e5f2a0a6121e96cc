"""Tensors by key in safetensors files of some hundred rows: computed once, read row by row without being loaded.

A file is complete or not there; one that can't be read is deleted, and its rows are computed again. Rows of any
number of files, written by any number of processes, are one store.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dcldm_plugin.training import checkpoints

log = logging.getLogger(__name__)


class Shards:
    """The rows in a folder, which need not be there yet."""

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.folder, self.process = folder, process
        self._place: dict[str, tuple[Path, int]] = {}
        self._open: dict[Path, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look at what is there now."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path in self._open:
                continue
            try:
                file = safe_open(path, framework="pt")
                keys = json.loads(_metadata(file)["keys"])
            except (SafetensorError, OSError, KeyError, ValueError) as error:
                log.warning("%s is damaged (%s); it is made again.", path, error)
                path.unlink(missing_ok=True)
                continue
            self._open[path] = file
            self._place.update({key: (path, row) for row, key in enumerate(keys)})

    def __contains__(self, key: str) -> bool:
        return key in self._place

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Those that are not there, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._place]

    def write(self, keys: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
        """Add rows, one a key in each tensor. Raises `DcldmError` if the disk is full."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while (path := self.folder / f"{self.process}-{number:06d}.safetensors").exists():
            number += 1
        plain = {name: value.contiguous() for name, value in tensors.items()}
        with checkpoints.room(self.folder):
            checkpoints.written(path, lambda partial: save_file(plain, partial, {"keys": json.dumps(list(keys))}))
        self.refresh()

    def has(self, name: str) -> bool:
        """Whether rows have a tensor of this name."""
        return any(name in file.keys() for file in self._open.values())  # noqa: SIM118  (not a mapping)

    def rows(self, name: str, keys: Sequence[str]) -> list[Tensor]:
        """The rows of some keys, each as it is."""
        found = []
        for key in keys:
            path, row = self._place[key]
            found.append(self._open[path].get_slice(name)[row : row + 1][0])
        return found

    def stacked(self, name: str, keys: Sequence[str]) -> Tensor:
        """The rows of some keys as one tensor [keys, …]."""
        return stacked(self.rows(name, keys))


def stacked(rows: Sequence[Tensor]) -> Tensor:
    """`torch.stack`, also of half floats in a run of mixed precision, whose autocast stacks none on a CPU."""
    with torch.autocast("cpu", enabled=False):
        return torch.stack(list(rows))


def _metadata(file: Any) -> dict[str, str]:
    return file.metadata() or {}
