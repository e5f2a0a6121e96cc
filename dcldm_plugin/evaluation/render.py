"""Sounds of a model to be judged: of a name in the table of models, or of a folder with a chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from dcldm_plugin.backends.base import Backend
from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.embedding import Audio
from dcldm_plugin.models import checkpoint
from dcldm_plugin.types import GenerationRequest, Prompt, Sampling, Seeds


@dataclass(frozen=True, slots=True)
class Take:
    """One sound [samples], mono, at `rate` Hz."""

    audio: Audio
    rate: int
    seed: int


def load(model: str, batch: int = 1) -> Backend:
    """The model of a name, or of a folder as `models.checkpoint` writes it; `batch` takes are made together.

    Raises `DcldmError`.
    """
    if model in registry.models():
        backend = registry.load(model, lambda stage, fraction: None)
    elif Path(model).is_dir():
        chain, version = checkpoint.read(Path(model))
        backend = DcldmBackend(replace(registry.BUILTIN, name=Path(model).name, version=version), chain)
    else:
        raise InvalidInput(f"{model!r} is neither a model nor a folder with one; see `dcldm models list`.")
    if isinstance(backend, DcldmBackend) and backend.model.placement.device.type == "cpu":
        chain = backend.model
        chain.placement = replace(chain.placement, batch=batch)
    return backend


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
        for rendered in backend.render(request, lambda stage, fraction: None):
            yield Take(rendered.samples.mean(axis=0), backend.info.sample_rate, seeds[rendered.index])
