"""Training of the acoustic language model (section 2.2): captions -> EnCodec tokens, codebooks delayed.

transformers' `MusicgenForCausalLM` holds AudioGen's weights exactly; here the same class is trained small.
The empty text stands for silence: that makes the acoustic encoding of the empty prompt, which equation 8
asks for, a fixed thing and not a random sound.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.acoustic_lm import delay
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.training.prepare import Prepared

EMPTY_TEXT_SHARE = 0.04


class PlanLoss:
    """Cross-entropy of each codebook's next token."""

    def __init__(self, data: Prepared, *, batch: int) -> None:
        self.data, self.batch = data, batch

    def __call__(self, model: nn.Module, random: np.random.Generator) -> dict[str, Tensor]:
        assert isinstance(model, PlanModel)
        data = self.data
        rows = data.draw(random, self.batch)
        empty = random.random(self.batch) < EMPTY_TEXT_SHARE
        codes = np.where(empty[:, None, None], data.silence, data.codes[rows]).astype(np.int64)
        states, mask = data.texts.batch(np.where(empty, 0, data.caption_row[rows]))

        special = model.lm.config.vocab_size
        sequence = delay(torch.from_numpy(codes), special)
        logits = model(sequence[:, :, :-1], states, mask)  # [batch, codebooks, steps, vocabulary]
        target = sequence[:, :, 1:]
        known = target != special
        losses = functional.cross_entropy(logits[known], target[known], reduction="none")
        book = torch.arange(codes.shape[1])[None, :, None].expand_as(target)[known]
        terms = {f"book {k}": losses[book == k].mean() for k in range(codes.shape[1])}
        return {"total": losses.mean(), **terms}
