"""A model card for a folder that training made: what it is, of what and how it was made, and under which licence.

What was made from other weights stays under their terms. A licence that drops one of them is refused.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcldm_plugin.errors import InvalidInput

TERMS = ("BY", "SA", "NC", "ND")  # of Creative Commons
CURVE_ROWS = 12
CARD = "MODEL_CARD.md"


def publish(folder: Path, licence: str | None, scores: Path | None) -> Path:
    """Write the card, and the licence into `config.json`; returns the card's path. Raises `InvalidInput`.

    licence: of a model that has no base it must be given; otherwise the base's is kept, or made stricter.
    scores: a text or JSON file that goes into the card as it is.
    """
    config = _config(folder)
    base: Mapping[str, str] | None = config.get("base")
    chosen = _licence(licence, str(config.get("licence") or ""), base)
    sells = "NC" not in _terms(chosen) and (base is None or config["commercial_use"] is True)
    config |= {"licence": chosen, "commercial_use": sells}
    card = "\n".join(_sections(folder, config, base, scores)) + "\n"
    _replace(folder / CARD, card)
    _replace(folder / "config.json", json.dumps(config, indent=1) + "\n")
    return folder / CARD


def _licence(wanted: str | None, stored: str, base: Mapping[str, str] | None) -> str:
    if base is None:
        if chosen := wanted or stored:
            return chosen
        raise InvalidInput("This model was made from nothing; say under which licence it is published with --licence.")
    kept = str(base.get("licence", ""))
    if not kept:
        raise InvalidInput(f"The licence of the base {base.get('name')!r} is not known, so this can't be published.")
    chosen = wanted or stored or kept
    missing = _terms(kept) - _terms(chosen)
    if missing or ({"SA", "ND"} & _terms(kept) and kept not in chosen):
        dropped = f"drops its {', '.join(sorted(missing))}" if missing else "is another, and it must stay"
        raise InvalidInput(
            f"The base {base.get('name')!r} is under {kept}; {chosen} {dropped}. Publish under the base's licence."
        )
    return chosen


def _terms(licence: str) -> set[str]:
    return {term for term in TERMS if re.search(rf"\b{term}\b", licence.upper())}


def _sections(
    folder: Path, config: Mapping[str, Any], base: Mapping[str, str] | None, scores: Path | None
) -> list[str]:
    lines = [f"# Model card: {config.get('title') or folder.name}", ""]
    lines += [
        f"Version `{config['version']}`, made with DC-LDM Plugin. Load it with `dcldm generate --model PATH`.",
        "",
    ]
    lines += ["## Licence", "", f"**{config['licence']}.** Clips {_sale(config)}.", ""]
    if base is not None:
        lines += [
            f"Made from {base['name']}, version `{base['version']}`, under {base['licence']}. Whoever passes these "
            "weights on must keep those terms and this paragraph, and say what was changed (below).",
            "",
        ]
        if "ND" in _terms(base["licence"]):
            lines += ["**The base's licence forbids passing on weights that were made from it. Keep this folder.**", ""]
    lines += ["## Data", ""]
    if (folder / "data.json").is_file():
        data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        captions = "; ".join(data["captions"][:20])
        lines += [
            f"{data['sounds']} sounds from {len(data['files'])} files; {data['held_out']} more were held out, "
            f"{data['left_out']} could not be used.",
            f"Captions such as: {captions}.",
            "",
            "Who publishes this says here whose recordings these are, and that they may be used so.",
            "",
        ]
    else:
        lines += ["Not recorded.", ""]
    lines += ["## Curve", "", *_curve(folder / "curve.csv"), ""]
    lines += ["## Scores", ""]
    lines += [scores.read_text(encoding="utf-8").strip() if scores is not None else "None were given.", ""]
    if (folder / "train.toml").is_file():
        lines += ["## Configuration", "", "```toml", (folder / "train.toml").read_text(encoding="utf-8").strip(), "```"]
    return lines


def _sale(config: Mapping[str, Any]) -> str:
    return "may be sold" if config["commercial_use"] else "may not be sold"


def _curve(path: Path) -> list[str]:
    """Some lines of the curve, evenly, the last of them in any case."""
    if not path.is_file():
        return ["Not recorded."]
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("total")]
    lines = ["| set | step | loss |", "|---|---|---|"]
    for name in ("learned", "held out"):
        some = [row for row in rows if row["set"] == name]
        stride = max(1, -(-len(some) // CURVE_ROWS))
        lines += [f"| {name} | {row['step']} | {float(row['total']):.4f} |" for row in some[::-1][::stride][::-1]]
    return lines


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["version"], config["commercial_use"]
    except OSError as error:
        raise InvalidInput(f"There is no model in {folder} ({error.strerror}); name what training made.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{path} does not describe a model that training made; name another folder.") from error
    return config


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
