"""What a take is by its request alone: what it follows from, how far, and which of its parents' events it has.

Knows no model; a request holds its parents' requests.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models.dcldm import further
from dcldm_plugin.types import Control, GenerationRequest, Seeds

BEFORE_CHANGE_SECONDS = 0.1  # a new plan's first event may begin this early
LIKE_LEAD = 0.75  # what guidance adds more, where the plan is another sound's
# What else is drawn from a seed, apart from what it draws by itself.
SIDE, CHOICE, CANDIDATE, CHUNK = 1, 2, 100, 1000


def is_new(take: GenerationRequest) -> bool:
    """Whether a take follows from its words alone."""
    return take.control is None or take.control.kind == "regenerate"


def origin(take: GenerationRequest) -> GenerationRequest:
    """The take itself, or, where a control moves nothing at all, the one that it stays."""
    control = take.control
    end = {"retexture": {0.0: 0}, "morph": {0.0: 0, 1.0: 1}}.get("" if control is None else control.kind, {})
    if control is None or control.amount not in end:
        return take
    old = control.parents[end[control.amount]].request
    same = replace(old, id=take.id, prompt=take.prompt, seeds=take.seeds, control=control, target=take.target)
    return origin(old) if same == take and (control.kind == "morph" or old.prompt == take.prompt) else take


def first_surface(take: GenerationRequest) -> GenerationRequest:
    """The take whose events these are: that of which this is another surface, also in part, or the take itself."""
    while take.control is not None and take.control.kind in {"retexture", "repair"}:
        take = take.control.parents[0].request
    return take


def changed(control: Control, seconds: float) -> tuple[float, float]:
    """From when to when a take is not its parent."""
    if control.kind == "repair":
        return control.start, control.end
    return max(0.0, control.start - BEFORE_CHANGE_SECONDS), seconds


def lead(take: GenerationRequest) -> float:
    """How many times as much guidance adds: where the plan is another sound's, the words need more of it."""
    control = first_surface(take).control
    return 1.0 + LIKE_LEAD * control.amount if control is not None and control.kind == "like" else 1.0


def weights(take: GenerationRequest, control: Control) -> list[float]:
    """One number a parent, together 1; a take's texture seed draws its place between favourites."""
    if control.kind == "morph":
        return [1.0 - control.amount, control.amount]
    if len(control.parents) == 1:
        return [1.0]
    generator = np.random.default_rng(further(take.seeds[0].texture, CHOICE))
    return [float(weight) for weight in generator.dirichlet(np.ones(len(control.parents)))]


def candidate(take: GenerationRequest, number: int) -> GenerationRequest:
    """One of the sounds that a take is chosen from, the first by its own seeds, the others by seeds that follow."""
    own, place = take.seeds[0], CANDIDATE + number if number else 0
    seeds = Seeds(further(own.structure, place), further(own.texture, place))
    return replace(take, seeds=(seeds,), sampling=replace(take.sampling, candidates=1))


def name_of(take: GenerationRequest) -> str:
    plain: dict[str, Any] = asdict(replace(take, id="take", target=None))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def check_versions(request: GenerationRequest, version: str) -> None:
    """Raises `InvalidInput` where a clip that is to be made again was made by another version of the weights."""
    control = request.control
    if control is None or control.kind == "regenerate" or control.audio is not None:
        return
    for parent in control.parents:
        if parent.model_version != version:
            raise InvalidInput(
                f"This clip was made by the version {parent.model_version or 'unknown'} of {request.model!r}, and "
                f"this is {version}, which makes another sound of it; use the clip's file with like or purify."
            )
        check_versions(parent.request, version)


def can_be_remade(control: Control, name: str, version: str) -> bool:
    """Whether the clip that is purified can be made again by a model, which needs no file."""
    return bool(control.parents) and all(
        (parent.request.model, parent.model_version) == (name, version) for parent in control.parents
    )
