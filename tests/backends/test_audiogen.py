"""AudioGen without a denoiser, as the engine runs it: installed by the store, tiny weights under the true names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcldm_plugin.backends.audiogen import AudioGenBackend, make, whole_frames
from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput
from dcldm_plugin.models.audiogen import load_audiogen
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, Sampling, unheard

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def models(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, folder = tmp_path_factory.mktemp("downloaded"), tmp_path_factory.mktemp("home") / "models"
    tiny.write_audiogen(source / "audiogen-medium")
    tiny.write_t5(source / "t5-large")
    Store(folder).install_from("audiogen-medium", source, lambda line: None)
    return folder


@pytest.fixture(scope="module")
def backend(models: Path) -> AudioGenBackend:
    return make(unheard, "audiogen-medium", models)


def render(backend: AudioGenBackend, **options: Any) -> list[NDArray[np.float32]]:
    options = {"text": "rain", "seconds": 0.5, "seed": 1} | options
    return [take.samples for take in backend.render(GenerationRequest.create(**options), unheard)]


def test_the_structure_seed_and_the_text_draw_everything(backend: AudioGenBackend) -> None:
    first, second = render(backend, variations=2)
    assert first.shape == (1, 8_000) and first.dtype == np.float32
    assert np.isfinite(first).all() and float(np.abs(first).max()) > 0.0
    assert np.array_equal(second, render(backend, seed=2)[0])
    assert not np.array_equal(first, second)
    strongly = {"sampling": Sampling(guidance_scale=30.0)}  # what has learned nothing hardly listens
    assert not np.array_equal(render(backend, **strongly)[0], render(backend, text="a dog", **strongly)[0])
    assert len(backend.info.version) == 12


def test_guidance_is_chosen_and_told(backend: AudioGenBackend) -> None:
    request = GenerationRequest.create("rain", seconds=0.5, seed=1, sampling=Sampling(guidance_scale=8.0))
    (take,) = backend.render(request, unheard)
    assert take.sampling == Sampling(guidance_scale=8.0)
    (plain,) = backend.render(GenerationRequest.create("rain", seconds=0.5, seed=1), unheard)
    assert plain.sampling == Sampling(guidance_scale=3.0)
    assert not np.array_equal(take.samples, plain.samples)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling": Sampling(steps=20)}, "no denoiser"),
        ({"sampling": Sampling("ddim")}, "no denoiser"),
        ({"sampling": Sampling(guidance_interval=(0.0, 0.5))}, "no denoiser"),
        ({"sampling": Sampling(purify=0.5)}, "no denoiser"),
        ({"negative": "wind"}, "no negative prompt"),
        ({"seconds": 11.0}, "at most 10 s"),
        ({"stereo": 0.5}, "does not have the control 'stereo'"),
    ],
)
def test_what_only_diffusion_has_is_refused(backend: AudioGenBackend, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        render(backend, **options)


def test_cancel_is_obeyed_at_a_step(backend: AudioGenBackend) -> None:
    calls = 0

    def report(stage: str, fraction: float) -> None:
        nonlocal calls
        calls += stage == "planning"
        if calls == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(backend.render(GenerationRequest.create("rain", seed=1), report))
    assert calls == 3


def test_its_files_are_refused_with_a_sentence(tiny: Any, models: Path, tmp_path: Path) -> None:
    with pytest.raises(DcldmError, match="dcldm models install audiogen-medium"):
        make(unheard, "audiogen-medium", tmp_path)
    source = tmp_path / "downloaded"
    tiny.write_audiogen(source / "audiogen-medium")
    tiny.write_t5(source / "t5-large")
    (source / "audiogen-medium" / "state_dict.bin").write_bytes(
        (source / "audiogen-medium" / "compression_state_dict.bin").read_bytes()
    )
    Store(tmp_path / "models").install_from("audiogen-medium", source, lambda line: None)
    with pytest.raises(DcldmError, match="is not an AudioGen language model"):
        make(unheard, "audiogen-medium", tmp_path / "models")


def test_eight_bits_come_from_what_the_file_has(tiny: Any, backend: AudioGenBackend, models: Path) -> None:
    """On a CPU; the parts that stay in full precision are those of the file, rounded once."""
    whole = load_audiogen(models / "audiogen-medium")
    ours = backend.parts.plan.lm.model.decoder.embed_tokens[0].weight
    torch.testing.assert_close(ours, whole.plan.lm.model.decoder.embed_tokens[0].weight.half().float(), rtol=0, atol=0)


def test_frames_cover_the_clip() -> None:
    assert [whole_frames(seconds, 50) for seconds in (10.0, 0.5, 0.51, 0.1, 0.3)] == [500, 25, 26, 5, 15]
