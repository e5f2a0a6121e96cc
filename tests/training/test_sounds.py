"""Tests of the table of real sounds, of the credits that go with the built-in model, and of their preparation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import dcldm_plugin
from dcldm_plugin.training import sounds

BUILTIN = Path(dcldm_plugin.__file__).parent / "builtin"


def licences_of_packages() -> Iterator[tuple[str, str]]:
    """Every pair of package and licence in the table."""
    yield from sorted({(row["package"], row["licence"]) for row in sounds.read_table()})


def test_every_sound_of_the_table_is_free_and_described() -> None:
    rows = sounds.read_table()
    assert len({row["path"] for row in rows}) == len(rows) > 1000
    for row in rows:
        assert sounds.ALLOWED_LICENCE.match(row["licence"]), row
        assert row["caption"]
        assert row["category"]
        assert row["path"].startswith(row["package"] + "/")


@pytest.mark.parametrize("licence", ["GPL-2", "GPL-2+ or CC-BY-SA-2.0", "CC-BY-NC-3.0", "LGPL-3.0+", "free-art"])
def test_other_licences_are_refused(licence: str) -> None:
    assert not sounds.ALLOWED_LICENCE.match(licence)


def test_a_licence_must_be_stated() -> None:
    text = "Files: *\nLicense: CC-BY-SA-3.0\n"
    assert sounds.licence_is_stated("CC-BY-SA-3.0", text)
    assert not sounds.licence_is_stated("CC-BY-SA-4.0", text)
    assert not sounds.licence_is_stated("CC0 and CC-BY-SA-3.0", text)


def test_prepare_trims_centres_and_normalises() -> None:
    stereo = np.zeros((44_100, 2), np.float32)
    stereo[10_000:20_000] = 0.1 * np.sin(np.arange(10_000) / 10)[:, None]
    result = sounds.prepare(stereo + np.float32(0.01), 44_100)
    assert np.abs(result).max() == pytest.approx(0.5)
    assert len(result) == pytest.approx(10_000 * sounds.SAMPLE_RATE / 44_100 + 160, abs=200)
    assert len(sounds.prepare(np.zeros(100, np.float32), sounds.SAMPLE_RATE)) == 0


def test_the_credits_of_the_built_in_model_are_those_of_the_table() -> None:
    credits_text = (BUILTIN / "ATTRIBUTION.md").read_text("utf-8")
    assert credits_text == sounds.attribution(sounds.read_table())
    for package, licence in licences_of_packages():
        line = next(line for line in credits_text.splitlines() if f"[{package}](copyright/{package})" in line)
        assert licence in line


def test_each_package_has_its_copyright_file_which_states_the_licences_of_its_sounds() -> None:
    pairs = list(licences_of_packages())
    assert {path.name for path in (BUILTIN / "copyright").iterdir()} == {package for package, _ in pairs}
    for package, licence in pairs:
        text = (BUILTIN / "copyright" / package).read_text("utf-8", errors="replace")
        assert sounds.licence_is_stated(licence, text), (package, licence)


def test_the_credits_are_written_anew_from_a_filled_store(tmp_path: Path) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / "copyright").iterdir()}

    sounds.write_attribution(BUILTIN, tmp_path)
    assert files(tmp_path) == files(BUILTIN)
    assert (tmp_path / "ATTRIBUTION.md").read_text("utf-8") == sounds.attribution(sounds.read_table())
