"""What is computed once: again only for other content or another model, and whole after a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import checkpoint
from dcldm_plugin.models.encodings import side_by_side
from dcldm_plugin.training.base import Base
from dcldm_plugin.training.claim import ARMS, fresh_arm
from dcldm_plugin.training.manifest import Item
from dcldm_plugin.training.precompute import Portion, audio_set, encoded_set, model_key
from dcldm_plugin.training.shards import Shards
from dcldm_plugin.training.sound_files import Clip, clips_of, mixed, read_clip

RATE = 16_000


def test_shards_are_read_row_by_row_and_damage_is_made_again(tmp_path: Path) -> None:
    shards = Shards(tmp_path)
    assert shards.missing(["a", "b", "a"]) == ["a", "b"]
    shards.write(["a", "b"], {"x": torch.arange(6).view(2, 3)})
    Shards(tmp_path, process=1).write(["c"], {"x": torch.full((1, 3), 9)})
    again = Shards(tmp_path)
    assert again.stacked("x", ["c", "a"]).tolist() == [[9, 9, 9], [0, 1, 2]]
    assert again.has("x") and not again.has("y")
    damaged = sorted(tmp_path.iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:-8])
    assert Shards(tmp_path).missing(["a", "b", "c"]) == ["a", "b"]
    assert not damaged.exists()


def test_sounds_are_read_once_and_only_what_is_new(sounds: Path, tmp_path: Path) -> None:
    items = [Item(path, path.stem) for path in sorted(sounds.iterdir())]
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    clips = clips_of([*items, Item(tmp_path / "broken.wav", "x")], 2.56, True, 0.0, 0, print)
    said: list[str] = []

    def read(some: list[Clip]) -> int:
        return len(audio_set(tmp_path / "cache", some, RATE, 40_960, True, Portion(), said.append))

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.safetensors")}

    assert read(clips[:3]) == 3
    first = files()
    assert read(clips[:3]) == 3 and files() == first
    assert read(clips) == len(items)
    assert first.items() <= files().items() and len(files()) == len(first) + 1
    assert len(said) == 1 and "broken.wav can't be read" in said[0]
    with pytest.raises(InvalidInput, match="None of the sounds"):
        read(clips[-1:])


def test_keys_are_of_content_and_model(sounds: Path, tmp_path: Path) -> None:
    path = sorted(sounds.iterdir())[0]
    copy = tmp_path / "copy.wav"
    copy.write_bytes(path.read_bytes())
    one, other = clips_of([Item(path, "a"), Item(copy, "b")], 2.56, True, 0.0, 0, print)
    assert one.key == other.key
    assert clips_of([Item(path, "a", 0.5)], 2.56, True, 0.0, 0, print)[0].key != one.key
    model = torch.nn.Linear(2, 2)
    before = model_key([model], "x")
    assert model_key([model], "y") != before == model_key([model], "x")
    with torch.no_grad():
        model.weight[0, 0] += 1e-3
    assert model_key([model], "x") != before


def test_what_the_vae_makes_of_a_plan_is_not_the_target_itself(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    chain, version, sizes = checkpoint.read_all(tiny_model)
    chain = fresh_arm(Base("tiny", chain, version, "CC0", True, sizes), ARMS["dual-agvae"], 0).chain
    steps = chain.config.longest_steps
    seconds = steps / chain.latent_rate
    clips = clips_of([Item(path, path.stem) for path in sorted(sounds.iterdir())[:2]], seconds, True, 0.0, 0, print)
    data = encoded_set(tmp_path, clips, chain, True, "target", Portion(), print)
    rows = np.arange(2)
    told = data.encodings(rows)
    assert told is not None
    torch.testing.assert_close(told, chain.encoded(data.codes(rows), steps), atol=2e-3, rtol=2e-3)
    assert not torch.allclose(told, side_by_side(data.latents(rows)[0]), atol=0.1)


def test_mixtures_hold_both_sounds_about_as_loud(sounds: Path) -> None:
    items = [Item(path, path.stem.capitalize()) for path in sorted(sounds.iterdir())]
    clips = clips_of(items, 2.56, True, 0.5, 3, print)
    assert len(clips) == len(items) + len(items) // 2
    assert clips == clips_of(items, 2.56, True, 0.5, 3, print)
    both = clips[-1]
    assert " and " in both.caption and both.caption.split(" and ")[1][0].islower()
    assert np.abs(read_clip(both, 2.56, RATE, True)).max() == pytest.approx(0.5, abs=1e-3)
    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hz * time).astype(np.float32) for hz in (1000, 1500))
    spectrum = np.abs(np.fft.rfft(mixed(low, 0.01 * high, RATE)))
    assert spectrum[1000] / spectrum[1500] < 1.5  # a hundredth as loud before
