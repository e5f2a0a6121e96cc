"""The paper's denoiser: Stable Diffusion's U-Net with acoustic cross-attention in chosen blocks.

DC-LDM inserts a cross-attention layer to the acoustic encoding right after the text's, with a skip
connection for the text's output (section 4). Read as a whole `Transformer2DModel` of context 128 behind
each one of the chosen block, it has the parameter counts of Table 1 for CA-MID (899,056,328) and for
CA-DOWN#1 & CA-UP#1 (876,616,968). It is residual, so its own skip connection is the one of the paper.

TANGO's tensors keep their names; only `*.acoustic.*` are new. With the acoustic output projections at zero,
the dual network equals its base bit for bit.

All eleven rows of Table 1 are one class: `places` and `condition` choose the row; which encoding of the plan
it is (AG or AG_VAE) is not the network's business, since both are 128 wide. Besides the paper's own block
there is a light one, a cross-attention alone, which costs 3 % of the operations in place of 25 %.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import Tensor, nn

from dcldm_plugin.models.denoiser import Conditions

PLACES = ("down", "mid", "up")
Block = Literal["faithful", "light"]
Condition = Literal["text", "plan"]


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


class LightAttention(nn.Module):
    """x [batch, channels, time, mel] + cross-attention to the plan; starts as x alone."""

    def __init__(self, channels: int, heads: int, plan_width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = Attention(
            query_dim=channels, cross_attention_dim=plan_width, heads=heads, dim_head=channels // heads
        )

    def forward(self, x: Tensor, encoder_hidden_states: Tensor, return_dict: bool = False) -> tuple[Tensor]:
        rows = x.flatten(2).transpose(1, 2)  # [batch, time x mel, channels]
        heard = self.attention(self.norm(rows), encoder_hidden_states)
        return (x + heard.transpose(1, 2).unflatten(2, x.shape[2:]),)


class DualTransformer2D(Transformer2DModel):  # type: ignore[misc]  # diffusers is untyped here
    """A text `Transformer2DModel` followed by an acoustic block, which reads `plan` as set on it."""

    acoustic: nn.Module
    plan: Tensor | None = None

    @classmethod
    def behind(cls, text: Transformer2DModel, plan_width: int, block: Block) -> DualTransformer2D:
        """Take over a block's own text transformer, weights and all, and add the acoustic one."""
        text.__class__ = cls  # keeps every tensor and its name, so that public weights load strictly
        assert isinstance(text, cls)
        config = dict(text.config)
        if block == "light":
            light = LightAttention(config["in_channels"], config["num_attention_heads"], plan_width)
            text.acoustic, output = light, light.attention.to_out[0]
        else:
            whole = Transformer2DModel(
                num_attention_heads=config["num_attention_heads"],
                attention_head_dim=config["attention_head_dim"],
                in_channels=config["in_channels"],
                num_layers=config["num_layers"],
                cross_attention_dim=plan_width,
                norm_num_groups=config["norm_num_groups"],
                use_linear_projection=config["use_linear_projection"],
                upcast_attention=config["upcast_attention"],
            )
            text.acoustic, output = whole, whole.proj_out
        for parameter in output.parameters():
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

    places: any of "down" (CA-DOWN#1, the first block that has cross-attention), "mid" (CA-MID) and "up"
        (CA-UP#1, the last that has); none leaves the text-only model of Table 1's first row.
    block: the paper's "faithful" one or the "light" one.
    condition: "plan" puts the plan in the place of the text, through a linear layer to the text's width,
        which is how the parameters of Table 1's rows "LDM w/ AG" and "LDM w/ AG+VAE" are 866M. It has no places.
    """

    def __init__(
        self,
        config: dict[str, Any],
        places: tuple[str, ...],
        plan_width: int = 128,
        block: Block = "faithful",
        condition: Condition = "text",
    ) -> None:
        super().__init__()
        unknown = set(places) - set(PLACES)
        if unknown:
            raise ValueError(f"unknown places for acoustic attention: {sorted(unknown)}")
        if block not in ("faithful", "light") or condition not in ("text", "plan"):
            raise ValueError(f"unknown block {block!r} or condition {condition!r}")
        if condition == "plan" and places:
            raise ValueError("a network that is told the plan alone has no places for it besides the text's")
        self.unet = UNet2DConditionModel(**config)
        self.plan_projection = nn.Linear(plan_width, config["cross_attention_dim"]) if condition == "plan" else None
        for attentions in self._attentions(places):
            for index, text in enumerate(attentions):
                attentions[index] = DualTransformer2D.behind(text, plan_width, block)

    def _attentions(self, places: tuple[str, ...]) -> Iterator[nn.ModuleList]:
        def with_attention(blocks: nn.ModuleList) -> list[Any]:
            return [block for block in blocks if getattr(block, "has_cross_attention", False)]

        if "down" in places:
            yield with_attention(self.unet.down_blocks)[0].attentions
        if "mid" in places:
            yield self.unet.mid_block.attentions
        if "up" in places:
            yield with_attention(self.unet.up_blocks)[-1].attentions

    def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        states, mask = conditions.text, cast(Tensor | None, conditions.text_mask)
        if self.plan_projection is not None:
            states, mask = self.plan_projection(conditions.plan), None
        dual = [module for module in self.unet.modules() if isinstance(module, DualTransformer2D)]
        for module in dual:
            module.plan = conditions.plan
        try:
            output = self.unet(z, t, states, encoder_attention_mask=mask, return_dict=False)
        finally:
            for module in dual:
                module.plan = None
        return torch.as_tensor(output[0])
