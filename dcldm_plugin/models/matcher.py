"""How well a plan or a latent fits some words: a small network that learned which caption belongs to which sound.

Two towers of convolutions, one for plans and one for latents, and a projection of the mean of the text's states;
a fit is the cosine between them, as in CLAP (https://arxiv.org/abs/2206.04769). The chain draws several plans and
keeps the best, and makes several candidates of a take, as AudioLDM does with CLAP
(https://arxiv.org/abs/2301.12503).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.text import mean_state

WIDTH, SIZE, LAYERS = 128, 128, 3
DROPOUT = 0.2


class Tower(nn.Module):
    """[batch, time, channels] of any length from 8 on -> unit vectors [batch, SIZE]. `pooled`: frames taken together
    at the beginning."""

    def __init__(self, channels: int, pooled: int) -> None:
        super().__init__()
        self.pooled = pooled
        self.scale = nn.BatchNorm1d(channels)
        widths = [channels, *[WIDTH] * LAYERS]
        self.layers = nn.ModuleList(nn.Conv1d(given, made, 5, stride=2, padding=2) for given, made in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(8, WIDTH) for _ in range(LAYERS))
        self.output = nn.Linear(2 * WIDTH, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        x = self.scale(functional.avg_pool1d(x.transpose(1, 2), self.pooled))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.dropout(functional.gelu(norm(layer(x))), DROPOUT, self.training)
        return functional.normalize(self.output(torch.cat([x.mean(2), x.amax(2)], dim=1)), dim=1)


class Matcher(nn.Module):
    """plan_width: of E_t2a, whose frames are taken two by two; latent_width: channels x bands of z_0."""

    def __init__(self, plan_width: int, latent_width: int, text_width: int) -> None:
        super().__init__()
        self.plans, self.latents = Tower(plan_width, 2), Tower(latent_width, 1)
        self.words = nn.Linear(text_width, SIZE)
        self.log_scale = nn.Parameter(torch.tensor(2.3))  # of the cosines, in training

    def text(self, states: Tensor, mask: Tensor) -> Tensor:
        """Text states [batch, tokens, width] and mask [batch, tokens] -> unit vectors [batch, SIZE]."""
        return functional.normalize(self.words(mean_state(states, mask)), dim=1)

    def of_plans(self, encoded: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """How well plans E_t2a [n, frames, width] fit one text [1, tokens, width]: -1 … 1 each, [n]."""
        return _fits(self.plans(encoded.float()), self.text(states.float(), mask))

    def of_latents(self, z: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """The same for latents z_0 [n, channels, time, bands]."""
        return _fits(self.latents(as_frames(z.float())), self.text(states.float(), mask))


def _fits(sounds: Tensor, text: Tensor) -> Tensor:
    return (sounds @ text.T)[:, 0]


def as_frames(z: Tensor) -> Tensor:
    """[n, channels, time, bands] -> [n, time, channels x bands]."""
    return z.transpose(1, 2).flatten(2)
