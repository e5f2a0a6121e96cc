from collections.abc import Iterator

import numpy as np
import pytest

from dcldm_plugin.backends.tone import DENOISING_STEPS, LOWEST_HZ, make, tone
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import Cancelled, InvalidInput
from dcldm_plugin.types import GenerationRequest, Prompt, Sampling, Seeds


def ignore(stage: str, fraction: float) -> None:
    pass


def test_registry_loads_it() -> None:
    backend = registry.load("tone", ignore)
    assert backend.info == registry.TONE


def test_equal_requests_give_equal_samples() -> None:
    request = GenerationRequest.create("a bell", seconds=0.5, variations=3, seed=5, model="tone")
    first, second = ([take.samples for take in make(ignore).render(request, ignore)] for _ in range(2))
    assert len(first) == 3
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], first[1])


def test_variation_is_what_its_seed_gives_alone() -> None:
    request = GenerationRequest.create("a bell", seconds=0.5, variations=3, seed=5, model="tone")
    together = [take.samples for take in make(ignore).render(request, ignore)]
    alone = next(iter(make(ignore).render(request.only(2), ignore)))
    np.testing.assert_array_equal(together[2], alone.samples)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 10.24])
def test_shape_and_level(seconds: float) -> None:
    samples = tone(Prompt("rain"), Seeds(1, 2), seconds, 16_000)
    assert samples.dtype == np.float32
    assert samples.shape == (1, round(seconds * 16_000))
    assert 0.1 < float(np.abs(samples).max()) <= 0.5


def test_pitch_comes_from_prompt_and_structure_and_noise_from_texture() -> None:
    def pitch_hz(prompt: str, seeds: Seeds) -> float:
        spectrum = np.abs(np.fft.rfft(tone(Prompt(prompt), seeds, 1.0, 16_000)[0]))
        return float(spectrum.argmax())  # one second: one bin is 1 Hz

    pitch = pitch_hz("rain", Seeds(1, 2))
    assert LOWEST_HZ - 1 <= pitch <= 8 * LOWEST_HZ
    assert pitch_hz("rain", Seeds(1, 3)) == pytest.approx(pitch, abs=1)
    assert abs(pitch_hz("rain", Seeds(2, 2)) - pitch) > 5
    assert abs(pitch_hz("wind", Seeds(1, 2)) - pitch) > 5
    same_pitch = (
        tone(Prompt("rain"), Seeds(1, 2), 1.0, 16_000),
        tone(Prompt("rain"), Seeds(1, 3), 1.0, 16_000),
    )
    assert not np.array_equal(*same_pitch)


def test_reports_each_step_of_each_stage() -> None:
    reports: list[tuple[str, float]] = []

    def note(stage: str, fraction: float) -> None:
        reports.append((stage, fraction))

    request = GenerationRequest.create("a bell", seconds=0.1, seed=1, model="tone")
    (take,) = make(note).render(request, note)
    assert take.sampling.steps == DENOISING_STEPS
    assert [stage for stage, _ in reports if stage == "denoising"] == ["denoising"] * (DENOISING_STEPS + 1)
    assert list(dict.fromkeys(stage for stage, _ in reports)) == [
        "loading",
        "planning",
        "denoising",
        "decoding",
    ]
    for stage in ("planning", "denoising", "decoding"):
        fractions = [fraction for name, fraction in reports if name == stage]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_report_that_raises_ends_it_at_once() -> None:
    reports: list[str] = []

    def cancel_at_the_third_denoising_step(stage: str, fraction: float) -> None:
        reports.append(stage)
        if reports.count("denoising") == 3:
            raise Cancelled

    request = GenerationRequest.create("a bell", seconds=0.1, seed=1, model="tone")
    takes: Iterator[object] = make(ignore).render(request, cancel_at_the_third_denoising_step)
    with pytest.raises(Cancelled):
        next(takes)
    assert reports.count("denoising") == 3


def test_unknown_sampler_is_refused() -> None:
    request = GenerationRequest.create("a bell", model="tone", sampling=Sampling(sampler="nope"))
    with pytest.raises(InvalidInput, match="sampler"):
        next(iter(make(ignore).render(request, ignore)))
