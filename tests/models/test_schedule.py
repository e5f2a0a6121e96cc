"""Equations 1-7 against closed forms."""

import pytest
import torch

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models.schedule import (
    SAMPLERS,
    Prediction,
    add_noise,
    alphas,
    make_sampler,
    min_snr_weight,
    velocity,
)


def test_schedule_has_the_published_end() -> None:
    alpha = alphas()
    assert abs(float(alpha[-1]) - 0.00466) < 1e-5
    assert (alpha[1:] < alpha[:-1]).all()


def test_velocity_and_noisy_latent_give_back_both_parts() -> None:
    z, noise = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    alpha = torch.tensor([0.9, 0.2])
    noisy, v = add_noise(z, noise, alpha), velocity(z, noise, alpha)
    a = alpha.view(2, 1, 1, 1)
    assert torch.allclose(a.sqrt() * noisy - (1 - a).sqrt() * v, z, atol=1e-6)
    assert torch.allclose((1 - a).sqrt() * noisy + a.sqrt() * v, noise, atol=1e-6)


def test_min_snr_weight_is_one_at_high_noise_and_falls_with_the_snr() -> None:
    weight = min_snr_weight(torch.tensor([0.5, 5 / 6, 0.99]))
    assert torch.allclose(weight, torch.tensor([1.0, 1.0, 5 / 99]), atol=1e-6)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize(("name", "steps"), [("dpm++", 12), ("unipc", 12), ("ddim", 100), ("ddpm", 500)])
def test_samplers_reach_a_gaussian_target_whose_exact_answer_is_known(
    name: str, steps: int, prediction: Prediction
) -> None:
    """For z_0 ~ N(m, s^2), E[v | z_t] and E[epsilon | z_t] are linear in z_t; sampling must give N(m, s^2) back."""
    mean, deviation = 0.7, 0.3
    alpha = alphas()
    sampler = make_sampler(name, prediction)
    sampler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, 1, 100, 200, generator=generator, dtype=torch.float64) * sampler.init_noise_sigma
    for t in sampler.timesteps:
        a = alpha[int(t)]
        variance = a * deviation**2 + (1 - a)
        clean = mean + a.sqrt() * deviation**2 / variance * (z - a.sqrt() * mean)
        noise = (z - a.sqrt() * clean) / (1 - a).sqrt()
        answer = noise if prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean
        extra = {"generator": generator} if name == "ddpm" else {}
        z = sampler.step(answer, t, z, **extra).prev_sample
    assert abs(float(z.mean()) - mean) < 0.03
    assert abs(float(z.std()) - deviation) < 0.03


def test_unknown_sampler_names_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match=", ".join(SAMPLERS).replace("+", r"\+")):
        make_sampler("magic")
