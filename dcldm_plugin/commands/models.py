"""`dcldm models`: which models there are, under which licence, and what they can do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from dcldm_plugin.commands import Parser


def main(arguments: Sequence[str]) -> int:
    """List the models, one per line or as a JSON array."""
    parser = Parser("models", "List the models that there are.")
    parser.add_argument("action", nargs="?", choices=["list"], default="list", help="list (the default)")
    parser.add_argument("--json", action="store_true", help="print a JSON array")
    options = parser.parse_args(arguments)

    from dcldm_plugin.engine import registry

    infos = [entry.info for entry in registry.models().values()]
    if options.json:
        print(json.dumps([asdict(info) for info in infos]))
        return 0
    for info in infos:
        use = "commercial use allowed" if info.commercial_use else "no commercial use"
        print(f"{info.name:<12} {info.title}; {info.licence}, {use}; up to {info.longest_seconds:g} s")
    return 0
