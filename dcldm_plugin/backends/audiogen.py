"""AudioGen by itself (Kreuk et al., https://arxiv.org/abs/2209.15352): text, tokens, sound; no diffusion."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm, assembly
from dcldm_plugin.settings import home_folder
from dcldm_plugin.sources import MODELS
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, ModelInfo, Report, Sampling

GUIDANCE_SCALE = 3.0  # AudioGen's own


class AudioGenBackend:
    """The structure seed draws the tokens; there is no texture to draw."""

    def __init__(self, info: ModelInfo, parts: assembly.AudioGenAlone) -> None:
        self.info, self.parts = info, parts

    def keep_in(self, folder: Path) -> None:
        """There is nothing that would be of use again."""

    @torch.inference_mode()
    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """One take after the other. Raises `InvalidInput` for what only diffusion has."""
        self.info.check(request)
        scale = guidance(request, self.info)
        parts = self.parts
        report("reading", 0.0)
        states, mask = parts.text([request.prompt.text])
        device = next(parts.plan.parameters()).device
        dtype = parts.plan.enc_to_dec_proj.weight.dtype
        states = parts.plan.enc_to_dec_proj(states.to(device, dtype))
        frames = whole_frames(request.seconds, parts.codec.config.frame_rate)
        for index, seeds in enumerate(request.seeds):
            codes = acoustic_lm.sample_codes(
                parts.plan.lm,
                states,
                mask.to(device),
                frames,
                generators=[torch.Generator().manual_seed(seeds.structure)],
                guidance_scale=scale,
                report=report,
            )
            report("decoding", 0.0)
            vectors = acoustic_lm.latents(parts.codec, codes)
            audio = torch.as_tensor(parts.codec.decoder(vectors.transpose(1, 2)))[0]
            samples = audio[:, : round(request.seconds * parts.codec.config.sampling_rate)]
            report("decoding", 1.0)
            yield Rendered(index, samples.float().cpu().numpy().astype(np.float32), Sampling(guidance_scale=scale))


def whole_frames(seconds: float, rate: float) -> int:
    """How many frames a clip needs. A thousandth of one is rounding, and makes no frame."""
    return math.ceil(seconds * rate - 1e-3)


def guidance(request: GenerationRequest, info: ModelInfo) -> float:
    """The guidance scale that is asked for. Raises `InvalidInput` for what only diffusion has."""
    scale = request.sampling.guidance_scale
    if request.sampling != Sampling(guidance_scale=scale):
        raise InvalidInput(
            f"The model {info.name!r} has a guidance scale and nothing else to choose: it has no denoiser; "
            "leave sampler, steps, guidance interval and purify out."
        )
    return GUIDANCE_SCALE if scale is None else scale


def make(report: Report, name: str, models: Path | None = None) -> AudioGenBackend:
    """AudioGen medium in transformers' classes, in 8 bits on a CPU. models: see `tango.make`."""
    store = Store(models or home_folder() / "models")
    parts = store.paths(name)
    alone = assembly.audiogen_alone(parts["audiogen-medium"], parts["t5-large"], report)
    return AudioGenBackend(installed_info(store, name), alone)


def installed_info(store: Store, name: str) -> ModelInfo:
    """An installed model, with a version that names the bytes of all its files."""
    digest = hashlib.sha256()
    for part in MODELS[name].parts:
        if manifest := store.manifest(part):
            digest.update("".join(file.sha256 for _, file in sorted(manifest.files.items())).encode())
    return replace(MODELS[name].info, version=digest.hexdigest()[:12])
