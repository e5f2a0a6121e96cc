"""Public weights put together: TANGO alone, the bridge, and what the user trained from them.

Each is one `DualConditionedLatentDiffusion` at full size, from folders with the published files.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import EncodecModel

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audiogen import load_audiogen
from dcldm_plugin.models.audioldm import load_audio_parts
from dcldm_plugin.models.bridge import PURIFY, Bridge
from dcldm_plugin.models.dcldm import FULL_SIZE_DEFAULTS, ChainConfig, DualConditionedLatentDiffusion
from dcldm_plugin.models.device import Placement, place, quantised
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.tango import Adapter, load_denoiser, load_text_encoder, parameter_counts, read_adapter
from dcldm_plugin.models.text import T5_TOKENS, TextEncoder
from dcldm_plugin.models.unet import DualUNet
from dcldm_plugin.types import Report

TANGO_STEPS = 256  # 10.24 s, the one length on which TANGO was trained
BYTES_PER_PARAMETER = 2  # of AudioGen's file
T5_LARGE_PARAMETERS = 335_000_000
TANGO_DEFAULTS = replace(FULL_SIZE_DEFAULTS, guidance_scale=3.0)  # TANGO's own; DC-LDM is best at 4


@dataclass(frozen=True, slots=True)
class Folders:
    """Where the published files are. tokenizer: FLAN-T5's. audiogen_text: AudioGen's text encoder, T5-large."""

    tango: Path
    tokenizer: Path
    audiogen: Path | None = None
    audiogen_text: Path | None = None

    @classmethod
    def of(cls, parts: Mapping[str, Path]) -> Folders:
        """Those of installed parts, by their names in `sources.PARTS`."""
        tango = parts["tango2"] if "tango2" in parts else parts["tango"]
        return cls(tango, parts["flan-t5-large"], parts.get("audiogen-medium"), parts.get("t5-large"))


def text_only(folders: Folders, report: Report, device: str = "auto") -> DualConditionedLatentDiffusion:
    """TANGO alone, the first row of Table 1. Raises `DcldmError`."""
    return _chain(DualConditionedLatentDiffusion, replace(folders, audiogen=None), None, report, device)


def bridge(folders: Folders, report: Report, device: str = "auto") -> Bridge:
    """AudioGen's sound, purified by TANGO (`bridge.py`). Raises `DcldmError`."""
    chain = _chain(Bridge, folders, None, report, device)
    assert isinstance(chain, Bridge)
    return chain


def trained(folders: Folders, adapter: Path, report: Report, device: str = "auto") -> DualConditionedLatentDiffusion:
    """DC-LDM: TANGO with a trained acoustic adapter, which says where it goes; or a U-Net that was trained to
    read the plan in the text's place. Raises `DcldmError`."""
    return _chain(DualConditionedLatentDiffusion, folders, adapter, report, device)


def to_train(
    folders: Folders, start: Path | Adapter, report: Report, device: str = "auto"
) -> tuple[DualConditionedLatentDiffusion, Adapter]:
    """TANGO and AudioGen with an acoustic attention, in float32; and the header of what it will be written as.

    start: a file that was trained before, or where an attention goes that does nothing yet (its base is filled in).
    """
    header = read_adapter(start) if isinstance(start, Path) else start
    adapter = start if isinstance(start, Path) else None

    @cache  # never dropped for a fresh one: it learns
    def load() -> tuple[DualUNet, str]:
        return load_denoiser(folders.tango, places=header.places, block=header.block, adapter=adapter)

    chain = _chain(DualConditionedLatentDiffusion, folders, None, report, device, denoiser=lambda: load()[0])
    chain.config = replace(chain.config, encoding=header.encoding)
    chain.denoiser, base = load()  # it is there wherever the others wait
    return chain, replace(header, base=base)


@dataclass(frozen=True, slots=True)
class AudioGenAlone:
    """AudioGen's parts, where they compute."""

    text: TextEncoder
    plan: PlanModel
    codec: EncodecModel


def audiogen_alone(folder: Path, text: Path, report: Report, device: str = "auto") -> AudioGenAlone:
    """AudioGen without a denoiser. Raises `DcldmError`."""
    report("loading", 0.0)
    placement = place([T5_LARGE_PARAMETERS], device, language_model=_audiogen_parameters(folder))
    on_cpu = placement.device.type == "cpu"
    loaded = load_audiogen(folder, torch.float16 if on_cpu else placement.dtype)
    report("loading", 0.5)
    plan = _ready(loaded.plan, placement)
    encoder = TextEncoder.from_folder(text, T5_TOKENS)
    parts: tuple[nn.Module, ...] = (encoder, plan, loaded.codec)
    for part in parts:
        part.to(placement.device).eval().requires_grad_(False)
    report("loading", 1.0)
    return AudioGenAlone(encoder, plan, loaded.codec)


def _chain(
    kind: type[DualConditionedLatentDiffusion],
    folders: Folders,
    adapter: Path | None,
    report: Report,
    device: str,
    denoiser: Callable[[], nn.Module] | None = None,
) -> DualConditionedLatentDiffusion:
    report("loading", 0.0)
    counts, language_parameters = [*parameter_counts(folders.tango)], 0
    if folders.audiogen is not None:
        counts.append(T5_LARGE_PARAMETERS)
        language_parameters = _audiogen_parameters(folders.audiogen)
    placement = place(counts, device, language_model=language_parameters)
    # On a CPU it is quantised from the precision that its file has, layer by layer.
    language_dtype = torch.float16 if placement.device.type == "cpu" else placement.dtype
    audio = load_audio_parts(folders.tango)
    config = ChainConfig(mel=audio.mel, shortest_steps=TANGO_STEPS, longest_steps=TANGO_STEPS, defaults=TANGO_DEFAULTS)
    loaders: dict[str, Callable[[], nn.Module]] = {
        "text": lambda: load_text_encoder(folders.tango, folders.tokenizer),
        "denoiser": denoiser or (lambda: load_denoiser(folders.tango, adapter=adapter, dtype=placement.dtype)[0]),
    }
    parts: dict[str, Any] = dict.fromkeys(("text", "denoiser", "plan_model", "plan_text"))
    codec = None
    if folders.audiogen is not None and folders.audiogen_text is not None:
        language_model, text = folders.audiogen, folders.audiogen_text
        audiogen = load_audiogen(language_model, language_dtype)
        codec = audiogen.codec
        if placement.keep != "disk":
            parts["plan_model"] = _ready(audiogen.plan, placement)
        loaders["plan_model"] = lambda: _ready(load_audiogen(language_model, language_dtype).plan, placement)
        loaders["plan_text"] = lambda: TextEncoder.from_folder(text, T5_TOKENS)
        config = _with_plan(config, kind, adapter, audiogen.longest_seconds)
        del audiogen
    for index, (name, load) in enumerate(loaders.items(), 1):
        report("loading", index / (len(loaders) + 1))
        if parts[name] is None and placement.keep != "disk":  # from there it is read when its turn comes
            parts[name] = load()
    chain = kind(
        config,
        parts["text"],
        parts["plan_model"],
        codec,
        parts["denoiser"],
        audio.space,
        audio.vocoder,
        plan_text=parts["plan_text"],
        placement=placement,
        loaders=loaders,
    )
    report("loading", 1.0)
    return chain.eval().requires_grad_(False)


def _audiogen_parameters(folder: Path) -> int:
    path = folder / "state_dict.bin"
    try:
        return path.stat().st_size // BYTES_PER_PARAMETER
    except OSError as error:
        raise DcldmError(f"There is no file {path}; run: dcldm models install tango-bridge") from error


def _ready(plan: PlanModel, placement: Placement) -> PlanModel:
    """AudioGen's language model as it runs best on a device: with 8 bits on a CPU."""
    if placement.device.type != "cpu":
        return plan
    try:
        return quantised(plan)
    except DcldmError as error:
        logging.getLogger(__name__).warning("AudioGen stays in full precision: %s", error)
        return plan.float()


def _with_plan(
    config: ChainConfig, kind: type[DualConditionedLatentDiffusion], adapter: Path | None, seconds: float
) -> ChainConfig:
    """What AudioGen adds: how long its plans are, and what is done with them."""
    config = replace(config, zero_padding=True, longest_plan_seconds=seconds)
    if kind is Bridge:
        return replace(config, encoding="ag_vae", defaults=replace(TANGO_DEFAULTS, purify=PURIFY))
    encoding = "ag" if adapter is None else read_adapter(adapter).encoding
    return replace(config, encoding=encoding, stored_empty_plan=False, defaults=FULL_SIZE_DEFAULTS)
