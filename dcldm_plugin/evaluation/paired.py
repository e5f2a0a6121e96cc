"""Systems on a test list: FAD, FD, KL, KL_sigma, IS and CLAP score, and the distances in the judge's own space.

A system is a model, by name or folder, or a folder of sounds that were made elsewhere, each with the stem of its
reference.

Every sound is read as `audioldm_eval` reads it: its first channel, without its mean, at 16 kHz, at least 2 s long.
Sounds at other rates are resampled by soxr, where that uses torchaudio's kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.evaluation import clap, panns, vggish
from dcldm_plugin.evaluation.embedding import Audio, Embedding
from dcldm_plugin.evaluation.judge import Judge
from dcldm_plugin.evaluation.metrics import frechet_distance, inception_score, kl_sigmoid, kl_softmax

SAMPLE_RATE = 16_000
SHORTEST = 2 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Score:
    """A system's row. None: the weights for it are not there. `n` counts pairs; compare rows of equal `n` only.

    `fd_judge` and `kl_judge`: FD and KL with the judge's embedding and kinds in place of PANNs'.
    """

    system: str
    n: int
    fad: float | None
    fd: float | None
    kl: float | None
    kl_sigma: float | None
    inception: float | None
    clap: float | None
    fd_judge: float
    kl_judge: float
    parameters: int | None = None
    guidance: float | None = None


@dataclass(slots=True)
class Features:
    """What the metrics are made of, sound by sound."""

    vggish: list[NDArray[np.float32]] = field(default_factory=list)  # [examples, 128]
    panns: list[NDArray[np.float32]] = field(default_factory=list)  # [2048]
    logits: list[NDArray[np.float32]] = field(default_factory=list)  # [527]
    clap: list[float] = field(default_factory=list)
    judge: list[NDArray[np.float32]] = field(default_factory=list)  # [512]


def read_sound(path: Path) -> Audio:
    """The first channel of a file at 16 kHz. Raises `DcldmError`."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise DcldmError(f"{path} cannot be read as a sound ({error}); take it out of the list.") from error
    return as_read(samples[:, 0], rate)


def as_read(audio: Audio, rate: int) -> Audio:
    """As the metrics take it: without its mean, at 16 kHz, with zeros up to 2 s."""
    centred = audio - audio.mean() if len(audio) else audio
    sound = np.asarray(soxr.resample(centred, rate, SAMPLE_RATE) if rate != SAMPLE_RATE else centred, np.float32)
    return np.pad(sound, (0, max(0, SHORTEST - len(sound))))


class Extractors:
    """All extractors whose weights are in a folder. `missing`: sentences on the others."""

    def __init__(self, weights: Path | None, judge: Judge, embed: Embedding) -> None:
        self.judge, self.embed = judge, embed
        self.missing: list[str] = []
        there = self._there(weights, vggish.FILE, "FAD", vggish.SOURCE)
        self.vggish = vggish.Vggish.read(there) if there else None
        there = self._there(weights, panns.FILE, "FD, KL, KL_sigma and IS", panns.SOURCE)
        self.panns = panns.Cnn14.read(there) if there else None
        there = self._there(weights, clap.FOLDER, "CLAP score", clap.SOURCE)
        self.clap = clap.Clap.read(there) if there else None

    def _there(self, weights: Path | None, name: str, metrics: str, source: str) -> Path | None:
        if weights is not None and (weights / name).exists():
            return weights / name
        self.missing.append(f"No {metrics}: put {name} of {source} into the folder that --weights names.")
        return None

    @torch.inference_mode()
    def __call__(self, pairs: Iterable[tuple[Audio, str]]) -> Features:
        """The features of sounds [samples] at 16 kHz, each with its prompt."""
        result = Features()
        for audio, prompt in pairs:
            wave = torch.from_numpy(audio)
            if self.vggish is not None:
                result.vggish.append(self.vggish(wave).numpy())
            if self.panns is not None:
                vector, logits = self.panns(wave[None])
                result.panns.append(vector[0].numpy())
                result.logits.append(logits[0].numpy())
            if self.clap is not None:
                result.clap.append(self.clap(audio, SAMPLE_RATE, prompt))
            result.judge.append(self.embed(audio, SAMPLE_RATE))
        return result


def score(system: str, reference: Features, made: Features, judge: Judge, **more: Any) -> Score:
    """All metrics of one system; FAD pools the examples of all sounds. `more`: further fields of `Score`."""

    def of(name: str, metric: Callable[..., float], *sets: Features) -> float | None:
        values = [getattr(each, name) for each in sets]
        return metric(*(np.stack(each) for each in values)) if all(values) else None

    def pooled(first: Features, second: Features) -> float | None:
        if not (first.vggish and second.vggish):
            return None
        return frechet_distance(np.concatenate(first.vggish), np.concatenate(second.vggish))

    ours, theirs = np.stack(made.judge), np.stack(reference.judge)
    return Score(
        system=system,
        n=len(ours),
        fad=pooled(reference, made),
        fd=of("panns", frechet_distance, reference, made),
        kl=of("logits", kl_softmax, reference, made),
        kl_sigma=of("logits", kl_sigmoid, reference, made),
        inception=of("logits", inception_score, made),
        clap=float(np.mean(made.clap)) if made.clap else None,
        fd_judge=frechet_distance(theirs, ours),
        kl_judge=kl_softmax(judge.probe.logits(theirs), judge.probe.logits(ours)),
        **more,
    )


COLUMNS = {
    "system": "System",
    "parameters": "Parameters",
    "guidance": "w",
    "n": "N",
    "kl_sigma": "KL_σ ↓",
    "kl": "KL ↓",
    "fad": "FAD ↓",
    "fd": "FD ↓",
    "inception": "IS ↑",
    "clap": "CLAP ↑",
    "kl_judge": "KL (judge) ↓",
    "fd_judge": "FD (judge) ↓",
}
assert set(COLUMNS) == {each.name for each in fields(Score)}
