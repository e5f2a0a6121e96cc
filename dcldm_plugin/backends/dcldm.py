"""DC-LDM behind the backend protocol: the built-in model, and any model folder of the same format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.engine.registry import BUILTIN, describe
from dcldm_plugin.errors import EngineFailed, InvalidInput
from dcldm_plugin.models.checkpoint import read
from dcldm_plugin.models.dcldm import DualConditionedLatentDiffusion
from dcldm_plugin.models.plan_cache import PlanCache
from dcldm_plugin.models.schedule import make_sampler
from dcldm_plugin.models.variation import Variations
from dcldm_plugin.types import GenerationRequest, ModelInfo, Report

BUILTIN_FOLDER = Path(__file__).parent.parent / "builtin"


class DcldmBackend:
    """One loaded chain."""

    def __init__(self, info: ModelInfo, model: DualConditionedLatentDiffusion) -> None:
        self.info, self.model = info, model
        model.version = info.version
        self.variations = Variations(model, info.name, info.version)

    def keep_in(self, folder: Path) -> None:
        """Plans, which are what takes longest, are kept in `plans` there."""
        self.model.cache = PlanCache(folder / "plans")

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """As many takes at once as the model's placement says; by itself each can be heard while the next is made."""
        self.info.check(request)
        if request.sampling.purify is not None and self.model.config.defaults.purify is None:
            raise InvalidInput(f"The model {self.info.name!r} has nothing to purify; leave it out or use a bridge.")
        if (request.sampling.candidates or 1) > 1 and self.model.matcher is None:
            raise InvalidInput(
                f"The model {self.info.name!r} can't tell which of several candidates fits the words; leave them out."
            )
        sampling = self.model.config.defaults.fill(request.sampling, request.prompt.text)
        assert sampling.sampler is not None
        make_sampler(sampling.sampler)  # an unknown name is refused before anything is computed
        for index, audio in enumerate(self.variations.takes(request, sampling, report)):
            samples = audio.cpu().numpy().astype(np.float32)
            if not np.isfinite(samples).all():
                raise EngineFailed(
                    f"The model {self.info.name!r} gave numbers that are no sound; "
                    "try another seed or a smaller guidance scale."
                )
            known, level = self.model.read_as(request.prompt.text), self.variations.level(request.only(index), report)
            yield Rendered(index, samples, sampling, level, "" if known == request.prompt.text else known)


def make_builtin(report: Report, name: str = BUILTIN.name) -> DcldmBackend:
    """The model that comes with the package."""
    return _small(report, BUILTIN, BUILTIN_FOLDER)


def make_folder(report: Report, name: str) -> DcldmBackend:
    """A model of the built-in one's kind in a folder of the user's, whose path is its name."""
    return _small(report, describe(name), Path(name).expanduser())


def _small(report: Report, info: ModelInfo, folder: Path) -> DcldmBackend:
    report("loading", 0.0)
    # A second thread helps, more cost time: the matrices are small.
    torch.set_num_threads(min(2, torch.get_num_threads()))
    model, version = read(folder)
    report("loading", 1.0)
    return DcldmBackend(replace(info, version=version), model)
