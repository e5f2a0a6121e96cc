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


def crops(mels: NDArray[np.float16], random: np.random.Generator, count: int, frames: int) -> Tensor:
    """Random pieces [count, frames, mels] of stored mels [n, all frames, mels]."""
    rows = random.integers(len(mels), size=count)
    starts = random.integers(mels.shape[1] - frames + 1, size=count)
    pieces = np.stack([mels[row, start : start + frames] for row, start in zip(rows, starts, strict=True)])
    return torch.from_numpy(pieces.astype(np.float32))


class VaeLoss:
    """L1 on the mel and a small Kullback-Leibler term, over random crops of stored mels [n, frames, mels]."""

    def __init__(self, mels: NDArray[np.float16], *, batch: int, frames: int) -> None:
        self.mels, self.batch, self.frames = mels, batch, frames

    def __call__(self, model: nn.Module, random: np.random.Generator) -> dict[str, Tensor]:
        assert isinstance(model, LatentSpace)
        image = model.image(crops(self.mels, random, self.batch, self.frames))
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


class DecoderLoss:
    """L1 on the mel and on its steps in time and in frequency, for the decoder alone.

    The latents stay what they are, so a denoiser that was trained on them stays valid; they get a little noise,
    which is what a denoiser's results have. The steps keep edges that plain L1 blurs.
    """

    def __init__(self, mels: NDArray[np.float16], *, batch: int, frames: int, noise: float = 0.1) -> None:
        self.mels, self.batch, self.frames, self.noise = mels, batch, frames, noise

    def __call__(self, model: nn.Module, random: np.random.Generator) -> dict[str, Tensor]:
        assert isinstance(model, LatentSpace)
        mel = crops(self.mels, random, self.batch, self.frames)
        image = model.image(mel)
        with torch.no_grad():
            z = model.encode(mel)
            z = z + self.noise * torch.from_numpy(random.standard_normal(z.shape, dtype=np.float32))
        error = model.image(model.decode(z)) - image
        level, time, band = error.abs().mean(), error.diff(dim=2).abs().mean(), error.diff(dim=3).abs().mean()
        return {"total": level + 0.5 * time + 0.5 * band, "level": level, "time": time, "band": band}
