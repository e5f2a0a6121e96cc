"""`dcldm spot` as its user runs it, with a program beside it and without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SHEET = "time,prompt,length,variations\n0:01,rain,0.2,2\n0:02,wind,0.2,1\n"
COMMAND = [sys.executable, "-m", "dcldm_plugin", "spot"]


def spot(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text('model = "tone"\n')
    return subprocess.run(
        [*COMMAND, *arguments, "--home", str(home)], capture_output=True, text=True, check=False, timeout=240
    )


def test_a_sheet_is_checked(tmp_path: Path) -> None:
    sheet = tmp_path / "reel.csv"
    sheet.write_text(SHEET + "soon,fire,0.2,1\n")
    done = spot(tmp_path / "home", str(sheet), "--check", "--host", "folder", "--port", "0")
    assert done.returncode == 2
    assert done.stdout.splitlines()[0] == "reel.csv: 2 cues, 3 clips"
    assert "00:00:02:00" in done.stdout and done.stderr.startswith("Row 4: ")
    assert not list((tmp_path / "home").rglob("*.wav"))


def test_a_sheet_is_spotted_and_the_same_call_does_nothing_twice(tmp_path: Path) -> None:
    sheet = tmp_path / "reel.csv"
    sheet.write_text(SHEET)
    call = (tmp_path / "home", str(sheet), "--host", "folder", "--port", "0", "--json")
    first = spot(*call)
    assert first.returncode == 0, first.stderr
    last = json.loads(first.stdout.splitlines()[-1])
    assert (last["status"], last["done"]) == ("done", 2)
    clips = sorted((tmp_path / "home" / "inbox").glob("*.wav"))
    assert len(clips) == 3
    assert spot(*call).returncode == 0
    assert sorted((tmp_path / "home" / "inbox").glob("*.wav")) == clips
    assert len(list((tmp_path / "home" / "library" / "clips").glob("*.wav"))) == 3


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    sheet = tmp_path / "reel.csv"
    sheet.write_text("time,prompt\nsoon,rain\n")
    for arguments, words in (
        ([str(tmp_path / "gone.csv")], "not there"),
        ([str(sheet)], "Row 2 of reel.csv"),
        ([str(sheet), "--fps", "26"], "not a frame rate"),
        ([], "SHEET.csv"),
        (["--host", "folder", "--port", "0"], "does not tell its markers from outside"),
    ):
        done = spot(tmp_path / "home", *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and words in done.stderr, done.stderr
