"""What the promises of the variation controls are measured with."""

import numpy as np

from dcldm_plugin.audio.measures import largest_repetition, seam

RATE = 16_000


def test_a_part_that_comes_twice_is_found_wherever_it_stands() -> None:
    noise = np.random.default_rng(0).standard_normal(6 * RATE).astype(np.float32)
    assert largest_repetition(noise, 2 * RATE) < 0.1
    noise[4 * RATE : 6 * RATE] = np.roll(noise[: 2 * RATE], 500)
    assert largest_repetition(noise, 2 * RATE) > 0.9


def test_a_seam_is_told_from_none() -> None:
    time = np.arange(RATE) / RATE
    for hertz, is_smooth in ((440.0, True), (440.5, False)):  # whole and half periods
        at_seam, within = seam(np.sin(2 * np.pi * hertz * time), RATE, 5)
        assert (at_seam <= 1.05 * within + 0.1) is is_smooth
