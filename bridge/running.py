"""Is a DAW running? Asked before a file is changed that the DAW would write over when it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def ardour_runs(config: Path) -> bool:
    """Whether an Ardour runs that uses this configuration folder; any Ardour, where that can't be seen."""
    if sys.platform.startswith("linux"):
        return any(_uses(process, config) for process in Path("/proc").glob("[0-9]*"))
    command = ["tasklist", "/fo", "csv", "/nh"] if sys.platform == "win32" else ["ps", "-A", "-o", "comm="]
    listed = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    return any("ardour" in line.replace("\\", "/").rpartition("/")[2].lower() for line in listed.splitlines())


def _uses(process: Path, config: Path) -> bool:
    try:
        if not (process / "comm").read_text(errors="replace").lower().startswith("ardour"):
            return False
        entries = (process / "environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False  # it ended meanwhile
    except PermissionError:
        return False  # another user's, with a configuration of its own
    environment = dict(os.fsdecode(entry).partition("=")[::2] for entry in entries)
    if not environment:
        return False  # ended, but not yet collected by its parent
    parent = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", ""), ".config")
    return os.path.realpath(parent) == os.path.realpath(config.parent)
