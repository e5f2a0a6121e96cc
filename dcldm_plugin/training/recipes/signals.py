"""Bells, beeps, sirens, alarm clocks, telephones and horns."""

import numpy as np
from scipy import signal

from dcldm_plugin.training.recipes.blocks import (
    DURATION,
    MAXIMUM_LENGTH,
    NUMBERS,
    RATE,
    Audio,
    Rng,
    Sound,
    between,
    burst,
    electronic_tone,
    endless,
    even,
    filtered,
    level_of,
    mix,
    noise,
    one_of,
    pick,
    regular_times,
    room,
    samples_in,
    say,
    sequence,
    struck,
    times_of,
    tone,
    unit,
    wander,
)


def bell(rng: Rng) -> Sound:
    """A struck bell: inharmonic partials, the high ones dying first, slow beats between doubled ones."""
    size, (base, seconds) = pick(rng, {
        "tiny": (2100.0, 1.3), "small": (1150, 2.0), "": (560, 3.0), "large": (270, 5.0), "huge": (150, 7.0),
        "church": (320, 5.0), "deep": (170, 6.0), "hand": (900, 2.0),
    })  # fmt: skip
    base *= rng.uniform(0.85, 1.2)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.67, 3.01, 4.17, 5.43, 6.8])
    ratios *= rng.uniform(0.99, 1.01, len(ratios))
    doubled = np.concatenate((ratios, ratios[:5] * (1 + rng.uniform(0.3, 1.5) / base)))
    fall = seconds * rng.uniform(0.8, 1.2) / np.maximum(doubled, 0.6) ** 0.75
    counted = rng.random() < 0.5
    interval = min(2.2, max(0.45, seconds * 0.35)) * rng.uniform(0.85, 1.2)
    count = int(rng.integers(2, max(3, min(7, int(9.0 / interval)) + 1))) if counted else 1
    times = regular_times(rng, interval, count, 0.02)
    strokes = []
    for _ in range(count):
        levels = rng.uniform(0.4, 1.0, len(doubled)) / np.maximum(doubled, 1.0) ** 0.6
        stroke = struck(rng, base * doubled, fall, levels, rng.uniform(0.6, 0.9))
        strokes.append(
            unit(stroke) + 0.02 * np.pad(burst(rng, 0.03, 1500, 7000), (0, max(0, len(stroke) - 496)))[: len(stroke)]
        )
    samples = room(rng, sequence(times, strokes), rng.uniform(0.1, 0.7))
    verb = "tolling" if base < 450 else "ringing"
    if counted:
        return Sound(
            samples,
            say(
                rng,
                f"a {size} bell {verb} {NUMBERS[count]} times|{NUMBERS[count]} {size} bell strikes|"
                f"a {size} bell struck {NUMBERS[count]} times|{NUMBERS[count]} rings of a {size} bell",
            ),
        )
    return Sound(
        samples,
        say(
            rng,
            f"a {size} bell|a {size} bell ringing once|a single {size} bell strike",
            f"a {size} bell ding" if base > 450 else f"a {size} bell tolling once",
            f"{size} bell ring",
        ),
    )


def _timbre(rng: Rng) -> Audio:
    """Harmonic levels of a small loudspeaker's tone, from nearly a sine to a square wave."""
    levels = np.ones(8) / np.arange(1, 9)
    levels[1::2] *= rng.uniform(0.0, 0.6)
    levels[1:] *= rng.uniform(0.05, 1.0)
    return levels


def beep(rng: Rng) -> Sound:
    """Electronic beeps: counted, or an endless row."""
    pitch, base = pick(rng, {"low": 320.0, "low-pitched": 280.0, "": 900.0, "high": 2100.0, "high-pitched": 2500.0})
    speed, seconds = pick(rng, {"short": 0.09, "": 0.18, "long": 0.55, "fast": 0.08, "slow": 0.4})
    base *= rng.uniform(0.85, 1.2)
    seconds *= rng.uniform(0.85, 1.2)
    gap = seconds * rng.uniform(0.7, 1.2) + (0.6 if speed == "slow" else 0.05)
    unending = rng.random() < 0.2
    count = endless(seconds + gap) if unending else int(rng.integers(1, 7))
    levels = _timbre(rng)
    events = [electronic_tone(base, seconds, levels) for _ in range(count)]
    samples = room(rng, sequence(regular_times(rng, seconds + gap, count, 0.0), events), rng.uniform(0.0, 0.35))
    kind = say(rng, "|electronic|computer") if pitch == "" else ""
    if unending:
        return Sound(
            samples,
            say(
                rng,
                f"{speed} repeating {pitch} beeps|continuous {speed} {pitch} beeping|a {pitch} beeping alarm|"
                f"{kind} {pitch} beeping",
            ),
            True,
            0.8,
        )
    if count == 1:
        speed = {"fast": "short", "slow": "long"}.get(speed, speed)
        return Sound(
            samples,
            say(
                rng,
                f"a {speed} {pitch} {kind} beep|one {speed} {pitch} beep|a single {speed} {pitch} beep|"
                f"{pitch} {kind} beep",
            ),
            False,
            0.8,
        )
    return Sound(
        samples,
        say(
            rng,
            f"{NUMBERS[count]} {speed} {pitch} {kind} beeps|{NUMBERS[count]} {pitch} beeps|"
            f"{speed} {pitch} {kind} beeping {NUMBERS[count]} times|"
            f"{NUMBERS[count]} {speed} {pitch} beeps in a row",
        ),
        False,
        0.8,
    )


def siren(rng: Rng) -> Sound:
    """A siren's glide: wailing, yelping, two tones, or an air raid's slow rise."""
    kind, (low, high, period) = pick(rng, {
        "police": (600, 1400, 4.0), "wailing": (550, 1300, 4.5), "yelping": (650, 1500, 0.35),
        "ambulance": (440, 590, 1.1), "fire truck": (400, 900, 3.0), "air raid": (220, 480, 8.0),
        "emergency": (600, 1200, 1.8),
    })  # fmt: skip
    distance, cutoff = pick(rng, {"": 7000.0, "distant": 1300.0, "nearby": 7500.0})
    speed, factor = pick(rng, {"": 1.0, "slow": 1.5, "fast": 0.6})
    length = MAXIMUM_LENGTH
    phase = (times_of(length) / (period * factor * rng.uniform(0.9, 1.1)) + rng.uniform()) % 1.0
    shape = (phase < 0.5).astype(float) if kind == "ambulance" else 0.5 - 0.5 * np.cos(2 * np.pi * phase)
    shape = np.asarray(signal.filtfilt([0.02], [1.0, -0.98], shape))
    curve = low * (high / low) ** shape * rng.uniform(0.93, 1.07)
    samples = tone(curve, 0.55 ** np.arange(8) * rng.uniform(0.5, 1.0, 8)) * wander(rng, length, 1.0, 0.7, 1.0)
    samples = filtered(np.tanh(samples), 250, cutoff) + 0.02 * noise(rng, length, 100, 3000, -3.0)
    return Sound(
        room(rng, samples, 0.8 if distance == "distant" else rng.uniform(0.2, 0.7)),
        say(
            rng,
            f"a {speed} {distance} {kind} siren|{distance} {kind} siren|a {distance} {kind} siren sounding",
            f"the {speed} siren of a {distance} {kind}"
            if kind in ("ambulance", "fire truck")
            else f"a {speed} {kind} siren {'in the distance' if distance == 'distant' else distance}",
        ),
        True,
        0.5 if distance == "distant" else 0.9,
    )


def alarm_clock(rng: Rng) -> Sound:
    """A clock's alarm: groups of electronic beeps, or a mechanical bell hammered fast."""
    digital = rng.random() < 0.55
    size = rng.uniform(0.0, 0.3)
    if digital:
        speed, interval = pick(rng, {"": 1.0, "fast": 0.7, "slow": 1.4})
        base, levels, group = between(rng, 1700, 2900), _timbre(rng), int(rng.integers(2, 5))
        beat = rng.uniform(0.1, 0.13)
        events = [
            (start + number * beat, electronic_tone(base, beat * 0.6, levels))
            for start in np.arange(0.02, DURATION, interval)
            for number in range(group)
        ]
        return Sound(
            room(rng, mix(DURATION, events), size),
            say(
                rng,
                f"a {speed} digital alarm clock|a {speed} beeping alarm clock|a digital alarm clock beeping|"
                f"a {speed} electronic alarm|an alarm clock",
            ),
            True,
            0.8,
        )
    pitch, base = pick(rng, {"": 1900.0, "high-pitched": 2700.0, "low-pitched": 1200.0})
    ratios = np.array([1.0, 1.52, 2.1, 2.7, 3.4])
    stroke = struck(
        rng, base * ratios * rng.uniform(0.98, 1.02, 5), [0.5, 0.4, 0.3, 0.25, 0.2], [1, 0.8, 0.7, 0.5, 0.3], 0.95
    )
    times = regular_times(rng, 1.0 / rng.uniform(16, 24), endless(1.0 / 24), 0.08)
    samples = mix(DURATION, ((time, rng.uniform(0.5, 1.0) * stroke) for time in times if time < DURATION - 0.1))
    return Sound(
        room(rng, samples + 0.02 * level_of(samples) * noise(rng, len(samples), 2000, 7000), size),
        say(
            rng,
            f"a {pitch} ringing alarm clock|a {pitch} mechanical alarm clock ringing|"
            f"an old alarm clock with a {pitch} bell|an alarm clock ringing",
        ),
        True,
        0.8,
    )


def phone(rng: Rng) -> Sound:
    """A telephone: the old bell, the electronic warble or the line's ringing tone."""
    kind = one_of(rng, "old|electronic|tone|busy")
    count = int(rng.integers(1, 4))
    if kind == "old":
        first = struck(
            rng,
            1100 * rng.uniform(0.8, 1.3) * np.array([1, 1.5, 2.3, 3.1]),
            [0.9, 0.7, 0.4, 0.3],
            [1, 0.8, 0.5, 0.3],
            0.95,
        )
        hits = regular_times(rng, 1 / 22, 36, 0.05)
        ring = mix(2.4, ((time, rng.uniform(0.7, 1.0) * first) for time in hits))
        words: tuple[str, ...] = (
            "an old telephone ringing",
            "an old phone ring",
            "a rotary phone ringing",
            "a telephone bell",
        )
    elif kind == "electronic":
        low, ratio = between(rng, 700, 1400), rng.uniform(1.15, 1.4)
        curve = low * np.where(times_of(samples_in(1.3)) * rng.uniform(9, 16) % 1.0 < 0.5, 1.0, ratio)
        ring = np.pad(tone(curve, _timbre(rng)), (800, 800))
        words = ("a phone ringing", "an electronic phone ring", "a warbling telephone ring", "an office phone ringing")
    else:
        pair, on = ((440.0, 480.0), 1.9) if kind == "tone" else ((480.0, 620.0), 0.45)
        ring = electronic_tone(pair[0], on, np.ones(1)) + electronic_tone(pair[1], on, np.ones(1))
        ring = np.tanh(ring) + 0.01 * noise(rng, len(ring), 300, 3400)
        words = (
            ("a ringing tone on a telephone line", "a phone line ringing")
            if kind == "tone"
            else ("a telephone busy signal", "a busy tone on a phone")
        )
        count = count if kind == "tone" else int(rng.integers(3, 10))
    gap = {"busy": 0.95, "tone": 3.0}.get(kind, len(ring) / RATE + rng.uniform(0.3, 0.9))
    samples = sequence(regular_times(rng, gap, count, 0.0), [ring] * count)
    times = "" if kind == "busy" or (count == 1 and rng.random() < 0.5) else ("once", "twice", "three times")[count - 1]
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.35)),
        say(rng, *(f"{phrase} {times if 'ringing' in phrase else ''}" for phrase in words)),
        False,
        0.8,
    )


def horn(rng: Rng) -> Sound:
    """A vehicle's horn: a loud chord of buzzing tones."""
    vehicle, (base, ratios) = pick(rng, {
        "car": (400.0, (1.0, 1.26)), "truck": (190, (1.0, 1.25, 1.5)), "train": (250, (1.0, 1.19, 1.5, 1.78)),
        "ship": (85, (1.0, 1.5)), "bicycle": (750, (1.0,)),
    })  # fmt: skip
    length_word, seconds = pick(rng, {"short": 0.3, "": 0.8, "long": 2.2})
    seconds *= rng.uniform(0.85, 1.2) * (1.5 if vehicle == "ship" else 1.0)
    base *= rng.uniform(0.88, 1.14)
    count = int(rng.choice([1, 1, 1, 2, 3])) if seconds < 2.5 else 1
    levels = 0.8 ** np.arange(14) * rng.uniform(0.4, 1.0, 14)
    blasts = []
    for _ in range(count):
        length = samples_in(seconds * rng.uniform(0.9, 1.1))
        edge = np.minimum(1.0, np.minimum(times_of(length), times_of(length)[::-1]) / 0.04)
        curve = base * (0.97 + 0.03 * edge) * wander(rng, length, 6.0, 0.998, 1.002)
        blast = sum((tone(curve * ratio * rng.uniform(0.997, 1.003), levels) for ratio in ratios), np.zeros(length))
        blasts.append((even(blast) + 0.06 * noise(rng, length, 300, 5000)) * edge)
    samples = room(
        rng,
        filtered(sequence(regular_times(rng, seconds * 1.35 + 0.05, count), blasts), base * 0.8),
        rng.uniform(0.2, 0.7),
    )
    noun = "fog horn" if vehicle == "ship" and rng.random() < 0.4 else f"{vehicle} horn"
    if count > 1:
        return Sound(
            samples,
            say(
                rng,
                f"{NUMBERS[count]} {length_word} {noun} blasts|a {noun} honking {NUMBERS[count]} times|"
                f"{NUMBERS[count]} {length_word} honks of a {noun}",
            ),
        )
    return Sound(
        samples,
        say(
            rng, f"a {length_word} {noun}|a {length_word} {noun} blast|a {noun} sounding once|{length_word} {noun} honk"
        ),
    )
