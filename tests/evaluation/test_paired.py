"""Test lists: what is paired with what, what is said of broken ones, and the rows that come out."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcldm_plugin.__main__ import main
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.evaluation.lists import read_list, sounds_of
from dcldm_plugin.evaluation.paired import as_read, read_sound

RATE = 16_000


def write_list(folder: Path, rows: list[tuple[str, str]]) -> Path:
    with (folder / "list.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("path", "prompt"), *rows])
    return folder / "list.csv"


def noises(folder: Path, count: int, level: float = 0.1) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        audio = level * np.random.default_rng([index, round(level * 100)]).standard_normal(RATE)
        soundfile.write(folder / f"{index}.wav", audio, RATE)
    return folder


def test_lists_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    noises(tmp_path / "real", 3)
    good = [(f"real/{index}.wav", f"noise {index}") for index in range(3)]
    items = read_list(write_list(tmp_path, good))
    assert [(item.name, item.prompt) for item in items] == [("0", "noise 0"), ("1", "noise 1"), ("2", "noise 2")]
    assert len(read_list(tmp_path / "list.csv", 2)) == 2
    for rows, words in (
        ([*good, ("real/9.wav", "x")], "Line 5"),
        ([*good, ("real/0.wav", "")], "needs a path and a prompt"),
        ([good[0], good[0]], "the same name"),
        (good[:1], "at least 2"),
    ):
        with pytest.raises(InvalidInput, match=words):
            read_list(write_list(tmp_path, rows))
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_list(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="lacks 1 sounds"):
        sounds_of(noises(tmp_path / "fewer", 2), items)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(DcldmError, match="cannot be read as a sound"):
        read_sound(tmp_path / "text.wav")


def test_sounds_are_read_as_the_reference_reads_them() -> None:
    made = as_read(np.full(RATE, 0.5, np.float32), RATE)
    assert made.shape == (2 * RATE,)  # at least two seconds,
    assert np.abs(made).max() == 0.0  # without the mean
    assert as_read(np.ones(3 * 48_000, np.float32), 48_000).shape == (3 * RATE,)


def test_rows_and_their_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("aisfx", reason="python -m pip install --no-deps aisfx==0.1.2")
    noises(tmp_path / "real", 3)
    path = write_list(tmp_path, [(f"real/{index}.wav", f"noise {index}") for index in range(3)])
    same, out = tmp_path / "real", tmp_path / "out"
    options = ["--list", str(path), "--seconds", "1", "--report", str(out / "r.html"), "--json", str(out / "r.json")]
    assert main(["evaluate", str(same), "tone", *options, "--keep", str(out / "clips")]) == 0
    assert "put vggish-10086976.pth of https" in capsys.readouterr().err
    first, second = json.loads((out / "r.json").read_text(encoding="utf-8"))["rows"]
    assert (first["system"], first["n"], second["system"]) == ("real", 3, "tone")
    assert first["fd_judge"] == pytest.approx(0.0, abs=1e-3)
    assert second["fd_judge"] > 1.0
    assert second["kl_judge"] > first["kl_judge"]
    assert first["fad"] is None
    assert sorted(each.name for each in (out / "clips" / "tone").iterdir()) == ["0.wav", "1.wav", "2.wav"]
    assert "as printed" in (out / "r.html").read_text(encoding="utf-8")
    assert (out / "r.csv").read_text(encoding="utf-8").count("\n") == 3
    assert main(["evaluate", str(same), "--list", str(path), "--guidance", "1", "2"]) == 2
    assert main(["evaluate", "tone", "builtin"]) == 2
