"""The steps of finishing that are asked for: trimming, loops, levels by class, limiting, width."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyloudnorm
import pytest
from numpy.typing import NDArray
from scipy import signal

from dcldm_plugin.audio.finish import FULL_SCALE, Finished, finish
from dcldm_plugin.audio.loudness import measure, true_peak
from dcldm_plugin.audio.measures import flux
from dcldm_plugin.audio.settings import CLASSES, FinishSettings, finishing_class
from dcldm_plugin.errors import InvalidInput

RATE = 16_000
Array = NDArray[Any]


def as_float(finished: Finished) -> Array:
    return finished.samples / FULL_SCALE


def noise(seconds: float = 4.0, level: float = 0.1, seed: int = 1) -> Array:
    """Noise as rain has it: coloured, steady."""
    raw = np.random.default_rng(seed).standard_normal((1, round(seconds * RATE)))
    return level * signal.lfilter([1.0], [1.0, -0.7], raw)


def click(at: float = 1.0, seconds: float = 3.0, decay: float = 0.1) -> Array:
    time = np.arange(round(seconds * RATE)) / RATE - at
    return np.where(time >= 0, 0.5 * np.exp(-np.maximum(time, 0) / decay) * np.cos(2000 * time), 0.0)[None]


def test_trimming_keeps_the_pre_roll_and_the_tail() -> None:
    finished = finish(click(), RATE, FinishSettings(trim_db=-50.0, pre_roll_seconds=0.02, fade_seconds=0.0))
    sound = np.abs(as_float(finished)[0])
    onset = np.flatnonzero(sound > 0.1 * sound.max())[0] / 48_000
    assert onset == pytest.approx(0.02, abs=0.006)
    # 60 dB of a decay of 0.1 s are 0.69 s.
    assert len(sound) / 48_000 == pytest.approx(0.02 + 0.69, abs=0.03)
    assert finished.done["trimmed"]["start_seconds"] == pytest.approx(0.98, abs=0.006)


def test_trimming_leaves_silence_and_full_sounds_alone() -> None:
    silent = finish(np.zeros((1, RATE)), RATE, FinishSettings(trim_db=-50.0))
    assert silent.samples.shape == (1, 48_000)
    full = finish(noise(), RATE, FinishSettings(trim_db=-50.0))
    assert full.samples.shape[1] == 4 * 48_000


@pytest.mark.parametrize("seconds", [2.0, 4.0, 8.0])
def test_a_loop_goes_round_ten_times_without_a_seam(seconds: float) -> None:
    """At the seam the spectrum and the level move no more than they do anywhere else in the clip."""
    finished = finish(noise(seconds), RATE, FinishSettings(wrap_seconds=0.5, dither_seed=None))
    one = as_float(finished)[0]
    assert finished.goes_round and "wrap" in finished.done
    assert seconds - 1.01 <= len(one) / 48_000 <= seconds - 0.49
    round_and_round = np.tile(one, 10)
    inside = flux(one, 48_000)
    for seam in range(1, 10):
        around = round_and_round[seam * len(one) - 4800 : seam * len(one) + 4800]
        assert flux(around, 48_000).max() <= np.quantile(inside, 0.999) * 1.25
        step = abs(around[4800] - around[4799])
        assert step <= np.abs(np.diff(one)).max()
    power = np.convolve(round_and_round**2, np.ones(9600) / 9600, "valid")[: 2 * len(one)]
    assert 10 * np.log10(power.max() / power.min()) < 2.5


def test_a_tone_that_fits_is_not_doubled_in_its_loop() -> None:
    time = np.arange(3 * RATE) / RATE
    finished = finish(0.4 * np.sin(2 * np.pi * 220.3 * time)[None], RATE, FinishSettings(wrap_seconds=0.3))
    assert finished.done["wrap"]["correlation"] > 0.99
    rounds = np.tile(as_float(finished)[0], 3)
    envelope = np.abs(signal.hilbert(rounds))[2000:-2000]
    assert envelope.max() / envelope.min() < 1.05


def test_what_was_made_as_a_loop_is_not_wrapped_again() -> None:
    finished = finish(noise(), RATE, FinishSettings(4.0, wrap_seconds=0.5, trim_db=-50.0, loop=True))
    assert finished.samples.shape[1] == 4 * 48_000
    assert finished.goes_round and not finished.done


@pytest.mark.parametrize(("level_by", "target"), [("integrated", -26.0), ("integrated", -18.0), ("short-term", -21.0)])
def test_loudness_is_what_was_asked_for_by_an_independent_count(level_by: Any, target: float) -> None:
    finished = finish(noise(), RATE, FinishSettings(level_by=level_by, target=target, fade_seconds=0.0))
    assert pyloudnorm.Meter(48_000).integrated_loudness(as_float(finished)[0]) == pytest.approx(target, abs=0.2)


def test_a_one_shot_stands_at_its_peak() -> None:
    finished = finish(click(), RATE, CLASSES["one-shot"])
    assert finished.loudness.true_peak_dbtp == pytest.approx(-1.05, abs=0.03)


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.39])
def test_what_is_too_short_to_be_gated_gets_its_level_all_the_same(seconds: float) -> None:
    finished = finish(noise(seconds), RATE, FinishSettings(level_by="integrated", target=-30.0, fade_seconds=0.0))
    assert finished.loudness.integrated_lufs is None
    again = np.tile(as_float(finished)[0], 40)
    assert pyloudnorm.Meter(48_000).integrated_loudness(again) == pytest.approx(-30.0, abs=1.0)


def test_the_limiter_holds_the_ceiling_and_says_what_it_took() -> None:
    peaky = noise() + 30 * click()[:, :1].mean() + np.pad(click(1.0, 3.0, 0.002), ((0, 0), (0, RATE)))
    finished = finish(peaky, RATE, FinishSettings(level_by="integrated", target=-14.0, ceiling_dbtp=-2.0))
    assert 0.0 < finished.done["limited_db"] <= 6.5
    peak = finished.loudness.true_peak_dbtp
    assert peak is not None and peak <= -2.0
    fine = signal.resample(as_float(finished)[0], 16 * finished.samples.shape[1])
    assert 20 * np.log10(np.abs(fine[1000:-1000]).max()) <= -2.0


def test_limiting_stops_before_it_is_heard() -> None:
    finished = finish(
        click(), RATE, FinishSettings(level_by="integrated", target=-6.0, ceiling_dbtp=-1.0, limit_db=3.0)
    )
    assert finished.done["limited_db"] <= 3.2
    unlimited = finish(click(), RATE, FinishSettings(level_by="integrated", target=-6.0, limit_db=0.0))
    assert "limited_db" not in unlimited.done or unlimited.done["limited_db"] < 0.1


def test_the_high_pass_takes_what_is_below() -> None:
    time = np.arange(4 * RATE) / RATE
    low, high = (0.3 * np.sin(2 * np.pi * hertz * time)[None] for hertz in (20.0, 1000.0))
    levels = [
        np.abs(as_float(finish(each, RATE, FinishSettings(high_pass_hz=80.0, lift_below_dbtp=None)))[0, 48_000:]).max()
        for each in (low, high)
    ]
    assert levels[0] < 0.03
    assert levels[1] == pytest.approx(0.3, rel=0.02)


def test_width_keeps_the_mono_sum() -> None:
    settings = FinishSettings(dither_seed=None, lift_below_dbtp=None)
    mono = as_float(finish(noise(), RATE, settings))[0]
    wide = as_float(finish(noise(), RATE, FinishSettings(dither_seed=None, lift_below_dbtp=None, stereo_width=0.7)))
    assert wide.shape == (2, len(mono))
    assert np.abs(wide.mean(axis=0) - mono).max() < 2e-6
    assert 0.0 < np.corrcoef(wide)[0, 1] < 0.8


def test_mono_stays_mono_and_stereo_is_left_alone() -> None:
    assert finish(noise(), RATE, CLASSES["ambience"]).samples.shape[0] == 1
    stereo = np.concatenate([noise(seed=1), noise(seed=2)])
    assert finish(stereo, RATE, FinishSettings(stereo_width=1.0)).samples.shape[0] == 2


def test_measures_agree_with_their_own_definitions() -> None:
    samples = as_float(finish(noise(6.0), RATE))
    found = measure(samples, 48_000)
    assert found.integrated_lufs == pytest.approx(pyloudnorm.Meter(48_000).integrated_loudness(samples[0]), abs=0.01)
    assert found.max_short_term_lufs == pytest.approx(found.integrated_lufs, abs=0.5)  # the noise is steady
    assert found.range_lu is not None and found.range_lu < 2.0
    assert found.sample_peak_dbfs == pytest.approx(20 * np.log10(np.abs(samples).max()))
    assert found.true_peak_dbtp == pytest.approx(20 * np.log10(true_peak(samples, 48_000)))
    quiet = measure(np.zeros((1, 48_000)), 48_000)
    assert (quiet.integrated_lufs, quiet.true_peak_dbtp) == (None, None)


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_recorded_and_read_back(name: str) -> None:
    settings = finishing_class(name)
    record = finish(click(), RATE, settings).record()
    assert FinishSettings.from_json(record).level_by == settings.level_by
    assert FinishSettings.from_json({**record, "seconds": None}) == settings


@pytest.mark.parametrize(
    "wrong", [{"trim_db": 5.0}, {"target": 3.0}, {"level_by": "loud"}, {"sample_rate": 5}, {"wrap_seconds": 0.0}]
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        FinishSettings(**wrong)
    with pytest.raises(InvalidInput, match="one-shot"):
        finishing_class("loud")
