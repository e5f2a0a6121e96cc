"""The built-in model as it ships: what a user may rely on, whatever it has learned."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from dcldm_plugin.backends.dcldm import BUILTIN_FOLDER, DcldmBackend, make_builtin
from dcldm_plugin.errors import Cancelled, InvalidInput
from dcldm_plugin.types import GenerationRequest, Sampling, unheard


@pytest.fixture(scope="module")
def backend() -> Iterator[DcldmBackend]:
    yield make_builtin(unheard)


def render(backend: DcldmBackend, request: GenerationRequest) -> list[NDArray[np.float32]]:
    return [take.samples for take in backend.render(request, unheard)]


def test_the_weights_fit_into_the_package() -> None:
    assert sum(path.stat().st_size for path in BUILTIN_FOLDER.rglob("*")) < 60e6
    for name in ("MODEL_CARD.md", "ATTRIBUTION.md"):
        assert (BUILTIN_FOLDER / name).stat().st_size > 500


def test_equal_requests_give_equal_sound_and_other_seeds_another(backend: DcldmBackend) -> None:
    request = GenerationRequest.create("heavy rain on a roof", seconds=3.0, seed=1, variations=2)
    first, second = render(backend, request)
    assert first.shape == (1, 48_000)
    assert np.array_equal(first, render(backend, request.only(0))[0])
    assert np.array_equal(second, render(backend, request.only(1))[0])
    assert not np.allclose(first, second, atol=0.01)


@pytest.mark.parametrize("text", ["thunder", "qwxz frobnicate", "дождь 🌧️", "كلب ينبح"])
def test_any_prompt_gives_a_sound(backend: DcldmBackend, text: str) -> None:
    (samples,) = render(backend, GenerationRequest.create(text, seconds=2.0, seed=3))
    assert np.isfinite(samples).all()
    assert float(np.abs(samples).max()) > 1e-3
    assert abs(float(samples.mean())) < 0.01


def test_progress_goes_through_every_stage_in_order(backend: DcldmBackend) -> None:
    seen: list[tuple[str, float]] = []
    request = GenerationRequest.create("a bell", seconds=1.0, seed=1)
    list(backend.render(request, lambda stage, fraction: seen.append((stage, fraction))))
    stages = list(dict.fromkeys(stage for stage, _ in seen))
    assert stages == ["reading", "planning", "denoising", "decoding"]
    for stage in stages:
        fractions = [fraction for name, fraction in seen if name == stage]
        assert fractions == sorted(fractions)
    assert len(seen) > 100  # every token and every step, so that a cancel never waits for long


def test_cancel_ends_the_loop_that_it_meets(backend: DcldmBackend) -> None:
    calls = 0

    def report(stage: str, fraction: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(backend.render(GenerationRequest.create("wind", seed=1), report))
    assert calls == 20


def test_what_the_model_cannot_do_is_said_before_it_begins(backend: DcldmBackend) -> None:
    with pytest.raises(InvalidInput, match="sampler"):
        render(backend, GenerationRequest.create("wind", sampling=Sampling(sampler="magic")))
