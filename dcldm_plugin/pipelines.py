"""What the folder of an audio pipeline of diffusers says of itself, before anything of it is loaded.

https://huggingface.co/docs/diffusers/using-diffusers/loading: `model_index.json` names the pipeline's class and the
class of each component, which has a folder of its own. Knows no torch.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.sources import NOISE_CONTROLS, START_CONTROLS, TANGO_SECONDS, WORKING_BYTES
from dcldm_plugin.types import ModelInfo

INDEX = "model_index.json"
MAX_CONFIG_BYTES = 4_000_000
DISTILLED_STEPS = 8  # of Stable Audio 3
LONGCAT_SECONDS = 30.0  # `max_wav_duration` of its pipeline, of which whole latent frames are made
ACE_STEP_SECONDS = 600.0  # https://huggingface.co/docs/diffusers/api/pipelines/ace_step
HEAD_BYTES = 1 << 20  # of each file, by which versions are told apart
WEIGHTS = (".safetensors", ".bin")
# Where the classes of components may come from: nothing else is imported for a folder's sake.
LIBRARIES = {"diffusers", "transformers", "audioldm2", "stable_audio", "stable_audio_3", "ace_step"}
RANDOM_SAMPLERS = ("SDE", "Ancestral")  # in the names of schedulers that draw noise at every step


@dataclass(frozen=True, slots=True)
class Pipeline:
    """How one class of pipeline is called.

    length: its argument for the seconds. steps, guidance_scale: of its authors. noise_given: it is always called with
    its first noise, since its own would be cut to whole latent frames and fall short of the seconds. made: components
    that its index names, but diffusers makes by itself: they have no folder. optional: those that may be left out.
    negative: it takes a negative prompt.
    """

    length: str
    steps: int
    guidance_scale: float
    controls: tuple[str, ...]
    noise_given: bool = False
    made: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    negative: bool = True


PIPELINES: Mapping[str, Pipeline] = {
    "AudioLDMPipeline": Pipeline("audio_length_in_s", 200, 2.5, NOISE_CONTROLS),
    "AudioLDM2Pipeline": Pipeline("audio_length_in_s", 200, 3.5, NOISE_CONTROLS),
    "MusicLDMPipeline": Pipeline("audio_length_in_s", 200, 2.0, NOISE_CONTROLS),
    "StableAudioPipeline": Pipeline("audio_end_in_s", 100, 7.0, START_CONTROLS),
    "StableAudio3Pipeline": Pipeline("duration", 100, 1.0, START_CONTROLS),
    "LongCatAudioDiTPipeline": Pipeline("audio_duration_s", 16, 4.0, NOISE_CONTROLS, True, ("scheduler",)),
    "AceStepPipeline": Pipeline(
        "audio_duration", 8, 7.0, NOISE_CONTROLS,
        optional=("audio_tokenizer", "audio_token_detokenizer"), negative=False,
    ),
}  # fmt: skip


def read_index(folder: Path) -> dict[str, Any]:
    """`model_index.json`, with a class of `PIPELINES` and components of known libraries. Raises `InvalidInput`."""
    index = _read(folder / INDEX)
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise InvalidInput(
            f"{folder} is a {str(name)[:60]}, which is not run here; choose the folder of one of: "
            f"{', '.join(PIPELINES)}."
        )
    called = PIPELINES[str(name)]
    for component, kind in index.items():
        if component.startswith("_") or (component in called.optional and kind == [None, None]):
            continue
        if not isinstance(kind, list) or len(kind) != 2 or kind[0] not in LIBRARIES:
            raise InvalidInput(f"{folder / INDEX} names a {component!r} of an unknown library; fetch the folder again.")
        if component not in called.made and not (folder / component).is_dir():
            raise InvalidInput(f"{folder} has no folder {component!r}, so it is not complete; fetch it again.")
    return index


def describe(folder: Path) -> ModelInfo:
    """What is known of the pipeline in a folder. Raises `InvalidInput` for one that is none, or not whole."""
    index = read_index(folder)
    kind = index["_class_name"]
    try:
        rate, channels, seconds = _sound(folder, kind)
        called = PIPELINES[kind]
        negative, steps, controls = called.negative, called.steps, called.controls
        # That of diffusers' own making draws nothing.
        scheduler = {} if "scheduler" in called.made else _read(folder / "scheduler" / "scheduler_config.json")
        if kind == "StableAudio3Pipeline" and scheduler.get("stochastic_sampling") is True:
            negative, steps = False, DISTILLED_STEPS  # what was distilled has no guidance
        sampler = f"{scheduler.get('_class_name')} {scheduler.get('algorithm_type', '')}"
        if kind == "AceStepPipeline" and scheduler.get("stochastic_sampling") is True:
            raise ValueError("its sampler would draw noise that no seed is given for")
        if any(name.lower() in sampler.lower() for name in RANDOM_SAMPLERS):
            controls = tuple(name for name in controls if name != "retexture")
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{folder} is not described as a {kind} is ({error}); fetch it again.") from error
    return ModelInfo(
        name=str(folder),
        title=f"{folder.name} ({kind.removesuffix('Pipeline')})",
        licence="not stated; see its model card",
        commercial_use=False,
        sample_rate=rate,
        channels=channels,
        longest_seconds=seconds,
        band_hz=rate / 2,
        negative_prompt=negative,
        version=version(folder),
        steps=steps,
        controls=controls,
        seeds=("texture",),
        memory_bytes=sum(weights_bytes(folder).values()) + WORKING_BYTES,
    )


def weights_bytes(folder: Path) -> dict[str, int]:
    """The size on disk of each component's weights; of a component in several formats, the one that is read."""
    sizes = {}
    for component in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [path for path in component.iterdir() if path.suffix in WEIGHTS]
        chosen = [path for path in files if path.suffix == ".safetensors"] or files
        if chosen:
            sizes[component.name] = sum(path.stat().st_size for path in chosen)
    return sizes


def version(folder: Path) -> str:
    """A name for the bytes of a folder: by the names, the sizes and the first megabyte of its files."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in {*WEIGHTS, ".json"}):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(HEAD_BYTES))
    return digest.hexdigest()[:12]


def _sound(folder: Path, kind: str) -> tuple[int, int, float]:
    """Rate in Hz, channels, and the longest clip in seconds."""
    if "LDM" in kind:
        return int(_read(folder / "vocoder" / "config.json")["sampling_rate"]), 1, TANGO_SECONDS
    vae = _read(folder / "vae" / "config.json")
    if kind == "LongCatAudioDiTPipeline":
        rate, hop = int(vae["sample_rate"]), int(vae["downsampling_ratio"])
        if rate < 1 or hop < 1:
            raise ValueError(f"{rate} Hz in steps of {hop} samples")
        return rate, int(vae["in_channels"]), LONGCAT_SECONDS * rate // hop * hop / rate
    rate, channels = int(vae["sampling_rate"]), int(vae["audio_channels"])
    if kind == "AceStepPipeline":
        return rate, channels, ACE_STEP_SECONDS
    if kind == "StableAudio3Pipeline":
        return rate, channels, float(_read(folder / "duration_embedder" / "config.json")["max_val"])
    steps = int(_read(folder / "transformer" / "config.json")["sample_size"])
    longest = steps * math.prod(vae["downsampling_ratios"]) / rate
    return rate, channels, min(longest, float(_read(folder / "projection_model" / "config.json")["max_value"]))


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(MAX_CONFIG_BYTES))
    except OSError as error:
        raise InvalidInput(f"{path} is missing ({error.strerror}); fetch the folder again.") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is damaged; fetch the folder again.") from error
    if not isinstance(values, dict):
        raise InvalidInput(f"{path} does not describe a pipeline of diffusers; choose another folder.")
    return values
