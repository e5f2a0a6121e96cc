"""A vocoder without weights: noise, shaped until its mel spectrogram is the one asked for, and sines for its tones."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.mel import MelConfig, MelSpectrogram, mel_edges

LARGEST_STEP = 12.0  # nepers that a round may raise or lower a band by: silence stays finite
# A tone lies in one band or two, so the level rises by so much, nepers, within two bands on both sides; noise does so
# for a moment, hence the mean of five frames. `EDGE`: over how many nepers more from noise to tone.
RISE, EDGE, AROUND = 1.15, 0.25, 2
LEAST = 0.05  # a tone's share below which it is not made


class SinesAndNoise(nn.Module):
    """Natural-log mel [batch, frames, mels] -> waveform [batch, frames x hop].

    A mel says how much there is in a band, not how it fluctuates. Griffin-Lim from smooth magnitudes leaves the
    fluctuation out, and rain turns into a metallic hum; noise has it from the start. A beep in turn is no narrow band
    of noise, whose level wavers: it is one partial, whose frequency and level the two or three bands that it lies in
    tell. So a mel is made of both, as in Serra and Smith, "Spectral modeling synthesis" (1990).

    The noise comes from a seed, so equal mels give equal sound, and a longer one begins as a shorter. Pieces of
    one long sound need seeds of their own, or it would repeat.
    """

    centres: Tensor
    widths: Tensor
    spread: Tensor

    def __init__(self, config: MelConfig, rounds: tuple[int, int] = (3, 1)) -> None:
        super().__init__()
        self.config, self.rounds = config, rounds  # of shaping, before the tones come in and after
        self.analysis = MelSpectrogram(config)
        filters = self.analysis.filters
        # A bin's gain is the mean of those of the bands that it is in.
        self.register_buffer("spread", filters / filters.sum(0).clamp(min=1e-5), persistent=False)
        edges = mel_edges(config).float()
        self.register_buffer("centres", edges[1:-1], persistent=False)
        self.register_buffer("widths", (edges[2:] - edges[:-2]) / 2.0, persistent=False)  # a filter's area is 1

    def forward(self, log_mel: Tensor, seed: int = 0) -> Tensor:
        samples = log_mel.shape[1] * self.config.hop
        generator = torch.Generator().manual_seed(seed)
        noise = 0.05 * torch.randn(samples, generator=generator).to(log_mel)
        before, after = self.rounds

        audio = noise.expand(len(log_mel), -1)
        for _ in range(before):
            audio = self._shaped(audio, log_mel)
        share, hertz, amplitude = self.tones(log_mel)
        audio = self._filtered(audio, 1.0 - self._covered(share)) + self._sines(share, hertz, amplitude)
        for _ in range(after):
            audio = self._shaped(audio, log_mel)
        return audio

    def tones(self, log_mel: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The tone that each band is the loudest of, each [batch, frames, mels]: how surely it is one and no noise,
        0 … 1, nought in a band that is not the loudest; its frequency in Hz; its amplitude."""
        sizes = log_mel.exp() * self.widths  # of a partial: its amplitude, shared by the bands as near as it is to each
        frames = functional.pad(sizes.transpose(1, 2), (AROUND, AROUND), mode="replicate")
        steady = functional.avg_pool1d(frames, 2 * AROUND + 1, 1).transpose(1, 2).clamp(min=1e-9).log()
        second_below, below, above, second_above = _beside(steady, -math.inf, (-2, -1, 1, 2))
        rise = steady - torch.maximum(second_below, second_above)
        loudest = (steady >= below) & (steady > above)
        loudest[..., 0] = loudest[..., -1] = False  # a band at the border has no two sides
        share = torch.sigmoid((rise - RISE) / EDGE) * loudest

        lower, upper = _beside(sizes, 0.0, (-1, 1))
        under, over = _beside(self.centres, 0.0, (-1, 1))
        whole = lower + sizes + upper
        hertz = (lower * under + sizes * self.centres + upper * over) / whole.clamp(min=1e-9)
        return torch.where(share > LEAST, share, 0.0), hertz, whole * (2.0 / self.config.window)

    def _covered(self, share: Tensor) -> Tensor:
        """How much of each bin [batch, frames, bins] is a tone's, which lies in a band and those beside it."""
        near = torch.stack([share, *_beside(share, 0.0, (-1, 1))]).amax(0)
        return torch.matmul(near, self.spread)

    def _sines(self, share: Tensor, hertz: Tensor, amplitude: Tensor) -> Tensor:
        """[batch, frames x hop]. Each band has an oscillator, whose phase goes on from frame to frame; between two
        frames amplitude and frequency change in a straight line."""
        batch, frames, _ = share.shape
        hop = self.config.hop
        turns = hertz / self.config.sample_rate * hop  # a frame
        level = share * amplitude
        turns_next, level_next = (torch.cat([each[:, 1:], each[:, -1:]], dim=1) for each in (turns, level))
        phase = ((turns + turns_next) / 2.0).double().cumsum(1).roll(1, dims=1)
        phase[:, 0] = 0.0
        heard = (level > 0.0) | (level_next > 0.0)
        item, frame, _ = heard.nonzero(as_tuple=True)
        at = torch.arange(hop, device=share.device) / hop  # of the way to the next frame

        def moving(first: Tensor, last: Tensor) -> Tensor:
            return torch.lerp(first[heard][:, None], last[heard][:, None], at)

        passed = at * (turns[heard][:, None] + moving(turns, turns_next)) / 2.0
        turned = (phase[heard] % 1.0).to(share)[:, None] + passed
        waves = moving(level, level_next) * torch.sin(2.0 * math.pi * turned)
        made = waves.new_zeros(batch * frames, hop).index_add_(0, item * frames + frame, waves)
        return made.view(batch, frames * hop)

    def _shaped(self, audio: Tensor, log_mel: Tensor) -> Tensor:
        """Audio with its mel brought to the one asked for, as far as the overlap of windows and bands allows."""
        gain = (log_mel - self.analysis(audio)).clamp(-LARGEST_STEP, LARGEST_STEP).exp()
        return self._filtered(audio, torch.matmul(gain, self.spread))

    def _filtered(self, audio: Tensor, gains: Tensor) -> Tensor:
        """Audio with the bins of its frames multiplied by gains [batch, frames, bins]."""
        config, window = self.config, self.analysis.window
        size, hop = config.window, config.hop
        spectrum = torch.stft(audio, size, hop, window=window, center=True, return_complex=True)
        spectrum = spectrum * functional.pad(gains.transpose(1, 2), (0, 1), mode="replicate")  # one frame more
        return torch.istft(spectrum, size, hop, window=window, center=True, length=audio.shape[-1])


def _beside(rows: Tensor, border: float, steps: tuple[int, ...]) -> list[Tensor]:
    """Rows [..., n] shifted: each entry has the value of the one so many further; `border` beyond the end."""
    most = max(map(abs, steps))
    wide = functional.pad(rows, (most, most), value=border)
    return [wide[..., most + step : most + step + rows.shape[-1]] for step in steps]
