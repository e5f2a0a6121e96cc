"""Are the sounds what was asked for, and do seeds differ? Twenty kinds, two prompts each, several seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dcldm_plugin.backends.base import Backend
from dcldm_plugin.evaluation.embedding import SILENT_PEAK, Embedding
from dcldm_plugin.evaluation.judge import Accuracy, Judge, Vectors, read_prompts
from dcldm_plugin.evaluation.metrics import frechet_distance
from dcldm_plugin.evaluation.render import Take, takes
from dcldm_plugin.types import Sampling

PHRASINGS = ("plain", "paraphrase")


@dataclass(frozen=True, slots=True)
class Heard:
    """One judged take: what was asked for, at which place the right kind came, and the three kinds heard."""

    kind: str
    phrasing: str
    prompt: str
    seed: int
    place: int
    heard: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recognition:
    """The result. `diversity` is the mean distance between takes of a prompt over that between real sounds of
    the kind; `frechet` the Fréchet distance to the real sounds in the judge's space, comparable at equal N only.

    repeats: whether the last prompt, rendered once more with the same seeds, gave the same samples.
    """

    takes: tuple[Heard, ...]
    diversity: dict[str, float]
    frechet: float
    seconds_per_take: float
    repeats: bool

    def places(self, **wanted: str) -> list[int]:
        """The places of all takes with these fields."""
        return [
            take.place for take in self.takes if all(getattr(take, name) == value for name, value in wanted.items())
        ]

    def summary(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        kinds = list(dict.fromkeys(take.kind for take in self.takes))
        phrasings = list(dict.fromkeys(take.phrasing for take in self.takes))
        return {
            "n": len(self.takes),
            **asdict(Accuracy.of(self.places())),
            "by_phrasing": {each: asdict(Accuracy.of(self.places(phrasing=each))) for each in phrasings},
            "by_kind": {each: asdict(Accuracy.of(self.places(kind=each))) for each in kinds},
            "diversity": round(float(np.mean(list(self.diversity.values()))), 4) if self.diversity else None,
            "diversity_by_kind": self.diversity,
            "frechet": round(self.frechet, 2),
            "repeats": self.repeats,
            "seconds_per_take": round(self.seconds_per_take, 3),
        }


def recognise(
    backend: Backend,
    judge: Judge,
    embed: Embedding,
    *,
    seeds: Sequence[int],
    seconds: float,
    sampling: Sampling,
    phrasings: Sequence[str] = PHRASINGS,
    report: Callable[[int, int], None] = lambda done, total: None,
    keep: Callable[[str, str, Take], None] = lambda kind, phrasing, take: None,
) -> Recognition:
    """Render and judge. `report(done, total)` counts prompts; `keep` gets every take."""
    heard: list[Heard] = []
    vectors: list[Vectors] = []
    prompts = [
        (kind, phrasing, by_phrasing[phrasing])
        for kind, by_phrasing in read_prompts().items()
        for phrasing in phrasings
    ]
    rendering = 0.0
    for done, (kind, phrasing, prompt) in enumerate(prompts, 1):
        began = time.perf_counter()
        made = list(takes(backend, prompt, seeds, seconds, sampling))
        rendering += time.perf_counter() - began
        for take in made:
            keep(kind, phrasing, take)
            vectors.append(embed(take.audio, take.rate))
            order = judge.order(vectors[-1])
            silent = float(np.abs(take.audio).max(initial=0.0)) < SILENT_PEAK
            place = len(order) if silent else order.index(kind)
            heard.append(Heard(kind, phrasing, prompt, take.seed, place, () if silent else tuple(order[:3])))
        report(done, len(prompts))
    again = takes(backend, prompts[-1][2], seeds, seconds, sampling)
    repeats = all(np.array_equal(one.audio, other.audio) for one, other in zip(made, again, strict=True))
    stacked = np.stack(vectors)
    return Recognition(
        tuple(heard),
        diversity(judge, heard, stacked) if len(seeds) > 1 else {},
        frechet_distance(stacked, judge.recordings()),
        rendering / len(heard),
        repeats,
    )


def diversity(judge: Judge, heard: Sequence[Heard], vectors: Vectors) -> dict[str, float]:
    """{kind: mean distance of two takes of one prompt / that of two real recordings of the kind}."""
    result = {}
    prompts = np.array([take.prompt for take in heard])
    kinds = np.array([take.kind for take in heard])
    for index, kind in enumerate(judge.kinds):
        made = [mean_distance(vectors[prompts == prompt]) for prompt in np.unique(prompts[kinds == kind])]
        if made:
            result[kind] = round(float(np.mean(made)) / mean_distance(judge.recordings(index)), 4)
    return result


def mean_distance(vectors: Vectors) -> float:
    """The mean Euclidean distance of two different rows of [n, width]."""
    rows, columns = np.triu_indices(len(vectors), 1)
    return float(np.linalg.norm(vectors[rows] - vectors[columns], axis=1).mean())
