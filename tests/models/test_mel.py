"""The analysis against independent computation, and Griffin-Lim against the analysis."""

import numpy as np
import torch

from dcldm_plugin.models.mel import GriffinLim, MelConfig, MelSpectrogram, mel_filters


def test_filters_have_unit_area_and_ordered_peaks() -> None:
    filters = mel_filters(MelConfig())
    assert filters.shape == (64, 513)
    width = 16_000 / 1024
    assert torch.allclose(filters[20:].sum(1) * width, torch.ones(44), atol=0.03)
    peaks = filters.argmax(1)
    assert (peaks[1:] >= peaks[:-1]).all()


def test_a_sine_lands_in_the_band_that_holds_its_frequency() -> None:
    config = MelConfig()
    time = torch.arange(32_000) / 16_000
    mel = MelSpectrogram(config)(0.4 * torch.sin(2 * np.pi * 1_000 * time)[None])
    assert mel.shape == (1, 200, 64)
    assert int(mel[0, 100].argmax()) == int(mel_filters(config)[:, 64].argmax())  # bin 64 is 1 kHz


def test_frames_are_aligned_with_samples() -> None:
    audio = torch.zeros(1, 16_000)
    audio[0, 8_000] = 1.0
    mel = MelSpectrogram(MelConfig(hop=320))(audio)[0]
    assert int(mel.sum(1).argmax()) == 25


def test_griffin_lim_keeps_the_mel_and_repeats_itself() -> None:
    config = MelConfig(hop=320)
    analyse, vocoder = MelSpectrogram(config), GriffinLim(config)
    noise = torch.randn(1, 32_000, generator=torch.Generator().manual_seed(1)) * 0.1
    envelope = torch.sin(torch.arange(32_000) / 16_000 * np.pi * 3).abs()
    mel = analyse(noise * envelope)
    sound = vocoder(mel)
    assert sound.shape == (1, 32_000)
    assert float((analyse(sound) - mel).abs().mean()) < 0.15
    assert torch.equal(sound, vocoder(mel))


def test_silence_stays_silent() -> None:
    config = MelConfig(hop=320)
    silent = MelSpectrogram(config)(torch.zeros(1, 16_000))
    assert float(GriffinLim(config)(silent).abs().max()) < 1e-3
