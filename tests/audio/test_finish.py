"""Finishing: levels metered by other means than the code's own, lengths, fades, dither, and bad renders."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from scipy import signal

from dcldm_plugin.audio.finish import FULL_SCALE, Finished, finish
from dcldm_plugin.audio.loudness import true_peak
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.audio.wave import encode_wave
from dcldm_plugin.errors import EngineFailed, InvalidInput

RATE = 16_000
Samples = NDArray[np.float32]


def tone(hertz: float, amplitude: float = 0.5, *, seconds: float = 1.0, phase: float = 0.0) -> Samples:
    times = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * times + phase)).astype(np.float32)[np.newaxis]


def noise(amplitude: float = 0.2, *, seconds: float = 1.0, channels: int = 1, seed: int = 1) -> Samples:
    shape = (channels, round(seconds * RATE))
    return (amplitude * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def as_float(finished: Finished) -> NDArray[np.float64]:
    return finished.samples / FULL_SCALE


def true_peak_by_fft_dbtp(finished: Finished, times: int = 32) -> float:
    """The band-limited waveform at 32 times the rate, by a Fourier transform: stricter than any meter."""
    samples = as_float(finished)
    fine = signal.resample(samples, times * samples.shape[1], axis=1)
    return 20 * math.log10(np.abs(fine).max())


@pytest.mark.parametrize("amplitude", [0.02, 0.2, 1.0, 50.0, 1e30])
@pytest.mark.parametrize("channels", [1, 2])
def test_true_peak_is_at_most_minus_one_measured_independently(amplitude: float, channels: int) -> None:
    finished = finish(noise(amplitude, channels=channels), RATE)
    assert -1.2 < true_peak_by_fft_dbtp(finished) <= -1.0


def test_a_peak_between_the_samples_counts() -> None:
    # At a quarter of the rate and 45 degrees, every sample is 3 dB below the crest of the wave.
    settings = FinishSettings(sample_rate=RATE)
    finished = finish(tone(RATE / 4, 1.3, phase=np.pi / 4), RATE, settings)
    sample_peak_dbfs = 20 * math.log10(np.abs(as_float(finished)).max())
    assert sample_peak_dbfs < -3.9
    assert -1.2 < true_peak_by_fft_dbtp(finished) <= -1.0
    assert finished.loudness.true_peak_dbtp == pytest.approx(-1.05, abs=0.02)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_ffmpegs_meter_agrees(tmp_path: Path) -> None:
    finished = finish(noise(2.0, seconds=3.0), RATE)
    path = tmp_path / "clip.wav"
    path.write_bytes(encode_wave(finished.pcm, 1, finished.sample_rate, {}))
    meter = ["-af", "ebur128=peak=true", "-f", "null", "-"]
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-i", str(path), *meter]
    report = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stderr
    peaks = re.findall(r"True peak:\s+Peak:\s+(-?[\d.]+) dBFS", report)
    assert len(peaks) == 1
    assert -1.2 <= float(peaks[0]) <= -1.0


def test_metering_in_blocks_equals_metering_at_once() -> None:
    long = tone(RATE / 4, 0.7, seconds=9.0, phase=np.pi / 4).astype(np.float64)
    long[:, 131_070:131_076] *= 1.4  # across the border of two blocks
    whole = np.abs(signal.resample_poly(long, 16, 1, axis=1, window=("kaiser", 14.0))).max()
    assert true_peak(long, RATE) == pytest.approx(whole, rel=0.01)


@pytest.mark.parametrize(
    ("peak_db", "gain_db"),
    [(-6.0, 0.0), (-11.5, 0.0), (-20.0, 18.95), (-30.0, 28.95), (-60.0, 30.0), (0.0, -1.05), (6.0, -7.05)],
)
def test_only_what_is_too_loud_or_far_too_quiet_changes_level(peak_db: float, gain_db: float) -> None:
    finished = finish(tone(440.0, 10 ** (peak_db / 20)), RATE)
    assert finished.gain_db == pytest.approx(gain_db, abs=0.05)


def test_channels_keep_their_balance() -> None:
    render = np.concatenate([tone(440.0, 1.6), tone(440.0, 0.4)])
    left, right = np.abs(as_float(finish(render, RATE))).max(axis=1)
    assert left / right == pytest.approx(4.0, rel=1e-3)


def test_dc_is_removed_from_each_channel() -> None:
    render = np.concatenate([tone(500.0) + 0.4, tone(500.0) - 0.2])
    assert np.abs(as_float(finish(render, RATE)).mean(axis=1)).max() < 1e-4


def test_dc_is_measured_on_what_is_kept() -> None:
    render = np.concatenate([tone(500.0) + 0.4, tone(500.0) - 0.4], axis=1)
    finished = finish(render, RATE, FinishSettings(seconds=1.0))
    assert abs(as_float(finished).mean()) < 1e-3


def test_both_ends_fade_over_five_milliseconds() -> None:
    finished = finish(tone(2_000.0, phase=np.pi / 2), RATE, FinishSettings(dither_seed=None))
    sound = np.abs(as_float(finished)[0])
    assert sound[0] == sound[-1] == 0.0
    for end in (sound, sound[::-1]):
        crests = [end[start : start + 24].max() for start in range(0, 240, 24)]  # half a millisecond each
        assert crests == sorted(crests)
        assert crests[0] < 0.03
        assert end[240:480].max() == pytest.approx(0.5, rel=0.01)


def test_padding_starts_after_the_fade() -> None:
    finished = finish(tone(2_000.0), RATE, FinishSettings(seconds=1.5, dither_seed=None))
    sound = as_float(finished)[0]
    assert not sound[48_000:].any()
    assert np.abs(sound[47_990:48_000]).max() < 0.01


@pytest.mark.parametrize("seconds", [0.1, 0.333, 1.0, 1.23456789, 2.5])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_the_length_is_exact(seconds: float, rate: int) -> None:
    finished = finish(noise(), rate, FinishSettings(seconds=seconds))
    assert finished.samples.shape == (1, round(seconds * 48_000))
    assert finished.sample_rate == 48_000


def test_without_an_asked_length_the_renders_own_is_kept() -> None:
    assert finish(noise(seconds=1.024), RATE).samples.shape == (1, 49_152)


@pytest.mark.parametrize("frames", [1, 2, 3, 160])
def test_the_shortest_renders_are_finished(frames: int) -> None:
    finished = finish(noise()[:, :frames], RATE, FinishSettings(seconds=0.1))
    assert finished.samples.shape == (1, 4_800)


def test_resampling_keeps_the_band_and_adds_nothing_above_it() -> None:
    sound = as_float(finish(tone(7_000.0, seconds=2.0), RATE, FinishSettings(dither_seed=None)))[0]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    hertz = np.fft.rfftfreq(len(sound), 1 / 48_000)
    assert hertz[spectrum.argmax()] == pytest.approx(7_000.0, abs=1.0)
    assert 20 * math.log10(spectrum[hertz > 8_500].max() / spectrum.max()) < -120.0


@pytest.mark.parametrize("value", [0.0, 0.5, -1e-9])
def test_silence_stays_digital_silence(value: float) -> None:
    finished = finish(np.full((2, RATE), value, dtype=np.float32), RATE)
    assert not finished.samples.any()
    assert finished.gain_db == 0.0
    assert finished.loudness.true_peak_dbtp is None
    assert finished.record()["measured"]["true_peak_dbtp"] is None


def test_near_silence_is_not_blown_up() -> None:
    finished = finish(noise(1e-6), RATE)
    assert np.abs(as_float(finished)).max() < 1e-3


def test_dither_is_triangular_and_hides_nothing_else() -> None:
    quiet = tone(440.0, 0.3)
    plain = finish(quiet, RATE, FinishSettings(dither_seed=None)).samples
    dithered = finish(quiet, RATE).samples
    error = (dithered - plain).astype(float)
    assert np.abs(error).max() <= 2
    # Variance in steps squared: triangular dither 1/6, and the roundings of the two versions 1/12 each.
    assert error.var() == pytest.approx(1 / 6 + 1 / 12 + 1 / 12, rel=0.1)
    assert abs(error.mean()) < 0.02


def test_equal_input_gives_equal_bytes() -> None:
    first, second = (finish(noise(channels=2), RATE).pcm for _ in range(2))
    assert first == second
    assert first != finish(noise(channels=2), RATE, FinishSettings(dither_seed=1)).pcm


def test_the_input_is_left_as_it_was() -> None:
    render = noise()
    before = render.copy()
    finish(render, RATE)
    np.testing.assert_array_equal(render, before)


def test_the_bytes_are_the_samples(tmp_path: Path) -> None:
    finished = finish(noise(channels=2), RATE)
    path = tmp_path / "clip.wav"
    path.write_bytes(encode_wave(finished.pcm, 2, 48_000, {}))
    read, rate = soundfile.read(path, dtype="int32")  # 24 bits in the upper part of 32
    assert rate == 48_000
    np.testing.assert_array_equal(read.T >> 8, finished.samples)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_refused(value: float) -> None:
    render = noise()
    render[0, 100] = value
    with pytest.raises(EngineFailed, match="no numbers; try another seed"):
        finish(render, RATE)


@pytest.mark.parametrize("render", [np.zeros((1, 0)), np.zeros((0, 10)), np.zeros(10)])
def test_an_empty_render_is_refused(render: NDArray[Any]) -> None:
    with pytest.raises(EngineFailed, match="rendered no samples"):
        finish(render, RATE)


@pytest.mark.parametrize("rate", [0, -1, 10**9])
def test_an_impossible_rate_is_refused(rate: int) -> None:
    with pytest.raises(InvalidInput, match="cannot be finished"):
        finish(noise(), rate)
