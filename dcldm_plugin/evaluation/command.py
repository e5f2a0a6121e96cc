"""`dcldm evaluate`: how good a model is, in numbers.

Nothing heavy is imported before the arguments are read. The model runs in this process, which has nothing else to do.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcldm_plugin.commands import Parser
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation import report
from dcldm_plugin.evaluation.lists import REAL, read_list
from dcldm_plugin.settings import HOME_VARIABLE, writable_folder
from dcldm_plugin.types import Sampling

if TYPE_CHECKING:
    from dcldm_plugin.backends.base import Backend
    from dcldm_plugin.evaluation.lists import Item
    from dcldm_plugin.evaluation.render import Take

MOST_SEEDS = 32
BAR = 8  # of ten prompts, for each attribute
BARS = "the bar: top-1 0.55, top-3 0.80, seeds 0.50 of real; the same seeds repeat"


def main(arguments: Sequence[str]) -> int:
    """Evaluate; print a table, and write what was measured."""
    options = _parser().parse_args(arguments)
    options.guidance = options.guidance or [None]
    _check(options)
    if options.home is not None:
        os.environ[HOME_VARIABLE] = str(options.home)  # where models look for their weights
    result = _on_list(options) if options.list else WHAT[options.what](options)
    if options.json is not None:
        report.write_json(options.json, result)
    return 0


def _parser() -> Parser:
    parser = Parser("evaluate", "Say how good a model is, in numbers.")
    parser.add_argument(
        "models", nargs="*", default=["builtin"], metavar="MODEL",
        help="a name of `dcldm models list`, or a model's folder; with --list also a folder of sounds made elsewhere",
    )  # fmt: skip
    parser.add_argument(
        "--what", choices=list(WHAT), default="recognition",
        help="are sounds recognised and do seeds differ; do pitch, number and pace follow the words; is any of many "
        "random prompts silent, clipped, offset or a constant tone; or do the variation controls keep their promises",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="takes of each prompt (else 5)")
    parser.add_argument("--seconds", type=float, default=5.12, metavar="S", help="length of the clips (else 5.12)")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps (else the model's own)")
    parser.add_argument(
        "--guidance", type=float, nargs="+", metavar="W", help="guidance scale; with --list one or several"
    )
    parser.add_argument("--sampler", metavar="NAME", help="how to sample (else the model's own)")
    parser.add_argument("--plain-only", action="store_true", help="recognition: no paraphrased prompts")
    parser.add_argument("--count", type=int, default=500, metavar="N", help="hygiene: how many prompts (else 500)")
    parser.add_argument("--list", type=Path, metavar="CSV", help="FAD, FD, KL, ... on a test list: columns path,prompt")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N items of the list")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="folder with the weights of VGGish, Cnn14 and CLAP")
    parser.add_argument("--listening", type=Path, metavar="JSON", help="results of `dcldm listen`, for the table")
    parser.add_argument("--report", type=Path, metavar="HTML", help="write a page, and its table as CSV beside it")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the processor (else 1)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the clips in a folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    return parser


def _check(options: Namespace) -> None:
    if not 1 <= options.seeds <= MOST_SEEDS or options.threads < 1 or options.count < 1:
        raise InvalidInput(
            f"--seeds must be 1 to {MOST_SEEDS}, --threads and --count at least 1; choose other numbers."
        )
    if not options.list and (len(options.models) > 1 or len(options.guidance) > 1):
        raise InvalidInput("Several models or guidance scales are compared on a test list; give one with --list.")
    if options.report and not options.list:
        raise InvalidInput("--report belongs to --list; use --json for the others.")
    files = [each.absolute().parent for each in (options.json, options.report) if each is not None]
    for folder in (options.keep, *files):
        if folder is not None:
            writable_folder(folder)


def _model(options: Namespace, batch: int) -> tuple[Backend, Sampling]:
    import torch

    from dcldm_plugin.evaluation.render import load

    backend = load(options.models[0], batch)
    torch.set_num_threads(options.threads)
    return backend, Sampling(options.sampler, options.steps, options.guidance[0])


def _about(options: Namespace, backend: Backend, sampling: Sampling) -> dict[str, Any]:
    from dcldm_plugin.evaluation.render import label

    return {
        "model": label(backend),
        "version": backend.info.version,
        "seconds": options.seconds,
        "sampling": asdict(sampling),
    }


def _recognition(options: Namespace) -> dict[str, Any]:
    from dcldm_plugin.evaluation.embedding import Embedding
    from dcldm_plugin.evaluation.judge import Judge
    from dcldm_plugin.evaluation.recognition import PHRASINGS, recognise

    embed, judge = Embedding.installed(), Judge.read()  # what may be missing comes first
    backend, sampling = _model(options, options.seeds)
    found = recognise(
        backend,
        judge,
        embed,
        seeds=range(options.seeds),
        seconds=options.seconds,
        sampling=sampling,
        phrasings=PHRASINGS[:1] if options.plain_only else PHRASINGS,
        report=lambda done, total: _show("prompts", done, total),
        keep=lambda kind, phrasing, take: _keep(options.keep, f"{kind}-{phrasing}-{take.seed}", take),
    )
    result = _about(options, backend, sampling) | {
        "judge": {"five_fold": asdict(judge.five_fold), "by_package": asdict(judge.by_package)},
        **found.summary(),
        "takes": [asdict(take) for take in found.takes],
    }
    print(recognition_table(result))
    return result


def _attributes(options: Namespace) -> dict[str, Any]:
    from dcldm_plugin.evaluation import attributes
    from dcldm_plugin.evaluation.render import takes

    backend, sampling = _model(options, options.seeds)

    def make(prompt: str, seeds: Sequence[int]) -> list[tuple[Any, int]]:
        made = list(takes(backend, prompt, seeds, options.seconds, sampling))
        for take in made:
            _keep(options.keep, f"{prompt}-{take.seed}", take)
        return [(take.audio, take.rate) for take in made]

    outcomes = attributes.check(make, range(options.seeds), lambda done, total: _show("prompts", done, total))
    result = _about(options, backend, sampling) | attributes.summary(outcomes)
    result["reliability"] = attributes.reliability()
    print(f"{result['model']} {result['version']}, {options.seeds} seeds a prompt")
    for name in attributes.MEASURES:
        followed, of, agrees = result[name]["followed"], result[name]["of"], result["reliability"][name]
        print(
            f"{name:<8}{followed:>3} of {of} prompts (bar: {BAR}); the measure agrees with the synthesiser {agrees:.0%}"
        )
    for outcome in outcomes:
        other = f" / {outcome.other} ({outcome.measured_other:g})" if outcome.other else ""
        mark = "yes" if outcome.holds else "no"
        print(f"  {mark:<4}{outcome.followed}/{outcome.seeds}  {outcome.prompt} ({outcome.measured:g}){other}")
    return result


def _hygiene(options: Namespace) -> dict[str, Any]:
    from dcldm_plugin.audio.finish import finish
    from dcldm_plugin.evaluation import hygiene
    from dcldm_plugin.evaluation.render import takes

    backend, sampling = _model(options, 1)

    def make(prompt: str, seed: int) -> tuple[Any, int]:
        take = next(takes(backend, prompt, [seed], options.seconds, sampling))
        _keep(options.keep, f"{seed:03d}", take)
        finished = finish(take.audio[None], take.rate)
        return finished.samples.mean(axis=0) / 2.0**23, finished.sample_rate

    found = hygiene.check(make, options.count, lambda done, total: _show("prompts", done, total))
    result = _about(options, backend, sampling) | found
    print(f"{result['model']} {result['version']}: {found['n']} prompts, {found['nonsense']} of them nonsense")
    for fault, count in found["faults"].items():
        print(f"  {fault:<9}{count}")
    for prompt, faults in found["faulty"]:
        print(f"  {', '.join(faults)}: {prompt}")
    return result


def _controls(options: Namespace) -> dict[str, Any]:
    from dcldm_plugin.evaluation.controls import check
    from dcldm_plugin.evaluation.embedding import Embedding
    from dcldm_plugin.evaluation.judge import Judge

    embed, judge = Embedding.installed(), Judge.read()
    backend, sampling = _model(options, 1)
    promises = check(
        backend,
        judge,
        embed,
        seconds=options.seconds,
        sampling=sampling,
        report=lambda done, total: _show("prompts", done, total),
    )
    result = _about(options, backend, sampling) | {"promises": [asdict(each) for each in promises]}
    print(f"{result['model']} {result['version']}: on how many prompts each promise is kept")
    for each in promises:
        print(f"{each.control:<18}{each.kept:>3} of {each.of:<4}{each.measured:>8.2f}  {each.promise}")
    return result


def _on_list(options: Namespace) -> dict[str, Any]:
    import torch

    from dcldm_plugin.evaluation.embedding import Embedding
    from dcldm_plugin.evaluation.judge import Judge
    from dcldm_plugin.evaluation.paired import COLUMNS, Extractors
    from dcldm_plugin.evaluation.systems import scores

    torch.set_num_threads(options.threads)
    items = read_list(options.list, options.limit)
    heard = report.listening_scores(options.listening) if options.listening else {}
    extract = Extractors(options.weights, Judge.read(), Embedding.installed())

    def keep(row: str, item: Item, take: Take) -> None:
        _keep(options.keep, item.name, take, row)

    rows = []
    for score in scores(
        options.models,
        items,
        extract,
        guidances=options.guidance,
        sampling=Sampling(options.sampler, options.steps),
        seconds=options.seconds,
        report=_show,
        keep=keep,
    ):
        rows.append(asdict(score) | heard.get(_as_file_name(score.system), {}))
        print(_line(rows[-1]), flush=True)
    if REAL in heard:
        rows.append({"system": REAL, "n": len(items)} | heard[REAL])
    for sentence in extract.missing:
        print(sentence, file=sys.stderr)
    if options.report:
        table = report.Table(f"{options.list.name}, N = {len(items)}", COLUMNS | report.HEARD, rows)
        plots = report.sweep_plots(rows, COLUMNS)
        notes = [*NOTES, *extract.missing]
        page = report.page("Evaluation on a test list", notes, [table, *report.paper_tables()], plots)
        report.write(options.report, page)
        report.write(options.report.with_suffix(".csv"), table.csv())
    return {"list": str(options.list), "n": len(items), "rows": rows, "missing": extract.missing}


def _line(row: dict[str, Any]) -> str:
    told = {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in row.items()}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)


NOTES = (
    "FAD: VGGish, one vector each 0.96 s. FD, KL, KL_σ, IS: PANNs' Cnn14 at 16 kHz. KL_σ is the sum that the papers' "
    "code computes, without the second term of a divergence of Bernoulli variables; it can be negative.",
    "The columns of the judge use the embedding and the 20 kinds of the classifier that comes with this program.",
    "Fréchet distances fall as N grows: compare rows of one table only.",
)
WHAT = {"recognition": _recognition, "attributes": _attributes, "hygiene": _hygiene, "controls": _controls}


def recognition_table(result: dict[str, Any]) -> str:
    """What is printed of recognition."""

    def row(name: str, scores: dict[str, float], more: str = "") -> str:
        return f"{name:<24}{scores['top1']:>7.2f}{scores['top3']:>7.2f}{scores['top5']:>7.2f}  {more}".rstrip()

    kinds = len(result["by_kind"])
    differ = result["diversity_by_kind"]
    lines = [
        f"{result['model']} {result['version']}: {result['n']} takes of {result['seconds']:g} s, "
        f"{result['seconds_per_take']:.2f} s each",
        f"{'':<24}{'top-1':>7}{'top-3':>7}{'top-5':>7}  seeds differ",
        row("all", result, "" if result["diversity"] is None else f"{result['diversity']:.2f} of real"),
        *(row(f"  {name}", scores) for name, scores in result["by_phrasing"].items()),
        *(
            row(f"  {name}", scores, f"{differ[name]:.2f}" if name in differ else "")
            for name, scores in result["by_kind"].items()
        ),
        row("chance", {f"top{most}": most / kinds for most in (1, 3, 5)}),
        row("real, five-fold", result["judge"]["five_fold"], "what the judge itself reaches on recordings"),
        row("real, by package", result["judge"]["by_package"], "on packages that it never heard"),
        f"{BARS}: {'yes' if result['repeats'] else 'NO'}",
        f"Fréchet distance to real recordings (judge's space, N = {result['n']}): {result['frechet']:.1f}",
    ]
    return "\n".join(lines)


def _show(what: str, done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{what}: {done} of {total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _keep(folder: Path | None, name: str, take: Take, system: str = "") -> None:
    """A clip as a WAV file, in a folder of its system's where there are several."""
    import soundfile

    if folder is not None:
        place = writable_folder(folder / _as_file_name(system)) if system else folder
        soundfile.write(place / f"{_as_file_name(name)}.wav", take.audio, take.rate, subtype="FLOAT")


def _as_file_name(text: str) -> str:
    return "".join(each if each.isalnum() or each in "-_.=" else "-" for each in text)
