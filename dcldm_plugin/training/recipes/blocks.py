"""What the recipes are built of: the drawing of words and parameters, and the elements of sound."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

RATE = 16_000
"""Sample rate of everything here, in hertz."""
MAXIMUM_LENGTH = 163_840
"""The longest clip, in samples (10.24 s)."""
DURATION = MAXIMUM_LENGTH / RATE
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

Audio = NDArray[np.float64]
Rng = np.random.Generator
Choice = TypeVar("Choice")


class Sound(NamedTuple):
    """What a recipe returns: unscaled samples and the words for them."""

    samples: Audio
    caption: str
    is_texture: bool = False
    """Whether the sound fills its whole length evenly, with no beginning or end of its own."""
    loudness: float = 1.0
    """Peak relative to an ordinary clip, 0..1."""


def pick(rng: Rng, choices: Mapping[str, Choice]) -> tuple[str, Choice]:
    """One of `choices`: the word and the parameters that belong to it."""
    word = list(choices)[int(rng.integers(len(choices)))]
    return word, choices[word]


def say(rng: Rng, *phrases: str) -> str:
    """One of `phrases` (| parts several in one string), without empty words, `a` becoming `an` where it must."""
    choices = "|".join(phrases).split("|")
    words = " ".join(choices[int(rng.integers(len(choices)))].split())
    return re.sub(r"\ba (?=[aeio8]|u(?!i|ni|s))", "an ", words)


def one_of(rng: Rng, words: str) -> str:
    """One of `words`, which | parts."""
    return str(rng.choice(words.split("|")))


def adverb(speed: str) -> str:
    """The word for doing something at `speed`: "slowly" for "slow", "fast" for "fast"."""
    return speed if speed in ("", "fast") else f"{speed}ly"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`count` in words with its noun: "one beep", "three beeps"."""
    return f"{NUMBERS[count]} {one if count == 1 else many or one + 's'}"


def between(rng: Rng, low: float, high: float) -> float:
    """A random value between two positive bounds, even on a logarithmic scale as ears hear it."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def samples_in(seconds: float) -> int:
    """How many samples last `seconds` (at least one)."""
    return max(1, round(seconds * RATE))


def times_of(length: int) -> Audio:
    """The time of each of `length` samples, in seconds."""
    return np.arange(length) / RATE


def decay(length: int, seconds: float) -> Audio:
    """An exponential that starts at one and falls by 60 dB in `seconds`."""
    return np.asarray(np.exp(times_of(length) * (-6.9 / seconds)))


def swell(length: int, peak: float, sharpness: float = 2.0) -> Audio:
    """A hump from zero to one (at the fraction `peak` of the length) and back to zero."""
    shape = np.interp(np.arange(length), [0, peak * length, length], [0.0, 1.0, 0.0])
    return np.asarray(shape**sharpness)


def wander(rng: Rng, length: int, per_second: float, low: float = 0.0, high: float = 1.0) -> Audio:
    """A smooth random curve between `low` and `high` that turns about `per_second` times a second."""
    points = int(length / RATE * per_second) + 3
    knots = rng.uniform(low, high, points)
    place = rng.uniform(0.0, 0.99) + np.arange(length) * (per_second / RATE)
    before = place.astype(np.intp)
    part = place - before
    part *= part * (3.0 - 2.0 * part)
    return np.asarray(knots[before] * (1.0 - part) + knots[before + 1] * part)


def noise(rng: Rng, length: int, low: float = 40.0, high: float = 7800.0, slope: float = 0.0) -> Audio:
    """Noise of unit power between `low` and `high`, tilted by `slope` dB per octave."""
    size = fft.next_fast_len(length, real=True)
    frequency = np.maximum(np.fft.rfftfreq(size, 1.0 / RATE), 0.1)
    gain = frequency ** (slope / 6.02) / np.sqrt((1.0 + (low / frequency) ** 6) * (1.0 + (frequency / high) ** 6))
    shaped = np.asarray(fft.irfft(fft.rfft(rng.standard_normal(size)) * gain, size))[:length]
    return np.asarray(shaped / (np.sqrt(np.mean(shaped**2)) + 1e-12))


def burst(rng: Rng, seconds: float, low: float, high: float, attack: float = 0.001, slope: float = 0.0) -> Audio:
    """A noise burst that decays in `seconds` after a rise of `attack` seconds."""
    length = samples_in(seconds + attack)
    rise = np.minimum(1.0, times_of(length) / max(attack, 1e-4))
    return noise(rng, length, low, high, slope) * rise * decay(length, seconds)


def resonate(excitation: Audio, frequency: float, seconds: float) -> Audio:
    """What rings at `frequency` with the decay time `seconds` when driven by `excitation`."""
    radius = np.exp(-6.9 / (seconds * RATE))
    angle = 2.0 * np.pi * min(frequency, 7900.0) / RATE
    poles = [1.0, -2.0 * radius * np.cos(angle), radius**2]
    return np.asarray(signal.lfilter([np.sin(angle)], poles, excitation))


def struck(
    rng: Rng, frequencies: Iterable[float], seconds: Iterable[float], levels: Iterable[float], hardness: float = 0.5
) -> Audio:
    """A body of resonant modes hit once; a soft mallet (`hardness` 0) spares the high ones."""
    modes = [mode for mode in zip(frequencies, seconds, levels, strict=True) if 20.0 < mode[0] < 7700.0]
    contact = samples_in(0.006 * (1.0 - hardness) ** 2 + 0.0003)
    excitation = np.zeros(samples_in(min(DURATION, 1.05 * max(mode[1] for mode in modes))))
    excitation[:contact] = np.hanning(contact + 2)[1:-1] * (1.0 + 0.4 * rng.standard_normal(contact))
    excitation /= np.sum(np.abs(excitation))
    rings = [level * resonate(excitation, hertz, fall) for hertz, fall, level in modes]
    return np.asarray(np.sum(rings, axis=0), dtype=np.float64)


def filtered(samples: Audio, low: float | None = None, high: float | None = None, order: int = 2) -> Audio:
    """`samples` with what lies below `low` and above `high` taken away."""
    if low is not None:
        samples = np.asarray(signal.sosfilt(signal.butter(order, low, "highpass", fs=RATE, output="sos"), samples))
    if high is not None and high < 7900.0:
        samples = np.asarray(signal.sosfilt(signal.butter(order, high, "lowpass", fs=RATE, output="sos"), samples))
    return samples


def tone(frequency: Audio, levels: Iterable[float] = (1.0,)) -> Audio:
    """A harmonic tone that follows the curve `frequency`; `levels` belong to harmonics 1, 2, 3 ..."""
    angle = 2.0 * np.pi * np.cumsum(frequency) / RATE
    top = float(np.max(frequency))
    double_cosine = 2.0 * np.cos(angle)
    before, current = np.zeros(len(angle)), np.sin(angle)
    total = np.zeros(len(angle))
    for number, level in enumerate(levels, 1):
        if number * top > 7900.0:
            break
        total += level * current
        before, current = current, double_cosine * current - before
    return total


def glide(seconds: float, *frequencies: float) -> Audio:
    """A frequency curve through `frequencies`, evenly spaced in time and even on a logarithmic scale."""
    length = samples_in(seconds)
    points = np.linspace(0.0, length, len(frequencies))
    return np.asarray(np.exp(np.interp(np.arange(length), points, np.log(frequencies))))


def narrow(rng: Rng, frequency: Audio, width: float) -> Audio:
    """Noise in a band of `width` hertz around the moving centre `frequency`: a breath, a howl, a whistle."""
    angle = 2.0 * np.pi * np.cumsum(frequency) / RATE
    length = len(frequency)
    in_phase, quadrature = noise(rng, length, 0.2, width), noise(rng, length, 0.2, width)
    return np.asarray(in_phase * np.cos(angle) + quadrature * np.sin(angle))


def random_times(rng: Rng, rate: float, seconds: float) -> Audio:
    """Times of events that happen by chance, `rate` a second (at least one event)."""
    count = max(1, int(rng.poisson(rate * seconds)))
    return np.sort(rng.uniform(0.0, seconds, count))


def regular_times(rng: Rng, interval: float, count: int, jitter: float = 0.05) -> Audio:
    """Times of `count` events about `interval` apart, each off by a random share (`jitter`) of it."""
    times = np.arange(count) * interval + rng.normal(0.0, jitter * interval, count)
    return np.asarray(np.maximum(times - times[0] + 0.01, 0.0))


def endless(interval: float) -> int:
    """How many events `interval` apart are sure to fill a whole clip."""
    return int(DURATION / interval) + 3


def pulses(rate: Audio) -> NDArray[np.intp]:
    """Sample positions of a pulse train that follows the curve `rate`."""
    return np.flatnonzero(np.diff(np.floor(np.cumsum(rate) / RATE))) + 1


def specks(rng: Rng, length: int, rate: float, spread: float = 0.8) -> Audio:
    """Impulses by chance, `rate` a second, of either sign and many sizes (`spread`: their log deviation)."""
    count = max(1, int(rng.poisson(rate * length / RATE)))
    out = np.zeros(length)
    sizes = rng.lognormal(0.0, spread, count) * rng.choice([-1.0, 1.0], count)
    np.add.at(out, rng.integers(0, length, count), sizes)
    return out


def drops(
    rng: Rng, length: int, rate: float, low: float, high: float, seconds: float, bodies: int = 8, spread: float = 0.8
) -> Audio:
    """Small things that ring when hit by chance, `bodies` of them, tuned between `low` and `high`."""
    total = np.zeros(length)
    for _ in range(bodies):
        hits = specks(rng, length, rate / bodies, spread)
        total += resonate(hits, between(rng, low, high), seconds * rng.uniform(0.6, 1.5))
    return total


def crackle(rng: Rng, length: int, rate: float, low: float, high: float, seconds: float, spread: float = 0.8) -> Audio:
    """Small noise bursts by chance, `rate` a second, each decaying in `seconds`."""
    envelope = signal.lfilter([1.0], [1.0, -np.exp(-6.9 / (seconds * RATE))], np.abs(specks(rng, length, rate, spread)))
    return noise(rng, length, low, high) * np.asarray(envelope, dtype=np.float64)


def mix(seconds: float, events: Iterable[tuple[float, Audio]]) -> Audio:
    """A clip of `seconds` with each event's samples added at its time."""
    out = np.zeros(min(MAXIMUM_LENGTH, samples_in(seconds)))
    for time, samples in events:
        start = round(time * RATE)
        samples = samples[: max(0, len(out) - start)]
        out[start : start + len(samples)] += samples
    return out


def sequence(times: Audio, events: Iterable[Audio]) -> Audio:
    """Events placed at `times`, in a clip just long enough for all of them."""
    placed = list(zip(times.tolist(), events, strict=True))
    return mix(max(time + len(samples) / RATE for time, samples in placed), placed)


def room(rng: Rng, samples: Audio, size: float) -> Audio:
    """`samples` heard in a space, from a cupboard (`size` 0) to a cave (1); the echo lengthens the clip."""
    seconds = 0.06 + 2.2 * size**1.5
    length = samples_in(seconds)
    echo = noise(rng, length, 120.0, 6000.0 - 3500.0 * size, -1.5) * decay(length, seconds)
    echo /= np.sqrt(np.sum(echo**2))
    wet = np.asarray(signal.fftconvolve(samples, echo))
    wet[: len(samples)] += samples / ((0.12 + 0.5 * size) * rng.uniform(0.5, 1.0))
    return wet


def level_of(samples: Audio) -> float:
    """Root mean square of `samples`, never zero."""
    return float(np.sqrt(np.mean(samples**2))) + 1e-12


def unit(samples: Audio) -> Audio:
    """`samples` scaled to a peak of one."""
    return samples / (float(np.max(np.abs(samples))) + 1e-12)


def even(samples: Audio) -> Audio:
    """`samples` scaled to unit power, for mixing textures."""
    return samples / level_of(samples)


def bubble(rng: Rng, low: float, high: float) -> Audio:
    """A bubble or drip: a sine that rises in pitch as it dies away."""
    start = between(rng, low, high)
    seconds = between(rng, 0.03, 0.12)
    curve = glide(seconds, start, start * rng.uniform(1.1, 1.8))
    return tone(curve) * decay(len(curve), seconds) * rng.lognormal(0.0, 0.5)


def electronic_tone(frequency: float, seconds: float, levels: Audio) -> Audio:
    """An electronic tone with soft edges."""
    length = samples_in(seconds)
    edge = np.minimum(1.0, np.minimum(times_of(length), times_of(length)[::-1]) / 0.005)
    return tone(np.full(length, frequency), levels) * edge
