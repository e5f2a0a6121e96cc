"""Three models of coloured noise in stereo, to show what a backend is: a description, a factory, and `render`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.engine.registry import Entry
from dcldm_plugin.types import GenerationRequest, ModelInfo, Report, Sampling

STEPS = 4
WEIGHTS_BYTES = 150_000_000  # as if it had some
INFO = ModelInfo(
    name="example-noise",
    title="Example: noise in stereo",
    licence="CC0-1.0",
    commercial_use=True,
    sample_rate=44_100,
    channels=2,
    longest_seconds=30.0,
    band_hz=22_050.0,
    negative_prompt=False,
    controls=("regenerate",),
    seeds=("texture",),
    memory_bytes=WEIGHTS_BYTES,
    version="1",
)
FACTORY = "dcldm_example_backend:make"
NOISE = Entry(INFO, FACTORY)
OTHER = Entry(replace(INFO, name="example-other"), FACTORY)
LARGE = Entry(replace(INFO, name="example-large", memory_bytes=1 << 60), FACTORY)  # there is room for it alone


class ExampleBackend:
    """The texture seed draws the noise; the prompt does nothing."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info
        self.weights = np.ones(WEIGHTS_BYTES // 8)

    def keep_in(self, folder: Path) -> None:
        """There is nothing to keep."""

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        self.info.check(request)
        for index, seeds in enumerate(request.seeds):
            for step in range(STEPS):
                report("denoising", step / STEPS)
            noise = np.random.default_rng(seeds.texture).uniform(
                -0.5, 0.5, (2, round(request.seconds * self.info.sample_rate))
            )
            yield Rendered(index, noise.astype(np.float32), Sampling(steps=STEPS))


def make(report: Report, name: str) -> ExampleBackend:
    """Called in the engine process."""
    report("loading", 1.0)
    return ExampleBackend(replace(INFO, name=name))
