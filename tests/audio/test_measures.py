"""What the promises of the variation controls are measured with."""

import numpy as np
import pytest

from dcldm_plugin.audio.measures import largest_repetition, onsets, rises, seam, spectral_distance

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


def test_what_is_silent_in_both_is_as_near_however_loud_they_are() -> None:
    sound = np.random.default_rng(0).standard_normal(2 * RATE)
    sound[RATE:] *= 1e-6
    # 20 dB in the half that sounds, nothing in the other: 20 / sqrt 2, and the frame between.
    for one, other in ((sound, 0.1 * sound), (0.1 * sound, sound)):
        assert spectral_distance(one, other, RATE) == pytest.approx(14.1, abs=0.5)
    assert spectral_distance(sound, sound, RATE) == 0.0
    # Half of the way in dB is half of the distance, at any level.
    half = np.concatenate([10**-0.5 * sound[:RATE], sound[RATE:]])
    assert spectral_distance(sound, half, RATE) == pytest.approx(7.1, abs=0.3)


def test_an_onset_that_is_a_little_softer_is_still_one() -> None:
    noise = np.random.default_rng(1).standard_normal(2 * RATE)
    for step_db, is_onset, rises_there in ((14.0, True, True), (9.0, False, True), (3.0, False, False)):
        stepped = np.concatenate([10.0 ** (-step_db / 20.0) * noise[:RATE], noise[RATE:]])
        assert (onsets(stepped, RATE) != []) is is_onset
        assert rises(stepped, RATE, 1.05, 0.08) is rises_there
        assert not rises(stepped, RATE, 1.3, 0.08)
    assert not rises(noise[:100], RATE, 0.0, 0.08)
