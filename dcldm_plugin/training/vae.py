"""Training of the audio VAE (section 2.4): mel spectrogram -> latent -> mel spectrogram."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.models.latent import LatentSpace, LinearVae, MelRange

# Below the floor nothing is audible or worth the latent's room; the rest comes to about -1 … 1.
SMALL_MEL_RANGE = MelRange(floor=-8.0, centre=-4.0, spread=4.0)
KL_WEIGHT = 1e-4
AUDIBLE = 0.12  # above the floor, in the units of `SMALL_MEL_RANGE`: 2 dB
LARGEST_DEVIATION = 3.0


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


@torch.inference_mode()
def linear_space(mels: NDArray[np.float16], frames: int = 4, channels: int = 64) -> LatentSpace:
    """The latent space of the built-in model, in closed form from stored mels [n, all frames, mels].

    Its directions are the principal ones of what sounds. Between no whitening, where a hiss is all that the
    denoiser's last steps are for, and a full one, where they are lost in the noise with what matters most, the
    latents' deviations are the roots of what they were: coarse before fine. None is above 3, so that the
    noisiest step of the schedule hides it.
    """
    bands = mels.shape[2]
    space = LatentSpace(LinearVae(frames, bands, channels), 1, SMALL_MEL_RANGE)
    vae = space.vae
    assert isinstance(vae, LinearVae)
    patches = space.image(torch.from_numpy(mels.astype(np.float32)))[:, 0].reshape(-1, frames * bands)
    floor = (SMALL_MEL_RANGE.floor - SMALL_MEL_RANGE.centre) / SMALL_MEL_RANGE.spread
    sounding = patches[patches.amax(1) > floor + AUDIBLE]
    vae.centre.copy_(sounding.mean(0))
    centred = sounding - vae.centre
    _, directions = torch.linalg.eigh(centred.T @ centred)
    vae.directions.copy_(directions.flip(1)[:, :channels])
    z = (patches - vae.centre) @ vae.directions
    spread = z.std(0).clamp(min=1e-3)
    wanted = (spread / spread.mean()).sqrt().clamp(max=LARGEST_DEVIATION)
    space.mean.copy_(z.mean(0)[:, None, None])
    space.deviation.copy_((spread / wanted)[:, None, None])
    return space.eval().requires_grad_(False)


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
