"""Log-mel spectrograms as TANGO and AudioLDM compute them.

Values at full size: 16 kHz, window 1024, hop 160, 64 mels from 0 to 8 kHz; the built-in model has hop 320.
The spectrogram is the magnitude (not the power), the filters are Slaney's with area normalisation, the
logarithm is natural and nothing is normalised afterwards (AudioLDM's `TacotronSTFT`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_FLOOR = 1e-5


@dataclass(frozen=True, slots=True)
class MelConfig:
    """The analysis: rates in Hz, window and hop in samples."""

    sample_rate: int = 16_000
    window: int = 1024
    hop: int = 160
    mels: int = 64
    low_hz: float = 0.0
    high_hz: float = 8_000.0


def _hz_to_mel(hz: Tensor) -> Tensor:
    """Slaney's scale: linear below 1 kHz (3 mels per 200 Hz), 27 mels per factor of 6.4 above."""
    linear = hz * 3.0 / 200.0
    logarithmic = 15.0 + torch.log(hz.clamp(min=1e-9) / 1000.0) * (27.0 / math.log(6.4))
    return torch.where(hz < 1000.0, linear, logarithmic)


def _mel_to_hz(mel: Tensor) -> Tensor:
    linear = mel * 200.0 / 3.0
    exponential = 1000.0 * torch.exp((mel - 15.0) * (math.log(6.4) / 27.0))
    return torch.where(mel < 15.0, linear, exponential)


def mel_edges(config: MelConfig) -> Tensor:
    """In Hz [mels + 2], float64: a band begins at one, has its middle at the next, and ends at the one after."""
    low, high = _hz_to_mel(torch.tensor([config.low_hz, config.high_hz], dtype=torch.float64))
    return _mel_to_hz(torch.linspace(float(low), float(high), config.mels + 2, dtype=torch.float64))


def mel_filters(config: MelConfig) -> Tensor:
    """Triangular filters [mels, window / 2 + 1], each of unit area in Hz (librosa's `norm="slaney"`)."""
    edges = mel_edges(config)
    bins = torch.linspace(0.0, config.sample_rate / 2, config.window // 2 + 1, dtype=torch.float64)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins - lower) / (centre - lower)
    falling = (upper - bins) / (upper - centre)
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    return (triangles * (2.0 / (upper - lower))).float()


class MelSpectrogram(nn.Module):
    """Waveform [batch, samples] -> natural-log mel [batch, frames, mels], samples / hop frames."""

    filters: Tensor
    window: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("filters", mel_filters(config), persistent=False)
        self.register_buffer("window", torch.hann_window(config.window), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        config = self.config
        edge = config.window // 2
        padded = functional.pad(audio[:, None], (edge, edge), mode="reflect")[:, 0]
        spectrum = torch.stft(
            padded, config.window, config.hop, window=self.window, center=False, return_complex=True
        ).abs()
        mel = torch.matmul(self.filters, spectrum)  # [batch, mels, frames + 1]
        frames = audio.shape[-1] // config.hop
        return mel.clamp(min=LOG_FLOOR).log().transpose(1, 2)[:, :frames]
