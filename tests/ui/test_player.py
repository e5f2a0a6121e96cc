from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dcldm_plugin.errors import DcldmError
from ui.player import FADE_SECONDS, Player, Voice

RATE = 48_000
FADE = round(FADE_SECONDS * RATE)
BLOCK = 256


def heard(voice: Voice, blocks: int) -> np.ndarray:
    out = np.zeros((blocks, BLOCK, 1), np.float32)
    for block in out:
        voice.fill(block)
    return out.reshape(-1)


def ones(seconds: float) -> np.ndarray:
    """The hardest sound to begin and end: full scale, and nothing else."""
    return np.ones((round(seconds * RATE), 1), np.float32)


def largest_step(samples: np.ndarray) -> float:
    return float(np.abs(np.diff(samples, prepend=0.0)).max())


def test_no_step_at_start_stop_seek_or_loop() -> None:
    voice = Voice(ones(1.0), RATE, start=100)
    voice.loop = (1000, 5000)
    parts = [heard(voice, 40)]
    voice.seek(3000)
    parts.append(heard(voice, 40))
    voice.stop()
    parts.append(heard(voice, 4))
    assert voice.over
    samples = np.concatenate(parts)
    assert samples.max() == 1.0 and samples[-1] == 0.0
    assert largest_step(samples) <= 1.5 / FADE


def test_a_change_of_gain_is_a_slope() -> None:
    voice = Voice(ones(1.0), RATE)
    first = heard(voice, 4)
    voice.set_gain(0.25)
    second = heard(voice, 8)
    assert second[-1] == pytest.approx(0.25, abs=0.01)
    assert largest_step(np.concatenate([first, second])) <= 1.5 / FADE


def test_it_plays_what_it_was_given_once_faded_in() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (RATE // 10, 1)).astype(np.float32)
    voice = Voice(samples, RATE)
    out = heard(voice, 19)
    assert np.array_equal(out[FADE : RATE // 10], samples[FADE:, 0])
    assert not out[RATE // 10 :].any() and voice.over


def test_a_whole_clip_that_loops_goes_on_without_a_gap() -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (1000, 1)).astype(np.float32)
    voice = Voice(samples, RATE)
    voice.loop = (0, 1000)
    out = heard(voice, 12)
    assert np.array_equal(out[1000:2000], samples[:, 0]) and np.array_equal(out[2000:3000], samples[:, 0])


SCRIPT = """
import sys, threading
import numpy as np
from ui.player import Player, Voice, devices
ended = threading.Event()
player = Player(ended.set)
assert devices()
samples = (0.5 * np.sin(np.arange(24_000) / 8.0)).astype(np.float32)[:, None]
player.play(Voice(samples, 48_000), 48_000, 1)
assert ended.wait(60)
player.close()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="writes through a device of ALSA, which Linux has")
def test_a_real_stream_carries_the_samples(tmp_path: Path) -> None:
    """PortAudio plays into an ALSA device that writes a file: what arrives there is what was to be heard."""
    pytest.importorskip("sounddevice", exc_type=OSError)
    raw = tmp_path / "out.raw"
    (tmp_path / ".asoundrc").write_text(
        f'pcm.!default {{ type file slave.pcm {{ type null }} file "{raw}" format "raw" }}\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if "assert devices()" in done.stderr:
        pytest.skip("this PortAudio does not see ALSA's devices")
    assert done.returncode == 0, done.stderr
    out = np.frombuffer(raw.read_bytes(), np.float32)
    wanted = (0.5 * np.sin(np.arange(24_000) / 8.0)).astype(np.float32)
    begin = int(np.flatnonzero(out)[0]) - 1
    assert np.allclose(out[begin + FADE + 10 : begin + 23_000], wanted[FADE + 10 : 23_000], atol=1e-4)


def test_an_output_that_is_gone_is_named() -> None:
    player = Player(lambda: None)
    player.device = "a card that was pulled out"
    with pytest.raises(DcldmError, match=r"pulled out is not there|PortAudio is not there"):
        player.play(Voice(ones(0.1), RATE), RATE, 1)
    assert player.voice is None
    player.close()
