"""A hundred thousand clips: each question to the library beside reading the same rows once, in one run."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.library import Library
from dcldm_plugin.types import Variation

CLIPS = 100_000
PAGE = 200
TRIES = 5
# fmt: off
WORDS = [
    "heavy", "soft", "distant", "close", "metal", "wooden", "wet", "dry", "small", "large", "slow", "fast", "rain",
    "wind", "door", "engine", "bird", "bell", "fire", "crowd", "footsteps", "water", "glass", "thunder", "whoosh",
    "impact", "creak", "hum", "roar", "drip", "on", "in", "over", "under", "roof", "street", "forest", "cave", "car",
]
# fmt: on


def test_a_hundred_thousand_clips_stay_quick(library: Library, make_take: Callable[..., Variation]) -> None:
    """The bar: what is asked while somebody types takes no longer than going through all rows by hand once."""
    fill(library, read_record(library.adopt(make_take()).path), library.clip_folder)
    with contextlib.closing(sqlite3.connect(library.index)) as connection:
        by_hand = best(lambda: connection.execute("SELECT count(*) FROM clips WHERE instr(record, '🔔')").fetchall())
    newest = library.clips(limit=1)[0]
    asked: dict[str, Callable[[], object]] = {
        "newest page": lambda: library.clips(limit=PAGE),
        "page 100": lambda: library.clips(limit=PAGE, offset=100 * PAGE),
        "common word": lambda: library.clips(text="rain", limit=PAGE),
        "three words": lambda: library.clips(text="thunder distant cave", limit=PAGE),
        "rare word": lambda: library.clips(text="quixotic", limit=PAGE),
        "no such word": lambda: library.clips(text="zzyzx", limit=PAGE),
        "two letters": lambda: library.clips(text="qu", limit=PAGE),
        "favourites": lambda: library.clips(favourite=True, limit=PAGE),
        "groups": lambda: library.groups(limit=50),
        "one request": lambda: library.clips(request_id=newest.request_id),
        "a mark": lambda: library.mark(newest.id, rating=random.randint(1, 5)),
    }
    print(f"\n{CLIPS:,} clips; going through all records once: {by_hand * 1e3:.0f} ms")
    slow = {}
    for name, ask in asked.items():
        ratio = best(ask) / by_hand
        print(f"  {name:<14} {ratio:6.3f} of that")
        if ratio > 1.0:
            slow[name] = ratio
    assert not slow


def fill(library: Library, record: Mapping[str, Any], folder: Path) -> None:
    """Index rows for files that are not there: what is measured is the index."""
    dice = random.Random(1)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    clips, words, marks = [], [], []
    for number in range(2, CLIPS + 2):
        text = " ".join(dice.choices(WORDS, k=8)) + (" quixotic" if number % 10_000 == 77 else "")
        request = record["request"] | {"id": f"request-{number // 4}", "prompt": {"text": text, "negative": ""}}
        created = (begin + timedelta(seconds=number)).isoformat(timespec="microseconds")
        values = {"id": f"{number:032x}", "request": request, "index": number % 4, "created": created}
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


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
