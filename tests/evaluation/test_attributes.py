"""Whether sounds do as words say of pitch, number and pace, and how far the measures can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from dcldm_plugin.evaluation.attributes import (
    Wish,
    check,
    follows,
    read_wishes,
    reliability,
    summary,
)

RATE = 16_000


def test_they_agree_with_the_synthesiser_most_of_the_time() -> None:
    agreement = reliability(draws=15)
    assert agreement["pitch"] > 0.85
    assert agreement["rate"] > 0.85
    assert agreement["count"] > 0.6


def test_wishes() -> None:
    wishes = read_wishes()
    assert Counter(wish.attribute for wish in wishes) == {"pitch": 10, "count": 10, "rate": 10}
    assert all(bool(wish.other) != bool(wish.count) for wish in wishes)
    assert follows(Wish("count", "three beeps", count=3), 3.0, None)
    assert not follows(Wish("count", "three beeps", count=3), 4.0, None)
    assert follows(Wish("pitch", "low", "high"), 400.0, 600.0)
    assert not follows(Wish("pitch", "low", "high"), 400.0, 410.0)


def test_a_maker_that_obeys_and_one_that_does_not(beeps: Callable[..., Any]) -> None:
    def obeys(prompt: str, seeds: object) -> list[tuple[np.ndarray[tuple[int], np.dtype[np.float64]], int]]:
        words = {"single": 1, "two": 2, "three": 3, "four": 4, "five": 5}
        count = next((number for word, number in words.items() if word in prompt), 4)
        hertz = 2000.0 if any(word in prompt for word in ("high", "small")) else 300.0
        gap = 0.25 if "fast" in prompt else 0.5
        return [(beeps(hertz, [gap * index for index in range(count)]), RATE)] * 3

    obeyed = summary(check(obeys, range(3)))
    assert all(obeyed[name] == {"followed": 10, "of": 10} for name in ("pitch", "count", "rate"))
    same = summary(check(lambda prompt, seeds: [(beeps(500.0, [0.0] * 1), RATE)] * 3, range(3)))
    assert same["pitch"]["followed"] == same["rate"]["followed"] == 0
    assert same["count"]["followed"] == 1
