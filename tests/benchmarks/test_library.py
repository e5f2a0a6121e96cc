"""A hundred thousand clips: each question to the library beside reading the same rows once, in one run."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import time
from collections.abc import Callable
from types import ModuleType

from dcldm_plugin.library import Library
from dcldm_plugin.types import Variation

CLIPS = 100_000
PAGE = 200
TRIES = 5


def test_a_hundred_thousand_clips_stay_quick(
    library: Library, make_take: Callable[..., Variation], fakes: Callable[[str], ModuleType]
) -> None:
    """The bar: what is asked while somebody types takes no longer than going through all rows by hand once."""
    fakes("benchmarks/many_clips.py").fill(library, make_take(), CLIPS)
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


def best(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
