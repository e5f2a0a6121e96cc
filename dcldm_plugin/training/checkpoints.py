"""Checkpoints of a run: complete or not there, the last few of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from dcldm_plugin.errors import DcldmError

# File too large is what a quota or a limit of the process says.
NO_ROOM = frozenset((errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)))


def save(state: dict[str, Any], folder: Path, step: int, keep: int) -> None:
    """Write `step-….pt` in `folder`, whole or not at all, and delete all but the newest `keep`.

    Raises `DcldmError` if the disk is full; what was there before stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{step:09d}.pt"
    with room(folder):
        written(target, lambda partial: torch.save(state, partial))
    for old in _all(folder)[keep:]:
        old.unlink(missing_ok=True)


def newest(folder: Path, complain: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, None if there is none."""
    for partial in folder.glob("*.part"):
        partial.unlink(missing_ok=True)  # of a run that was killed as it wrote
    for path in _all(folder):
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        except Exception as error:  # whatever a damaged file makes the reader do
            complain(f"{path} is damaged ({type(error).__name__}); going on from the one before it.")
    return None


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), reverse=True)


def written(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file that takes the target's name when it is complete and on the disk."""
    partial = target.with_name(target.name + ".part")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """A full disk as a sentence."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # safetensors' writer tells the number in words, torch's only that its archive could not be written.
        chain = [error, error.__cause__, error.__context__]
        full = any(isinstance(each, OSError) and each.errno in NO_ROOM for each in chain)
        full = full or any(text in str(error) for text in ("No space left", "File too large", "inline_container"))
        if not full:
            raise
        raise DcldmError(
            f"There is no room left on the disk of {folder}, or it fails; free some, and give the same command again: "
            "it goes on from the last checkpoint, which is intact."
        ) from error
