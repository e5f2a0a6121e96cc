"""Sounds of a model to be judged: of a name in the table of models, or of a folder with a chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dcldm_plugin.backends.base import Backend
from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.engine import registry
from dcldm_plugin.evaluation.embedding import Audio
from dcldm_plugin.types import GenerationRequest, Prompt, Sampling, Seeds, unheard


@dataclass(frozen=True, slots=True)
class Take:
    """One sound [samples], mono, at `rate` Hz."""

    audio: Audio
    rate: int
    seed: int


def load(model: str, batch: int = 1) -> Backend:
    """The model of a name, or of a folder with or without a path; `batch` takes are made together.

    Raises `DcldmError`.
    """
    is_folder = model not in registry.models() and Path(model).is_dir()
    backend = registry.load(str(Path(model).absolute()) if is_folder else model, unheard)
    if isinstance(backend, DcldmBackend) and backend.model.placement.device.type == "cpu":
        backend.model.placement = replace(backend.model.placement, batch=batch)
    return backend


def label(backend: Backend) -> str:
    """What a model is called in a table: its name, or that of its folder."""
    return Path(backend.info.name).name


def takes(backend: Backend, prompt: str, seeds: Sequence[int], seconds: float, sampling: Sampling) -> Iterator[Take]:
    """One take for each seed, as `dcldm generate --seed` makes it, before it is finished."""
    request = GenerationRequest(
        id="evaluation",
        prompt=Prompt(prompt),
        seeds=tuple(Seeds.series(seed, 1)[0] for seed in seeds),
        seconds=seconds,
        model=backend.info.name,
        sampling=sampling,
    )
    with torch.inference_mode():
        for rendered in backend.render(request, unheard):
            yield Take(rendered.samples.mean(axis=0), backend.info.sample_rate, seeds[rendered.index])
