"""`dcldm vary`: from a clip of ours to others that follow from it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dcldm_plugin.commands import Parser
from dcldm_plugin.commands.generate import add_output_options, render
from dcldm_plugin.engine.registry import full_name
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import load
from dcldm_plugin.types import Kind
from dcldm_plugin.variations import clip_at, vary


def main(arguments: Sequence[str]) -> int:
    """Render variations of a clip; print each one's path, or its JSON, as soon as it is there."""
    options = _parser().parse_args(arguments)
    settings = load(options.home)
    kind, values = _control(options)
    clips = [clip_at(path) for path in options.clips]
    if kind == "morph":
        clips.append(clip_at(options.morph))
    request = vary(
        clips,
        kind,
        text=options.prompt,
        seconds=options.seconds,
        loop=options.loop,
        stereo=options.stereo,
        variations=options.variations,
        seed=options.seed,
        model=None if options.model is None else full_name(options.model),
        **values,
    )
    return render(request, settings, options)


def _parser() -> Parser:
    parser = Parser("vary", "Make variations of a clip that dcldm made. Prints one path per line.")
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP.wav", help="one clip; several with --more")
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument("--regenerate", action="store_true", help="a new take of the same prompt")
    kinds.add_argument("--retexture", type=float, metavar="D", help="same events, new surface: 0 the same clip, 1 new")
    kinds.add_argument("--rearrange", type=float, metavar="T", help="keep the clip up to second T, new events after it")
    kinds.add_argument("--like", type=Path, metavar="AUDIO", help="the timing of any audio file in this material")
    kinds.add_argument("--repair", metavar="A-B", help="make the seconds from A to B anew, nothing else")
    kinds.add_argument("--purify", type=float, metavar="T0", help="clean it under the prompt: 0 as it is, 1 all new")
    kinds.add_argument("--morph", type=Path, metavar="OTHER.wav", help="on the way to another clip")
    kinds.add_argument("--more", action="store_true", help="more like these, between all the clips given")
    parser.add_argument("--weight", type=float, metavar="W", help="of --like: 0 … 1 (else 0.7)")
    parser.add_argument("--position", type=float, metavar="X", help="of --morph: 0 … 1 (else 0.5)")
    parser.add_argument("--distance", type=float, metavar="D", help="of --more: how much is new, 0 … 1 (else 0.3)")
    parser.add_argument("--prompt", default="", metavar="TEXT", help="other words (else the clip's)")
    parser.add_argument("--seconds", type=float, metavar="S", help="length (else the clip's)")
    parser.add_argument("--loop", action="store_true", default=None, help="no seam from its end to its beginning")
    parser.add_argument("--stereo", type=float, metavar="W", help="stereo width, 0 … 1 (else the clip's)")
    add_output_options(parser)
    return parser


def _control(options: Namespace) -> tuple[Kind, dict[str, Any]]:
    """The control that is asked for, and its values."""
    found: dict[Kind, dict[str, Any]] = {}
    if options.regenerate:
        found["regenerate"] = {}
    if options.retexture is not None:
        found["retexture"] = {"amount": options.retexture}
    if options.rearrange is not None:
        found["rearrange"] = {"start": options.rearrange}
    if options.like is not None:
        found["like"] = {"audio": options.like, "amount": options.weight}
    if options.repair is not None:
        found["repair"] = dict(zip(("start", "end"), _range(options.repair), strict=True))
    if options.purify is not None:
        found["purify"] = {"amount": options.purify}
    if options.morph is not None:
        found["morph"] = {"amount": options.position}
    if options.more:
        found["more"] = {"amount": options.distance}
    ((kind, values),) = found.items()  # the parser sees to it that there is one
    belongings: dict[str, Kind] = {"weight": "like", "position": "morph", "distance": "more"}
    for name, owner in belongings.items():
        if getattr(options, name) is not None and owner != kind:
            raise InvalidInput(f"--{name} belongs to --{owner}; leave it out or ask for that.")
    return kind, values


def _range(text: str) -> tuple[float, float]:
    first, dash, last = text.partition("-")
    try:
        if dash:
            return float(first), float(last)
    except ValueError:
        pass
    raise InvalidInput(f"The range {text[:40]!r} is not two times in seconds; write it as 1.5-3.")
