"""The acoustic plan: text states -> EnCodec tokens (the language model) -> E_t2a (the codec's vectors).

`PlanModel` is transformers' `MusicgenForCausalLM` with the projection of the text in front of it, as
`MusicgenForConditionalGeneration` has it, so AudioGen's weights fit as they are. Training goes through
`forward`; sampling through `acoustic_lm.sample_codes`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import MusicgenForCausalLM
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig


class PlanModel(nn.Module):
    """Text states -> next-token logits over delayed EnCodec tokens."""

    def __init__(self, config: MusicgenDecoderConfig, text_width: int) -> None:
        super().__init__()
        self.lm = MusicgenForCausalLM(config)
        self.enc_to_dec_proj = nn.Linear(text_width, config.hidden_size)

    def forward(self, sequence: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """sequence [batch, codebooks, steps], states [batch, tokens, text width], mask [batch, tokens]
        -> logits [batch, codebooks, steps, vocabulary]."""
        batch, books, steps = sequence.shape
        output = self.lm(
            input_ids=sequence.reshape(batch * books, steps),
            encoder_hidden_states=self.enc_to_dec_proj(states),
            encoder_attention_mask=mask.long(),
            use_cache=False,
        )
        return torch.as_tensor(output.logits).view(batch, books, steps, -1)
