"""What words ask of the events of a sound: how many, how fast, how high; and how near plans come to it.

A language model hears such words, and does not always follow. In its plans these can be measured, so of several that
fit the words the one is kept that does as they say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dcldm_plugin.models.phrasebook import BIG, FAST, HIGH, LOW, NUMBERS, SLOW, SMALL, any_of

MOST_AMISS = 3.0  # events; beyond that one plan is as wrong as another


COUNTS = tuple(map(any_of, NUMBERS))  # one, two, …
SLOWER, FASTER, LOWER, HIGHER = map(any_of, (SLOW, FAST, f"{LOW}|{BIG}", f"{HIGH}|{SMALL}"))


@dataclass(frozen=True, slots=True)
class Wishes:
    """number: of events, 0 where none is named, or several are. pace: 1 for fast, -1 for slow; pitch: 1 for a high
    sound or a small thing, -1 for a low or big one; 0 for neither, or both."""

    number: int = 0
    pace: int = 0
    pitch: int = 0

    @classmethod
    def of(cls, prompt: str) -> Wishes:
        named = [number for number, words in enumerate(COUNTS, 1) if words.search(prompt)]
        return cls(
            named[0] if len(named) == 1 else 0,
            bool(FASTER.search(prompt)) - bool(SLOWER.search(prompt)),
            bool(HIGHER.search(prompt)) - bool(LOWER.search(prompt)),
        )

    def met(self, sounds: Tensor, rate: int) -> Tensor:
        """How near sounds [n, samples] come to it, the higher the nearer [n]: events too many or too few count -1 each,
        an octave of pitch or pace 1."""
        from dcldm_plugin.audio.events import pitch_hz, rate_hz  # scipy, which takes its time

        fits = []
        for sound in sounds:
            heard, fit = _heard(sound), 0.0
            if self.number:
                fit -= min(MOST_AMISS, abs(_events(heard, rate) - self.number))
            if self.pace:
                fit += self.pace * np.log2(max(rate_hz(heard, rate), 0.1))
            if self.pitch:
                fit += self.pitch * np.log2(pitch_hz(heard, rate))
            fits.append(fit)
        return sounds.new_tensor(fits)

    def has_number(self, sound: Tensor, rate: int) -> bool:
        """Whether a sound [samples] has just the number of events that is named."""
        return self.number > 0 and _events(_heard(sound), rate) == self.number


def _heard(sound: Tensor) -> NDArray[np.float32]:
    heard: NDArray[np.float32] = sound.float().cpu().numpy()
    return heard


def _events(heard: NDArray[np.float32], rate: int) -> int:
    from dcldm_plugin.audio.events import event_times

    return len(event_times(heard, rate))
