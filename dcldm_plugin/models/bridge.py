"""The bridge: AudioGen's own sound, taken back into noise as far as t0, denoised by TANGO under the text.

It needs no trained DC-LDM weights. The more noise, the more of the sound is TANGO's; what remains of
AudioGen's is what is louder than the noise: what happens when. (Meng et al., "SDEdit",
https://arxiv.org/abs/2108.01073, for pictures.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from dcldm_plugin.models.dcldm import DualConditionedLatentDiffusion
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.schedule import TRAINING_STEPS, add_noise, alphas
from dcldm_plugin.types import Report, Sampling

PURIFY = 0.6  # where a request does not say


def first_step(timesteps: Tensor, t0: float) -> int:
    """Index of the first of the falling `timesteps` that is not beyond t0, 0 … 1 of the whole schedule.

    `len(timesteps)` where there is none, so that nothing is denoised at t0 = 0.
    """
    return int((timesteps > t0 * (TRAINING_STEPS - 1)).sum()) if t0 > 0.0 else len(timesteps)


def noised(z: Tensor, noise: Tensor, t: int) -> Tensor:
    """z_t by equation 2, of z_0 and noise of the same shape, at step t of the schedule."""
    alpha = alphas()[t].to(z).expand(len(z))
    return add_noise(z, noise, alpha)


def entered(scheduler: Any, z: Tensor, noise: Tensor, t0: float) -> tuple[int, Tensor]:
    """Where the reverse process of a sound begins: the step, and z_t there.

    z, noise: [n, channels, time, bands]; the scheduler has its timesteps, and is told where it begins. The
    steps before it are not made, so a small t0 is also quicker.
    """
    step = first_step(scheduler.timesteps, t0)
    if step == len(scheduler.timesteps):
        return step, z
    if hasattr(scheduler, "set_begin_index"):  # the multistep samplers count their steps
        scheduler.set_begin_index(step)
    return step, noised(z, noise, int(scheduler.timesteps[step]))


def as_latent(sequence: Tensor, channels: int) -> Tensor:
    """E'_t2a [n, time, channels x bands] as the latent [n, channels, time, bands] that it was made of."""
    count, time, width = sequence.shape
    return sequence.view(count, time, channels, width // channels).transpose(1, 2)


class Bridge(DualConditionedLatentDiffusion):
    """The chain in which E'_t2a is not told to the denoiser but is what it begins with.

    Its denoiser is told the text alone, its configuration has the encoding "ag_vae".
    """

    def _encoded_plans(self, prompt: str, steps: int, seeds: Sequence[int], report: Report) -> Tensor:
        # The empty text's plan is for guidance away from it, which there is not here.
        return self.encoded(self.plans(prompt, self.plan_frames(steps), seeds, report), steps)

    def begin(self, scheduler: Any, noise: Tensor, conditions: Conditions, sampling: Sampling) -> tuple[int, Tensor]:
        """From AudioGen's latent, with as much noise as the purify control says."""
        z = as_latent(conditions.plan, noise.shape[1]).to(noise)
        return entered(scheduler, z, noise, PURIFY if sampling.purify is None else sampling.purify)
