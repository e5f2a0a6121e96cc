"""`dcldm show`, `again`, `finish`, `ucs` and `--commercial-only`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from dcldm_plugin.__main__ import main
from dcldm_plugin.commands.again import compared


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_a_clip_is_shown_made_again_and_finished_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ("--home", tmp_path / "home")
    made = json.loads(
        run(capsys, "generate", "a test beep", "--model", "tone", "--seconds", 1, "--seed", 4, "--json", *home)
    )
    shown = run(capsys, "show", made["path"])
    for part in ("a test beep", "structure 4", "CC0-1.0", "nothing above 8000 Hz", "LUFS"):
        assert part in shown
    record = json.loads(run(capsys, "show", "--json", made["path"]))
    assert (record["sha256"], record["ucs"]["cat_id"]) == (made["sha256"], "BEEP")
    assert main([str(each) for each in ("again", made["path"], "--json", *home)]) == 0
    captured = capsys.readouterr()
    again = json.loads(captured.out)
    assert again["sha256"] == made["sha256"] and again["path"] != made["path"]
    assert captured.err == "Sample by sample the same.\n"
    [path] = run(capsys, "finish", made["path"], "--as", "one-shot", "--rate", 44_100, *home).splitlines()
    assert soundfile.info(path).samplerate == 44_100
    assert "peak" in json.dumps(json.loads(run(capsys, "show", "--json", path))["finishing"]["level_by"])


def test_what_is_not_the_same_when_it_is_made_again_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = ("--home", tmp_path)
    path = run(capsys, "generate", "beep", "--model", "tone", "--seconds", 1, "--seed", 4, *home).strip()
    before = json.loads(run(capsys, "show", "--json", path))
    assert compared(before, before, "tone") == "Sample by sample the same."
    other = before | {"sha256": "0" * 64}
    assert "0.0.1" in compared(before | {"software": "0.0.1"}, other, "tone")
    assert "made by version old of tone" in compared(before | {"model_version": "old"}, other, "tone")
    [finished] = run(capsys, "finish", path, "--as", "one-shot", *home).splitlines()
    assert main(["again", finished, *map(str, home)]) == 0
    assert "another finish" in capsys.readouterr().err


def test_a_refusal_before_anything_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", "rain", "--model", "tango", "--commercial-only", "--home", str(tmp_path)]
    assert main(arguments) == 2
    assert "may not be used commercially" in capsys.readouterr().err


def test_categories_are_suggested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "ucs", "church", "bell", "--count", 2, "--home", tmp_path)
    assert out.splitlines()[0] == "BELLLrg\tBELLS-LARGE"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["show", "nowhere.wav"], "cannot be read"),
        (["again", "nowhere.wav"], "cannot be read"),
        (["finish", "nowhere.wav", "--trim", "5"], "threshold of trimming"),
        (["finish", "nowhere.wav", "--level", "integrated:loud"], "no number"),
        (["install", "ucs", "nowhere.csv"], "can't be read"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    home = [] if arguments[0] == "show" else ["--home", str(tmp_path)]
    assert main([*arguments, *home]) in {1, 2}
    said = capsys.readouterr().err
    assert sentence in said and len(said.splitlines()) == 1
