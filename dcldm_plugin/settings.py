"""Typed settings, the folders that they name, and the lock that keeps a second instance out.

The home folder is `--home`, else `$DCLDM_HOME`, else the platform's folder for a user's data. A file
`settings.toml` in it may set any field of `Settings` but `home`; relative paths are relative to the home.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.types import clean_text

HOME_VARIABLE = "DCLDM_HOME"
DEVICE_VARIABLE = "DCLDM_DEVICE"  # by which the engine is told the device of the settings
FILE_NAME = "settings.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the parts of the program are built with. `at` gives the defaults of a home folder."""

    home: Path
    library_folder: Path  # finished clips and their index
    engine_folder: Path  # renders that are not finished yet
    log_folder: Path
    watch_folder: Path  # where the folder host leaves clips for a DAW that watches it
    model: str = "builtin"
    osc_port: int = 8710  # UDP
    lan: bool = False  # listen to other machines as well, which then have to send the passcode
    passcode: str = ""
    reaper_port: int = 8700  # where REAPER's OSC device listens
    live_port: int = 11_040  # where our script in Ableton Live listens
    finish_as: str = "as-made"  # a class of `audio.settings.CLASSES`
    project_rate: int = 48_000  # Hz, of finished clips
    creator_id: str = "ANON"  # the third block of a UCS name: who
    source_id: str = "DCLDM"  # the fourth: from where
    library_title: str = ""  # in the metadata: the collection that the clips belong to
    name_template: str = "{cat_id}_{fx_name}_{creator_id}_{source_id}"
    commercial_only: bool = False  # refuse what makes clips that may not be sold
    leave_out: str = ""  # kinds of metadata that files are not to carry, with commas; see `delivery.FIELDS`
    device: str = "auto"  # what the engine computes on: auto, cpu, cuda, cuda:1, mps
    idle_seconds: float = 300.0  # after this long without work the engine gives its memory back

    @classmethod
    def at(cls, home: Path) -> Settings:
        """The defaults for a home folder."""
        return cls(
            home=home,
            library_folder=home / "library",
            engine_folder=home / "renders",
            log_folder=home / "logs",
            watch_folder=home / "inbox",
        )

    @property
    def index(self) -> Path:
        """The database of clips and jobs."""
        return self.library_folder / "index.sqlite"


def home_folder(home: Path | None = None) -> Path:
    """The folder that holds everything of ours, as an absolute path. It need not be there yet."""
    if home is None and (named := os.environ.get(HOME_VARIABLE)):
        home = Path(named)
    if home is None:
        import platformdirs

        home = platformdirs.user_data_path("dcldm", appauthor=False)
    return _absolute(home, Path.cwd())


def load(home: Path | None = None) -> Settings:
    """The settings of a home folder. Raises `InvalidInput` with the name of the key that is wrong."""
    defaults = Settings.at(home_folder(home))
    file = defaults.home / FILE_NAME
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return defaults
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is not valid TOML: {error}; correct or delete it.") from error
    except OSError as error:
        raise DcldmError(f"{file} can't be read ({error.strerror}); check its permissions.") from error
    readers = _readers(defaults.home)
    if unknown := sorted(values.keys() - readers.keys()):
        raise InvalidInput(f"{file} has the unknown key {unknown[0]!r}; the keys are: {', '.join(sorted(readers))}.")
    return replace(defaults, **{key: _read(file, key, value, readers) for key, value in values.items()})


def save(home: Path, changes: Mapping[str, str | int | float | bool]) -> Settings:
    """Write changed values into the settings file, whose other lines and comments stay; the settings as they are then.

    Raises `InvalidInput` for a value that can't be, or if the file is written in a way that can't be changed
    line by line; then nothing is written.
    """
    file = home_folder(home) / FILE_NAME
    readers = _readers(home_folder(home))
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    for key, value in changes.items():
        _read(file, key, value, readers)
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"  # for these types JSON's words are TOML's
        places = [number for number, old in enumerate(lines) if re.match(rf"\s*{key}\s*=", old)]
        if places:
            lines[places[0]] = line
        else:
            lines.append(line)
    text = "\n".join([*lines, ""])
    try:
        understood = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is written in a way that can't be changed from here; edit it by hand.") from error
    if any(understood.get(key) != value for key, value in changes.items()):
        raise InvalidInput(f"{file} is written in a way that can't be changed from here; edit it by hand.")
    part = writable_folder(file.parent) / f"{FILE_NAME}.part"
    part.write_text(text, encoding="utf-8")
    os.replace(part, file)
    return load(home)


def writable_folder(folder: Path, needed_bytes: int = 0) -> Path:
    """Make `folder` and prove that a file can be written there. Raises `DcldmError` with what to do."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # On some systems only a real write tells the truth about permissions, quotas and read-only mounts.
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"dcldm")
        free_bytes = shutil.disk_usage(folder).free
    except OSError as error:
        raise DcldmError(
            f"Nothing can be written to the folder {folder} ({error.strerror or error}); choose another one."
        ) from error
    if free_bytes < needed_bytes:
        raise DcldmError(
            f"The disk of {folder} is full: {needed_bytes / 1e6:,.1f} MB are needed and "
            f"{free_bytes / 1e6:,.1f} MB are free; make room or choose another folder."
        )
    return folder


@contextmanager
def only_instance(settings: Settings) -> Iterator[None]:
    """Hold the home folder for a program that stays (the bridge, the window). Raises for a second one.

    The operating system lets go of the lock when the process ends, however it ends.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(writable_folder(settings.home) / "instance.lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DcldmError(
            f"dcldm already runs with the folder {settings.home}; use that one, close it first, "
            "or give this one a folder of its own with --home."
        ) from error
    try:
        yield
    finally:
        lock.release()


def instance_runs(settings: Settings) -> bool:
    """Whether a bridge or a window holds the home folder now."""
    from filelock import FileLock, Timeout

    file = settings.home / "instance.lock"
    if not file.exists():
        return False
    with suppress(Timeout), FileLock(file).acquire(timeout=0):
        return False
    return True


def _absolute(path: Path, base: Path) -> Path:
    try:
        return base / path.expanduser()
    except RuntimeError as error:  # "~somebody" who is not known here
        raise InvalidInput(f"The folder {path} can't be found ({error}); write it in full.") from error


def _read(file: Path, key: str, value: object, readers: Mapping[str, Callable[[Any], Any]]) -> Any:
    try:
        return readers[key](value)
    except (ValueError, InvalidInput) as error:
        raise InvalidInput(f"The key {key!r} in {file} is wrong: {error}") from error


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"it must be a whole number from {low} to {high}.")
        return value

    return read


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be true or false.")
    return value


def _readers(home: Path) -> dict[str, Callable[[Any], Any]]:
    """How each key is read: a function from the value in the file to that of the field, or ValueError."""

    def folder(value: object) -> Path:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise ValueError("it must be the path of a folder, in quotes.")
        return _absolute(Path(value), home)

    def seconds(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("it must be a number of seconds.")
        if not math.isfinite(value) or not 1.0 <= value <= 86_400.0:
            raise ValueError("it must be from 1 to 86400 seconds.")
        return float(value)

    def text(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("it must be text, in quotes.")
        return clean_text(value, "text")

    def words(value: object) -> str:
        return text(value) if value != "" else ""

    by_type = {"Path": folder, "str": text, "int": _whole(1024, 65_535), "float": seconds, "bool": _switch}
    # Annotations are text here (postponed evaluation), and but for these every type has one meaning in `Settings`.
    by_name = {field.name: by_type[str(field.type)] for field in fields(Settings) if field.name != "home"}
    return {**by_name, "project_rate": _whole(8_000, 192_000), "library_title": words, "leave_out": words}
