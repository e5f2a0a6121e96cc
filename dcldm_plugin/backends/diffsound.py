"""Diffsound: tokens of a mel-spectrogram by discrete diffusion. The texture seed draws everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from dcldm_plugin.backends.audiogen import installed_info
from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models.diffsound import SAMPLE_RATE, STEPS, Diffsound, load_diffsound
from dcldm_plugin.settings import home_folder
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, ModelInfo, Report, Sampling


class DiffsoundBackend:
    """Its clips have one length, and are cut. It computes on the CPU."""

    def __init__(self, info: ModelInfo, model: Diffsound) -> None:
        self.info, self.model = info, model

    def keep_in(self, folder: Path) -> None:
        """There is nothing that would be of use again."""

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """One take after the other. Raises `InvalidInput` for what it does not have."""
        self.info.check(request)
        if request.sampling not in (Sampling(), Sampling(steps=STEPS)):
            raise InvalidInput(f"The model {self.info.name!r} has {STEPS} steps and no guidance; leave sampling out.")
        for index, seeds in enumerate(request.seeds):
            generator = torch.Generator().manual_seed(seeds.texture)
            audio = self.model.sample(request.prompt.text, generator, report)
            samples = audio[:, : round(request.seconds * SAMPLE_RATE)].numpy()
            yield Rendered(index, samples.astype(np.float32), Sampling(steps=STEPS))


def make(report: Report, name: str, models: Path | None = None) -> DiffsoundBackend:
    """The installed weights. models: see `tango.make`. Raises `DcldmError`."""
    store = Store(models or home_folder() / "models")
    parts = store.paths(name)
    folder = parts["diffsound"]
    model = load_diffsound(folder / "diffsound.pth", folder / "best_netG.pt", parts["clip-tokenizer"], report)
    return DiffsoundBackend(installed_info(store, name), model)
