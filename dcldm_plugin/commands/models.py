"""`dcldm models`: which models there are, what they need, and bringing and removing public weights."""

from __future__ import annotations

import json
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from typing import Any

from dcldm_plugin.commands import Parser
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import load
from dcldm_plugin.sources import MODELS, PARTS, Model
from dcldm_plugin.store import Store
from dcldm_plugin.types import ModelInfo

ACTIONS = ("list", "describe", "install", "remove", "publish")
PACKAGE = Path(__file__).parent.parent


def main(arguments: Sequence[str]) -> int:
    """List or describe models, install or remove their weights, or write the card of one that was trained."""
    options = _parser().parse_args(arguments)
    if options.action == "publish":
        return _publish(options)
    if options.licence or options.scores:
        raise InvalidInput("--licence and --scores go with `dcldm models publish PATH`.")
    store = Store(load(options.home).home / "models")
    if options.source is not None and options.action != "install":
        raise InvalidInput("--from goes with `dcldm models install NAME`.")
    if options.action == "list":
        if options.name is not None:
            raise InvalidInput("`dcldm models list` takes no name; for one model use `dcldm models describe NAME`.")
        return _list(store, options)
    if options.name is None:
        raise InvalidInput(f"Say which model to {options.action}; `dcldm models list` shows their names.")
    info = _find(options.name)
    if options.action == "describe":
        return _describe(store, info, options)
    if info.name not in MODELS:
        raise InvalidInput(
            f"The model {info.name!r} comes with the app or a plug-in: it needs no installing, and can't be removed."
        )
    if options.action == "install":
        return _install(store, info.name, options)
    freed_bytes = store.remove(info.name)
    print(f"{info.name} is removed; {_size(freed_bytes)} are free again.")
    return 0


def _parser() -> Parser:
    parser = Parser("models", "List, describe, install and remove models; write the card of one that you trained.")
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="list is the default")
    parser.add_argument("name", nargs="?", metavar="NAME", help="which model; publish: the folder of one")
    parser.add_argument("--json", action="store_true", help="list and describe: print JSON")
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="PATH",
        help="install: take the files from this folder, or this one file, and download nothing",
    )
    parser.add_argument("--licence", metavar="NAME", help="publish: its licence, which keeps the terms of its base")
    parser.add_argument("--scores", type=Path, metavar="FILE", help="publish: what to write about its scores")
    return parser


def _publish(options: Namespace) -> int:
    from dcldm_plugin.publish import publish

    if options.name is None:
        raise InvalidInput("Say which folder to publish; training prints its path.")
    if options.scores is not None and not options.scores.is_file():
        raise InvalidInput(f"There is no file {options.scores}; name what to write about the scores.")
    print(publish(Path(options.name).expanduser(), options.licence, options.scores))
    return 0


def _infos() -> dict[str, ModelInfo]:
    """All models: those that are run as they are, then those whose weights are installed by name."""
    from dcldm_plugin.engine import registry

    bundled = {name: entry.info for name, entry in registry.models().items() if name not in MODELS}
    return bundled | {name: model.info for name, model in MODELS.items()}


def _find(name: str) -> ModelInfo:
    infos = _infos()
    if name not in infos:
        raise InvalidInput(f"There is no model named {name!r}; choose one of: {', '.join(infos)}.")
    return infos[name]


def _row(store: Store, info: ModelInfo) -> dict[str, Any]:
    """What is told of a model. size_bytes: on disk, or of the download, about, while it is not installed."""
    model = MODELS.get(info.name)
    if model is None:
        files = [*(PACKAGE / "builtin").glob("*.safetensors")] if info.name == "builtin" else []
        return asdict(info) | {
            "installed": True,
            "size_bytes": sum(file.stat().st_size for file in files),
            "needs": [],
        }
    return asdict(info) | {
        "installed": store.installed(model),
        "size_bytes": store.size_bytes(model),
        "needs": list(model.parts),
    }


def _list(store: Store, options: Namespace) -> int:
    from dcldm_plugin.engine.registry import broken

    rows = [_row(store, info) for info in _infos().values()]
    if options.json:
        print(json.dumps(rows))
        return 0
    print(f"{'NAME':<28} {'SIZE':>9}  {'HERE':<4}  {'SELL':<4}  WHAT")
    for row in rows:
        size = _size(row["size_bytes"]) if row["size_bytes"] else "-"
        here, sell = (("yes" if row[key] else "no") for key in ("installed", "commercial_use"))
        print(f"{row['name']:<28} {size:>9}  {here:<4}  {sell:<4}  {row['title']}")
    for sentence in broken():
        print(sentence, file=sys.stderr)
    print("\nSELL: whether its licence lets you sell the clips. `dcldm models describe NAME` says more.")
    return 0


def _describe(store: Store, info: ModelInfo, options: Namespace) -> int:
    model = MODELS.get(info.name)
    described = _row(store, info) | {
        "trainable_parameters": model.trainable_parameters if model else None,
        "parts": [_part(store, name) for name in model.parts] if model else [],
    }
    if options.json:
        print(json.dumps(described))
        return 0
    use = "clips may be sold" if info.commercial_use else "clips may not be sold"
    print(f"{info.name}: {info.title}")
    print(f"  licence     {info.licence}; {use}")
    print(f"  sound       {info.sample_rate} Hz, {info.channels} channel(s), at most {info.longest_seconds:g} s")
    negative = "a negative prompt" if info.negative_prompt else "no negative prompt"
    print(f"  controls    {', '.join(info.controls) or 'none'}; {negative}; seeds: {', '.join(info.seeds)}")
    memory = f"about {_size(info.memory_bytes)}" if info.memory_bytes else "not known"
    print(f"  memory      {memory}, on {' or '.join(info.devices)}")
    print(
        f"  size        {_size(described['size_bytes'])}, {'installed' if described['installed'] else 'not installed'}"
    )
    if described["trainable_parameters"]:
        print(f"  parameters  {described['trainable_parameters']:,} in the U-Net, all trainable")
    for part in described["parts"]:
        here = "here" if part["installed"] else "missing"
        print(f"  needs       {part['name']} ({here}): {part['title']}, {_size(part['size_bytes'])}, {part['source']}")
    return 0


def _part(store: Store, name: str) -> dict[str, Any]:
    part, manifest = PARTS[name], store.manifest(name)
    return {
        "name": name,
        "title": part.title,
        "source": manifest.source if manifest else part.source,
        "licence": part.licence,
        "commercial_use": part.commercial_use,
        "size_bytes": manifest.size_bytes if manifest else part.size_bytes,
        "installed": manifest is not None,
        "folder": str(store.folder / name),
    }


def _install(store: Store, name: str, options: Namespace) -> int:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # it is asked for files, and told nothing else
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are not for users; errors we tell
    if options.source is None:
        _ask_for_token(store, MODELS[name])
        store.install(name, _say)
    else:
        store.install_from(name, options.source, _say)
    if store.installed(MODELS[name]):
        print(f"{name} is installed and works offline.")
    else:
        missing = ", ".join(part for part in MODELS[name].parts if store.manifest(part) is None)
        print(f"{name} is not complete yet: {missing} missing.")
    return 0


def _ask_for_token(store: Store, model: Model) -> None:
    """Say what stands before weights behind a licence; on a terminal, take a token where there is none."""
    for part in store.locked(model):
        _say(f"{part.name}: to be accepted at {store.hub.page(part.repository)} before it can be fetched. {part.terms}")
        if not store.hub.has_token and sys.stdin.isatty():
            store.hub.token = getpass("Your access token (it is not kept): ").strip() or None


def _say(line: str) -> None:
    print(line, flush=True)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e8 else f"{size_bytes / 1e6:.1f} MB"
