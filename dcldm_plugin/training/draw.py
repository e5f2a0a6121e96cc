"""What is random in a step: it depends on the seed and on places alone, whoever computes it and in which portions.

So a run that was killed goes on as if nothing had been, and two processes, or one in two portions, learn what
one would at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draw:
    """A portion of a step's batch. rows: which sounds; places: where they stand in the batch of `batch` sounds."""

    seed: int
    step: int
    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    batch: int
    device: torch.device = torch.device("cpu")  # noqa: RUF009  (immutable)

    def shared(self) -> Generator:
        """What all sounds of the step have in common."""
        return np.random.default_rng([self.seed, self.step])

    def own(self) -> list[Generator]:
        """One for each sound."""
        return [np.random.default_rng([self.seed, self.step, 1 + int(place)]) for place in self.places]


def uniform(own: list[Generator]) -> NDArray[np.float64]:
    """A number in [0, 1) for each sound."""
    return np.array([random.random() for random in own])


def normal(own: list[Generator], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal [sounds, *shape]."""
    drawn = np.stack([random.standard_normal(shape, dtype=np.float32) for random in own])
    return torch.from_numpy(drawn).to(device)


def starts(own: list[Generator], last: int) -> NDArray[np.int64]:
    """A start for each sound, 0 … last."""
    return np.array([random.integers(last + 1) for random in own], dtype=np.int64)


def rows_at(seed: int, count: int, first: int, wanted: int) -> NDArray[np.int64]:
    """Rows `first` … of an endless order in which each of `count` comes once, shuffled, then each again."""
    places = np.arange(first, first + wanted)
    return np.array([_shuffled(seed, count, int(place) // count)[int(place) % count] for place in places])


@lru_cache(maxsize=4)
def _shuffled(seed: int, count: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, 0x0DE5]).permutation(count)
