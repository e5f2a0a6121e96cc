"""The measures of pitch, number and pace, on sounds of which they are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dcldm_plugin.audio.events import event_times, pitch_hz, rate_hz

RATE = 16_000


def test_measures(beeps: Callable[..., Any]) -> None:
    sound = beeps(1000.0, [0.0, 0.5, 1.0, 1.5])
    assert pitch_hz(sound, RATE) == pytest.approx(1000.0, rel=0.05)
    assert event_times(sound, RATE) == pytest.approx([0.0, 0.5, 1.0, 1.5], abs=0.03)
    assert rate_hz(sound, RATE) == pytest.approx(2.0, rel=0.05)
    assert event_times(0.1 * np.random.default_rng(1).standard_normal(RATE), RATE) == pytest.approx([0.0], abs=0.02)
    assert rate_hz(np.zeros(RATE), RATE) == 0.0


def test_a_slow_rise_is_one_event() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)
    rise = 10.0 ** (np.linspace(-60.0, 0.0, RATE) / 20.0) * tone
    assert len(event_times(np.concatenate([rise, rise]), RATE)) == 2
