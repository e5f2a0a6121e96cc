"""A whole DC-LDM that renders at once and learns in seconds: random, but for its latents, which are fitted to noise."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dcldm_plugin.models import checkpoint
from dcldm_plugin.models.dcldm import ChainConfig
from dcldm_plugin.models.text import TextEncoder, minilm_folder
from dcldm_plugin.models.transformer import TransformerConfig
from dcldm_plugin.training.builtin import MEL, sizes
from dcldm_plugin.training.vae import SMALL_MEL_RANGE, linear_space

STEPS = 32  # latent steps: 2.56 s


def tiny_sizes() -> checkpoint.Sizes:
    """The built-in model's, each made smaller."""
    usual = sizes("transformer")
    return checkpoint.Sizes(
        chain=ChainConfig(mel=MEL, mel_range=SMALL_MEL_RANGE, shortest_steps=16, longest_steps=STEPS),
        text_width=384,
        plan=usual.plan | {"num_hidden_layers": 1, "ffn_dim": 32, "num_attention_heads": 2, "hidden_size": 32},
        codec=usual.codec | {"num_filters": 4},
        vae={"frames": 4, "mels": 64, "latent_channels": 8},
        bands=1,
        denoiser_kind="transformer",
        denoiser=asdict(TransformerConfig(latent_channels=8, latent_bands=1, width=32, heads=2, blocks=1)),
        vae_kind="linear",
    )


def write(folder: Path) -> Path:
    """The model's folder, as `dcldm generate --model` takes it."""
    torch.manual_seed(0)
    chosen = tiny_sizes()
    model = checkpoint.build(chosen, TextEncoder.from_folder(minilm_folder()))
    mels = np.random.default_rng(0).uniform(-7.0, 0.0, (8, 4 * STEPS, 64)).astype(np.float16)
    model.space.load_state_dict(linear_space(mels, 4, 8).state_dict())
    for layer in model.codec.quantizer.layers:
        layer.codebook.embed.normal_()
    for block in model.denoiser.blocks:  # an acoustic attention that says something
        torch.nn.init.normal_(block.acoustic.output.weight, std=0.1)
    torch.nn.init.normal_(model.denoiser.output.weight, std=0.1)
    licence: dict[str, Any] = {"licence": "CC-BY-SA-4.0", "commercial_use": True}
    checkpoint.write(model, chosen, folder, checkpoint.About(title="tiny", **licence))
    return folder
