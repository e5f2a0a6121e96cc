"""What must never leave the app: silence, clipping, a DC offset, a constant tone. Random prompts, finished clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

SILENT_DB = -50.0  # the level of the loudest tenth of a second, full scale 0
FLAT_RUN = 4  # samples at the very peak one after the other,
FLAT_SHARE = 2e-4  # or so many of all: neither happens by itself
OFFSET = 0.005
TONE_SHARE = 0.98  # of the power in one partial that never moves
TONE_FRAMES = 0.9

Audio = NDArray[np.floating[Any]]

NOUNS = (
    *("rain", "wind", "thunder", "a river", "a waterfall", "ocean waves", "a campfire", "birds", "crickets", "leaves"),
    *("an explosion", "footsteps", "a car engine", "a helicopter", "a train", "a church bell", "an alarm", "a laser"),
    *(
        "a whoosh",
        "a riser",
        "a drone",
        "a door",
        "breaking glass",
        "a sword",
        "a gunshot",
        "a dog",
        "a cat",
        "a horse",
    ),
    *("sheep", "a crowd", "applause", "a heartbeat", "typing", "a clock", "coins", "paper", "a hammer", "a saw"),
    *("electric sparks", "steam", "bubbles", "a robot", "a spaceship", "a monster", "magic", "a button", "a phone"),
    *("a siren", "a drum", "a cymbal"),
)
ADJECTIVES = (
    *("", "distant", "close", "loud", "soft", "slow", "fast", "deep", "high-pitched", "heavy", "light", "metallic"),
    *("muffled", "huge", "tiny", "eerie"),
)
PLACES = (
    *("", "in a cave", "in a hall", "outside", "at night", "under water", "in a small room", "over wet ground"),
    "in the distance",
)
SYLLABLES = ("bl", "or", "fi", "zu", "nk", "ta", "re", "mo", "qua", "ix", "vel", "dro", "su", "pi")
ODD = ("?", "x", "1234567890", "雨の音", "🌧️🌧️", "Regen auf dem Dach", "the the the the", "!!!", "rain " * 60)


def prompts(count: int, seed: int = 0) -> Iterator[tuple[str, bool]]:
    """(prompt, whether it means nothing): one in ten is nonsense or odd."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        if random.random() < 0.1:
            words = ["".join(random.choice(SYLLABLES, random.integers(1, 4))) for _ in range(random.integers(1, 5))]
            yield (" ".join(words) if random.random() < 0.7 else str(random.choice(ODD))), True
            continue
        parts = [str(random.choice(each)) for each in (ADJECTIVES, NOUNS, PLACES)]
        joined = f"{parts[0]} {parts[1].removeprefix('a ').removeprefix('an ') if parts[0] else parts[1]} {parts[2]}"
        if random.random() < 0.15:
            joined += f" and {random.choice(NOUNS)}"
        yield " ".join(joined.split()), False


def faults(audio: Audio, rate: int) -> tuple[str, ...]:
    """What is wrong with a sound [samples] within -1 … 1: any of silence, clipping, offset, tone."""
    found = []
    block = rate // 10
    whole = max(1, len(audio) // block)
    loudest = max(float(np.square(part).mean()) for part in np.array_split(audio, whole))
    if loudest < 10.0 ** (SILENT_DB / 10.0):
        return ("silence",)
    peak = float(np.abs(audio).max())
    at_peak = np.abs(audio) >= peak * (1.0 - 1e-6)
    runs = np.convolve(at_peak, np.ones(FLAT_RUN), mode="valid")
    if runs.max(initial=0.0) >= FLAT_RUN or at_peak.mean() > FLAT_SHARE or peak > 1.0:
        found.append("clipping")
    if abs(float(audio.mean())) > OFFSET:
        found.append("offset")
    if is_tone(audio, rate):
        found.append("tone")
    return tuple(found)


def is_tone(audio: Audio, rate: int) -> bool:
    """Whether one unmoving partial, at one level, is all that there is."""
    _, _, spectrum = signal.stft(audio, rate, nperseg=min(2048, len(audio)))
    power = np.abs(spectrum[:, 1:-1]) ** 2  # the edges are padded
    total = power.sum(axis=0)
    if power.shape[1] < 8 or total.max() <= 0.0:
        return False
    middle = int(power.sum(axis=1).argmax())
    share = power[max(0, middle - 2) : middle + 3].sum(axis=0) / np.maximum(total, 1e-20)
    steady = total > 0.5 * np.median(total)
    return bool(((share > TONE_SHARE) & steady).mean() >= TONE_FRAMES)


def check(
    make: Callable[[str, int], tuple[Audio, int]],
    count: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """{"n", "nonsense": prompts that mean nothing, "faults": {fault: how many}, "faulty": [[prompt, faults]]}.

    `make(prompt, seed)` gives (samples, rate) of the finished clip.
    """
    faulty: list[tuple[str, Sequence[str]]] = []
    nonsense = 0
    for done, (prompt, means_nothing) in enumerate(prompts(count), 1):
        nonsense += means_nothing
        found = faults(*make(prompt, done))
        if found:
            faulty.append((prompt, found))
        report(done, count)
    kinds = ("silence", "clipping", "offset", "tone")
    return {
        "n": count,
        "nonsense": nonsense,
        "faults": {kind: sum(kind in found for _, found in faulty) for kind in kinds},
        "faulty": [[prompt, list(found)] for prompt, found in faulty],
    }
