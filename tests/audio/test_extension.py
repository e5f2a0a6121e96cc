"""Another package's bandwidth extension, as it is found and used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dcldm_plugin.audio.finish import finish
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.errors import EngineFailed, InvalidInput

CODE = """
import numpy as np

def double(samples, sample_rate):
    return np.repeat(samples, 2, axis=1), 2 * sample_rate, 12_000.0

def broken(samples, sample_rate):
    raise RuntimeError("no weights")

def short(samples, sample_rate):
    return samples[:, :10], sample_rate, 8_000.0
"""


@pytest.fixture(autouse=True)
def extenders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with three of them, as pip would leave it."""
    (tmp_path / "some_extenders.py").write_text(CODE)
    about = tmp_path / "some_extenders-2.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-extenders\nVersion: 2.1\n")
    points = "".join(f"{name} = some_extenders:{name}\n" for name in ("double", "broken", "short"))
    (about / "entry_points.txt").write_text(f"[dcldm.extenders]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)


def noise() -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return 0.1 * np.random.default_rng(0).standard_normal((1, 16_000))


def test_an_extender_is_used_and_recorded() -> None:
    plain, wide = (finish(noise(), 16_000, FinishSettings(extend=name)) for name in (None, "double"))
    assert wide.record()["done"]["extend"] == {"name": "double", "version": "2.1", "band_hz": 12_000.0}
    assert wide.samples.shape == plain.samples.shape and wide.sample_rate == 48_000
    above = [np.abs(np.fft.rfft(each.samples[0].astype(float)))[10_000:12_000].mean() for each in (plain, wide)]
    assert above[1] > 100 * above[0]  # 10 to 12 kHz, in a second
    assert FinishSettings.from_json(wide.record()).extend == "double"


def test_what_it_does_wrong_is_a_sentence() -> None:
    for name, words in (("broken", "no weights"), ("short", "another kind of sound")):
        with pytest.raises(EngineFailed, match=words):
            finish(noise(), 16_000, FinishSettings(extend=name))
    with pytest.raises(InvalidInput, match="broken, double, short"):
        finish(noise(), 16_000, FinishSettings(extend="nonesuch"))
