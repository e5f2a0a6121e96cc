"""Rain, wind and thunder."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    DURATION,
    MAXIMUM_LENGTH,
    NUMBERS,
    Audio,
    Rng,
    Sound,
    between,
    burst,
    crackle,
    decay,
    drops,
    even,
    level_of,
    mix,
    narrow,
    noise,
    pick,
    plural,
    random_times,
    regular_times,
    room,
    samples_in,
    say,
    sequence,
    swell,
    wander,
)


def rain(rng: Rng) -> Sound:
    """Dense broadband patter: a bed of far drops and near ones whose sound depends on what they hit."""
    strength, (rate, bed) = pick(rng, {
        "light": (45.0, 0.35), "gentle": (70, 0.5), "steady": (160, 1.0), "": (200, 1.0), "heavy": (500, 2.0),
        "pouring": (800, 3.0),
    })  # fmt: skip
    surface, (low, high, ring, wet) = pick(rng, {
        "": (1200, 6000, 0.006, 0.5), "on a tin roof": (700, 4200, 0.05, 1.6), "on leaves": (2200, 7000, 0.004, 1.0),
        "on a window": (1400, 4500, 0.012, 1.2), "in puddles": (500, 2200, 0.035, 1.2),
        "on pavement": (1500, 6500, 0.005, 0.8), "on a tent": (250, 1500, 0.015, 1.4),
    })  # fmt: skip
    rate *= rng.uniform(0.7, 1.4)
    near = drops(rng, MAXIMUM_LENGTH, rate, low, high, ring, bodies=14, spread=0.7)
    near += 0.3 * level_of(near) * even(crackle(rng, MAXIMUM_LENGTH, rate * 2, low, 7500, 0.006))
    far = noise(rng, MAXIMUM_LENGTH, rng.uniform(300, 900), rng.uniform(5000, 7500), rng.uniform(-3, -0.5))
    samples = even(near) * wet + far * bed * wander(rng, MAXIMUM_LENGTH, 0.5, 0.8, 1.1)
    noun = {"light": "drizzle", "pouring": "downpour of rain"}.get(strength, f"{strength} rainfall")
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.3)),
        say(
            rng,
            f"{strength} rain {surface}|{strength} rain falling {surface}|{noun} {surface}|"
            f"the sound of {strength} rain {surface}|{strength} rain pattering {surface}|{strength} rain",
        ),
        True,
        {"light": 0.5, "gentle": 0.6}.get(strength, 1.0),
    )


def wind(rng: Rng) -> Sound:
    """Low rushing noise in gusts, brighter as it blows harder, with howling resonances."""
    strength, (bright, gustiness, howl) = pick(rng, {
        "gentle": (350, 0.4, 0.1), "light": (450, 0.5, 0.15), "": (700, 0.7, 0.3), "strong": (1300, 0.8, 0.4),
        "gusty": (1000, 1.0, 0.3), "howling": (800, 0.9, 2.2), "whistling": (900, 0.9, 1.8),
    })  # fmt: skip
    place, rustle = pick(
        rng, {"": 0.0, "in the trees": 0.5, "around a house": 0.0, "across a desert": 0.1, "on a mountain": 0.05}
    )
    length = MAXIMUM_LENGTH
    gust = (1.0 - gustiness) + gustiness * wander(rng, length, rng.uniform(0.35, 0.8)) ** 1.5
    gust *= wander(rng, length, 6.0, 0.85, 1.15)
    samples = noise(rng, length, 50, bright * 0.5, -2.0) * (0.3 + gust)
    samples += 0.7 * noise(rng, length, bright * 0.4, bright * 2.5, -3.0) * gust**1.7
    samples += rustle * noise(rng, length, 2000, 6500) * gust**2.5 * wander(rng, length, 12.0, 0.4, 1.0)
    base = between(rng, 1000, 1900) if strength == "whistling" else between(rng, 260, 620)
    for ratio in (1.0, rng.uniform(1.4, 2.3)):
        centre = base * ratio * (0.75 + 0.5 * gust) * wander(rng, length, 1.5, 0.94, 1.06)
        samples += howl / ratio * narrow(rng, centre, base * 0.06) * gust**1.4
    return Sound(
        samples,
        say(
            rng,
            f"{strength} wind {place}|{strength} wind blowing {place}|the sound of {strength} wind {place}|"
            f"a {strength} wind {place}|{strength} wind|{strength or 'blowing'} wind and air {place}",
        ),
        True,
        {"gentle": 0.5, "light": 0.6}.get(strength, 1.0),
    )


def _thunderclap(rng: Rng, nearness: float) -> Audio:
    """One clap: rolls of low noise, behind a sharp crack if it is near (`nearness` 0..1)."""
    seconds = rng.uniform(2.5, 4.5)
    length = samples_in(seconds)
    envelope = mix(
        seconds,
        (
            (time, rng.uniform(0.3, 1.0) * swell(samples_in(1.0), 0.12, 1.5))
            for time in random_times(rng, 2.5, seconds * 0.6)
        ),
    )
    envelope = envelope + mix(seconds, [(0.0, swell(samples_in(1.5), 0.05 if nearness > 0.3 else 0.3, 1.5))])
    envelope *= decay(length, seconds * 1.3)
    rumble = noise(rng, length, 28, 90 + 160 * nearness, -2.0) * envelope
    rumble += 0.35 * noise(rng, length, 80, 300 + 500 * nearness, -4.0) * envelope * decay(length, seconds * 0.8)
    if nearness > 0.3:
        snaps = np.concatenate(([0.0], random_times(rng, 14, 0.5)))
        crack = mix(
            seconds,
            (
                (time, rng.uniform(0.4, 1.0) * burst(rng, rng.uniform(0.1, 0.5), 150, 5500, slope=-2.0))
                for time in snaps
            ),
        )
        rumble += 2.5 * nearness * crack
    return np.tanh(rumble * 0.6)


def thunder(rng: Rng) -> Sound:
    """One or several claps, near or far, or an unbroken rolling rumble."""
    distance, nearness = pick(rng, {"distant": 0.0, "faraway": 0.0, "": 0.5, "loud": 0.8, "close": 1.0})
    loudness = 0.55 if nearness == 0.0 else 1.0
    if nearness < 0.6 and rng.random() < 0.25:
        claps = (
            (time, rng.uniform(0.5, 1.0) * _thunderclap(rng, nearness * 0.4)) for time in np.arange(-1, 6) * 1.6 + 1.6
        )
        samples = room(rng, mix(DURATION, claps), 0.9)
        return Sound(
            samples,
            say(
                rng,
                f"{distance} rolling thunder|{distance} thunder rumbling on and on|"
                f"continuous {distance} thunder rumble",
            ),
            True,
            loudness,
        )
    count = int(rng.choice([1, 1, 1, 2, 3]))
    times = regular_times(rng, rng.uniform(2.6, 3.4), count, 0.1)
    samples = room(rng, sequence(times, [_thunderclap(rng, nearness) for _ in range(count)]), rng.uniform(0.6, 1.0))
    if count > 1:
        caption = say(
            rng,
            f"{NUMBERS[count]} {distance} claps of thunder|{distance} thunder, {plural(count, 'clap')}|"
            f"{NUMBERS[count]} {distance} thunderclaps",
        )
    elif nearness > 0.3:
        caption = say(
            rng,
            f"a {distance} clap of thunder|{distance} thunder|a {distance} thunder crack|"
            f"a {distance} thunderclap|a {distance} lightning strike and thunder",
        )
    else:
        caption = say(
            rng, f"{distance} thunder|a {distance} rumble of thunder|{distance} thunder rumbling|low {distance} thunder"
        )
    return Sound(samples, caption, False, loudness)
