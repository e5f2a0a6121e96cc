"""`dcldm pack`: clips as a round-robin pack for a game engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

from dcldm_plugin.commands import Parser
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.pack import LengthPolicy, Middleware, PackSettings, Ranges, make_pack
from dcldm_plugin.rights import check_clip
from dcldm_plugin.settings import load
from dcldm_plugin.variations import clip_at


def main(arguments: Sequence[str]) -> int:
    """Write a pack; print its folder."""
    parser = Parser("pack", "Make a round-robin pack of clips: NAME_01 … NAME_NN, level-matched, of one length.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="clips of ours")
    parser.add_argument("--name", required=True, help="of the pack, its folder and its files")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where its folder goes (else here)")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="files in all; more than clips: variants")
    parser.add_argument("--for", dest="middleware", choices=get_args(Middleware), default="folder")
    parser.add_argument("--length", choices=get_args(LengthPolicy), default="longest")
    for each in fields(Ranges):
        option, unit = f"--{each.name.partition('_')[0]}", each.name.partition("_")[2] or "share"
        parser.add_argument(option, dest=each.name, type=float, default=each.default, metavar="R", help=f"± {unit}")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the variants: same seed, same pack")
    parser.add_argument("--commercial-only", action="store_true", help="refuse clips that may not be sold")
    options = parser.parse_args(arguments)
    settings = load(options.home)
    clips = [clip_at(path) for path in options.files]
    for clip in clips if options.commercial_only or settings.commercial_only else ():
        check_clip(clip)
    if options.seed < 0:
        raise InvalidInput("The seed of a pack is 0 or more.")
    ranges = Ranges(**{each.name: getattr(options, each.name) for each in fields(Ranges)})
    wanted = PackSettings(options.name, options.count, ranges, options.length, options.middleware, options.seed)
    print(make_pack(clips, options.out, wanted, Delivery.of(settings)))
    return 0
