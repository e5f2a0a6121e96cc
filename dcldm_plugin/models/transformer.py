"""A transformer tenant of the denoiser seam, with the paper's two cross-attentions in every block.

One token per latent time step: the channels and mel bands of that step are flattened, so the token
sequence is exactly the paper's reshaped latent E' [L_s, C x F / r] (section 2.2). Choices:

- each block: self-attention, cross-attention to the text, cross-attention to the plan, feed-forward, each
  residual; the plan's follows the text's and keeps it by its skip connection, as in section 4 of the paper;
- the plan's output projections start at zero, so an untrained plan changes nothing;
- rotary positions in *seconds* in the self- and plan attention: token and plan frame of the same moment
  have the same angle whatever their rates, which is how the plan says when;
- time step and pooled text modulate each block through one shared projection plus a table per block
  (PixArt-alpha, https://arxiv.org/abs/2310.00426, section 2.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.text import mean_state


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Sizes; rates in Hz."""

    latent_channels: int = 4
    latent_bands: int = 16
    latent_rate: float = 12.5
    text_width: int = 384
    plan_width: int = 128
    plan_rate: float = 25.0
    width: int = 256
    heads: int = 4
    blocks: int = 8


def rotary_angles(count: int, rate: float, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [count, head width / 2] of positions in seconds, periods 0.1 s … 60 s."""
    periods = torch.logspace(math.log10(0.1), math.log10(60.0), head_width // 2, device=device)
    seconds = (torch.arange(count, device=device) + 0.5) / rate
    angles = seconds[:, None] * (2 * math.pi / periods)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the pairs of x [batch, heads, count, head width] by their position's angles."""
    cosine, sine = angles
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)


def sinusoidal(t: Tensor, width: int) -> Tensor:
    """Diffusion time steps [batch] -> features [batch, width] (section 3.5 of Vaswani et al. 2017)."""
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(width // 2, device=t.device) / (width // 2))
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Attention(nn.Module):
    """Multi-head attention of x to a context of any width; angles, if given, for queries and keys."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(context_width, 2 * width, bias=False)
        self.query_norm = nn.RMSNorm(width // heads)
        self.key_norm = nn.RMSNorm(width // heads)
        self.output = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        mask: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
        context_angles: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        batch = len(x)

        def split(y: Tensor) -> Tensor:
            return y.view(batch, -1, self.heads, y.shape[-1] // self.heads).transpose(1, 2)

        key, value = (split(y) for y in self.key_value(context).chunk(2, dim=-1))
        query, key = _normed(split(self.query(x)), self.query_norm), _normed(key, self.key_norm)
        if angles is not None and context_angles is not None:
            query, key = rotate(query, angles), rotate(key, context_angles)
        bias = None if mask is None else mask[:, None, None, :]
        mixed = attended(query, key, value, bias)
        joined: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, -1, x.shape[-1]))
        return joined


def attended(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention of [batch, heads, count, head width]; bias: of the scores, or a mask.

    In full precision on a CPU, where attention of half floats is slower.
    """
    if query.device.type != "cpu":
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    with torch.autocast("cpu", enabled=False):
        mixed = functional.scaled_dot_product_attention(query.float(), key.float(), value.float(), attn_mask=bias)
    return mixed.to(value.dtype)


def _normed(x: Tensor, norm: nn.RMSNorm) -> Tensor:
    """Normalised as the weights are, which mixed precision leaves as they were."""
    normed: Tensor = norm(x.to(norm.weight.dtype))
    return normed


class Block(nn.Module):
    """Self-attention, text, plan, feed-forward."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, heads = config.width, config.heads
        self.self_attention = Attention(width, width, heads)
        self.text = Attention(width, config.text_width, heads)
        self.acoustic = Attention(width, config.plan_width, heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.text_norm, self.acoustic_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        # shift, scale and gate of self-attention, then of the feed-forward
        self.modulation = nn.Parameter(torch.randn(6, width) / width**0.5)
        nn.init.zeros_(self.acoustic.output.weight)
        nn.init.zeros_(self.acoustic.output.bias)

    def forward(
        self,
        x: Tensor,
        shared: Tensor,
        conditions: Conditions,
        angles: tuple[Tensor, Tensor],
        plan_angles: tuple[Tensor, Tensor],
    ) -> Tensor:
        shift, scale, gate, shift_2, scale_2, gate_2 = (shared + self.modulation)[:, :, None].unbind(1)
        y = functional.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift
        x = x + gate * self.self_attention(y, y, angles=angles, context_angles=angles)
        x = x + self.text(self.text_norm(x), conditions.text, conditions.text_mask)
        x = x + self.acoustic(self.acoustic_norm(x), conditions.plan, angles=angles, context_angles=plan_angles)
        y = functional.layer_norm(x, x.shape[-1:]) * (1 + scale_2) + shift_2
        out: Tensor = x + gate_2 * self.feed_forward(y)
        return out


class DualTransformer(nn.Module):
    """z [batch, channels, time, mel], t [batch] -> v [batch, channels, time, mel].

    checkpointing: in training, compute a block's activations anew on the way back, which needs less memory.
    """

    checkpointing = False

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        width, token = config.width, config.latent_channels * config.latent_bands
        self.input = nn.Linear(token, width)
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.pooled_text = nn.Linear(config.text_width, width)
        self.shared_modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.output_modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, token)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        config = self.config
        batch, channels, steps, bands = z.shape
        x = self.input(z.transpose(1, 2).reshape(batch, steps, channels * bands))

        # 1. What every block is modulated by: the time step and the mean of the text.
        pooled = mean_state(conditions.text, conditions.text_mask)
        embedding = functional.silu(self.time(sinusoidal(t, 256)) + self.pooled_text(pooled))
        shared = self.shared_modulation(embedding).view(batch, 6, config.width)

        # 2. Positions in seconds, so that latent and plan frames of one moment agree.
        head_width = config.width // config.heads
        angles = rotary_angles(steps, config.latent_rate, head_width, z.device)
        plan_angles = rotary_angles(conditions.plan.shape[1], config.plan_rate, head_width, z.device)

        # 3. The blocks.
        for block in self.blocks:
            given = (x, shared, conditions, angles, plan_angles)
            again = self.checkpointing and torch.is_grad_enabled()
            x = checkpoint(block, *given, use_reentrant=False) if again else block(*given)

        # 4. Back to the latent's shape.
        shift, scale = self.output_modulation(embedding)[:, None].chunk(2, dim=-1)
        v: Tensor = self.output(functional.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift)
        return v.view(batch, steps, channels, bands).transpose(1, 2)
