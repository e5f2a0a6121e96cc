from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcldm_plugin.audio.moment import moment
from dcldm_plugin.errors import InvalidInput

RATE = 48_000


def written(path: Path, samples: np.ndarray) -> Path:
    soundfile.write(path, samples, RATE, subtype="PCM_24")
    return path


def test_the_onset_and_the_peak_of_a_hit(tmp_path: Path) -> None:
    samples = np.random.default_rng(1).normal(0.0, 0.001, (RATE, 2))  # the room
    samples[12_000:13_000, 0] = 0.2
    samples[20_000, 1] = -0.9
    path = written(tmp_path / "hit.wav", samples)
    assert moment(path, "onset") == pytest.approx(12_000 / RATE, abs=1e-9)
    assert moment(path, "peak") == pytest.approx(20_000 / RATE, abs=1e-9)
    assert moment(path, "") == 0.0


def test_silence_and_what_is_no_sound(tmp_path: Path) -> None:
    assert moment(written(tmp_path / "silence.wav", np.zeros((100, 1))), "peak") == 0.0
    assert moment(written(tmp_path / "empty.wav", np.zeros((0, 1))), "onset") == 0.0
    (tmp_path / "text.wav").write_text("no sound")
    for name in ("text.wav", "gone.wav"):
        with pytest.raises(InvalidInput, match=name):
            moment(tmp_path / name, "peak")
