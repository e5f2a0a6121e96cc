"""`dcldm compare`: a page of several models, taken up where it was stopped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcldm_plugin.__main__ import main
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.compare import Row, read_prompts
from dcldm_plugin.types import Prompt


def compare(tmp_path: Path, *more: str) -> int:
    asked = ["--seconds", "0.3", "--variations", "2", "--seed", "5", "--out", str(tmp_path / "out")]
    return main(["compare", str(tmp_path / "p.csv"), *asked, "--home", str(tmp_path / "home"), *more])


def test_a_page_of_several_models_that_is_taken_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.csv").write_text("prompt,kind\nheavy rain,\n<b>thunder & co</b>,thunder\n", encoding="utf-8")
    assert compare(tmp_path, "--models", "tone,tango") == 0
    out = tmp_path / "out"
    assert capsys.readouterr().out.strip() == str(out / "compare.html")
    page = (out / "compare.html").read_text(encoding="utf-8")
    assert page.count("<audio") == page.count("<img") == 4  # two prompts, two seeds, one model that is here
    assert page.count("tango needs TANGO") == 2 and "dcldm models install tango" in page
    assert "&lt;b&gt;thunder &amp; co" in page and "<b>" not in page
    assert "seeds 5 / 5" in page and "seeds 6 / 6" in page and "CC0-1.0 (may be sold)" in page
    assert not re.search(r'(src|href)="(?!data:)', page)  # complete in itself
    made = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    files = [out / each["file"] for each in made.values()]
    assert len(files) == 4 and all(each["took"] > 0.0 for each in made.values())

    before = {file: file.stat().st_mtime_ns for file in files[1:]}
    files[0].unlink()
    assert compare(tmp_path, "--models", "tone") == 0
    again = json.loads((out / "compare.json").read_text(encoding="utf-8"))
    assert again.keys() == made.keys() and {file: file.stat().st_mtime_ns for file in before} == before
    assert (out / next(iter(again.values()))["file"]).is_file()
    assert (out / "compare.csv").read_text(encoding="utf-8").startswith("model,licence,sound,n,took,")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("rain\n\n  a dog, barking \nrain\n", [Row(Prompt("rain")), Row(Prompt("a dog, barking"))]),
        ("prompt;negative\nrain;wind\n", [Row(Prompt("rain", "wind"))]),
        ('\ufeffKind,Prompt\nrain,"heavy, rain"\n', [Row(Prompt("heavy, rain"), "rain")]),
    ],
)
def test_lists_as_people_have_them(tmp_path: Path, content: str, expected: list[Row]) -> None:
    path = tmp_path / "p.csv"
    path.write_text(content, encoding="utf-8")
    assert list(read_prompts(path)) == expected


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "has 0 prompts"),
        (b"prompt\n" + b"x" * 1001, "Line 2 of .* shorten it"),
        (b"prompt,path\nrain,gone.wav\n", r"Line 2 of .*: there is no file .*gone\.wav"),
        (b"\xff\xfe\x00", "can't be read"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        read_prompts(path)


@pytest.mark.parametrize(
    ("models", "code", "sentence"),
    [
        ("nonesuch", 2, "no model named 'nonesuch'"),
        (" , ", 2, "Name the models"),
        ("tango", 1, "No model made a clip; the last one said: tango needs TANGO"),
    ],
)
def test_what_can_not_be_compared(
    tmp_path: Path, models: str, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text("rain\n", encoding="utf-8")
    assert compare(tmp_path, "--models", models) == code
    assert sentence in capsys.readouterr().err


def test_results_of_something_else_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("rain\n", encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "compare.json").write_text("[1]", encoding="utf-8")
    assert compare(tmp_path, "--models", "tone") == 2
    assert (tmp_path / "out" / "compare.json").read_text(encoding="utf-8") == "[1]"


def test_what_the_judge_says(tmp_path: Path) -> None:
    pytest.importorskip("aisfx", reason="python -m pip install --no-deps aisfx==0.1.2")
    from dcldm_plugin.evaluation.compare_scores import Take, judged

    random = np.random.default_rng(1)
    takes = []
    for number, (kind, level) in enumerate((("rain", 0.1), ("wind", 0.2), ("no such kind", 0.0))):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, level * random.standard_normal(48_000), 48_000)
        takes.append(Take("one", Row(Prompt(f"sound {number}"), kind, path), path, float(number)))
    verdict = judged(takes, None)
    score = verdict.scores["one"]
    assert (score["n"], score["took"]) == (3, 1.0)
    assert 0.0 <= score["top1"] <= score["top3"] <= 1.0
    assert score["fd_judge"] == pytest.approx(0.0, abs=1e-3)  # each is its own reference
    assert "clap" not in score and any("CLAP" in note for note in verdict.notes)
    assert verdict.heard[takes[2].path] == ", silent" and "heard as" in verdict.heard[takes[0].path]
    assert "The judge knows no kind 'no such kind'." in verdict.notes
