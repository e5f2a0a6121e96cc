"""Blows: impacts, knocks, doors, glass, coins and drums."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    NUMBERS,
    RATE,
    Audio,
    Rng,
    Sound,
    adverb,
    between,
    burst,
    decay,
    drops,
    even,
    glide,
    mix,
    noise,
    one_of,
    pick,
    pulses,
    regular_times,
    resonate,
    room,
    samples_in,
    say,
    sequence,
    struck,
    swell,
    tone,
    unit,
    wander,
)


def impact(rng: Rng) -> Sound:
    """One heavy blow on a body of some material."""
    material, (base, seconds, ratios, hardness) = pick(rng, {
        "metal": (330.0, 1.6, (1, 1.58, 2.24, 2.87, 3.6, 4.4, 5.6, 7.1), 0.9),
        "wood": (170, 0.28, (1, 2.1, 3.4, 4.9, 6.7), 0.6), "stone": (420, 0.12, (1, 1.9, 2.8, 4.1), 0.8),
        "plastic": (380, 0.14, (1, 1.7, 2.9, 4.6), 0.6), "hollow": (130, 0.5, (1, 1.5, 2.6, 3.9), 0.5),
        "cinematic": (45, 2.6, (1, 1.4, 2.1, 3.3), 0.4), "": (90, 0.6, (1, 1.7, 2.6, 4.1), 0.5),
    })  # fmt: skip
    weight, factor = pick(rng, {"": 1.0, "heavy": 0.6, "deep": 0.5, "light": 1.7, "big": 0.65, "small": 1.8})
    base *= factor * rng.uniform(0.85, 1.2)
    seconds *= factor**-0.5
    ratios_here = np.asarray(ratios) * rng.uniform(0.93, 1.07, len(ratios))
    body = unit(
        struck(
            rng,
            base * ratios_here,
            seconds * rng.uniform(0.7, 1.2, len(ratios)) / ratios_here**0.5,
            rng.uniform(0.4, 1, len(ratios)) / ratios_here**0.4,
            hardness,
        )
    )
    low = 70 * factor
    thud = 0.7 * burst(rng, 0.15 / factor, low, low * 5, 0.002)
    knock = 0.35 * hardness * burst(rng, 0.04, 800, 6500)
    samples = mix(max(len(body), len(thud)) / RATE, [(0.0, body), (0.0, thud), (0.0, knock)])
    noun = {"metal": "clang", "wood": "thud", "cinematic": "boom"}.get(material, "thump")
    return Sound(
        room(rng, np.tanh(1.3 * samples), 0.95 if material == "cinematic" else rng.uniform(0.1, 0.6)),
        say(
            rng,
            f"a {weight} {material} impact|a {weight} {material} hit|{weight} {material} {noun}|"
            f"a {weight} {material} {noun}",
            f"a {weight} impact on {material}"
            if material in ("metal", "wood", "stone", "plastic")
            else f"a {weight} {material} impact",
        ),
        False,
        0.6 if weight in ("light", "small") else 1.0,
    )


def knock(rng: Rng) -> Sound:
    """Knuckles on a door."""
    speed, interval = pick(rng, {"slow": 0.55, "": 0.28, "fast": 0.15})
    force, hardness = pick(rng, {"": 0.5, "soft": 0.2, "gentle": 0.2, "loud": 0.7, "hard": 0.8})
    door, (base, ring) = pick(rng, {
        "a door": (150.0, 0.14), "a wooden door": (130, 0.14), "a metal door": (210, 0.6), "a table": (240, 0.1),
        "a window": (700, 0.1),
    })  # fmt: skip
    count = int(rng.integers(1, 8))
    base *= rng.uniform(0.85, 1.2)
    ratios = np.array([1, 2.2, 3.1, 4.6, 6.3, 8.8]) * rng.uniform(0.95, 1.05, 6)
    hits = []
    for _ in range(count):
        hit = unit(struck(rng, base * ratios, ring / ratios**0.4, rng.uniform(0.6, 1, 6) / ratios**0.7, hardness))
        hits.append(
            rng.uniform(0.7, 1) * mix(ring + 0.1, [(0.0, hit), (0.0, 0.2 * hardness * burst(rng, 0.02, 800, 5000))])
        )
    samples = room(
        rng, sequence(regular_times(rng, interval * rng.uniform(0.9, 1.1), count, 0.06), hits), rng.uniform(0.1, 0.5)
    )
    many = f"{NUMBERS[count]} {speed} {force} knocks on {door}" if count > 1 else f"a {force} knock on {door}"
    pace = speed if count > 1 else ""
    return Sound(
        samples,
        say(
            rng,
            many,
            many,
            f"{pace} {force} knocking on {door}" if count > 2 else many,
            f"someone knocking on {door} {NUMBERS[count] + ' times' if count > 1 else 'once'}",
        ),
        False,
        0.5 if hardness < 0.3 else 1.0,
    )


def door(rng: Rng) -> Sound:
    """A door slams, or creaks on its hinges."""
    if rng.random() < 0.5:
        kind, (base, ring) = pick(
            rng, {"wooden": (95, 0.35), "metal": (140, 1.2), "heavy": (60, 0.5), "car": (85, 0.25), "": (95, 0.35)}
        )
        ratios = np.array([1, 1.8, 2.9, 4.3, 6.2, 9.0])
        body = unit(struck(rng, base * rng.uniform(0.85, 1.2) * ratios, ring / ratios**0.4, 1 / ratios**0.5, 0.6))
        latch = 0.4 * burst(rng, 0.04, 1000, 6000)
        samples = mix(
            ring + 0.4,
            [(0.03, body), (0.03, burst(rng, 0.2, 70, 900, slope=-2.0)), (0.0, latch), (rng.uniform(0.05, 0.1), latch)],
        )
        return Sound(
            room(rng, np.tanh(1.5 * samples), rng.uniform(0.2, 0.7)),
            say(rng, f"a {kind} door slamming|a {kind} door slam|a {kind} door closing hard|slamming a {kind} door"),
        )
    speed, seconds = pick(rng, {"slow": 3.0, "": 1.6, "quick": 0.7})
    length = samples_in(seconds * rng.uniform(0.8, 1.2))
    rate = wander(rng, length, 2.5 / seconds + 1, 25, 110) * np.linspace(1, rng.uniform(0.6, 1.7), length)
    train = np.zeros(length)
    at = pulses(rate)
    train[at] = rng.uniform(0.5, 1.0, len(at))
    samples = sum(
        (resonate(train, hertz, 0.02) for hertz in between(rng, 500, 900) * np.array([1, 1.7, 2.6, 3.9, 5.5])),
        np.zeros(length),
    )
    samples *= swell(length, 0.4, 0.6) * wander(rng, length, 6.0, 0.3, 1.0)
    return Sound(
        room(rng, samples, rng.uniform(0.2, 0.6)),
        say(
            rng,
            f"a {speed} door creak|a creaking door opening {adverb(speed)}|a {speed} creaky door|"
            f"a {speed} squeaking hinge",
        ),
        False,
        0.7,
    )


def glass(rng: Rng) -> Sound:
    """Breaking glass: a crash and a shower of ringing shards."""
    size, (shards, seconds, low) = pick(
        rng, {"small": (14, 0.5, 2600), "": (35, 0.9, 1800), "large": (70, 1.5, 1200), "huge": (90, 2.0, 1000)}
    )
    thing = one_of(rng, "glass|window|bottle|pane of glass|mirror")
    events = [(0.0, 0.9 * burst(rng, 0.12, 1500, 7700)), (0.0, 0.4 * burst(rng, 0.08, 200, 900))]
    for time in rng.exponential(seconds / 3, shards):
        pitch, fall = between(rng, low, 6000), between(rng, 0.04, 0.3)
        ring = unit(
            struck(
                rng,
                pitch * np.array([1, 1.37, 1.93, 2.6]),
                [fall, fall * 0.8, fall * 0.6, fall * 0.5],
                rng.uniform(0.3, 1, 4),
                0.97,
            )
        )
        events.append((float(min(time, seconds * 2)), ring * rng.lognormal(-1.4, 0.6) * np.exp(-time / seconds)))
    samples = mix(seconds * 2.4, events)
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.5)),
        say(
            rng,
            f"a {size} {thing} breaking|a {size} {thing} shattering|{size} breaking glass|"
            f"a {size} {thing} smashing|a {size} glass shatter",
        ),
    )


def coins(rng: Rng) -> Sound:
    """Coins: one spinning down, a few dropped, a bag shaken."""
    amount, (count, seconds) = pick(rng, {
        "a single": (1, 0.1), "a few": (4, 0.8), "many": (35, 2.5), "a pile of": (50, 2.0), "a handful of": (14, 1.0),
    })  # fmt: skip
    events: list[tuple[float, Audio]] = []
    for start in rng.uniform(0.0, seconds, count):
        pitch = between(rng, 2300, 4300)
        time, gap, level = float(start), rng.uniform(0.12, 0.35), rng.uniform(0.5, 1.0)
        for _ in range(7 if count == 1 else 3):
            fall = rng.uniform(0.1, 0.45)
            ring = unit(
                struck(
                    rng,
                    pitch * np.array([1, 1.41, 1.83, 2.4]),
                    [fall, fall, fall * 0.7, fall * 0.5],
                    rng.uniform(0.3, 1, 4),
                    0.97,
                )
            )
            events.append((time, level * ring))
            time, gap, level = time + gap, gap * 0.68, level * 0.65
    samples = mix(max(time + len(ring) / RATE for time, ring in events), events)
    noun = "coin" if count == 1 else "coins"
    return Sound(
        room(rng, samples, rng.uniform(0.05, 0.4)),
        say(
            rng,
            f"{amount} {noun} dropping|{amount} {noun} falling on a table|{amount} {noun} clinking|"
            f"{amount} metal {noun} dropped on the floor",
        ),
    )


def drums(rng: Rng) -> Sound:
    """Drum hits: single, counted, or a simple beat."""
    drum = one_of(rng, "kick drum|snare drum|hi-hat|tom drum|bass drum|cymbal")
    tune = rng.uniform(0.85, 1.2)

    def hit() -> Audio:
        if drum in ("kick drum", "bass drum"):
            seconds = 0.35 if drum == "kick drum" else 0.8
            return (
                tone(glide(seconds, 160 * tune, 62 * tune, 50 * tune, 46 * tune)) * decay(samples_in(seconds), seconds)
                + np.pad(0.25 * burst(rng, 0.02, 800, 5000), (0, samples_in(seconds)))[: samples_in(seconds)]
            )
        if drum == "snare drum":
            return mix(
                0.4,
                [
                    (0.0, unit(struck(rng, 185 * tune * np.array([1, 1.78]), [0.18, 0.12], [1, 0.6], 0.7))),
                    (0.0, 0.5 * burst(rng, 0.3, 900, 7500)),
                ],
            )
        if drum == "tom drum":
            return (
                tone(glide(0.6, 150 * tune, 105 * tune, 95 * tune)) * decay(samples_in(0.6), 0.6)
                + 0.1 * burst(rng, 0.6, 200, 2500)[: samples_in(0.6)]
            )
        seconds = rng.uniform(0.06, 0.12) if drum == "hi-hat" else rng.uniform(1.4, 2.5)
        shimmer = drops(rng, samples_in(seconds), 4000, 2500, 7500, 0.05, 16)
        return (even(shimmer) + noise(rng, len(shimmer), 4500, 7800)) * decay(len(shimmer), seconds)

    count = int(rng.choice([1, 1, 1, 2, 3, 4, 8]))
    speed, interval = pick(rng, {"": 0.5, "fast": 0.2, "slow": 0.9})
    samples = room(
        rng,
        sequence(regular_times(rng, interval, count, 0.02), [rng.uniform(0.75, 1) * hit() for _ in range(count)]),
        rng.uniform(0.05, 0.5),
    )
    if count > 1:
        return Sound(
            samples,
            say(
                rng,
                f"{NUMBERS[count]} {speed} {drum} hits|"
                f"a {drum} hit {NUMBERS[count]} times {speed and 'at a ' + speed + ' pace'}|"
                f"{NUMBERS[count]} {speed} beats on a {drum}",
            ),
        )
    return Sound(samples, say(rng, f"a {drum} hit|a {drum}|a single {drum} hit", drum))
