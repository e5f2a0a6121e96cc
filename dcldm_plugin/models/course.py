"""What a reverse process may follow besides one prompt and plain noise: windows, several prompts, known parts.

A clip that is longer than any the denoiser has seen is denoised in windows that overlap, all in each step, and
their predictions are averaged (Bar-Tal et al., "MultiDiffusion", https://arxiv.org/abs/2302.08113). A loop is
a clip without ends: its windows go round, from another place in each step, so no place is a seam. Known parts
are put back in each step with as much noise as the rest has (Lugmayr et al., "RePaint",
https://arxiv.org/abs/2201.09865).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dcldm_plugin.models.denoiser import Conditions

GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0  # its multiples are spread evenly over a circle
STRIDE = 0.75  # of a window; the rest overlaps the next


@dataclass(frozen=True, slots=True)
class Known:
    """What of a latent is there already: z_0 and its noise [n, channels, time, bands], and where, bool [time]."""

    z: Tensor
    noise: Tensor
    where: Tensor

    def put_back(self, z: Tensor, alpha: float) -> Tensor:
        """z_t with the known part as equation 2 has it at alpha_t; alpha 1 is the known part itself."""
        there = math.sqrt(alpha) * self.z + math.sqrt(1.0 - alpha) * self.noise if alpha < 1.0 else self.z
        return torch.where(self.where[:, None], there, z)


@dataclass(frozen=True, slots=True)
class Course:
    """How a reverse process departs from the plain one.

    weights: of the conditions that are told, without the empty text's; together 1.
    source: a latent that it starts from, `t0` of the way (0 … 1) back in noise.
    lead: how many times as much guidance adds as its scale says.
    window: latent steps that the denoiser sees at once; None for all of them.
    """

    weights: tuple[float, ...] = (1.0,)
    known: Known | None = None
    source: Tensor | None = None
    t0: float = 1.0
    lead: float = 1.0
    window: int | None = None
    loop: bool = False


PLAIN = Course()
Predict = Callable[[Tensor, Sequence[Conditions]], Tensor]


def alpha_at(scheduler: Any, step: int) -> float:
    """alpha_t (the cumulative product) at a step of a diffusers scheduler, as it counts itself."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        return 1.0 / (1.0 + float(sigmas[step]) ** 2)
    return float(scheduler.alphas_cumprod[int(scheduler.timesteps[step])])


def starts(steps: int, window: int, loop: bool, round_number: int) -> list[int]:
    """Where the windows of one round of the process begin; those of a loop each round elsewhere."""
    if not loop:
        count = math.ceil(max(0, steps - window) / (STRIDE * window)) + 1
        return [round(k * (steps - window) / max(1, count - 1)) for k in range(count)]
    first = math.floor(steps * (GOLDEN * round_number % 1.0))
    count = 1 if steps <= window else math.ceil(steps / (STRIDE * window))
    return [first + round(k * steps / count) for k in range(count)]


def in_windows(predict: Predict, z: Tensor, told: Sequence[Conditions], course: Course, round_number: int) -> Tensor:
    """The prediction for z [n, channels, time, bands] as the windows agree on it, of as many channels as
    `predict` gives.

    told: conditions of n items each, whose plans last as long as z, but for the last, the empty text's, whose
    plan lasts as long as a window.
    """
    steps, window = z.shape[2], course.window or z.shape[2]
    if window == steps and not course.loop:
        return predict(z, told)
    ramp = (1.0 - STRIDE) * window
    place = torch.arange(window, device=z.device)
    taper = ((torch.minimum(place, window - 1 - place) + 0.5) / ramp).clamp(max=1.0).to(z)
    total, weight = None, z.new_zeros(steps)
    for start in starts(steps, window, course.loop, round_number):
        where = (start + place) % steps
        seen = [*(_cut(each, start / steps, told[-1].plan.shape[1]) for each in told[:-1]), told[-1]]
        part = predict(z[:, :, where], seen).to(z)
        if total is None:
            total = part.new_zeros(*part.shape[:2], *z.shape[2:])
        total.index_add_(2, where, part * taper[:, None])
        weight.index_add_(0, where, taper)
    assert total is not None  # there is always a window
    return total / weight[:, None]


def _cut(told: Conditions, start: float, length: int) -> Conditions:
    """The plan from `start`, a fraction of the whole, on; what goes past the end comes round."""
    whole = told.plan.shape[1]
    if not whole:
        return told
    where = (round(start * whole) + torch.arange(length, device=told.plan.device)) % whole
    return Conditions(told.text, told.text_mask, told.plan[:, where])


def between(first: Tensor, second: Tensor, position: float) -> Tensor:
    """Noise on the way from one to another along the sphere; 0 and 1 are the two, bit for bit.

    Shoemake 1985, https://doi.org/10.1145/325165.325242. The deviation stays 1 all the way.
    """
    if position <= 0.0:
        return first
    if position >= 1.0:
        return second
    cosine = float(functional.cosine_similarity(first.flatten(), second.flatten(), dim=0).clamp(-1.0, 1.0))
    angle = math.acos(cosine)
    if math.sin(angle) < 1e-4:  # they are the same
        return first
    return (math.sin((1.0 - position) * angle) * first + math.sin(position * angle) * second) / math.sin(angle)


def widened(centre: Tensor, side: Tensor, width: float) -> Tensor:
    """Two noises [2, …] of one [1, …] and another: equal at width 0, independent at 1."""
    angle = width * math.pi / 4.0
    return torch.cat([math.cos(angle) * centre + math.sin(angle) * side,
                      math.cos(angle) * centre - math.sin(angle) * side])  # fmt: skip
