"""Sounds and their captions, from lists, folders, names and metadata; what is broken is named and left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dcldm_plugin.audio import wave
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.training.config import Data
from dcldm_plugin.training.manifest import Item, read_items, words

RATE = 8_000


def sound(path: Path, seconds: float = 0.5, chunks: dict[bytes, bytes] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if chunks is None:
        soundfile.write(path, np.full(round(seconds * RATE), 0.1), RATE, format="WAV")
    else:
        path.write_bytes(wave.encode_wave(bytes(3 * round(seconds * RATE)), 1, RATE, chunks))
    return path


def read(source: Path, **more: object) -> tuple[list[Item], list[str]]:
    said: list[str] = []
    return read_items(Data(source, **more), 2.0, said.append), said  # type: ignore[arg-type]


def captions(items: list[Item]) -> dict[str, str]:
    return {item.path.name: item.caption for item in items}


def test_lists(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav", 3.0)
    (tmp_path / "list.csv").write_text(
        "path,caption,start,end\na.wav,rain,,\nb.wav,  a   bell ,1.0,2.5\ngone.wav,dog,,\na.wav,,,\nb.wav,x,2,1\n"
    )
    items, said = read(tmp_path / "list.csv")
    assert [(item.path.name, item.caption, item.start, item.end) for item in items] == [
        ("a.wav", "rain", 0.0, 0.5),
        ("b.wav", "a bell", 1.0, 2.5),
    ]
    assert len(said) == 3
    assert any("gone.wav is gone" in each for each in said)
    assert any("line 5" in each and "caption is empty" in each for each in said)
    assert any("its end is before its start" in each for each in said)
    rows = [{"path": "a.wav", "caption": "rain"}, {"caption": "none"}]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items, said = read(tmp_path / "list.jsonl")
    assert captions(items) == {"a.wav": "rain"} and "line 2: has no path" in said[0]


def test_long_recordings_come_in_pieces(tmp_path: Path) -> None:
    sound(tmp_path / "long rain.wav", 5.5)
    items, _ = read(tmp_path)
    assert [(item.start, item.end) for item in items] == [(0.0, 2.0), (2.0, 4.0), (4.0, 5.5)]


def test_audiocaps(tmp_path: Path) -> None:
    sound(tmp_path / "clips" / "YabcDEF.wav")
    sound(tmp_path / "clips" / "91139.wav")
    (tmp_path / "train.csv").write_text(
        "audiocap_id,youtube_id,start_time,caption\n1,abcDEF,30,A dog barks\n91139,xyz,10,Rain\n3,gone,0,Wind\n"
    )
    with pytest.raises(InvalidInput, match="clips"):
        read(tmp_path / "train.csv")
    items, said = read(tmp_path / "train.csv", clips=tmp_path / "clips")
    assert captions(items) == {"YabcDEF.wav": "A dog barks", "91139.wav": "Rain"}
    assert "no sound of gone" in said[0]


IXML = (
    "<BWFXML><IXML_VERSION>2.10</IXML_VERSION><ASWG><catId>DOORWood</catId>"
    "<description>Old oak door, slow creak</description></ASWG></BWFXML>"
)


def test_a_folder_is_called_by_what_says_most(tmp_path: Path) -> None:
    sound(tmp_path / "IMG_0001.wav").with_suffix(".txt").write_text("steady rain on a tent\n")
    sound(tmp_path / "DOORWood_Creak Old_ME_Lib.wav", chunks={b"iXML": IXML.encode()})
    described = wave.broadcast_chunk("Two swords clash", "x", datetime.now(UTC))
    sound(tmp_path / "one.wav", chunks={b"bext": described})
    sound(tmp_path / "GLASBrk_Bottle Smash_ME_Lib.wav")
    sound(tmp_path / "RAINMetl_Heavy rain on tin_ME_Lib.wav")
    sound(tmp_path / "whooshes" / "FastWhoosh-03.wav")
    sound(tmp_path / "bells" / "007.wav")
    (tmp_path / "broken.wav").write_bytes(b"RIFF....")
    (tmp_path / "notes.pdf").write_bytes(b"")
    items, said = read(tmp_path)
    assert captions(items) == {
        "IMG_0001.wav": "steady rain on a tent",
        "DOORWood_Creak Old_ME_Lib.wav": "Old oak door, slow creak",
        "one.wav": "Two swords clash",
        "GLASBrk_Bottle Smash_ME_Lib.wav": "glass, bottle smash",
        "RAINMetl_Heavy rain on tin_ME_Lib.wav": "heavy rain on tin",
        "FastWhoosh-03.wav": "fast whoosh",
        "007.wav": "bells",
    }
    assert len(said) == 1 and "broken.wav" in said[0]


def test_one_way_only(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav").with_suffix(".txt").write_text("rain")
    sound(tmp_path / "b.wav")
    items, said = read(tmp_path, captions="sidecar")
    assert captions(items) == {"a.wav": "rain"} and "b.wav has no caption (sidecar)" in said[0]


def test_metadata_that_expands_entities_is_not_read(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE x [<!ENTITY a "aa">]><BWFXML><ASWG><description>&a;</description></ASWG></BWFXML>'
    sound(tmp_path / "plain name.wav", chunks={b"iXML": bomb.encode()})
    assert captions(read(tmp_path)[0]) == {"plain name.wav": "plain name"}


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no folder or list"):
        read(tmp_path / "none")
    with pytest.raises(InvalidInput, match="nothing to learn from"):
        read(tmp_path)
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not a list in CSV"):
        read(tmp_path / "list.csv")


def test_words_of_names() -> None:
    assert words("Door_Slam-Heavy.v2 (take 3)") == "door slam heavy"
    assert words("WindHowl02") == "wind howl"
