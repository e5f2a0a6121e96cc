"""The paper's claim, tested at the size of a base: does a denoiser that is told text and plan beat one told either?

The same base, data and number of steps for four arms, each with several seeds:

    text        the text alone; the plan is always that of the empty text
    acoustic    E_t2a alone; the text is always the empty one
    dual-ag     both, E_t2a                     (section 2.2)
    dual-agvae  both, E'_t2a                    (section 2.4)

Each arm's denoiser is drawn anew, of the base's kind and size; all other parts are the base's.
One in ten sounds is told neither, which guidance needs; nothing else is dropped or disturbed. Then each renders a
test list (CSV, columns path and prompt), guided as equation 8 has it, and is measured by FD and KL in the judge's
space, and by the paper's metrics where their weights are.

    python -m dcldm_plugin.training.claim --base MODEL --data SOUNDS --list TEST.csv --steps 5000 --out CLAIM

What was done is not done again: a run that was stopped goes on where it was. `CLAIM/report.html` has the table,
`report.csv` and `report.json` the numbers, as they come out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput
from dcldm_plugin.evaluation import report
from dcldm_plugin.evaluation.embedding import Audio, Embedding
from dcldm_plugin.evaluation.judge import Judge
from dcldm_plugin.evaluation.lists import Item, read_list
from dcldm_plugin.evaluation.paired import COLUMNS, Extractors, Features, as_read, read_sound, score
from dcldm_plugin.evaluation.render import load, takes
from dcldm_plugin.models import acoustic_lm, checkpoint
from dcldm_plugin.models.dcldm import DualConditionedLatentDiffusion
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.training.base import Base, load_base, write_result
from dcldm_plugin.training.config import DEFAULTS, Config, make_config
from dcldm_plugin.training.loop import make_accelerator, train
from dcldm_plugin.training.parts import build
from dcldm_plugin.types import Sampling

NEITHER = 0.1
METRICS = ("fd_judge", "kl_judge", "fad", "fd", "kl", "kl_sigma", "inception", "clap")


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of telling the denoiser. `recipe`: what the others' conditions give way to in training."""

    title: str
    encoding: Literal["ag", "ag_vae"] = "ag"
    text: bool = True
    plan: bool = True

    @property
    def recipe(self) -> dict[str, float]:
        dropped = {"drop_both": NEITHER, "drop_text": 0.0, "drop_plan": 0.0}
        if not self.text:
            dropped["drop_text"] = 1.0 - NEITHER
        if not self.plan:
            dropped["drop_plan"] = 1.0 - NEITHER
        return dropped


ARMS = {
    "text": Arm("text only", plan=False),
    "acoustic": Arm("acoustic only (AG)", text=False),
    "dual-ag": Arm("dual, AG"),
    "dual-agvae": Arm("dual, AG_VAE", encoding="ag_vae"),
}


class Told(nn.Module):
    """A denoiser that is always told the empty text, or the empty text's plan, whatever it is given."""

    def __init__(self, denoiser: nn.Module, text: tuple[Tensor, Tensor] | None, plan: Tensor | None) -> None:
        super().__init__()
        self.denoiser, self.text, self.plan = denoiser, text, plan

    def forward(self, z: Tensor, t: Tensor, given: Conditions) -> Tensor:
        count = len(given)
        states, mask, plan = given.text, given.text_mask, given.plan
        if self.text is not None:
            states, mask = (each.expand(count, *each.shape[1:]) for each in self.text)
        if self.plan is not None:
            plan = self.plan[:, : plan.shape[1]].expand(count, -1, -1)
        return torch.as_tensor(self.denoiser(z, t, Conditions(states, mask, plan)))


@torch.inference_mode()
def as_told(chain: DualConditionedLatentDiffusion, arm: Arm) -> DualConditionedLatentDiffusion:
    """The chain, its denoiser told what it was told in training."""
    text = None if arm.text else chain.text([""])
    plan = None if arm.plan else acoustic_lm.latents(chain.codec, chain.empty_plan[None])
    if text is not None or plan is not None:
        chain.denoiser = Told(chain.denoiser, text, plan)
    return chain


def fresh_arm(base: Base, arm: Arm, seed: int) -> Base:
    """The base with a new denoiser, which takes the arm's encoding and is guided as equation 8 has it.

    A base may be guided by words and plan apart, for which a denoiser has to be taught the words alone; that of an
    arm which is told both never is. Raises `InvalidInput`.
    """
    sizes, chain = base.sizes, base.chain
    if sizes is None:
        raise InvalidInput("The claim is tested on a model in a folder; name one with --base.")
    denoiser = dict(sizes.denoiser)
    if arm.encoding == "ag_vae":
        channels, _, bands = chain.space.mean.shape
        denoiser["plan_width"] = channels * bands
        if sizes.denoiser_kind == "transformer":
            denoiser["plan_rate"] = chain.latent_rate
    defaults = replace(sizes.chain.defaults, plan_scale=None)
    made = replace(sizes, denoiser=denoiser, chain=replace(sizes.chain, encoding=arm.encoding, defaults=defaults))
    torch.manual_seed(seed)
    whole = checkpoint.build(made, chain.text)
    for name in ("plan_model", "codec", "space", "vocoder", "matcher", "phrasebook"):
        learned, drawn = getattr(chain, name), getattr(whole, name)
        if isinstance(learned, nn.Module) and isinstance(drawn, nn.Module):
            drawn.load_state_dict(learned.state_dict())
    whole.empty_plan.copy_(chain.empty_plan)
    return replace(base, chain=whole, sizes=made)


def configuration(options: argparse.Namespace, arm: Arm, seed: int, out: Path) -> Config:
    """The arm's run; all but what it is told is the same for all. Raises `InvalidInput`."""
    values: dict[str, Any] = {
        "part": "transformer",
        "base": options.base if options.base == "builtin" else str(Path(options.base).resolve()),
        "out": str(out.resolve()),
        "title": f"{arm.title}, seed {seed}",
        "data": {"source": str(options.data.resolve()), "plans": options.plans, "held_out": 0.0},
        "optimizer": {"rate": options.rate},
        "run": {
            "steps": options.steps,
            "batch": options.batch,
            "seed": seed,
            "threads": options.threads,
            "precision": options.precision,
        },
        "recipe": dict.fromkeys(DEFAULTS["transformer"]["recipe"], 0.0) | arm.recipe,
    }
    try:
        return make_config(values, Path.cwd())
    except ValueError as error:
        raise InvalidInput(f"The experiment cannot be run like this: {error}") from error


def trained(options: argparse.Namespace, arm: Arm, seed: int, out: Path) -> Path:
    """The folder of the arm's model, which is trained if it is not there yet. Raises `DcldmError`."""
    folder = out / "model"
    if (folder / "config.json").exists():
        return folder
    config = configuration(options, arm, seed, out)
    base = fresh_arm(load_base(config), arm, seed)
    assert base.sizes is not None
    config = replace(config, part=base.sizes.denoiser_kind)
    accelerator = make_accelerator(config.run)
    out.mkdir(parents=True, exist_ok=True)
    cache = options.out / "cache" / arm.encoding  # the seeds have it in common
    task = build(config, base, accelerator, cache, lambda sentence: print(sentence, file=sys.stderr))
    assert task.loss is not None
    train(task.model, task.loss, out, task.sounds, config.run, config.optimizer, accelerator=accelerator)
    task.finish()
    write_result(base, config, folder)
    return folder


def measured(
    folder: Path, arm: Arm, seed: int, items: Sequence[Item], reference: Features, extract: Extractors
) -> dict[str, Any]:
    """A trained arm's row."""
    backend = load(str(folder))
    assert isinstance(backend, DcldmBackend)
    chain = as_told(backend.model, arm)
    seconds = chain.config.longest_steps / chain.latent_rate

    def rendered() -> Iterator[tuple[Audio, str]]:
        for number, item in enumerate(items):
            take = next(takes(backend, item.prompt, [number], seconds, Sampling()))
            yield as_read(take.audio, take.rate), item.prompt

    found = score(arm.title, reference, extract(rendered()), extract.judge)
    return {**asdict(found), "seed": seed, "version": backend.info.version}


def means(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row an arm: the mean over its seeds, and of the judge's FD also the lowest and highest."""
    result = []
    for title in dict.fromkeys(row["system"] for row in rows):
        those = [row for row in rows if row["system"] == title]
        made = {name: float(np.mean([row[name] for row in those])) for name in METRICS if those[0][name] is not None}
        spread = [row["fd_judge"] for row in those]
        result.append(
            {"system": title, "n": those[0]["n"], "seeds": len(those), **made}
            | {"fd_lowest": min(spread), "fd_highest": max(spread)}
        )
    return result


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All arms with all seeds; the reports are written after each. Raises `DcldmError`."""
    items = read_list(options.list, options.limit)
    options.out.mkdir(parents=True, exist_ok=True)
    extract = Extractors(options.weights, Judge.read(), Embedding.installed())
    reference = extract((read_sound(item.path), item.prompt) for item in items)
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        for name in options.arms:
            out = options.out / f"{name}-{seed}"
            folder = trained(options, ARMS[name], seed, out)
            kept = out / "scores.json"
            if kept.exists():
                rows.append(json.loads(kept.read_text(encoding="utf-8")))
            else:
                rows.append(measured(folder, ARMS[name], seed, items, reference, extract))
                report.write_json(kept, rows[-1])
            print(f"{rows[-1]['system']}, seed {seed}: {_short(rows[-1])}", flush=True)
            write_report(options, rows, items)
    return rows


def write_report(options: argparse.Namespace, rows: Sequence[dict[str, Any]], items: Sequence[Item]) -> None:
    """`report.html`, `report.csv` and `report.json`, as it stands."""
    columns = {"system": "Told", "seed": "Seed"} | {name: COLUMNS[name] for name in ("n", *METRICS)}
    short = {"system": "Told", "seeds": "Seeds"} | {name: COLUMNS[name] for name in ("n", *METRICS)}
    short |= {"fd_lowest": "FD (judge) from", "fd_highest": "to"}
    notes = [
        f"{options.steps:,} steps of {options.batch} sounds each ({options.precision}), plans: {options.plans}; "
        f"base {options.base}; data {options.data.name}; test list {options.list.name}. "
        "All arms alike in all but what they are told.",
        "Two seeds say little of chance: take a difference for one only where the ranges of the arms are apart.",
    ]
    known = sum(options.data.resolve() in item.path.resolve().parents for item in items)
    if known:
        notes.append(f"{known} of the {len(items)} test sounds were learned from: this is no test of what is new.")
    each = report.Table("Each run", columns, rows)
    page = report.page("Text, plan, or both?", notes, [report.Table("Means over seeds", short, means(rows)), each])
    report.write(options.out / "report.html", page)
    report.write(options.out / "report.csv", each.csv())
    report.write_json(options.out / "report.json", {"steps": options.steps, "rows": rows, "means": means(rows)})


def _short(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {row[name]:.3f}" for name in METRICS if row[name] is not None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description="Test whether text and plan together beat one of them.")
    parser.add_argument("--base", default="builtin", help="a model's folder; its denoiser is drawn anew")
    parser.add_argument("--data", type=Path, required=True, help="captioned sounds, as `dcldm train` takes them")
    parser.add_argument("--list", type=Path, required=True, help="test list: CSV with the columns path,prompt")
    parser.add_argument("--steps", type=int, required=True, help="of each run")
    parser.add_argument("--out", type=Path, required=True, help="everything is written here")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=8e-4)
    parser.add_argument("--plans", choices=("target", "model"), default="target", help="whose plans are learned from")
    parser.add_argument("--limit", type=int, help="only the first items of the list")
    parser.add_argument("--weights", type=Path, help="folder with the weights of VGGish, Cnn14 and CLAP")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the training")
    options = parser.parse_args(arguments)
    try:
        run(options)
    except DcldmError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except (Cancelled, KeyboardInterrupt):
        print("Stopped; give the same command again to go on.", file=sys.stderr)
        return 130
    print(f"The report is {options.out / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
