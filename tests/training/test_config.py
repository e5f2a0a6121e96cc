"""Configurations: defaults of each part, checks with sentences, and what is printed reads back."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.training import config as config_module
from dcldm_plugin.training.config import PARTS, DenoiserRecipe, make_config, read_config, to_toml

HERE = Path("/somewhere").absolute()


def configured(part: str = "adapter", **more: Any) -> Any:
    return make_config({"part": part, "out": "o", **more, "data": {"source": "s", **more.get("data", {})}}, HERE)


def test_unet_has_tangos_recipe() -> None:
    config = configured("unet")
    assert (config.optimizer.rate, config.optimizer.weight_decay, config.optimizer.warm_up) == (3e-5, 1e-2, 0)
    assert (config.optimizer.last_share, config.optimizer.clip) == (0.0, 0.0)
    assert (config.run.epochs, config.run.batch, config.run.average) == (40.0, 48, 0.0)
    assert config.data.mixes == 0.5 and config.data.plans == "model"
    recipe = config.recipe
    assert isinstance(recipe, DenoiserRecipe)
    assert recipe.snr_gamma == 5.0 and recipe.posterior
    assert (recipe.drop_text, recipe.drop_plan, recipe.drop_both) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_printed_reads_back(part: str) -> None:
    config = configured(part, samples={"prompts": ['a "quoted" wörd']}, run={"minutes": 2})
    assert make_config(tomllib.loads(to_toml(config)), Path("/elsewhere")) == config


def test_paths_are_relative_to_the_file() -> None:
    config = configured(base="../other", data={"clips": "c"})
    assert config.out == HERE / "o" and config.data.clips == HERE / "c"
    assert config.base == str(HERE.parent / "other")
    assert configured(base="tango").base == "tango"


CONFIGS = sorted((Path(config_module.__file__).parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_our_own_configurations_are_right(path: Path) -> None:
    config = read_config(path)
    assert config.out.parent == path.parent
    if path.stem[0] in "234":  # each begins with what the one before it leaves
        before = read_config(CONFIGS[CONFIGS.index(path) - 1])
        assert config.base == str(before.out / "model")


def test_a_budget_of_the_users_own_takes_the_place_of_the_default() -> None:
    run = configured(run={"steps": 7}).run
    assert (run.steps, run.epochs, run.minutes) == (7, 0.0, 0.0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"part": "unets"}, "part: choose one of"),
        ({"runs": {}}, "runs is unknown; do you mean run?"),
        ({"run": {"step": 5}}, "run.step is unknown; do you mean steps?"),
        ({"run": {"steps": 5, "minutes": 1}}, "exactly one of"),
        ({"run": {"batch": "8"}}, "run.batch: give a whole number"),
        ({"run": {"precision": "fp16"}}, "run.precision: choose"),
        ({"run": 3}, "run: is a section"),
        ({"recipe": {"kl_weight": 1.0}}, "recipe.kl_weight is unknown"),
        ({"recipe": {"drop_text": 0.7, "drop_plan": 0.7}}, "together at most 1"),
        ({"optimizer": {"rate": float("inf")}}, "optimizer.rate: give a number"),
        ({"data": {"held_out": 0.9}}, "data.held_out: choose a share"),
        ({"network": {"places": []}}, "network.places: choose from"),
    ],
)
def test_what_is_wrong_is_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        configured(**{"part": "adapter", **values})


def test_files_that_are_no_configurations(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_text("part = ")
    with pytest.raises(InvalidInput, match="not valid TOML"):
        read_config(tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text('part = "lm"\nout = "o"\n[data]\n')
    with pytest.raises(InvalidInput, match="source: say where"):
        read_config(tmp_path / "b.toml")
