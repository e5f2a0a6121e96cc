"""A model on disk: a folder with `config.json` and one safetensors file a part, in half precision.

`config.json` names every part's sizes and the SHA-256 of its file, so a truncated, swapped or hostile file
is refused with a sentence before anything is read from it. Nothing here unpickles.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn
from transformers import EncodecConfig, EncodecModel, SpeechT5HifiGan, SpeechT5HifiGanConfig
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audioldm import HifiGan
from dcldm_plugin.models.dcldm import ChainConfig, Defaults, DualConditionedLatentDiffusion
from dcldm_plugin.models.latent import LatentSpace, LinearVae, MelRange
from dcldm_plugin.models.matcher import Matcher
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.phrasebook import Phrasebook
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.text import TextEncoder, minilm_folder
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig
from dcldm_plugin.models.unet import DualUNet
from dcldm_plugin.models.vocoder import SinesAndNoise

FORMAT = 1
PARTS = ("plan", "codec", "vae", "denoiser")
OPTIONAL = ("vocoder", "matcher", "phrasebook")


class BrokenModel(DcldmError):
    """The files of a model are missing, cut short, of another model, or not a model at all."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """The configuration of each part, as its own class takes it."""

    chain: ChainConfig
    text_width: int
    plan: dict[str, Any]
    codec: dict[str, Any]
    vae: dict[str, Any]
    bands: int
    denoiser_kind: str  # "transformer" or "unet"
    denoiser: dict[str, Any]
    vae_kind: str = "kl"  # or "linear"
    vocoder: dict[str, Any] | None = None  # a HiFi-GAN; without, noise is shaped
    matcher: dict[str, Any] | None = None  # without, the first plan and candidate is taken
    phrasebook: dict[str, Any] | None = None  # without, prompts are read as they are


@dataclass(frozen=True, slots=True)
class About:
    """What a folder says of its model, for people and for `engine.registry`.

    base: name, version and licence of what it was made from, if anything; of that, the licence stays.
    """

    title: str = ""
    licence: str = ""
    commercial_use: bool = False
    base: dict[str, str] | None = None


def build(sizes: Sizes, text: TextEncoder) -> DualConditionedLatentDiffusion:
    """All parts with fresh weights."""
    if sizes.denoiser_kind == "transformer":
        denoiser: nn.Module = DualTransformer(TransformerConfig(**sizes.denoiser))
    elif sizes.denoiser_kind == "unet":
        denoiser = DualUNet(**{"config" if name == "unet" else name: value for name, value in sizes.denoiser.items()})
    else:
        raise BrokenModel(
            f"This model has a denoiser of the kind {sizes.denoiser_kind!r}, which this version does not know;"
            " install a newer version of the app."
        )
    vae = LinearVae(**sizes.vae) if sizes.vae_kind == "linear" else AutoencoderKL(**sizes.vae)
    return DualConditionedLatentDiffusion(
        sizes.chain,
        text,
        PlanModel(MusicgenDecoderConfig(**sizes.plan), sizes.text_width),
        EncodecModel(EncodecConfig(**sizes.codec)),
        denoiser,
        LatentSpace(vae, sizes.bands, sizes.chain.mel_range),
        make_vocoder(sizes),
        matcher=None if sizes.matcher is None else Matcher(**sizes.matcher),
        phrasebook=None if sizes.phrasebook is None else Phrasebook(**sizes.phrasebook),
    ).eval()


def make_vocoder(sizes: Sizes) -> SinesAndNoise | HifiGan:
    """A fresh one of a model."""
    if sizes.vocoder is None:
        return SinesAndNoise(sizes.chain.mel)
    return HifiGan(SpeechT5HifiGan(SpeechT5HifiGanConfig(**sizes.vocoder)))


def _parts(model: DualConditionedLatentDiffusion) -> dict[str, nn.Module]:
    parts: dict[str, nn.Module] = {
        "plan": model.plan_model,
        "codec": model.codec,
        "vae": model.space,
        "denoiser": model.denoiser,
    }
    if isinstance(model.vocoder, HifiGan):
        parts["vocoder"] = model.vocoder
    if model.matcher is not None:
        parts["matcher"] = model.matcher
    if model.phrasebook is not None:
        parts["phrasebook"] = model.phrasebook
    return parts


def write(model: DualConditionedLatentDiffusion, sizes: Sizes, folder: Path, about: About | None = None) -> str:
    """Write a model's folder and return its version: the first 12 digits of the hash of all weights."""
    folder.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, part in _parts(model).items():
        tensors = {
            key: (value.half() if value.is_floating_point() else value).contiguous().clone()
            for key, value in part.state_dict().items()
        }
        if name == "plan":
            tensors["empty_plan"] = model.empty_plan.to(torch.int16)
        partial = folder / f"{name}.safetensors.part"
        data = save(tensors)
        partial.write_bytes(data)  # with the usual permissions, where safetensors' own writer keeps others out
        hashes[name] = hashlib.sha256(data).hexdigest()
        os.replace(partial, folder / f"{name}.safetensors")
    version = hashlib.sha256("".join(hashes.values()).encode()).hexdigest()[:12]
    config = {
        "format": FORMAT,
        "version": version,
        **asdict(about or About()),
        "sha256": hashes,
        "sizes": asdict(sizes),
    }
    partial = folder / "config.json.part"
    partial.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    os.replace(partial, folder / "config.json")
    return version


def read(folder: Path, text: TextEncoder | None = None) -> tuple[DualConditionedLatentDiffusion, str]:
    """The model of a folder and its version. Raises `BrokenModel` with what to do.

    Without `text`, the sentence encoder that the built-in model uses.
    """
    model, version, _ = read_all(folder, text)
    return model, version


def read_all(folder: Path, text: TextEncoder | None = None) -> tuple[DualConditionedLatentDiffusion, str, Sizes]:
    """As `read`, with the sizes."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if config["format"] != FORMAT:
            raise BrokenModel(
                f"The model in {folder} has format {config['format']}, this version reads {FORMAT}; "
                "install the version of the app that wrote it."
            )
        sizes, hashes = _sizes(config["sizes"]), config["sha256"]
        names = (*PARTS, *(name for name in OPTIONAL if getattr(sizes, name) is not None))
        files = {name: _checked(folder / f"{name}.safetensors", hashes[name]) for name in names}
    except FileNotFoundError as error:
        raise BrokenModel(f"The model in {folder} is not complete; install it again ({error}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenModel(f"{folder} does not hold a model; choose another folder ({error!r}).") from error

    model = build(sizes, text or TextEncoder.from_folder(minilm_folder()))
    for name, part in _parts(model).items():
        try:
            tensors = load(files[name])
            if name == "plan":
                model.empty_plan.copy_(tensors.pop("empty_plan").long())
            part.load_state_dict(tensors, strict=True)
            if isinstance(part, Phrasebook):
                part.check()
        except (RuntimeError, KeyError, ValueError, SafetensorError) as error:
            raise BrokenModel(
                f"{name}.safetensors in {folder} does not fit its config.json; install the model again."
            ) from error
    return model.eval().requires_grad_(False), str(config["version"]), sizes


def _sizes(values: dict[str, Any]) -> Sizes:
    chain = dict(values["chain"])
    chain["mel"] = MelConfig(**chain["mel"])
    chain["mel_range"] = MelRange(**chain["mel_range"])
    chain["defaults"] = Defaults(**chain["defaults"])
    return Sizes(**(values | {"chain": ChainConfig(**chain)}))


def _checked(path: Path, sha256: str) -> bytes:
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BrokenModel(f"{path} is cut short or was changed; install the model again.")
    return data
