"""AudioGen and MAGNeT as audiocraft itself runs them, from tiny folders in its format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcldm_plugin.backends.audiocraft import AudiocraftBackend, make
from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput
from dcldm_plugin.models.audiocraft import import_audiocraft
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, Sampling, unheard

T5 = "t5-tiny"  # what the tiny configurations call their text encoder; it is read from the part's folder
try:
    import_audiocraft()
except DcldmError as error:
    pytest.skip(str(error), allow_module_level=True)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),  # audiocraft's EnCodec
    pytest.mark.filterwarnings("ignore::UserWarning:audiocraft"),
]


@pytest.fixture(scope="module")
def models(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    conditioner = import_module("audiocraft.modules.conditioners").T5Conditioner
    conditioner.MODELS.append(T5)
    conditioner.MODELS_DIMS[T5] = tiny.TEXT_WIDTH
    source, folder = tmp_path_factory.mktemp("downloaded"), tmp_path_factory.mktemp("home") / "models"
    # AudioGen goes on after two seconds, so it must have been trained on more.
    tiny.write_audiogen(source / "audiogen-medium", tiny.audiogen_config(T5, **tiny.SIZES | {"seconds": 3}))
    tiny.write_audiogen(source / "audio-magnet-small", tiny.magnet_config(t5=T5, **tiny.SIZES))
    tiny.write_t5(source / "t5-large")
    for name in ("audiogen-medium-audiocraft", "audio-magnet-small"):
        Store(folder).install_from(name, source, lambda line: None)
    return folder


@pytest.fixture(scope="module")
def magnet(models: Path) -> AudiocraftBackend:
    return attentive(make(unheard, "audio-magnet-small", models))


@pytest.fixture(scope="module")
def audiogen(models: Path, magnet: AudiocraftBackend) -> AudiocraftBackend:
    """After MAGNeT, which has another way of attention, in the same process."""
    return attentive(make(unheard, "audiogen-medium-audiocraft", models))


@torch.no_grad()
def attentive(backend: AudiocraftBackend) -> AudiocraftBackend:
    """With stronger layers, since what has learned nothing hardly looks anywhere."""
    for parameter in backend.generator.lm.transformer.parameters():
        parameter.mul_(10.0)
    return backend


def render(backend: AudiocraftBackend, **options: Any) -> list[NDArray[np.float32]]:
    options = {"text": "rain", "seconds": 0.51, "seed": 1} | options
    return [take.samples for take in backend.render(GenerationRequest.create(**options), unheard)]


@pytest.mark.parametrize("name", ["magnet", "audiogen"])
def test_the_structure_seed_and_the_text_draw_everything(name: str, request: pytest.FixtureRequest) -> None:
    backend = request.getfixturevalue(name)
    first, second = render(backend, variations=2)
    assert first.shape == (1, 8_160) and first.dtype == np.float32
    assert np.isfinite(first).all() and float(np.abs(first).max()) > 0.0
    stream = torch.random.get_rng_state()
    assert np.array_equal(second, render(backend, seed=2)[0])
    assert torch.equal(stream, torch.random.get_rng_state())  # nobody else's draws are moved
    assert not np.array_equal(first, second)
    strongly = {} if name == "magnet" else {"sampling": Sampling(guidance_scale=30.0)}
    assert not np.array_equal(render(backend, **strongly)[0], render(backend, text="a dog barks", **strongly)[0])


def test_magnet_is_told_where_it_may_look(magnet: AudiocraftBackend) -> None:
    """Later codebooks see five frames to each side; what is further away must not matter."""
    render(magnet)
    model = magnet.generator.lm
    codes = torch.randint(0, 32, (1, 2, 60), generator=torch.Generator().manual_seed(2))
    attributes = import_module("audiocraft.modules.conditioners").ConditioningAttributes
    texts = model.condition_provider(model.condition_provider.tokenize([attributes(text={"description": "rain"})]))
    elsewhere = codes.clone()
    elsewhere[..., :20] = 31 - codes[..., :20]
    with torch.inference_mode():
        changes = [
            (model(codes, [], texts, stage=stage) - model(elsewhere, [], texts, stage=stage))[0, stage, 30].abs().max()
            for stage in (0, 1)
        ]
    assert changes[0] > 100 * changes[1], changes  # the rest is rounding


def test_what_each_has_of_sampling(magnet: AudiocraftBackend, audiogen: AudiocraftBackend) -> None:
    request = GenerationRequest.create("rain", seconds=0.5, seed=1, sampling=Sampling(guidance_scale=8.0))
    (take,) = audiogen.render(request, unheard)
    assert take.sampling == Sampling(guidance_scale=8.0)
    with pytest.raises(InvalidInput, match="its own schedule"):
        list(magnet.render(request, unheard))
    with pytest.raises(InvalidInput, match="no denoiser"):
        render(audiogen, sampling=Sampling(steps=5))
    for backend in (magnet, audiogen):
        with pytest.raises(InvalidInput, match="no negative prompt"):
            render(backend, negative="wind")


@pytest.mark.parametrize("name", ["magnet", "audiogen"])
def test_progress_rises_and_cancel_is_obeyed(name: str, request: pytest.FixtureRequest) -> None:
    backend = request.getfixturevalue(name)
    seen: list[float] = []

    def report(stage: str, fraction: float) -> None:
        if stage == "planning":
            seen.append(fraction)
            if len(seen) == 5:
                raise Cancelled

    with pytest.raises(Cancelled):
        list(backend.render(GenerationRequest.create("rain", seconds=0.5, seed=1), report))
    assert len(seen) == 5 and seen == sorted(seen) and 0.0 <= seen[0] < seen[-1] <= 1.0


def test_files_that_are_no_such_model_are_refused(tiny: Any, models: Path, tmp_path: Path) -> None:
    with pytest.raises(DcldmError, match="dcldm models install audio-magnet-small"):
        make(unheard, "audio-magnet-small", tmp_path)
    source = tmp_path / "downloaded"
    tiny.write_audiogen(source / "audio-magnet-small", tiny.audiogen_config(T5, **tiny.SIZES))  # not MAGNeT's
    tiny.write_t5(source / "t5-large")
    Store(tmp_path / "models").install_from("audio-magnet-small", source, lambda line: None)
    with pytest.raises(DcldmError, match="is not a model of MAGNeT") as caught:
        make(unheard, "audio-magnet-small", tmp_path / "models")
    assert "\n" not in str(caught.value)
    trace = tmp_path / "trace"
    torch.save({"best_state": {}, "xp.cfg": tiny.Malice(trace)}, source / "audio-magnet-small" / "state_dict.bin")
    Store(tmp_path / "models").install_from("audio-magnet-small", source, lambda line: None)
    with pytest.raises(DcldmError, match="damaged or not a checkpoint"):
        make(unheard, "audio-magnet-small", tmp_path / "models")
    assert not trace.exists()
