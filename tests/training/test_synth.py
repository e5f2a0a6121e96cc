"""The synthesiser: repeatable, within its limits, and its sounds do what their captions say."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dcldm_plugin.training.recipes.blocks import NUMBERS
from dcldm_plugin.training.synth import CATEGORIES, FAMILIES, MAXIMUM_LENGTH, PEAK, RATE, render, synthesise

Samples = NDArray[np.float32]


def clip(family: str, *words: str, seed: int = 0) -> Samples:
    """The first clip of a family, from `seed` on, whose caption holds all these words."""
    for attempt in range(400):
        samples, caption, _, _ = render(family, np.random.default_rng([seed, attempt]))
        if all(word in caption for word in words):
            return samples
    raise AssertionError(f"no {family} of 400 is {words}")


def loudness_curve(samples: Samples, window: float = 0.01) -> NDArray[np.float64]:
    """Power of each window (seconds) of `samples`, relative to the loudest."""
    length = int(window * RATE)
    blocks = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    power = (blocks**2).mean(axis=1)
    return np.asarray(power / power.max())


def onsets(samples: Samples) -> int:
    """How often the level rises out of quiet."""
    loud = loudness_curve(samples) > 0.1
    return int(np.count_nonzero(loud[1:] & ~loud[:-1]) + loud[0])


def centroid(samples: Samples) -> float:
    """The spectrum's centre of gravity, in hertz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float((power * np.fft.rfftfreq(len(samples), 1 / RATE)).sum() / power.sum())


def event_rate(samples: Samples) -> float:
    """The strongest repetition rate of the level between 0.8 and 4 events per second."""
    curve = np.sqrt(loudness_curve(samples))
    strength = np.abs(np.fft.rfft(curve - curve.mean(), 1 << 14))
    rates = np.fft.rfftfreq(1 << 14, 0.01)
    strength[(rates < 0.8) | (rates > 4.0)] = 0.0
    return float(rates[np.argmax(strength)])


def test_the_same_seed_and_index_give_the_same_clip() -> None:
    first, again = synthesise(3, 0), synthesise(3, 0)
    assert np.array_equal(first[0], again[0])
    assert first[1:] == again[1:]


def test_other_indices_give_other_clips() -> None:
    captions = {synthesise(3, index)[1] for index in range(4)}
    assert len(captions) > 2


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_stays_within_its_limits(family: str) -> None:
    samples, caption, category, is_texture = render(family, np.random.default_rng(11))
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert 0 < len(samples) <= MAXIMUM_LENGTH
    assert not is_texture or len(samples) == MAXIMUM_LENGTH
    assert np.isfinite(samples).all()
    assert 0.05 < np.abs(samples).max() <= PEAK
    assert abs(float(samples.mean())) < 1e-3
    assert abs(samples[0]) < 0.01 and abs(samples[-1]) < 0.01
    assert caption and caption == caption.lower().strip() and "." not in caption and "  " not in caption
    assert category == CATEGORIES[family]


def test_beeps_are_as_many_as_the_caption_says() -> None:
    for seed in range(2):
        for number in NUMBERS[2:5]:
            assert onsets(clip("beep", number, "beeps", "short", seed=seed)) == NUMBERS.index(number)


def test_high_beeps_are_higher_than_low_ones() -> None:
    high = [centroid(clip("beep", "high-pitched", seed=seed)) for seed in range(2)]
    low = [centroid(clip("beep", "low-pitched", seed=seed)) for seed in range(2)]
    assert min(high) > 1.5 * max(low)


def test_fast_footsteps_come_faster_than_slow_ones() -> None:
    fast = [event_rate(clip("footsteps", "fast", seed=seed)) for seed in range(2)]
    slow = [event_rate(clip("footsteps", "slow", seed=seed)) for seed in range(2)]
    assert min(fast) > 2.2 and max(slow) < 1.5


def test_distant_explosions_are_duller_than_near_ones() -> None:
    distant = [centroid(clip("explosion", "big", "distant", seed=seed)) for seed in range(2)]
    near = [centroid(clip("explosion", "big", "nearby", seed=seed)) for seed in range(2)]
    assert max(distant) < min(near)


def test_heavy_rain_fills_the_gaps_between_its_drops() -> None:
    def unevenness(samples: Samples) -> float:
        return float(np.abs(samples).max() / np.sqrt(np.mean(samples.astype(np.float64) ** 2)))

    light, heavy = clip("rain", "light", "window"), clip("rain", "heavy", "window")
    assert unevenness(light) > unevenness(heavy)


def test_a_bell_dies_away() -> None:
    curve = loudness_curve(clip("bell", "small"))
    assert curve[-20:].mean() < 0.01
