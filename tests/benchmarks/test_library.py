"""A hundred thousand clips: each question to the library beside reading the same rows once, in one run."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

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


def fill(library: Library, record: dict[str, object], folder: Path) -> None:
    """Index rows for files that are not there: what is measured is the index."""
    dice = random.Random(1)
    request = dict(record["request"])  # type: ignore[call-overload]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with library._transaction():
        for number in range(CLIPS):
            text = " ".join(dice.choices(WORDS, k=8)) + (" quixotic" if number % 10_000 == 77 else "")
            prompt = {"text": text, "negative": ""}
            made = request | {"id": f"request-{number // 4}", "prompt": prompt}
            values = {"id": f"{number:032x}", "request": made, "index": number % 4}
            created = (begin + timedelta(seconds=number)).isoformat(timespec="microseconds")
            library._insert({**record, **values, "created": created}, folder / f"{text.replace(' ', '-')}.wav")
        library._execute(
            """INSERT INTO marks SELECT id, number % 50 = 0, number % 6, number % 20 = 1, 0, '' FROM clips
            WHERE number % 3"""
        )
    assert json.loads(library._execute("SELECT record FROM clips LIMIT 1")[0][0])["id"]


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
