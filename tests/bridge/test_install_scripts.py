"""Installing for REAPER and Live: what both have in common, and what is each one's own."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge import install_reaper
from bridge.deposit import RECORD
from bridge.osc import OscSocket, encode
from bridge.program import running
from dcldm_plugin.__main__ import main
from dcldm_plugin.commands.doctor import live_library, reaper_folder
from dcldm_plugin.settings import Settings

FOLDERS = {"reaper": "Scripts/dcldm", "live": "Remote Scripts/DCLDM"}
FIRST = {"reaper": "dcldm_lib.lua", "live": "surface.py"}


@pytest.fixture(params=["reaper", "live"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(host: str, tmp_path: Path) -> Path:
    folder = tmp_path / "DAW"
    folder.mkdir()
    if host == "reaper":
        (folder / "reaper.ini").write_text("[REAPER]\n")
    return folder


@pytest.fixture
def run(host: str, root: Path, tmp_path: Path) -> Callable[..., int]:
    def call(command: str, *more: str) -> int:
        return main([command, host, "--path", str(root), "--home", str(tmp_path / "home"), *more])

    return call


def tree(folder: Path) -> dict[str, bytes | None]:
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {name: path.read_bytes() if path.is_file() else None for name, path in found.items()}


def test_install_twice_and_uninstall_leave_what_was_there(
    host: str, root: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "Effects").mkdir()
    (root / "Effects" / "theirs.jsfx").write_text("--")
    before = tree(root)
    assert run("install") == 0
    said = capsys.readouterr().out
    assert "One step is left to you" in said and str(root / FOLDERS[host] / FIRST[host]) in said
    assert run("install", "--port", "9999") == 0
    cache = root / FOLDERS[host] / "__pycache__"  # what Live's Python leaves
    cache.mkdir()
    (cache / "osc.cpython-311.pyc").write_bytes(b"")
    assert run("uninstall") == 0
    assert tree(root) == before


def test_what_is_installed_is_recorded_and_points_home(host: str, root: Path, run: Callable[..., int]) -> None:
    run("install")
    record = json.loads((root / FOLDERS[host] / RECORD).read_text())
    assert all((root / name).is_file() for name in record["files"])
    config = (root / FOLDERS[host] / "dcldm.conf").read_text()
    assert f"home/spool/{host}" in config.replace("\\", "/")


def test_a_foreign_file_stops_it(
    host: str, root: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = root / FOLDERS[host] / FIRST[host]
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    before = tree(root)
    assert run("install") == 1
    assert "written or changed by somebody else" in capsys.readouterr().err
    assert tree(root) == before


def test_a_changed_file_is_left(
    host: str, root: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run("install")
    changed = root / FOLDERS[host] / FIRST[host]
    changed.write_text("mine now")
    assert run("uninstall") == 0
    assert str(changed) in capsys.readouterr().out and changed.read_text() == "mine now"
    assert {name for name, content in tree(root / FOLDERS[host]).items() if content is not None} == {FIRST[host]}


def test_a_newer_version_is_left(
    host: str, root: Path, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    run("install")
    path = root / FOLDERS[host] / RECORD
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "999.0"}))
    before = tree(root)
    assert run("install") == 1
    assert "newer version 999.0" in capsys.readouterr().err and tree(root) == before


def test_an_older_version_is_replaced_whole(host: str, root: Path, run: Callable[..., int]) -> None:
    run("install")
    path = root / FOLDERS[host] / RECORD
    record = json.loads(path.read_text())
    gone = root / FOLDERS[host] / "dropped.txt"
    gone.write_bytes((root / FOLDERS[host] / FIRST[host]).read_bytes())
    record["files"][f"{FOLDERS[host]}/dropped.txt"] = record["files"][f"{FOLDERS[host]}/{FIRST[host]}"]
    path.write_text(json.dumps({**record, "version": "0.0.1"}))
    assert run("install") == 0
    assert not gone.exists()


@pytest.mark.parametrize("arguments", [["--port", "80"], ["--path", "nowhere"]])
def test_bad_arguments(run: Callable[..., int], arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("install", *arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_to_uninstall(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("uninstall") == 1
    assert "Nothing of ours" in capsys.readouterr().err


@pytest.mark.parametrize(
    "before", [b"", b'reaper.ShowConsoleMsg ("hello")\n', b"-- no end of line", b"one ()\r\ntwo ()\r\n"]
)
def test_the_startup_file_of_reaper_gets_one_line_and_loses_it(tmp_path: Path, before: bytes) -> None:
    root = tmp_path / "REAPER"
    (root / "Scripts").mkdir(parents=True)
    (root / "reaper.ini").touch()
    startup = root / install_reaper.STARTUP
    if before:
        startup.write_bytes(before)
    for _ in range(2):
        install_reaper.install(root, Settings.at(tmp_path / "home"), 8710)
    text = startup.read_bytes()
    assert text.startswith(before) and text.count(install_reaper.MARK.encode()) == 1
    install_reaper.uninstall(root)
    assert (startup.read_bytes().rstrip() if startup.exists() else b"") == before.rstrip()


def test_folders_of_windows_macos_and_linux(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APPDATA", raising=False)
    for find, name in [
        (reaper_folder, "AppData/Roaming/REAPER"),
        (reaper_folder, "Library/Application Support/REAPER"),
        (reaper_folder, ".config/REAPER"),
        (live_library, "Documents/Ableton/User Library"),
        (live_library, "OneDrive/Documents/Ableton/User Library"),
        (live_library, "Music/Ableton/User Library"),
    ]:
        user = tmp_path / name.replace("/", "_")
        assert find(user) is None
        (user / name).mkdir(parents=True)
        assert find(user) == user / name


def test_the_handshake(host: str, run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    osc = OscSocket(0)
    arguments = ["--port", str(osc.port), "--wait"]
    with running(Settings.at(tmp_path / "other"), osc):
        assert run("install", *arguments, "0.7") == 1
        assert "The scripts are in place: do the step above" in capsys.readouterr().err

        def beat() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daw:
                for _ in range(100):
                    hello = encode("/dcldm/hello", host, "Song", 48_000, "The DAW 7.0")
                    daw.sendto(hello, ("127.0.0.1", osc.port))
                    time.sleep(0.1)

        threading.Thread(target=beat, daemon=True).start()
        assert run("install", *arguments, "60") == 0
        assert "The DAW 7.0 answers: it works." in capsys.readouterr().out
    osc.stop()
