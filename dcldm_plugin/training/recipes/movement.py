"""Footsteps and whooshes."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    NUMBERS,
    Audio,
    Rng,
    Sound,
    bubble,
    burst,
    crackle,
    endless,
    filtered,
    glide,
    mix,
    narrow,
    noise,
    one_of,
    pick,
    plural,
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


def _step(rng: Rng, surface: str, weight: float) -> Audio:
    """One footfall: heel, then toe, on `surface`."""
    heel_to_toe = rng.uniform(0.05, 0.1)
    if surface == "gravel":
        grit = crackle(rng, samples_in(0.22), 500, 900, 6500, 0.012) * swell(samples_in(0.22), 0.25, 1.2)
        return 0.3 * mix(0.25, [(0.0, grit), (0.0, burst(rng, 0.08, 80, 400))])
    if surface == "snow":
        crunch = crackle(rng, samples_in(0.28), 900, 500, 3500, 0.008) * swell(samples_in(0.28), 0.4, 1.3)
        return 0.3 * mix(0.3, [(0.0, crunch), (0.0, 0.6 * burst(rng, 0.12, 80, 300, 0.02))])
    if surface == "grass":
        swish = burst(rng, 0.16, 1500, 6500, 0.03) * wander(rng, samples_in(0.19), 60.0, 0.2, 1.0)
        return mix(0.25, [(0.0, 0.35 * swish), (0.01, 0.6 * burst(rng, 0.1, 60, 300, 0.008))])
    if surface == "leaves":
        return 0.3 * crackle(rng, samples_in(0.3), 350, 1500, 7500, 0.01, 1.0) * swell(samples_in(0.3), 0.3, 1.2)
    if surface == "water":
        wet = [(rng.uniform(0.02, 0.2), 0.4 * bubble(rng, 400, 1400)) for _ in range(4)]
        return mix(0.45, [(0.0, 0.5 * burst(rng, 0.25, 500, 5500, 0.01, -1.0)), *wet])
    if surface in ("wood", "a wooden floor", "stairs"):
        base = rng.uniform(85, 130) / weight
        knock = struck(
            rng, base * np.array([1, 2.3, 3.9, 6.1, 9.7]), [0.18, 0.13, 0.09, 0.07, 0.04], [1, 0.8, 0.6, 0.4, 0.3], 0.6
        )
        knock = unit(knock)
        return mix(0.35, [(0.0, knock), (0.0, 0.15 * burst(rng, 0.02, 1000, 6000)), (heel_to_toe, 0.4 * knock)])
    if surface == "metal":
        base = rng.uniform(180, 300)
        clang = unit(
            struck(
                rng,
                base * np.array([1, 1.7, 2.9, 4.3, 6.7, 9.1]),
                [0.5, 0.4, 0.35, 0.3, 0.2, 0.15],
                [1, 0.8, 0.7, 0.6, 0.4, 0.3],
                0.7,
            )
        )
        return mix(0.6, [(0.0, clang), (0.0, 0.3 * burst(rng, 0.05, 80, 300)), (heel_to_toe, 0.3 * clang)])
    click = burst(rng, 0.035, 900, 5500, slope=-2.0)
    return mix(0.25, [(0.0, 0.5 * click), (0.0, 0.5 * burst(rng, 0.07, 90, 350)), (heel_to_toe, 0.25 * click)])


def footsteps(rng: Rng) -> Sound:
    """Steps on one surface at one pace."""
    pace, (rate, weight) = pick(rng, {
        "slow": (1.25, 1.0), "slow heavy": (1.2, 1.5), "": (1.85, 1.0), "fast": (2.8, 1.0), "running": (3.1, 1.1),
        "light": (1.9, 0.7), "heavy": (1.6, 1.5),
    })  # fmt: skip
    surface = one_of(rng, "gravel|wood|a wooden floor|concrete|snow|grass|leaves|water|metal|pavement")
    rate *= rng.uniform(0.92, 1.08)
    counted = rng.random() < 0.35
    count = int(rng.integers(2, 9)) if counted else endless(1.0 / rate)
    times = regular_times(rng, 1.0 / rate, count, 0.03)
    steps = [
        rng.uniform(0.7, 1.0) * (0.85 if number % 2 else 1.0) * _step(rng, surface, weight) for number in range(count)
    ]
    samples = sequence(times, steps)
    if weight > 1.2:
        samples = samples + 0.6 * filtered(samples, None, 250)
    where = f"on {surface}" if surface != "water" else one_of(rng, "in water|in shallow water")
    size = 0.1 if surface in ("gravel", "snow", "grass", "leaves") else rng.uniform(0.1, 0.6)
    samples = room(rng, samples, size)
    loudness = 0.5 if pace == "light" else 0.9
    if counted:
        return Sound(
            samples,
            say(
                rng,
                f"{NUMBERS[count]} {pace} footsteps {where}|{NUMBERS[count]} {pace} steps {where}|"
                f"{pace} footsteps {where}, {plural(count, 'step')}",
            ),
            False,
            loudness,
        )
    walk = {"running": "running", "fast": "walking fast", "slow": "walking slowly"}.get(pace, "walking")
    return Sound(
        samples,
        say(
            rng,
            f"{pace} footsteps {where}|{pace} footsteps {where}|{pace} steps {where}|someone {walk} {where}|"
            f"a person {walk} {where}|{pace} footsteps",
        ),
        True,
        loudness,
    )


def whoosh(rng: Rng) -> Sound:
    """Air rushing past: a band of noise that swells while its centre rises and falls."""
    speed, seconds = pick(rng, {"fast": 0.35, "quick": 0.3, "": 0.7, "slow": 1.8, "long": 2.5})
    pitch, base = pick(
        rng, {"low": 180.0, "deep": 140.0, "": 600.0, "airy": 1300.0, "high": 1600.0, "high-pitched": 1900.0}
    )
    seconds *= rng.uniform(0.8, 1.25)
    base *= rng.uniform(0.85, 1.2)
    passing = rng.random() < 0.35
    count = int(rng.choice([1, 1, 1, 1, 2, 3]))
    events = []
    for _ in range(count):
        curve = glide(seconds, base * 0.8, base * 2.0, base * (0.5 if passing else 1.0))
        body = narrow(rng, curve, base * 0.5) + 0.25 * noise(rng, len(curve), base, base * 4, -3.0)
        events.append(body * swell(len(curve), rng.uniform(0.4, 0.6), rng.uniform(1.5, 2.5)))
    samples = sequence(regular_times(rng, seconds * 1.3, count), events)
    size = rng.uniform(0.1, 0.6)
    noun = str(rng.choice(["whoosh", "swoosh", "swish"] if speed in ("fast", "quick") else ["whoosh", "swoosh"]))
    if count > 1:
        caption = say(rng, f"{NUMBERS[count]} {speed} {pitch} {noun}es|{NUMBERS[count]} {speed} {noun} sounds")
    elif passing:
        caption = say(
            rng,
            f"a {speed} {pitch} {noun} passing by|something flying past with a {speed} {pitch} {noun}|"
            f"a {speed} {pitch} fly-by {noun}",
        )
    else:
        caption = say(rng, f"a {speed} {pitch} {noun}|{speed} {pitch} {noun}|a {speed} {pitch} {noun} of air", noun)
    return Sound(room(rng, samples, size), caption)
