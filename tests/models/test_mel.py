"""The analysis against independent computation."""

import numpy as np
import torch

from dcldm_plugin.models.mel import MelConfig, MelSpectrogram, mel_filters


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
