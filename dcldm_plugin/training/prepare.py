"""What training reads again and again, computed once: latents, plans and text states of captioned clips."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import EncodecModel

from dcldm_plugin.models.acoustic_lm import encode
from dcldm_plugin.models.latent import LatentSpace
from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.models.text import TextEncoder

CHUNK = 32  # clips at a time


@dataclass(frozen=True, slots=True)
class TextTable:
    """Token states of all captions: states [n, tokens, width] float16, lengths [n]. Row 0 is the empty text."""

    states: NDArray[np.float16]
    lengths: NDArray[np.int64]

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(states [batch, tokens, width], mask [batch, tokens]) of some rows, cut to the longest."""
        longest = int(self.lengths[rows].max())
        states = torch.from_numpy(self.states[rows, :longest].astype(np.float32))
        mask = torch.arange(longest)[None] < torch.from_numpy(self.lengths[rows])[:, None]
        return states, mask


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything about n clips that the language model and the denoiser learn from."""

    latents: NDArray[np.float16]  # [n, channels, time, mel], normalised
    codes: NDArray[np.uint16]  # [n, codebooks, frames]
    silence: NDArray[np.uint16]  # [codebooks, frames], the plan of no sound
    caption_row: NDArray[np.int64]  # [n], into `texts`
    texts: TextTable

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Rows of `count` clips."""
        return random.integers(len(self.caption_row), size=count)

    @classmethod
    def read(cls, folder: Path) -> Prepared:
        """What `prepare` wrote."""
        with np.load(folder / "prepared.npz") as stored:
            arrays = {name: stored[name] for name in stored.files}
        texts = TextTable(arrays.pop("text_states"), arrays.pop("text_lengths"))
        return cls(texts=texts, **arrays)


def text_table(captions: Sequence[str], encoder: TextEncoder) -> TextTable:
    """Encode captions, of which the first must be the empty text."""
    parts, lengths = [], []
    for start in range(0, len(captions), 64):
        states, mask = encoder(captions[start : start + 64])
        parts.append(states.half().numpy())
        lengths.append(mask.sum(1).numpy())
    longest = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, longest - part.shape[1]), (0, 0))) for part in parts]
    return TextTable(np.concatenate(padded), np.concatenate(lengths).astype(np.int64))


@torch.inference_mode()
def prepare(
    clips: Path,
    folder: Path,
    space: LatentSpace,
    codec: EncodecModel,
    encoder: TextEncoder,
    mel: MelConfig,
) -> None:
    """Read `clips/audio.npy` and `clips/clips.jsonl`; write `folder/prepared.npz`."""
    audio = np.load(clips / "audio.npy", mmap_mode="r")
    lines = (clips / "clips.jsonl").read_text(encoding="utf-8").splitlines()
    captions = [json.loads(line)["caption"] for line in lines]
    unique = ["", *sorted(set(captions) - {""})]
    row = {caption: index for index, caption in enumerate(unique)}
    texts = text_table(unique, encoder)

    spectrogram = MelSpectrogram(mel)
    latents, codes = [], []
    for start in range(0, len(captions), CHUNK):
        sound = torch.from_numpy(np.array(audio[start : start + CHUNK])).float() / 32768.0
        latents.append(space.encode(spectrogram(sound)).half().numpy())
        codes.append(encode(codec, sound[:, None]).to(torch.int32).numpy().astype(np.uint16))
    silence = encode(codec, torch.zeros(1, 1, audio.shape[1])).numpy().astype(np.uint16)[0]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "prepared.npz",
        latents=np.concatenate(latents),
        codes=np.concatenate(codes),
        silence=silence,
        caption_row=np.array([row[caption] for caption in captions], dtype=np.int64),
        text_states=texts.states,
        text_lengths=texts.lengths,
    )
