"""The recipe of the built-in model, part by part; each part can be stopped and goes on where it was.

python -m dcldm_plugin.training.sounds   SOUNDS
python -m dcldm_plugin.training.compose  --sounds SOUNDS --synth --out CLIPS --count 8000
python -m dcldm_plugin.training.builtin  vae      --clips CLIPS --work WORK
python -m dcldm_plugin.training.builtin  codec    --clips CLIPS --work WORK --minutes 30
python -m dcldm_plugin.training.builtin  prepare  --clips CLIPS --work WORK
python -m dcldm_plugin.training.builtin  lm       --work WORK --minutes 90
python -m dcldm_plugin.training.builtin  denoiser --work WORK --minutes 90 [--kind unet]
python -m dcldm_plugin.training.builtin  export   --work WORK --out dcldm_plugin/builtin
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import EncodecModel
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.models import checkpoint
from dcldm_plugin.models.acoustic_lm import sample_codes
from dcldm_plugin.models.dcldm import ChainConfig
from dcldm_plugin.models.latent import LatentSpace, LinearVae
from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.text import TextEncoder, minilm_folder
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig
from dcldm_plugin.models.unet import DualUNet
from dcldm_plugin.training.codec import (
    CodecLoss,
    TrainableCodec,
    small_codec_config,
    start_at_unit_scale,
)
from dcldm_plugin.training.denoiser import DenoiserLoss
from dcldm_plugin.training.lm import PlanLoss
from dcldm_plugin.training.loop import train
from dcldm_plugin.training.prepare import CHUNK, Prepared, prepare
from dcldm_plugin.training.vae import SMALL_MEL_RANGE, linear_space

MEL = MelConfig(hop=320)
TEXT_WIDTH = 384
LINEAR_VAE = {"frames": 4, "mels": 64, "latent_channels": 64}
TRANSFORMER = TransformerConfig(latent_channels=64, latent_bands=1)
UNET: dict[str, Any] = {
    "unet": {
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": [48, 96, 144, 192],
        "layers_per_block": 1,
        "attention_head_dim": 4,
        "norm_num_groups": 16,
        "cross_attention_dim": TEXT_WIDTH,
        "use_linear_projection": True,
        "down_block_types": ["DownBlock2D"] * 2 + ["CrossAttnDownBlock2D"] * 2,
        "up_block_types": ["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"] * 2,
    },
    "places": ["down", "up"],
    "plan_width": 128,
}


def plan_config() -> dict[str, Any]:
    """AudioGen's decoder at built-in size: 4 codebooks of 512, 4 layers of 256."""
    return {
        "vocab_size": 512,
        "num_hidden_layers": 4,
        "ffn_dim": 1024,
        "num_attention_heads": 4,
        "hidden_size": 256,
        "num_codebooks": 4,
        "audio_channels": 1,
        "pad_token_id": 512,
        "bos_token_id": 512,
        "max_position_embeddings": 512,
        "dropout": 0.0,
    }


def new_denoiser(kind: str) -> nn.Module:
    """A fresh denoiser: "transformer" or "unet"."""
    if kind == "transformer":
        return DualTransformer(TRANSFORMER)
    return DualUNet(UNET["unet"], tuple(UNET["places"]), UNET["plan_width"])


def average(part: nn.Module, folder: Path) -> nn.Module:
    """The moving average of a trained part."""
    state = torch.load(folder / "state.pt", weights_only=True)
    part.load_state_dict(state["average"])
    return part.eval().requires_grad_(False)


@torch.inference_mode()
def all_mels(audio: NDArray[np.int16]) -> NDArray[np.float16]:
    """Mels [n, frames, 64] of clips [n, samples]."""
    spectrogram = MelSpectrogram(MEL)
    return np.concatenate(
        [
            spectrogram(torch.from_numpy(np.array(audio[i : i + CHUNK])).float() / 32768.0).half().numpy()
            for i in range(0, len(audio), CHUNK)
        ]
    )


def trained_codec(work: Path) -> EncodecModel:
    """The codec, out of the frame that it learned in."""
    wrapped = average(TrainableCodec(small_codec_config()), work / "codec")
    assert isinstance(wrapped, TrainableCodec)
    return wrapped.codec


def trained_space(work: Path) -> LatentSpace:
    """The VAE with the statistics of its latents."""
    space = LatentSpace(LinearVae(**LINEAR_VAE), 1, SMALL_MEL_RANGE)
    space.load_state_dict(torch.load(work / "space.pt", weights_only=True))
    return space.eval().requires_grad_(False)


def codebooks(codec: EncodecModel) -> torch.Tensor:
    """The vectors of all codebooks [codebooks, size, width]."""
    quantizer: Any = codec.quantizer
    return torch.stack([layer.codebook.embed for layer in quantizer.layers])


def export(work: Path, out: Path, kind: str) -> str:
    """Put the trained parts together in a model folder; returns the version."""
    codec = trained_codec(work)
    denoiser_sizes = asdict(TRANSFORMER) if kind == "transformer" else UNET
    sizes = checkpoint.Sizes(
        chain=ChainConfig(mel=MEL, mel_range=SMALL_MEL_RANGE),
        text_width=TEXT_WIDTH,
        plan=plan_config(),
        codec={
            name: getattr(codec.config, name)
            for name in (
                "sampling_rate", "audio_channels", "target_bandwidths", "num_filters", "upsampling_ratios",
                "hidden_size", "codebook_size", "num_lstm_layers", "use_causal_conv", "norm_type",
                "use_conv_shortcut",
            )
        },
        vae=LINEAR_VAE,
        bands=1,
        denoiser_kind=kind,
        denoiser=denoiser_sizes,
        vae_kind="linear",
    )  # fmt: skip
    text = TextEncoder.from_folder(minilm_folder())
    model = checkpoint.build(sizes, text)
    model.codec.load_state_dict(codec.state_dict())
    model.space.load_state_dict(trained_space(work).state_dict())
    average(model.plan_model, work / "lm")
    average(model.denoiser, work / f"denoiser-{kind}")
    states, mask = text([""])
    empty = sample_codes(
        model.plan_model.lm,
        model.plan_model.enc_to_dec_proj(states),
        mask,
        model.empty_plan.shape[1],
        generators=[torch.Generator().manual_seed(0)],
        temperature=0.0,
        guidance_scale=1.0,
        zero_padding=False,
    )
    model.empty_plan.copy_(empty[0])
    return checkpoint.write(model, sizes, out)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description="Train the built-in model, one part at a time.")
    parser.add_argument("part", choices=("vae", "codec", "prepare", "lm", "denoiser", "export"))
    parser.add_argument("--work", type=Path, required=True, help="where parts and their checkpoints are")
    parser.add_argument("--clips", type=Path, help="what the compose module wrote")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kind", choices=("transformer", "unet"), default="transformer")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    work, minutes = options.work, options.minutes

    if options.part == "vae":
        mels = all_mels(np.load(options.clips / "audio.npy", mmap_mode="r")[:1500])
        work.mkdir(parents=True, exist_ok=True)
        torch.save(linear_space(mels).state_dict(), work / "space.pt")
    elif options.part == "codec":
        audio = np.load(options.clips / "audio.npy", mmap_mode="r")
        codec = TrainableCodec(small_codec_config())
        start_at_unit_scale(codec, torch.from_numpy(np.array(audio[:16])).float()[:, None] / 32768.0)
        codec_loss = CodecLoss(audio, batch=12, samples=16_000, plain_steps=300)
        train(codec, codec_loss, work / "codec", minutes=minutes, rate=1e-3, average=0.99)
    elif options.part == "prepare":
        encoder = TextEncoder.from_folder(minilm_folder())
        prepare(options.clips, work, trained_space(work), trained_codec(work), encoder, MEL)
    elif options.part == "lm":
        plan_model = PlanModel(MusicgenDecoderConfig(**plan_config()), TEXT_WIDTH)
        train(plan_model, PlanLoss(Prepared.read(work), batch=8), work / "lm", minutes=minutes, rate=1e-3)
    elif options.part == "denoiser":
        denoiser_loss = DenoiserLoss(Prepared.read(work), codebooks(trained_codec(work)), batch=8)
        folder = work / f"denoiser-{options.kind}"
        train(new_denoiser(options.kind), denoiser_loss, folder, minutes=minutes, rate=8e-4)
    else:
        print(export(work, options.out, options.kind))


if __name__ == "__main__":
    main()
