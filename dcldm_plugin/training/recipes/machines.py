"""Engines, aircraft, trains, tools, hums, electricity and steam."""

import numpy as np
from scipy import signal

from dcldm_plugin.training.recipes.blocks import (
    DURATION,
    MAXIMUM_LENGTH,
    RATE,
    Rng,
    Sound,
    adverb,
    between,
    burst,
    crackle,
    decay,
    endless,
    even,
    filtered,
    mix,
    narrow,
    noise,
    one_of,
    pick,
    pulses,
    regular_times,
    resonate,
    room,
    samples_in,
    say,
    times_of,
    tone,
    wander,
)


def engine(rng: Rng) -> Sound:
    """Firing pulses through an exhaust: idling, steady, revving, starting or passing."""
    vehicle, (rate, body, grit) = pick(rng, {
        "truck": (22, 70, 0.5), "tractor": (16, 80, 0.7), "car": (38, 110, 0.3), "motorcycle": (45, 170, 0.8),
        "race car": (110, 260, 0.6), "boat": (26, 90, 0.4), "": (32, 100, 0.4), "small": (70, 300, 0.9),
    })  # fmt: skip
    pitch, factor = pick(rng, {"low": 0.7, "deep": 0.65, "": 1.0, "high": 1.6})
    action = one_of(rng, "idling|running|revving|accelerating|slowing down|passing by")
    length = samples_in(DURATION if action in ("idling", "running", "revving") else rng.uniform(3.5, 7.0))
    curve = rate * factor * rng.uniform(0.85, 1.2) * wander(rng, length, 4.0, 0.97, 1.03)
    load = np.full(length, 0.7)
    position = np.linspace(0.0, 1.0, length)
    if action == "revving":
        load = 0.4 + wander(rng, length, 0.9) ** 2
        curve *= 0.8 + 2.0 * np.asarray(signal.lfilter([0.0004], [1.0, -0.9996], load))
    elif action == "running":
        curve *= 1.6
    elif action in ("accelerating", "slowing down"):
        rise = position if action == "accelerating" else 1.0 - position
        curve, load = curve * 3.0**rise, 0.4 + 0.6 * rise
    elif action == "passing by":
        curve, load = (
            curve * (2.1 - 0.6 / (1.0 + np.exp(-25 * (position - 0.5)))),
            np.exp(-(((position - 0.5) / 0.17) ** 2)) + 0.02,
        )
    firing = pulses(curve)
    cylinders = rng.uniform(0.6, 1.0, 4)
    train = np.zeros(length)
    train[firing] = cylinders[np.arange(len(firing)) % 4] * rng.uniform(0.75, 1.1, len(firing))
    kick = rng.standard_normal(40) * decay(40, 0.006) * 0.5
    kick[:6] += 1.0
    train = np.asarray(signal.fftconvolve(train, kick))[:length]
    formants = body * np.array([1.0, 2.3, 4.6, 9.0]) * rng.uniform(0.85, 1.15, 4)
    samples = even(
        sum((resonate(train, hertz, 0.05) / (1 + 0.6 * n) for n, hertz in enumerate(formants)), np.zeros(length))
    )
    puffs = np.asarray(signal.lfilter([1.0], [1.0, -0.993], np.abs(train)))
    samples += grit * 0.5 * even(noise(rng, length, 300, 3500, -3.0) * puffs) + 0.05 * grit * noise(
        rng, length, 1500, 6000
    )
    steady = action in ("idling", "running", "revving")
    if not steady:
        load *= np.minimum(1.0, np.minimum(position, 1.0 - position) * 8.0)
    samples = np.tanh(0.6 * samples) * load
    noun = "small engine" if vehicle == "small" else f"{vehicle} engine"
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.3)),
        say(
            rng,
            f"a {pitch} {noun} {action}|{pitch} {noun} {action}",
            f"{action} {pitch} {noun}" if steady else f"a {noun} {action}",
            f"a {pitch} {action} {noun}" if steady else f"{pitch} {noun} {action}",
        ),
        steady,
    )


def helicopter(rng: Rng) -> Sound:
    """Rotor thumps over turbine noise; hovering, or flying past."""
    speed, rate = pick(rng, {"slow": 8.0, "": 11.5, "fast": 16.0})
    place, high = pick(rng, {"": 3000.0, "overhead": 4500.0, "in the distance": 500.0, "flying past": 3000.0})
    rate *= rng.uniform(0.92, 1.1)
    length = MAXIMUM_LENGTH
    phase = np.cumsum(rate * wander(rng, length, 1.0, 0.98, 1.02)) / RATE % 1.0
    chop = np.exp(-phase * 7.0) * np.minimum(1.0, phase * 25.0)
    samples = chop * (1.6 * noise(rng, length, 40, 140, -2.0) + 0.7 * noise(rng, length, 150, 1800, -3.0))
    samples += 0.12 * noise(rng, length, 300, 5000, -1.5) * (0.5 + chop)
    samples += 0.04 * tone(np.full(length, between(rng, 500, 1100)) * wander(rng, length, 2.0, 0.99, 1.01), (1, 0.4))
    if place == "flying past":
        samples *= 0.05 + np.exp(-(((times_of(length) - DURATION / 2) / 2.5) ** 2))
    return Sound(
        room(rng, filtered(samples, None, high), rng.uniform(0.1, 0.5)),
        say(
            rng,
            f"a {speed} helicopter {place}|a {speed} helicopter rotor {place if place != 'flying past' else ''}|"
            f"a {'distant' if high < 1000 else ''} helicopter|"
            f"helicopter blades chopping {adverb(speed)} {place if place != 'flying past' else ''}",
            f"a helicopter hovering {place}" if place != "flying past" else "a helicopter flying past",
        ),
        place != "flying past",
        0.5 if high < 1000 else 1.0,
    )


def hum(rng: Rng) -> Sound:
    """A machine's steady hum: mains harmonics, a fan's air, a little rattle."""
    machine, (base, air, rattle) = pick(rng, {
        "machine": (60, 0.3, 0.2), "refrigerator": (50, 0.15, 0.1), "transformer": (100, 0.05, 0.0),
        "fan": (90, 1.6, 0.1), "air conditioner": (70, 1.2, 0.2), "generator": (45, 0.5, 0.8),
        "computer": (120, 0.7, 0.05), "vacuum cleaner": (230, 2.0, 0.3),
    })  # fmt: skip
    pitch, factor = pick(rng, {"low": 0.7, "": 1.0, "deep": 0.6, "high": 2.2})
    length = MAXIMUM_LENGTH
    curve = base * factor * rng.uniform(0.93, 1.07) * wander(rng, length, 0.4, 0.995, 1.005)
    levels = rng.uniform(0.1, 1.0, 10) / np.arange(1, 11) ** 0.8
    samples = even(tone(curve, levels)) * wander(rng, length, 1.5, 0.85, 1.0)
    samples += air * noise(rng, length, 150, rng.uniform(2000, 5000), -3.0) * wander(rng, length, 3.0, 0.9, 1.05)
    shaking = 0.5 + 0.5 * np.cos(2 * np.pi * np.cumsum(curve / 4) / RATE)
    samples += rattle * shaking**6 * noise(rng, length, 400, 4000, -1.0)
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.4)),
        say(
            rng,
            f"a {pitch} {machine} hum|{pitch} humming of a {machine}|a {machine} humming|"
            f"the {pitch} hum of a {machine}|a {pitch} humming {machine}|{pitch} {machine} noise",
        ),
        True,
        0.6,
    )


def electricity(rng: Rng) -> Sound:
    """Electric buzz and sparks."""
    kind = one_of(rng, "buzz|sparks|arc")
    strength, amount = pick(rng, {"faint": 0.35, "": 1.0, "loud": 1.0, "strong": 1.2})
    length = MAXIMUM_LENGTH
    mains = (50.0 if rng.random() < 0.5 else 60.0) * 2
    curve = mains * wander(rng, length, 2.0, 0.998, 1.002)
    buzz = even(filtered(tone(curve, rng.uniform(0.3, 1.0, 30) / np.arange(1, 31) ** 0.35), 150))
    sparks = crackle(rng, length, {"buzz": 0.5, "sparks": 18.0, "arc": 60.0}[kind], 1500, 7700, 0.008, 1.0)
    gate = np.clip(wander(rng, length, {"buzz": 0.5, "sparks": 2.5, "arc": 6.0}[kind], -0.8, 1.2), 0.0, 1.0)
    if kind == "buzz":
        samples = buzz * wander(rng, length, 8.0, 0.8, 1.0) + 0.1 * noise(rng, length, 2000, 7000)
        caption = say(
            rng,
            f"a {strength} electric buzz|{strength} electrical buzzing|{strength} electricity buzzing|"
            f"a {strength} buzzing power line|a {strength} electrical hum and buzz",
        )
    else:
        samples = np.tanh(sparks / 2) * (0.2 + gate) + (0.12 if kind == "sparks" else 0.35) * buzz * gate * wander(
            rng, length, 40.0
        )
        caption = (
            say(
                rng,
                f"{strength} electric sparks|{strength} electricity sparking|{strength} electrical sparks crackling",
            )
            if kind == "sparks"
            else say(
                rng,
                f"a {strength} electric arc|{strength} electricity crackling and buzzing|a {strength} high voltage arc",
            )
        )
    return Sound(room(rng, samples, rng.uniform(0, 0.3)), caption, True, min(1.0, amount))


def steam(rng: Rng) -> Sound:
    """Hissing gas: steady, or a release that dies away."""
    kind, seconds = pick(
        rng, {"short": 0.6, "quick": 0.5, "long": 4.0, "": 2.0, "steady": DURATION, "continuous": DURATION}
    )
    pitch, low = pick(rng, {"": 2200.0, "high": 4000.0, "low": 900.0})
    steady = seconds == DURATION
    length = samples_in(seconds * (1.0 if steady else rng.uniform(0.8, 1.25)))
    samples = noise(rng, length, low, min(7800, low * 3.5), 1.0) * wander(rng, length, 15.0, 0.8, 1.0) + 0.15 * noise(
        rng, length, 200, 1200
    )
    if not steady:
        samples *= np.minimum(1.0, times_of(length) / 0.03) * np.minimum(1.0, np.linspace(1.6, 0.0, length)) ** 1.5
    source = one_of(rng, "steam|air|gas")
    return Sound(
        room(rng, samples, rng.uniform(0, 0.4)),
        say(
            rng,
            f"a {kind} {pitch} {source} hiss|a {kind} {pitch} hiss of {source}|{kind} hissing {source}|"
            f"a {kind} {pitch} hiss|{source} escaping with a {kind} {pitch} hiss",
            f"a {kind} release of {source}" if not steady else f"{kind} {pitch} {source} hissing",
        ),
        steady,
        0.7,
    )


def aircraft(rng: Rng) -> Sound:
    """A jet or a propeller plane: steady inside, or passing with a falling pitch."""
    kind, (base, hiss) = pick(rng, {
        "jet": (1400.0, 1.0), "jet plane": (1100.0, 1.0), "propeller plane": (85.0, 0.3), "spaceship": (60.0, 0.5),
    })  # fmt: skip
    manner, nearness = pick(rng, {"passing overhead": 1.0, "flying by": 1.0, "in the distance": 0.0, "flying": 0.5})
    length = MAXIMUM_LENGTH
    position = np.linspace(-1.0, 1.0, length) - rng.uniform(-0.25, 0.25)
    passing = nearness == 1.0
    approach = np.exp(-((position / 0.35) ** 2)) if passing else np.ones(length)
    doppler = 1.0 - 0.18 * np.tanh(position * 6.0) if passing else np.ones(length)
    curve = base * rng.uniform(0.85, 1.2) * doppler * wander(rng, length, 1.0, 0.98, 1.02)
    whine = even(tone(curve, 0.75 ** np.arange(12) if base < 200 else (1.0, 0.3)))
    roar = noise(rng, length, 60, 700, -2.0) + hiss * approach * noise(rng, length, 600, 6000, -2.0)
    samples = (0.25 if base > 200 else 1.2) * whine + roar * wander(rng, length, 5.0, 0.7, 1.1)
    samples = filtered(samples * (0.04 + approach), None, 700.0 if nearness == 0.0 else 7000.0)
    return Sound(
        room(rng, samples, rng.uniform(0.2, 0.6)),
        say(rng, f"a {kind} {manner}|a {kind} {manner}|a {kind} engine {manner}|the roar of a {kind} {manner}"),
        not passing,
        0.5 if nearness == 0.0 else 1.0,
    )


def train(rng: Rng) -> Sound:
    """Wheels over rail joints, or a steam engine's puffs."""
    kind = one_of(rng, "train|steam train|freight train")
    speed, rate = pick(rng, {"slow": 0.8, "": 1.3, "fast": 2.2})
    length = MAXIMUM_LENGTH
    samples = 0.5 * noise(rng, length, 50, 600, -3.0) * wander(rng, length, 4.0, 0.6, 1.0)
    events = []
    if kind == "steam train":
        for number, time in enumerate(regular_times(rng, 0.45 / rate, endless(0.45 / rate), 0.03)):
            puff = burst(rng, 0.5 / rate, 250, 4500, 0.03, -2.0)
            events.append((time, (1.0 if number % 4 == 0 else 0.65) * puff))
    else:
        for time in regular_times(rng, 1.0 / rate, endless(1.0 / rate), 0.02):
            for delay in (0.0, 0.16 / rate, 0.5 / rate, 0.66 / rate):
                clack = burst(rng, 0.12, 120, 2500, slope=-2.0) + 0.5 * burst(rng, 0.12, 1500, 5000)
                events.append((time + delay, rng.uniform(0.7, 1.3) * clack))
        samples += 0.12 * narrow(rng, wander(rng, length, 0.5, 1800, 2600), 150.0) * wander(rng, length, 0.7) ** 4
    samples += 1.5 * mix(DURATION, events)
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.5)),
        say(
            rng,
            f"a {speed} {kind}|a {kind} moving {adverb(speed)}|a {speed} {kind} on the tracks|"
            f"a {kind} passing {adverb(speed)}",
            f"{speed} {kind} chugging" if kind == "steam train" else f"{speed} {kind} clacking on rails",
        ),
        True,
    )


def power_tool(rng: Rng) -> Sound:
    """A motor's buzz that bogs down when it bites: chainsaw, drill, lawn mower, blender."""
    tool, (base, rough) = pick(rng, {
        "chainsaw": (105.0, 0.9), "electric drill": (330.0, 0.4), "lawn mower": (48.0, 0.7), "blender": (250.0, 0.8),
        "hair dryer": (210.0, 1.5), "circular saw": (420.0, 0.8),
    })  # fmt: skip
    action, depth = pick(
        rng, {"running": 0.03, "": 0.1, "revving": 0.45, "cutting" if "saw" in tool else "working hard": 0.2}
    )
    length = MAXIMUM_LENGTH
    load = wander(rng, length, 1.2)
    curve = base * rng.uniform(0.85, 1.2) * (1.0 - depth * load) * wander(rng, length, 8.0, 0.985, 1.015)
    levels = rng.uniform(0.3, 1.0, 18) / np.arange(1, 19) ** 0.6
    phase = np.cumsum(curve) / RATE % 1.0
    samples = even(tone(curve, levels)) + rough * noise(rng, length, 400, 6500, -2.0) * (0.4 + phase) * (
        0.6 + 0.6 * load
    )
    samples = np.tanh(0.8 * samples) * (1.0 - 0.3 * depth * load)
    return Sound(
        room(rng, samples, rng.uniform(0.05, 0.4)),
        say(
            rng,
            f"a {tool} {action}",
            f"a {action} {tool}" if action in ("", "running") else f"a {tool} {action}",
            f"{tool} {action}|the buzz of a {tool} {action}",
        ),
        True,
        0.9,
    )
