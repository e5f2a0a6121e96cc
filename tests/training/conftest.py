"""Sounds for a model so small that training it takes seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000


def write_sounds(folder: Path, count: int = 6, seconds: float = 2.0) -> Path:
    """Tones and noises that come and go, named after what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    time = np.arange(round(seconds * RATE)) / RATE
    for number in range(count):
        beats = np.sin(2 * np.pi * (1 + number % 3) * time) > 0
        tone = np.sin(2 * np.pi * 300 * (1 + number) * time)
        sound = 0.3 * beats * (tone if number % 2 else random.standard_normal(len(time)) / 3)
        soundfile.write(folder / f"{'tone' if number % 2 else 'noise'} of kind {'abcdefgh'[number]}.wav", sound, RATE)
    return folder


@pytest.fixture(scope="session")
def hisses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steady noises, in which there is no silence to hide in."""
    folder = tmp_path_factory.mktemp("hisses")
    for number in range(4):
        noise = np.random.default_rng(number).standard_normal(round(2.56 * RATE))
        soundfile.write(folder / f"hiss {'abcd'[number]}.wav", 0.1 * noise, RATE)
    return folder


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six sounds."""
    return write_sounds(tmp_path_factory.mktemp("sounds") / "library")
