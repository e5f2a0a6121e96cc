"""TANGO or TANGO 2, the bridge from AudioGen to it, and the other rows of Table 1 with weights of the user's own."""

from __future__ import annotations

from pathlib import Path

from dcldm_plugin.backends.audiogen import installed_info
from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.engine.registry import ADAPTER_FILE, describe
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models import assembly
from dcldm_plugin.models.presets import PRESETS
from dcldm_plugin.models.tango import read_adapter
from dcldm_plugin.settings import home_folder
from dcldm_plugin.store import Store
from dcldm_plugin.types import Report


def make(report: Report, name: str, models: Path | None = None) -> DcldmBackend:
    """The model of that name. models: the folder of all weights, `models` in the home folder if not given.

    Raises `DcldmError` that says how to install what is missing.
    """
    store = Store(models or home_folder() / "models")
    parts = store.paths(name)
    folders = assembly.Folders.of(parts)
    if name in {"tango", "tango2"}:
        chain = assembly.text_only(folders, report)
    elif name == "tango-bridge":
        chain = assembly.bridge(folders, report)
    else:  # a row that the user trained: its own part is named as the row
        adapter = parts[name] / ADAPTER_FILE
        _check_row(name, adapter)
        chain = assembly.trained(folders, adapter, report)
    return DcldmBackend(installed_info(store, name), chain)


def make_folder(report: Report, name: str, models: Path | None = None) -> DcldmBackend:
    """What training made of TANGO, in a folder of the user's, whose path is its name."""
    store = Store(models or home_folder() / "models")
    adapter = Path(name).expanduser() / ADAPTER_FILE
    chain = assembly.trained(assembly.Folders.of(store.paths("tango-bridge")), adapter, report)
    return DcldmBackend(describe(name), chain)


def _check_row(name: str, path: Path) -> None:
    """Refuse an adapter that was installed under the name of another row of Table 1."""
    adapter = read_adapter(path)
    row = (adapter.encoding, adapter.places, adapter.block, adapter.condition)
    for preset in PRESETS.values():
        if (preset.encoding, preset.places, preset.block, preset.condition) == row and preset.name != name:
            raise DcldmError(
                f"The adapter that is installed as {name} is one of {preset.name}; "
                f"run `dcldm models remove {name}` and install it under that name."
            )
