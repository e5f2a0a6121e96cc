"""Latents to sound: in one go, in pieces where they are long, and without ends where they are a loop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dcldm_plugin.models.dcldm import DualConditionedLatentDiffusion
from dcldm_plugin.models.joins import closed, joined
from dcldm_plugin.models.vocoder import SinesAndNoise
from dcldm_plugin.types import Report

MARGIN_STEPS = 8  # latent steps around a piece that its decoding may look at
FAINTER, LOUDER = -30.0 * math.log(10.0) / 20.0, 9.0 * math.log(10.0) / 20.0  # logarithms of an amplitude's gain
OVERLAP_SECONDS = 0.1  # of pieces that the vocoder made one by one, and of a loop's two ends


@dataclass(frozen=True, slots=True)
class Levels:
    """The course of levels of a log-mel [1, frames, mels], and how far, 0 … 1, another takes it on."""

    like: Tensor
    share: float = 1.0


def sound(
    model: DualConditionedLatentDiffusion,
    z: Tensor,
    seconds: float,
    loop: bool,
    report: Report,
    levels: Levels | None = None,
) -> Tensor:
    """Waveform [n, samples] of exactly `seconds`, of latents [n, channels, steps, bands], each by itself.

    levels: what they take on, where they are no loop.
    """
    report("decoding", 0.0)
    samples = round(seconds * model.config.mel.sample_rate)
    made = []
    for index, one in enumerate(z):
        made.append(_circle(model, one[None], samples) if loop else _line(model, one[None], levels)[:, :samples])
        report("decoding", (index + 1) / len(z))
    return torch.cat(made)


def _line(model: DualConditionedLatentDiffusion, z: Tensor, levels: Levels | None) -> Tensor:
    longest, log_mel = model.config.longest_steps, as_loud(shown(model, z), levels)
    if z.shape[2] <= longest:
        return model.vocoder(log_mel)
    mel = model.config.mel
    return vocoded(model, log_mel, longest * model.space.ratio, round(OVERLAP_SECONDS * mel.sample_rate / mel.hop))


def shown(model: DualConditionedLatentDiffusion, z: Tensor) -> Tensor:
    """The log-mel [n, frames, mels] of latents [n, channels, steps, bands], a piece at a time where they are long."""
    longest, ratio = model.config.longest_steps, model.space.ratio
    if z.shape[2] <= longest:
        return model.space.decode(z)
    pieces = []
    for start in range(0, z.shape[2], longest):
        first = max(0, start - MARGIN_STEPS)
        decoded = model.space.decode(z[:, :, first : start + longest + MARGIN_STEPS])
        pieces.append(decoded[:, (start - first) * ratio : (start - first + longest) * ratio])
    return torch.cat(pieces, dim=1)


def as_loud(log_mel: Tensor, levels: Levels | None) -> Tensor:
    """A log-mel [n, frames, mels] that is in each frame as far below its loudest one as another is, as far as that has
    frames; made fainter by 30 dB at most, and louder by 9. A share of 0.5 is half of the way there in dB."""
    if levels is None:
        return log_mel
    frames = min(log_mel.shape[1], levels.like.shape[1])
    own, wanted = (_levels(each[:, :frames]) for each in (log_mel, levels.like))
    gain = ((wanted - wanted.amax(1, keepdim=True)) - (own - own.amax(1, keepdim=True))).clamp(FAINTER, LOUDER)
    return torch.cat([log_mel[:, :frames] + levels.share * gain[..., None], log_mel[:, frames:]], dim=1)


def _levels(log_mel: Tensor) -> Tensor:
    """The logarithm of each frame's amplitude [1, frames]."""
    return 0.5 * (2.0 * log_mel).logsumexp(dim=2)


def vocoded(model: DualConditionedLatentDiffusion, log_mel: Tensor, piece: int, overlap: int) -> Tensor:
    """Sound [1, samples] of a mel [1, frames, mels], `piece` frames at a time with more around them."""
    hop, frames = model.config.mel.hop, log_mel.shape[1]
    sounds = []
    for start in range(0, frames, piece):
        first = max(0, start - 2 * overlap)
        given = log_mel[:, first : start + piece + overlap]
        vocoder = model.vocoder
        audio = vocoder(given, seed=start) if isinstance(vocoder, SinesAndNoise) else vocoder(given)
        begin = max(0, start - overlap) - first  # each piece repeats the last `overlap` frames of the one before
        sounds.append(audio[:, begin * hop : (min(start + piece, frames) - first) * hop])
    return joined(sounds, overlap * hop)


def _circle(model: DualConditionedLatentDiffusion, z: Tensor, samples: int) -> Tensor:
    """One turn, exactly `samples` long: the mel is stretched round by less than a latent step, the sound by less
    than a frame of the mel."""
    mel, ratio = model.config.mel, model.space.ratio
    steps = z.shape[2]
    around = torch.arange(-MARGIN_STEPS, steps + MARGIN_STEPS, device=z.device) % steps
    log_mel = model.space.decode(z[:, :, around])[:, MARGIN_STEPS * ratio : (MARGIN_STEPS + steps) * ratio]
    frames = max(1, round(samples / mel.hop))
    log_mel = _stretched(log_mel.transpose(1, 2), frames).transpose(1, 2)
    margin = round(2 * OVERLAP_SECONDS * mel.sample_rate / mel.hop)
    overlap = margin // 2
    around = torch.arange(-margin, frames + margin, device=z.device) % frames
    piece = model.config.longest_steps * ratio
    audio = vocoded(model, log_mel[:, around], piece, overlap)[:, margin * mel.hop :]
    turn = closed(audio[:, : (frames + min(overlap, frames)) * mel.hop], frames * mel.hop)
    return _fitted(turn, samples)


def _stretched(rows: Tensor, length: int) -> Tensor:
    """Rows [1, n, time] that go round, at another number of points."""
    if rows.shape[-1] == length:
        return rows
    given = functional.pad(rows, (0, 1), mode="circular")
    return functional.interpolate(given, length + 1, mode="linear", align_corners=True)[..., :length]


def _fitted(turn: Tensor, samples: int) -> Tensor:
    """A turn [1, time] at another number of samples, by its Fourier series: what goes round has one exactly."""
    length = turn.shape[-1]
    if length == samples:
        return turn
    spectrum = torch.fft.rfft(turn)
    kept = min(spectrum.shape[-1], samples // 2 + 1)
    fitted: Tensor = torch.fft.irfft(spectrum[..., :kept], n=samples) * (samples / length)
    return fitted
