"""Burning wood."""

import numpy as np

from dcldm_plugin.training.recipes.blocks import (
    MAXIMUM_LENGTH,
    Rng,
    Sound,
    crackle,
    drops,
    noise,
    one_of,
    pick,
    say,
    wander,
)


def fire(rng: Rng) -> Sound:
    """Crackling wood over a low flickering roar."""
    kind, (rate, roar) = pick(rng, {
        "small crackling": (9, 0.15), "gentle crackling": (6, 0.2), "crackling": (16, 0.4), "": (14, 0.7),
        "roaring": (14, 3.0), "big roaring": (25, 4.0), "raging": (30, 5.0),
    })  # fmt: skip
    length = MAXIMUM_LENGTH
    flicker = wander(rng, length, 9.0, 0.5, 1.0) * wander(rng, length, 1.2, 0.7, 1.1)
    samples = crackle(rng, length, rate * rng.uniform(0.7, 1.4), 700, 7000, 0.02, 1.2)
    samples += crackle(rng, length, rate * 6, 2500, 7500, 0.005, 1.0) * wander(rng, length, 2.0, 0.0, 0.7)
    samples += 0.6 * drops(rng, length, rate * 0.3, 300, 1500, 0.03, 4, 1.0)
    samples /= np.quantile(np.abs(samples), 0.998)
    samples = np.tanh(samples) + 0.12 * roar * flicker * noise(rng, length, 50, 350 + 120 * roar, -3.0)
    samples += 0.012 * roar * flicker * noise(rng, length, 1000, 6000)
    noun = "fire" if roar > 1 else one_of(rng, "fire|campfire|fireplace|bonfire")
    return Sound(
        samples,
        say(
            rng,
            f"a {kind} {noun}|{kind} {noun}|a {kind} {noun} burning|the sound of a {kind} {noun}|{kind} flames|"
            f"wood burning in a {kind} fire",
        ),
        True,
        0.7 if roar < 0.3 else 1.0,
    )
