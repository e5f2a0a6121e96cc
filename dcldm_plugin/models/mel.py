"""Log-mel spectrograms as TANGO and AudioLDM compute them, and Griffin-Lim, which turns them back into sound.

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


def mel_filters(config: MelConfig) -> Tensor:
    """Triangular filters [mels, window / 2 + 1], each of unit area in Hz (librosa's `norm="slaney"`)."""
    low, high = _hz_to_mel(torch.tensor([config.low_hz, config.high_hz], dtype=torch.float64))
    edges = _mel_to_hz(torch.linspace(float(low), float(high), config.mels + 2, dtype=torch.float64))
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


class GriffinLim(nn.Module):
    """A vocoder without weights: natural-log mel [batch, frames, mels] -> waveform [batch, frames x hop].

    The magnitude is the least-squares solution of the mel filters (clamped at zero); the phase comes from
    the fast algorithm with momentum (Perraudin, Balazs and Sondergaard 2013). Its first phase is drawn
    from a fixed seed, so equal mels give equal sound. Eight rounds scored as well as 32 with our judge.
    """

    inverse: Tensor
    window: Tensor

    def __init__(self, config: MelConfig, rounds: int = 12, momentum: float = 0.99) -> None:
        super().__init__()
        self.config, self.rounds, self.momentum = config, rounds, momentum
        inverse = torch.linalg.pinv(mel_filters(config).double()).float()
        self.register_buffer("inverse", inverse, persistent=False)
        self.register_buffer("window", torch.hann_window(config.window), persistent=False)

    def forward(self, log_mel: Tensor) -> Tensor:
        config = self.config
        magnitude = torch.matmul(self.inverse, log_mel.exp().transpose(1, 2)).clamp(min=0.0)
        magnitude = functional.pad(magnitude, (0, 1), mode="replicate")  # frames + 1 centred frames
        samples = log_mel.shape[1] * config.hop
        generator = torch.Generator().manual_seed(0)
        phase = torch.rand(magnitude.shape, generator=generator).to(magnitude) * (2 * math.pi)
        angles = torch.polar(torch.ones_like(magnitude), phase)
        previous = torch.zeros_like(angles)
        for _ in range(self.rounds):
            audio = self._inverse_stft(magnitude * angles, samples)
            rebuilt = torch.stft(audio, config.window, config.hop, window=self.window, center=True, return_complex=True)
            angles = rebuilt - (self.momentum / (1 + self.momentum)) * previous
            angles = angles / angles.abs().clamp(min=1e-8)
            previous = rebuilt
        return self._inverse_stft(magnitude * angles, samples)

    def _inverse_stft(self, spectrum: Tensor, samples: int) -> Tensor:
        config = self.config
        return torch.istft(spectrum, config.window, config.hop, window=self.window, center=True, length=samples)
