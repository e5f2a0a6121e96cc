"""The journal of what the user says of clips: one JSON object a line, the last one of a clip counts.

It is a plain file beside the clips, so that favourites, ratings and notes outlive a lost index. Lines are
only ever appended; a line that a crash or a full disk cut off is passed over.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import Marks

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Journal:
    """`file` need not be there yet. Whoever writes holds the index's own lock. Raises `OSError`."""

    file: Path

    def append(self, clip_id: str, marks: Marks) -> None:
        """Add one line, complete and on disk before this returns; on failure the file is as it was."""
        # An empty line costs nothing, and keeps what follows half a line from being part of it.
        line = b"\n" + _line(clip_id, marks)
        with self.file.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise

    def read(self) -> dict[str, Marks]:
        """The marks by clip id."""
        found: dict[str, Marks] = {}
        try:
            lines = self.file.read_bytes().splitlines()
        except FileNotFoundError:
            return {}
        for line in filter(None, lines):
            try:
                values = json.loads(line)
                clip_id = values.pop("id")
                if isinstance(clip_id, str):
                    found[clip_id] = Marks(**values)
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError, DcldmError):
                log.warning("a line of %s is not readable and was passed over", self.file)
        return found

    def compact(self, marks: Mapping[str, Marks]) -> None:
        """Write the file anew with one line for each clip, in one step."""
        if not marks:
            return
        part = self.file.with_name(self.file.name + ".part")
        try:
            part.write_bytes(b"".join(_line(clip_id, known) for clip_id, known in marks.items()))
            os.replace(part, self.file)
        finally:
            part.unlink(missing_ok=True)


def _line(clip_id: str, marks: Marks) -> bytes:
    return json.dumps({"id": clip_id, **asdict(marks)}).encode("ascii") + b"\n"
