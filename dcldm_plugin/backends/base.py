"""The seam between the engine and whatever makes sound. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.types import GenerationRequest, ModelInfo, Report, Sampling


@dataclass(frozen=True, slots=True)
class Rendered:
    """One take: samples [channels, time], float32, nominally within -1 … 1, at the model's own rate."""

    index: int
    samples: NDArray[np.float32]
    sampling: Sampling


class Backend(Protocol):
    """A loaded model. A factory `make(report) -> Backend` builds it; `report` covers the loading."""

    info: ModelInfo

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """Yield each variation as it is ready. `report` is called at least at every step of every loop."""
        ...
