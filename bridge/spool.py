"""A folder in which a DAW's script finds text files that are always complete.

Scripts inside DAWs can open a file by its name, but some can neither list a folder nor receive anything, so
each kind of message has one file of a fixed name, replaced as a whole.
"""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bridge.host import HostError


def lines(fields: Mapping[str, str | int | float]) -> str:
    """`name=value` lines. Values stand as they are, so none may hold a control character: `HostError`."""
    return "".join(f"{name}={plain(str(value))}\n" for name, value in fields.items())


def plain(value: str) -> str:
    """The value itself, if it fits on one line. Raises `HostError` if it doesn't."""
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in value):
        raise HostError(f"{value!r} holds a control character, which the DAW can't be told; rename it.")
    return value


class Spool:
    """Atomic text files (UTF-8, \\n) in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str) -> None:
        """Replace the file `name`; a reader sees the old text or the new one. Raises `HostError`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=self.folder)
            try:
                with open(handle, "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                os.replace(temporary, self.folder / name)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
        except OSError as error:
            raise HostError(
                f"Nothing can be written to the spool folder {self.folder} ({error.strerror or error}); "
                "check its permissions and the free space."
            ) from error

    def rename(self, name: str, new_name: str) -> Path:
        """Give a file another name, of which what no file can be called is left out. Raises `HostError`."""
        path = self.folder / "".join(one if one.isalnum() or one in " -_.()[]" else "-" for one in new_name)
        try:
            os.replace(self.folder / name, path)
        except OSError as error:
            raise HostError(f"{path} can't be written ({error.strerror or error}); check its permissions.") from error
        return path

    def remove(self, name: str) -> None:
        """Take the file `name` away, if it is there."""
        with suppress(OSError):
            (self.folder / name).unlink()
