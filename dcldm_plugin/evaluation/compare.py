"""`dcldm compare`: the same prompts and seeds by several models, side by side on one page.

Each clip is remembered in `compare.json` as soon as it is there, so the same command goes on where it was stopped.
Models run in the engine process as always; only the judge, when all is rendered, is loaded in this one.
"""

from __future__ import annotations

import csv
import html
import io
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from dcldm_plugin.clip_page import document, figure
from dcldm_plugin.commands import Parser, log_file
from dcldm_plugin.commands.generate import BYTES_PER_SECOND, SPARE_BYTES, Clips, studio
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.evaluation.report import Table, write, write_json
from dcldm_plugin.settings import load, writable_folder
from dcldm_plugin.types import DEFAULT_SECONDS, GenerationRequest, ModelInfo, Prompt, Seeds

RESULTS, PAGE, TABLE = "compare.json", "compare.html", "compare.csv"
MAX_BYTES = 4_000_000
MAX_PROMPTS = 1000
COLUMNS = {
    "model": "Model", "licence": "Licence", "sound": "Sound", "n": "Clips", "took": "s per clip ↓",
    "top1": "right kind ↑", "top3": "among three ↑", "clap": "CLAP ↑", "kl_sigma": "KL_σ ↓", "kl": "KL ↓",
    "fad": "FAD ↓", "fd": "FD ↓", "kl_judge": "KL (judge) ↓", "fd_judge": "FD (judge) ↓",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of a list. kind: what it should be heard as; reference: a real sound of it; either may be open."""

    prompt: Prompt
    kind: str = ""
    reference: Path | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """One clip: its file, from the results' folder, and the seconds that it took to render, without loading."""

    file: str
    took: float


@dataclass(slots=True)
class Results:
    """What is rendered already, in a folder; `made` by what was asked for, see `key`."""

    folder: Path
    made: dict[str, Made] = field(default_factory=dict)
    errors: dict[tuple[str, Prompt], str] = field(default_factory=dict)  # of this run alone: they are tried again

    @classmethod
    def read(cls, folder: Path) -> Results:
        """Those of an earlier run, or none. Raises `InvalidInput` for a file that is something else."""
        path = folder / RESULTS
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            made = {key: Made(str(each["file"]), float(each["took"])) for key, each in values.items()}
        except FileNotFoundError:
            return cls(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{path} holds no results of a comparison; give another folder with --out.") from error
        return cls(folder, {key: each for key, each in made.items() if (folder / each.file).is_file()})

    def add(self, key: str, made: Made) -> None:
        """Remember a clip, on disk, too."""
        self.made[key] = made
        write_json(self.folder / RESULTS, {key: asdict(each) for key, each in self.made.items()})


def key(request: GenerationRequest) -> str:
    """What tells the request for one clip from others."""
    info = registry.describe(request.model)
    asked = (info.name, info.version, request.prompt.text, request.prompt.negative, request.seconds)
    return json.dumps([*asked, request.seeds[0].texture], ensure_ascii=False)


def main(arguments: Sequence[str]) -> int:
    """Render what is missing, and print the path of the page."""
    options = _parser().parse_args(arguments)
    rows = read_prompts(options.prompts)
    names = list(dict.fromkeys(registry.full_name(name.strip()) for name in options.models.split(",") if name.strip()))
    infos = {name: registry.describe(name) for name in names}
    if not infos:
        raise InvalidInput("Name the models that are to be compared, as in --models builtin,tango.")
    settings, seeds = load(options.home), Seeds.series(options.seed, options.variations)
    out = (options.out or Path(f"{options.prompts.stem}-compared")).absolute()
    total = len(rows) * len(infos) * len(seeds)
    writable_folder(out, int(total * options.seconds * BYTES_PER_SECOND) + SPARE_BYTES)
    results = Results.read(out)
    requests = [
        (name, row, replace(GenerationRequest.create(row.prompt.text, negative=row.prompt.negative,
                                                     seconds=options.seconds, model=name), seeds=seeds))
        for name in infos
        for row in rows
    ]  # fmt: skip
    with log_file(settings), studio(settings, out / "clips") as clips:
        for number, (name, row, request) in enumerate(requests, 1):
            print(f"{number} of {len(requests)}: {name}: {row.prompt.text}", file=sys.stderr, flush=True)
            try:
                _render(request, clips, results)
            except DcldmError as error:
                results.errors[name, row.prompt] = str(error)
                print(error, file=sys.stderr, flush=True)
    if not any(_files(request, results) for _, _, request in requests):
        raise DcldmError(f"No model made a clip; the last one said: {[*results.errors.values()][-1]}")
    _write(out, options.prompts.name, requests, infos, results, options.weights)
    print(out / PAGE)
    return 0


def _parser() -> Parser:
    parser = Parser("compare", "Render prompts by several models, side by side on one page; again to go on.")
    parser.add_argument(
        "prompts", type=Path, metavar="PROMPTS.csv",
        help="a prompt a line; or a table with the column `prompt` and perhaps `negative`, `kind` (of the judge's) and "
        "`path` (a real sound)",
    )  # fmt: skip
    parser.add_argument("--models", required=True, metavar="A,B,C", help="names of `dcldm models list`, or folders")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, metavar="S", help="length of the clips")
    parser.add_argument("--variations", type=int, default=1, metavar="N", help="how many takes of each prompt")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of each first take (else 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the clips and the page")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="weights of CLAP and others, as for `evaluate`")
    return parser


def read_prompts(path: Path) -> tuple[Row, ...]:
    """The rows of a list (see the command's help). Raises `InvalidInput`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"{path} is larger than 4 MB; split it.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The prompts {path} can't be read ({error}); give a text or CSV file (UTF-8).") from error
    first = text.partition("\n")[0].lower()
    sign = max(",;\t", key=first.count)
    names = [name.strip() for name in first.split(sign)]
    if "prompt" in names:
        table = list(csv.DictReader(io.StringIO(text.partition("\n")[2]), fieldnames=names, delimiter=sign, restval=""))
    else:
        table = [{"prompt": line} for line in text.splitlines()]
    rows = []
    for number, cells in enumerate(table, 2 if "prompt" in names else 1):
        if not cells["prompt"].strip():
            continue
        try:
            prompt = Prompt(cells["prompt"], cells.get("negative", ""))
        except InvalidInput as error:
            raise InvalidInput(f"Line {number} of {path}: {error}") from error
        reference = path.parent / cells["path"].strip() if cells.get("path", "").strip() else None
        if reference is not None and not reference.is_file():
            raise InvalidInput(f"Line {number} of {path}: there is no file {reference}.")
        rows.append(Row(prompt, cells.get("kind", "").strip(), reference))
    rows = list({row.prompt: row for row in rows}.values())
    if not 1 <= len(rows) <= MAX_PROMPTS:
        raise InvalidInput(f"{path} has {len(rows)} prompts; give 1 to {MAX_PROMPTS}.")
    return tuple(rows)


def _render(request: GenerationRequest, clips: Clips, results: Results) -> None:
    """The clips of a request that are missing."""
    missing = tuple(seeds for index, seeds in enumerate(request.seeds) if key(request.only(index)) not in results.made)
    if not missing:
        return
    began = time.perf_counter()

    def show(index: int, stage: str, fraction: float) -> None:
        nonlocal began
        if stage == "loading":
            began = time.perf_counter()

    for clip in clips(replace(request, seeds=missing), show):
        took = time.perf_counter() - began
        file = clip.path.absolute().relative_to(results.folder).as_posix()
        results.add(key(replace(request, seeds=(clip.seeds,))), Made(file, round(took, 3)))
        began = time.perf_counter()


def _files(request: GenerationRequest, results: Results) -> list[tuple[Seeds, Made]]:
    keys = ((seeds, key(request.only(index))) for index, seeds in enumerate(request.seeds))
    return [(seeds, results.made[each]) for seeds, each in keys if each in results.made]


def _write(
    out: Path,
    title: str,
    requests: Sequence[tuple[str, Row, GenerationRequest]],
    infos: Mapping[str, ModelInfo],
    results: Results,
    weights: Path | None,
) -> None:
    from dcldm_plugin.evaluation.compare_scores import Take, judged

    takes = [
        Take(name, row, out / made.file, made.took)
        for name, row, request in requests
        for _, made in _files(request, results)
    ]
    verdict = judged(takes, weights)
    table = Table(
        "The same prompts and seeds for all; seconds without the loading of the model",
        COLUMNS,
        [
            {
                "model": Path(name).name,
                "licence": f"{info.licence} ({'may' if info.commercial_use else 'may not'} be sold)",
                "sound": f"{info.sample_rate / 1000:g} kHz, {'stereo' if info.channels == 2 else 'mono'}",
            }
            | verdict.scores.get(name, {"n": 0})
            for name, info in infos.items()
        ],
    )
    band_hz = max(info.band_hz for info in infos.values())  # one scale for all, so that a missing octave is seen
    body = [table.html(), *(f"<p>{html.escape(note)}</p>" for note in verdict.notes)]
    for row in dict.fromkeys(row for _, row, _ in requests):
        body.append(f"<h2>{html.escape(row.prompt.text)}</h2><section>")
        for name, other, request in requests:
            if other is not row:
                continue
            body.append(f"<div><h3>{html.escape(Path(name).name)}</h3>")
            for seeds, made in _files(request, results):
                heard = verdict.heard.get(out / made.file, "")
                words = f"seeds {seeds.structure} / {seeds.texture}, {made.took:.1f} s{heard}"
                body.append(figure(out / made.file, words, band_hz))
            if error := results.errors.get((name, row.prompt)):
                body.append(f"<p>{html.escape(error)}</p>")
            body.append("</div>")
        body.append("</section>")
    write(out / TABLE, table.csv())
    write(out / PAGE, document(f"{title} by {len(infos)} models", "".join(body)))
