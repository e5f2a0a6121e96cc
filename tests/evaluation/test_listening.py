"""The listening test, driven as a keyboard would drive it, without a sound card."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.listen import main, read_trials, run
from dcldm_plugin.evaluation.listening import Rating, Ratings, Trial, ordered, results, table
from dcldm_plugin.evaluation.lists import REAL

PROMPTS = ("rain", "wind", "a dog", "a bell")


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    for folder in (REAL, "ours", "theirs"):
        (tmp_path / folder).mkdir()
        for index in range(len(PROMPTS)):
            soundfile.write(tmp_path / folder / f"{index}.wav", np.zeros(100), 16_000)
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [("path", "prompt"), *((f"{REAL}/{index}.wav", prompt) for index, prompt in enumerate(PROMPTS))]
        )
    return tmp_path


def trials_in(folder: Path) -> list[Trial]:
    return read_trials(folder / "list.csv", [folder / "ours", folder / "theirs"], real=True)


class Keyboard:
    """Types lines one after the other, and hears what is played and said."""

    def __init__(self, *lines: str) -> None:
        self._lines: Iterator[str] = iter(lines)
        self.asked: list[str] = []
        self.heard: list[Path] = []
        self.said: list[str] = []

    def ask(self, question: str) -> str:
        self.asked.append(question)
        try:
            return next(self._lines)
        except StopIteration:
            raise EOFError from None

    def rate(self, order: list[Trial], ratings: Ratings, listener: str = "ann") -> None:
        run(order, ratings, listener, self.heard.append, ask=self.ask, say=self.said.append)


def test_order_is_blind_and_ones_own(sounds: Path) -> None:
    trials = trials_in(sounds)
    order = ordered(trials, "ann", 0)
    assert sorted(order, key=str) == sorted(trials, key=str)
    assert order == ordered(trials, "ann", 0) != ordered(trials, "bob", 0)
    assert order != ordered(trials, "ann", 1)
    for start in range(0, len(order), len(PROMPTS)):  # each round has every prompt once
        assert {trial.prompt for trial in order[start : start + len(PROMPTS)]} == set(PROMPTS)
    firsts = [ordered(trials, f"listener {number}", 0)[0].system for number in range(60)]
    assert min(firsts.count(system) for system in (REAL, "ours", "theirs")) > 8


def test_rated_left_and_taken_up_again(sounds: Path) -> None:
    order = ordered(trials_in(sounds), "ann", 0)
    keyboard = Keyboard("50", "60", "70", "", "101", "eighty", "80", "q")
    keyboard.rate(order, Ratings(sounds / "ratings.json"))
    kept = Ratings(sounds / "ratings.json")
    assert kept.all == [Rating("ann", order[0].system, order[0].prompt, 50, 60, 70)]
    assert keyboard.heard == [order[0].path, order[1].path, order[1].path]  # Enter alone plays it again
    assert sum("please" in line for line in keyboard.said) == 2
    assert not any(trial.system in line for trial in order for line in keyboard.said + keyboard.asked)  # blind

    again = Keyboard(*["1", "2", "3"] * (len(order) - 1))
    again.rate(order, kept)
    assert again.heard[0] == order[1].path
    assert len(Ratings(sounds / "ratings.json").all) == len(order)
    assert "All rated" in again.said[-1]
    other = Keyboard("9", "9", "9")
    other.rate(order, kept, "bob")
    assert other.heard[0] == order[0].path  # another listener has all before them


def test_taken_back(sounds: Path) -> None:
    order = ordered(trials_in(sounds), "ann", 0)
    ratings = Ratings(sounds / "ratings.json")
    keyboard = Keyboard("b", "1", "1", "1", "b", "5", "b", "7", "8", "9", "q")
    keyboard.rate(order, ratings)
    assert [(rating.ogl, rating.rel, rating.aq) for rating in ratings.all] == [(7, 8, 9)]
    assert "Nothing to take back." in keyboard.said
    assert ratings.all[0].prompt == order[0].prompt


def test_results_have_intervals_over_prompts() -> None:
    ratings = [
        Rating(listener, "ours", prompt, value + shift, 50, 100)
        for prompt, value in zip(PROMPTS, (40, 50, 60, 70), strict=True)
        for listener, shift in (("ann", -5), ("bob", 5))
    ]
    found = results(ratings)
    assert found["listeners"] == 2
    scores = found["systems"]["ours"]
    half = 3.182 * np.std([40, 50, 60, 70], ddof=1) / 2.0  # Student's t with 3 degrees of freedom
    assert scores["ogl"] == {"mean": 55.0, "low": round(55.0 - half, 2), "high": pytest.approx(55.0 + half, abs=0.01)}
    assert scores["rel"] == {"mean": 50.0, "low": 50.0, "high": 50.0}
    assert results(ratings[:1])["systems"]["ours"]["ogl"]["low"] is None
    assert "55.0 (34.5 … 75.5)" in table(found)


def test_the_command_shows_and_writes_results(sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratings = Ratings(sounds / "r.json")
    for prompt in PROMPTS:
        ratings.add(Rating("ann", "ours", prompt, 70, 80, 90))
    arguments = [str(sounds / "list.csv"), "--ratings", str(sounds / "r.json"), "--results"]
    assert main([*arguments, "--json", str(sounds / "found.json")]) == 0
    assert "70.0" in capsys.readouterr().out
    assert json.loads((sounds / "found.json").read_text())["systems"]["ours"]["aq"]["mean"] == 90.0
    with pytest.raises(InvalidInput, match="no ratings yet"):
        main([str(sounds / "list.csv"), "--ratings", str(sounds / "none.json"), "--results"])


def test_what_is_wrong_is_said(sounds: Path) -> None:
    (sounds / "ours" / "2.wav").unlink()
    with pytest.raises(InvalidInput, match="lacks 1 sounds of the list"):
        trials_in(sounds)
    with pytest.raises(InvalidInput, match="There is no folder"):
        read_trials(sounds / "list.csv", [sounds / "nobody"], real=True)
    with pytest.raises(InvalidInput, match="nothing to rate"):
        read_trials(sounds / "list.csv", [], real=False)
    (sounds / "broken.json").write_text('{"format": 1, "ratings": [{"ogl": 500}]}')
    with pytest.raises(InvalidInput, match="holds no ratings"):
        Ratings(sounds / "broken.json")
    for value in (0, 101, True, 1.5):
        with pytest.raises(InvalidInput, match="whole number"):
            Rating("ann", "ours", "rain", value, 50, 50)
