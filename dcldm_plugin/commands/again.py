"""`dcldm again`: a clip once more, from nothing but its file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from dcldm_plugin.commands import Parser
from dcldm_plugin.commands.generate import add_output_options, render
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import load
from dcldm_plugin.variations import clip_at


def main(arguments: Sequence[str]) -> int:
    """Render the take of a file again, with the sampling that made it; print its path, or its JSON."""
    parser = Parser("again", "Make a clip once more from its own file: same prompt, seeds, model and controls.")
    parser.add_argument("file", type=Path, metavar="FILE", help="a clip of ours")
    add_output_options(parser)
    options = parser.parse_args(arguments)
    if options.variations != 1 or options.seed is not None or options.model is not None:
        raise InvalidInput("`dcldm again` makes the same clip; use `dcldm vary` for another one.")
    clip = clip_at(options.file)
    assert clip.request is not None  # a file that has no request is no clip of ours
    print(f"{clip.path.name}: its samples had SHA-256 {clip.sha256}", file=sys.stderr)
    request = replace(clip.request, id=uuid4().hex, sampling=clip.sampling, target=None)
    return render(request, load(options.home), options)
