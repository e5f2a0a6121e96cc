"""`dcldm again`: a clip once more, from nothing but its file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.commands import Parser
from dcldm_plugin.commands.generate import add_output_options, render
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import load
from dcldm_plugin.types import Clip
from dcldm_plugin.variations import again, clip_at


def main(arguments: Sequence[str]) -> int:
    """Render the take of a file again, with the sampling that made it; print its path, or its JSON.

    On stderr: whether it is the same sound, and if not, why.
    """
    parser = Parser("again", "Make a clip once more from its own file: same prompt, seeds, model and controls.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a clip of ours")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.variations != 1 or options.seed is not None or options.model is not None:
        raise InvalidInput("`dcldm again` makes the same clip; use `dcldm vary` for another one.")
    clip = clip_at(options.file)
    before = read_record(clip.path)

    def compare(made: Clip) -> None:
        print(compared(before, read_record(made.path), clip.model), file=sys.stderr)

    return render(again(clip), load(options.home), options, compare)


def compared(before: Mapping[str, Any], after: Mapping[str, Any], model: str) -> str:
    """Whether a clip that was made once more is the same, and what makes it another, by the records of both files."""
    if before["sha256"] == after["sha256"]:
        return "Sample by sample the same."
    versions = [record["model_version"] for record in (before, after)]
    if versions[0] != versions[1]:
        was, now = (version or "an unnamed one" for version in versions)
        return f"Not the same sound: the clip was made by version {was} of {model}, and this one by {now}."
    if any(before["finishing"].get(each.name) != after["finishing"].get(each.name) for each in fields(FinishSettings)):
        return "Not the same samples: this one has the finish of the settings, the clip another finish."
    return (
        "Not the same samples, though the same version of the model: another machine, other libraries or another "
        f"version of this program (then {before['software']}, now {after['software']})."
    )
