"""From clips and a control to a complete request: what the command line, OSC and the window share."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dcldm_plugin.audio.clip_file import read_record, to_clip
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.types import AudioSource, Clip, Control, GenerationRequest, Kind, Sampling, TimelineTarget

# Where nothing is said. A weight of 0.7 keeps the prompt's own material in what follows a reference.
AMOUNTS: dict[Kind, float] = {"retexture": 0.5, "like": 0.7, "purify": 0.5, "morph": 0.5, "more": 0.3}


def clip_at(path: Path) -> Clip:
    """The clip in a file of ours, by what the file itself says. Raises `InvalidInput`."""
    path = path.expanduser().absolute()
    try:
        return to_clip(read_record(path), path)
    except DcldmError as error:  # whoever named the file can name another
        raise InvalidInput(str(error)) from error


def audio_source(path: Path) -> AudioSource:
    """A file of anybody's, as it is now. Raises `InvalidInput` if it is not there."""
    path = path.expanduser().absolute()
    try:
        with path.open("rb") as file:
            return AudioSource(str(path), hashlib.file_digest(file, "sha256").hexdigest())
    except FileNotFoundError as error:
        raise InvalidInput(f"The file {path} is gone; choose another one.") from error
    except OSError as error:
        raise InvalidInput(f"The file {path} can't be read ({error.strerror}); choose another one.") from error


def again(
    clip: Clip, *, model: str | None = None, target: TimelineTarget | None = None, id: str | None = None
) -> GenerationRequest:
    """The request that made a clip, to be done once more; with another model, the same words and seeds."""
    made = clip.as_parent().request
    if model not in {None, made.model}:
        made = replace(made, model=model or made.model, sampling=Sampling(), control=None)
    return replace(made, id=id or uuid.uuid4().hex, target=target)


def vary(
    clips: Sequence[Clip],
    kind: Kind,
    *,
    amount: float | None = None,
    start: float = 0.0,
    end: float = 0.0,
    audio: Path | None = None,
    text: str = "",
    seconds: float | None = None,
    loop: bool | None = None,
    stereo: float | None = None,
    variations: int = 1,
    seed: int | None = None,
    model: str | None = None,
    target: TimelineTarget | None = None,
    id: str | None = None,
) -> GenerationRequest:
    """A request for variations of clips of ours; what is left out is as in the first of them.

    audio: the reference of `like`. text: other words for the same plan. Raises `InvalidInput`.
    """
    if not clips:
        raise InvalidInput("No clip is given; choose one.")
    parents = tuple(clip.as_parent() for clip in clips)
    made = parents[0].request
    source = None if audio is None else audio_source(audio)
    if kind == "purify":  # by the file, where the model that made it is not the one that purifies it
        source = audio_source(clips[0].path)
    control = Control(kind, parents, AMOUNTS.get(kind, 0.0) if amount is None else amount, start, end, source)
    same_model = model in {None, made.model}
    return GenerationRequest.create(
        text or made.prompt.text,
        id=id,
        negative=made.prompt.negative,
        seconds=made.seconds if seconds is None else seconds,
        variations=variations,
        seed=seed,
        model=model or made.model,
        sampling=made.sampling if same_model else Sampling(),
        target=target,
        control=control,
        loop=made.loop if loop is None else loop,
        stereo=made.stereo if stereo is None else stereo,
    )
