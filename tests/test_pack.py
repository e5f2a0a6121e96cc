"""Round-robin packs: names, levels, lengths, variants by processing, and the tables for Wwise and FMOD."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile

from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.library import Library
from dcldm_plugin.pack import PackSettings, Ranges, make_pack, vary
from dcldm_plugin.types import Clip, Variation

RATE = 48_000


@pytest.fixture
def clips(library: Library, make_take: Callable[..., Variation], tmp_path: Path) -> list[Clip]:
    """Three clips of different level and length."""
    made = []
    for number, (level, seconds) in enumerate(((0.02, 0.6), (0.1, 0.8), (0.3, 0.5))):
        take = make_take("door knock", seconds=seconds, seed=number)
        path = tmp_path / f"render-{number}.wav"
        sound = level * np.random.default_rng(number).standard_normal(round(seconds * 16_000))
        soundfile.write(path, sound.astype(np.float32), 16_000, subtype="FLOAT")
        made.append(library.adopt(replace(take, path=path)))
    return made


def test_a_pack_is_numbered_level_matched_and_of_one_length(clips: list[Clip], tmp_path: Path) -> None:
    settings = PackSettings("Door Knock", 8, Ranges(gain_db=0.0), seed=3)
    folder = make_pack(clips, tmp_path / "packs", settings)
    files = sorted(folder.glob("*.wav"))
    assert [file.name for file in files] == [f"Door_Knock_{number:02d}.wav" for number in range(1, 9)]
    sounds = [soundfile.read(file)[0] for file in files]
    assert len({len(sound) for sound in sounds}) == 1
    loud = [pyloudnorm.Meter(RATE).integrated_loudness(sound) for sound in sounds]
    assert max(loud) - min(loud) < 1.0
    assert max(np.abs(sound).max() for sound in sounds) < 10 ** (-1 / 20)
    with (folder / "contents.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 8 and rows[0]["prompt"] == "door knock" and "CC-BY-SA" in rows[0]["rights"]
    assert rows[0]["pitch_semitones"] == "0.0" and float(rows[7]["pitch_semitones"]) != 0.0


def test_the_files_of_a_pack_still_say_how_they_were_made(clips: list[Clip], tmp_path: Path) -> None:
    folder = make_pack(clips, tmp_path, PackSettings("p", 5))
    record = read_record(folder / "p_05.wav")
    assert record["finishing"]["done"]["pack"]["of"] == clips[1].id
    assert record["request"]["prompt"]["text"] == "door knock"
    assert record["id"] != clips[1].id


def test_the_same_seed_gives_the_same_pack(clips: list[Clip], tmp_path: Path) -> None:
    one, two, other = (
        make_pack(clips, tmp_path / str(k), PackSettings("p", 5, seed=s)) for k, s in enumerate((1, 1, 2))
    )
    sounds = [soundfile.read(folder / "p_05.wav", dtype="int32")[0] for folder in (one, two, other)]
    assert np.array_equal(sounds[0], sounds[1])
    assert sounds[0].shape != sounds[2].shape or not np.array_equal(sounds[0], sounds[2])


def dominant_hz(sound: np.ndarray) -> float:  # type: ignore[type-arg]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.fft.rfftfreq(len(sound), 1 / RATE)[spectrum.argmax()])


def test_each_kind_of_variant_does_what_it_says() -> None:
    time = np.arange(RATE) / RATE
    tone = 0.2 * np.sin(2 * np.pi * 440.0 * time)[None]
    still = Ranges(0.0, 0.0, 0.0, 0.0)
    made, drawn = vary(tone, RATE, replace(still, pitch_semitones=3.0), np.random.default_rng(1))
    ratio = 2 ** (drawn["pitch_semitones"] / 12)
    assert dominant_hz(made[0]) == pytest.approx(440.0 * ratio, rel=0.01)
    assert made.shape[1] == pytest.approx(RATE / ratio, abs=2)
    made, drawn = vary(tone, RATE, replace(still, stretch=0.2), np.random.default_rng(2))
    assert made.shape[1] == pytest.approx(RATE * (1 + drawn["stretch"]), rel=1e-3)  # three digits are told
    assert dominant_hz(made[0]) == pytest.approx(440.0, rel=0.01)
    noise = 0.1 * np.random.default_rng(3).standard_normal((1, RATE))
    made, drawn = vary(noise, RATE, replace(still, tilt_db=6.0), np.random.default_rng(4))
    change = 20 * np.log10(np.abs(np.fft.rfft(made[0])) / np.abs(np.fft.rfft(noise[0])))
    assert np.median(change[8000:9000]) - np.median(change[50:100]) == pytest.approx(drawn["tilt_db"], abs=0.5)


@pytest.mark.parametrize(("length", "seconds"), [("longest", 0.8), ("shortest", 0.5)])
def test_the_length_is_one_for_all(clips: list[Clip], tmp_path: Path, length: str, seconds: float) -> None:
    folder = make_pack(clips, tmp_path, PackSettings("p", length=length))  # type: ignore[arg-type]
    assert {soundfile.info(file).frames for file in folder.glob("*.wav")} == {round(seconds * RATE)}


def test_wwise_takes_its_table(clips: list[Clip], tmp_path: Path) -> None:
    folder = make_pack(clips, tmp_path, PackSettings("Knock", middleware="wwise"))
    with (folder / "wwise_import.txt").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [Path(row["Audio File"]).is_file() for row in rows] == [True] * 3
    assert rows[0]["Object Path"].endswith(r"\<Random Container>Knock\<Sound SFX>Knock_01")


def test_fmod_gets_its_script(clips: list[Clip], tmp_path: Path) -> None:
    folder = make_pack(clips, tmp_path, PackSettings("Knock", middleware="fmod"))
    script = (folder / "fmod_import.js").read_text()
    assert all(file.as_posix() in script for file in folder.glob("*.wav"))


def test_what_cannot_be_leaves_nothing(clips: list[Clip], tmp_path: Path) -> None:
    make_pack(clips, tmp_path / "packs", PackSettings("p"))
    with pytest.raises(InvalidInput, match="there already"):
        make_pack(clips, tmp_path / "packs", PackSettings("p"))
    for wrong in ({"name": "../x"}, {"name": ""}, {"name": "p", "files": 100}):
        with pytest.raises(InvalidInput):
            PackSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Ranges(pitch_semitones=40.0)
    clips[1].path.unlink()
    with pytest.raises(InvalidInput):
        make_pack(clips, tmp_path / "packs", PackSettings("q"))
    assert [path.name for path in (tmp_path / "packs").iterdir()] == ["p"]
