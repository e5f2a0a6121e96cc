"""The seam for bandwidth extension: what another package puts above the band of a model. None comes with this one.

A package offers one in the entry point group `dcldm.extenders`: under a name, a function

    extend(samples, sample_rate) -> (samples, sample_rate, band_hz)

of float64 [channels, time], nominally within -1 … 1. It returns the same channels and the same length in seconds,
at a rate of its own, and the frequency above which there is still nothing. The same input must give the same output.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.errors import EngineFailed, InvalidInput

GROUP = "dcldm.extenders"
LENGTH_SECONDS = 0.01  # that an extender may add or lose, of its frames

Samples = NDArray[np.float64]


def extended(name: str, samples: Samples, sample_rate: int) -> tuple[Samples, int, dict[str, Any]]:
    """What the extender of a name makes of samples [channels, time], their rate, and what to record of it.

    Raises `InvalidInput` if there is none of this name, `EngineFailed` if it fails or returns what is no such sound.
    """
    point = _find(name)
    try:
        made, rate, band_hz = point.load()(samples.copy(), sample_rate)
        result, rate, band_hz = np.asarray(made, np.float64), int(rate), float(band_hz)
    except Exception as error:  # whatever another package's code may raise
        raise EngineFailed(
            f"The extender {name!r} failed ({error!s:.200}); finish without it, or update it."
        ) from error
    seconds = samples.shape[1] / sample_rate
    fits = result.ndim == 2 and len(result) == len(samples) and bool(np.isfinite(result).all())
    if not fits or not 8_000 <= rate <= 384_000 or abs(result.shape[1] / rate - seconds) > LENGTH_SECONDS:
        raise EngineFailed(f"The extender {name!r} returned another kind of sound; finish without it, or update it.")
    version = point.dist.version if point.dist is not None else ""
    return result, rate, {"name": name, "version": version, "band_hz": min(band_hz, rate / 2)}


def _find(name: str) -> EntryPoint:
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        there = f"choose one of: {', '.join(sorted(points))}" if points else "none is installed"
        raise InvalidInput(f"There is no extender of the band called {name[:40]!r}; {there}.")
    return points[name]
