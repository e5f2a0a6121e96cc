"""TANGO and the bridge as the engine runs them: installed by the store, tiny weights under the true names."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.backends.tango import make_bridge, make_tango
from dcldm_plugin.engine.registry import ENTRIES
from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput
from dcldm_plugin.models import assembly
from dcldm_plugin.models.tango import Adapter, load_denoiser, write_adapter
from dcldm_plugin.sources import MODELS
from dcldm_plugin.store import Store
from dcldm_plugin.types import GenerationRequest, Sampling

FEW = Sampling("dpm++", 2, 2.0)


def silent(stage: str, fraction: float) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    return make_tango(silent, models)


@pytest.fixture(scope="module")
def bridge(models: Path) -> DcldmBackend:
    return make_bridge(silent, models)


def render(backend: DcldmBackend, **options: Any) -> list[NDArray[np.float32]]:
    options = {"text": "rain", "seconds": 0.5, "seed": 1, "sampling": FEW} | options
    return [take.samples for take in backend.render(GenerationRequest.create(**options), silent)]


def test_they_are_known_by_name_and_not_for_commerce() -> None:
    factories = {entry.info.name: entry for entry in ENTRIES}
    for name, function in (("tango", "make_tango"), ("tango-bridge", "make_bridge")):
        assert factories[name].factory == f"dcldm_plugin.backends.tango:{function}"
        assert not factories[name].info.commercial_use
        assert "NC" in factories[name].info.licence


@pytest.mark.parametrize(("make", "name"), [(make_tango, "tango"), (make_bridge, "tango-bridge")])
def test_what_is_missing_is_to_be_installed(tmp_path: Path, make: Callable[..., Any], name: str) -> None:
    with pytest.raises(DcldmError, match=f"dcldm models install {name}"):
        make(silent, tmp_path)


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
    (take,) = bridge.render(GenerationRequest.create("rain", seconds=0.5, seed=1, sampling=FEW), silent)
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
    make_bridge(lambda stage, fraction: seen.append((stage, fraction)), models)
    assert {stage for stage, _ in seen} == {"loading"}
    fractions = [fraction for _, fraction in seen]
    assert fractions[0] == 0.0 and fractions[-1] == 1.0 and fractions == sorted(fractions)


def test_an_adapter_of_the_users_own_makes_it_dc_ldm(models: Path, tmp_path: Path) -> None:
    denoiser, base = load_denoiser(models / "tango", places=("down", "up"))
    path = tmp_path / "adapter.safetensors"
    folders = assembly.Folders(
        models / "tango", models / "flan-t5-large", models / "audiogen-medium", models / "t5-large"
    )

    def dual(encoding: Any) -> NDArray[np.float32]:
        write_adapter(denoiser, Adapter(base, ("down", "up"), encoding=encoding), path)
        chain = assembly.dual(folders, path, silent, "cpu")
        assert chain.config.encoding == encoding
        return render(DcldmBackend(MODELS["tango"].info, chain))[0]

    alone = render(DcldmBackend(MODELS["tango"].info, assembly.text_only(folders, silent, "cpu")))[0]
    assert np.array_equal(dual("ag"), alone)  # what has not learned anything yet is TANGO, to the bit
    generator = torch.Generator().manual_seed(1)
    for name, value in denoiser.unet.state_dict().items():
        if ".acoustic." in name:
            value.normal_(generator=generator)
    assert not np.array_equal(dual("ag_vae"), alone)
