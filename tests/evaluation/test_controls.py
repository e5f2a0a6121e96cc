"""What the promises of the controls are measured with; that they are kept, `tests/backends/test_controls.py` asks."""

import numpy as np

from dcldm_plugin.evaluation.controls import largest_repetition

RATE = 16_000


def test_a_part_that_comes_twice_is_found_wherever_it_stands() -> None:
    noise = np.random.default_rng(0).standard_normal(6 * RATE).astype(np.float32)
    assert largest_repetition(noise, 2 * RATE) < 0.1
    noise[4 * RATE : 6 * RATE] = np.roll(noise[: 2 * RATE], 500)
    assert largest_repetition(noise, 2 * RATE) > 0.9
