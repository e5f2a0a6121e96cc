"""The vocoder against the analysis that its mels come from."""

from __future__ import annotations

import numpy as np
import torch

from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.models.vocoder import ShapedNoise

CONFIG = MelConfig(hop=320)


def test_the_mel_is_kept_and_the_sound_repeats_itself() -> None:
    analyse, vocoder = MelSpectrogram(CONFIG), ShapedNoise(CONFIG)
    noise = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(1)) * 0.1
    envelope = torch.sin(torch.arange(32_000) / 16_000 * np.pi * 3).abs()
    mel = analyse(noise * envelope)
    sound = vocoder(mel)
    assert sound.shape == (1, 32_000)
    assert float((analyse(sound) - mel).abs().mean()) < 0.15
    assert torch.equal(sound, vocoder(mel))


def test_a_tone_stays_a_tone() -> None:
    analyse, vocoder = MelSpectrogram(CONFIG), ShapedNoise(CONFIG)
    tone = 0.3 * torch.sin(2 * np.pi * 1000 * torch.arange(32_000) / 16_000)[None]
    spectrum = torch.fft.rfft(vocoder(analyse(tone))[0] * torch.hann_window(32_000)).abs().square()
    hertz = torch.fft.rfftfreq(32_000, 1 / 16_000)
    near = spectrum[(hertz - 1000).abs() < 60].sum()
    assert float(near / spectrum.sum()) > 0.9


def test_silence_stays_silent() -> None:
    silent = MelSpectrogram(CONFIG)(torch.zeros(1, 16_000))
    assert float(ShapedNoise(CONFIG)(silent).abs().max()) < 1e-3
