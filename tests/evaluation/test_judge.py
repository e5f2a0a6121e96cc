"""The judge: fitted on what it is given, honest about what it was not given, whole on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.evaluation.judge import (
    CROP,
    MOST_RECORDINGS,
    REPEATED,
    Accuracy,
    Examples,
    Judge,
    balanced,
    chosen,
    crops,
    fit,
    fitted,
    places,
    read_prompts,
)

KINDS = ("low", "middle", "high")
WIDTH = 8


def clusters(per_kind: int = 30, spread: float = 0.3, seed: int = 0) -> Examples:
    """Recordings around one point a kind, from three packages, each with a repetition that is farther off."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((len(KINDS), WIDTH))
    kind = np.repeat(np.arange(len(KINDS)), per_kind)
    vectors = centres[kind] + spread * random.standard_normal((len(kind), WIDTH))
    repeated = vectors + 0.1 * random.standard_normal(vectors.shape)
    number = np.arange(len(kind))
    return Examples(
        np.concatenate([vectors, repeated]).astype(np.float32),
        np.tile(kind, 2),
        np.tile(number, 2),
        np.tile(number % 3, 2),
        np.repeat([True, False], len(kind)),
    )


def test_accuracy_counts_places() -> None:
    assert Accuracy.of([0, 0, 2, 4, 9]) == Accuracy(0.4, 0.6, 0.8)
    logits = np.array([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]], np.float32)
    assert places(logits, np.array([2, 1])).tolist() == [1, 0]
    # One kind always right, one never: a half, however many examples each has.
    assert balanced(np.array([0] * 9 + [5]), np.array([0] * 9 + [1])).top1 == 0.5


def test_what_is_apart_is_told_apart() -> None:
    judge = fitted(clusters(), KINDS)
    assert judge.five_fold.top1 > 0.95
    assert judge.by_package.top1 > 0.95
    assert len(judge.recordings()) == 90
    assert len(judge.recordings(1)) == 30


def test_held_out_accuracy_is_chance_where_there_is_nothing_to_learn() -> None:
    real = clusters(spread=0.3)
    mixed = np.random.default_rng(1).permutation(90)
    shuffled = Examples(real.vectors, np.tile(real.kind[:90][mixed], 2), real.recording, real.package, real.plain)
    in_sample = places(fit(shuffled, 3).logits(shuffled.vectors), shuffled.kind)
    assert fitted(shuffled, KINDS).five_fold.top1 < 0.55
    assert Accuracy.of(in_sample).top1 > fitted(shuffled, KINDS).five_fold.top1


def test_each_kind_weighs_the_same() -> None:
    real = clusters(spread=1.5)
    few = (real.kind != 0) | (real.recording < 3)
    probe = fit(Examples(*(getattr(real, name)[few] for name in Examples.__slots__)), 3)
    shares = np.bincount(probe.logits(real.vectors).argmax(axis=1), minlength=3) / len(real.kind)
    assert shares.min() > 0.1


def test_written_and_read(tmp_path: Path) -> None:
    judge = fitted(clusters(), KINDS)
    judge.write(tmp_path / "judge.safetensors")
    read = Judge.read(tmp_path / "judge.safetensors")
    assert (read.kinds, read.five_fold, read.by_package) == (judge.kinds, judge.five_fold, judge.by_package)
    assert np.array_equal(read.probe.logits(judge.real.vectors), judge.probe.logits(judge.real.vectors))
    assert np.array_equal(read.real.recording, judge.real.recording)
    assert np.allclose(read.recordings(), judge.recordings(), atol=1e-2)


def test_files_that_are_no_judge(tmp_path: Path) -> None:
    with pytest.raises(DcldmError, match="install the app again"):
        Judge.read(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0")
    with pytest.raises(DcldmError, match="is damaged"):
        Judge.read(tmp_path / "cut.safetensors")


def test_the_judge_that_comes_with_the_package() -> None:
    judge = Judge.read()
    assert judge.kinds == tuple(read_prompts())
    assert len(judge.kinds) == 20
    assert judge.real.vectors.shape[1] == 512
    # What the documentation says of it: far above chance, also on packages that it never heard.
    assert judge.five_fold.top1 > 0.5
    assert judge.by_package.top1 > 0.25
    assert judge.five_fold.top1 > judge.by_package.top1
    # Its stated accuracy is not that on its own examples, which it knows nearly by heart.
    own = places(judge.probe.logits(judge.real.vectors), judge.real.kind)
    assert Accuracy.of(own).top1 > judge.five_fold.top1


def test_prompts() -> None:
    prompts = read_prompts()
    texts = [text for by_phrasing in prompts.values() for text in by_phrasing.values()]
    assert len(set(texts)) == 40
    assert all(set(by_phrasing) == {"plain", "paraphrase"} for by_phrasing in prompts.values())


def test_crops() -> None:
    random = np.random.default_rng(0)
    lengths = [(plain, len(piece)) for plain, piece in crops(np.ones(20 * 16_000, np.float32), random)]
    assert lengths == [(True, CROP)] * 3
    (plain, once), (repeated, several) = crops(np.ones(4000, np.float32), random)
    assert (plain, len(once), repeated, len(several)) == (True, 4000, False, REPEATED)
    edges = np.flatnonzero(np.diff(several) > 0)
    assert len(edges) >= 1  # it comes again


def test_recordings_are_taken_from_all_packages_in_turn() -> None:
    entries = [{"category": "rain", "package": "large", "number": number} for number in range(100)]
    entries += [{"category": "rain", "package": "small", "number": number} for number in range(4)]
    entries += [{"category": "song", "package": "small", "number": 0}]
    taken = chosen(json.loads(json.dumps(entries)), ("rain",))
    assert len(taken) == MOST_RECORDINGS
    assert sum(entry["package"] == "small" for entry in taken) == 4
    assert chosen(entries, ("rain",)) == taken
