"""Noise schedule, training targets and samplers (section 2.3, equations 1-7).

The values are those of Stable Diffusion 2.1, with which TANGO trains and samples. They are embedded since
the hub repository that TANGO reads them from no longer exists. TANGO, and so this code unless a model says
otherwise, predicts v = sqrt(alpha_t) epsilon - sqrt(1 - alpha_t) z_0, from which the epsilon of the paper's
equations follows; AudioLDM predicts epsilon itself.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from dcldm_plugin.errors import InvalidInput

TRAINING_STEPS = 1000
Prediction = Literal["v_prediction", "epsilon"]
BETA_START, BETA_END = 0.00085, 0.012  # interpolated in sqrt(beta): "scaled_linear"

_COMMON: dict[str, Any] = {
    "num_train_timesteps": TRAINING_STEPS,
    "beta_start": BETA_START,
    "beta_end": BETA_END,
    "beta_schedule": "scaled_linear",
}
# The multistep samplers space their steps by signal-to-noise ratio: with evenly spaced time steps, a Gaussian
# target of deviation 0.30 comes out at 0.21 after 12 steps (dull sounds), so spaced at 0.31.
SAMPLERS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "dpm++": (DPMSolverMultistepScheduler, {"use_lu_lambdas": True}),
    "unipc": (UniPCMultistepScheduler, {"use_karras_sigmas": True}),
    "ddim": (DDIMScheduler, {"clip_sample": False, "steps_offset": 1}),
    "ddpm": (DDPMScheduler, {"clip_sample": False, "steps_offset": 1}),  # the paper's
}


def alphas() -> Tensor:
    """alpha_t of equation 2 (the cumulative product), float64 [1000]."""
    betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, TRAINING_STEPS, dtype=torch.float64) ** 2
    return torch.cumprod(1.0 - betas, dim=0)


def add_noise(z: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """Equation 2: sqrt(alpha_t) z_0 + sqrt(1 - alpha_t) epsilon; alpha [batch]."""
    alpha = alpha.view(-1, *[1] * (z.dim() - 1))
    return alpha.sqrt() * z + (1.0 - alpha).sqrt() * noise


def velocity(z: Tensor, noise: Tensor, alpha: Tensor) -> Tensor:
    """The target v (Salimans and Ho 2022, appendix D), same shapes as `add_noise`."""
    alpha = alpha.view(-1, *[1] * (z.dim() - 1))
    return alpha.sqrt() * noise - (1.0 - alpha).sqrt() * z


def min_snr_weight(alpha: Tensor, gamma: float = 5.0) -> Tensor:
    """Weight of the squared error of v: min(SNR, gamma) / SNR, as TANGO uses it (gamma_t of equation 3)."""
    snr = alpha / (1.0 - alpha)
    return snr.clamp(max=gamma) / snr


def make_sampler(name: str, prediction: Prediction = "v_prediction") -> Any:
    """A fresh diffusers scheduler by our name for it, for a network that predicts v or the noise.

    Raises `InvalidInput` for an unknown name.
    """
    if name not in SAMPLERS:
        raise InvalidInput(f"There is no sampler {name!r}; choose one of: {', '.join(SAMPLERS)}.")
    kind, options = SAMPLERS[name]
    return kind(**_COMMON, prediction_type=prediction, **options)


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
