"""DC-LDM: text encoder -> acoustic language model -> dual-conditioned denoiser -> VAE -> vocoder.

The whole chain of figure 1 of the paper, in one readable order, at any size: every part is a class that
also loads the public full-size weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import EncodecModel

from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.models.denoiser import Conditions, Denoiser, guided
from dcldm_plugin.models.latent import LatentSpace, MelRange
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.schedule import make_sampler
from dcldm_plugin.models.text import TextEncoder
from dcldm_plugin.types import Report, Sampling, Seeds


# Below this width a token's matrices are too small to share: a second thread gains nothing on a quiet machine
# and costs seven times the time on a busy one.
SMALL_WIDTH = 512


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True, slots=True)
class Defaults:
    """How this model is sampled unless a request says otherwise."""

    sampler: str = "dpm++"
    steps: int = 12
    guidance_scale: float = 3.0
    temperature: float = 1.0
    top_k: int = 50
    plan_guidance_scale: float = 1.0

    def fill(self, wish: Sampling) -> Sampling:
        """The wish with what it leaves open filled in."""
        return Sampling(
            sampler=wish.sampler or self.sampler,
            steps=wish.steps or self.steps,
            guidance_scale=self.guidance_scale if wish.guidance_scale is None else wish.guidance_scale,
        )


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """What the parts do not say themselves."""

    mel: MelConfig = field(default_factory=MelConfig)
    mel_range: MelRange = field(default_factory=MelRange)
    shortest_steps: int = 64  # latent steps: the denoiser never saw shorter ones
    longest_steps: int = 128
    defaults: Defaults = field(default_factory=Defaults)


class DualConditionedLatentDiffusion(nn.Module):
    """The chain. `empty_plan` [codebooks, frames] is the language model's plan for the empty text (eq. 8)."""

    empty_plan: Tensor

    def __init__(
        self,
        config: ChainConfig,
        text: TextEncoder,
        plan_model: PlanModel,
        codec: EncodecModel,
        denoiser: nn.Module,
        space: LatentSpace,
        vocoder: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.config, self.vocoder = config, vocoder
        self.text, self.plan_model, self.codec = text, plan_model, codec
        self.denoiser, self.space = denoiser, space
        frames = self.plan_frames(config.longest_steps)
        self.register_buffer("empty_plan", torch.zeros(codec.config.num_quantizers, frames, dtype=torch.long))

    @property
    def latent_rate(self) -> float:
        """Latent steps a second."""
        mel = self.config.mel
        return mel.sample_rate / mel.hop / self.space.ratio

    def latent_steps(self, seconds: float) -> int:
        """How many latent steps a clip of this length is rendered with (what is too long is cut off)."""
        wanted = math.ceil(seconds * self.latent_rate)
        return min(max(wanted, self.config.shortest_steps), self.config.longest_steps)

    def plan_frames(self, steps: int) -> int:
        """Plan frames that last as long as some latent steps."""
        return math.ceil(steps / self.latent_rate * self.codec.config.frame_rate)

    @torch.inference_mode()
    def generate(
        self, prompt: str, negative: str, seconds: float, seeds: Seeds, sampling: Sampling, report: Report
    ) -> Tensor:
        """One take, waveform [samples] of `seconds` at the mel's sample rate.

        The structure seed draws the plan, the texture seed the noise. `report` is called at every step of
        both loops and may raise.
        """
        # 1. Both texts. The second is what guidance leads away from.
        report("reading", 0.0)
        states, mask = self.text([prompt, negative])
        steps = self.latent_steps(seconds)

        # 2. The plan: what happens when.
        codes = self.plan(states[:1], mask[:1], steps, seeds.structure, report)

        # 3. The sound's latent, from noise.
        frames = codes.shape[-1]
        both = torch.cat([codes, self.empty_plan[None, :, :frames]])
        conditions = Conditions(states, mask, acoustic_lm.latents(self.codec, both))
        noise = self.noise(steps, seeds.texture)
        z = self.denoise(noise, conditions, sampling, report)

        # 4. Sound.
        report("decoding", 0.0)
        log_mel = self.space.decode(z)
        report("decoding", 0.5)
        audio: Tensor = self.vocoder(log_mel)[0, : round(seconds * self.config.mel.sample_rate)]
        report("decoding", 1.0)
        return audio

    def plan(self, states: Tensor, mask: Tensor, steps: int, seed: int, report: Report | None) -> Tensor:
        """Tokens [1, codebooks, frames] for text states [1, tokens, width]."""
        defaults = self.config.defaults
        project = self.plan_model.enc_to_dec_proj
        empty_states, empty_mask = self.text([""])
        with _one_thread(self.plan_model.lm.config.hidden_size < SMALL_WIDTH):
            return acoustic_lm.sample_codes(
                self.plan_model.lm,
                project(states),
                mask,
                self.plan_frames(steps),
                generators=[torch.Generator().manual_seed(seed)],
                temperature=defaults.temperature,
                top_k=defaults.top_k,
                guidance_scale=defaults.plan_guidance_scale,
                empty_states=project(empty_states),
                empty_mask=empty_mask,
                zero_padding=False,
                report=report,
            )

    def noise(self, steps: int, seed: int) -> Tensor:
        """Standard normal z_T [1, channels, steps, bands], the same on every device."""
        channels, _, bands = self.space.mean.shape
        generator = torch.Generator().manual_seed(seed)
        # Drawn for the longest clip and cut, so that a shorter one begins as the longer does.
        whole = torch.randn(1, self.config.longest_steps, channels, bands, generator=generator)
        return whole[:, :steps].transpose(1, 2).to(self.space.mean.device)

    def denoise(self, noise: Tensor, conditions: Conditions, sampling: Sampling, report: Report) -> Tensor:
        """Reverse diffusion (equations 4-7) with guidance (equation 8).

        noise [n, channels, time, mel]; conditions of n prompts, then of n empty texts. Guidance scale 1
        leaves the second half out.
        """
        assert sampling.sampler and sampling.steps and sampling.guidance_scale is not None
        denoiser: Denoiser = self.denoiser
        scheduler = make_sampler(sampling.sampler)
        scheduler.set_timesteps(sampling.steps, device=noise.device)
        generator = torch.Generator().manual_seed(int(noise[0, 0, 0, 0].view(torch.int32).item()) % 2**31)
        z: Tensor = noise * scheduler.init_noise_sigma
        for index, t in enumerate(scheduler.timesteps):
            report("denoising", index / sampling.steps)
            batch_t = t.expand(len(z))
            if sampling.guidance_scale == 1.0:
                prediction = denoiser(z, batch_t, conditions.first(len(z)))
            else:
                prediction = guided(denoiser, z, batch_t, conditions, sampling.guidance_scale)
            extra = {"generator": generator} if sampling.sampler == "ddpm" else {}
            z = scheduler.step(prediction, t, z, **extra).prev_sample
        report("denoising", 1.0)
        return z
