"""Acoustic plans on disk, by content: what they were made of is their name. The least used go first."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

LIMIT_BYTES = 32_000_000  # a plan of 10 s has 2 to 4 KB


class PlanCache:
    """A folder of plans [codebooks, frames]. Several processes may use it; what is damaged is made anew."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes

    def get(self, content: Mapping[str, Any]) -> Tensor | None:
        """The plan that was made of this, or None."""
        path = self._path(content)
        try:
            codes = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
            os.utime(path)  # it was of use
        except (OSError, ValueError, EOFError):
            return None
        if codes.ndim != 2 or codes.dtype != np.int16:
            return None
        return torch.from_numpy(codes.astype(np.int64))

    def put(self, content: Mapping[str, Any], codes: Tensor) -> None:
        """Keep a plan. A disk that is full costs time later, and nothing else."""
        path = self._path(content)
        buffer = io.BytesIO()
        np.save(buffer, codes.cpu().numpy().astype(np.int16), allow_pickle=False)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(buffer.getvalue())
            os.replace(part, path)
            self._make_room()
        except OSError as error:
            logging.getLogger(__name__).warning("A plan could not be kept: %s", error)
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def _path(self, content: Mapping[str, Any]) -> Path:
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest}.npy"

    def _make_room(self) -> None:
        found = []
        for path in self.folder.glob("*.npy"):
            with suppress(OSError):  # another process was quicker
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.limit_bytes:
                return
            with suppress(OSError):
                path.unlink()
            total -= size
