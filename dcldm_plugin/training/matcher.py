"""Training of the matcher: which caption of a batch belongs to which sound, by its plan and by its latent."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.matcher import Matcher, as_frames
from dcldm_plugin.models.text import mean_state
from dcldm_plugin.training.config import MatcherRecipe
from dcldm_plugin.training.denoiser import encoded, piece_of, plan_piece
from dcldm_plugin.training.draw import Draw, normal, uniform
from dcldm_plugin.training.precompute import EncodedSet

# Captions that say nearly the same are right for each other's sounds: by the cosine of their mean states.
NEARNESS = 0.03


class MatchLoss:
    """Contrast of all sounds and captions of a batch (CLIP, https://arxiv.org/abs/2103.00020, figure 3), with shares
    for captions that are alike. `books`: the codec's vectors [codebooks, size, width]."""

    def __init__(self, data: EncodedSet, books: Tensor, recipe: MatcherRecipe) -> None:
        self.data, self.books, self.recipe = data, books.cpu(), recipe

    def __call__(self, model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        assert isinstance(model, Matcher)
        data, recipe, own = self.data, self.recipe, draw.own()
        states, mask = data.texts(draw.rows, np.zeros(len(draw.rows), dtype=np.bool_))
        states, mask = states.to(draw.device), mask.to(draw.device)
        z = data.latents(draw.rows)[0]
        piece = piece_of(z.shape[2], draw.shared(), recipe.crops, recipe.from_start)
        plans = encoded(data.codes(draw.rows), self.books, own, recipe.wrong_tokens)
        plans = plan_piece(plans, piece, z.shape[2]).to(draw.device)
        z = z[:, :, piece].to(draw.device)
        if model.training and recipe.noise:  # what is generated is never as clean
            share = torch.from_numpy(uniform(own)).to(z) * recipe.noise
            z = z + share[:, None, None, None] * normal(own, tuple(z.shape[1:]), z.device)

        words = model.text(states, mask)
        means = functional.normalize(mean_state(states, mask), dim=1)
        right = torch.softmax((means @ means.T - 1.0) / NEARNESS, dim=1)
        by_plan = self._contrast(model.plans(plans) @ words.T * model.log_scale.exp(), right)
        by_latent = self._contrast(model.latents(as_frames(z)) @ words.T * model.log_scale.exp(), right)
        return {"total": by_plan + by_latent, "plan": by_plan.detach(), "latent": by_latent.detach()}

    @staticmethod
    def _contrast(logits: Tensor, right: Tensor) -> Tensor:
        both = functional.log_softmax(logits, 1) + functional.log_softmax(logits, 0)
        return -(right * both).sum(1).mean() / 2.0
