"""Training steps per second against a floor: forward, backward and AdamW on one batch that is there already.

What the loop adds is reading and drawing the batch, the moving average, clipping and the journal. Both are
measured in processor time, which other programs do not lengthen.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.transformer import DualTransformer
from dcldm_plugin.training.builtin import TEXT_WIDTH, TRANSFORMER
from dcldm_plugin.training.config import DenoiserRecipe, Optimizer, Run
from dcldm_plugin.training.denoiser import DenoiserLoss
from dcldm_plugin.training.draw import Draw
from dcldm_plugin.training.loop import Sounds, train
from dcldm_plugin.training.manifest import Item
from dcldm_plugin.training.precompute import EncodedSet, text_key
from dcldm_plugin.training.shards import Shards
from dcldm_plugin.training.sound_files import Clip

SOUNDS, STEPS, BATCH, LATENT_STEPS = 32, 4, 8, 32
SIZES = replace(TRANSFORMER, blocks=2)  # the built-in width; a quarter of its depth, so that it takes seconds
LEAST_SHARE = 0.6


def built_in_size(folder: Path) -> EncodedSet:
    """Latents, plans and a text of the built-in model's widths, at a quarter of its length."""
    random = torch.Generator().manual_seed(0)
    texts, encoded = Shards(folder / "texts"), Shards(folder / "encoded")
    states = torch.randn(2, 12, TEXT_WIDTH, generator=random)
    texts.write([text_key(""), text_key("rain")], {"states": states.half(), "length": torch.tensor([2, 12])})
    clips = [Clip(f"{row}", "rain", (Item(Path("x"), "rain"),)) for row in range(SOUNDS)]
    mean = torch.randn(SOUNDS, SIZES.latent_channels, LATENT_STEPS, 1, generator=random)
    codes = torch.randint(512, (SOUNDS, 2, 2 * LATENT_STEPS), generator=random)
    encoded.write([clip.key for clip in clips], {"mean": mean.half(), "codes": codes.to(torch.int16)})
    nothing = torch.zeros(2, 2 * LATENT_STEPS, dtype=torch.int64)
    return EncodedSet(encoded, texts, clips, nothing, nothing, torch.zeros(2 * LATENT_STEPS, SIZES.plan_width))


class _Told(nn.Module):
    """Keeps what a loss asks of a model, and answers with zeros."""

    def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        self.given = (z, t, conditions)
        return torch.zeros_like(z)


def test_the_loop_costs_little_beside_the_mathematics(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = built_in_size(tmp_path)
    books = torch.randn(2, 512, SIZES.plan_width)
    loss = DenoiserLoss(data, books, DenoiserRecipe(drop_both=0.1))
    model = DualTransformer(SIZES)

    def looped() -> float:
        began = time.process_time()
        out = tmp_path / f"run-{began}"
        run = Run(steps=STEPS, batch=BATCH, at_once=BATCH, average=0.999)
        train(model, loss, out, Sounds(np.arange(SOUNDS), np.arange(0)), run, Optimizer(clip=1.0))
        return time.process_time() - began

    def bare() -> float:
        rows = np.arange(BATCH)
        told = _Told()
        loss(told, Draw(0, 0, rows, rows, BATCH))
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5)
        began = time.process_time()
        for _ in range(STEPS):
            optimizer.zero_grad()
            model(*told.given).square().mean().backward()
            optimizer.step()
        return time.process_time() - began

    bare()
    floors, loops = zip(*[(bare(), looped()) for _ in range(3)], strict=True)
    share = min(floors) / min(loops)
    with capsys.disabled():
        print(f"\ntraining: {STEPS / min(loops):.2f} steps/s of {STEPS / min(floors):.2f} ({share:.0%} of the floor)")
    assert share > LEAST_SHARE
