"""From a sound that ends to one that goes round."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A loop, how many samples of the end were faded into its beginning, and how alike the two were (-1 … 1)."""

    samples: Samples  # [channels, time]
    overlap_frames: int
    correlation: float


def wrap(samples: Samples, overlap_frames: int) -> Wrapped:
    """Fade the end of `samples` [channels, time] into its beginning, where the two fit best.

    The place is searched for over one overlap's length before the end, by normalised correlation. The overlap
    is at most a quarter of the clip. The two gains are those of equal power for unlike sounds (cos, sin), and
    become those of equal amplitude the more alike the two are, so that the level never swells or dips.
    """
    frames = samples.shape[1]
    overlap = min(overlap_frames, frames // 4)
    if overlap < 2:
        return Wrapped(samples, 0, 0.0)
    head = samples[:, :overlap]
    first = frames - 2 * overlap  # where the part of the end that is faded in may begin, at the earliest
    fits = _correlations(head, samples[:, first:])
    lag = int(fits.argmax())
    cut = first + lag
    tail = samples[:, cut : cut + overlap]
    alike = float(np.clip(fits[lag], -1.0, 1.0))
    angle = 0.5 * np.pi * (np.arange(overlap) + 0.5) / overlap
    rising, falling = np.sin(angle), np.cos(angle)
    power = np.sqrt(1.0 + 2.0 * max(alike, 0.0) * rising * falling)
    looped = samples[:, :cut].copy()
    looped[:, :overlap] = (head * rising + tail * falling) / power
    return Wrapped(looped, overlap, alike)


def _correlations(head: Samples, region: Samples) -> Samples:
    """Pearson's r of `head` with each part of `region` that is as long, channels together; 0 where there is silence."""
    from scipy.signal import correlate

    overlap = head.shape[1]
    products = sum(correlate(one, other, mode="valid") for one, other in zip(region, head, strict=True))
    energy = np.concatenate([[0.0], np.cumsum((region**2).sum(axis=0))])
    scale = np.sqrt(np.maximum(energy[overlap:] - energy[:-overlap], 0.0) * (head**2).sum())
    found: Samples = np.divide(products, scale, out=np.zeros_like(scale), where=scale > 1e-12)
    return found
