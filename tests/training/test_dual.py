"""Both conditions are learned, each for what it is there for: the text says what sounds, the plan says when.

Three captions, each of which sounds at three times, are learned by heart by a small transformer. The plans hold
nothing but the times.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.schedule import make_sampler
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig
from dcldm_plugin.training.config import DenoiserRecipe, Optimizer, Run
from dcldm_plugin.training.denoiser import DenoiserLoss
from dcldm_plugin.training.draw import Draw
from dcldm_plugin.training.loop import Sounds, train
from dcldm_plugin.training.manifest import Item
from dcldm_plugin.training.precompute import EncodedSet, text_key
from dcldm_plugin.training.shards import Shards
from dcldm_plugin.training.sound_files import Clip

CAPTIONS = ("rain", "a dog", "a bell")
STEPS, CHANNELS = 12, 4  # latent steps, and the channels of a latent
TIMES = (slice(0, 4), slice(4, 8), slice(8, 12))
KINDS = torch.tensor([[2.0, -2, 0, 0], [0, 2, -2, 0], [-2, 0, 0, 2]])


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[DualTransformer, EncodedSet, Tensor]:
    folder = tmp_path_factory.mktemp("dual")
    texts, encoded = Shards(folder / "texts"), Shards(folder / "encoded")
    states = torch.eye(4, 8)[:, None]  # the empty text, then the captions: one token each
    keys = [text_key(text) for text in ("", *CAPTIONS)]
    texts.write(keys, {"states": states.half(), "length": torch.ones(4, dtype=torch.int64)})
    clips, latents, codes = [], [], []
    for kind, caption in enumerate(CAPTIONS):
        for number, when in enumerate(TIMES):
            z, code = torch.zeros(CHANNELS, STEPS, 1), torch.zeros(1, 2 * STEPS, dtype=torch.int16)
            z[:, when] = KINDS[kind][:, None, None]
            code[:, 2 * when.start : 2 * when.stop] = 1
            clips.append(
                Clip(hashlib.sha256(f"{kind} {number}".encode()).hexdigest(), caption, (Item(Path("x"), caption),))
            )
            latents.append(z)
            codes.append(code)
    encoded.write([clip.key for clip in clips], {"mean": torch.stack(latents).half(), "codes": torch.stack(codes)})
    books = torch.stack([torch.zeros(8), torch.ones(8)])[None]
    nothing = torch.zeros(1, 2 * STEPS, dtype=torch.int64)
    data = EncodedSet(encoded, texts, clips, nothing, nothing, torch.zeros(2 * STEPS, 8))
    torch.manual_seed(0)
    model = DualTransformer(
        TransformerConfig(CHANNELS, 1, text_width=8, plan_width=8, width=48, heads=2, blocks=2, plan_rate=25.0)
    )
    loss = DenoiserLoss(data, books, DenoiserRecipe(drop_both=0.05))
    run = Run(steps=500, batch=9, average=0.98)
    settings = Optimizer(rate=4e-3, warm_up=20, last_share=0.05, clip=1.0)
    draw = Draw(1, 0, np.arange(9), np.arange(9), 9)
    before = loss(model, draw)["total"].detach()
    train(model, loss, folder / "run", Sounds(np.arange(9), np.arange(0)), run, settings)
    with torch.no_grad():
        assert loss(model, draw)["total"] < 0.1 * before  # overfits
    return model, data, books


def sounding(learned: tuple[DualTransformer, EncodedSet, Tensor], text: int, plan: int) -> Tensor:
    """z [channels, steps] of caption `text` at the times of clip `plan`, from noise."""
    model, data, books = learned
    states, mask = data.texts(np.array([3 * text]), np.array([False]))
    codes = data.codes(np.array([plan]))
    told = Conditions(states, mask, books[0][codes[:, 0]])
    scheduler = make_sampler("dpm++")
    scheduler.set_timesteps(16)
    z = torch.randn(1, CHANNELS, STEPS, 1, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        for t in scheduler.timesteps:
            z = scheduler.step(model(z, t.expand(1), told), t, z).prev_sample
    return z[0, :, :, 0]


def what_and_when(z: Tensor) -> tuple[int, int]:
    when = int(torch.stack([z[:, part].square().mean() for part in TIMES]).argmax())
    return int((KINDS @ z[:, TIMES[when]].mean(1)).argmax()), when


def test_swapping_the_text_swaps_the_sound_and_the_plan_the_time(
    learned: tuple[DualTransformer, EncodedSet, Tensor],
) -> None:
    for text in range(3):
        for when in range(3):
            for other in range(3):  # a plan of the same time from another caption's sound says the same
                assert what_and_when(sounding(learned, text, 3 * other + when)) == (text, when)
