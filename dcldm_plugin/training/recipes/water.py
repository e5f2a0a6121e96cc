"""Streams, waves, drips, bubbles and splashes."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    DURATION,
    MAXIMUM_LENGTH,
    RATE,
    Rng,
    Sound,
    adverb,
    between,
    bubble,
    burst,
    crackle,
    drops,
    endless,
    even,
    filtered,
    mix,
    noise,
    one_of,
    pick,
    random_times,
    regular_times,
    room,
    samples_in,
    say,
    swell,
    wander,
)


def stream(rng: Rng) -> Sound:
    """Running water: countless small bubbles over a soft wash."""
    size, (rate, low, high, wash) = pick(rng, {
        "small": (250, 700, 3500, 0.25), "gentle": (150, 500, 2600, 0.3), "": (400, 400, 3000, 0.6),
        "fast": (700, 350, 3500, 1.2), "rushing": (900, 250, 2800, 2.0),
    })  # fmt: skip
    samples = even(drops(rng, MAXIMUM_LENGTH, rate * rng.uniform(0.7, 1.4), low, high, 0.03, bodies=24))
    near = ((time, bubble(rng, low, high * 0.7)) for time in random_times(rng, 18, DURATION))
    samples = samples * wander(rng, MAXIMUM_LENGTH, 5.0, 0.5, 1.2) + 0.8 * mix(DURATION, near)
    samples += wash * noise(rng, MAXIMUM_LENGTH, 250, 5000, -3.0) * wander(rng, MAXIMUM_LENGTH, 2.0, 0.7, 1.1)
    noun = one_of(rng, "stream|creek|brook") if wash < 1 else one_of(rng, "river|stream")
    return Sound(
        room(rng, samples, rng.uniform(0, 0.3)),
        say(
            rng,
            f"a {size} {noun}|a {size} {noun} flowing|{size} running water|{size} flowing water|"
            f"water flowing in a {size} {noun}",
            f"a {size} babbling {noun}" if wash < 1 else f"a {size} {noun} rushing by",
        ),
        True,
    )


def waves(rng: Rng) -> Sound:
    """Surf: slow swells of noise that break bright and drain away."""
    size, (period, bright) = pick(
        rng, {"gentle": (3.5, 1500), "small": (2.8, 2200), "": (4.2, 3000), "big": (5.0, 4200), "crashing": (4.5, 6500)}
    )
    body, foam, starts = np.zeros(MAXIMUM_LENGTH), np.zeros(MAXIMUM_LENGTH), -rng.uniform(0, period)
    while starts < DURATION:
        length = samples_in(period * rng.uniform(1.1, 1.6))
        crest = swell(length, rng.uniform(0.25, 0.4), 1.6) * rng.uniform(0.6, 1.0)
        for layer, delay in ((body, 0.0), (foam, period * 0.12)):
            first = round((starts + delay) * RATE)
            piece = crest[max(0, -first) : max(0, MAXIMUM_LENGTH - first)]
            layer[max(0, first) : max(0, first) + len(piece)] += piece
        starts += period * rng.uniform(0.8, 1.2)
    samples = noise(rng, MAXIMUM_LENGTH, 70, 900, -2.0) * (0.12 + body)
    samples += noise(rng, MAXIMUM_LENGTH, 600, bright, -1.5) * (0.06 + foam**1.5) * 0.8
    samples += 0.2 * even(crackle(rng, MAXIMUM_LENGTH, 900, 2500, 7000, 0.005)) * foam**2
    return Sound(
        samples,
        say(
            rng,
            f"{size} ocean waves|{size} waves on a beach|{size} waves breaking on the shore|{size} sea waves|"
            f"the ocean with {size} waves|{size} waves washing ashore|{size} surf",
        ),
        True,
        0.6 if size in ("gentle", "small") else 1.0,
    )


def dripping(rng: Rng) -> Sound:
    """Single drops into water, slow or fast, in a small or large space."""
    speed, interval = pick(rng, {"slow": 1.7, "": 0.9, "steady": 0.7, "fast": 0.28})
    place, (size, dense) = pick(rng, {
        "": (0.25, 0), "in a cave": (0.9, 0), "in a sink": (0.2, 1), "in a bucket": (0.35, 1), "from a tap": (0.2, 1),
    })  # fmt: skip
    interval *= rng.uniform(0.85, 1.2)
    jitter = 0.04 if speed == "steady" else 0.15
    times = regular_times(rng, interval, endless(interval), jitter)
    pitch = between(rng, 500, 1300)
    events = []
    for time in times:
        drip = 0.7 * burst(rng, 0.012, 1500, 7000)
        events.append((time, drip))
        for delay in rng.uniform(0.01, 0.08, 1 + dense + int(rng.integers(2))):
            events.append((time + delay, bubble(rng, pitch * 0.85, pitch * 1.25)))
    return Sound(
        room(rng, mix(DURATION, events), size),
        say(
            rng,
            f"{speed} dripping water {place}|water dripping {adverb(speed)} {place}|{speed} water drops {place}|"
            f"{speed} drips of water {place}|drops of water falling {place}",
        ),
        True,
        0.8,
    )


def bubbles(rng: Rng) -> Sound:
    """Bubbles rising through a liquid, or single pops."""
    pace, rate = pick(rng, {"slow": 5.0, "a few": 4.0, "": 14.0, "fast": 35.0, "many": 40.0, "boiling": 55.0})
    size, (low, high) = pick(rng, {"small": (900, 2600), "": (450, 1600), "large": (160, 600), "deep": (140, 500)})
    events = ((time, bubble(rng, low, high)) for time in random_times(rng, rate, DURATION))
    samples = mix(DURATION, events)
    if rate > 20:
        samples += 0.05 * noise(rng, MAXIMUM_LENGTH, low, high * 1.5)
    return Sound(
        room(rng, filtered(samples, None, rng.uniform(2500, 7000)), rng.uniform(0, 0.3)),
        say(
            rng,
            f"{pace} {size} bubbles|{pace} {size} bubbles in water|{pace} {size} bubbles under water",
            f"bubbling {size} liquid" if rate > 10 else f"{pace} {size} bubbles popping",
            f"{pace} {size} bubbling sounds",
        ),
        True,
        0.8,
    )


def splash(rng: Rng) -> Sound:
    """Something falls into water: a slap, a spray and the bubbles after it."""
    size, (low, seconds, rate) = pick(
        rng, {"small": (900, 0.35, 15), "": (400, 0.7, 25), "big": (150, 1.3, 40), "huge": (80, 2.0, 50)}
    )
    slap = burst(rng, seconds * 0.5, low, 4500, 0.004, -2.0)
    spray = mix(seconds * 1.6, [(0.05, 0.6 * burst(rng, seconds * 1.4, 1500, 7000, seconds * 0.15))])
    spray *= wander(rng, len(spray), 25.0, 0.4, 1.0)
    blobs = [
        (0.08 + time, 0.5 * bubble(rng, low, low * 4) * np.exp(-2 * time / seconds))
        for time in random_times(rng, rate, seconds)
    ]
    samples = mix(seconds * 2, [(0.0, slap), (0.0, spray), *blobs])
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.5)),
        say(
            rng,
            f"a {size} splash|a {size} water splash|something making a {size} splash in water|"
            f"a {size} splash of water|a {size} object falling into water",
        ),
    )
