"""Training of the audio VAE (section 2.4): mel spectrogram -> latent -> mel spectrogram."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.models.latent import LatentSpace, MelRange

# Below the floor nothing is audible or worth the latent's room; the rest comes to about -1 … 1.
SMALL_MEL_RANGE = MelRange(floor=-8.0, centre=-4.0, spread=4.0)
KL_WEIGHT = 1e-4


def small_vae_config() -> dict[str, object]:
    """The built-in size: AudioLDM's layout, 24-48-64 channels; time and mel are both divided by 4."""
    return {
        "in_channels": 1,
        "out_channels": 1,
        "block_out_channels": (24, 48, 64),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "layers_per_block": 1,
        "latent_channels": 4,
        "norm_num_groups": 8,
        "mid_block_add_attention": False,
    }


class VaeLoss:
    """L1 on the mel and a small Kullback-Leibler term, over random crops of stored mels [n, frames, mels]."""

    def __init__(self, mels: NDArray[np.float16], *, batch: int, frames: int) -> None:
        self.mels, self.batch, self.frames = mels, batch, frames

    def __call__(self, model: nn.Module, random: np.random.Generator) -> dict[str, Tensor]:
        assert isinstance(model, LatentSpace)
        rows = random.integers(len(self.mels), size=self.batch)
        starts = random.integers(self.mels.shape[1] - self.frames + 1, size=self.batch)
        crops = np.stack([self.mels[row, start : start + self.frames] for row, start in zip(rows, starts, strict=True)])
        image = model.image(torch.from_numpy(crops.astype(np.float32)))
        noise = torch.from_numpy(
            random.standard_normal((self.batch, 4, self.frames // 4, self.mels.shape[2] // 4), dtype=np.float32)
        )
        posterior = model.vae.encode(image).latent_dist
        rebuilt = model.vae.decode(posterior.mean + posterior.std * noise).sample
        reconstruction = (rebuilt - image).abs().mean()
        divergence = posterior.kl().mean() / noise[0].numel()
        return {
            "total": reconstruction + KL_WEIGHT * divergence,
            "reconstruction": reconstruction,
            "divergence": divergence,
        }
