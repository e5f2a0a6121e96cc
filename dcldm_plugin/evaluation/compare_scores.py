"""What the judges that are at hand say of a comparison: what each clip is heard as, and a row of scores a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.evaluation.compare import Row
from dcldm_plugin.evaluation.embedding import SILENT_PEAK, Embedding
from dcldm_plugin.evaluation.judge import Accuracy, Judge, read_prompts
from dcldm_plugin.evaluation.lists import FEWEST
from dcldm_plugin.evaluation.paired import Extractors, Features, read_sound, score


@dataclass(frozen=True, slots=True)
class Take:
    """A clip to be judged, and the seconds that it took."""

    model: str
    row: Row
    path: Path
    took: float


@dataclass(slots=True)
class Verdict:
    """scores: by model, in the columns of the table. heard: by file, in words. notes: how far to trust it."""

    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def judged(takes: Sequence[Take], weights: Path | None) -> Verdict:
    """Without a judge: the number of clips and their times, and a note on what is missing."""
    verdict = Verdict()
    for name in dict.fromkeys(take.model for take in takes):
        times = [take.took for take in takes if take.model == name]
        verdict.scores[name] = {"n": len(times), "took": float(np.mean(times))}
    try:
        judge, embed = Judge.read(), Embedding.installed()
        extract = Extractors(weights, judge, embed)
    except DcldmError as error:
        verdict.notes.append(str(error))
        return verdict
    verdict.notes.append(
        f"“Heard as” is a classifier of {len(judge.kinds)} kinds ({', '.join(judge.kinds)}), right for "
        f"{judge.by_package.top1:.0%} of recordings from packages that it never heard: it compares, and proves nothing."
    )
    _recognised(takes, judge, embed, verdict)
    if extract.clap is not None or all(take.row.reference for take in takes):
        _paired(takes, extract, verdict)
        verdict.notes += extract.missing
    return verdict


def _recognised(takes: Sequence[Take], judge: Judge, embed: Embedding, verdict: Verdict) -> None:
    """What each clip is heard as, and how often that is the kind of its row or of a prompt that the judge knows."""
    known = {prompt: kind for kind, prompts in read_prompts().items() for prompt in prompts.values()}
    places: dict[str, list[int]] = {}
    for take in takes:
        samples, rate = soundfile.read(take.path, dtype="float32", always_2d=True)
        audio = samples.mean(axis=1)
        if float(np.abs(audio).max(initial=0.0)) < SILENT_PEAK:
            verdict.heard[take.path] = ", silent"
            order: list[str] = []
        else:
            order = judge.order(embed(audio, rate))
            verdict.heard[take.path] = f", heard as {', '.join(order[:3])}"
        kind = take.row.kind or known.get(take.row.prompt.text, "")
        if kind in judge.kinds:
            place = order.index(kind) if order else len(judge.kinds)
            places.setdefault(take.model, []).append(place)
        elif kind:
            note = f"The judge knows no kind {kind!r}."
            verdict.notes += [note] if note not in verdict.notes else []
    for name, found in places.items():
        accuracy = Accuracy.of(found)
        verdict.scores[name] |= {"top1": accuracy.top1, "top3": accuracy.top3}


def _paired(takes: Sequence[Take], extract: Extractors, verdict: Verdict) -> None:
    """CLAP of each model's clips and, where every prompt has a real sound, the distances of the paper's Table 2."""
    real: dict[tuple[Path, ...], Features] = {}  # mostly one: the same references for all models
    for name in verdict.scores:
        own = [take for take in takes if take.model == name]
        made = extract((read_sound(take.path), take.row.prompt.text) for take in own)
        if made.clap:
            verdict.scores[name]["clap"] = float(np.mean(made.clap))
        references = tuple(take.row.reference for take in own if take.row.reference)
        if len(references) == len(own) >= FEWEST:
            if references not in real:
                real[references] = extract((read_sound(path), "") for path in references)
            values: Mapping[str, Any] = asdict(score(name, real[references], made, extract.judge))
            verdict.scores[name] |= {
                each: values[each] for each in ("kl_sigma", "kl", "fad", "fd", "kl_judge", "fd_judge")
            }
