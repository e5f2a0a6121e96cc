"""The embedding: the published network under its own names, and a front end that does what is said of it."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.evaluation.embedding import BLOCK_FRAMES, HOP, MELS, Embedding, EmbeddingNet, mel_bands, read_net

RATE = 16_000


@pytest.fixture(scope="module")
def embed() -> Embedding:
    pytest.importorskip("aisfx", reason="python -m pip install --no-deps aisfx==0.1.2")
    return Embedding.installed()


def noise(seconds: float, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1


def test_the_network_is_the_published_one(embed: Embedding) -> None:
    from aisfx.models.cnn2d import EmbeddingNet as Theirs

    theirs = Theirs("max", 3, 1, 64)
    theirs.load_state_dict(embed.net.state_dict())
    mels = torch.rand(2, BLOCK_FRAMES, MELS, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(embed.net(mels), theirs.eval()(mels))


def test_bands_are_essentias() -> None:
    bands = mel_bands()
    assert torch.allclose(bands.sum(dim=1), torch.ones(MELS))
    assert (bands >= 0).all()
    centres = (bands * torch.arange(bands.shape[1])).sum(dim=1)
    assert (centres.diff() > 0).all()


def test_a_full_scale_tone_comes_near_the_largest_value(embed: Embedding) -> None:
    # 512^2 in one bin is 9.4 after the logarithm: the constant that all is divided by (a band shares it a little).
    tone = np.sin(2 * np.pi * 100.0 * np.arange(3 * RATE) / RATE).astype(np.float32)
    assert 0.9 < float(embed.blocks(tone, RATE).max()) < 1.0


def test_the_level_plays_no_part_and_pauses_are_left_out(embed: Embedding) -> None:
    sound = noise(2.3)
    once = embed(sound, RATE)
    assert once.shape == (512,)
    assert np.allclose(embed(0.01 * sound, RATE), once, atol=1e-3)
    followed_by_silence = np.concatenate([sound, np.zeros(8 * RATE, np.float32)])
    assert len(embed.blocks(followed_by_silence, RATE)) <= 2  # the second holds the last few milliseconds, at most
    assert np.isfinite(embed(np.zeros(RATE, np.float32), RATE)).all()


@pytest.mark.parametrize(("seconds", "blocks"), [(0.05, 1), (3.0, 1), (5.12, 2), (10.0, 4)])
def test_a_rest_of_less_than_half_a_block_is_left_out(embed: Embedding, seconds: float, blocks: int) -> None:
    assert pytest.approx(2.32, abs=0.01) == BLOCK_FRAMES * HOP / 44_100
    assert embed.blocks(noise(seconds), RATE).shape == (blocks, BLOCK_FRAMES, MELS)


def test_files_that_are_not_its_weights(tmp_path: Path, tiny: ModuleType) -> None:
    with pytest.raises(DcldmError, match="There is no file"):
        read_net(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 cut short")
    torch.save((tiny.Malice(tmp_path / "ran"), {}), tmp_path / "hostile.pth")
    torch.save(({"embedding_net.x": torch.zeros(1)}, {}), tmp_path / "other.pth")
    for name in ("cut", "hostile", "other"):
        with pytest.raises(DcldmError, match="is damaged"):
            read_net(tmp_path / f"{name}.pth")
    assert not (tmp_path / "ran").exists()


def test_numbers_of_numpy_are_read(tmp_path: Path) -> None:
    net = EmbeddingNet()
    tensors = {f"embedding_net.{name}": value for name, value in net.state_dict().items()}
    torch.save((tensors | {"fc.0.weight": torch.zeros(2)}, {"heads": (0, np.int64(79))}), tmp_path / "checkpoint.pth")
    read = read_net(tmp_path / "checkpoint.pth")
    assert torch.equal(read.conv_block1.conv1.weight, net.conv_block1.conv1.weight)
