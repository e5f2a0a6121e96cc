"""Each part's loss on tiny data: finite, of the right shape, and going down."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.models.latent import LatentSpace
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig
from dcldm_plugin.training.builtin import codebooks
from dcldm_plugin.training.codec import CodecLoss, TrainableCodec, small_codec_config, start_at_unit_scale
from dcldm_plugin.training.denoiser import DenoiserLoss
from dcldm_plugin.training.lm import PlanLoss
from dcldm_plugin.training.loop import LossFunction
from dcldm_plugin.training.prepare import Prepared, TextTable, prepare, text_table
from dcldm_plugin.training.vae import LARGEST_DEVIATION, SMALL_MEL_RANGE, VaeLoss, linear_space

RANDOM = np.random.default_rng(0)
TEXT_WIDTH = 8


class WordEncoder:
    """Stands where the sentence encoder does: one fixed vector a letter."""

    def __call__(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(map(len, texts)) + 1
        states = torch.zeros(len(texts), longest, TEXT_WIDTH)
        mask = torch.zeros(len(texts), longest, dtype=torch.bool)
        for row, text in enumerate(texts):
            mask[row, : len(text) + 1] = True
            for column, letter in enumerate(text):
                states[row, column, ord(letter) % TEXT_WIDTH] = 1.0
        return states, mask


def noises(clips: int, samples: int) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Bursts of noise of different levels."""
    envelope = np.repeat(RANDOM.uniform(0.0, 0.3, (clips, samples // 320)), 320, axis=1)
    return (RANDOM.standard_normal((clips, samples)) * envelope * 8000).clip(-32000, 32000).astype(np.int16)


def descend(model: nn.Module, loss: LossFunction, steps: int, rate: float) -> tuple[float, float]:
    """Mean of the first and of the last quarter of the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    totals = []
    for step in range(steps):
        total = loss(model, np.random.default_rng([0, step]))["total"]
        assert torch.isfinite(total)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    quarter = steps // 4
    return float(np.mean(totals[:quarter])), float(np.mean(totals[-quarter:]))


def tiny_space() -> LatentSpace:
    vae = AutoencoderKL(
        block_out_channels=(8, 8, 8),
        in_channels=1,
        out_channels=1,
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    return LatentSpace(vae, 16, SMALL_MEL_RANGE)


@pytest.fixture(scope="module")
def codec() -> TrainableCodec:
    torch.manual_seed(0)
    model = TrainableCodec(small_codec_config())
    start_at_unit_scale(model, torch.from_numpy(noises(4, 16_000)).float()[:, None] / 32768)
    return model


def test_codec_learns_with_and_without_its_quantiser(codec: TrainableCodec) -> None:
    audio = noises(8, 32_000)
    first, last = descend(codec, CodecLoss(audio, batch=4, samples=8_000, plain_steps=6), 24, 1e-3)
    assert bool(codec.quantising)
    assert last < first
    codes = acoustic_lm.encode(codec.codec, torch.from_numpy(audio[:1]).float()[:, None] / 32768)
    assert codes.shape == (1, 4, 50)
    assert len(codes.unique()) > 8


def test_vae_learns() -> None:
    torch.manual_seed(0)
    mels = RANDOM.uniform(-9.0, 0.0, (6, 64, 64)).astype(np.float16)
    first, last = descend(tiny_space(), VaeLoss(mels, batch=4, frames=32), 16, 2e-3)
    assert last < first


def test_linear_space_keeps_what_few_directions_can_and_orders_it() -> None:
    # Mels that are mixtures of 6 patterns of 4 frames, so that 6 directions hold all of them.
    patterns = RANDOM.standard_normal((6, 4, 16)) * np.array([9.0, 3.0, 1.0, 0.5, 0.3, 0.1])[:, None, None]
    mixtures = np.einsum("npk,kfm->npfm", RANDOM.standard_normal((20, 16, 6)), patterns) * 0.02 - 4.0
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


def test_text_table_pads_and_cuts() -> None:
    table = text_table(["", "ab", "abcd"], WordEncoder())  # type: ignore[arg-type]
    states, mask = table.batch(np.array([0, 1]))
    assert states.shape == (2, 3, TEXT_WIDTH)
    assert mask.sum(1).tolist() == [1, 3]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, codec: TrainableCodec) -> Prepared:
    folder = tmp_path_factory.mktemp("clips")
    audio = noises(6, 40_960)
    audio[3] = 0
    np.save(folder / "audio.npy", audio)
    captions = ["rain", "rain", "dog", "silence", "wind", "door"]
    (folder / "clips.jsonl").write_text("".join(json.dumps({"caption": c}) + "\n" for c in captions))
    encoder = WordEncoder()
    mel = MelConfig(hop=320)
    prepare(folder, folder, tiny_space().eval(), codec.codec, encoder, mel)  # type: ignore[arg-type]
    return Prepared.read(folder)


def test_prepared_clips_belong_together(prepared: Prepared) -> None:
    assert prepared.latents.shape == (6, 4, 32, 16)
    assert prepared.codes.shape == (6, 4, 64)
    assert prepared.caption_row[0] == prepared.caption_row[1] != prepared.caption_row[2]
    assert np.array_equal(prepared.codes[3], prepared.silence)


def test_plan_model_learns(prepared: Prepared) -> None:
    torch.manual_seed(0)
    config = MusicgenDecoderConfig(
        vocab_size=512,
        num_hidden_layers=1,
        ffn_dim=32,
        num_attention_heads=2,
        hidden_size=32,
        num_codebooks=4,
        pad_token_id=512,
        bos_token_id=512,
    )
    first, last = descend(PlanModel(config, TEXT_WIDTH), PlanLoss(prepared, batch=4), 24, 1e-2)
    assert last < first


def test_denoiser_learns(prepared: Prepared, codec: TrainableCodec) -> None:
    torch.manual_seed(0)
    model = DualTransformer(TransformerConfig(text_width=TEXT_WIDTH, width=32, heads=2, blocks=1))
    first, last = descend(model, DenoiserLoss(prepared, codebooks(codec.codec), batch=8), 40, 5e-3)
    assert last < first


def test_a_table_knows_its_rows() -> None:
    table = TextTable(np.zeros((2, 3, 4), np.float16), np.array([1, 3]))
    assert table.batch(np.array([0]))[0].shape == (1, 1, 4)
