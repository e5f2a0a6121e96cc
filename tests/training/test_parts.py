"""Each part learns from sounds, at tiny size; and what an adapter may not do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm, checkpoint
from dcldm_plugin.models.phrasebook import Phrasebook, mean_states
from dcldm_plugin.models.vocoder import SinesAndNoise
from dcldm_plugin.training.base import Base, load_base, write_result
from dcldm_plugin.training.config import Config, make_config
from dcldm_plugin.training.draw import Draw
from dcldm_plugin.training.loop import train
from dcldm_plugin.training.parts import Task, build
from dcldm_plugin.training.vae import LARGEST_DEVIATION, linear_space


def configured(part: str, base: Path | str, sounds: Path, out: Path, **more: Any) -> Config:
    values: dict[str, Any] = {"part": part, "base": str(base), "out": str(out), **more}
    values["data"] = {"source": str(sounds), "held_out": 0.2} | more.get("data", {})
    values["run"] = {"steps": 24, "batch": 4, "log_steps": 6, "average": 0.5} | more.get("run", {})
    return make_config(values, out)


def built(config: Config) -> tuple[Base, Task]:
    base = load_base(config)
    return base, build(config, base, Accelerator(cpu=True), config.out / "cache", print)


def learn(config: Config) -> tuple[Base, Task, list[float]]:
    """Held-out loss at the beginning and at the end."""
    base, task = built(config)
    assert task.loss is not None
    train(task.model, task.loss, config.out, task.sounds, config.run, config.optimizer)
    with torch.no_grad():
        task.finish()
    lines = [json.loads(line) for line in (config.out / "log.jsonl").read_text().splitlines()]
    return base, task, [line["held out"]["total"] for line in lines if "held out" in line]


@pytest.mark.parametrize(
    ("part", "more"),
    [
        ("lm", {"optimizer": {"rate": 1e-2, "warm_up": 0}}),
        ("transformer", {"optimizer": {"rate": 5e-3, "warm_up": 0}}),
        (
            "matcher",
            {"data": {"held_out": 0.4}, "optimizer": {"rate": 1e-2, "warm_up": 0}, "run": {"at_once": 4}},
        ),
        ("codec", {"recipe": {"seconds": 0.5, "plain_steps": 0}, "optimizer": {"warm_up": 0}, "run": {"steps": 12}}),
        (
            "vocoder",
            {
                "recipe": {"seconds": 0.3, "plain_steps": 4},
                "data": {"held_out": 0.25},
                "optimizer": {"rate": 1e-3, "warm_up": 0},
                "run": {"steps": 7, "batch": 2},
            },
        ),
    ],
)
def test_a_part_learns_and_is_heard_again(
    part: str, more: dict[str, Any], tiny_model: Path, sounds: Path, hisses: Path, tmp_path: Path
) -> None:
    config = configured(part, tiny_model, hisses if part == "vocoder" else sounds, tmp_path, **more)
    base, task, held = learn(config)
    assert held[-1] < held[0]
    write_result(base, config, tmp_path / "model")
    model, version = checkpoint.read(tmp_path / "model")
    name = {"lm": "plan", "transformer": "denoiser"}.get(part, part)
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (tiny_model, tmp_path / "model"))
    assert before["version"] != after["version"] == version
    changed = {each for each in after["sha256"] if after["sha256"][each] != before["sha256"].get(each)}
    assert changed == {name} | ({"plan"} if part == "codec" else set())  # the plan of the empty text is in codes
    assert after["base"] == {"name": "model", "version": before["version"], "licence": "CC-BY-SA-4.0"}
    assert isinstance(model.vocoder, SinesAndNoise) == (part != "vocoder")
    sound = task.render("a tone", int(task.sounds.held_out[0]))
    assert np.isfinite(sound).all() and len(sound) > 16_000


def test_codec_from_nothing_finds_codebooks(sounds: Path, tmp_path: Path) -> None:
    recipe = {"seconds": 0.5, "plain_steps": 3}
    config = configured("codec", "new", sounds, tmp_path, recipe=recipe, run={"steps": 6, "batch": 4})
    base, task, _ = learn(config)
    audio = task.data.audio(task.sounds.learned)  # type: ignore[union-attr]
    codes = acoustic_lm.encode(base.chain.codec, audio[:, None])
    assert codes.shape[1] == 2 and len(codes[:, 0].unique()) > 4


def test_vae_learns_and_measures_its_latents(sounds: Path, tmp_path: Path) -> None:
    config = configured(
        "vae", "new-unet", sounds, tmp_path, recipe={"seconds": 0.64}, optimizer={"warm_up": 0},
        run={"steps": 8, "batch": 2},
    )  # fmt: skip
    base, task, held = learn(config)
    assert held[-1] < held[0]
    audio = task.data.audio(task.sounds.learned)  # type: ignore[union-attr]
    z = base.chain.space.encode(base.chain.analysis(audio))
    assert z.mean(dim=(0, 2, 3)).abs().max() < 0.2
    torch.testing.assert_close(z.std(dim=(0, 2, 3)), torch.ones(z.shape[1]), rtol=0.1, atol=0.1)


def test_what_a_denoiser_learned_from_are_words_that_it_knows(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    base, task = built(configured("transformer", "new", sounds, tmp_path, run={"steps": 1}))
    learned = {task.data.clips[row].caption for row in task.sounds.learned}
    assert base.chain.phrasebook is not None and set(base.chain.phrasebook.phrases) == learned
    write_result(base, configured("transformer", "new", sounds, tmp_path), tmp_path / "model")
    more = Phrasebook.of(["a tall tree falls"], mean_states(base.chain.text))
    base.chain.phrasebook, base.sizes = more, replace(base.sizes, phrasebook=more.sizes)  # type: ignore[arg-type]
    write_result(base, configured("transformer", "new", sounds, tmp_path), tmp_path / "other")
    base, _ = built(configured("transformer", tmp_path / "other", sounds, tmp_path / "again"))
    assert base.chain.phrasebook is not None and set(base.chain.phrasebook.phrases) == {"a tall tree falls", *learned}
    base, _ = built(configured("transformer", tiny_model, sounds, tmp_path / "tiny"))
    assert base.chain.phrasebook is None  # it knows words that nobody noted


def test_an_adapter_starts_at_the_bases_loss_and_leaves_it_alone(
    tiny_model: Path, sounds: Path, tmp_path: Path
) -> None:
    bytes_before = {path.name: path.read_bytes() for path in tiny_model.iterdir()}
    config = configured("adapter", tiny_model, sounds, tmp_path, optimizer={"rate": 1e-2, "warm_up": 0})
    base, task = built(config)
    draw = Draw(0, 0, task.sounds.learned[:4], np.arange(4), 4)
    untouched, _ = checkpoint.read(tiny_model)
    assert task.loss is not None
    assert torch.equal(task.loss(task.model, draw)["total"], task.loss(untouched.denoiser, draw)["total"])
    _, _, held = learn(config)
    assert held[-1] < held[0]
    base, task, _ = learn(config)  # done already: what was learned is only read
    write_result(base, config, tmp_path / "model")
    assert {path.name: path.read_bytes() for path in tiny_model.iterdir()} == bytes_before
    for name in ("plan", "codec", "vae"):
        file = f"{name}.safetensors"
        assert (tmp_path / "model" / file).read_bytes() == bytes_before[file]
    before, after = (load_file(folder / "denoiser.safetensors") for folder in (tiny_model, tmp_path / "model"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(".acoustic." in name for name in changed)
    state = torch.load(next((tmp_path / "checkpoints").iterdir()), weights_only=True)
    assert all(".acoustic." in name for name in state["model"])  # and nothing frozen is kept again and again


def test_activations_computed_again_give_the_same_gradients(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    gradients = []
    for saves in (False, True):
        config = configured("transformer", tiny_model, sounds, tmp_path, run={"checkpointing": saves})
        _, task = built(config)
        assert task.loss is not None
        total = task.loss(task.model, Draw(0, 0, task.sounds.learned[:4], np.arange(4), 4))["total"]
        total.backward()
        gradients.append({name: value.grad for name, value in task.model.named_parameters()})
    assert all(torch.allclose(value, gradients[1][name]) for name, value in gradients[0].items() if value is not None)


def test_what_does_not_go_together_is_a_sentence(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="has no unet"):
        built(configured("unet", tiny_model, sounds, tmp_path, data={"mixes": 0.0, "plans": "target"}))
    with pytest.raises(InvalidInput, match="no base"):
        load_base(configured("lm", tmp_path / "nowhere", sounds, tmp_path))


def test_linear_space_keeps_what_few_directions_can_and_orders_it() -> None:
    # Mels that are mixtures of 6 patterns of 4 frames, so that 6 directions hold all of them.
    random = np.random.default_rng(0)
    patterns = random.standard_normal((6, 4, 16)) * np.array([9.0, 3.0, 1.0, 0.5, 0.3, 0.1])[:, None, None]
    mixtures = np.einsum("npk,kfm->npfm", random.standard_normal((20, 16, 6)), patterns) * 0.02 - 4.0
    mels = mixtures.reshape(20, 64, 16).astype(np.float16)
    space = linear_space(mels, frames=4, channels=6)
    z = space.encode(torch.from_numpy(mels).float())
    assert z.shape == (20, 6, 16, 1)
    assert space.ratio == 4
    assert (space.decode(z) - torch.from_numpy(mels).float()).abs().max() < 0.02
    assert z.mean(dim=(0, 2, 3)).abs().max() < 1e-3
    spread = z.std(dim=(0, 2, 3))
    assert torch.all(spread[:-1] >= spread[1:] - 1e-3)
    assert spread.max() <= LARGEST_DEVIATION + 1e-3
