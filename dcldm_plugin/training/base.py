"""What a run starts from, and the folder that it makes of it.

A base is a whole model: a folder as `models/checkpoint.py` writes them (the built-in one is such a folder), the
installed TANGO and AudioGen, or a new one that has learned nothing. The result is a folder of the same kind with
one part that is better; of TANGO, the file of what is new and the name of the rest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import dcldm_plugin
from dcldm_plugin.engine.registry import ADAPTER_FILE, BUILTIN
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import assembly, checkpoint
from dcldm_plugin.models.checkpoint import About, Sizes
from dcldm_plugin.models.dcldm import DualConditionedLatentDiffusion
from dcldm_plugin.models.tango import Adapter, Encoding, write_adapter
from dcldm_plugin.models.unet import Block, DualUNet
from dcldm_plugin.settings import home_folder
from dcldm_plugin.sources import MODELS
from dcldm_plugin.store import Store
from dcldm_plugin.training.builtin import fresh
from dcldm_plugin.training.checkpoints import room, written
from dcldm_plugin.training.config import Config
from dcldm_plugin.types import unheard

BUILTIN_FOLDER = Path(dcldm_plugin.__file__).parent / "builtin"
NEW = {"new": "transformer", "new-unet": "unet"}


@dataclass(slots=True)
class Base:
    """A loaded model. sizes: of a model in a folder; adapter: the header of what is new on TANGO.

    licence: of its weights, "" of a new one, which has none.
    """

    name: str
    chain: DualConditionedLatentDiffusion
    version: str
    licence: str
    commercial_use: bool
    sizes: Sizes | None = None
    adapter: Adapter | None = None


def load_base(config: Config, home: Path | None = None) -> Base:
    """Raises `DcldmError` with what to do about a base that is not there."""
    if config.base in NEW:
        chain, sizes = fresh(NEW[config.base], config.run.seed)
        return Base(config.base, chain, "", "", True, sizes)
    if config.base == "tango" or (Path(config.base) / ADAPTER_FILE).is_file():
        return _tango(config, Store((home or home_folder()) / "models"))
    folder = BUILTIN_FOLDER if config.base == "builtin" else Path(config.base)
    if not folder.is_dir():
        known = ", ".join(("builtin", "tango", *NEW))
        raise InvalidInput(f"There is no base {config.base!r}; name a model's folder, or one of {known}.")
    chain, version, sizes = checkpoint.read_all(folder)
    described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    is_builtin = config.base == "builtin"
    licence = BUILTIN.licence if is_builtin else str(described.get("licence", ""))
    sells = is_builtin or described.get("commercial_use") is True
    return Base(config.base if is_builtin else folder.name, chain, version, licence, sells, sizes)


def _tango(config: Config, store: Store) -> Base:
    """TANGO with AudioGen's plans, and an acoustic attention: one of a folder, or one that does nothing yet."""
    network = config.network
    start: Path | Adapter = Path(config.base) / ADAPTER_FILE
    if config.base == "tango":
        block, encoding = cast(Block, network.block), cast(Encoding, network.encoding)
        start = Adapter("", network.places, block, encoding=encoding)
    folders = assembly.Folders.of(store.paths("tango-bridge"))
    chain, adapter = assembly.to_train(folders, start, unheard)
    info = MODELS["tango-bridge"].info
    return Base("tango", chain, adapter.base, info.licence, info.commercial_use, adapter=adapter)


def write_result(base: Base, config: Config, folder: Path) -> str:
    """The finished model's folder; returns its version. Raises `DcldmError` if the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    about = About(
        title=config.title or config.out.name,
        licence=base.licence,
        commercial_use=base.commercial_use if base.licence else False,
        base={"name": base.name, "version": base.version, "licence": base.licence} if base.licence else None,
    )
    with room(folder):
        if base.sizes is not None:
            return checkpoint.write(base.chain, base.sizes, folder, about)
        assert base.adapter is not None and isinstance(base.chain.denoiser, DualUNet)
        path = folder / ADAPTER_FILE
        write_adapter(base.chain.denoiser, base.adapter, path, whole=config.part == "unet")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        described: dict[str, Any] = {"format": checkpoint.FORMAT, "version": sha256[:12], **asdict(about)}
        described |= {"sha256": {"adapter": sha256}, "sizes": {"chain": asdict(base.chain.config)}}
        text = json.dumps(described, indent=1) + "\n"
        written(folder / "config.json", lambda partial: partial.write_text(text, encoding="utf-8"))
        return sha256[:12]
