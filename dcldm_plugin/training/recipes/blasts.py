"""Explosions, guns, lasers and swords."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    NUMBERS,
    Rng,
    Sound,
    between,
    burst,
    crackle,
    decay,
    filtered,
    glide,
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
    times_of,
    tone,
    unit,
    wander,
)


def explosion(rng: Rng) -> Sound:
    """A shock, a falling boom and debris."""
    size, (seconds, low) = pick(
        rng, {"small": (0.7, 110), "": (1.8, 65), "big": (2.6, 50), "huge": (4.5, 38), "massive": (5.0, 35)}
    )
    distance, high = pick(rng, {"": 5500, "nearby": 7000, "distant": 350, "muffled": 500})
    where = {"distant": "in the distance", "muffled": "behind a wall"}.get(distance, distance)
    seconds *= rng.uniform(0.85, 1.2)
    length = samples_in(seconds * 1.3)
    thump = tone(glide(seconds, low * 2.5, low, low * 0.6)) * decay(samples_in(seconds), seconds)
    roar = noise(rng, length, low * 0.8, 900, -3.0) * decay(length, seconds * 1.2) * wander(rng, length, 14.0, 0.5, 1.1)
    samples = mix(
        seconds * 1.3, [(0.0, 1.2 * thump), (0.0, roar), (0.0, 2.0 * burst(rng, 0.25, 200, 7000, slope=-1.5))]
    )
    debris = crackle(rng, length, 35, 500, 5000, 0.03, 1.0) * swell(length, 0.2, 2.0)
    samples = filtered(np.tanh(1.6 * samples) + 0.12 * debris, None, high)
    if distance in ("distant", "muffled"):
        samples *= np.minimum(1.0, times_of(len(samples)) / 0.04)
    samples = room(rng, samples, 0.95 if distance == "distant" else rng.uniform(0.3, 0.8))
    return Sound(
        samples,
        say(
            rng,
            f"a {size} {distance} explosion|{size} {distance} explosion|a {size} {distance} blast|"
            f"a {size} bomb exploding {where}|a {size} {distance} boom",
        ),
        False,
        0.6 if distance == "distant" else 1.0,
    )


def gunshot(rng: Rng) -> Sound:
    """A crack, a short boom and the echo of the place."""
    weapon, (seconds, low, rate) = pick(rng, {
        "pistol": (0.14, 300, 2.2), "rifle": (0.25, 160, 1.3), "shotgun": (0.35, 90, 0.9),
        "machine gun": (0.1, 220, 10.5), "cannon": (0.9, 50, 0.5),
    })  # fmt: skip
    distance, high = pick(rng, {"": 7500, "nearby": 7800, "distant": 1100})
    count = int(rng.integers(6, 26)) if weapon == "machine gun" else int(rng.choice([1, 1, 1, 2, 3, 4]))
    shots = []
    for _ in range(count):
        shot = burst(rng, seconds * rng.uniform(0.9, 1.1), low, 6500, 0.0005, -2.0)
        thump = tone(glide(seconds, low * 1.5, low * 0.5)) * decay(samples_in(seconds), seconds)
        shots.append(
            np.tanh(2.0 * mix(seconds * 1.2, [(0.0, shot), (0.0, 0.8 * thump), (0.0, burst(rng, 0.02, 1500, 7500))]))
        )
    times = regular_times(rng, rng.uniform(0.9, 1.15) / rate, count, 0.02 if weapon == "machine gun" else 0.12)
    samples = room(rng, filtered(sequence(times, shots), None, high), rng.uniform(0.4, 0.9))
    loudness = 0.6 if distance == "distant" else 1.0
    if weapon == "machine gun":
        pace = "short" if count < 14 else "long"
        return Sound(
            samples,
            say(
                rng,
                f"a {distance} machine gun|{distance} machine gun fire|"
                f"a {pace} {distance} burst of machine gun fire|{distance} automatic gunfire",
            ),
            False,
            loudness,
        )
    if count > 1:
        return Sound(
            samples,
            say(
                rng,
                f"{NUMBERS[count]} {distance} {weapon} shots|{NUMBERS[count]} {distance} gunshots|"
                f"a {distance} {weapon} fired {NUMBERS[count]} times",
            ),
            False,
            loudness,
        )
    return Sound(
        samples,
        say(
            rng,
            f"a {distance} {weapon} shot|a {distance} gunshot|a single {distance} {weapon} shot|"
            f"a {distance} {weapon} firing once",
        ),
        False,
        loudness,
    )


def laser(rng: Rng) -> Sound:
    """A science-fiction shot: a tone that falls or rises fast."""
    pitch, base = pick(rng, {"low": 350.0, "": 900.0, "high": 1800.0, "high-pitched": 2100.0})
    motion, (start, end) = pick(
        rng, {"descending": (2.6, 0.3), "falling": (3.0, 0.4), "": (2.2, 0.35), "rising": (0.5, 2.4)}
    )
    mode, rate = pick(rng, {"single": 1.0, "shots": 2.5, "rapid": 7.0})
    seconds = rng.uniform(0.15, 0.5) if rate < 5 else rng.uniform(0.09, 0.16)
    count = 1 if mode == "single" else int(rng.integers(2, 7)) if mode == "shots" else int(rng.integers(6, 20))
    base *= rng.uniform(0.85, 1.2)
    levels = rng.uniform(0.2, 1.0) ** np.arange(6)
    shots = []
    for _ in range(count):
        curve = np.minimum(7000.0, glide(seconds, base * start, base, base * end) * rng.uniform(0.96, 1.04))
        curve *= 1.0 + rng.uniform(0, 0.06) * np.sin(2 * np.pi * rng.uniform(30, 90) * times_of(len(curve)))
        shots.append(
            tone(curve, levels) * decay(len(curve), seconds * 1.6) + 0.1 * burst(rng, seconds, 1000, 7000)[: len(curve)]
        )
    samples = room(rng, sequence(regular_times(rng, 1.0 / rate, count, 0.03), shots), rng.uniform(0.0, 0.5))
    noun = one_of(rng, "laser|laser gun|ray gun|blaster")
    if mode == "single":
        caption = say(
            rng,
            f"a {pitch} {motion} {noun} shot|a {pitch} {motion} laser zap|"
            f"a {noun} firing a {pitch} {motion} zap|{pitch} {noun} zap|a {pitch} {motion} {noun}",
        )
    elif mode == "rapid":
        caption = say(
            rng,
            f"rapid {pitch} {motion} {noun} shots|rapid fire {noun}|a {pitch} {noun} firing rapidly|"
            f"fast {pitch} {motion} laser zaps",
        )
    else:
        caption = say(
            rng,
            f"{NUMBERS[count]} {pitch} {motion} {noun} shots|{NUMBERS[count]} {pitch} {motion} laser zaps|"
            f"a {noun} firing {NUMBERS[count]} times",
        )
    return Sound(samples, caption)


def sword_clash(rng: Rng) -> Sound:
    """Blades: bright inharmonic ringing, singly or in a fight."""
    kind, (count, interval) = pick(
        rng, {"single": (1, 1.0), "counted": (int(rng.integers(2, 6)), 0.7), "fight": (int(rng.integers(8, 16)), 0.55)}
    )
    hits = []
    for _ in range(count):
        base = between(rng, 900, 1700)
        ratios = np.concatenate(([1.0], np.sort(rng.uniform(1.2, 5.0, 11))))
        ring = unit(
            struck(rng, base * ratios, rng.uniform(0.3, 1.3, 12) / ratios**0.4, rng.uniform(0.3, 1.0, 12), 0.97)
        )
        hits.append(rng.uniform(0.6, 1.0) * mix(1.5, [(0.0, ring), (0.0, 0.3 * burst(rng, 0.05, 2000, 7500))]))
    samples = room(rng, sequence(regular_times(rng, interval, count, 0.25), hits), rng.uniform(0.1, 0.6))
    if kind == "single":
        caption = say(rng, "a sword clash|two swords clashing|metal blades striking each other|a sword hitting a sword")
    elif kind == "fight":
        caption = say(rng, "a sword fight|swords clashing many times|clashing swords in a battle|a duel with swords")
    else:
        caption = say(
            rng,
            f"{NUMBERS[count]} sword clashes|swords clashing {NUMBERS[count]} times|"
            f"{NUMBERS[count]} strikes of metal blades",
        )
    return Sound(samples, caption)
