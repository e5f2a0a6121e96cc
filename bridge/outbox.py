"""Messages of our OSC API as files, from scripts inside DAWs that can send nothing.

A file holds the address and then an argument a line, after its type tag: `s text` (with \\\\, \\n and \\r
escaped), `i 3`, `f 1.5`. Each is read once, in the order of their names, and taken away.
"""

from __future__ import annotations

import logging
import re
import threading
from pathlib import Path

from bridge.osc import NOBODY, Receive
from dcldm_plugin.errors import InvalidInput

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
MAX_BYTES = 64 * 1024
_ESCAPES = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def decode(text: str) -> tuple[str, list[str | int | float]]:
    """The address and the arguments of a message. Raises `InvalidInput`."""
    address, *rows = text.removesuffix("\n").split("\n")
    try:
        return address, [_value(*row.split(" ", 1)) for row in rows]
    except (TypeError, ValueError) as error:
        raise InvalidInput("The file is not a message of ours; delete it.") from error


def _value(tag: str, text: str) -> str | int | float:
    if tag == "s":
        return re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], text)
    if tag not in {"i", "f"}:
        raise ValueError(tag)
    return int(text) if tag == "i" else float(text)


class Outbox:
    """Reads a folder until it is closed, and hands messages on, on its own thread."""

    def __init__(self, folder: Path, receive: Receive) -> None:
        self._folder = folder
        self._receive = receive
        self._stopped = threading.Event()
        self._stuck: set[str] = set()  # files that can't be taken away
        self._thread = threading.Thread(target=self._look, name="dcldm outbox", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            for path in sorted(self._folder.glob("*.msg")):
                if path.name not in self._stuck:
                    self._read(path)

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise InvalidInput("The file is too large for a message; delete it.")
            self._receive(*decode(content.decode("utf-8", errors="replace")), NOBODY)
        except FileNotFoundError:
            return  # it is just being replaced by a newer one
        except OSError as error:
            log.info("%s is read later: %s", path, error)
            return
        except InvalidInput as error:
            log.warning("%s: %s", path, error)
        except Exception:  # a bug in a handler must not silence the DAW
            log.exception("%s could not be handled", path)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s can't be deleted: %s", path, error)
            self._stuck.add(path.name)
