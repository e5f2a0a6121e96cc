"""Faults are found where they are, and nowhere else."""

import numpy as np
import pytest

from dcldm_plugin.evaluation.hygiene import check, faults, prompts
from dcldm_plugin.types import Prompt

RATE = 48_000
Audio = np.ndarray[tuple[int], np.dtype[np.float64]]


def noise() -> Audio:
    return 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)


def sine(hertz: float = 440.0) -> Audio:
    return 0.3 * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)


def with_click() -> Audio:
    sound = np.zeros(2 * RATE)
    sound[RATE : RATE + 200] = 0.5 * np.random.default_rng(1).standard_normal(200).clip(-1.9, 1.9)
    return sound


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        (noise(), ()),
        (with_click(), ()),
        (sine() * np.exp(-3.0 * np.arange(2 * RATE) / RATE), ()),  # a bell is no constant tone
        (np.zeros(2 * RATE), ("silence",)),
        (1e-4 * noise(), ("silence",)),
        (noise().clip(-0.2, 0.2), ("clipping",)),
        (np.concatenate([noise(), noise()[:200].clip(-0.05, 0.05) * 20]), ("clipping",)),
        (noise() + 0.02, ("offset",)),
        (sine() + 1e-4 * noise(), ("tone",)),
        (sine(50.0) + 1e-4 * noise(), ("tone",)),
    ],
)
def test_faults(sound: Audio, expected: tuple[str, ...]) -> None:
    assert faults(sound, RATE) == expected


def test_prompts_are_many_valid_and_the_same_each_time() -> None:
    made = list(prompts(500))
    assert made == list(prompts(500))
    assert len({prompt for prompt, _ in made}) > 400
    assert 25 < sum(nonsense for _, nonsense in made) < 90
    for prompt, _ in made:
        Prompt(prompt)


def test_what_is_wrong_is_named() -> None:
    result = check(lambda prompt, seed: (np.zeros(RATE) if seed == 3 else noise(), RATE), 5)
    assert result["faults"] == {"silence": 1, "clipping": 0, "offset": 0, "tone": 0}
    assert result["faulty"] == [[list(prompts(5))[2][0], ["silence"]]]
