"""The CLAP score: how near a sound is to its prompt in the joint space of LAION's CLAP (https://arxiv.org/abs/2211.06687).

From a local folder with `laion/clap-htsat-unfused` as it is on the hub; transformers has the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dcldm_plugin.errors import DcldmError

FOLDER = "clap-htsat-unfused"
SOURCE = "https://huggingface.co/laion/clap-htsat-unfused"
SAMPLE_RATE = 48_000
LONGEST = 10 * SAMPLE_RATE  # a random piece of longer ones would be taken


class Clap:
    """Pairs of sound and prompt -> cosine of their vectors, -1 … 1."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model.eval(), processor

    @classmethod
    def read(cls, folder: Path) -> Clap:
        """Model and processor of a folder. Raises `DcldmError`."""
        from transformers import ClapModel, ClapProcessor

        try:
            return cls(
                ClapModel.from_pretrained(folder, local_files_only=True),
                ClapProcessor.from_pretrained(folder, local_files_only=True),
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise DcldmError(f"{folder} does not hold CLAP; download it from {SOURCE} ({error}).") from error

    @torch.inference_mode()
    def __call__(self, audio: NDArray[np.float32], rate: int, prompt: str) -> float:
        sound = soxr.resample(audio, rate, SAMPLE_RATE)[:LONGEST]
        given = self.processor(text=[prompt], audio=[sound], sampling_rate=SAMPLE_RATE, return_tensors="pt")
        made = self.model(**given)
        return float(functional.cosine_similarity(made.audio_embeds, made.text_embeds))
