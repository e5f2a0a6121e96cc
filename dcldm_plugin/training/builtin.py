"""The built-in model before it has learned anything: the sizes of its parts.

Its recipe is the configurations in `configs`, each a run of `dcldm train` that takes the folder of the
one before it and teaches one more part.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from dcldm_plugin.models.checkpoint import Sizes, build
from dcldm_plugin.models.dcldm import ChainConfig, DualConditionedLatentDiffusion
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.text import TextEncoder, minilm_folder
from dcldm_plugin.models.transformer import TransformerConfig
from dcldm_plugin.training.codec import small_codec_config
from dcldm_plugin.training.vae import SMALL_MEL_RANGE, small_vae_config

MEL = MelConfig(hop=320)
TEXT_WIDTH = 384
# With 64 directions the judge knows 69 of 100 real clips again, with 128 it is 83; the denoiser's cost is the same.
LINEAR_VAE = {"frames": 4, "mels": 64, "latent_channels": 128}
TRANSFORMER = TransformerConfig(latent_channels=128, latent_bands=1)
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
# AudioGen's decoder at built-in size: 2 codebooks of 512, 4 layers of 256.
PLAN: dict[str, Any] = {
    "vocab_size": 512,
    "num_hidden_layers": 4,
    "ffn_dim": 1024,
    "num_attention_heads": 4,
    "hidden_size": 256,
    "num_codebooks": 2,
    "audio_channels": 1,
    "pad_token_id": 512,
    "bos_token_id": 512,
    "max_position_embeddings": 512,
    "dropout": 0.0,
}
_CODEC = (
    "sampling_rate", "audio_channels", "target_bandwidths", "num_filters", "upsampling_ratios", "hidden_size",
    "codebook_size", "num_lstm_layers", "use_causal_conv", "norm_type", "use_conv_shortcut",
)  # fmt: skip


def sizes(denoiser: str) -> Sizes:
    """Those of the built-in model: with a "transformer" on latents of principal directions, or the paper's "unet"
    on those of a VAE like AudioLDM's."""
    is_transformer = denoiser == "transformer"
    codec = small_codec_config()
    return Sizes(
        chain=ChainConfig(mel=MEL, mel_range=SMALL_MEL_RANGE),
        text_width=TEXT_WIDTH,
        plan=PLAN,
        codec={name: getattr(codec, name) for name in _CODEC},
        vae=LINEAR_VAE if is_transformer else small_vae_config(),
        bands=1 if is_transformer else 16,
        denoiser_kind=denoiser,
        denoiser=asdict(TRANSFORMER) if is_transformer else UNET,
        vae_kind="linear" if is_transformer else "kl",
    )


def fresh(denoiser: str, seed: int) -> tuple[DualConditionedLatentDiffusion, Sizes]:
    """A model that has learned nothing, drawn from a seed."""
    torch.manual_seed(seed)
    chosen = sizes(denoiser)
    return build(chosen, TextEncoder.from_folder(minilm_folder())), chosen
