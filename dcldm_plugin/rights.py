"""What may be done with a clip: the licences of all weights that had a part in it, and of what it was made from."""

from __future__ import annotations

from collections.abc import Iterator

from dcldm_plugin.audio.clip_file import read_record, to_clip
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.sources import MODELS, PARTS
from dcldm_plugin.types import Clip, GenerationRequest, Licence, Rights

UNKNOWN = "unknown: ask whoever trained it"


def rights_of(request: GenerationRequest) -> Rights:
    """The chain of a request, its parents included; a clip may be used commercially if every link may."""
    return Rights(tuple(dict.fromkeys(_links(request))))


def check_commercial(request: GenerationRequest) -> None:
    """Raises `InvalidInput` for a request whose clips may not be used commercially, with what stands against it."""
    against = [link for link in rights_of(request).chain if not link.commercial_use]
    if against:
        what = "; ".join(f"{link.what}: {link.licence}" for link in against)
        raise InvalidInput(f"Clips of this request may not be used commercially ({what}); choose another model.")


def check_clip(clip: Clip) -> None:
    """Raises `InvalidInput` for a clip that may not be used commercially, or does not say so."""
    if clip.rights is None or not clip.rights.commercial_use:
        why = "its rights are not recorded" if clip.rights is None else clip.rights.sentence
        raise InvalidInput(f"{clip.path.name} can't be sold ({why}); leave it out.")


def _links(request: GenerationRequest) -> Iterator[Licence]:
    yield from _of_model(request.model)
    control = request.control
    if control is None or control.kind == "regenerate":  # of the parent only its words are in it
        return
    for parent in control.parents:
        yield from _links(parent.request)
    if control.audio is not None:
        yield from _of_audio(control.audio.path)


def _of_model(name: str) -> Iterator[Licence]:
    if name in MODELS:
        for part in MODELS[name].parts:
            yield Licence(PARTS[part].title, PARTS[part].licence, PARTS[part].commercial_use, PARTS[part].source)
        return
    try:
        info = registry.describe(name)
    except DcldmError:
        yield Licence(f"model {name}", UNKNOWN, False)
    else:
        yield Licence(info.title, info.licence, info.commercial_use)


def _of_audio(path: str) -> Iterator[Licence]:
    """A file of ours has a chain of its own; what anybody else's may be used for only its owner can say."""
    from pathlib import Path

    file = Path(path)
    try:
        clip = to_clip(read_record(file), file)
    except DcldmError:
        yield Licence(f"the sound {file.name}", "yours to clear", True)
    else:
        if clip.request is not None:
            yield from _links(clip.request)
