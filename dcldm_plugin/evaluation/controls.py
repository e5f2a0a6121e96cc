"""Do the variation controls keep their promises? Ten prompts, measured in the sound; the judge where classes matter.

Each promise is held to on each prompt alone: what counts is on how many of them it is kept.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from dcldm_plugin.audio import measures
from dcldm_plugin.backends.base import Backend
from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.evaluation.embedding import Embedding
from dcldm_plugin.evaluation.judge import Judge, read_prompts
from dcldm_plugin.evaluation.recognition import mean_distance
from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.types import AudioSource, Control, GenerationRequest, Kind, Parent, Sampling, Seeds, unheard
from dcldm_plugin.variations import audio_source

IMPULSIVE = ("footsteps", "wood chop", "horse", "sword", "gunshot", "door")
KINDS = (*IMPULSIVE, "fire", "rain", "water", "bell")  # each lends its timing to the next
NEW = 1000  # a seed that no parent has
ONSET_SECONDS = 0.08
FADE_SECONDS = 0.02
TURNS = 10  # of a loop

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Promise:
    """What a control promises, on how many of the prompts it kept that, and the mean of what was measured."""

    control: str
    promise: str
    kept: int
    of: int
    measured: float


PROMISES = {
    "regenerate": "two takes differ by half of what two real sounds of the kind do (share of that)",
    "retexture": "0 is the same clip; the distance grows with the control (dB at 1)",
    "retexture onsets": f"impulsive: each onset stays within {1000 * ONSET_SECONDS:.0f} ms (share)",
    "rearrange": "until 0.3 s before the time the parent, behind it not (dB behind)",
    "like timing": "the envelope follows the reference more, the more it weighs (correlation at 1)",
    "like material": "the prompt's kind is likelier than that of the reference (difference of logits)",
    "repair": "equal outside, no step at the joins that the clip has not itself (share that is new)",
    "purify": "AudioGen's sound of the plan: then likelier to be the prompt's kind, and aligned (correlation)",
    "purify noise": "the same of a sound under noise",
    "morph": "each step is further from one end and nearer to the other (dB between the ends)",
    "loop": f"{TURNS} turns: the flux at the seam is within the clip's own (share of the largest)",
    "length": "exact where shorter; where longer no part comes twice (largest correlation)",
    "stereo": "channels part with the width, and mono keeps the level within 3 dB (correlation at 1)",
    "more": "between favourites: nearer to each than the two furthest are to each other (share of that)",
}
Found = dict[str, list[tuple[bool, float]]]


@dataclass(slots=True)
class _Lab:
    backend: Backend
    judge: Judge
    embed: Embedding
    seconds: float
    sampling: Sampling
    folder: Path
    used: Sampling = field(default_factory=Sampling)  # by the last take: what was asked for, and the model's own

    @property
    def rate(self) -> int:
        return self.backend.info.sample_rate

    def plain(self, kind: str, seed: int = 1) -> GenerationRequest:
        return GenerationRequest.create(
            read_prompts()[kind]["plain"], seconds=self.seconds, seed=seed, model=self.backend.info.name,
            sampling=self.sampling,
        )  # fmt: skip

    def channels(self, request: GenerationRequest) -> Samples:
        (made,) = self.backend.render(request, unheard)
        self.used = made.sampling
        return made.samples

    def take(self, request: GenerationRequest) -> Samples:
        return np.asarray(self.channels(request).mean(axis=0), np.float32)

    def vary(
        self, kind: Kind, *made: GenerationRequest, amount: float = 0.0, start: float = 0.0, end: float = 0.0
    ) -> Samples:
        parents = tuple(Parent(replace(each, sampling=self.used), self.backend.info.version) for each in made)
        return self.take(replace(made[0], seeds=(Seeds(NEW, NEW),), control=Control(kind, parents, amount, start, end)))

    def after(self, request: GenerationRequest, kind: Kind, audio: AudioSource, amount: float) -> Samples:
        return self.take(replace(request, control=Control(kind, amount=amount, audio=audio)))

    def plan_heard(self, request: GenerationRequest) -> Samples | None:
        """A take's plan as the codec makes sound of it, as AudioGen does; None where a model has no plan."""
        if not isinstance(self.backend, DcldmBackend) or not self.backend.model.has_plan:
            return None
        variations, codec = self.backend.variations, self.backend.model.codec
        (branch,) = variations.branches(request, variations.steps(request), unheard)
        heard = acoustic_lm.decoded(codec, acoustic_lm.latents(codec, branch.codes[None]))[0]
        return np.asarray(heard.cpu(), np.float32)[: round(self.seconds * self.rate)]

    def written(self, name: str, samples: Samples) -> AudioSource:
        path = self.folder / f"{name}.wav"
        soundfile.write(path, samples, self.rate, subtype="FLOAT")
        return audio_source(path)

    def distance(self, one: Samples, other: Samples) -> float:
        return measures.spectral_distance(one, other, self.rate)

    def alike(self, one: Samples, other: Samples) -> float:
        return measures.envelope_correlation(one, other, self.rate)

    def logit(self, samples: Samples, kind: str) -> float:
        vector = self.embed(samples, self.rate)[None]
        return float(self.judge.probe.logits(vector)[0, self.judge.kinds.index(kind)])


def check(
    backend: Backend,
    judge: Judge,
    embed: Embedding,
    *,
    seconds: float,
    sampling: Sampling,
    kinds: Sequence[str] = KINDS,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Promise]:
    """Render and measure. `report(done, total)` counts prompts. Raises `DcldmError` if a control is lacking."""
    found: Found = {name: [] for name in PROMISES}
    with tempfile.TemporaryDirectory() as folder:
        lab = _Lab(backend, judge, embed, seconds, sampling, Path(folder))
        for done, kind in enumerate(kinds, 1):
            _one_prompt(lab, kind, kinds[done % len(kinds)], found)
            report(done, len(kinds))
    return [
        Promise(name, promise, sum(kept for kept, _ in found[name]), len(found[name]),
                round(float(np.mean([value for _, value in found[name]])), 3))
        for name, promise in PROMISES.items() if found[name]
    ]  # fmt: skip


def _one_prompt(lab: _Lab, kind: str, other_kind: str, found: Found) -> None:
    request, other = lab.plain(kind), lab.plain(other_kind, seed=2)
    parent, end = lab.take(request), lab.take(other)

    # 1. Another take.
    others = [parent, *(lab.take(replace(request, seeds=(Seeds(seed, seed),))) for seed in (NEW, NEW + 1))]
    vectors = np.stack([lab.embed(each, lab.rate) for each in others])
    real = mean_distance(lab.judge.recordings(lab.judge.kinds.index(kind)))
    share = mean_distance(vectors) / real
    found["regenerate"].append((share >= 0.5, share))

    # 2. Another surface, another course.
    surfaces = [lab.vary("retexture", request, amount=amount) for amount in (0.0, 0.3, 0.6, 1.0)]
    far = [lab.distance(parent, each) for each in surfaces]
    found["retexture"].append((np.array_equal(parent, surfaces[0]) and far == sorted(far), far[-1]))
    onsets = measures.onsets(parent, lab.rate)
    if kind in IMPULSIVE and onsets:
        near = [measures.rises(surfaces[2], lab.rate, onset, ONSET_SECONDS) for onset in onsets]
        found["retexture onsets"].append((all(near), float(np.mean(near))))
    half = round(lab.seconds / 2 * lab.rate)
    changed = lab.vary("rearrange", request, start=lab.seconds / 2)
    before = half - round(0.3 * lab.rate)
    behind = lab.distance(parent[half:], changed[half:])
    found["rearrange"].append((lab.distance(parent[:before], changed[:before]) < behind / 4, behind))

    # 3. Another sound's timing, another sound's end.
    reference = lab.written("reference", end)
    followed = [lab.after(request, "like", reference, weight) for weight in (0.0, 0.5, 0.7, 1.0)]
    follows = [lab.alike(end, followed[index]) for index in (0, 1, 3)]
    found["like timing"].append((follows == sorted(follows), follows[-1]))
    margin = lab.logit(followed[2], kind) - lab.logit(followed[2], other_kind)
    found["like material"].append((margin > 0.0, margin))
    way = [lab.vary("morph", request, other, amount=amount) for amount in (0.0, 0.25, 0.5, 0.75, 1.0)]
    away, near_end = [lab.distance(parent, each) for each in way], [lab.distance(end, each) for each in way]
    steady = away == sorted(away) and near_end == sorted(near_end, reverse=True)
    found["morph"].append((steady, lab.distance(parent, end)))
    third = lab.plain(kind, seed=3)
    hull = np.stack([lab.embed(each, lab.rate) for each in (parent, end, lab.take(third))])
    between = lab.vary("more", request, other, third, amount=0.2)
    widest = max(float(np.linalg.norm(a - b)) for a in hull for b in hull)
    furthest = float(np.linalg.norm(hull - lab.embed(between, lab.rate), axis=1).max())
    found["more"].append((furthest < widest, furthest / widest))

    # 4. A part of it made anew, all of it cleaned.
    a, b = round(0.4 * lab.seconds * lab.rate), round(0.6 * lab.seconds * lab.rate)
    repaired = lab.vary("repair", request, start=a / lab.rate, end=b / lab.rate)
    edge = round(FADE_SECONDS * lab.rate)
    outside = np.array_equal(parent[: a - edge], repaired[: a - edge]) and np.array_equal(
        parent[b + edge :], repaired[b + edge :]
    )
    steps, own = np.abs(np.diff(repaired)), float(np.abs(np.diff(parent)).max())
    joins = max(float(steps[at - edge : at + edge].max()) for at in (a, b))
    found["repair"].append(
        (outside and joins <= max(own, float(steps[a + edge : b - edge].max())), (b - a) / len(parent))
    )
    noise = np.random.default_rng(0).standard_normal(len(parent)).astype(np.float32)
    noisy = np.asarray(parent + 0.5 * parent.std() * noise, np.float32)
    roughs = [("purify noise", noisy, parent)]
    if (heard := lab.plan_heard(request)) is not None:
        roughs.append(("purify", heard, heard))
    for name, rough, timing in roughs:
        clean = lab.after(replace(request, seeds=(Seeds(NEW, NEW),)), "purify", lab.written("rough", rough), 0.5)
        aligned = lab.alike(timing, clean)
        found[name].append((lab.logit(clean, kind) > lab.logit(rough, kind) and aligned > 0.5, aligned))

    # 5. Shapes.
    loop = lab.take(replace(request, loop=True))
    at_seam, largest = measures.seam(loop, lab.rate, TURNS)
    found["loop"].append((at_seam <= 1.05 * largest, at_seam / largest))
    short = lab.take(replace(request, seconds=1.37))
    long = lab.take(replace(request, seconds=3 * lab.seconds))
    twice = measures.largest_repetition(long, 2 * lab.rate)
    exact = len(short) == round(1.37 * lab.rate) and len(long) == round(3 * lab.seconds * lab.rate)
    found["length"].append((exact and twice < 0.8, twice))
    parted = []
    keeps = True
    for width in (0.25, 0.5, 1.0):
        left, right = lab.channels(replace(request, stereo=width))
        parted.append(float(np.corrcoef(left, right)[0, 1]))
        single = (float(np.square(left).mean()) + float(np.square(right).mean())) / 2
        keeps &= float(np.square((left + right) / 2).mean()) > single * 10**-0.33  # 3 dB, where nothing is in common
    found["stereo"].append((keeps and parted == sorted(parted, reverse=True), parted[-1]))
