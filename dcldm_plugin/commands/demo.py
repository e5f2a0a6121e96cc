"""`dcldm demo variations`: one page on which every variation control can be seen and heard."""

from __future__ import annotations

import html
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dcldm_plugin.clip_page import document, figure
from dcldm_plugin.commands import Parser, log_file
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import load, writable_folder
from dcldm_plugin.types import Clip, Control, GenerationRequest
from dcldm_plugin.variations import audio_source, vary

if TYPE_CHECKING:
    from dcldm_plugin.commands.generate import Clips

SEED = 11


@dataclass(frozen=True, slots=True)
class Row:
    """One control: what it promises, and the clips that show it, each with a word."""

    title: str
    promise: str
    clips: tuple[tuple[str, Clip], ...]


def main(arguments: Sequence[str]) -> int:
    """Render the page and print its path."""
    parser = Parser("demo", "Show on one page, with players and spectrograms, what the controls do.")
    parser.add_argument("what", choices=["variations"], help="what is shown")
    parser.add_argument("--prompt", default="footsteps on gravel", metavar="TEXT", help="of the first clip")
    parser.add_argument("--other", default="heavy rain on a roof", metavar="TEXT", help="of the clip to morph to")
    parser.add_argument("--seconds", type=float, default=5.12, metavar="S", help="length of the clips")
    parser.add_argument("--model", metavar="NAME", help="see `dcldm models`")
    parser.add_argument("--out", type=Path, default=Path("variations.html"), metavar="FILE", help="the page")
    options = parser.parse_args(arguments)
    if options.out.is_dir():
        raise InvalidInput(f"{options.out} is a folder; give the name of a file.")
    settings = load(options.home)
    writable_folder(options.out.absolute().parent)
    from dcldm_plugin.commands.generate import studio

    with tempfile.TemporaryDirectory() as folder, log_file(settings):
        # A library of its own: what is shown here need not be kept.
        here = replace(settings, library_folder=Path(folder), engine_folder=Path(folder) / "renders")
        with studio(here, None) as clips:
            model = options.model or settings.model
            first = GenerationRequest.create(options.prompt, seconds=options.seconds, seed=SEED, model=model)
            other = GenerationRequest.create(options.other, seconds=options.seconds, seed=SEED, model=model)
            page = written(options.prompt, rows(clips, first, other))
    part = options.out.with_name(options.out.name + ".part")
    part.write_text(page, encoding="utf-8")
    os.replace(part, options.out)
    print(options.out.absolute())
    return 0


def rows(clips: Clips, first: GenerationRequest, other: GenerationRequest) -> Iterator[Row]:
    """All rows, each rendered when its turn comes."""

    def made(request: GenerationRequest) -> Clip:
        return next(iter(list(clips(request, lambda index, stage, fraction: None))))

    one, two = made(first), made(other)
    length, text = one.seconds, first.prompt.text
    yield Row("The clips", "What the others are made from.", ((text, one), (other.prompt.text, two)))
    yield Row(
        "Regenerate",
        "A new take of the same prompt.",
        tuple((f"take {n}", made(vary([one], "regenerate", seed=SEED + n))) for n in (1, 2)),
    )
    yield Row(
        "Re-texture",
        "The same events at the same times, a new surface.",
        tuple((f"distance {d:g}", made(vary([one], "retexture", amount=d, seed=SEED + 1))) for d in (0.3, 1.0)),
    )
    half = round(length / 2, 2)
    yield Row(
        f"Re-arrange from {half:g} s",
        "Up to there the clip stays, from there other events follow.",
        (("before", one), ("after", made(vary([one], "rearrange", start=half, seed=SEED + 1)))),
    )
    yield Row(
        f"Like this: the timing of “{text}”, the material of “{other.prompt.text}”",
        "The more weight, the closer the contour; the words say what it is made of.",
        tuple((f"weight {w:g}", made(_like(other, one, w))) for w in (0.3, 0.7, 1.0)),
    )
    a, b = round(length * 0.4, 2), round(length * 0.6, 2)
    yield Row(
        f"Repair {a:g} to {b:g} s",
        "Only that part is new; all else is the same to the sample.",
        (("before", two), ("after", made(vary([two], "repair", start=a, end=b, seed=SEED + 1)))),
    )
    yield Row(
        "Purify",
        "A sound taken part of the way back into noise, and denoised under the words.",
        tuple((f"t0 {t:g}", made(vary([one], "purify", amount=t, seed=SEED + 1))) for t in (0.3, 0.7)),
    )
    yield Row(
        "Morph",
        "From one clip to another.",
        tuple((f"position {x:g}", made(vary([one, two], "morph", amount=x))) for x in (0.25, 0.5, 0.75)),
    )
    yield Row(
        "Loop", "No seam where the end meets the beginning.", (("loop", made(replace(other, id="l", loop=True))),)
    )
    longer = replace(other, id="long", seconds=min(2.5 * length, 600.0))
    yield Row("Length", "Longer than what the model was trained on, in one sound.", (("long", made(longer)),))
    yield Row(
        "Stereo width",
        "Left and right share their events and differ in texture.",
        tuple((f"width {w:g}", made(replace(other, id=f"w{n}", stereo=w))) for n, w in enumerate((0.4, 1.0))),
    )
    takes = [made(replace(first, id=f"t{n}", seeds=(replace(first.seeds[0], texture=n),))) for n in (1, 2)]
    yield Row(
        "More like these",
        "From the region between favourites.",
        (("favourite", takes[0]), ("favourite", takes[1]), ("between", made(vary(takes, "more", seed=SEED)))),
    )


def _like(request: GenerationRequest, reference: Clip, weight: float) -> GenerationRequest:
    control = Control("like", amount=weight, audio=audio_source(reference.path))
    return replace(request, id=f"like-{weight:g}", control=control)


def written(prompt: str, all_rows: Iterator[Row]) -> str:
    """The page, complete in itself."""
    body = "".join(
        f"<h2>{html.escape(row.title)}</h2><p>{html.escape(row.promise)}</p>"
        f"<section>{''.join(_figure(word, clip) for word, clip in row.clips)}</section>"
        for row in all_rows
    )
    return document(f"Variations of “{prompt}”", body)


def _figure(word: str, clip: Clip) -> str:
    return figure(clip.path, f"{word}, {clip.seconds:g} s, seeds {clip.seeds.structure} / {clip.seeds.texture}")
