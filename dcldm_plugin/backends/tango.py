"""TANGO alone, and the bridge from AudioGen to it, from the weights that `dcldm models install` brought."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.models import assembly
from dcldm_plugin.settings import home_folder
from dcldm_plugin.sources import MODELS
from dcldm_plugin.store import Store
from dcldm_plugin.types import ModelInfo, Report


def make_tango(report: Report, models: Path | None = None) -> DcldmBackend:
    """TANGO under the text alone. models: the folder of all weights, `models` in the home folder if not given.

    Raises `DcldmError` that says how to install what is missing.
    """
    store = Store(models or home_folder() / "models")
    chain = assembly.text_only(_folders(store.paths("tango")), report)
    return DcldmBackend(_info(store, "tango"), chain)


def make_bridge(report: Report, models: Path | None = None) -> DcldmBackend:
    """AudioGen's sound, purified by TANGO under the text. models: see `make_tango`."""
    store = Store(models or home_folder() / "models")
    chain = assembly.bridge(_folders(store.paths("tango-bridge")), report)
    return DcldmBackend(_info(store, "tango-bridge"), chain)


def _folders(parts: dict[str, Path]) -> assembly.Folders:
    return assembly.Folders(parts["tango"], parts["flan-t5-large"], parts.get("audiogen-medium"), parts.get("t5-large"))


def _info(store: Store, name: str) -> ModelInfo:
    """The model, with a version that names the bytes of all its files."""
    digest = hashlib.sha256()
    for part in MODELS[name].parts:
        if manifest := store.manifest(part):
            digest.update("".join(file.sha256 for _, file in sorted(manifest.files.items())).encode())
    return replace(MODELS[name].info, version=digest.hexdigest()[:12])
