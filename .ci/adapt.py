"""The folder of sounds with which the README shows what adapting the built-in model does.

    python .ci/adapt.py FOLDER        24 takes of one sound that the model does not know, and configurations

Each take is four to eight rising chirps, of its own pitch, pace and echo.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE, SECONDS, TAKES = 48_000, 5.0, 24


def chirps(random: np.random.Generator) -> np.ndarray:
    """One take [samples]."""
    sound = np.zeros(round(SECONDS * RATE))
    low, high, pace = random.uniform(300, 420), random.uniform(2200, 2800), random.uniform(0.55, 0.7)
    time = np.arange(round(0.42 * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(low * (high / low) ** (time / time[-1])) / RATE
    chirp = (np.sin(phase) + 0.4 * np.sin(2 * phase)) * np.sin(np.pi * time / time[-1]) ** 0.5
    for number in range(int(SECONDS / pace)):
        start = round(number * pace * RATE)
        for echo, gain in enumerate((1.0, 0.25)):
            begin = start + round(echo * 0.12 * RATE)
            end = min(begin + len(chirp), len(sound))
            sound[begin:end] += gain * chirp[: end - begin]
    return 0.3 * sound


def main(folder: Path) -> None:
    sounds = folder / "recordings"
    sounds.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(4)
    for take in range(1, TAKES + 1):
        soundfile.write(sounds / f"Robot chirping {take:02}.wav", chirps(random), RATE, subtype="PCM_24")
    configs = Path(__file__).parents[1] / "dcldm_plugin" / "training" / "configs"
    for config in configs.glob("adapt*.toml"):
        shutil.copy(config, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
