"""`dcldm vary` and `dcldm demo`, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FAST = ("--model", "tone", "--seconds", "0.5")


def dcldm(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dcldm_plugin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=dict(os.environ))


def made(*arguments: object) -> list[dict[str, object]]:
    result = dcldm(*arguments, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def clip(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (one,) = made("generate", "a dog barking", "--seconds", 2, "--seed", 3, "--model", tiny_model, "--home", home)
    return Path(str(one["path"]))


def test_a_line_of_variations_can_be_walked_and_made_again(clip: Path, tmp_path: Path) -> None:
    first = made("vary", clip, "--retexture", 0.5, "--seed", 8, "--variations", 2, "--home", tmp_path)
    assert [one["control"] for one in first] == ["retexture"] * 2
    second = made("vary", first[1]["path"], "--repair", "0.5-1", "--seed", 9, "--home", tmp_path)
    # Elsewhere, from the file alone, with nothing of what was cached.
    moved = tmp_path / "moved.wav"
    moved.write_bytes(Path(str(first[1]["path"])).read_bytes())
    again = made("vary", moved, "--repair", "0.5-1", "--seed", 9, "--home", tmp_path / "other")
    assert again[0]["sha256"] == second[0]["sha256"]


def test_what_is_wrong_is_one_sentence_and_exit_code_2(clip: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("no sound", encoding="utf-8")
    (tone,) = made("generate", "rain", *FAST, "--home", tmp_path)
    for arguments, words in (
        ((clip, "--retexture", 1.5), "0 to 1"),
        ((clip, "--retexture", "nan"), "distance"),
        ((clip, "--repair", "1-9"), "not within the clip, which lasts 2 s"),
        ((clip, "--repair", "1"), "write it as 1.5-3"),
        ((clip, "--rearrange", 2.5), "not within the clip"),
        ((clip, "--like", tmp_path / "gone.wav"), "is gone"),
        ((clip, "--morph", text), "notes.wav"),
        ((clip, "--regenerate", "--weight", 0.5), "--weight belongs to --like"),
        ((clip, "--regenerate", "--model", "nonesuch"), "no model named 'nonesuch'"),
        ((clip, "--retexture", 0.5, "--model", "tone"), "works within one model"),
        ((tone["path"], "--retexture", 0.5), "does not have the control 'retexture'"),
        ((tmp_path / "gone.wav", "--regenerate"), "gone.wav"),
        ((clip,), "One of the arguments"),
    ):
        result = dcldm("vary", *arguments, "--home", tmp_path)
        assert result.returncode == 2, (arguments, result.stderr)
        assert words in result.stderr and result.stderr.count("\n") == 1, (arguments, result.stderr)


def test_the_page_shows_every_control(tiny_model: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = dcldm("demo", "variations", "--seconds", 2, "--model", tiny_model, "--out", page, "--home", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    text = page.read_text(encoding="utf-8")
    for title in ("Regenerate", "Re-texture", "Re-arrange", "Like this", "Repair", "Purify", "Morph", "Loop", "Length",
                  "Stereo width", "More like these"):  # fmt: skip
        assert f"<h2>{title}" in text
    assert text.count("data:audio/flac") == text.count("data:image/png") > 20
    without_data = re.sub('"data:[^"]*"', "", text)  # which may spell anything, "http" too
    assert "http" not in without_data.replace("https://www.w3.org", "")  # it needs nothing from elsewhere
