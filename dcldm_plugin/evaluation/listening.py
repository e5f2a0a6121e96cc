"""A blind listening test as the paper's: OGL, REL and AQ from 1 to 100, for several systems and the real sounds.

Each system, and the references of the list, has one sound for each prompt. Listeners hear them in an order of their
own, all systems of a prompt apart, and never see which is which. Every rating is written at once, so a test can be
left and taken up again. Knows no torch, no sound card and no terminal: `listen.py` has those.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dcldm_plugin.errors import InvalidInput

SCALES = {
    "ogl": "overall: how good is it, all in all?",
    "rel": "relevance: is everything there that the prompt says, in its order?",
    "aq": "audio quality: is it clear and without artefacts?",
}
LOWEST, HIGHEST = 1, 100
CONFIDENCE = 0.95
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Trial:
    """One sound to be rated, of one system."""

    prompt: str
    system: str
    path: Path


@dataclass(frozen=True, slots=True)
class Rating:
    """What one listener said of one sound."""

    listener: str
    system: str
    prompt: str
    ogl: int
    rel: int
    aq: int

    def __post_init__(self) -> None:
        for scale in SCALES:
            value = getattr(self, scale)
            if isinstance(value, bool) or not isinstance(value, int) or not LOWEST <= value <= HIGHEST:
                raise InvalidInput(f"A rating is a whole number from {LOWEST} to {HIGHEST}, not {value!r}.")


def ordered(trials: Sequence[Trial], listener: str, seed: int) -> list[Trial]:
    """The trials in this listener's order: in each round every prompt once, with one system or another.

    So two sounds of a prompt are a round apart, and no system comes first more often than chance has it.
    """
    random = np.random.default_rng([seed, *listener.encode()])
    by_prompt: dict[str, list[Trial]] = {}
    for trial in trials:
        by_prompt.setdefault(trial.prompt, []).append(trial)
    turns = {prompt: [those[row] for row in random.permutation(len(those))] for prompt, those in by_prompt.items()}
    result: list[Trial] = []
    for turn in range(max(map(len, turns.values()), default=0)):
        due = [those[turn] for those in turns.values() if turn < len(those)]
        result += [due[row] for row in random.permutation(len(due))]
    return result


class Ratings:
    """All ratings of a test, in one file, which is replaced whole at each new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.all: list[Rating] = []
        if path.exists():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                if content["format"] != FORMAT:
                    raise ValueError("another format")
                self.all = [Rating(**rating) for rating in content["ratings"]]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InvalidInput(f"{path} holds no ratings; choose another file with --ratings.") from error

    def add(self, rating: Rating) -> None:
        self.all.append(rating)
        self._write()

    def take_back(self, listener: str) -> Rating | None:
        """Forget a listener's last rating, and return it."""
        for index in range(len(self.all) - 1, -1, -1):
            if self.all[index].listener == listener:
                rating = self.all.pop(index)
                self._write()
                return rating
        return None

    def open(self, trials: Iterable[Trial], listener: str) -> list[Trial]:
        """Those that the listener has not rated, in the given order."""
        done = {(rating.system, rating.prompt) for rating in self.all if rating.listener == listener}
        return [trial for trial in trials if (trial.system, trial.prompt) not in done]

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        content = {"format": FORMAT, "ratings": [asdict(rating) for rating in self.all]}
        part.write_text(json.dumps(content, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, self.path)


def results(ratings: Sequence[Rating]) -> dict[str, Any]:
    """{"listeners": n, "systems": {system: {"n": ratings, scale: {"mean", "low", "high"}}}}.

    low and high: the 95 % interval of the mean by Student's t over prompts, each with the mean of its listeners, so
    that more listeners of the same few sounds do not make it narrower than it is. One prompt alone has none.
    """
    systems: dict[str, Any] = {}
    for system in sorted({rating.system for rating in ratings}):
        those = [rating for rating in ratings if rating.system == system]
        systems[system] = {"n": len(those)} | {scale: _interval(those, scale) for scale in SCALES}
    return {"listeners": len({rating.listener for rating in ratings}), "systems": systems}


def _interval(ratings: Sequence[Rating], scale: str) -> dict[str, float | None]:
    by_prompt: dict[str, list[int]] = {}
    for rating in ratings:
        by_prompt.setdefault(rating.prompt, []).append(getattr(rating, scale))
    means = np.array([np.mean(values) for values in by_prompt.values()])
    mean = float(means.mean())
    if len(means) < 2:
        return {"mean": round(mean, 2), "low": None, "high": None}
    from scipy import stats  # a second that only results are worth

    half = float(stats.t.ppf((1.0 + CONFIDENCE) / 2.0, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return {"mean": round(mean, 2), "low": round(mean - half, 2), "high": round(mean + half, 2)}


def table(found: Mapping[str, Any]) -> str:
    """The results as lines of text."""
    lines = [f"{'':<28}{'N':>5}" + "".join(f"{scale.upper():>22}" for scale in SCALES)]
    for system, scores in found["systems"].items():
        cells = []
        for scale in SCALES:
            value = scores[scale]
            spread = "" if value["low"] is None else f" ({value['low']:.1f} … {value['high']:.1f})"
            cells.append(f"{value['mean']:.1f}{spread}".rjust(22))
        lines.append(f"{system:<28}{scores['n']:>5}{''.join(cells)}")
    return "\n".join([*lines, f"{found['listeners']} listeners; in brackets 95 % intervals over prompts"])
