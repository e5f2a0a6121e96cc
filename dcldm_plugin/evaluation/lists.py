"""Test lists: CSV files with the columns `path` (of a real sound, from the list's folder) and `prompt`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.types import clean_text

SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
REAL = "real"  # what the sounds of the list are called among systems
FEWEST = 2  # items: a covariance, or an interval, needs two


@dataclass(frozen=True, slots=True)
class Item:
    """One row of a list: the stem that pairs sounds, the reference, and what was asked for."""

    name: str
    path: Path
    prompt: str


def read_list(path: Path, limit: int | None = None) -> tuple[Item, ...]:
    """The items of a list, or the first `limit`. Raises `InvalidInput`."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"The list {path} cannot be read ({error}); give a CSV file.") from error
    items = []
    for number, row in enumerate(rows[:limit], 2):
        if not row.get("path") or not row.get("prompt"):
            raise InvalidInput(f"Line {number} of {path} needs a path and a prompt; the columns are: path,prompt.")
        sound = path.parent / row["path"]
        if not sound.is_file():
            raise InvalidInput(f"Line {number} of {path}: there is no file {sound}.")
        items.append(Item(sound.stem, sound, clean_text(row["prompt"], f"prompt in line {number}")))
    if len(items) < FEWEST:
        raise InvalidInput(f"{path} has {len(items)} items; a distance needs at least {FEWEST}.")
    if len({item.name for item in items}) < len(items):
        raise InvalidInput(f"Two sounds of {path} have the same name; rename one, since names are what pairs them.")
    return tuple(items)


def sounds_of(folder: Path, items: Sequence[Item]) -> dict[str, Path]:
    """The file of each item in a folder of sounds. Raises `InvalidInput` where one is missing."""
    there = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in SOUNDS}
    missing = [item.name for item in items if item.name not in there]
    if missing:
        raise InvalidInput(f"{folder} lacks {len(missing)} sounds of the list ({missing[0]} first); add them.")
    return {item.name: there[item.name] for item in items}
