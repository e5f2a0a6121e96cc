"""Audio pipelines of diffusers: AudioLDM, AudioLDM 2, MusicLDM, Stable Audio Open and 3, LongCat-AudioDiT, ACE-Step.

The texture seed draws everything. Where the sampler draws nothing after the first noise, that noise can be moved
towards another one (re-texture); Stable Audio can begin with a given sound (purify). None of them has a plan.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dcldm_plugin import pipelines
from dcldm_plugin.backends.audiogen import installed_info
from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.engine.registry import describe
from dcldm_plugin.errors import DcldmError, EngineFailed, InvalidInput
from dcldm_plugin.local_weights import check_whole
from dcldm_plugin.models import encodings
from dcldm_plugin.models.course import between
from dcldm_plugin.models.device import choose_device, choose_dtype, place
from dcldm_plugin.models.lineage import can_be_remade, check_versions
from dcldm_plugin.models.variation import read_reference
from dcldm_plugin.settings import home_folder
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, ModelInfo, Report, Sampling

BYTES_PER_PARAMETER = 4  # of the files; half of that is counted double, which errs on the safe side


class PipelineBackend:
    """One loaded pipeline."""

    def __init__(self, info: ModelInfo, pipeline: Any) -> None:
        self.info, self.pipeline = info, pipeline
        self.kind = pipelines.PIPELINES[type(pipeline).__name__]
        self.guided = not getattr(pipeline, "is_turbo", False)  # ACE-Step, where it was distilled
        if not self.guided:
            self.kind = replace(self.kind, guidance_scale=1.0)

    def keep_in(self, folder: Path) -> None:
        """There is nothing that would be of use again."""

    @torch.inference_mode()
    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """One take after the other. Raises `InvalidInput` for what the pipeline does not have."""
        self.info.check(request)
        sampling = self._sampling(request)
        check_versions(request, self.info.version)
        for index in range(len(request.seeds)):
            take = replace(request.only(index), sampling=sampling)
            yield Rendered(index, self._audio(take, report), sampling)

    def _sampling(self, request: GenerationRequest) -> Sampling:
        asked = request.sampling
        if asked != Sampling(steps=asked.steps, guidance_scale=asked.guidance_scale):
            raise InvalidInput(
                f"The model {self.info.name!r} has steps and a guidance scale to choose, and nothing else; "
                "leave sampler, guidance interval and purify out."
            )
        scale = self.kind.guidance_scale if asked.guidance_scale is None else asked.guidance_scale
        if not self.guided and scale != 1.0:
            raise InvalidInput(
                f"The model {self.info.name!r} was distilled and takes no guidance; leave the scale out."
            )
        if request.prompt.negative and scale <= 1.0:
            raise InvalidInput("A negative prompt needs a guidance scale above 1; raise it or leave the prompt out.")
        return Sampling(steps=asked.steps or self.info.steps, guidance_scale=scale)

    def _audio(self, take: GenerationRequest, report: Report) -> NDArray[np.float32]:
        """The samples [channels, time] of a request for one take; its sampling has no gaps."""
        source = None
        if take.control is not None and take.control.kind == "purify":
            source = self._source(take, report)
            if take.control.amount == 0.0:
                return source.numpy()
        report("reading", 0.0)
        options = self._options(take, report)
        with warnings.catch_warnings():
            # torchsde's complaint about a schedule's ends, which are off by a rounding error
            warnings.filterwarnings("ignore", "Should have t[ab]", UserWarning)
            if source is None:
                audio = self.pipeline(**options).audios
            elif hasattr(self.pipeline, "duration_embedder"):
                audio = self._begun_3(take, source, options)
            else:
                audio = self._begun(take, source, options)
        report("decoding", 1.0)
        samples = np.asarray(audio[0], dtype=np.float32)
        return np.atleast_2d(samples)[:, : round(take.seconds * self.info.sample_rate)]

    def _options(self, take: GenerationRequest, report: Report) -> dict[str, Any]:
        """What every call is told."""
        steps, control = take.sampling.steps or self.kind.steps, take.control
        seed = take.seeds[0].texture
        options = {
            "prompt": take.prompt.text,
            self.kind.length: self._asked(take.seconds),
            "num_inference_steps": steps,
            "guidance_scale": take.sampling.guidance_scale,
            "generator": torch.Generator().manual_seed(seed),
            "output_type": "np",
        } | _callback(self.pipeline, steps, report)
        if take.prompt.negative:
            options["negative_prompt"] = take.prompt.negative
        if self.kind.noise_given or (control is not None and control.kind == "retexture"):
            options["latents"] = self._noise(take, take.seconds)
        return options

    def _asked(self, seconds: float) -> float:
        """The length to ask for: a pipeline with a vocoder leaves out what is no whole frame of its mel spectrogram."""
        if not hasattr(self.pipeline, "vocoder"):
            return seconds
        rate = self.info.sample_rate
        return (self._latent_steps(seconds) * self._latent_hop() + 0.5) / rate  # half a sample, for it rounds down

    def _latent_hop(self) -> int:
        """Samples in a latent step of a pipeline with a vocoder."""
        hop: int = math.prod(self.pipeline.vocoder.config.upsample_rates) * self.pipeline.vae_scale_factor
        return hop

    def _latent_steps(self, seconds: float) -> int:
        return math.ceil(round(seconds * self.info.sample_rate) / self._latent_hop())

    # Re-texture

    def _noise(self, take: GenerationRequest, seconds: float) -> Tensor:
        """The noise that a take is made of, as its sampler draws it, or on the way there.

        [1, channels, time, mel] of a pipeline with a vocoder, [1, time, channels] of one without.
        """
        control = take.control
        fresh = self._drawn(take.seeds[0].texture, seconds)
        if control is None or control.kind != "retexture":
            return fresh
        return between(self._noise(control.parents[0].request, seconds), fresh, control.amount)

    def _drawn(self, seed: int, seconds: float) -> Tensor:
        pipeline = self.pipeline
        shape: tuple[int, ...]
        if hasattr(pipeline, "vocoder"):
            denoiser = pipeline.unet
            bands = pipeline.vocoder.config.model_in_dim // pipeline.vae_scale_factor
            shape = (1, denoiser.config.in_channels, self._latent_steps(seconds), bands)
        elif hasattr(pipeline, "latents_per_second"):
            denoiser = pipeline.transformer
            shape = (1, math.ceil(seconds * pipeline.latents_per_second), denoiser.config.audio_acoustic_hidden_dim)
        else:
            denoiser, hop = pipeline.transformer, pipeline.vae_scale_factor
            shape = (1, math.ceil(round(seconds * pipeline.sample_rate) / hop), pipeline.latent_dim)
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=denoiser.dtype)

    # Purify

    def _source(self, take: GenerationRequest, report: Report) -> Tensor:
        """The sound that a take begins with, [channels, time] at the pipeline's rate."""
        control, rate = take.control, self.info.sample_rate
        assert control is not None
        if control.audio is not None and not can_be_remade(control, self.info.name, self.info.version):
            return read_reference(control.audio, take.seconds, rate, self.info.channels)
        parent = control.parents[0].request
        made = torch.from_numpy(self._audio(replace(parent, sampling=self._sampling(parent)), report))
        return encodings.fitted(made, round(take.seconds * rate))

    def _begun(self, take: GenerationRequest, source: Tensor, options: Mapping[str, Any]) -> Any:
        """Stable Audio Open from a sound under so much noise that the rest of the schedule can take it away.

        The schedule's first sigma is lowered, as stable-audio-tools does for its `init_noise_level`; on the way
        from the last sigma to the first its logarithm is even.
        """
        assert take.control is not None
        pipeline, scheduler = self.pipeline, self.pipeline.scheduler
        low, high = float(scheduler.config.sigma_min), float(scheduler.config.sigma_max)
        sigma = low * (high / low) ** take.control.amount
        try:
            pipeline.scheduler = type(scheduler).from_config(scheduler.config, sigma_max=max(sigma, 1.001 * low))
            sound = source[None].to(pipeline.vae.device, pipeline.vae.dtype)
            return pipeline(
                **options, initial_audio_waveforms=sound, initial_audio_sampling_rate=self.info.sample_rate
            ).audios
        finally:
            pipeline.scheduler = scheduler

    def _begun_3(self, take: GenerationRequest, source: Tensor, options: Mapping[str, Any]) -> Any:
        """Stable Audio 3 has a pipeline of the same components for that, without guidance."""
        from diffusers import StableAudio3AudioToAudioPipeline

        assert take.control is not None
        pipeline = StableAudio3AudioToAudioPipeline(**self.pipeline.components)
        pipeline.set_progress_bar_config(disable=True)
        taken = {name: value for name, value in options.items() if name not in {"guidance_scale", "negative_prompt"}}
        sound = source[None].to(pipeline.vae.device, pipeline.vae.dtype)
        return pipeline(**taken, audio=sound, init_noise_level=take.control.amount).audios


def _callback(pipeline: Any, steps: int, report: Report) -> dict[str, Any]:
    """Progress, and a place to leave the loop, at every step: pipelines have it under one of two names."""

    def told(step: int) -> None:
        report("denoising", min(1.0, (step + 1) / steps))
        if step + 1 >= steps:
            report("decoding", 0.0)

    def on_step_end(pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        told(step)
        return {}

    def callback(step: int, timestep: Any, latents: Any) -> None:
        told(step)

    if "callback_on_step_end" in inspect.signature(pipeline.__call__).parameters:
        return {"callback_on_step_end": on_step_end}
    return {"callback": callback, "callback_steps": 1}


def make(report: Report, name: str, models: Path | None = None) -> PipelineBackend:
    """An installed model. models: see `tango.make`. Raises `DcldmError`."""
    store = Store(models or home_folder() / "models")
    folder = store.paths(name)[name]
    if not (folder / pipelines.INDEX).is_file():
        raise DcldmError(
            f"{name} was installed from one file, which only serves as a source of its VAE; to run it, remove it "
            f"and run `dcldm models install {name}`."
        )
    return _loaded(installed_info(store, name), folder, report)


def make_folder(report: Report, name: str) -> PipelineBackend:
    """The pipeline in a folder of the user's, whose path is its name. Raises `DcldmError`."""
    return _loaded(describe(name), Path(name).expanduser(), report)


def _loaded(info: ModelInfo, folder: Path, report: Report) -> PipelineBackend:
    import diffusers
    from transformers.utils import logging

    report("loading", 0.0)
    diffusers.utils.logging.set_verbosity_error()  # what is wrong is raised; the rest is for developers
    diffusers.utils.logging.disable_progress_bar()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    index = pipelines.read_index(folder)
    device = choose_device()
    dtype = choose_dtype(device)
    counts = [size // BYTES_PER_PARAMETER for size in pipelines.weights_bytes(folder).values()]
    # On a CPU there is nowhere for a part to wait: all of it must fit.
    placement = place(counts if device.type != "cpu" else [sum(counts)])
    for path in folder.rglob("*"):
        if path.suffix in pipelines.WEIGHTS:
            check_whole(path)
    name = index["_class_name"]
    if not hasattr(diffusers, name):
        raise DcldmError(f"This version of diffusers has no {name}; install diffusers 0.42 or newer.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations of classes that are there and work
            components = dict(_components(index, folder, dtype, report))
            pipeline = getattr(diffusers, name).from_pretrained(folder, local_files_only=True, **components)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError) as error:
        what = " ".join(str(error).split())[:160]
        raise EngineFailed(f"{folder} can't be loaded as {name} ({what}); fetch it again.") from error
    if name == "MusicLDMPipeline":
        _mend_features(pipeline.text_encoder)
    pipeline.set_progress_bar_config(disable=True)
    if placement.keep == "device":
        pipeline.to(device)
    else:
        pipeline.enable_model_cpu_offload(device=device)
    report("loading", 1.0)
    return PipelineBackend(info, pipeline)


def _mend_features(clap: Any) -> None:
    """transformers 5 answers with an object where MusicLDM, which diffusers no longer keeps up, expects its vector."""
    features = clap.get_text_features
    clap.get_text_features = lambda *given, **named: features(*given, **named).pooler_output


def _components(
    index: Mapping[str, Any], folder: Path, dtype: torch.dtype, report: Report
) -> Iterator[tuple[str, torch.nn.Module]]:
    """Each component that has weights, with all of them: the libraries would draw missing ones at random.

    Raises `ValueError` where some are missing.
    """
    import diffusers
    import transformers

    with_weights = pipelines.weights_bytes(folder).keys() & index.keys()
    for number, component in enumerate(sorted(with_weights)):
        report("loading", number / len(with_weights))
        library, name = index[component]
        # AudioLDM 2's folder names GPT-2 without its head, which can't be asked for the next state:
        # https://github.com/huggingface/diffusers/issues/12630
        name = "GPT2LMHeadModel" if (component, name) == ("language_model", "GPT2Model") else name
        load = getattr(transformers if library == "transformers" else diffusers, name).from_pretrained
        model, found = load(
            folder, subfolder=component, local_files_only=True, torch_dtype=dtype, output_loading_info=True
        )
        if missing := sorted(found["missing_keys"]):
            raise ValueError(f"{component} lacks {missing[0]} and {len(missing) - 1} more")
        yield component, model.eval()
