"""The seam between the engine and whatever makes sound. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.types import GenerationRequest, Level, ModelInfo, Report, Sampling


@dataclass(frozen=True, slots=True)
class Rendered:
    """One take: samples [channels, time], float32, nominally within -1 … 1, at the model's own rate.

    level: for a take that is another in part: what finishing did to that one's level.
    read_as: the words that the model took the prompt for, where it knows others than those.
    """

    index: int
    samples: NDArray[np.float32]
    sampling: Sampling
    level: Level | None = None
    read_as: str = ""


class Backend(Protocol):
    """A loaded model. A factory `make(report) -> Backend` builds it; `report` covers the loading."""

    info: ModelInfo

    def keep_in(self, folder: Path) -> None:
        """Where it may keep what costs time to make again. Called before `render`, any number of times."""
        ...

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """Yield each variation as it is ready. `report` is called at least at every step of every loop."""
        ...
