"""`dcldm install` and `dcldm uninstall`: our scripts into a DAW's own folder, and out again.

What was written is recorded beside it, with check sums: a file that somebody else wrote, changed or made with
a newer version of ours is never touched, and uninstalling takes away exactly what installing has put there.
"""

from __future__ import annotations

import json
import os
import re
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from bridge import install_live, install_reaper, ui_scripts
from bridge.ardour import spool_folder
from bridge.deposit import RECORD, check_not_newer, check_ours, check_sum, read_record, take_files, write
from bridge.handshake import wait_for
from bridge.host import HostError
from bridge.osc import check_port
from bridge.running import ardour_runs
from bridge.spool import lines
from dcldm_plugin import __version__, settings
from dcldm_plugin.commands import Parser
from dcldm_plugin.commands.doctor import live_library, reaper_folder
from dcldm_plugin.errors import InvalidInput

ACTIONS = ("dcldm_generate.lua", "dcldm_vary.lua", "dcldm_spot.lua")
HOOK = "dcldm_watch.lua"
SCRIPTS = (*ACTIONS, HOOK)
COMMON = "dcldm_common.lua"  # what they share; Ardour's scripts can't load one another
CONFIG = "dcldm.conf"
UI_SCRIPTS, BACKUP = "ui_scripts", "ui_scripts.before-dcldm"


@dataclass(frozen=True, slots=True)
class Record:
    """What an installation wrote: check sums (SHA-256) by path within the configuration folder."""

    version: str
    files: dict[str, str] = field(default_factory=dict)
    ui_scripts: str = ""  # check sum of the file as we left it; empty: not changed by us
    slots: list[int] = field(default_factory=list)  # of the actions: Ardour calls them LuaAction/script-<slot>


def install(config: Path, spool: Path, port: int) -> Record:
    """Write the scripts for the Ardour whose configuration folder this is. Raises `HostError`."""
    version = _ardour_version(config)
    old = _read_record(config)
    if old is not None:
        check_not_newer(config, old.version)
    texts = {f"scripts/{name}": script(name).encode() for name in SCRIPTS}
    texts[f"scripts/{CONFIG}"] = lines({"spool": spool.absolute().as_posix(), "port": port}).encode()
    for name in texts:
        check_ours(config / name, "" if old is None else old.files.get(name, ""))
    if old is not None and _is_in_place(config, old, texts):
        return old  # so that it can be asked for beside an Ardour that runs
    bound, slots, base = b"", list[int](), None
    if version == ui_scripts.BOUND_VERSION:
        _check_not_running(config)
        base = _without_ours(config, old)
        bound, slots = ui_scripts.add(base, [_named(name) for name in ACTIONS], _named(HOOK))
    record = Record(
        version=__version__,
        files={name: check_sum(text) for name, text in texts.items()},
        ui_scripts=check_sum(bound) if bound else "",
        slots=slots,
    )
    # The record first: whatever happens after it, what is there can be told to be ours.
    write(config / "scripts" / RECORD, json.dumps(asdict(record), indent=1).encode())
    for name, text in texts.items():
        write(config / name, text)
    if bound:
        if base is None:
            (config / BACKUP).unlink(missing_ok=True)
        else:
            write(config / BACKUP, base)
        write(config / UI_SCRIPTS, bound)
    return record


def uninstall(config: Path) -> list[Path]:
    """Take away what `install` wrote. Returns files that were changed since and were therefore left."""
    record = _read_record(config)
    if record is None:
        raise HostError(f"Nothing of ours is installed in {config}; name another folder with --config.")
    if record.ui_scripts:
        _check_not_running(config)
        base = _without_ours(config, record)
        if base is None:
            (config / UI_SCRIPTS).unlink(missing_ok=True)
        else:
            write(config / UI_SCRIPTS, base)
        (config / BACKUP).unlink(missing_ok=True)
    left = take_files(config, record.files)
    (config / "scripts" / RECORD).unlink()
    return left


def script(name: str) -> str:
    """The text of one of our Lua scripts for Ardour, complete."""
    folder = files("bridge") / "scripts" / "ardour"
    common = (folder / COMMON).read_text(encoding="utf-8")
    return (folder / name).read_text(encoding="utf-8").replace("  --common\n", common)


def script_name(text: str) -> str:
    """What a script calls itself in Ardour's menus and in `ui_scripts`."""
    found = re.search(r'name = "([^"]+)"', text)
    assert found is not None
    return found[1]


def find_config() -> Path:
    """The configuration folder of the newest Ardour here. Raises `HostError` if there is none."""
    found = [path for path in _config_parent().glob("[Aa]rdour*") if path.is_dir() and _version(path)]
    if not found:
        raise HostError(
            f"No Ardour configuration was found in {_config_parent()}; start Ardour once, "
            "or name its configuration folder with --config."
        )
    return max(found, key=_version)


def install_main(arguments: Sequence[str]) -> int:
    """`dcldm install ardour|reaper|live [--path DIR] [--port N] [--wait S] [--home DIR]`, `dcldm install ucs FILE`."""
    if list(arguments[:1]) == ["ucs"]:
        from dcldm_plugin.commands.ucs import install_main as install_ucs

        return install_ucs(arguments[1:])
    options = _parser("install").parse_args(arguments)
    known = settings.load(options.home)
    port = check_port(options.port or known.osc_port)
    if options.host == "ardour":
        _install_ardour(options, known, port)
    else:
        installer = _SCRIPTED[options.host][0]
        for path in installer.install(_folder(options), known, port):
            print(path)
        print(installer.STEPS, end=" ")
    print("Leave `dcldm serve`, or the window, running beside it.", flush=True)
    if options.wait <= 0:
        print(f"Then `dcldm install {options.host} --wait 60` tells whether it answers.")
        return 0
    answered = wait_for(options.host, port, options.wait)
    if answered is None:
        raise HostError(
            f"Nothing was heard within {options.wait:g} s. The scripts are in place: do the step above, see that "
            "`dcldm serve` or the window runs, and try again."
        )
    print(f"{answered} answers: it works.")
    return 0


def uninstall_main(arguments: Sequence[str]) -> int:
    """`dcldm uninstall ardour|reaper|live [--path DIR]`."""
    options = _parser("uninstall").parse_args(arguments)
    if options.host == "ardour":
        config = (options.config or find_config()).absolute()
        left = uninstall(config)
    else:
        config = _folder(options)
        left = _SCRIPTED[options.host][0].uninstall(config)
    for path in left:
        print(f"{path} was changed since it was installed, so it was left; delete it if you don't need it.")
    print(f"The scripts were taken out of {config}.")
    return 0


def _parser(command: str) -> Parser:
    parser = Parser(command, "Our scripts in a DAW: put them there, or take exactly those away again.")
    parser.add_argument("host", choices=["ardour", *_SCRIPTED])
    parser.add_argument(
        "--path",
        "--config",
        dest="config",
        type=Path,
        metavar="DIR",
        help="the DAW's own folder: Ardour's configuration, REAPER's resource folder, Live's User Library",
    )
    if command == "install":
        parser.add_argument("--port", type=int, help="UDP port that `dcldm serve` listens on")
        parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="wait S seconds until the DAW answers")
    return parser


# Name -> its installer, where its folder is found, and what that is called.
_SCRIPTED = {
    "reaper": (install_reaper, reaper_folder, "REAPER's resource folder"),
    "live": (install_live, live_library, "Ableton Live's User Library"),
}


def _folder(options: Namespace) -> Path:
    _, find, called = _SCRIPTED[options.host]
    found: Path | None = options.config or find(Path.home())
    if found is None:
        raise HostError(f"{called} was not found; start the program once, or name that folder with --path.")
    return found.absolute()


def _install_ardour(options: Namespace, known: settings.Settings, port: int) -> None:
    config = (options.config or find_config()).absolute()
    record = install(config, spool_folder(known.home), port)
    for name in record.files:
        print(config / name)
    if record.slots:
        print(config / UI_SCRIPTS)
        print(
            "Start Ardour: our three actions, each beginning with `DC-LDM`, are in its menu Edit, Lua Scripts.", end=" "
        )
    else:
        print(
            "One step is left to you. In Ardour: Edit, Lua Scripts, Script Manager; add the scripts that begin with "
            "`DC-LDM`: `Clips and news` as a callback, the others as actions.",
            end=" ",
        )


def _config_parent() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Preferences"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _version(config: Path) -> int:
    """The 7 of `ardour7`, or 0."""
    found = re.fullmatch(r"ardour(\d+)", config.name.lower())
    return int(found[1]) if found else 0


def _ardour_version(config: Path) -> int:
    version = _version(config)
    if not version or not config.is_dir():
        raise InvalidInput(
            f"{config} is not a configuration folder of Ardour, such as ~/.config/ardour7; "
            "start Ardour once, so that there is one."
        )
    return version


def _named(name: str) -> tuple[str, str]:
    text = script(name)
    return script_name(text), text


def _read_record(config: Path) -> Record | None:
    def made(slot: object = None, **values: Any) -> Record:  # slot: of a version that had one action
        return Record(**values)

    return read_record(config / "scripts" / RECORD, made)


def _check_not_running(config: Path) -> None:
    if ardour_runs(config):
        raise HostError(
            "Ardour is running, and would write its list of scripts over ours when it ends; quit Ardour and try again."
        )


def _is_in_place(config: Path, old: Record, texts: Mapping[str, bytes]) -> bool:
    """Whether just these scripts are there, and bound."""
    path = config / UI_SCRIPTS
    sums = {name: check_sum(text) for name, text in texts.items()}
    there = all((config / name).is_file() for name in texts)
    if (old.version, old.files, there) != (__version__, sums, True) or not old.slots or not path.exists():
        return False
    return ui_scripts.has(path.read_bytes(), {_named(name)[0] for name in ACTIONS}, _named(HOOK)[0])


def _without_ours(config: Path, record: Record | None) -> bytes | None:
    """`ui_scripts` as it would be without us; None if there would be no such file."""
    path, backup = config / UI_SCRIPTS, config / BACKUP
    if not path.exists():
        return None
    text = path.read_bytes()
    if record is None or not record.ui_scripts:
        return text
    if check_sum(text) == record.ui_scripts:
        return backup.read_bytes() if backup.exists() else None
    # Ardour has written the file since: only our entries go.
    return ui_scripts.remove(text, {_named(name)[0] for name in ACTIONS}, _named(HOOK)[0])
