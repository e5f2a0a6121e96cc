"""Training clips with captions, of ten seconds or fewer, composed from short sounds.

The sounds of the store are mostly shorter than two seconds; the model is trained on 10.24 s. A clip therefore loops a
texture, places an event once or several times, or combines two of these; the caption follows what was done. Every
clip depends on (seed, index) alone, whatever the number of processes.

What is to be tested with has to come from packages that nothing was learned from, which `--without` keeps apart:

    python -m dcldm_plugin.training.compose --sounds SOUNDS --synth --out clips --count 4000 --without freedoom scratch
    python -m dcldm_plugin.training.compose --sounds SOUNDS --out test --count 60 --list --only freedoom scratch
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.random import Generator
from numpy.typing import NDArray

from dcldm_plugin.training.phrases import NUMBERS, paraphrase, plural, with_adjective

SAMPLE_RATE = 16_000
PEAK = 0.5
LONGEST = 10.24  # seconds of a clip
SYNTHETIC_SHARE = 0.15
MIXTURE_SHARE = 0.08
DISTANT_SHARE = 0.07
TEXTURES = frozenset((
    "rain", "wind", "water", "waves", "fire", "crowd", "engine", "insects", "birds", "traffic", "rumble", "ambience",
    "fan", "chainsaw", "bubbles", "train", "ship", "clock", "heartbeat", "static noise", "water drip",
))  # fmt: skip
# What is asked for most: three clips of four, however few sounds there are of one.
MAIN = frozenset((
    "rain", "wind", "thunder", "water", "waves", "fire", "birds", "explosion", "footsteps", "engine", "bell", "laser",
    "whoosh", "dog", "sheep", "horse", "sword", "door", "gunshot", "machine gun", "beep", "alarm", "glass break",
    "wood chop", "crowd",
))  # fmt: skip
MAIN_WEIGHT = 6.0  # of such a category, where another of its size has 1
FEWEST = 36  # sounds that such a category is taken to have
# Families of which recordings are at hand that a judge of real sounds tells by ear, as it does not the synthesised.
RECORDED_INSTEAD = frozenset((
    "footsteps", "whoosh", "laser", "dog", "sword clash", "door", "gunshot", "drums",
))  # fmt: skip
# Captions that make a sound of these categories a single event, and one of the other categories a texture.
EVENT = re.compile(r"passing|revving|being put out|fuse")
CONTINUOUS = re.compile(r"humming")
# What one does again and again: repeated under the same caption.
ACTIVITY = re.compile(
    r"(digging|sawing|hammering|chopping|chiselling|rustling|footsteps|horse hooves|chickens|paper|cloth|leaves|swords"
    r"|coins|typing|a pickaxe|a hammer|a swimming)\b"
)
DISTANCE = re.compile(r"distan|far|near|close")

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """One source sound: mono float32 at 16 kHz, peak at most 1, and where it comes from (a package or "synth")."""

    samples: Audio
    caption: str
    category: str
    source: str
    licence: str
    is_texture: bool = False
    """Whether the sound goes on evenly and may be looped, rather than happening once."""


@dataclass(frozen=True)
class Composed:
    """A finished clip: float32 [seconds * 16000] with peak at most 0.5, its caption, category and sources."""

    samples: Audio
    caption: str
    category: str
    sources: tuple[str, ...]


def goes_on(caption: str, category: str) -> bool:
    """Tell whether a real sound is a texture, which its category and caption decide."""
    return not EVENT.search(caption) and (category in TEXTURES or bool(CONTINUOUS.search(caption)))


def load_sounds(folder: Path) -> list[Sound]:
    """Read the store written by `dcldm_plugin.training.sounds.fetch`."""
    flat = np.memmap(folder / "sounds.pcm", "<i2", "r")
    entries = json.loads((folder / "sounds.json").read_text("utf-8"))["sounds"]
    return [
        Sound(
            flat[entry["start"] : entry["start"] + entry["length"]].astype(np.float32) / np.float32(32768),
            entry["caption"], entry["category"], entry["package"], entry["licence"],
            goes_on(entry["caption"], entry["category"]),
        )
        for entry in entries
    ]  # fmt: skip


def compose(
    sounds: Sequence[Sound], seed: int, index: int, seconds: float = LONGEST, synthetic_share: float = 0.0
) -> Composed:
    """Compose clip number `index`; `synthetic_share` of its sounds are synthesised, the others come from `sounds`."""
    rng = np.random.default_rng([seed, index])
    length = round(seconds * SAMPLE_RATE)
    is_mixture, sequence = rng.random() < MIXTURE_SHARE, rng.random() < 0.4
    if not is_mixture:
        first = _layer(sounds, rng, length, synthetic_share)
        peak = PEAK * rng.uniform(0.3, 0.6) if "distan" in first.caption else PEAK
        return Composed(_normalise(first.samples, peak), first.caption, first.category, first.sources)
    if sequence:
        half = length // 2
        first, second = (_layer(sounds, rng, half, synthetic_share) for _ in range(2))
        samples = np.concatenate([_normalise(first.samples, PEAK), _normalise(second.samples, PEAK)])
        samples = np.pad(samples, (0, length - len(samples)))
    else:
        first, second = (_layer(sounds, rng, length, synthetic_share) for _ in range(2))
        samples = _normalise(first.samples, 1.0) + _normalise(second.samples, float(rng.uniform(0.4, 1.0)))
    joint = ("followed by" if rng.random() < 0.7 else "then") if sequence else ("and" if rng.random() < 0.7 else "with")
    caption = f"{first.caption} {joint} {second.caption}"
    return Composed(_normalise(samples, PEAK), caption, first.category, first.sources + second.sources)


def _layer(sounds: Sequence[Sound], rng: Generator, length: int, synthetic_share: float) -> Composed:
    """Build one part of a clip, [length]: a sound looped or placed, varied, and described."""
    takes = _choose(sounds, rng, synthetic_share)
    sound = takes[0]
    speed = float(np.exp(rng.uniform(-0.12, 0.12)))
    pitch = ""
    # Sounds that fill the clip were finished by the synthesiser: no other length, hence no other speed.
    finished = sound.source == "synth" and len(sound.samples) >= length
    if sound.source != "synth" and not sound.is_texture and rng.random() < 0.08:
        speed, pitch = ((0.65, "low-pitched"), (1.5, "high-pitched"))[int(rng.integers(2))]
    if finished:
        samples, caption = sound.samples[:length], sound.caption
    elif sound.is_texture:
        samples, caption = _loop(takes, rng, length, speed), _phrase(sound, rng)
    else:
        samples, caption = _place(takes, rng, length, speed)
    caption = with_adjective(caption, pitch, rng) if pitch else caption
    distant = not pitch and not DISTANCE.search(caption) and rng.random() < DISTANT_SHARE
    caption = with_adjective(caption, "distant", rng) if distant else caption
    return Composed(_colour(samples, rng, distant), caption.lower(), sound.category, (sound.source,))


def _phrase(sound: Sound, rng: Generator) -> str:
    """Return words for the sound: its own if it is synthetic, since those vary by themselves."""
    return sound.caption if sound.source == "synth" else paraphrase(sound.caption, sound.category, rng)


def _choose(sounds: Sequence[Sound], rng: Generator, synthetic_share: float) -> list[Sound]:
    """Draw a sound; return it with the other takes of it (same caption and source), in random order after it."""
    if rng.random() < synthetic_share:
        synth = import_module("dcldm_plugin.training.synth")
        families = [family for family in synth.FAMILIES if family not in RECORDED_INSTEAD]
        samples, caption, category, is_texture = synth.render(families[int(rng.integers(len(families)))], rng)
        return [Sound(np.asarray(samples, np.float32), caption, category, "synth", "CC0", is_texture)]
    categories = sorted({sound.category for sound in sounds})
    groups: dict[str, list[Sound]] = {category: [] for category in categories}
    for sound in sounds:
        groups[sound.category].append(sound)
    # n clips of weight n ** -0.5 each: large categories come more often, but not in proportion.
    sizes = np.array([len(groups[each]) for each in categories])
    main = np.array([each in MAIN for each in categories])
    weights = np.where(main, MAIN_WEIGHT * np.sqrt(np.maximum(sizes, FEWEST)), np.sqrt(sizes))
    group = groups[categories[int(rng.choice(len(categories), p=weights / weights.sum()))]]
    chosen = group[int(rng.integers(len(group)))]
    alike = [s for s in group if s is not chosen and (s.caption, s.source) == (chosen.caption, chosen.source)]
    return [chosen, *(alike[i] for i in rng.permutation(len(alike))[:7])]


def _at_speed(samples: Audio, speed: float) -> Audio:
    """Play `samples` at `speed` times their rate, so that the pitch follows."""
    return np.asarray(soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="HQ"), np.float32)


def _loop(takes: list[Sound], rng: Generator, length: int, speed: float) -> Audio:
    """Fill [length] (or 60-100 % of it, in one clip out of five) with a texture, joined by equal-power cross-fades."""
    wanted = length if rng.random() < 0.8 else int(length * rng.uniform(0.6, 1.0))
    result = np.zeros(0, np.float32)
    for turn in range(1000):
        source = takes[turn % len(takes)].samples
        room = int((length + SAMPLE_RATE) * speed)
        # A long sound starts anywhere; a short one is used whole after the first turn, which begins inside it.
        start = int(rng.integers(max(1, len(source) - room if len(source) > room else len(source) // 2)))
        piece = _at_speed(source[start if turn == 0 or len(source) > room else 0 :][:room], speed)
        fade = min(len(piece) // 4, len(result) // 4, int(rng.uniform(0.1, 0.5) * SAMPLE_RATE))
        if fade:
            angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
            result[-fade:] = result[-fade:] * np.cos(angle) + piece[:fade] * np.sin(angle)
        result = np.concatenate([result, piece[fade:]])
        if len(result) >= wanted:
            break
    result = result[:wanted]
    if wanted < length:
        edge = min(int(rng.uniform(0.2, 1.0) * SAMPLE_RATE), len(result) // 2)
        result[:edge] *= np.linspace(0, 1, edge, dtype=np.float32)
        result[-edge:] *= np.linspace(1, 0, edge, dtype=np.float32)
    return np.pad(result, (0, length - len(result)))


def _place(takes: list[Sound], rng: Generator, length: int, speed: float) -> tuple[Audio, str]:
    """Place an event once or at jittered intervals in [length]; return it with a caption that tells how."""
    sound = takes[0]
    duration = len(sound.samples) / speed
    start = int(rng.uniform(0, 0.1 if rng.random() < 0.7 else 1.0) * SAMPLE_RATE)
    several = plural(sound.caption)
    is_step = sound.caption.startswith("a footstep")
    goes_on_and_on = ACTIVITY.match(sound.caption) is not None and rng.random() < 0.7
    if goes_on_and_on:
        several = several or sound.caption
        duration = min(duration, SAMPLE_RATE)
    if several is None or duration > 1.5 * SAMPLE_RATE or rng.random() < (0.1 if is_step or goes_on_and_on else 0.5):
        return _put(takes[:1], rng, length, speed, [start]), _phrase(sound, rng)
    rate = ("slow", "", "", "rapid")[int(rng.integers(4))]
    pause = {"slow": rng.uniform(0.7, 1.4), "": rng.uniform(0.15, 0.6), "rapid": rng.uniform(0.03, 0.12)}[rate]
    longest = max(len(take.samples) for take in takes) / speed
    period = longest + pause * SAMPLE_RATE
    most = int((length - start - longest * 1.1) // (period * 1.1)) + 1
    if most < 2:
        return _put(takes[:1], rng, length, speed, [start]), _phrase(sound, rng)
    counted = not is_step and not goes_on_and_on and rng.random() < 0.5
    count = int(rng.integers(2, min(most, 6 if counted else 12) + 1))
    if is_step or goes_on_and_on:
        count = min(most, 24)
    starts = start + np.arange(count) * period + rng.uniform(0, 0.1, count) * period
    word = NUMBERS[count - 2] if counted else rate if rng.random() < 0.7 else ""
    caption = _phrase(sound, rng) if goes_on_and_on else f"{word} {several}".strip()
    return _put(takes, rng, length, speed, [int(at) for at in starts]), caption


def _put(takes: list[Sound], rng: Generator, length: int, speed: float, starts: list[int]) -> Audio:
    """Add one take at each of the sample positions `starts`, each a little different in level and pitch."""
    result = np.zeros(length, np.float32)
    for turn, start in enumerate(starts):
        varied = speed * float(rng.uniform(0.98, 1.02))
        piece = _at_speed(takes[turn % len(takes)].samples, varied)[: length - start]
        if start + len(piece) == length:  # cut off by the end of the clip
            tail = min(SAMPLE_RATE // 4, len(piece))
            piece[len(piece) - tail :] *= np.linspace(1, 0, tail, dtype=np.float32)
        result[start : start + len(piece)] += piece * np.float32(rng.uniform(0.8, 1.0))
    return result


def _colour(samples: Audio, rng: Generator, distant: bool) -> Audio:
    """Tilt the spectrum by up to 1.5 dB per octave; a distant sound also loses its highs and gets reverberation."""
    size = 2 * len(samples)
    frequency = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    tilt = rng.uniform(-1.5, 1.5) * np.log2(np.maximum(frequency, 50) / 1000)
    response = 10 ** (np.clip(tilt, -6, 6) / 20)
    if distant:
        response = response / (1 + (frequency / rng.uniform(800, 2500)) ** 2)
        time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
        echo = rng.standard_normal(len(time)) * np.exp(-6.9 * time / rng.uniform(0.6, 1.6))
        echo *= rng.uniform(0.3, 0.8) / np.sqrt(np.sum(echo**2))
        response = response * (1 + np.fft.rfft(echo, size))
    return np.fft.irfft(np.fft.rfft(samples, size) * response, size)[: len(samples)].astype(np.float32)


def _normalise(samples: Audio, peak: float) -> Audio:
    """Scale to `peak`; silence stays silence."""
    return np.asarray(samples * np.float32(peak / max(float(np.abs(samples).max(initial=0.0)), 1e-9)), np.float32)


def _compose_all(
    sounds: Sequence[Sound], seed: int, seconds: float, synthetic_share: float, count: int
) -> Iterator[Composed]:
    """Yield `count` clips in order, made by two processes that share the sounds."""
    _worker_state["make"] = partial(compose, sounds, seed, seconds=seconds, synthetic_share=synthetic_share)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        yield from pool.imap(_work, range(count), chunksize=8)


# Set before the processes fork, so that they inherit the sounds instead of receiving a copy with every clip.
_worker_state: dict[str, partial[Composed]] = {}


def _work(index: int) -> Composed:
    """Make one clip in a worker process."""
    return _worker_state["make"](index)


def chosen(sounds: Sequence[Sound], only: Sequence[str] = (), without: Sequence[str] = ()) -> list[Sound]:
    """The sounds of some packages, or of all but some. Raises `ValueError` for a package that has none."""
    known = {sound.source for sound in sounds}
    unknown = sorted({*only, *without} - known)
    if unknown:
        raise ValueError(f"no sounds of {', '.join(unknown)}; choose from {', '.join(sorted(known))}")
    return [sound for sound in sounds if (not only or sound.source in only) and sound.source not in without]


def write_clips(clips: Iterable[Composed], count: int, seconds: float, out: Path) -> None:
    """What is trained on: OUT/audio.npy (int16 [count, samples], full scale 32768) and OUT/clips.jsonl."""
    audio = np.lib.format.open_memmap(out / "audio.npy", "w+", np.int16, (count, round(seconds * SAMPLE_RATE)))
    with (out / "clips.jsonl").open("w", encoding="utf-8") as lines:
        for row, clip in enumerate(clips):
            audio[row] = np.round(clip.samples * 32768)
            entry = {"caption": clip.caption, "category": clip.category, "sources": clip.sources}
            lines.write(json.dumps(entry) + "\n")
    audio.flush()


def write_list(clips: Iterable[Composed], out: Path) -> None:
    """What is tested with: a WAV file a clip and OUT/list.csv, as `dcldm evaluate --list` takes it."""
    with (out / "list.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["path", "prompt"])
        for number, clip in enumerate(clips):
            name = f"{number:05d}.wav"
            soundfile.write(out / name, clip.samples, SAMPLE_RATE)
            rows.writerow([name, clip.caption])


def main(arguments: Sequence[str] | None = None) -> None:
    """Write clips to a folder, to be trained on or tested with."""
    parser = argparse.ArgumentParser(description="Compose captioned clips for training, or for tests.")
    parser.add_argument("--sounds", type=Path, required=True, help="the store written by the sounds module")
    parser.add_argument("--synth", action="store_true", help="take about a quarter of the sounds from the synthesiser")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=LONGEST, help="of each clip, 1 to 10.24")
    parser.add_argument("--only", nargs="+", default=[], metavar="PACKAGE", help="take only sounds of these packages")
    parser.add_argument("--without", nargs="+", default=[], metavar="PACKAGE", help="keep these packages for tests")
    parser.add_argument("--list", action="store_true", help="write a test list, list.csv and WAV files")
    options = parser.parse_args(arguments)
    if not 1.0 <= options.seconds <= LONGEST:
        parser.error(f"--seconds: choose a number from 1 to {LONGEST}")
    try:
        sounds = chosen(load_sounds(options.sounds), options.only, options.without)
    except ValueError as error:
        parser.error(str(error))
    if not sounds:
        parser.error("no sounds are left; leave fewer packages out")
    options.out.mkdir(parents=True, exist_ok=True)
    clips = _compose_all(
        sounds, options.seed, options.seconds, SYNTHETIC_SHARE if options.synth else 0.0, options.count
    )
    if options.list:
        write_list(clips, options.out)
    else:
        write_clips(clips, options.count, options.seconds, options.out)


if __name__ == "__main__":
    main()
