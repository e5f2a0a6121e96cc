"""Training of the acoustic language model (section 2.2): captions -> EnCodec tokens, codebooks delayed.

transformers' `MusicgenForCausalLM` holds AudioGen's weights exactly; here the same class is trained small.
The empty text stands for silence: that makes the acoustic encoding of the empty prompt, which equation 8
asks for, a fixed thing and not a random sound.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.acoustic_lm import delay
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.training.config import LmRecipe
from dcldm_plugin.training.draw import Draw, uniform
from dcldm_plugin.training.precompute import EncodedSet


class PlanLoss:
    """Cross-entropy of each codebook's next token."""

    def __init__(self, data: EncodedSet, recipe: LmRecipe) -> None:
        self.data, self.recipe = data, recipe

    def __call__(self, model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        assert isinstance(model, PlanModel)
        empty = uniform(draw.own()) < self.recipe.empty_text
        states, mask = self.data.texts(draw.rows, empty)
        codes = torch.where(
            torch.from_numpy(empty)[:, None, None], self.data.silence[None], self.data.codes(draw.rows)
        ).to(draw.device)

        special = model.lm.config.vocab_size
        sequence = delay(codes, special)
        logits = model(sequence[:, :, :-1], states.to(draw.device), mask.to(draw.device)).float()
        target = sequence[:, :, 1:]
        known = target != special
        losses = functional.cross_entropy(logits[known], target[known], reduction="none")
        book = torch.arange(codes.shape[1], device=draw.device)[None, :, None].expand_as(target)[known]
        terms = {f"book {k}": losses.detach()[book == k].mean() for k in range(codes.shape[1])}
        return {"total": losses.mean(), **terms}
