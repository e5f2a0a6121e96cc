"""`dcldm show`: what a clip's own file says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dcldm_plugin.audio.clip_file import read_record, to_clip
from dcldm_plugin.commands import Parser
from dcldm_plugin.types import Clip


def main(arguments: Sequence[str]) -> int:
    """Print how each clip was made, or its whole record as JSON."""
    parser = Parser("show", "Say how a clip was made, from its own file.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a clip of ours")
    parser.add_argument("--json", action="store_true", help="the whole record, one JSON object a line")
    options = parser.parse_args(arguments)
    for path in options.files:
        record = read_record(path)
        if options.json:
            print(json.dumps({"path": str(path.absolute()), **record}))
            continue
        print(path)
        for name, value in describe(to_clip(record, path), record):
            print(f"  {name:<12} {value}")
    return 0


def describe(clip: Clip, record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be said of a clip, each with its name: for the command line and the window alike."""
    request = clip.request
    yield "prompt", clip.prompt.text
    if clip.read_as:
        yield "read as", clip.read_as
    if clip.prompt.negative:
        yield "without", clip.prompt.negative
    if clip.ucs is not None:
        yield "category", f"{clip.ucs.cat_id} ({clip.ucs.fx_name})"
    yield "model", f"{clip.model} {clip.model_version}".strip()
    yield "seeds", f"structure {clip.seeds.structure}, texture {clip.seeds.texture}"
    used = clip.sampling
    first, last = used.guidance_interval or (0.0, 1.0)
    part = "" if (first, last) == (0.0, 1.0) else f" from {first:g} to {last:g} of them"
    guidance = "" if used.guidance_scale is None else f"guidance {used.guidance_scale}{part}"
    steps = "" if used.steps is None else f"{used.steps} steps"
    best = f"best of {used.candidates} candidates" if (used.candidates or 1) > 1 else ""
    yield "sampling", ", ".join(word for word in (used.sampler, steps, guidance, best) if word) or "the model's own"
    if request is not None and request.control is not None:
        control = request.control
        parents = ", ".join(parent.clip or parent.request.prompt.text for parent in control.parents) or "a file"
        yield "made by", f"{control.kind} {control.amount:g} of {parents}"
    yield "sound", f"{clip.seconds:.3f} s, {clip.sample_rate} Hz, {clip.channels} channel{'s' * (clip.channels > 1)}"
    if clip.band_hz is not None:
        yield "band", f"nothing above {clip.band_hz:g} Hz, whatever the rate of the file"
    finishing = record["finishing"]
    measured = finishing.get("measured", {})
    levels = [
        f"{measured[name]:.1f} {unit}"
        for name, unit in (("integrated_lufs", "LUFS"), ("true_peak_dbtp", "dBTP"))
        if measured.get(name) is not None
    ]
    yield "level", ", ".join([*levels, f"gain {finishing['gain_db']:+.1f} dB"])
    if clip.rights is not None:
        yield "rights", clip.rights.sentence
    yield "made", f"{clip.created[:19].replace('T', ' ')} UTC by version {record['software']}"
