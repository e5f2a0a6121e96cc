"""The latent space (section 2.4): log-mel spectrogram <-> normalised latent, through the audio VAE."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn

from dcldm_plugin.models.mel import LOG_FLOOR


@dataclass(frozen=True, slots=True)
class MelRange:
    """How a natural-log mel enters the VAE: (clamp(mel, floor) - centre) / spread.

    AudioLDM's and TANGO's VAE takes it as it is (the defaults).
    """

    floor: float = math.log(LOG_FLOOR)
    centre: float = 0.0
    spread: float = 1.0


class LinearVae(nn.Module):
    """A tenant of `AutoencoderKL`'s place: some frames of the mel at a time, on their principal directions.

    The best that a VAE of linear maps can learn, without learning (Lucas et al. 2019,
    https://arxiv.org/abs/1911.02469, section 3). `centre` has shape [frames x mels], `directions`, which are
    orthonormal, [frames x mels, channels]; a latent has one band.
    """

    centre: Tensor
    directions: Tensor

    def __init__(self, frames: int, mels: int, latent_channels: int) -> None:
        super().__init__()
        self.config = {"frames": frames, "mels": mels, "latent_channels": latent_channels}
        self.register_buffer("centre", torch.zeros(frames * mels))
        self.register_buffer("directions", torch.eye(frames * mels, latent_channels))

    def encode(self, image: Tensor) -> AutoencoderKLOutput:
        """image [batch, 1, time, mels] -> a certain posterior over z [batch, channels, time / frames, 1]."""
        patches = image.reshape(len(image), -1, len(self.centre))
        mean = ((patches - self.centre) @ self.directions).transpose(1, 2)[..., None]
        posterior = DiagonalGaussianDistribution(torch.cat([mean, torch.zeros_like(mean)], dim=1), deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior)

    def decode(self, z: Tensor) -> DecoderOutput:
        """z [batch, channels, steps, 1] -> image [batch, 1, steps x frames, mels]."""
        patches = z[..., 0].transpose(1, 2) @ self.directions.T + self.centre
        return DecoderOutput(sample=patches.reshape(len(z), 1, -1, self.config["mels"]))


class LatentSpace(nn.Module):
    """A VAE (a stock `AutoencoderKL`, or one of linear maps) and the mean and deviation of its latents.

    The denoiser works on (z - mean) / deviation. TANGO's scaling factor s is mean 0 and deviation 1 / s.
    `mean` and `deviation` have shape [channels, 1, bands].
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, vae: AutoencoderKL | LinearVae, bands: int, mel_range: MelRange) -> None:
        super().__init__()
        self.vae, self.mel_range = vae, mel_range
        shape = (int(vae.config["latent_channels"]), 1, bands)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    @property
    def ratio(self) -> int:
        """Mel frames per latent step, r in the paper."""
        if isinstance(self.vae, LinearVae):
            return self.vae.config["frames"]
        return int(2 ** (len(self.vae.config["block_out_channels"]) - 1))

    def image(self, log_mel: Tensor) -> Tensor:
        """log_mel [batch, frames, mels] -> what the VAE sees [batch, 1, frames, mels]."""
        scale = self.mel_range
        return ((log_mel.clamp(min=scale.floor) - scale.centre) / scale.spread)[:, None]

    def encode(self, log_mel: Tensor) -> Tensor:
        """log_mel [batch, frames, mels] -> z [batch, channels, frames / r, mels / r], the posterior's mean."""
        return self.posterior(log_mel)[0]

    def posterior(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of z, both as by `encode`."""
        given = self.vae.encode(self.image(log_mel)).latent_dist
        return (given.mean - self.mean) / self.deviation, given.std / self.deviation

    def decode(self, z: Tensor) -> Tensor:
        """The inverse of `encode`, as far as the VAE keeps it."""
        image: Tensor = self.vae.decode(z * self.deviation + self.mean).sample
        return image[:, 0] * self.mel_range.spread + self.mel_range.centre
