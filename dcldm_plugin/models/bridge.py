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
from dcldm_plugin.models.schedule import entered
from dcldm_plugin.types import Report, Sampling

PURIFY = 0.6  # where a request does not say


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
