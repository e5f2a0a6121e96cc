"""`dcldm finish`: the unfinished render of a clip, finished in another way."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dcldm_plugin.audio.settings import CLASSES, FinishSettings, finishing_class
from dcldm_plugin.commands import Parser
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.library import Library
from dcldm_plugin.settings import load
from dcldm_plugin.variations import clip_at

# option: (field of the settings, metavar, what it is)
NUMBERS = {
    "rate": ("sample_rate", "HZ", "sample rate (else the project's)"),
    "trim": ("trim_db", "DB", "drop silence this far below the loudest, such as -50"),
    "pre-roll": ("pre_roll_seconds", "S", "what trimming keeps before the onset"),
    "high-pass": ("high_pass_hz", "HZ", "take away what is below"),
    "loop": ("wrap_seconds", "S", "fade the end into the beginning over so long"),
    "stereo": ("stereo_width", "W", "spread mono over two channels, 0 … 1"),
    "fade-in": ("fade_seconds", "S", "at the beginning"),
    "fade-out": ("fade_out_seconds", "S", "at the end"),
    "ceiling": ("ceiling_dbtp", "DB", "true peak that is never exceeded"),
}


def main(arguments: Sequence[str]) -> int:
    """Finish clips of the library anew; print each new file's path."""
    options = _parser().parse_args(arguments)
    settings = load(options.home)
    delivery = Delivery.of(settings)
    wanted = _settings(options, delivery)
    with closing(Library(settings.library_folder, settings.index, delivery)) as library:
        for path in options.files:
            print(library.refinish(clip_at(path).id, wanted, options.out).path)
    return 0


def _parser() -> Parser:
    parser = Parser("finish", "Finish clips anew from their unfinished renders. Prints the new paths.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a clip of the library")
    parser.add_argument("--as", dest="as_class", choices=CLASSES, help="what it is for (else as set)")
    parser.add_argument("--level", metavar="BY:TARGET", help="peak:-1, integrated:-23, short-term:-21 or keep")
    for name, (_, unit, what) in NUMBERS.items():
        parser.add_argument(f"--{name}", type=float, metavar=unit, help=what)
    parser.add_argument("--extend", metavar="NAME", help="put something above the band, by another package's extender")
    parser.add_argument("--keep-dc", action="store_true", help="leave a constant offset in")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the new files (else the library)")
    return parser


def _settings(options: Namespace, delivery: Delivery) -> FinishSettings:
    base = delivery.finishing
    if options.as_class is not None:
        base = replace(finishing_class(options.as_class), sample_rate=base.sample_rate)
    changes: dict[str, Any] = {}
    for name, (field, _, _) in NUMBERS.items():
        value = getattr(options, name.replace("-", "_"))
        if value is not None:
            changes[field] = int(value) if field == "sample_rate" else value
    if options.extend is not None:
        changes["extend"] = options.extend
    if options.keep_dc:
        changes["remove_dc"] = False
    if options.level is not None:
        by, _, target = options.level.partition(":")
        changes["level_by"] = by
        if target:
            try:
                changes["target"] = float(target)
            except ValueError as error:
                raise InvalidInput(f"The level {target[:40]!r} is no number; write it as integrated:-23.") from error
    return replace(base, **changes)
