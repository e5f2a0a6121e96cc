"""The bridge's mathematics, and a tiny chain: AudioGen's sound into TANGO's denoiser."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dcldm_plugin.errors import Cancelled
from dcldm_plugin.models.bridge import Bridge, as_latent
from dcldm_plugin.models.dcldm import FULL_SIZE_DEFAULTS, ChainConfig
from dcldm_plugin.models.encodings import side_by_side
from dcldm_plugin.models.schedule import SAMPLERS, alphas, entered, first_step, make_sampler, noised
from dcldm_plugin.types import Sampling, Seeds, unheard

SAMPLING = Sampling("dpm++", 4, 2.0, purify=0.5)


def some(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_noise_comes_in_by_equation_2() -> None:
    z, noise = some(1, 2, 8, 4, 4), some(2, 2, 8, 4, 4)
    beta = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    for t in (0, 500, 999):
        alpha = float((1.0 - beta)[: t + 1].prod())
        expected = alpha**0.5 * z + (1.0 - alpha) ** 0.5 * noise
        torch.testing.assert_close(noised(z, noise, t), expected)


def test_the_first_step_is_the_first_that_is_not_beyond_t0() -> None:
    timesteps = torch.tensor([999, 750, 500, 250, 1])
    assert [first_step(timesteps, t0) for t0 in (1.0, 0.9, 0.5006, 0.5, 0.002, 0.0)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("t0", [0.3, 0.7, 1.0])
def test_every_sampler_goes_on_from_the_middle(name: str, t0: float) -> None:
    """With a denoiser that knows the answer, the sound that went in comes out again."""
    scheduler = make_sampler(name)
    scheduler.set_timesteps(20)
    z, noise = some(1, 1, 2, 8, 4), some(2, 1, 2, 8, 4)
    start, x = entered(scheduler, z, noise, t0)
    assert (start == 0) == (t0 == 1.0 and int(scheduler.timesteps[0]) <= 999)
    extra = {"generator": torch.Generator().manual_seed(3)} if name == "ddpm" else {}
    for t in scheduler.timesteps[start:]:
        alpha = alphas()[int(t)].float()
        epsilon = (x - alpha.sqrt() * z) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * epsilon - (1 - alpha).sqrt() * z
        x = scheduler.step(velocity, t, x, **extra).prev_sample
    torch.testing.assert_close(x, z, atol=0.05, rtol=0.0)


def test_the_sequence_of_e_t2a_is_the_latent_again() -> None:
    z = some(1, 2, 8, 5, 16)
    assert torch.equal(as_latent(side_by_side(z), 8), z)


@pytest.fixture(scope="module")
def bridge(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Bridge:
    from dcldm_plugin.models.audioldm import load_audio_parts
    from dcldm_plugin.models.tango import load_denoiser, load_text_encoder

    folder = tiny.write_tango(tmp_path_factory.mktemp("tango"))
    audio = load_audio_parts(folder)
    text = load_text_encoder(folder, folder / "tokenizer")
    config = ChainConfig(
        audio.mel,
        shortest_steps=16,
        longest_steps=32,
        defaults=replace(FULL_SIZE_DEFAULTS, purify=0.5),
        encoding="ag_vae",
        zero_padding=True,
        longest_plan_seconds=1.0,
    )
    denoiser, _ = load_denoiser(folder)
    return Bridge(
        config, text, tiny.plan_model(), tiny.codec(), denoiser, audio.space, audio.vocoder, plan_text=text
    ).eval()


def render(bridge: Bridge, seeds: Seeds, **changes: Any) -> Tensor:
    sampling = replace(SAMPLING, **changes)
    return bridge.generate("rain", "", 0.7, seeds, sampling, unheard)


def test_a_clip_comes_out_and_the_same_seeds_give_the_same(bridge: Bridge) -> None:
    sound = render(bridge, Seeds(1, 1))
    assert sound.shape == (11_200,)
    assert torch.isfinite(sound).all()
    assert torch.equal(sound, render(bridge, Seeds(1, 1)))
    assert not torch.equal(sound, render(bridge, Seeds(2, 1)))
    assert not torch.equal(sound, render(bridge, Seeds(1, 2)))


@torch.inference_mode()
def test_purify_at_0_is_the_autoencoders_own_copy(bridge: Bridge) -> None:
    """Neither text nor texture has a say then, and the denoiser is not asked."""
    sound = render(bridge, Seeds(1, 1), purify=0.0)
    assert torch.equal(sound, render(bridge, Seeds(1, 2), purify=0.0))
    steps = bridge.latent_steps(0.7)
    codes = bridge.plans("rain", bridge.plan_frames(steps), [1], unheard)
    z = as_latent(bridge.encoded(codes, steps), 8)
    assert torch.equal(sound, bridge.vocoder(bridge.space.decode(z))[0, :11_200])


@torch.inference_mode()
def test_more_purify_leaves_less_of_audiogens_sound(bridge: Bridge) -> None:
    steps = bridge.latent_steps(0.7)
    codes = bridge.plans("rain", bridge.plan_frames(steps), [1], unheard)
    z = as_latent(bridge.encoded(codes, steps), 8)
    z = z / z.std()  # the tiny VAE's scaling factor is not its own
    likeness = []
    for t0 in (0.1, 0.4, 0.7, 1.0):
        scheduler = make_sampler("ddim")
        scheduler.set_timesteps(50)
        _, began = entered(scheduler, z, bridge.noise(steps, 1), t0)
        likeness.append(float(torch.corrcoef(torch.stack([z.flatten(), began.flatten()]))[0, 1]))
    assert likeness == sorted(likeness, reverse=True)
    assert likeness[0] > 0.9 and likeness[-1] < 0.3


def test_a_small_purify_makes_fewer_steps_and_cancel_is_obeyed(bridge: Bridge) -> None:
    def steps_of(purify: float) -> int:
        seen: list[str] = []
        sampling = replace(SAMPLING, sampler="ddim", steps=20, purify=purify)
        bridge.generate("rain", "", 0.7, Seeds(1, 1), sampling, lambda stage, fraction: seen.append(stage))
        assert list(dict.fromkeys(seen)) in (
            ["reading", "planning", "denoising", "decoding"],
            ["reading", "denoising", "decoding"],  # the plan was there
        )
        return seen.count("denoising")

    assert [steps_of(purify) for purify in (0.0, 0.25, 1.0)] == [1, 6, 21]

    calls = 0

    def report(stage: str, fraction: float) -> None:
        nonlocal calls
        calls += stage == "denoising"
        if calls == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        bridge.generate("rain", "", 0.7, Seeds(1, 1), SAMPLING, report)
    assert calls == 2


def test_audiogen_is_not_asked_for_more_than_it_was_trained_on(bridge: Bridge) -> None:
    assert bridge.plan_frames(16) == 32  # 16 steps of 40 ms
    assert bridge.plan_frames(32) == 50  # not 64: one second
