"""The measures of pitch, number and pace, on sounds of which they are known."""

from collections import Counter

import numpy as np
import pytest

from dcldm_plugin.evaluation.attributes import (
    Wish,
    check,
    event_times,
    follows,
    pitch_hz,
    rate_hz,
    read_wishes,
    reliability,
    summary,
)

RATE = 16_000


def beeps(hertz: float, times: list[float], seconds: float = 3.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    sound = np.zeros(round(seconds * RATE))
    beep = 0.4 * np.sin(2 * np.pi * hertz * np.arange(RATE // 10) / RATE) * np.hanning(RATE // 10) ** 0.2
    for time in times:
        sound[round(time * RATE) : round(time * RATE) + len(beep)] += beep
    return sound + 1e-4 * np.random.default_rng(0).standard_normal(len(sound))


def test_measures() -> None:
    sound = beeps(1000.0, [0.0, 0.5, 1.0, 1.5])
    assert pitch_hz(sound, RATE) == pytest.approx(1000.0, rel=0.05)
    assert event_times(sound, RATE) == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.03)
    assert rate_hz(sound, RATE) == pytest.approx(2.0, rel=0.05)
    assert event_times(0.1 * np.random.default_rng(1).standard_normal(RATE), RATE) == pytest.approx([0.0], abs=0.02)
    assert rate_hz(np.zeros(RATE), RATE) == 0.0


def test_a_slow_rise_is_one_event() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    rise = 10.0 ** (np.linspace(-60.0, 0.0, RATE) / 20.0) * tone
    assert len(event_times(np.concatenate([rise, rise]), RATE)) == 2


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


def test_a_maker_that_obeys_and_one_that_does_not() -> None:
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
