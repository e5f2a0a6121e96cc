"""Sound joined to sound: cross-fades that keep the level, whether or not the two sides are in phase."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LEAST_NORM = 0.1  # where the two sides cancel out, at most 20 dB are made up for


def crossfade(leaving: Tensor, coming: Tensor) -> Tensor:
    """From one sound to another, both [..., time], over all of their length, at an even power.

    The two ramps, divided by the root of f^2 + g^2 + 2 f g r: what the sum's power is at the correlation r.
    """
    count = leaving.shape[-1]
    if count == 0:
        return coming
    f = 0.5 + 0.5 * torch.cos(math.pi * (torch.arange(count, device=leaving.device) + 0.5) / count)
    f = f.to(leaving)
    g = 1.0 - f
    energy = (leaving.pow(2).sum() * coming.pow(2).sum()).sqrt()
    alike = float((leaving * coming).sum() / energy) if float(energy) > 0.0 else 1.0
    norm = (f * f + g * g + 2.0 * f * g * alike).clamp(min=LEAST_NORM**2).sqrt()
    return (f * leaving + g * coming) / norm


def spliced(old: Tensor, new: Tensor, start: int, end: int, fade: int) -> Tensor:
    """old [..., time] with new from sample `start` to `end`; the fades lie within, so nothing else changes."""
    out = old.clone()
    total = old.shape[-1]
    start, end = max(0, start), min(end, total)
    fade = min(fade, (end - start) // 2)
    out[..., start:end] = new[..., start:end]
    if start > 0:
        out[..., start : start + fade] = crossfade(old[..., start : start + fade], new[..., start : start + fade])
    if end < total:
        out[..., end - fade : end] = crossfade(new[..., end - fade : end], old[..., end - fade : end])
    return out


def joined(pieces: list[Tensor], overlap: int) -> Tensor:
    """Pieces [..., time] of which each repeats the last `overlap` samples of the one before."""
    whole = pieces[0]
    for piece in pieces[1:]:
        seam = crossfade(whole[..., -overlap:], piece[..., :overlap])
        whole = torch.cat([whole[..., :-overlap], seam, piece[..., overlap:]], dim=-1)
    return whole


def closed(sound: Tensor, length: int) -> Tensor:
    """A loop [..., length] of a sound that goes on past it: its beginning is faded in over what went on."""
    beyond = sound.shape[-1] - length
    if beyond <= 0:
        return sound
    return torch.cat([crossfade(sound[..., length:], sound[..., :beyond]), sound[..., beyond:length]], dim=-1)
