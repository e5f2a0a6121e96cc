"""Animals, and people's hearts, hands and whistles."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    DURATION,
    MAXIMUM_LENGTH,
    NUMBERS,
    RATE,
    Audio,
    Rng,
    Sound,
    adverb,
    between,
    burst,
    endless,
    even,
    filtered,
    glide,
    mix,
    narrow,
    noise,
    pick,
    plural,
    pulses,
    random_times,
    regular_times,
    resonate,
    room,
    samples_in,
    say,
    sequence,
    swell,
    times_of,
    tone,
    unit,
    wander,
)


def heartbeat(rng: Rng) -> Sound:
    """Lub-dub: two soft low thumps a beat."""
    speed, rate = pick(rng, {"slow": 0.8, "": 1.15, "fast": 1.9, "racing": 2.3})
    pitch, base = pick(rng, {"low": 42.0, "deep": 40.0, "": 58.0})
    rate *= rng.uniform(0.92, 1.08)
    base *= rng.uniform(0.9, 1.15)
    gap = min(0.3, 0.32 / rate)

    def thump(hertz: float) -> Audio:
        curve = glide(0.22, hertz * 1.9, hertz, hertz * 0.85)
        return (tone(curve, (1.0, 0.5, 0.25)) + 0.4 * noise(rng, len(curve), 40, 180)) * swell(len(curve), 0.12, 1.6)

    count = endless(1 / rate)
    beats = [
        rng.uniform(0.9, 1) * mix(0.6, [(0.0, thump(base)), (gap, 0.65 * thump(base * 1.25))]) for _ in range(count)
    ]
    samples = filtered(sequence(regular_times(rng, 1 / rate, count, 0.02), beats), None, 500)
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.4)),
        say(
            rng,
            f"a {pitch} {speed} heartbeat|{speed} {pitch} heartbeat|a {speed} {pitch} beating heart|"
            f"a heart beating {adverb(speed)}|{speed} {pitch} heart beats",
        ),
        True,
        0.9,
    )


def birds(rng: Rng) -> Sound:
    """Bird song: each bird repeats its own short motif of glides and trills."""
    amount, (singers, rate) = pick(
        rng, {"a single": (1, 0.8), "one": (1, 0.8), "a few": (3, 0.6), "": (3, 0.8), "many": (7, 0.9)}
    )
    pitch, base = pick(rng, {"": 3200.0, "high": 4600.0, "small": 4300.0, "low": 1900.0})
    events = []
    for _ in range(singers):
        centre, level = base * rng.uniform(0.8, 1.25), between(rng, 0.15, 1.0)
        notes = []
        for _ in range(int(rng.integers(1, 5))):
            curve = glide(rng.uniform(0.04, 0.18), *np.minimum(7000, centre * rng.uniform(0.75, 1.35, 3)))
            if rng.random() < 0.35:
                curve *= 1 + 0.08 * np.sin(2 * np.pi * rng.uniform(25, 50) * times_of(len(curve)))
            note = tone(curve, (1.0, rng.uniform(0, 0.2))) * swell(len(curve), rng.uniform(0.2, 0.6), 0.8)
            notes += [np.pad(note, (0, samples_in(rng.uniform(0.01, 0.06))))] * int(rng.choice([1, 1, 2, 4]))
        motif = np.concatenate(notes)
        events += [(time, rng.uniform(0.6, 1) * level * motif) for time in random_times(rng, rate, DURATION - 0.5)]
    samples = room(rng, mix(DURATION, events), rng.uniform(0.2, 0.6))
    samples = samples + 0.01 * rng.uniform(0, 1) * noise(rng, len(samples), 100, 3000, -4.0)
    noun = "bird" if singers == 1 else "birds"
    return Sound(
        samples,
        say(
            rng,
            f"{amount} {pitch} {noun} chirping|{amount} {noun} singing|"
            f"{amount} {pitch} bird {'call' if singers == 1 else 'calls'}|{amount} {noun} chirping and singing|"
            f"{amount} {noun} tweeting {pitch and 'at a ' + pitch + ' pitch' if pitch != 'small' else ''}",
        ),
        True,
        0.7,
    )


def crickets(rng: Rng) -> Sound:
    """Crickets: trains of fast high pulses, near and far."""
    amount, count = pick(rng, {"a single": 1, "a few": 3, "": 5, "many": 12})
    speed, rate = pick(rng, {"": 1.6, "slow": 0.9, "fast": 3.0})
    length = MAXIMUM_LENGTH
    samples = np.zeros(length)
    for number in range(count):
        phase = np.cumsum(wander(rng, length, 0.3, 0.93, 1.07)) * rate * rng.uniform(0.85, 1.15) / RATE + rng.uniform()
        pulse = (phase % 1.0) * rng.uniform(7, 11)
        gate = np.sin(np.pi * (pulse % 1.0)) ** 2 * (pulse < rng.integers(3, 6))
        carrier = tone(between(rng, 3800, 5200) * wander(rng, length, 2.0, 0.995, 1.005), (1.0,))
        samples += gate * carrier * (1.0 if number == 0 else between(rng, 0.1, 0.7))
    samples += 0.01 * noise(rng, length, 200, 6000)
    noun = "cricket" if count == 1 else "crickets"
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.4)),
        say(
            rng,
            f"{amount} {noun} chirping {adverb(speed)}|{amount} {noun} at night|"
            f"{speed} chirping of {amount} {noun}|{amount} {noun}",
        ),
        True,
        0.6,
    )


def frogs(rng: Rng) -> Sound:
    """Croaks: glottal pulses through two resonances."""
    amount, singers = pick(rng, {"a": 1, "a single": 1, "several": 3, "many": 7})
    pitch, base = pick(rng, {"deep": 0.55, "": 1.0, "low": 0.65, "high": 1.7})
    rate = rng.uniform(0.5, 1.3)
    events = []
    for _ in range(singers):
        throat, buzz, seconds, level = (
            base * rng.uniform(0.85, 1.2),
            rng.uniform(35, 75),
            rng.uniform(0.18, 0.45),
            between(rng, 0.3, 1.0),
        )
        for time in regular_times(rng, 1 / rate / rng.uniform(0.8, 1.2), endless(1 / rate), 0.12) + rng.uniform(0, 1):
            length = samples_in(seconds * rng.uniform(0.9, 1.1))
            train = np.zeros(length)
            train[pulses(buzz * np.linspace(0.85, 1.3, length))] = 1.0
            croak = (
                resonate(train, 550 * throat, 0.03)
                + 0.6 * resonate(train, 1300 * throat, 0.025)
                + 0.2 * resonate(train, 2500 * throat, 0.02)
            )
            events.append((float(time), level * croak * swell(length, 0.6, 0.8)))
    noun = "frog" if singers == 1 else "frogs"
    return Sound(
        room(rng, mix(DURATION, events), rng.uniform(0.1, 0.5)),
        say(
            rng,
            f"{amount} {pitch} {noun} croaking|{amount} croaking {noun}|{amount} {pitch} {noun}|"
            f"{pitch} croaks of {amount} {noun}",
        ),
        True,
        0.8,
    )


def owl(rng: Rng) -> Sound:
    """Hoots: soft breathy tones in a phrase."""
    count = int(rng.integers(1, 6))
    distance, cutoff = pick(rng, {"": 3000.0, "distant": 700.0})
    base = between(rng, 280, 480)
    hoots = []
    for _ in range(count):
        curve = glide(rng.uniform(0.3, 0.6), base * 0.93, base, base * 0.9)
        hoots.append((tone(curve, (1.0, 0.12, 0.05)) + 0.08 * narrow(rng, curve, 60.0)) * swell(len(curve), 0.4, 0.8))
    samples = room(
        rng,
        filtered(sequence(regular_times(rng, 0.75, count, 0.1), hoots), None, cutoff),
        0.8 if distance else rng.uniform(0.3, 0.7),
    )
    times = "once" if count == 1 else f"{NUMBERS[count]} times"
    return Sound(
        samples,
        say(
            rng,
            f"a {distance} owl hooting {times}|a {distance} owl at night",
            f"the {distance} hoot of an owl" if count == 1 else f"{distance} owl hoots",
            f"a {distance} owl calling {times}|{plural(count, distance + ' owl hoot')}|a {distance} owl hooting",
        ),
        False,
        0.7,
    )


def crowd(rng: Rng) -> Sound:
    """A murmuring crowd: many voices of pulses through changing vowels, none of them intelligible."""
    size, voices = pick(rng, {"small": 5, "": 10, "large": 16})
    place, space = pick(rng, {"": 0.3, "in a restaurant": 0.4, "in a hall": 0.9, "in a room": 0.3})
    length = MAXIMUM_LENGTH
    samples = np.zeros(length)
    for _ in range(voices):
        pitch = between(rng, 90, 230)
        talking = np.clip(wander(rng, length, 0.6, -0.5, 1.2), 0, 1) * wander(rng, length, 9.0) ** 2
        at = pulses(pitch * wander(rng, length, 2.5, 0.8, 1.25))
        train = np.zeros(length)
        train[at] = 1.0
        vowel = wander(rng, length, 6.0)
        open_mouth = resonate(train, rng.uniform(600, 850), 0.02) + 0.6 * resonate(train, rng.uniform(1100, 1500), 0.02)
        closed = resonate(train, rng.uniform(280, 420), 0.025) + 0.4 * resonate(train, rng.uniform(1800, 2400), 0.015)
        samples += talking * (vowel * open_mouth + (1 - vowel) * closed) * between(rng, 0.4, 1.0)
    samples = even(filtered(samples, 100)) + 0.08 * noise(rng, length, 2500, 6500) * wander(rng, length, 9.0) ** 3
    return Sound(
        room(rng, samples, space),
        say(
            rng,
            f"a {size} crowd murmuring {place}|a {size} crowd of people talking {place}|"
            f"murmur of a {size} crowd {place}|{size} crowd chatter {place}",
        ),
        True,
        0.7,
    )


def applause(rng: Rng) -> Sound:
    """Clapping hands, from one pair to a hall full."""
    size, (people, strength) = pick(rng, {
        "one person": (1, 0.6), "a few people": (4, 0.6), "a small audience": (15, 0.8), "a large audience": (60, 1.0),
    })  # fmt: skip
    claps = [
        unit(burst(rng, rng.uniform(0.015, 0.04), between(rng, 600, 1100), between(rng, 2000, 5000), 0.001))
        for _ in range(24)
    ]
    events = []
    for _ in range(people):
        period, level = 1 / rng.uniform(2.8, 4.5), between(rng, 0.3, 1.0)
        times = regular_times(rng, period, endless(period), 0.06) + rng.uniform(0, period)
        favourites = rng.integers(0, len(claps), 4)
        events += [(float(time), level * claps[favourites[number % 4]]) for number, time in enumerate(times)]
    return Sound(
        room(rng, mix(DURATION, events), rng.uniform(0.1, 0.4) if people < 5 else rng.uniform(0.5, 0.9)),
        say(
            rng,
            f"{size} clapping|applause from {size}|{size} applauding|the clapping of {size}|{size} clapping hands",
            "applause" if people > 10 else f"clapping by {size}",
        ),
        True,
        strength,
    )


def insect(rng: Rng) -> Sound:
    """Buzzing wings that come and go."""
    kind, (base, levels) = pick(
        rng, {"bee": (210.0, 0.8), "fly": (175.0, 0.85), "mosquito": (560.0, 0.7), "wasp": (150.0, 0.88)}
    )
    amount, count = pick(rng, {"a": 1, "a single": 1, "a swarm of": 9})
    length = MAXIMUM_LENGTH
    samples = np.zeros(length)
    for _ in range(count):
        curve = (
            base
            * rng.uniform(0.88, 1.15)
            * wander(rng, length, 1.5, 0.92, 1.08)
            * wander(rng, length, 12.0, 0.985, 1.015)
        )
        near = wander(rng, length, 0.8, 0.05, 1.0) ** 1.5
        samples += (
            near
            * tone(curve, levels ** np.arange(14) * rng.uniform(0.5, 1.0, 14))
            * wander(rng, length, 30.0, 0.8, 1.0)
        )
    many = {"fly": "flies", "mosquito": "mosquitoes"}.get(kind, f"{kind}s")
    noun = kind if count == 1 else many
    samples = filtered(samples, 150) + 0.01 * noise(rng, length, 200, 5000)
    return Sound(
        room(rng, samples, rng.uniform(0.0, 0.3)),
        say(
            rng,
            f"{amount} {noun} buzzing|{amount} buzzing {noun}|{amount} {noun} flying around|"
            f"the buzz of {amount} {noun}",
        ),
        True,
        0.6,
    )


def dog(rng: Rng) -> Sound:
    """Barks: a rough tone whose pitch jumps up and falls, through an opening mouth."""
    size, factor = pick(rng, {"small": 1.7, "": 1.0, "big": 0.65, "large": 0.6})
    count = int(rng.integers(1, 7))
    pitch = 330 * factor * rng.uniform(0.85, 1.2)
    barks = []
    for _ in range(count):
        seconds = rng.uniform(0.13, 0.22) / factor**0.3
        curve = glide(seconds, pitch * 0.7, pitch * 1.25, pitch * 1.1, pitch * 0.6) * rng.uniform(0.94, 1.06)
        curve *= wander(rng, len(curve), 60.0, 0.9, 1.1)
        voice = tone(curve, 0.85 ** np.arange(16)) + 0.6 * noise(rng, len(curve), 300, 5000, -2.0)
        mouth = resonate(voice, 750 * factor**0.4, 0.015) + 0.7 * resonate(voice, 1500 * factor**0.4, 0.012)
        barks.append(
            rng.uniform(0.7, 1.0) * unit(mouth + 0.2 * resonate(voice, 2900, 0.01)) * swell(len(curve), 0.25, 0.9)
        )
    samples = sequence(regular_times(rng, rng.uniform(0.4, 0.7), count, 0.12), barks)
    times = "once" if count == 1 else f"{NUMBERS[count]} times"
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.5)),
        say(
            rng,
            f"a {size} dog barking {times}|{plural(count, size + ' dog bark')}|a {size} dog barking|"
            f"a {size} dog barking {times}",
        ),
    )


def whistle(rng: Rng) -> Sound:
    """A person's whistle: a breathy sine that slides between notes."""
    kind, shape = pick(rng, {
        "rising": (0.7, 0.8, 1.6), "falling": (1.6, 1.5, 0.7), "short": (1.0, 1.05, 1.0), "long": (1.0, 1.0, 1.03),
        "wolf": (0.7, 1.7, 0.6),
    })  # fmt: skip
    base = between(rng, 1000, 1900)
    seconds = {"short": 0.25, "long": 1.8}.get(kind, 0.7) * rng.uniform(0.85, 1.2)
    curve = glide(seconds, *(base * np.asarray(shape)))
    curve *= 1.0 + 0.008 * np.sin(2 * np.pi * rng.uniform(4, 7) * times_of(len(curve)))
    samples = tone(curve, (1.0, 0.06)) * (1 + 0.1 * noise(rng, len(curve), 1, 60)) + 0.06 * narrow(rng, curve, 300.0)
    samples *= swell(len(curve), 0.3, 0.5)
    return Sound(
        room(rng, samples, rng.uniform(0.1, 0.6)),
        say(
            rng,
            f"a {kind} whistle|a person giving a {kind} whistle",
            f"someone whistling a {kind} note" if kind != "wolf" else "a wolf whistle",
            f"a {kind} human whistle",
        ),
    )
