"""Tests of the composed training clips."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcldm_plugin.evaluation.lists import read_list
from dcldm_plugin.training import compose as module
from dcldm_plugin.training.compose import Sound, compose, main
from dcldm_plugin.training.phrases import NUMBERS, plural

RATE = module.SAMPLE_RATE
LENGTH = 163_840


def burst(seconds: float, seed: int) -> np.ndarray:
    """White noise with a peak of 0.5, float32 [seconds * 16000]."""
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * RATE))
    return noise.astype(np.float32)


@pytest.fixture(scope="module")
def library() -> list[Sound]:
    """Three categories: a short texture, a long texture, and an event in two takes."""
    return [
        Sound(burst(0.7, 0), "rain falling", "rain", "test", "CC0", is_texture=True),
        Sound(burst(30.0, 1), "wind blowing", "wind", "test", "CC0", is_texture=True),
        Sound(burst(0.08, 2), "a pistol shot", "gunshot", "test", "CC0"),
        Sound(burst(0.08, 3), "a pistol shot", "gunshot", "test", "CC0"),
        Sound(burst(13.0, 4), "a thunder clap", "thunder", "test", "CC0"),
    ]


def count_events(samples: np.ndarray) -> int:
    """Count the stretches of sound that a pause of at least 20 ms separates."""
    loud = np.flatnonzero(np.abs(samples) > 0.02)
    return 1 + int(np.sum(np.diff(loud) > 0.02 * RATE))


def test_a_clip_depends_on_seed_and_index_alone(library: list[Sound]) -> None:
    later = [compose(library, 5, index) for index in (3, 2)]
    first = compose(library, 5, 2)
    assert np.array_equal(first.samples, later[1].samples)
    assert first.caption == later[1].caption
    assert not np.array_equal(first.samples, later[0].samples)
    assert not np.array_equal(first.samples, compose(library, 6, 2).samples)


def test_length_level_and_caption(library: list[Sound]) -> None:
    for index in range(24):
        clip = compose(library, 1, index)
        assert clip.samples.shape == (LENGTH,)
        assert clip.samples.dtype == np.float32
        assert 0.1 < np.abs(clip.samples).max() <= 0.5 + 1e-6
        assert clip.caption == clip.caption.lower().strip()
        assert clip.caption
        assert not clip.caption.endswith(".")
        assert clip.category in {"rain", "wind", "gunshot", "thunder"}


def test_other_lengths(library: list[Sound]) -> None:
    assert compose(library, 0, 0, seconds=5.0).samples.shape == (5 * RATE,)


def test_counts_in_captions_are_true(library: list[Sound]) -> None:
    shots = [sound for sound in library if sound.category == "gunshot"]
    checked = 0
    for index in range(60):
        clip = compose(shots, 2, index)
        words = clip.caption.split()
        # Reverberation and mixtures blur the pauses that are counted here.
        if words[0] in NUMBERS and len(clip.sources) == 1 and "distan" not in clip.caption:
            assert count_events(clip.samples) == NUMBERS.index(words[0]) + 2
            checked += 1
    assert checked >= 5


def test_textures_fill_the_clip(library: list[Sound]) -> None:
    clip = compose(library[:1], 0, 0)
    blocks = np.abs(clip.samples[: LENGTH // 2]).reshape(-1, 2048).max(axis=1)
    assert blocks[8:].min() > 0.02


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a footstep on gravel", "footsteps on gravel"),
        ("a hard snare drum hit", "hard snare drum hits"),
        ("a plasma weapon blast", "plasma weapon blasts"),
        ("a dog barking", "dog barks"),
        ("rain falling", None),
    ],
)
def test_plurals(caption: str, expected: str | None) -> None:
    assert plural(caption) == expected


def test_packages_are_kept_apart_for_tests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    store.mkdir()
    entries = [
        {"start": 1600 * row, "length": 1600, "caption": f"{package} bang", "category": "impact", "package": package,
         "licence": "CC0"}
        for row, package in enumerate(("one", "other"))
    ]  # fmt: skip
    (store / "sounds.json").write_text(json.dumps({"sounds": entries}), encoding="utf-8")
    (burst(0.2, 0) * 32767).astype("<i2").tofile(store / "sounds.pcm")
    common = ["--sounds", str(store), "--count", "3", "--seed", "1"]
    main([*common, "--out", str(tmp_path / "clips"), "--without", "other"])
    main([*common, "--out", str(tmp_path / "test"), "--only", "other", "--list", "--seconds", "5.12"])
    lines = (tmp_path / "clips" / "clips.jsonl").read_text(encoding="utf-8").splitlines()
    assert {source for line in lines for source in json.loads(line)["sources"]} == {"one"}
    assert np.load(tmp_path / "clips" / "audio.npy").shape == (3, LENGTH)
    items = read_list(tmp_path / "test" / "list.csv")
    assert len(items) == 3 and all("other" in item.prompt and "one" not in item.prompt.split() for item in items)
    assert all(soundfile.info(item.path).frames == 81_920 for item in items)
    for wrong, said in (
        (["--only", "another"], "another"),
        (["--without", "one", "other"], "no sounds are left"),
        (["--seconds", "11"], "from 1 to 10.24"),
    ):
        with pytest.raises(SystemExit):
            main([*common, "--out", str(tmp_path / "none"), *wrong])
        assert said in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
