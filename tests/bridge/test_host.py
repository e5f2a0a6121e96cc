from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.host import HostError, spots
from dcldm_plugin.types import Clip, Prompt, Sampling, Seeds, TimelineTarget


def make_clip(path: Path, peak_at: int) -> Clip:
    samples = np.zeros(48_000)
    samples[peak_at] = 0.5
    soundfile.write(path, samples, 48_000)
    return Clip(path.stem, path, Prompt("hit"), Seeds(1, 1), "tone", "1", Sampling(), "job", 0, 1.0, 48_000, 1, "", "")


def test_each_clip_is_snapped_by_its_own_peak(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path / "a.wav", 4_800), make_clip(tmp_path / "b.wav", 9_600)]
    early, late = spots(clips, TimelineTarget("ardour", position=100_000, sample_rate=96_000, snap="peak"))
    assert (early.position, late.position) == (100_000 - 9_600, 100_000 - 19_200)
    assert (early.moment, early.skip) == (pytest.approx(0.1), 0.0)
    assert [spot.position for spot in spots(clips, TimelineTarget("ardour", position=7))] == [7, 7]


def test_what_would_lie_before_the_timeline_is_left_out(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.wav", 4_800)
    (spot,) = spots([clip], TimelineTarget("ardour", position=1_800, snap="peak"))
    assert (spot.position, spot.skip) == (0, pytest.approx(3_000 / 48_000))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.wav", 0)
    clip.path.unlink()
    with pytest.raises(HostError, match=r"a\.wav is not there any more"):
        spots([clip], TimelineTarget("ardour"))
