"""Table 1 of the paper as a table: what conditions the U-Net, and where the acoustic attention sits.

Eleven rows, and each of the eight dual ones once more with the `light` block. The rows with a single
condition have no acoustic block, so they have no light form.

What the command line tells of these rows, without torch, is in `dcldm_plugin/sources.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dcldm_plugin.models.unet import Block, Condition, DualUNet

PLAN_WIDTH = 128  # EnCodec's latents (AG), and the VAE's 8 channels of 16 bands (AG_VAE): section 4


@dataclass(frozen=True, slots=True)
class Preset:
    """One row of Table 1.

    condition: what the U-Net's own cross-attention reads. encoding: how the plan becomes an acoustic
    encoding, by EnCodec's latents (E_t2a) or through the VAE (E'_t2a). places: the blocks with
    an acoustic attention of their own. paper_millions: the number of parameters that the paper prints.
    """

    name: str
    paper_millions: int
    condition: Condition = "text"
    encoding: Literal["none", "ag", "ag_vae"] = "none"
    places: tuple[str, ...] = ()
    block: Block = "faithful"


TABLE_1 = (
    Preset("tango", 866),
    Preset("ldm-ag", 866, "plan", "ag"),
    Preset("ldm-ag-vae", 866, "plan", "ag_vae"),
    Preset("dc-ldm-ag-down", 873, "text", "ag", ("down",)),
    Preset("dc-ldm-ag-mid", 899, "text", "ag", ("mid",)),
    Preset("dc-ldm-ag-up", 875, "text", "ag", ("up",)),
    Preset("dc-ldm-ag-down-up", 877, "text", "ag", ("down", "up")),
    Preset("dc-ldm-ag-vae-down", 873, "text", "ag_vae", ("down",)),
    Preset("dc-ldm-ag-vae-mid", 899, "text", "ag_vae", ("mid",)),
    Preset("dc-ldm-ag-vae-up", 875, "text", "ag_vae", ("up",)),
    Preset("dc-ldm-ag-vae-down-up", 877, "text", "ag_vae", ("down", "up")),
)
LIGHT = tuple(replace(row, name=f"{row.name}-light", block="light") for row in TABLE_1 if row.places)
PRESETS = {row.name: row for row in (*TABLE_1, *LIGHT)}


def build(preset: Preset, config: dict[str, Any] | None = None) -> DualUNet:
    """The U-Net of a row with fresh weights, at the paper's size or at that of `config`."""
    from dcldm_plugin.models.unet import DualUNet, tango_config

    return DualUNet(
        tango_config() if config is None else config,
        preset.places,
        PLAN_WIDTH,
        block=preset.block,
        condition=preset.condition,
    )


def trainable_parameters(preset: Preset) -> int:
    """How many numbers training a row adapts: all of its U-Net's. Allocates nothing."""
    import torch

    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(preset).parameters())
