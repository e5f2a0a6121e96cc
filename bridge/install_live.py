"""Our control surface into Ableton Live's User Library, and out again."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bridge.deposit import RECORD, put, take
from bridge.live import spool_folder
from bridge.spool import lines
from dcldm_plugin.commands.doctor import REMOTE_SCRIPT
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import Settings, writable_folder

FOLDER = REMOTE_SCRIPT

STEPS = (
    "One step is left to you: restart Live, open Settings, Link, Tempo & MIDI, and choose DCLDM in a free row of "
    "Control Surface; its input and output stay at None."
)


def install(root: Path, settings: Settings, port: int) -> list[Path]:
    """Write the script into this User Library. Returns what was written. Raises `HostError`."""
    if not root.is_dir():
        raise InvalidInput(
            f"{root} is not there; name Live's User Library, as its Settings, Library show it, with --path."
        )
    source = files("bridge") / "scripts" / "live"
    texts = {f"{FOLDER}/{entry.name}": entry.read_bytes() for entry in source.iterdir() if entry.name.endswith(".py")}
    spool = writable_folder(spool_folder(settings.home).absolute())
    config: dict[str, str | int] = {"spool": str(spool), "port": port, "live_port": settings.live_port}
    texts[f"{FOLDER}/dcldm.conf"] = lines(config).encode()
    record = put(root, f"{FOLDER}/{RECORD}", texts)
    return [root / name for name in record.files]


def uninstall(root: Path) -> list[Path]:
    """Take away what `install` wrote. Returns files that were changed since and were therefore left."""
    return take(root, f"{FOLDER}/{RECORD}")
