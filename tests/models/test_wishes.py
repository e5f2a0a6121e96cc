"""What words ask of events, and which sounds do so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dcldm_plugin.models.wishes import Wishes

RATE = 16_000


@pytest.mark.parametrize(
    ("prompt", "wishes"),
    [
        ("a dog barking", Wishes()),
        ("Three barks of a big dog", Wishes(number=3, pitch=-1)),
        ("a bell struck twice, slowly", Wishes(number=2, pace=-1)),
        ("rapid high-pitched beeps", Wishes(pace=1, pitch=1)),
        ("two dogs and three bells", Wishes()),
        ("someone sings, low and high", Wishes()),
    ],
)
def test_words(prompt: str, wishes: Wishes) -> None:
    assert Wishes.of(prompt) == wishes


def test_the_nearer_the_higher(beeps: Callable[..., Any]) -> None:
    made = ((500.0, [0.1, 1.1, 2.1]), (500.0, [0.1, 0.6, 1.1, 1.6]), (2000.0, [0.2, 1.2]))
    sounds = torch.stack([torch.from_numpy(beeps(hertz, times)).float() for hertz, times in made])
    assert Wishes(number=3).met(sounds, RATE).tolist() == [0.0, -1.0, -1.0]
    assert Wishes(number=8).met(sounds, RATE).tolist() == [-3.0, -3.0, -3.0]
    pace = Wishes(pace=1).met(sounds, RATE)
    assert pace[1] - pace[0] == pytest.approx(1.0, abs=0.05)
    assert torch.equal(Wishes(pace=-1).met(sounds, RATE), -pace)
    pitch = Wishes(pitch=1).met(sounds, RATE)
    assert pitch[2] - pitch[0] == pytest.approx(2.0, abs=0.1)
    both = Wishes(number=2, pitch=1).met(sounds, RATE)
    assert torch.allclose(both, pitch + Wishes(number=2).met(sounds, RATE))
