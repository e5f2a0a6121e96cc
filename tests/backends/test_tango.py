"""TANGO and the bridge as the engine runs them: installed by the store, tiny weights under the true names."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.backends.tango import make
from dcldm_plugin.engine import registry
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.engine.protocol import VariationReady
from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput
from dcldm_plugin.models.tango import Adapter, load_denoiser, write_adapter
from dcldm_plugin.models.unet import DualUNet
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, Sampling, unheard

pytestmark = pytest.mark.usefixtures("one_thread")

FEW = Sampling("dpm++", 2, 2.0)
FULL = Sampling("dpm++", 2, 2.0, (0.2, 0.8))  # with the interval in which DC-LDM is guided


@pytest.fixture(scope="module")
def models(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all weights, with the bridge's installed."""
    source = tiny.write_models(tmp_path_factory.mktemp("downloaded"))
    folder = tmp_path_factory.mktemp("home") / "models"
    Store(folder).install_from("tango-bridge", source, lambda line: None)
    # The tiny U-Net's sizes; the published folder has no such file, and means TANGO's own.
    shutil.copytree(source / "tango" / "configs", folder / "tango" / "configs")
    return folder


@pytest.fixture(scope="module")
def tango(models: Path) -> DcldmBackend:
    return make(unheard, "tango", models)


@pytest.fixture(scope="module")
def bridge(models: Path) -> DcldmBackend:
    return make(unheard, "tango-bridge", models)


def render(backend: DcldmBackend, **options: Any) -> list[NDArray[np.float32]]:
    options = {"text": "rain", "seconds": 0.5, "seed": 1, "sampling": FEW} | options
    return [take.samples for take in backend.render(GenerationRequest.create(**options), unheard)]


def test_tango_2_is_tango_with_other_weights(models: Path, tango: DcldmBackend, tmp_path: Path) -> None:
    source = tmp_path / "downloaded"
    shutil.copytree(models / "tango", source / "tango2")
    shutil.copytree(models / "flan-t5-large", source / "flan-t5-large")
    Store(tmp_path / "models").install_from("tango2", source, lambda line: None)
    shutil.copytree(source / "tango2" / "configs", tmp_path / "models" / "tango2" / "configs")
    backend = make(unheard, "tango2", tmp_path / "models")
    assert backend.info.name == "tango2"
    assert np.array_equal(render(backend)[0], render(tango)[0])  # here they are the same weights


def test_they_are_known_by_name_and_not_for_commerce() -> None:
    for name in ("tango", "tango2", "tango-bridge", "ldm-ag", "dc-ldm-ag-vae-down-up-light"):
        info = registry.describe(name)
        assert not info.commercial_use and "NC" in info.licence
        assert {"retexture", "repair", "purify", "loop"} <= set(info.controls)
        assert ("rearrange" in info.controls) == (name not in {"tango", "tango2"})  # there is no plan to arrange


@pytest.mark.parametrize("name", ["tango", "tango-bridge", "dc-ldm-ag-mid"])
def test_what_is_missing_is_to_be_installed(tmp_path: Path, name: str) -> None:
    with pytest.raises(DcldmError, match=f"dcldm models install {name}"):
        make(unheard, name, tmp_path)


def test_a_clip_and_the_same_clip_again(bridge: DcldmBackend) -> None:
    first, second = render(bridge, variations=2)
    assert first.shape == (1, 8_000)
    assert np.isfinite(first).all() and float(np.abs(first).max()) > 0.0
    assert np.array_equal(first, render(bridge)[0])
    assert not np.array_equal(first, second)
    assert len(bridge.info.version) == 12


def test_tango_listens_to_text_and_negative_prompt(tango: DcldmBackend) -> None:
    first = render(tango)[0]
    assert np.array_equal(first, render(tango)[0])
    assert not np.array_equal(first, render(tango, text="a dog")[0])
    assert not np.array_equal(first, render(tango, negative="wind")[0])


def test_the_bridge_is_told_how_far_to_purify(bridge: DcldmBackend, tango: DcldmBackend) -> None:
    some, much = (render(bridge, sampling=Sampling("ddim", 4, 2.0, purify=value))[0] for value in (0.2, 0.9))
    assert not np.array_equal(some, much)
    (take,) = bridge.render(GenerationRequest.create("rain", seconds=0.5, seed=1, sampling=FEW), unheard)
    assert take.sampling.purify is not None
    with pytest.raises(InvalidInput, match="nothing to purify"):
        render(tango, sampling=Sampling(purify=0.5))


def test_progress_goes_through_every_stage_and_cancel_is_obeyed(bridge: DcldmBackend, tango: DcldmBackend) -> None:
    for backend, stages in (
        (tango, ["reading", "denoising", "decoding"]),
        (bridge, ["reading", "planning", "denoising", "decoding"]),
    ):
        seen: list[tuple[str, float]] = []
        request = GenerationRequest.create("a bell", seconds=0.5, seed=9, sampling=FEW)
        list(backend.render(request, lambda stage, fraction, seen=seen: seen.append((stage, fraction))))
        assert list(dict.fromkeys(stage for stage, _ in seen)) == stages
        for stage in stages:
            fractions = [fraction for name, fraction in seen if name == stage]
            assert fractions == sorted(fractions)
        for stage in stages[:-1]:
            with pytest.raises(Cancelled):
                list(backend.render(GenerationRequest.create("rain", seed=3, sampling=FEW), stop_at(stage)))


def stop_at(wanted: str) -> Callable[[str, float], None]:
    def report(stage: str, fraction: float) -> None:
        if stage == wanted:
            raise Cancelled

    return report


def test_loading_is_reported(models: Path) -> None:
    seen: list[tuple[str, float]] = []
    make(lambda stage, fraction: seen.append((stage, fraction)), "tango-bridge", models)
    assert {stage for stage, _ in seen} == {"loading"}
    fractions = [fraction for _, fraction in seen]
    assert fractions[0] == 0.0 and fractions[-1] == 1.0 and fractions == sorted(fractions)


def install(models: Path, name: str, adapter: Path) -> None:
    Store(models).install_from(name, adapter, lambda line: None)


def test_an_adapter_of_the_users_own_makes_it_dc_ldm(models: Path, tango: DcldmBackend, tmp_path: Path) -> None:
    denoiser, base = load_denoiser(models / "tango", places=("down", "up"))
    path = tmp_path / "mine.safetensors"

    def dual(encoding: Any) -> NDArray[np.float32]:
        write_adapter(denoiser, Adapter(base, ("down", "up"), encoding=encoding), path)
        name = f"dc-ldm-{encoding.replace('_', '-')}-down-up"
        install(models, name, path)
        backend = make(unheard, name, models)
        assert (backend.info.name, backend.model.config.encoding) == (name, encoding)
        return render(backend)[0]

    alone = render(tango, sampling=FULL)[0]
    assert np.array_equal(dual("ag"), alone)  # what has not learned anything yet is TANGO, to the bit
    generator = torch.Generator().manual_seed(1)
    for name, value in denoiser.unet.state_dict().items():
        if ".acoustic." in name:
            value.normal_(generator=generator)
    assert not np.array_equal(dual("ag_vae"), alone)


def test_a_network_that_was_trained_on_the_plan_alone_has_its_row_too(models: Path, tmp_path: Path) -> None:
    _, base = load_denoiser(models / "tango")
    config = json.loads((models / "tango" / "configs" / "diffusion_model_config.json").read_text())
    torch.manual_seed(8)
    network = DualUNet({key: value for key, value in config.items() if key[0] != "_"}, (), condition="plan")
    path = tmp_path / "mine.safetensors"
    write_adapter(network, Adapter(base, (), condition="plan"), path)
    install(models, "ldm-ag", path)
    backend = make(unheard, "ldm-ag", models)
    first = render(backend)[0]
    assert np.array_equal(first, render(backend)[0])
    assert not np.array_equal(first, render(backend, seed=2)[0])
    assert torch.equal(backend.model.denoiser.unet.conv_in.weight, network.unet.conv_in.weight)


def test_an_adapter_under_another_rows_name_is_refused(models: Path, tmp_path: Path) -> None:
    denoiser, base = load_denoiser(models / "tango", places=("mid",), block="light")
    path = tmp_path / "mine.safetensors"
    write_adapter(denoiser, Adapter(base, ("mid",), "light"), path)
    install(models, "dc-ldm-ag-up", path)
    with pytest.raises(DcldmError, match="is one of dc-ldm-ag-mid-light"):
        make(unheard, "dc-ldm-ag-up", models)


def test_a_damaged_adapter_is_refused_with_a_sentence(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes((len(b"{}") + 0).to_bytes(8, "little") + b"{}")  # whole, and says nothing
    install(models, "dc-ldm-ag-mid", path)
    with pytest.raises(DcldmError, match="not an acoustic adapter"):
        make(unheard, "dc-ldm-ag-mid", models)


def test_the_home_folder_reaches_the_engine(models: Path, tmp_path: Path) -> None:
    """As `dcldm generate --home` does it: nothing in the environment says where the models are."""
    request = GenerationRequest.create("rain", seconds=0.5, seed=1, model="tango", sampling=FEW)
    events: list[Any] = []
    with contextlib.closing(EngineProcess(tmp_path, home=models.parent)) as engine:
        engine.run(request, events.append)
    (variation,) = [event.variation for event in events if isinstance(event, VariationReady)]
    assert len(variation.model_version) == 12
    with (
        contextlib.closing(EngineProcess(tmp_path, home=tmp_path)) as engine,
        pytest.raises(DcldmError, match="dcldm models install tango"),
    ):
        engine.run(request, events.append)
