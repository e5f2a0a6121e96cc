"""The paper's denoiser: Stable Diffusion's U-Net with acoustic cross-attention in chosen blocks.

DC-LDM inserts a cross-attention layer to the acoustic encoding right after the text's, with a skip
connection for the text's output (section 4). Read as a whole `Transformer2DModel` of context 128 behind
each one of the chosen block, it has the parameter counts of Table 1 for CA-MID (899,056,328) and for
CA-DOWN#1 & CA-UP#1 (876,616,968). It is residual, so its own skip connection is the one of the paper.

TANGO's tensors keep their names; only `*.acoustic.*` are new. With the acoustic output projections at zero,
the dual network equals its base bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from dcldm_plugin.models.denoiser import Conditions

PLACES = ("down", "mid", "up")


def tango_config() -> dict[str, Any]:
    """TANGO's U-Net: Stable Diffusion 2.1's with 8 latent channels (865,933,768 parameters)."""
    return {
        "in_channels": 8,
        "out_channels": 8,
        "sample_size": [32, 2],
        "block_out_channels": [320, 640, 1280, 1280],
        "layers_per_block": 2,
        "attention_head_dim": [5, 10, 20, 20],  # diffusers means the number of heads
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
        "upcast_attention": True,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    }


class DualTransformer2D(Transformer2DModel):  # type: ignore[misc]  # diffusers is untyped here
    """A text `Transformer2DModel` followed by an acoustic one, which reads `plan` as set on it."""

    acoustic: Transformer2DModel
    plan: Tensor | None = None

    @classmethod
    def behind(cls, text: Transformer2DModel, plan_width: int) -> DualTransformer2D:
        """Take over a block's own text transformer, weights and all, and add the acoustic one."""
        text.__class__ = cls  # keeps every tensor and its name, so that public weights load strictly
        assert isinstance(text, cls)
        config = dict(text.config)
        text.acoustic = Transformer2DModel(
            num_attention_heads=config["num_attention_heads"],
            attention_head_dim=config["attention_head_dim"],
            in_channels=config["in_channels"],
            num_layers=config["num_layers"],
            cross_attention_dim=plan_width,
            norm_num_groups=config["norm_num_groups"],
            use_linear_projection=config["use_linear_projection"],
            upcast_attention=config["upcast_attention"],
        )
        for parameter in text.acoustic.proj_out.parameters():
            nn.init.zeros_(parameter)
        return text

    def forward(self, hidden_states: Tensor, *args: Any, **keywords: Any) -> tuple[Tensor]:
        keywords["return_dict"] = False
        (x,) = super().forward(hidden_states, *args, **keywords)
        if self.plan is not None:
            (x,) = self.acoustic(x, encoder_hidden_states=self.plan, return_dict=False)
        return (x,)


class DualUNet(nn.Module):
    """z [batch, channels, time, mel], t [batch] -> v, with acoustic attention at some `places`.

    `places` may hold "down" (CA-DOWN#1, the first block that has cross-attention), "mid" (CA-MID) and "up"
    (CA-UP#1, the last that has); none leaves the text-only model of Table 1's first row.
    """

    def __init__(self, config: dict[str, Any], places: tuple[str, ...], plan_width: int = 128) -> None:
        super().__init__()
        unknown = set(places) - set(PLACES)
        if unknown:
            raise ValueError(f"unknown places for acoustic attention: {sorted(unknown)}")
        self.unet = UNet2DConditionModel(**config)
        for block in self._blocks(places):
            for index, text in enumerate(block.attentions):
                block.attentions[index] = DualTransformer2D.behind(text, plan_width)

    def _blocks(self, places: tuple[str, ...]) -> Iterator[Any]:
        with_attention = [b for b in self.unet.down_blocks if getattr(b, "has_cross_attention", False)]
        if "down" in places:
            yield with_attention[0]
        if "mid" in places:
            yield self.unet.mid_block
        if "up" in places:
            yield [b for b in self.unet.up_blocks if getattr(b, "has_cross_attention", False)][-1]

    def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        dual = [module for module in self.unet.modules() if isinstance(module, DualTransformer2D)]
        for module in dual:
            module.plan = conditions.plan
        try:
            output = self.unet(z, t, conditions.text, encoder_attention_mask=conditions.text_mask, return_dict=False)
        finally:
            for module in dual:
                module.plan = None
        return torch.as_tensor(output[0])
