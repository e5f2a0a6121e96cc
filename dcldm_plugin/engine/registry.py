"""Which models there are: a table of names, what is known of each without loading it, and its factory.

Nothing is imported until a model is asked for, and then only in the engine process. Third parties add
theirs through the entry point group `dcldm.backends` (an object that is a `Entry`).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.metadata import entry_points

from dcldm_plugin.backends.base import Backend
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.sources import MODELS
from dcldm_plugin.types import RULES, ModelInfo, Report

BUILTIN = ModelInfo(
    name="builtin",
    title="DC-LDM built-in (small, CPU)",
    licence="CC-BY-SA-4.0",
    commercial_use=True,
    sample_rate=16_000,
    channels=1,
    longest_seconds=600.0,
    band_hz=8_000.0,
    controls=(*RULES, "loop", "stereo"),
)
TONE = ModelInfo(
    name="tone",
    title="Test tone (no model: proves the path to the timeline)",
    licence="CC0-1.0",
    commercial_use=True,
    sample_rate=16_000,
    channels=1,
    longest_seconds=600.0,
    band_hz=8_000.0,
    controls=("regenerate",),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model's description and where its factory is: "package.module:function"."""

    info: ModelInfo
    factory: str


ENTRIES = (
    Entry(BUILTIN, "dcldm_plugin.backends.dcldm:make_builtin"),
    Entry(TONE, "dcldm_plugin.backends.tone:make"),
    Entry(MODELS["tango"].info, "dcldm_plugin.backends.tango:make_tango"),
    Entry(MODELS["tango-bridge"].info, "dcldm_plugin.backends.tango:make_bridge"),
)


def models() -> dict[str, Entry]:
    """All known models by name, ours first."""
    found = {entry.info.name: entry for entry in ENTRIES}
    for point in entry_points(group="dcldm.backends"):
        entry = point.load()
        if isinstance(entry, Entry):
            found.setdefault(entry.info.name, entry)
    return found


def describe(name: str) -> ModelInfo:
    """What is known of a model. Raises `InvalidInput` with the names that there are."""
    known = models()
    if name not in known:
        raise InvalidInput(f"There is no model named {name!r}; choose one of: {', '.join(known)}.")
    return known[name].info


def load(name: str, report: Report) -> Backend:
    """Build the backend of a model. Only ever called in the engine process."""
    describe(name)
    module, _, function = models()[name].factory.partition(":")
    backend: Backend = getattr(importlib.import_module(module), function)(report)
    return backend
