"""The rows of Table 1 and their parameters."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from dcldm_plugin.models.presets import LIGHT, PRESETS, TABLE_1, build, trainable_parameters
from dcldm_plugin.models.unet import DualTransformer2D
from dcldm_plugin.sources import MODELS

TINY: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
    "use_linear_projection": True,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
}
BASE = 865_933_768
DUAL = {"down": 870_207_048, "mid": 899_056_328, "up": 872_343_688, "down-up": 876_616_968}


@cache
def counts() -> dict[str, int]:
    """The parameters of every row. Which encoding it is makes no difference to the U-Net, so it is counted once."""
    networks = {replace(preset, name="", encoding="none", paper_millions=0) for preset in PRESETS.values()}
    known = {network: trainable_parameters(network) for network in networks}
    return {
        name: known[replace(preset, name="", encoding="none", paper_millions=0)] for name, preset in PRESETS.items()
    }


def test_eleven_rows_and_a_light_form_of_the_dual_ones() -> None:
    assert len(TABLE_1) == 11 and len(LIGHT) == 8 and len(PRESETS) == 19
    assert [row.paper_millions for row in TABLE_1] == [866, 866, 866, *([873, 899, 875, 877] * 2)]
    assert {row.name for row in LIGHT} == {f"{row.name}-light" for row in TABLE_1 if row.places}
    assert all(("-vae" in row.name) == (row.encoding == "ag_vae") for row in PRESETS.values())


def test_the_command_line_tells_these_names_and_counts() -> None:
    rows = {name: model.trainable_parameters for name, model in MODELS.items() if model.trainable_parameters}
    assert rows == counts()


def test_the_text_only_row_is_tango() -> None:
    assert counts()["tango"] == BASE


def test_the_plan_only_rows_have_a_projection_more() -> None:
    assert counts()["ldm-ag"] == counts()["ldm-ag-vae"] == BASE + 128 * 1024 + 1024


@pytest.mark.parametrize("place", DUAL)
def test_the_dual_rows(place: str) -> None:
    assert counts()[f"dc-ldm-ag-{place}"] == counts()[f"dc-ldm-ag-vae-{place}"] == DUAL[place]
    assert BASE < counts()[f"dc-ldm-ag-{place}-light"] < BASE + (DUAL[place] - BASE) / 4


@pytest.mark.parametrize("name", PRESETS)
def test_each_row_is_built_as_it_says(name: str) -> None:
    preset = PRESETS[name]
    with torch.device("meta"):
        network = build(preset, TINY)
    dual = sum(isinstance(module, DualTransformer2D) for module in network.modules())
    assert dual == {"down": 1, "mid": 1, "up": 2}.get("".join(preset.places), 3 if preset.places else 0)
