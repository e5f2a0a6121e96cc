"""Which models there are: a table of names, what is known of each without loading it, and its factory.

Nothing is imported until a model is asked for, and then only in the engine process. Third parties add
theirs through the entry point group `dcldm.backends` (an object that is a `Entry`). A path in place of a name
is a folder that holds a model, as training writes it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcldm_plugin import pipelines
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.sources import MODELS
from dcldm_plugin.types import RULES, ModelInfo, Report

if TYPE_CHECKING:  # it imports numpy, which whoever only asks for names need not wait for
    from dcldm_plugin.backends.base import Backend

BUILTIN = ModelInfo(
    name="builtin",
    title="DC-LDM built-in (small, CPU)",
    licence="CC-BY-SA-4.0",
    commercial_use=True,
    sample_rate=16_000,
    channels=1,
    longest_seconds=600.0,
    band_hz=8_000.0,
    steps=10,
    memory_bytes=380_000_000,  # 374 MB for the plans of four takes of 10 s, measured on a CPU, besides the libraries
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
    steps=30,
    memory_bytes=50_000_000,  # about
    controls=("regenerate",),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model's description and where its factory is: "package.module:function".

    The factory is called in the engine process with a `Report` and the model's name; it returns a `Backend`.
    """

    info: ModelInfo
    factory: str


ENTRIES = (
    Entry(BUILTIN, "dcldm_plugin.backends.dcldm:make_builtin"),
    Entry(TONE, "dcldm_plugin.backends.tone:make"),
    Entry(MODELS["audiogen-medium"].info, "dcldm_plugin.backends.audiogen:make"),
    *(
        Entry(MODELS[name].info, "dcldm_plugin.backends.audiocraft:make")
        for name in ("audiogen-medium-audiocraft", "audio-magnet-small", "audio-magnet-medium")
    ),
    Entry(MODELS["diffsound"].info, "dcldm_plugin.backends.diffsound:make"),
    *(
        Entry(model.info, "dcldm_plugin.backends.tango:make")
        for model in MODELS.values()
        if {"tango", "tango2"} & {*model.parts}
    ),
    *(
        Entry(MODELS[name].info, "dcldm_plugin.backends.pipelines:make")
        for name in ("audioldm", "audioldm-l-full", "audioldm2", "stable-audio-open-1.0", "stable-audio-3-medium")
    ),
)
GROUP = "dcldm.backends"
DEVICE = "dcldm_plugin.models.device"  # by name: torch is only in the engine process
FOLDER = "dcldm_plugin.backends.dcldm:make_folder"
ADAPTER_FOLDER = "dcldm_plugin.backends.tango:make_folder"
PIPELINE_FOLDER = "dcldm_plugin.backends.pipelines:make_folder"
ADAPTER_FILE = "adapter.safetensors"  # is in a folder that needs TANGO beside it
MAX_CONFIG_BYTES = 1_000_000


def models() -> dict[str, Entry]:
    """All known models by name, ours first; a third party's that can't be had is left out, see `broken`."""
    return _found()[0]


def broken() -> tuple[str, ...]:
    """A sentence on each package of backends that can't be used: the others work all the same."""
    return _found()[1]


@cache  # a package is imported once; what is wrong with it is wrong until the next start
def _found() -> tuple[dict[str, Entry], tuple[str, ...]]:
    found, sentences = {entry.info.name: entry for entry in ENTRIES}, []
    for point in entry_points(group=GROUP):
        try:
            entry = point.load()
        except (Exception, SystemExit) as error:  # anything can be wrong with what others wrote
            what = " ".join(f"{type(error).__name__}: {error}".split())[:160]
            sentences.append(f"The backend {point.name!r} can't be used ({what}); update or uninstall its package.")
            continue
        if not isinstance(entry, Entry) or not isinstance(entry.info, ModelInfo):
            sentences.append(f"The backend {point.name!r} is no registry Entry; update or uninstall its package.")
        elif entry.info.name in found:
            sentences.append(f"The backend {point.name!r} has the name of another, {entry.info.name!r}; uninstall one.")
        else:
            found[entry.info.name] = entry
    return found, tuple(sentences)


def full_name(name: str) -> str:
    """A name as it is; the path of a model's folder in full, so that it means the same from anywhere."""
    return str(Path(name).expanduser().absolute()) if _is_path(name) else name


def describe(name: str) -> ModelInfo:
    """What is known of a model. Raises `InvalidInput` with the names that there are."""
    if _is_path(name):
        return _describe_folder(Path(name).expanduser())
    known = models()
    if name not in known:
        others = " ".join(("", *broken()))
        raise InvalidInput(f"There is no model named {name!r}; choose one of: {', '.join(known)}.{others}")
    return known[name].info


def load(name: str, report: Report) -> Backend:
    """Build the backend of a model. Only ever called in the engine process."""
    describe(name)
    module, _, function = (_folder_factory(name) if _is_path(name) else models()[name].factory).partition(":")
    backend: Backend = getattr(importlib.import_module(module), function)(report, name)
    return backend


def free_bytes() -> int:
    """How much memory is free where models compute. In the engine process, where one is loaded already."""
    device = importlib.import_module(DEVICE)
    return int(device.free_bytes(device.choose_device()))


def release_memory() -> None:
    """Give back to the system what nobody holds any more. In the engine process, after a model was dropped."""
    device = importlib.import_module(DEVICE)
    device.release_memory(device.choose_device())


def _steps(config: Mapping[str, Any]) -> int | None:
    steps = config["sizes"]["chain"].get("defaults", {}).get("steps")
    return steps if isinstance(steps, int) else None


def _is_path(name: str) -> bool:
    return any(sign in name for sign in "/\\") or name.startswith(("~", "."))


def _folder_factory(name: str) -> str:
    folder = Path(name).expanduser()
    if (folder / pipelines.INDEX).is_file():
        return PIPELINE_FOLDER
    return ADAPTER_FOLDER if (folder / ADAPTER_FILE).is_file() else FOLDER


def _describe_folder(folder: Path) -> ModelInfo:
    """By the configuration that the folder holds; its weights are looked at in the engine."""
    if (folder / pipelines.INDEX).is_file():
        return pipelines.describe(folder)
    path = folder / "config.json"
    try:
        with path.open("rb") as file:
            config = json.loads(file.read(MAX_CONFIG_BYTES))
        mel = config["sizes"]["chain"]["mel"]
        needs_tango = (folder / ADAPTER_FILE).is_file()
        return replace(
            MODELS["dc-ldm-ag-down-up"].info if needs_tango else BUILTIN,
            name=str(folder),
            title=str(config.get("title", folder.name)),
            licence=str(config.get("licence", "not stated; see its model card")),
            commercial_use=config.get("commercial_use") is True,
            sample_rate=int(mel["sample_rate"]),
            band_hz=float(mel["high_hz"]),
            steps=_steps(config),
            version=str(config["version"]),
        )
    except OSError as error:
        raise InvalidInput(
            f"There is no model in {folder} ({error.strerror}); name a folder that training made, or a pipeline of "
            "diffusers."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{path} does not describe a model; name a folder that training made.") from error
