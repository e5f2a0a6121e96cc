"""The paper's own training: an acoustic adapter on a frozen TANGO, from tiny weights under the true names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from dcldm_plugin.backends.tango import make_folder
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.models.tango import load_denoiser, read_adapter
from dcldm_plugin.store import Store
from dcldm_plugin.training.base import load_base, write_result
from dcldm_plugin.training.config import Config, make_config
from dcldm_plugin.training.draw import Draw
from dcldm_plugin.training.loop import train
from dcldm_plugin.training.parts import build
from dcldm_plugin.types import GenerationRequest, Sampling, unheard

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def home(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder with the bridge's weights installed."""
    source = tiny.write_models(tmp_path_factory.mktemp("downloaded"))
    folder = tmp_path_factory.mktemp("home")
    Store(folder / "models").install_from("tango-bridge", source, lambda line: None)
    # The tiny U-Net's sizes; the published folder has no such file, and means TANGO's own.
    shutil.copytree(source / "tango" / "configs", folder / "models" / "tango" / "configs")
    return folder


@pytest.fixture(scope="module")
def sounds(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the sounds: TANGO's ten seconds take their time."""
    folder = tmp_path_factory.mktemp("two")
    for path in sorted(sounds.iterdir())[:2]:
        shutil.copy(path, folder)
    return folder


def configured(sounds: Path, out: Path, part: str = "adapter", **more: Any) -> Config:
    values = {"part": part, "base": "tango", "out": str(out), **more}
    values["data"] = {"source": str(sounds), "held_out": 0.0, "mixes": 0.0, "plans": "target"} | more.get("data", {})
    values["run"] = {"steps": 2, "batch": 2, "average": 0.0}
    values["optimizer"] = {"rate": 1e-2, "warm_up": 0}
    return make_config(values, out)


@pytest.mark.parametrize("encoding", ["ag", "ag_vae"])
def test_an_adapter_starts_as_tango_and_learns_only_what_is_new(
    encoding: str, home: Path, sounds: Path, tmp_path: Path
) -> None:
    more: dict[str, Any] = {"data": {"plans": "model"}} if encoding == "ag_vae" else {}
    config = configured(sounds, tmp_path, network={"encoding": encoding, "places": ["down"]}, **more)
    base = load_base(config, home)
    task = build(config, base, Accelerator(cpu=True), tmp_path / "cache", print)
    assert task.loss is not None
    draw = Draw(0, 0, task.sounds.learned[:2], np.arange(2), 2)
    plain, fingerprint = load_denoiser(home / "models" / "tango")
    with torch.no_grad():
        assert torch.equal(task.loss(task.model, draw)["total"], task.loss(plain, draw)["total"])
    train(task.model, task.loss, tmp_path, task.sounds, config.run, config.optimizer)
    with torch.no_grad():
        assert not torch.equal(task.loss(task.model, draw)["total"], task.loss(plain, draw)["total"])
    write_result(base, config, tmp_path / "model")
    path = tmp_path / "model" / "adapter.safetensors"
    header = read_adapter(path)
    assert (header.base, header.places, header.encoding) == (fingerprint, ("down",), encoding)
    loaded, _ = load_denoiser(home / "models" / "tango", adapter=path)
    trained, state = base.chain.denoiser.state_dict(), loaded.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in trained.items())
    frozen = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in frozen.items())

    # It is a model by its path, and a base for more.
    name = str(tmp_path / "model")
    info = registry.describe(name)
    assert not info.commercial_use and "NC" in info.licence and info.name == name
    if encoding == "ag":
        backend = make_folder(unheard, name, home / "models")
        request = GenerationRequest.create("rain", seconds=0.5, seed=1, model=name, sampling=Sampling("dpm++", 2, 2.0))
        (take,) = backend.render(request, unheard)
        assert take.samples.shape == (1, 8_000)
        again = load_base(
            make_config({"part": "adapter", "base": name, "out": "x", "data": {"source": "s"}}, tmp_path), home
        )
        assert all(torch.equal(value, trained[name]) for name, value in again.chain.denoiser.state_dict().items())


def test_a_whole_u_net_is_kept_whole(home: Path, sounds: Path, tmp_path: Path) -> None:
    config = configured(sounds, tmp_path, "unet")
    base = load_base(config, home)
    task = build(config, base, Accelerator(cpu=True), tmp_path / "cache", print)
    assert all(value.requires_grad for value in task.model.parameters())
    with torch.no_grad():
        for value in task.model.parameters():
            value += 0.01
    write_result(base, config, tmp_path / "model")
    loaded, _ = load_denoiser(home / "models" / "tango", adapter=tmp_path / "model" / "adapter.safetensors")
    trained = base.chain.denoiser.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in loaded.state_dict().items())


def test_activations_of_the_u_net_computed_again_give_the_same_gradients(
    home: Path, sounds: Path, tmp_path: Path
) -> None:
    config = configured(sounds, tmp_path)
    base = load_base(config, home)
    task = build(config, base, Accelerator(cpu=True), tmp_path / "cache", print)
    task.model.train()
    assert task.loss is not None
    gradients = []
    for _ in range(2):
        task.loss(task.model, Draw(0, 0, task.sounds.learned[:2], np.arange(2), 2))["total"].backward()
        gradients.append([value.grad for value in task.model.parameters() if value.grad is not None])
        task.model.zero_grad(set_to_none=True)
        base.chain.denoiser.unet.enable_gradient_checkpointing()  # type: ignore[union-attr, operator]
    assert gradients[0]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_what_tango_cannot_be_taught_here_is_a_sentence(home: Path, sounds: Path, tmp_path: Path) -> None:
    for part in ("lm", "codec", "vae", "vocoder"):
        config = configured(sounds, tmp_path, part)
        with pytest.raises(InvalidInput, match="as it is"):
            build(config, load_base(config, home), Accelerator(cpu=True), tmp_path / "cache", print)
    with pytest.raises(DcldmError, match="dcldm models install"):
        load_base(configured(sounds, tmp_path), tmp_path / "empty")
