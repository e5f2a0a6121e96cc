"""Sounds no thing makes: risers, drones, magic, power, games and static."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    MAXIMUM_LENGTH,
    RATE,
    Rng,
    Sound,
    adverb,
    between,
    crackle,
    decay,
    electronic_tone,
    even,
    glide,
    narrow,
    noise,
    one_of,
    pick,
    random_times,
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


def riser(rng: Rng) -> Sound:
    """Tension that climbs: tones, noise or both gliding up while they grow."""
    kind = one_of(rng, "tonal|noise|synth|tense|cinematic")
    speed, seconds = pick(rng, {"short": 1.3, "fast": 1.5, "": 3.5, "slow": 7.0, "long": 7.5})
    seconds *= rng.uniform(0.85, 1.2)
    length = samples_in(seconds)
    position = np.linspace(0.0, 1.0, length)
    start = between(rng, 70, 220)
    curve = start * between(rng, 5, 14) ** (position ** rng.uniform(1.0, 1.6))
    samples = np.zeros(length)
    if kind != "noise":
        for detune in rng.uniform(0.985, 1.015, 3 if kind != "tonal" else 1):
            samples += even(tone(curve * detune, 0.65 ** np.arange(8)))
        samples = even(samples)
    if kind != "tonal":
        samples += (1.2 if kind == "noise" else 0.5) * narrow(
            rng, np.minimum(7000, curve * 3.5), 400.0 if kind == "noise" else 700.0
        )
    if kind in ("tense", "cinematic"):
        samples *= 1.0 - 0.5 * (0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(3.0 + 14.0 * position**2) / RATE))
    samples *= 0.03 + position ** rng.uniform(1.2, 2.2)
    return Sound(
        room(rng, samples, rng.uniform(0.3, 0.8)),
        say(
            rng,
            f"a {speed} {kind} riser|a {speed} {kind} rising sound|{speed} {kind} build-up|"
            f"a {speed} {kind} riser building tension|a {speed} {kind} sweep rising in pitch",
        ),
    )


def drone(rng: Rng) -> Sound:
    """A sustained chord of slowly beating partials, dark or bright."""
    mood, (base, rolloff, breath) = pick(rng, {
        "dark": (48.0, 1.9, 0.25), "deep": (42, 1.7, 0.15), "low": (58, 1.4, 0.1), "ominous": (52, 1.5, 0.4),
        "": (90, 1.1, 0.2), "warm": (100, 1.5, 0.1), "eerie": (190, 1.0, 0.5), "bright": (210, 0.6, 0.15),
        "metallic": (140, 0.5, 0.1),
    })  # fmt: skip
    base *= rng.uniform(0.85, 1.2)
    kind = one_of(rng, "drone|drone|ambience|pad|synth drone")
    length = MAXIMUM_LENGTH
    samples = np.zeros(length)
    for voice in (1.0, 1.0, rng.choice([1.5, 1.335, 1.189, 2.0])):
        ratios = np.arange(1, 11) * (rng.uniform(0.97, 1.03, 10) if mood in ("metallic", "eerie") else 1.0)
        drift = wander(rng, length, 0.3, 0.995, 1.005)
        phase = 2 * np.pi * np.cumsum(base * voice * drift) / RATE
        for ratio in ratios[:7]:
            samples += (
                ratio**-rolloff * np.sin(ratio * phase + rng.uniform(0, 6.3)) * wander(rng, length, 0.5, 0.2, 1.0)
            )
    samples = even(samples) + breath * narrow(rng, base * 6 * wander(rng, length, 0.3, 0.7, 1.4), base)
    return Sound(
        room(rng, samples, rng.uniform(0.4, 1.0)),
        say(
            rng,
            f"a {mood} {kind}|{mood} {kind}|a {mood} sustained {kind}|a {mood} atmospheric {kind}|"
            f"a {mood} humming {kind}",
        ),
        True,
        0.8,
    )


def magic(rng: Rng) -> Sound:
    """Sparkle: many tiny bright bells, in a run up or down or at random."""
    motion = one_of(rng, "|rising|falling|shimmering")
    size, (seconds, rate) = pick(rng, {"small": (0.7, 18), "": (1.4, 22), "long": (3.5, 22)})
    times = random_times(rng, rate, seconds)
    scale = between(rng, 900, 1500) * 2.0 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16, 19, 21, 24]) / 12)
    events = []
    for time in times:
        place = {"rising": time / seconds, "falling": 1 - time / seconds}.get(motion, rng.random())
        pitch = scale[int(np.clip(place * 10 + rng.normal(0, 0.7), 0, 10))]
        fall = rng.uniform(0.3, 1.0)
        events.append(
            rng.uniform(0.3, 1.0)
            * unit(struck(rng, pitch * np.array([1, 2.76, 5.4]), [fall, fall / 2, fall / 4], [1, 0.4, 0.2], 0.95))
        )
    samples = sequence(times, events)
    samples = even(samples) + 0.12 * noise(rng, len(samples), 4000, 7800) * swell(len(samples), 0.3)
    return Sound(
        room(rng, samples, rng.uniform(0.4, 0.9)),
        say(
            rng,
            f"a {size} {motion} magic sparkle|a {size} {motion} magical chime|{motion} magic twinkles|"
            f"a {size} {motion} fairy dust sparkle|a {size} {motion} magic spell|{motion} sparkling magic",
        ),
    )


def power(rng: Rng) -> Sound:
    """A machine gaining or losing power: pitch and brightness glide together."""
    direction = one_of(rng, "down|down|up")
    speed, seconds = pick(rng, {"fast": 0.8, "": 1.8, "slow": 4.0})
    pitch, base = pick(rng, {"low": 130.0, "": 320.0, "high": 800.0})
    seconds *= rng.uniform(0.85, 1.2)
    length = samples_in(seconds)
    position = np.linspace(0, 1, length)
    fall = position if direction == "down" else 1 - position
    curve = base * rng.uniform(0.85, 1.2) * 0.1 ** (fall ** rng.uniform(0.8, 1.5))
    samples = even(tone(curve, 0.7 ** np.arange(10))) + 0.15 * narrow(rng, curve * 4, 200.0)
    samples *= (1 - fall) ** 0.5 * np.minimum(1, times_of(length) / 0.02)
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.6)),
        say(
            rng,
            f"a {speed} {pitch} power {direction}|a machine powering {direction} {adverb(speed)}|"
            f"a {speed} {pitch} power-{direction} sound|"
            f"a {speed} {pitch} {'shutdown' if direction == 'down' else 'startup'} sound",
        ),
    )


def game(rng: Rng) -> Sound:
    """Sounds of old video games: jump, coin, power-up, hit, game over."""
    kind = one_of(rng, "jump|coin|power-up|hit|game over|level up")
    square = np.where(np.arange(12) % 2 == 0, 1.0, rng.uniform(0, 0.3)) / np.arange(1, 13)
    base = between(rng, 300, 700)
    steps = {
        "coin": [2.0, 2.67],
        "power-up": [1, 1.26, 1.5, 2, 2.52, 3],
        "game over": [2, 1.78, 1.5, 1.33, 1],
        "level up": [1, 1.26, 1.5, 2],
    }
    if kind == "jump":
        curve = glide(rng.uniform(0.15, 0.35), base * 0.7, base * between(rng, 1.5, 3))
        samples = tone(curve, square) * np.linspace(1, 0.1, len(curve))
    elif kind == "hit":
        curve = glide(rng.uniform(0.15, 0.3), base, base * 0.2)
        samples = (tone(curve, square) + 1.5 * noise(rng, len(curve), 200, 7000)) * decay(len(curve), 0.35)
    else:
        beat = rng.uniform(0.06, 0.13) * (1.8 if kind == "game over" else 1.0)
        *run, last = [base * step for step in steps[kind]]
        notes = [electronic_tone(note, beat, square) for note in run]
        final = electronic_tone(last, beat * 3, square)
        samples = np.concatenate([*notes, final * decay(len(final), beat * 4)])
    article = {"coin": "a coin pickup", "game over": "a game over jingle", "level up": "a level up jingle"}.get(
        kind, f"a {kind}"
    )
    style = one_of(rng, "retro|video|arcade|8-bit") + ("" if kind == "game over" else " game")
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.15)),
        say(rng, f"a {style} {article[2:]} sound|{style} {article[2:]}|{article} in a video game"),
        False,
        0.8,
    )


def static(rng: Rng) -> Sound:
    """Broadband noise: radio, television, hiss of one colour."""
    kind, (low, high, slope) = pick(rng, {
        "white noise": (40, 7800, 0), "pink noise": (40, 7800, -3), "brown noise": (40, 7800, -6),
        "radio static": (400, 4500, -1), "television static": (150, 7800, 0),
    })  # fmt: skip
    manner = one_of(rng, "|steady|crackling") if "static" in kind else one_of(rng, "|steady|soft")
    samples = noise(rng, MAXIMUM_LENGTH, low, high, slope)
    if kind == "radio static":
        samples *= wander(rng, MAXIMUM_LENGTH, 4.0, 0.6, 1.0)
        samples += (
            0.15 * tone(2000 * wander(rng, MAXIMUM_LENGTH, 0.7, 0.4, 1.2)) * wander(rng, MAXIMUM_LENGTH, 0.7) ** 4
        )
    if manner == "crackling":
        samples += 0.8 * crackle(rng, MAXIMUM_LENGTH, 30, 400, 7500, 0.008, 1.0)
    return Sound(
        samples, say(rng, f"{manner} {kind}|the sound of {manner} {kind}", kind), True, 0.4 if manner == "soft" else 0.7
    )
