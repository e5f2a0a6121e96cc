"""The vocoder against the analysis that its mels come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dcldm_plugin.audio.events import event_times, level_db
from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.models.vocoder import SinesAndNoise

CONFIG = MelConfig(hop=320)
RATE = CONFIG.sample_rate


def test_the_mel_is_kept_and_the_sound_repeats_itself() -> None:
    analyse, vocoder = MelSpectrogram(CONFIG), SinesAndNoise(CONFIG)
    noise = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(1)) * 0.1
    envelope = torch.sin(torch.arange(32_000) / 16_000 * np.pi * 3).abs()
    mel = analyse(noise * envelope)
    sound = vocoder(mel)
    assert sound.shape == (1, 32_000)
    assert float((analyse(sound) - mel).abs().mean()) < 0.15
    assert torch.equal(sound, vocoder(mel))


@pytest.mark.parametrize("hertz", [200.0, 437.0, 1000.0, 3150.0, 6000.0])
def test_a_tone_stays_a_steady_tone(hertz: float) -> None:
    tone = 0.3 * torch.sin(2 * np.pi * hertz * torch.arange(32_000) / RATE)[None]
    sound = SinesAndNoise(CONFIG)(MelSpectrogram(CONFIG)(tone))[0]
    spectrum = torch.fft.rfft(sound * torch.hann_window(32_000)).abs().square()
    frequencies = torch.fft.rfftfreq(32_000, 1 / RATE)
    near = spectrum[(frequencies - hertz).abs() < 0.06 * hertz].sum()
    assert float(near / spectrum.sum()) > 0.97
    level = level_db(sound[4_000:-4_000].numpy(), RATE)[5:-5]
    assert np.ptp(level) < 3.0  # a narrow band of noise wavers by more than 10 dB
    assert abs(float(level.mean()) - 20 * np.log10(0.3 / 2**0.5)) < 2.0


def test_beeps_are_as_many_as_they_were() -> None:
    ramp = torch.arange(6_400).div(160.0).clamp(max=1.0)
    beep = 0.3 * torch.sin(2 * np.pi * 1230 * torch.arange(6_400) / RATE) * ramp * ramp.flip(0)
    beeps = torch.zeros(1, 64_000)
    for start in (4_000, 20_000, 36_000, 52_000):
        beeps[0, start : start + 6_400] = beep
    sound = SinesAndNoise(CONFIG)(MelSpectrogram(CONFIG)(beeps))[0]
    assert event_times(sound.numpy(), RATE) == pytest.approx([0.25, 1.25, 2.25, 3.25], abs=0.04)


def test_a_tone_that_glides_is_followed() -> None:
    hertz = torch.logspace(2.6, 3.6, 48_000, base=10.0, dtype=torch.float64)
    tone = 0.3 * torch.sin(2 * np.pi * torch.cumsum(hertz, 0) / RATE).float()[None]
    sound = SinesAndNoise(CONFIG)(MelSpectrogram(CONFIG)(tone))[0]
    for middle in range(8_000, 41_000, 8_000):
        piece = sound[middle - 512 : middle + 512] * torch.hann_window(1024)
        loudest = float(torch.fft.rfft(piece).abs().argmax()) * RATE / 1024
        assert abs(loudest / float(hertz[middle]) - 1.0) < 0.07


def test_noise_has_hardly_any_tones() -> None:
    noise = torch.randn(1, 160_000, generator=torch.Generator().manual_seed(3)) * 0.1
    share, _, _ = SinesAndNoise(CONFIG).tones(MelSpectrogram(CONFIG)(noise))
    assert float((share > 0.5).any(2).float().mean()) < 0.05


def test_sounds_of_a_batch_are_as_each_alone() -> None:
    time = torch.arange(16_000) / RATE
    tones = torch.stack([0.2 * torch.sin(2 * np.pi * hertz * time) for hertz in (500.0, 2_000.0)])
    vocoder, mels = SinesAndNoise(CONFIG), MelSpectrogram(CONFIG)(tones)
    both = vocoder(mels)
    for item in range(2):
        torch.testing.assert_close(both[item], vocoder(mels[item : item + 1])[0], atol=1e-5, rtol=1e-4)


def test_silence_stays_silent() -> None:
    silent = MelSpectrogram(CONFIG)(torch.zeros(1, 16_000))
    assert float(SinesAndNoise(CONFIG)(silent).abs().max()) < 1e-3
