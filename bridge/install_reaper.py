"""Our scripts into REAPER's resource folder, and out again; REAPER starts them by a line in `__startup.lua`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from bridge.deposit import RECORD, Record, put, take, write
from bridge.host import HostError
from bridge.reaper import OUTBOX, spool_folder
from bridge.spool import lines
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import Settings, writable_folder

FOLDER = "Scripts/dcldm"
PATTERN = "OSC/dcldm.ReaperOSC"
STARTUP = "Scripts/__startup.lua"
MARK = "-- DC-LDM Plugin"
LINE = f'pcall (dofile, reaper.GetResourcePath () .. "/Scripts/dcldm/dcldm_setup.lua") {MARK}'

STEPS = (
    "One step is left to you: start REAPER, or restart it. Its action list then has our actions, each beginning with "
    "`Script: dcldm_`. Without a restart: Actions, New action, Load ReaScript, dcldm_setup.lua, and run it."
)


def install(root: Path, settings: Settings, port: int) -> list[Path]:
    """Write the scripts for the REAPER with this resource folder. Returns what was written. Raises `HostError`."""
    if not (root / "reaper.ini").is_file():
        raise InvalidInput(
            f"{root} is not REAPER's resource folder (it has no reaper.ini); start REAPER once, or name the folder "
            "that Options, Show REAPER resource path opens, with --path."
        )
    source = files("bridge") / "scripts" / "reaper"
    texts = {f"{FOLDER}/{entry.name}": entry.read_bytes() for entry in source.iterdir() if entry.name.endswith(".lua")}
    texts[PATTERN] = (source / "dcldm.ReaperOSC").read_bytes()
    spool = spool_folder(settings.home).absolute()
    texts[f"{FOLDER}/dcldm.conf"] = lines({"spool": spool.as_posix()}).encode()
    record: Record = put(root, f"{FOLDER}/{RECORD}", texts)
    writable_folder(spool / OUTBOX)
    _start(root / STARTUP, True)
    return [*(root / name for name in record.files), root / STARTUP]


def uninstall(root: Path) -> list[Path]:
    """Take away what `install` wrote. Returns files that were changed since and were therefore left."""
    _start(root / STARTUP, False)
    return take(root, f"{FOLDER}/{RECORD}")


def _start(path: Path, wanted: bool) -> None:
    """Our one line in a file that is the user's: all others stay as they are, byte by byte."""
    try:
        before = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise HostError(f"{path} can't be read ({error.strerror}); check its permissions.") from error
    kept = [line for line in before.splitlines(keepends=True) if not line.rstrip().endswith(MARK.encode())]
    if wanted:
        if kept and not kept[-1].endswith(b"\n"):
            kept.append(b"\n")
        kept.append(f"{LINE}\n".encode())
    after = b"".join(kept)
    if after == before:
        return
    if after.strip():
        write(path, after)
    else:
        path.unlink(missing_ok=True)
