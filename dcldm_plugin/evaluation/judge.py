"""The judge that is always there: which of 20 kinds a sound is, by a classifier fitted on real sounds.

A multinomial logistic regression on the embedding of `embedding.py`. It is fitted once, on recordings from the
store that `dcldm_plugin.training.sounds` fills, and comes with the package in `data/judge.safetensors`, together
with the embeddings of those recordings, to which distances are measured, and its accuracy on sounds that it was not
fitted on. To fit it again (five minutes):

    python -m dcldm_plugin.evaluation.judge SOUNDS [--out FILE]

How far to trust it is what `Accuracy` says: it is far above chance, also on recordings of packages that it never
heard, and far from perfect. Its scores compare models; they are no certificate.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor
from torch.nn import functional

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.evaluation.embedding import Audio, Embedding

DATA = Path(__file__).parent / "data"
FILE = DATA / "judge.safetensors"
SAMPLE_RATE = 16_000  # of the store
CROP = round(5.12 * SAMPLE_RATE)
MOST_CROPS = 3  # of one long sound
SHORT = round(1.5 * SAMPLE_RATE)  # what is shorter is also shown several times in a row, as a model may make it
REPEATED = round(2.3 * SAMPLE_RATE)
MOST_RECORDINGS = 30  # of a kind, from as many packages as there are
FOLDS = 5
DECAY = 3e-3  # of the squared weights

Vectors = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How often the right kind is the first, among the first three, among the first five; 0 … 1."""

    top1: float
    top3: float
    top5: float

    @classmethod
    def of(cls, ranks: Sequence[int] | Indices) -> Accuracy:
        """From the places (0 is the first) at which the right kind came."""
        places = np.asarray(ranks)
        return cls(*(round(float((places < most).mean()), 4) for most in (1, 3, 5)))


@dataclass(frozen=True, slots=True)
class Examples:
    """Real sounds: vectors [n, 512]; for each its kind, its recording, its package (indices), and whether it is
    the recording itself, not several repetitions of it."""

    vectors: Vectors
    kind: Indices
    recording: Indices
    package: Indices
    plain: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Probe:
    """Linear classifier: logits [n, kinds] = ((vectors - mean) / scale) weight.T + bias."""

    mean: Vectors
    scale: Vectors
    weight: Vectors
    bias: Vectors

    def logits(self, vectors: Vectors) -> Vectors:
        return np.asarray((vectors - self.mean) / self.scale @ self.weight.T + self.bias, np.float32)


@dataclass(frozen=True, slots=True)
class Judge:
    """The fitted classifier with what it was fitted on and how well it does on what it was not."""

    kinds: tuple[str, ...]
    probe: Probe
    real: Examples
    five_fold: Accuracy
    by_package: Accuracy

    def order(self, vector: Vectors) -> list[str]:
        """The kinds of a sound [512], the likeliest first."""
        return [self.kinds[index] for index in np.argsort(-self.probe.logits(vector[None])[0])]

    def recordings(self, kind: int | None = None) -> Vectors:
        """The vectors of the real recordings, each once; of one kind, or of all."""
        real = self.real
        rows = np.flatnonzero(real.plain if kind is None else real.plain & (real.kind == kind))
        return real.vectors[rows[np.unique(real.recording[rows], return_index=True)[1]]]

    @classmethod
    def read(cls, path: Path = FILE) -> Judge:
        """What `write` wrote. Raises `DcldmError`."""
        try:
            with safe_open(path, framework="np") as file:
                about = json.loads(file.metadata()["judge"])
                probe = Probe(**{name: file.get_tensor(name) for name in Probe.__slots__})
                arrays = {name: file.get_tensor(f"real.{name}") for name in Examples.__slots__}
        except FileNotFoundError as error:
            raise DcldmError(f"There is no judge in {path}; install the app again.") from error
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DcldmError(f"{path} is damaged or is no judge; install the app again.") from error
        wide = {
            name: value.astype(np.int64) for name, value in arrays.items() if name in ("kind", "recording", "package")
        }
        real = Examples(arrays["vectors"].astype(np.float32), plain=arrays["plain"], **wide)
        accuracies = (Accuracy(**about[name]) for name in ("five_fold", "by_package"))
        return cls(tuple(about["kinds"]), probe, real, *accuracies)

    def write(self, path: Path) -> None:
        """One safetensors file; the real vectors in half precision."""
        real = self.real
        tensors = {name: getattr(self.probe, name) for name in Probe.__slots__} | {
            "real.vectors": real.vectors.astype(np.float16),
            "real.kind": real.kind.astype(np.int16),
            "real.recording": real.recording.astype(np.int16),
            "real.package": real.package.astype(np.int16),
            "real.plain": real.plain,
        }
        about = {"kinds": self.kinds, "five_fold": asdict(self.five_fold), "by_package": asdict(self.by_package)}
        part = path.with_name(path.name + ".part")
        save_file(tensors, part, metadata={"judge": json.dumps(about)})
        os.replace(part, path)


def places(logits: Vectors, kind: Indices) -> Indices:
    """At which place the right kind comes in each row [n, kinds]; 0 is the first."""
    right = logits[np.arange(len(kind)), kind]
    return np.asarray((logits > right[:, None]).sum(axis=1))


def fit(examples: Examples, kinds: int) -> Probe:
    """Each kind weighs the same, each recording the same within its kind."""
    vectors = torch.from_numpy(examples.vectors)
    mean, scale = vectors.mean(dim=0), vectors.std(dim=0).clamp(min=1e-3)
    given, wanted = (vectors - mean) / scale, torch.from_numpy(examples.kind)
    crops = np.bincount(examples.recording)[examples.recording]
    recordings = np.array([len(np.unique(examples.recording[examples.kind == kind])) for kind in range(kinds)])
    share = torch.from_numpy(1.0 / (crops * recordings[examples.kind])).float()
    share /= share.sum()
    weight = torch.zeros(kinds, vectors.shape[1], requires_grad=True)
    bias = torch.zeros(kinds, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        errors = functional.cross_entropy(functional.linear(given, weight, bias), wanted, reduction="none")
        total: Tensor = (share * errors).sum() + DECAY * weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return Probe(*(each.detach().numpy() for each in (mean, scale, weight, bias)))


def subset(examples: Examples, rows: NDArray[np.bool_]) -> Examples:
    """Some of the rows."""
    return Examples(*(getattr(examples, name)[rows] for name in Examples.__slots__))


def held_out(examples: Examples, kinds: int, groups: Indices) -> Accuracy:
    """The accuracy on each group by a probe that was fitted without it. Repetitions are for fitting only."""
    ranks = np.full(len(groups), kinds)
    for group in np.unique(groups):
        out = groups == group
        probe = fit(subset(examples, ~out), kinds)
        ranks[out] = places(probe.logits(examples.vectors[out]), examples.kind[out])
    # Each recording counts once, whatever the number of its crops; so does each kind.
    rows = np.flatnonzero(examples.plain)
    first = rows[np.unique(examples.recording[rows], return_index=True)[1]]
    return balanced(ranks[first], examples.kind[first])


def balanced(ranks: Indices, kind: Indices) -> Accuracy:
    """The accuracy with each kind weighing the same."""
    each = [asdict(Accuracy.of(ranks[kind == one])) for one in np.unique(kind)]
    return Accuracy(**{name: round(float(np.mean([one[name] for one in each])), 4) for name in Accuracy.__slots__})


def read_prompts(path: Path = DATA / "prompts.csv") -> dict[str, dict[str, str]]:
    """{kind: {"plain": prompt, "paraphrase": prompt}}, in the order of the judge's kinds."""
    with path.open(newline="", encoding="utf-8") as stream:
        return {row.pop("category"): row for row in csv.DictReader(stream)}


def crops(sound: Audio, random: np.random.Generator) -> Iterator[tuple[bool, Audio]]:
    """(plain, samples): up to three pieces of a long sound; of a short one also several in a row."""
    for start in range(0, max(1, min(len(sound) - CROP // 2, MOST_CROPS * CROP)), CROP):
        yield True, sound[start : start + CROP]
    if len(sound) < SHORT:
        pauses = [np.zeros(int(pause * SAMPLE_RATE), np.float32) for pause in random.uniform(0.05, 0.8, 46)]
        yield False, np.concatenate([part for pause in pauses for part in (sound, pause)])[:REPEATED]


def chosen(entries: Sequence[dict[str, Any]], kinds: Sequence[str]) -> list[dict[str, Any]]:
    """At most 30 recordings of each kind, drawn from its packages in turn."""
    random = np.random.default_rng(0)
    result: list[dict[str, Any]] = []
    for kind in kinds:
        by_package: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            if entry["category"] == kind:
                by_package.setdefault(entry["package"], []).append(entry)
        turns = [enumerate(random.permutation(len(there))) for there in by_package.values()]
        drawn = [
            (turn, package, by_package[package][row])
            for package, order in zip(by_package, turns, strict=True)
            for turn, row in order
        ]
        result += [entry for *_, entry in sorted(drawn, key=lambda each: each[:2])[:MOST_RECORDINGS]]
    return result


def examples(folder: Path, kinds: Sequence[str], embed: Embedding, report: Callable[[int, int], None]) -> Examples:
    """The sounds of a store (`sounds.pcm`, `sounds.json`) that belong to the kinds. Raises `DcldmError`."""
    try:
        flat = np.memmap(folder / "sounds.pcm", "<i2", "r")
        entries = json.loads((folder / "sounds.json").read_text(encoding="utf-8"))["sounds"]
    except (OSError, ValueError, KeyError) as error:
        raise DcldmError(f"{folder} holds no sounds; fill it with the module dcldm_plugin.training.sounds.") from error
    entries = chosen(entries, kinds)
    packages = sorted({entry["package"] for entry in entries})
    random = np.random.default_rng(0)
    rows: list[tuple[int, int, int, bool]] = []
    vectors = []
    for number, entry in enumerate(entries):
        sound = flat[entry["start"] : entry["start"] + entry["length"]].astype(np.float32) / 32768.0
        for plain, samples in crops(sound, random):
            vectors.append(embed(samples, SAMPLE_RATE))
            rows.append((kinds.index(entry["category"]), number, packages.index(entry["package"]), plain))
        report(number + 1, len(entries))
    kind, recording, package, is_plain = (np.array(column) for column in zip(*rows, strict=True))
    return Examples(np.stack(vectors), kind, recording, package, is_plain)


def fitted(real: Examples, kinds: tuple[str, ...]) -> Judge:
    """A judge with its accuracy on held-out recordings, and on packages held out one after the other."""
    folds = np.random.default_rng(0).permutation(int(real.recording.max()) + 1)[real.recording] % FOLDS
    count = len(kinds)
    return Judge(kinds, fit(real, count), real, held_out(real, count, folds), held_out(real, count, real.package))


def main() -> None:
    """Fit the judge on a store of real sounds."""
    parser = argparse.ArgumentParser(description="Fit the judge on real sounds.")
    parser.add_argument("sounds", type=Path, help="the store written by the sounds module")
    parser.add_argument("--out", type=Path, default=FILE)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    def report(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"{done} of {total} sounds", flush=True)

    kinds = tuple(read_prompts())
    judge = fitted(examples(options.sounds, kinds, Embedding.installed(), report), kinds)
    judge.write(options.out)
    print(f"{len(judge.real.kind)} examples of {int(judge.real.recording.max()) + 1} recordings")
    for name in ("five_fold", "by_package"):
        print(name, asdict(getattr(judge, name)))


if __name__ == "__main__":
    main()
