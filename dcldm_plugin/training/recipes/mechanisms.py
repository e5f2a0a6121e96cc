"""Small mechanisms under the hand: clicks, clocks, keys and saws."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    DURATION,
    MAXIMUM_LENGTH,
    NUMBERS,
    RATE,
    Rng,
    Sound,
    adverb,
    burst,
    endless,
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
    swell,
    unit,
    wander,
)


def click(rng: Rng) -> Sound:
    """Clicks of interfaces, switches and mice."""
    kind, (base, seconds) = pick(
        rng, {"soft": (900, 0.02), "": (1800, 0.015), "sharp": (3200, 0.01), "low": (450, 0.03), "high": (3800, 0.015)}
    )
    thing = one_of(rng, "ui|button|mouse|switch|menu")
    count = int(rng.choice([1, 1, 2, 3]))
    clicks = []
    for _ in range(count):
        press = unit(
            struck(
                rng,
                base * rng.uniform(0.9, 1.1) * np.array([1, 2.1, 3.3]),
                np.full(3, seconds * 2.5),
                [1, 0.5, 0.4],
                0.9,
            )
        )
        parts = [(0.0, press), (0.0, 0.4 * burst(rng, seconds, base * 0.8, 7000))]
        if thing in ("mouse", "switch", "button"):
            parts.append((rng.uniform(0.04, 0.09), 0.5 * press))
        clicks.append(mix(0.16, parts))
    samples = room(
        rng, sequence(regular_times(rng, rng.uniform(0.18, 0.4), count, 0.1), clicks), rng.uniform(0.0, 0.15)
    )
    if count > 1:
        return Sound(
            samples,
            say(
                rng,
                f"{NUMBERS[count]} {kind} {thing} clicks|{thing} clicking {NUMBERS[count]} times|"
                f"{NUMBERS[count]} {kind} clicks",
            ),
            False,
            0.7,
        )
    return Sound(
        samples,
        say(
            rng,
            f"a {kind} {thing} click|{kind} {thing} click|a single {kind} click",
            f"a {kind} click of a {thing}"
            if thing in ("button", "mouse", "switch")
            else f"a {kind} {thing} click sound",
        ),
        False,
        0.7,
    )


def clock(rng: Rng) -> Sound:
    """Ticking: two alternating clicks with a small body."""
    size, (base, interval, ring) = pick(rng, {
        "": (2200.0, 0.5, 0.03), "small": (3600, 0.25, 0.02), "large": (900, 1.0, 0.07),
        "grandfather": (500, 1.0, 0.12), "wall": (1600, 0.5, 0.04), "stopwatch": (4000, 0.2, 0.015),
    })  # fmt: skip
    speed, factor = pick(rng, {"": 1.0, "slow": 1.6, "fast": 0.55})
    interval *= factor
    base *= rng.uniform(0.85, 1.2)
    count = endless(interval)
    events = []
    for number in range(count):
        pitch = base * (1.0 if number % 2 else 1.18)
        tick = unit(
            struck(
                rng,
                pitch * np.array([1, 1.63, 2.4, 3.7]),
                [ring, ring * 0.8, ring / 2, ring / 2],
                [1, 0.7, 0.6, 0.3],
                0.93,
            )
        )
        events.append(
            rng.uniform(0.85, 1)
            * mix(ring + 0.05, [(0.0, tick), (0.0, 0.25 * burst(rng, 0.006, 2000, 7500)), (0.025, 0.25 * tick)])
        )
    samples = room(rng, sequence(regular_times(rng, interval, count, 0.008), events), rng.uniform(0.05, 0.5))
    noun = size if size == "stopwatch" else f"{size} clock"
    return Sound(
        samples,
        say(
            rng,
            f"a {speed} ticking {noun}|a {noun} ticking {adverb(speed)}|{speed} {noun} ticks|"
            f"the {speed} tick-tock of a {noun}",
        ),
        True,
        0.6,
    )


def typing(rng: Rng) -> Sound:
    """Keys of a keyboard or a typewriter, in bursts."""
    machine = one_of(rng, "keyboard|computer keyboard|mechanical keyboard|typewriter")
    speed, rate = pick(rng, {"slow": 3.0, "": 6.0, "fast": 11.0})
    base = {"typewriter": 1400.0, "mechanical keyboard": 1900.0}.get(machine, 1100.0) * rng.uniform(0.85, 1.2)
    times = np.cumsum(rng.gamma(4.0, 1.0 / (4.0 * rate), int(DURATION * rate * 1.3)))
    times = times[times < DURATION - 0.1]
    busy = wander(rng, MAXIMUM_LENGTH, 0.6) > 0.22
    busy[:RATE] = True
    events = []
    for time in times[busy[(times * RATE).astype(np.intp)]]:
        key = unit(
            struck(
                rng,
                base * rng.uniform(0.8, 1.3) * np.array([0.4, 1, 1.9, 3.1]),
                [0.04, 0.03, 0.025, 0.02],
                [0.6, 1, 0.7, 0.5],
                0.85,
            )
        )
        strike = key + np.pad(0.4 * burst(rng, 0.012, 1500, 7500), (0, len(key)))[: len(key)]
        level = rng.uniform(0.5, 1.0)
        events += [(time, level * strike), (time + rng.uniform(0.05, 0.09), 0.3 * level * key)]
        if machine == "typewriter":
            events.append((time, level * 0.5 * burst(rng, 0.06, 300, 3000)))
    return Sound(
        room(rng, mix(DURATION, events), rng.uniform(0.05, 0.3)),
        say(
            rng,
            f"{speed} typing on a {machine}|{speed} {machine} typing|"
            f"someone typing {adverb(speed)} on a {machine}|{speed} {machine} keys clicking",
        ),
        True,
        0.6,
    )


def sawing(rng: Rng) -> Sound:
    """A hand saw: alternating strokes of rough noise."""
    material, (low, high) = pick(rng, {"wood": (500, 4500), "metal": (1800, 7500), "plastic": (900, 5500)})
    speed, period = pick(rng, {"slow": 1.3, "": 0.75, "fast": 0.45})
    period *= rng.uniform(0.9, 1.1)
    events = []
    for number, time in enumerate(regular_times(rng, period / 2, endless(period / 2), 0.05)):
        length = samples_in(period * 0.46)
        push = number % 2 == 0
        teeth = 0.5 + 0.5 * np.sign(
            np.sin(2 * np.pi * np.cumsum((90 if push else 75) * swell(length, 0.5, 0.6) + 10) / RATE)
        )
        scrape = noise(rng, length, low, high, -2.0) * (0.4 + 0.6 * teeth) + 0.5 * noise(rng, length, 180, 500) * teeth
        events.append((time, (1.0 if push else 0.6) * scrape * swell(length, 0.45, 0.7)))
    return Sound(
        room(rng, mix(DURATION, events), rng.uniform(0.05, 0.4)),
        say(
            rng,
            f"{speed} sawing of {material}|a saw cutting {material} {adverb(speed)}|"
            f"{speed} hand sawing {material}|sawing {material} {adverb(speed)}",
        ),
        True,
        0.8,
    )
