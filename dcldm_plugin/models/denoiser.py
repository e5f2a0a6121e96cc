"""The one seam between diffusion and a network: `Denoiser(z, t, text, plan)`, and guidance over it.

Two tenants: `unet.DualUNet`, the paper's network in all its variants, and `transformer.DualTransformer`,
which has the same two cross-attentions in each block and learns faster at built-in size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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

    def to(self, device: torch.device, dtype: torch.dtype) -> Conditions:
        """The same as the denoiser takes them."""
        return Conditions(self.text.to(device, dtype), self.text_mask.to(device), self.plan.to(device, dtype))


class Denoiser(Protocol):
    """Predicts v (or the noise, as its schedule says) from a noisy latent."""

    def __call__(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """z [batch, channels, time, mel], t [batch] in 0 … 999 -> the same shape as z."""
        ...


def guided(denoiser: Denoiser, z: Tensor, t: Tensor, both: Conditions, scale: float) -> Tensor:
    """Equation 8: w e(z, t, E_text, E_t2a) + (1 - w) e(z, t), in one batch of two.

    `both` holds the conditions of each latent, then those of the empty text (the negative prompt, where
    there is one) for each latent.
    """
    conditional, unconditional = denoiser(torch.cat([z, z]), torch.cat([t, t]), both).chunk(2)
    return scale * conditional + (1.0 - scale) * unconditional
