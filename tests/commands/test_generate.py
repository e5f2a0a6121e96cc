"""`dcldm generate`, and `dcldm` itself, as a user runs them: a process, its output and its exit code."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import wave
from contextlib import closing
from pathlib import Path

import pytest

from dcldm_plugin import __version__
from dcldm_plugin.__main__ import main
from dcldm_plugin.jobs import JobState, JobStore
from dcldm_plugin.settings import load

FAST = ("--model", "tone", "--seconds", "0.2", "--steps", "5")
POSIX_ONLY = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals or terminals")


def dcldm(*arguments: object, **options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dcldm_plugin", *map(str, arguments)]
    environment = {**os.environ, **options}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Start `dcldm` with SIGINT at its default, whatever the test runner does with it."""
    program = (
        "import signal, sys; from dcldm_plugin.__main__ import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main())"
    )
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def is_sentence(text: str) -> bool:
    return text.count("\n") == 1 and text.endswith(".\n") and "Traceback" not in text


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_one_path_per_variation(tmp_path: Path) -> None:
    result = dcldm("generate", "heavy rain", "--variations", 2, "--seed", 1, *FAST, "--home", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert len(paths) == 2
    assert all(path.is_file() and path.is_relative_to(tmp_path / "library") for path in paths)
    assert files(tmp_path / "renders") == []
    with closing(JobStore(load(tmp_path).index)) as jobs:
        assert [job.state for job in jobs.jobs()] == [JobState.FINISHED]


def test_one_json_object_per_variation(tmp_path: Path) -> None:
    out = tmp_path / "höhe" / "out"
    arguments = ("🌧️ rain", "--variations", 2, "--seed", 7, "--json", "--out", out, *FAST)
    result = dcldm("generate", *arguments, "--home", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [value["seeds"] for value in objects] == [{"structure": n, "texture": n} for n in (7, 8)]
    for value in objects:
        with wave.open(value.pop("path"), "rb") as file:
            samples = file.readframes(file.getnframes())
        assert value.pop("sha256") == hashlib.sha256(samples).hexdigest()
        assert value.pop("seeds")
        assert value == {"model": "tone", "seconds": 0.2, "sample_rate": 48_000, "channels": 1}
    assert len(files(out)) == 2


def test_the_same_seed_gives_the_same_samples(tmp_path: Path) -> None:
    import soundfile

    for name in ("one", "two"):
        out = tmp_path / name
        assert dcldm("generate", "rain", "--seed", 3, "--out", out, *FAST, "--home", tmp_path).returncode == 0
    first, second = (soundfile.read(next((tmp_path / name).iterdir()))[0] for name in ("one", "two"))
    assert first.tolist() == second.tolist()


def test_the_home_and_the_model_may_come_from_settings(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('model = "tone"\nlibrary_folder = "sounds"\n')
    result = dcldm("generate", "rain", "--seconds", 0.2, DCLDM_HOME=str(tmp_path))
    assert result.returncode == 0
    assert Path(result.stdout.strip()).is_relative_to(tmp_path / "sounds")


@pytest.mark.parametrize(
    "arguments",
    [
        ("",),
        ("   ",),
        ("x" * 10_000,),
        ("rain\x07",),
        (),
        ("rain", "--seconds", "0"),
        ("rain", "--seconds", "-1"),
        ("rain", "--seconds", "nan"),
        ("rain", "--seconds", "1e9"),
        ("rain", "--seconds", "ten"),
        ("rain", "--seconds", "601", "--model", "builtin"),
        ("rain", "--variations", "0"),
        ("rain", "--variations", "10000"),
        ("rain", "--seed", "-1"),
        ("rain", "--seed", str(2**63)),
        ("rain", "--seed", "1.5"),
        ("rain", "--model", "nonesuch"),
        ("rain", "--steps", "0"),
        ("rain", "--guidance", "inf"),
        ("rain", "--guidance-interval", "0.8", "0.2"),
        ("rain", "--sampler", ""),
        ("rain", "--sampler", "nonesuch", "--model", "tone"),
        ("rain", "--unknown"),
        ("rain", "--out"),
        ("rain", "cats"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *arguments, "--home", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and is_sentence(said.err)


def test_bad_settings_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("osc_prot = 1")
    result = dcldm("generate", "rain", *FAST, "--home", tmp_path)
    assert result.returncode == 2 and is_sentence(result.stderr) and "osc_prot" in result.stderr


@pytest.mark.parametrize("option", ["--out", "--home"])
def test_a_folder_that_cannot_be_written_is_found_before_rendering(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below"
    result = dcldm("generate", "tone-hang", "--model", "tone", "--home", tmp_path / "home", option, folder)
    assert (result.returncode, result.stdout) == (1, "")
    assert is_sentence(result.stderr) and str(folder) in result.stderr


@pytest.mark.parametrize("prompt", ["tone-crash", "tone-memory", "tone-bug", "tone-silent", "tone-nan"])
def test_a_failure_in_the_model_is_one_sentence_and_exit_code_1(tmp_path: Path, prompt: str) -> None:
    result = dcldm("generate", prompt, *FAST, "--home", tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    assert is_sentence(result.stderr)
    assert files(tmp_path / "library" / "clips") == []


@POSIX_ONLY
def test_interrupting_cancels_cleanly(tmp_path: Path) -> None:
    arguments = ("generate", "slow rain", "--variations", 20, *FAST, "--home", tmp_path)
    with begin(*arguments) as process:
        assert process.stdout is not None and process.stderr is not None
        assert Path(process.stdout.readline().strip()).is_file()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == ""
    with closing(JobStore(load(tmp_path).index)) as jobs:
        assert [job.state for job in jobs.jobs()] == [JobState.CANCELLED]
    assert files(tmp_path / "renders") == []


@POSIX_ONLY
def test_a_reader_that_goes_away_ends_it_without_a_traceback(tmp_path: Path) -> None:
    arguments = ("generate", "slow rain", "--variations", 20, *FAST, "--home", tmp_path)
    with begin(*arguments) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr.read() == ""


@POSIX_ONLY
def test_a_terminal_shows_progress(tmp_path: Path) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # a new one has no columns at all
    shown = bytearray()

    def read() -> None:
        try:
            while piece := os.read(ours, 4096):
                shown.extend(piece)
        except OSError:  # how the end looks on Linux
            return

    reader = threading.Thread(target=read)
    reader.start()
    command = [sys.executable, "-m", "dcldm_plugin", "generate", "slow rain", *FAST, "--home", str(tmp_path)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True)
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 1
    assert b"1/1 denoising" in shown and b"%" in shown


def test_two_at_once_share_a_library(tmp_path: Path) -> None:
    arguments = ("generate", "rain", "--seed", "1", "--variations", 3, *FAST, "--home", tmp_path)
    processes = [begin(*arguments) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    paths = {line for output, _ in outputs for line in output.splitlines()}
    assert len(paths) == 6 and all(Path(path).is_file() for path in paths)


def test_help_is_there_without_anything_heavy() -> None:
    program = (
        "import sys; from dcldm_plugin.__main__ import main; code = main(['--help']); "
        "sys.exit(code or any(name in sys.modules for name in ('numpy', 'torch', 'argparse', 'sqlite3')))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert all(name in result.stdout for name in ("generate", "doctor", "models", "serve", "install"))


def test_the_session_never_imports_torch() -> None:
    program = "import sys, dcldm_plugin.session; sys.exit(any('torch' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_version() -> None:
    assert dcldm("--version").stdout == f"dcldm {__version__}\n"


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="there is always a screen")
def test_where_there_is_no_screen_the_window_says_so() -> None:
    result = dcldm(DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert (result.returncode, result.stdout) == (2, "")
    assert is_sentence(result.stderr) and "dcldm serve" in result.stderr


@pytest.mark.parametrize("arguments", [("nonesuch",), ("--nonesuch",), ("models", "nonesuch")])
def test_a_wrong_command_is_one_sentence(arguments: tuple[str, ...]) -> None:
    result = dcldm(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert is_sentence(result.stderr)
