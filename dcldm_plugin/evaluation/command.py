"""`dcldm evaluate`: how good a model is, in numbers.

Nothing heavy is imported before the arguments are read. The model runs in this process, which has nothing else to do.
"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcldm_plugin.commands import Parser
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import writable_folder
from dcldm_plugin.types import Sampling

if TYPE_CHECKING:
    from dcldm_plugin.evaluation.render import Take


def main(arguments: Sequence[str]) -> int:
    """Evaluate one model; print a table, and write what was measured."""
    parser = Parser("evaluate", "Say how good a model is: are its sounds recognised, and do its seeds differ?")
    parser.add_argument(
        "model", nargs="?", default="builtin", help="a name of `dcldm models list`, or a model's folder"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="takes of each prompt (else 5)")
    parser.add_argument("--seconds", type=float, default=5.12, metavar="S", help="length of the clips (else 5.12)")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps (else the model's own)")
    parser.add_argument("--guidance", type=float, metavar="W", help="guidance scale (else the model's own)")
    parser.add_argument("--sampler", metavar="NAME", help="how to sample (else the model's own)")
    parser.add_argument("--plain-only", action="store_true", help="half the time: no paraphrased prompts")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the processor (else 1)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the clips in a folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    options = parser.parse_args(arguments)
    if not 1 <= options.seeds <= 32 or options.threads < 1:
        raise InvalidInput("--seeds must be 1 to 32 and --threads at least 1; choose other numbers.")
    for folder in (options.keep, options.json and options.json.absolute().parent):
        if folder is not None:
            writable_folder(folder)
    result = evaluate(options)
    print(table(result))
    if options.json is not None:
        part = options.json.with_name(options.json.name + ".part")
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        os.replace(part, options.json)
    return 0


def evaluate(options: Namespace) -> dict[str, Any]:
    """Everything that was measured, as plain values."""
    import torch

    from dcldm_plugin.evaluation.embedding import Embedding
    from dcldm_plugin.evaluation.judge import Judge
    from dcldm_plugin.evaluation.recognition import PHRASINGS, recognise
    from dcldm_plugin.evaluation.render import load

    embed, judge = Embedding.installed(), Judge.read()
    backend = load(options.model, batch=options.seeds)
    torch.set_num_threads(options.threads)
    sampling = Sampling(options.sampler, options.steps, options.guidance)
    found = recognise(
        backend,
        judge,
        embed,
        seeds=range(options.seeds),
        seconds=options.seconds,
        sampling=sampling,
        phrasings=PHRASINGS[:1] if options.plain_only else PHRASINGS,
        report=_show,
        keep=_keeper(options.keep),
    )
    from dataclasses import asdict

    return {
        "model": backend.info.name,
        "version": backend.info.version,
        "seconds": options.seconds,
        "sampling": asdict(sampling),
        "judge": {"five_fold": asdict(judge.five_fold), "by_package": asdict(judge.by_package)},
        **found.summary(),
        "takes": [asdict(take) for take in found.takes],
    }


def table(result: dict[str, Any]) -> str:
    """What is printed."""

    def row(name: str, scores: dict[str, float], more: str = "") -> str:
        return f"{name:<24}{scores['top1']:>7.2f}{scores['top3']:>7.2f}{scores['top5']:>7.2f}  {more}".rstrip()

    kinds = len(result["by_kind"])
    lines = [
        f"{result['model']} {result['version']}: {result['n']} takes of {result['seconds']:g} s, "
        f"{result['seconds_per_take']:.2f} s each",
        f"{'':<24}{'top-1':>7}{'top-3':>7}{'top-5':>7}  seeds differ",
        row("all", result, "" if result["diversity"] is None else f"{result['diversity']:.2f} of real"),
        *(row(f"  {name}", scores) for name, scores in result["by_phrasing"].items()),
        *(
            row(f"  {name}", scores, f"{result['diversity_by_kind'].get(name, float('nan')):.2f}")
            for name, scores in result["by_kind"].items()
        ),
        row("chance", {f"top{most}": most / kinds for most in (1, 3, 5)}),
        row("real, five-fold", result["judge"]["five_fold"], "what the judge itself reaches on recordings"),
        row("real, by package", result["judge"]["by_package"], "on packages that it never heard"),
        f"Fréchet distance to real recordings (judge's space, N = {result['n']}): {result['frechet']:.1f}",
    ]
    return "\n".join(lines)


def _show(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} prompts", end="\n" if done == total else "", file=sys.stderr, flush=True)


def _keeper(folder: Path | None) -> Callable[[str, str, Take], None]:
    def keep(kind: str, phrasing: str, take: Take) -> None:
        import soundfile

        if folder is not None:
            name = f"{kind.replace(' ', '-')}-{phrasing}-{take.seed}.wav"
            soundfile.write(folder / name, take.audio, take.rate, subtype="FLOAT")

    return keep
