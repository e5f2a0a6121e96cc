"""A library of many clips, by rows of its index alone."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from datetime import UTC, datetime, timedelta

from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.library import Library
from dcldm_plugin.types import Variation

# fmt: off
WORDS = [
    "heavy", "soft", "distant", "close", "metal", "wooden", "wet", "dry", "small", "large", "slow", "fast", "rain",
    "wind", "door", "engine", "bird", "bell", "fire", "crowd", "footsteps", "water", "glass", "thunder", "whoosh",
    "impact", "creak", "hum", "roar", "drip", "on", "in", "over", "under", "roof", "street", "forest", "cave", "car",
]
# fmt: on


def fill(library: Library, take: Variation, count: int) -> None:
    """One clip of a take, and index rows for `count` files that are not there, each with samples of its own."""
    record, folder = read_record(library.adopt(take).path), library.clip_folder
    dice = random.Random(1)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    clips, words, marks = [], [], []
    for number in range(2, count + 2):
        text = " ".join(dice.choices(WORDS, k=8)) + (" quixotic" if number % 10_000 == 77 else "")
        request = record["request"] | {"id": f"request-{number // 4}", "prompt": {"text": text, "negative": ""}}
        created = (begin + timedelta(seconds=number)).isoformat(timespec="microseconds")
        values = {"id": f"{number:032x}", "request": request, "index": number % 4, "created": created}
        values["sha256"] = f"{number:064x}"
        path = folder / f"{text.replace(' ', '-')}.wav"
        made = json.dumps({**record, **values})
        clips.append((number, values["id"], str(path), request["id"], number % 4, created, made))
        words.append((number, f"{text} {path.stem}"))
        if number % 3:
            marks.append((values["id"], number % 50 == 0, number % 6, number % 20 == 1, False, ""))
    with contextlib.closing(sqlite3.connect(library.index)) as connection:
        for table, rows in (("clips", clips), ("clip_words (rowid, words)", words), ("marks", marks)):
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        connection.commit()
