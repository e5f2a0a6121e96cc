"""What audiocraft runs itself: MAGNeT (https://arxiv.org/abs/2401.04577), and AudioGen as the reference.

From local folders in audiocraft's own format; a hub is never asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dcldm_plugin.backends.audiogen import guidance, installed_info, whole_frames
from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models.audiocraft import attend_as, load_pretrained
from dcldm_plugin.models.device import choose_device
from dcldm_plugin.settings import home_folder
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, ModelInfo, Report, Sampling

Kind = Literal["AudioGen", "MAGNeT"]
TOP_K = 250  # AudioGen's own


class AudiocraftBackend:
    """One of audiocraft's generators. The structure seed draws everything."""

    def __init__(self, info: ModelInfo, generator: Any, kind: Kind) -> None:
        self.info, self.generator, self.kind = info, generator, kind

    def keep_in(self, folder: Path) -> None:
        """There is nothing that would be of use again."""

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """One take after the other; what MAGNeT makes has one length, and is cut."""
        self.info.check(request)
        generator, sampling = self.generator, Sampling()
        attend_as(self.kind)
        if self.kind == "MAGNeT":
            if request.sampling != Sampling():
                raise InvalidInput(
                    f"The model {self.info.name!r} has its own schedule; leave sampling and guidance out."
                )
        else:
            sampling = Sampling(guidance_scale=guidance(request, self.info))
            frames = whole_frames(request.seconds, generator.frame_rate)
            generator.set_generation_params(
                duration=frames / generator.frame_rate,
                top_k=min(TOP_K, generator.lm.card),
                cfg_coef=sampling.guidance_scale,
            )
        generator.set_custom_progress_callback(lambda done, total: report("planning", done / max(1, total)))
        report("reading", 0.0)
        for index, seeds in enumerate(request.seeds):
            # Its draws come from torch's own stream, which is put back afterwards.
            with torch.random.fork_rng(), torch.inference_mode():
                torch.manual_seed(seeds.structure)
                audio = generator.generate([request.prompt.text], progress=True)[0]
            report("decoding", 1.0)
            samples = audio[:, : round(request.seconds * generator.sample_rate)].float().cpu().numpy()
            yield Rendered(index, samples.astype(np.float32), sampling)


def make(report: Report, name: str, models: Path | None = None) -> AudiocraftBackend:
    """The model of that name. models: see `tango.make`. Raises `DcldmError` where audiocraft is not installed."""
    store = Store(models or home_folder() / "models")
    parts = store.paths(name)
    report("loading", 0.0)
    kind: Kind = "AudioGen" if "audiogen-medium" in parts else "MAGNeT"
    folder = parts["audiogen-medium" if kind == "AudioGen" else name]
    generator = load_pretrained(kind, folder, parts["t5-large"], choose_device())
    report("loading", 1.0)
    return AudiocraftBackend(installed_info(store, name), generator, kind)
