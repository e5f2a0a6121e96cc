"""AudioLDM's audio VAE and vocoder, which TANGO and so DC-LDM use (section 2.4), from any of their files.

They come in three shapes: inside AudioLDM's `.ckpt`, as TANGO's `pytorch_model_vae.bin` with its
`vae_config.json`, and as the folders `vae/` and `vocoder/` of a diffusers model. All end in the stock
classes `AutoencoderKL` and `SpeechT5HifiGan`. The sizes are those of the tensors.

The scaling factor is a property of a checkpoint and never assumed: 0.92279 for TANGO and cvssp/audioldm,
0.93929 for cvssp/audioldm-s-full-v2, 0.91383 for -m-full, 0.96549 for -l-full.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.latent import LatentSpace, MelRange
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.weights import below, count, fill, read_json, read_tensors, renamed

# How a name of the original becomes one of diffusers' class: replaced in this order. The last four are those
# that diffusers itself used before its version 0.15, as in the folders of cvssp/audioldm.
VAE_NAMES = (
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.norm_out\.", ".conv_norm_out."),
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"^encoder\.down\.(\d+)\.block\.", r"encoder.down_blocks.\1.resnets."),
    (r"^encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"\.query\.", ".to_q."),
    (r"\.key\.", ".to_k."),
    (r"\.value\.", ".to_v."),
    (r"\.proj_attn\.", ".to_out.0."),
)
VOCODER_NAMES = ((r"^ups\.", "upsampler."),)

# What cannot be seen in tensors: HiFi-GAN's strides (their product is the hop) and its dilations.
UPSAMPLE_RATES = (5, 4, 2, 2, 2)
DILATIONS = (1, 3, 5)


class HifiGan(nn.Module):
    """A stock `SpeechT5HifiGan` as a vocoder: log_mel [batch, frames, mels] -> waveform [batch, frames x hop]."""

    def __init__(self, network: SpeechT5HifiGan) -> None:
        super().__init__()
        self.network = network

    def forward(self, log_mel: Tensor) -> Tensor:
        audio: Tensor = self.network(log_mel)
        # The first stage's kernel of 16 at a stride of 5 leaves one frame of its own too many: 32 samples.
        return audio[:, : log_mel.shape[1] * math.prod(self.network.config.upsample_rates)]


@dataclass(frozen=True, slots=True)
class AudioParts:
    """Sound to latent and back: the analysis, the VAE with its scaling, and the vocoder."""

    mel: MelConfig
    space: LatentSpace
    vocoder: HifiGan


def load_audio_parts(path: Path, dtype: torch.dtype = torch.float32) -> AudioParts:
    """From AudioLDM's `.ckpt`, a folder of TANGO, or a folder of diffusers. Raises `DcldmError`."""
    if path.suffix == ".ckpt":
        return _from_audioldm(path, dtype)
    if (path / "vae_config.json").exists():
        return _from_tango(path, dtype)
    if (path / "vae").is_dir():
        return _from_diffusers(path, dtype)
    raise DcldmError(
        f"{path} holds no audio autoencoder; choose AudioLDM's .ckpt file, or a folder of TANGO or of diffusers."
    )


def _from_audioldm(path: Path, dtype: torch.dtype) -> AudioParts:
    tensors = read_tensors(path, "a checkpoint of AudioLDM")
    factor = tensors.get("scale_factor")
    if factor is None or factor.numel() != 1:
        raise DcldmError(f"{path} has no scale_factor; choose a checkpoint of AudioLDM.")
    return _parts(below(tensors, "first_stage_model."), factor.item(), MelConfig(), path, dtype)


def _from_tango(folder: Path, dtype: torch.dtype) -> AudioParts:
    path = folder / "pytorch_model_vae.bin"
    factor = read_json(folder / "vae_config.json").get("scale_factor")
    mel = _tango_mel(folder / "stft_config.json")
    return _parts(read_tensors(path, "TANGO's audio autoencoder"), factor, mel, path, dtype)


def _tango_mel(path: Path) -> MelConfig:
    given = read_json(path)
    names = {
        "sampling_rate": "sample_rate",
        "win_length": "window",
        "hop_length": "hop",
        "n_mel_channels": "mels",
        "mel_fmin": "low_hz",
        "mel_fmax": "high_hz",
    }
    expected = MelConfig()
    for theirs, ours in {**names, "filter_length": "window"}.items():
        if given.get(theirs, getattr(expected, ours)) != getattr(expected, ours):
            raise DcldmError(
                f"{path} gives {theirs} as {given[theirs]!r:.40} and not as {getattr(expected, ours)!r}; "
                "choose a folder of TANGO."
            )
    return expected


def _from_diffusers(folder: Path, dtype: torch.dtype) -> AudioParts:
    vae = _one_of(folder / "vae", ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"))
    vocoder = _one_of(folder / "vocoder", ("model.safetensors", "pytorch_model.bin"))
    rates = read_json(folder / "vocoder" / "config.json").get("upsample_rates", UPSAMPLE_RATES)
    if not isinstance(rates, list | tuple) or tuple(rates) != UPSAMPLE_RATES:
        raise DcldmError(f"The vocoder in {folder} has other strides than AudioLDM's at 16 kHz; choose another model.")
    tensors = read_tensors(vae, "AudioLDM's VAE")
    tensors |= {f"vocoder.{name}": value for name, value in read_tensors(vocoder, "AudioLDM's vocoder").items()}
    factor = read_json(folder / "vae" / "config.json").get("scaling_factor")
    return _parts(tensors, factor, MelConfig(), folder, dtype)


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _parts(tensors: Mapping[str, Tensor], factor: Any, mel: MelConfig, path: Path, dtype: torch.dtype) -> AudioParts:
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1e-3 < factor < 1e3:
        raise DcldmError(f"The scaling factor of {path} is {factor!r:.40}; choose a model of AudioLDM or TANGO.")
    what = f"{path} does not hold AudioLDM's VAE and vocoder"
    try:
        vae = _vae({name: value for name, value in tensors.items() if not name.startswith("vocoder.")}, what, dtype)
        vocoder = _vocoder(below(tensors, "vocoder."), what, dtype)
    except (LookupError, ValueError, TypeError) as error:
        raise DcldmError(f"{what} ({error!s:.80}); choose a model of AudioLDM or TANGO.") from error
    if vocoder.config.model_in_dim != mel.mels:
        raise DcldmError(f"{what}: the vocoder takes {vocoder.config.model_in_dim} bands and not {mel.mels}.")
    levels = len(vae.config["block_out_channels"])
    space = LatentSpace(vae, mel.mels // 2 ** (levels - 1), MelRange()).eval().requires_grad_(False)
    space.deviation.fill_(1.0 / factor)
    return AudioParts(mel, space.to(dtype), HifiGan(vocoder).eval().requires_grad_(False))


def _vae(given: Mapping[str, Tensor], what: str, dtype: torch.dtype) -> AutoencoderKL:
    levels = count(given, r"decoder\.(up|up_blocks)\.\d+\.(block|resnets)\.0\.conv1\.weight")

    def upwards(match: re.Match[str]) -> str:  # the original counts the decoder's blocks from its end
        part = {"block": "resnets", "upsample": "upsamplers.0"}[match[2]]
        return f"decoder.up_blocks.{levels - 1 - int(match[1])}.{part}."

    tensors = {}
    for old, value in given.items():
        name = re.sub(r"^decoder\.up\.(\d+)\.(block|upsample)\.", upwards, renamed(old, VAE_NAMES))
        # The original's attention is made of 1x1 convolutions, diffusers' of linear layers.
        tensors[name] = value[:, :, 0, 0] if re.search(r"\.to_.*weight$", name) and value.dim() == 4 else value
    channels = [tensors[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(levels)]
    with torch.device("meta"):
        vae = AutoencoderKL(
            in_channels=tensors["encoder.conv_in.weight"].shape[1],
            out_channels=tensors["decoder.conv_out.weight"].shape[0],
            block_out_channels=tuple(channels),
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=count(tensors, r"encoder\.down_blocks\.0\.resnets\.\d+\.conv1\.weight"),
            latent_channels=tensors["post_quant_conv.weight"].shape[0],
        )
    fill(vae, tensors, what, dtype=dtype)
    return vae


def _vocoder(given: Mapping[str, Tensor], what: str, dtype: torch.dtype) -> SpeechT5HifiGan:
    tensors = {renamed(name, VOCODER_NAMES): value for name, value in given.items()}
    first = tensors["conv_pre.weight"]
    # The original normalises nothing.
    tensors = {"mean": torch.zeros(first.shape[1]), "scale": torch.ones(first.shape[1]), **tensors}
    stages = len(UPSAMPLE_RATES)
    if count(tensors, r"upsampler\.\d+\.weight") != stages:
        raise ValueError(f"its vocoder does not have {stages} stages")
    blocks = count(tensors, r"resblocks\.\d+\.convs1\.0\.weight") // stages
    config = SpeechT5HifiGanConfig(
        model_in_dim=first.shape[1],
        sampling_rate=MelConfig().sample_rate,
        upsample_initial_channel=first.shape[0],
        upsample_rates=list(UPSAMPLE_RATES),
        upsample_kernel_sizes=[tensors[f"upsampler.{stage}.weight"].shape[2] for stage in range(stages)],
        resblock_kernel_sizes=[tensors[f"resblocks.{block}.convs1.0.weight"].shape[2] for block in range(blocks)],
        resblock_dilation_sizes=[list(DILATIONS)] * blocks,
        leaky_relu_slope=0.1,
        normalize_before=False,
    )
    with torch.device("meta"):
        vocoder = SpeechT5HifiGan(config)
    fill(vocoder, tensors, what, dtype=dtype)
    return vocoder
