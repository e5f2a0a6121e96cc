from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dcldm_plugin.commands.doctor import Check, check_library, check_port, check_weights, find_daws
from dcldm_plugin.settings import load, only_instance

ASK = """
import sys
from dcldm_plugin.__main__ import main
code = main(["doctor", *sys.argv[1:]])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""


def doctor(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ASK, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def asked(home: Path, **environment: str) -> dict[str, dict[str, Any]]:
    result = doctor("--json", "--home", home, **environment)
    assert result.stderr == ""
    report = json.loads(result.stdout)
    checks = {check["name"]: check for check in report["checks"]}
    assert report["ready"] == all(check["ok"] for check in checks.values() if check["needed"])
    assert result.returncode == (0 if report["ready"] else 1)
    return checks


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def weights(folder: Path, *, cut: int = 0, header: object = None) -> Path:
    folder.mkdir(exist_ok=True)
    good = {"__metadata__": {"a": "b"}, "w": {"dtype": "F16", "shape": [50], "data_offsets": [0, 100]}}
    text = json.dumps(good if header is None else header).encode()
    content = struct.pack("<Q", len(text)) + text + bytes(100)
    file = folder / "model.safetensors"
    file.write_bytes(content[: len(content) - cut])
    return file


def test_every_line_says_ok_or_missing_and_what_to_do(tmp_path: Path) -> None:
    result = doctor("--home", tmp_path)
    assert result.stderr == ""
    *lines, verdict = result.stdout.splitlines()
    assert all(line.split()[0] in {"OK", "missing"} for line in lines)
    assert verdict.endswith("run here." if result.returncode == 0 else "see above.")


def test_what_is_checked(tmp_path: Path) -> None:
    checks = asked(tmp_path)
    needed = {name for name, check in checks.items() if check["needed"]}
    assert needed == {"Python", "torch", "built-in model", "sentence encoder", "library"}
    assert {"audio output", "Ardour", "REAPER", "Ableton Live", "second instance"} <= checks.keys()
    assert checks["Python"]["ok"] and checks["library"]["ok"]
    assert str(tmp_path / "library") in checks["library"]["detail"]


def test_a_port_in_use_is_told(free_port: int) -> None:
    assert check_port(free_port, running=False).ok
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", free_port))
        check = check_port(free_port, running=False)
        assert not check.ok and "osc_port" in check.detail
        assert check_port(free_port, running=True).ok  # then it is ours


def test_a_library_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert check_library(settings).ok
    settings.library_folder.rmdir()
    settings.library_folder.touch()
    check = check_library(settings)
    assert not check.ok and "choose another" in check.detail


def test_a_torch_that_crashes_and_a_second_instance_are_told(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os; os.abort()")
    with only_instance(load(tmp_path)):
        checks = asked(tmp_path, PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert not checks["torch"]["ok"] and "install" in checks["torch"]["detail"]
    assert "another one runs" in checks["second instance"]["detail"]


def test_whole_weights_are_found(tmp_path: Path) -> None:
    weights(tmp_path)
    assert check_weights(tmp_path).ok


@pytest.mark.parametrize("cut", [1, 99, 120, 250])
def test_truncated_weights_are_found(tmp_path: Path, cut: int) -> None:
    file = weights(tmp_path, cut=cut)
    check = check_weights(tmp_path)
    assert not check.ok and file.name in check.detail and "reinstall" in check.detail


@pytest.mark.parametrize("header", [[], {}, 5, {"w": {}}, {"w": []}, {"w": {"data_offsets": "ab"}}, None])
def test_wrong_weights_are_found(tmp_path: Path, header: object) -> None:
    if header is None:
        (tmp_path / "model.safetensors").write_bytes(bytes(range(256)) * 10)
    else:
        weights(tmp_path, header=header)
    assert "damaged" in check_weights(tmp_path).detail


def test_missing_weights_are_found(tmp_path: Path) -> None:
    assert not check_weights(tmp_path).ok


def found(user: Path) -> dict[str, Check]:
    return {check.name: check for check in find_daws(user)}


def test_daws_are_found_by_their_folders(tmp_path: Path) -> None:
    live = tmp_path / "Music" / "Ableton" / "User Library"
    reaper = tmp_path / ".config" / "REAPER"
    for folder in (live, reaper):
        assert str(folder) not in {check.detail for check in found(tmp_path).values()}
        folder.mkdir(parents=True)
    checks = found(tmp_path)
    advice = f"{live}; run `dcldm install live` to prompt from inside"
    assert checks["Ableton Live"] == Check("Ableton Live", True, advice)
    (live / "Remote Scripts" / "DCLDM").mkdir(parents=True)
    assert found(tmp_path)["Ableton Live"].detail == f"{live}, with our scripts"
    assert checks["REAPER"].ok
