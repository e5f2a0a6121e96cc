"""Do pitch, number and pace of events follow the words? Measured in the sound, without a judge.

Ten prompts each, in the words of the synthesised families. A prompt of pitch or pace comes with its opposite: the
second of the two must be measurably higher or faster. A prompt of number must have just that many events. Each is
tried with several seeds; it counts as followed when most of them do.

The measures are simple, and not always right: `reliability` says how often they agree with the synthesiser, which
knows what it did.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.audio.events import event_times, pitch_hz, rate_hz

PROMPTS = Path(__file__).parent / "data" / "attributes.csv"
LARGER = 1.2  # the least ratio of two pitches or paces that counts as different

Audio = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Wish:
    """A prompt, and what is to be found: more than in `other`, of pitch or rate, or `count` events."""

    attribute: str
    prompt: str
    other: str = ""
    count: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many of the seeds followed a wish, and the medians of what was measured."""

    attribute: str
    prompt: str
    other: str
    followed: int
    seeds: int
    measured: float | None
    measured_other: float | None

    @property
    def holds(self) -> bool:
        return 2 * self.followed > self.seeds


def read_wishes(path: Path = PROMPTS) -> tuple[Wish, ...]:
    """The prompts that come with the package."""
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(
            Wish(row["attribute"], row["prompt"], row["other"], int(row["count"] or 0))
            for row in csv.DictReader(stream)
        )


MEASURES: dict[str, Callable[[Audio, int], float]] = {
    "pitch": pitch_hz,
    "rate": rate_hz,
    "count": lambda audio, rate: float(len(event_times(audio, rate))),
}


def follows(wish: Wish, measured: float, measured_other: float | None) -> bool:
    """Whether what was measured is what the words say."""
    if wish.attribute == "count" or measured_other is None:
        return measured == wish.count
    return measured_other >= LARGER * measured and measured_other > 0.0


def check(
    make: Callable[[str, Sequence[int]], Sequence[tuple[Audio, int]]],
    seeds: Sequence[int],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Outcome, ...]:
    """All wishes. `make(prompt, seeds)` gives (samples, rate) for each seed."""
    wishes = read_wishes()
    outcomes = []
    for done, wish in enumerate(wishes, 1):
        measure = MEASURES[wish.attribute]
        measured = [measure(*sound) for sound in make(wish.prompt, seeds)]
        other = [measure(*sound) for sound in make(wish.other, seeds)] if wish.other else None
        followed = sum(
            follows(wish, one, None if other is None else other[index]) for index, one in enumerate(measured)
        )
        medians = [None if each is None else round(float(np.median(each)), 3) for each in (measured, other)]
        outcomes.append(Outcome(wish.attribute, wish.prompt, wish.other, followed, len(seeds), *medians))
        report(done, len(wishes))
    return tuple(outcomes)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """{attribute: {"followed": prompts that hold, "of": prompts}} and every outcome."""
    result: dict[str, Any] = {}
    for name in MEASURES:
        those = [outcome for outcome in outcomes if outcome.attribute == name]
        result[name] = {"followed": sum(outcome.holds for outcome in those), "of": len(those)}
    return result | {"prompts": [asdict(outcome) for outcome in outcomes]}


COUNTED = ("beep", "bell", "knock", "gunshot", "horn")
OPPOSITES = {
    "pitch": (("beep", "laser", "whoosh", "hum"), r"\b(low|low-pitched|deep)\b", r"\b(high|high-pitched)\b"),
    "rate": (("footsteps", "knock", "clock", "drums"), r"\bslow", r"\b(fast|rapid)"),
}


def reliability(draws: int = 60, seed: int = 0) -> dict[str, float]:
    """How often each measure agrees with what the synthesiser says that it made, 0 … 1."""
    from dcldm_plugin.training.recipes.blocks import NUMBERS
    from dcldm_plugin.training.synth import RATE, render

    def drawn(family: str) -> list[tuple[Audio, str]]:
        made = (render(family, np.random.default_rng([seed, index])) for index in range(draws))
        return [(samples, caption) for samples, caption, _, is_texture in made if not is_texture]

    right: list[bool] = []
    for family in COUNTED:
        for samples, caption in drawn(family):
            told = [count for count, word in enumerate(NUMBERS) if re.search(rf"\b{word}\b", caption) and count > 1]
            right += [len(event_times(samples, RATE)) == told[0]] if told else []
    result = {"count": float(np.mean(right))}
    for name, (families, low, high) in OPPOSITES.items():
        agree: list[bool] = []
        for family in families:
            measured = [(caption, MEASURES[name](samples, RATE)) for samples, caption in drawn(family)]
            lows = [value for caption, value in measured if re.search(low, caption) and value > 0.0]
            highs = [value for caption, value in measured if re.search(high, caption) and value > 0.0]
            agree += [above > below for below in lows for above in highs]
        result[name] = float(np.mean(agree))
    return {name: round(value, 3) for name, value in result.items()}
