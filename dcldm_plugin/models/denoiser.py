"""The one seam between diffusion and a network: `Denoiser(z, t, text, plan)`, and guidance over it.

Two tenants: `unet.DualUNet`, the paper's network in all its variants, and `transformer.DualTransformer`,
which has the same two cross-attentions in each block and learns faster at built-in size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the denoiser is told. E_text (section 2.1) and E_t2a or E'_t2a (section 2.2)."""

    text: Tensor  # [batch, tokens, text width]
    text_mask: Tensor  # [batch, tokens], bool, True where there is a token
    plan: Tensor  # [batch, plan frames, plan width]

    def __len__(self) -> int:
        return len(self.text)

    def first(self, count: int) -> Conditions:
        """Those of the first `count` items."""
        return Conditions(self.text[:count], self.text_mask[:count], self.plan[:count])

    def last(self, count: int) -> Conditions:
        """Those of the last `count` items."""
        return Conditions(self.text[-count:], self.text_mask[-count:], self.plan[-count:])

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditions:
        """The same as the denoiser takes them."""
        return Conditions(self.text.to(device, dtype), self.text_mask.to(device), self.plan.to(device, dtype))


class Denoiser(Protocol):
    """Predicts v (or the noise, as its schedule says) from a noisy latent."""

    def __call__(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """z [batch, channels, time, mel], t [batch] in 0 … 999 -> the same shape as z."""
        ...


def predicted(denoiser: Denoiser, z: Tensor, t: Tensor, told: Sequence[Conditions], weights: Sequence[float]) -> Tensor:
    """What one or several conditions of each latent predict, added with their weights."""
    return _weighed(_each(denoiser, z, t, told), weights)


def guided(
    denoiser: Denoiser,
    z: Tensor,
    t: Tensor,
    told: Sequence[Conditions],
    weights: Sequence[float],
    scale: float,
    plan_scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Equation 8: w e(z, t, E_text, E_t2a) + (1 - w) e(z, t), in one batch and in two parts, which add up to it: what
    the conditions predict, and what guidance adds.

    `told` holds one or several conditions of each latent, and at its end those of the empty text (the negative
    prompt, where there is one).

    plan_scale: leads by the words w times, and on from there by the plan this many times, for which the words
    alone are predicted too (Brooks et al., equation 3, https://arxiv.org/abs/2211.09800). None: by both alike.
    """
    *prompts, empty = told
    if plan_scale is None or plan_scale == scale:
        *conditional, free = _each(denoiser, z, t, told)
        both = _weighed(conditional, weights)
        return both, (scale - 1.0) * (both - free)
    words = [Conditions(each.text, each.text_mask, empty.plan) for each in prompts]
    *conditional, free = _each(denoiser, z, t, [*prompts, *words, empty])
    both, by_words = (_weighed(part, weights) for part in (conditional[: len(words)], conditional[len(words) :]))
    return both, scale * by_words + (1.0 - scale) * free + plan_scale * (both - by_words) - both


def _each(denoiser: Denoiser, z: Tensor, t: Tensor, told: Sequence[Conditions]) -> Sequence[Tensor]:
    count = len(told)
    return denoiser(z.repeat(count, 1, 1, 1), t.expand(count * len(z)), together(told)).chunk(count)


def _weighed(predictions: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    if len(weights) == 1:
        return predictions[0]
    return torch.stack([weight * each for weight, each in zip(weights, predictions, strict=True)]).sum(0)


def together(told: Sequence[Conditions]) -> Conditions:
    """Conditions of several kinds as one batch; shorter texts are padded, shorter plans cut the others."""
    tokens, frames = max(each.text.shape[1] for each in told), min(each.plan.shape[1] for each in told)
    return Conditions(
        torch.cat([functional.pad(each.text, (0, 0, 0, tokens - each.text.shape[1])) for each in told]),
        torch.cat([functional.pad(each.text_mask, (0, tokens - each.text_mask.shape[1])) for each in told]),
        torch.cat([each.plan[:, :frames] for each in told]),
    )
