"""Training of the audio VAE (section 2.4): mel spectrogram -> latent -> mel spectrogram."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.models.latent import LatentSpace, LinearVae, MelRange
from dcldm_plugin.models.mel import MelSpectrogram
from dcldm_plugin.training.config import SoundRecipe
from dcldm_plugin.training.draw import Draw, normal, starts
from dcldm_plugin.training.precompute import AudioSet

# The floor is that of the mel itself. A higher one is heard, as a hiss below every sound: at -8 the judge knows real
# clips by what comes out of their mels in 62 of 100 cases, here in 85. The rest comes to about -1 … 1.
SMALL_MEL_RANGE = MelRange(centre=-6.0, spread=5.0)
AUDIBLE = 0.1  # above the floor, in the units of `SMALL_MEL_RANGE`: 4 dB
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


def pieces(audio: Tensor, own: list[Generator], samples: int) -> Tensor:
    """A piece [samples] from a random place of each of audio [n, all samples]."""
    begins = starts(own, max(0, audio.shape[1] - samples))
    return torch.stack([sound[begin : begin + samples] for sound, begin in zip(audio, begins, strict=True)])


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
    """L1 on the mel and a small Kullback-Leibler term, over random pieces."""

    def __init__(self, data: AudioSet, recipe: SoundRecipe, analysis: MelSpectrogram) -> None:
        self.data, self.recipe, self.analysis = data, recipe, analysis

    def __call__(self, model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        assert isinstance(model, LatentSpace)
        own, step = draw.own(), self.analysis.config.hop * model.ratio
        samples = round(self.recipe.seconds * self.analysis.config.sample_rate / step) * step
        audio = pieces(self.data.audio(draw.rows), own, samples).to(draw.device)
        image = model.image(self.analysis.to(draw.device)(audio))
        posterior = model.vae.encode(image).latent_dist
        noise = normal(own, tuple(posterior.mean.shape[1:]), draw.device)
        rebuilt = model.vae.decode(posterior.mean + posterior.std * noise).sample
        reconstruction = (rebuilt - image).abs().mean()
        divergence = posterior.kl().mean() / noise[0].numel()
        return {
            "total": reconstruction + self.recipe.kl_weight * divergence,
            "reconstruction": reconstruction,
            "divergence": divergence,
        }


@torch.inference_mode()
def measure_latents(space: LatentSpace, mels: Iterable[Tensor]) -> None:
    """Set the mean and deviation of the latents to those of mels [n, frames, mels], channel by channel."""
    space.mean.zero_()
    space.deviation.fill_(1.0)
    z = torch.cat([space.encode(each) for each in mels])
    space.mean.copy_(z.mean(dim=(0, 2, 3))[:, None, None].expand_as(space.mean))
    space.deviation.copy_(z.std(dim=(0, 2, 3)).clamp(min=1e-3)[:, None, None].expand_as(space.deviation))
