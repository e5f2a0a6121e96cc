"""What files say of themselves: read by independent readers, checked by the schema, left out where asked."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from lxml import etree
from wavinfo import WavInfoReader

from dcldm_plugin.audio import wave
from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.delivery import FIELDS, Delivery
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.library import Library
from dcldm_plugin.types import Clip, Variation

MakeTake = Callable[..., Variation]
SCHEMA = etree.XMLSchema(etree.parse(str(Path(__file__).with_name("aswg.xsd"))))


def adopt(tmp_path: Path, take: Variation, **delivery: Any) -> Clip:
    with closing(Library(tmp_path / "library", delivery=Delivery(**delivery))) as library:
        return library.adopt(take)


def ixml(path: Path) -> Any:
    return etree.fromstring(wave.read_chunks(path).chunks[wave.IXML])


@pytest.mark.parametrize("prompt", ["heavy rain", "Glöckchen 🔔 & <Bär>", "مطر غزير", "a_b-c", "濡れた通り", "…"])
@pytest.mark.parametrize("leave_out", [frozenset(), frozenset(FIELDS)])
def test_every_file_meets_the_schema(
    tmp_path: Path, make_take: MakeTake, prompt: str, leave_out: frozenset[str]
) -> None:
    clip = adopt(tmp_path, make_take(prompt, seconds=1.0, loop=True), leave_out=leave_out)
    SCHEMA.assertValid(ixml(clip.path).find("ASWG"))


def test_the_schema_can_fail(tmp_path: Path, make_take: MakeTake) -> None:
    aswg = ixml(adopt(tmp_path, make_take()).path).find("ASWG")
    for name, wrong in (("fxName", "a_b"), ("maxPeak", "loud"), ("channelConfig", "mono"), ("isLoop", "perhaps")):
        right, aswg.find(name).text = aswg.find(name).text, wrong
        assert not SCHEMA.validate(aswg)
        aswg.find(name).text = right
    assert SCHEMA.validate(aswg)
    aswg.insert(0, aswg[-1])
    assert not SCHEMA.validate(aswg)


def test_sound_libraries_find_what_they_show(tmp_path: Path, make_take: MakeTake) -> None:
    take = make_take("Türknarren im Schloss", seconds=1.0)
    clip = adopt(tmp_path, take, creator_id="JD", library_title="Castle")
    root = ixml(clip.path)
    assert clip.ucs is not None
    user = {field.tag: field.text for field in root.find("USER")}
    aswg = {field.tag: field.text for field in root.find("ASWG")}
    assert user["CATID"] == aswg["catId"] == clip.ucs.cat_id
    assert user["FXNAME"] == aswg["fxName"] == "Turknarren Im Schloss"
    assert user["DESCRIPTION"] == "Türknarren im Schloss"
    assert user["LIBRARY"] == aswg["library"] == "Castle"
    assert user["DESIGNER"] == aswg["creatorId"] == "JD"
    assert user["CATEGORYFULL"] == f"{user['CATEGORY']}-{user['SUBCATEGORY']}"
    assert (aswg["contentType"], aswg["isGenerated"], aswg["isDesigned"]) == ("sfx", "true", "true")
    assert (aswg["channelConfig"], aswg["isLoop"]) == ("Mono", "false")
    assert "Nothing above 8000 Hz" in user["NOTES"]
    assert "CC-BY-SA-4.0" in user["NOTES"]


def test_an_independent_reader_agrees(tmp_path: Path, make_take: MakeTake) -> None:
    clip = adopt(tmp_path, make_take("heavy rain", seconds=1.0, loop=True))
    read = WavInfoReader(str(clip.path), info_encoding="utf-8")
    measured = read_record(clip.path)["finishing"]["measured"]
    assert read.bext.version == 2
    for field, name in (
        ("loudness_value", "integrated_lufs"),
        ("max_true_peak", "true_peak_dbtp"),
        ("max_momentary_loudness", "max_momentary_lufs"),
    ):
        assert getattr(read.bext, field) == pytest.approx(measured[name], abs=0.006)
    assert read.bext.max_shortterm_loudness == pytest.approx(327.67)  # too short to be measured
    assert read.info.keywords is not None and "rain" in read.info.keywords
    assert "may be used commercially" in read.info.copyright
    [loop] = read.smpl.sample_loops
    assert (loop.start, loop.end) == (0, 47_999)
    [cue] = read.cues.cues
    samples = soundfile.read(clip.path)[0]
    assert abs(samples[cue.position]) == abs(samples).max()
    assert [label.text for label in read.cues.labels] == ["peak"]
    assert b"<CATID>RAIN</CATID>" in wave.read_chunks(clip.path).chunks[wave.IXML]
    assert read.ixml is not None


def test_what_does_not_loop_has_no_loop_points(tmp_path: Path, make_take: MakeTake) -> None:
    assert wave.SAMPLER not in wave.read_chunks(adopt(tmp_path, make_take()).path).chunks


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_reads_it_without_complaint(tmp_path: Path, make_take: MakeTake) -> None:
    clip = adopt(tmp_path, make_take("Glöckchen", seconds=1.0, loop=True))
    command = ["ffprobe", "-v", "warning", "-show_format", "-show_streams", "-of", "json", str(clip.path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    tags = json.loads(done.stdout)["format"]["tags"]
    assert done.stderr == b""
    assert (tags["title"], tags["originator_reference"]) == ("Glöckchen", clip.id)
    assert "commercially" in tags["copyright"]


MARKS_OF = {
    "prompt": "quiet wombat",
    "seeds": "987654321",
    "model": "1.0-weights",
    "licence": "CC-BY-SA-4.0",
    "generated": "AI generated",
    "ucs": "CATID",
    "loudness": "maxPeak",
    "software": "DC-LDM Plugin",
}


@pytest.mark.parametrize("left_out", MARKS_OF)
def test_each_kind_can_be_left_out_everywhere(tmp_path: Path, make_take: MakeTake, left_out: str) -> None:
    take = replace(make_take("quiet wombat", seed=987654321, seconds=1.0), model_version="1.0-weights")
    whole = adopt(tmp_path / "whole", take).path.read_bytes().decode("latin-1")
    hidden = frozenset({left_out}) | (frozenset({"prompt"}) if left_out in {"licence", "software"} else frozenset())
    clip = adopt(tmp_path / "less", take, leave_out=hidden)
    less = clip.path.read_bytes().decode("latin-1") + clip.path.name
    assert MARKS_OF[left_out].lower() in whole.lower()
    assert MARKS_OF[left_out].lower() not in less.lower()
    if left_out == "prompt":
        assert "wombat" not in less.lower()


def test_what_was_left_out_is_kept_by_the_library(tmp_path: Path, make_take: MakeTake) -> None:
    clip = adopt(tmp_path, make_take("quiet wombat"), leave_out=frozenset({"prompt"}))
    with pytest.raises(InvalidInput, match="delivered without its prompt"):
        read_record(clip.path)
    for file in (tmp_path / "library").glob("index.sqlite*"):
        file.unlink()
    with closing(Library(tmp_path / "library")) as again:
        assert again.clips(text="wombat") == [clip]


def test_finishing_is_redone_without_rendering(tmp_path: Path, make_take: MakeTake) -> None:
    with closing(Library(tmp_path / "library")) as library:
        take = make_take(seconds=0.25)
        clip = library.adopt(take)
        take.path.unlink()
        again = library.refinish(clip.id, FinishSettings(sample_rate=44_100, level_by="peak", target=-6.0))
        assert again.path != clip.path and clip.path.exists()
        assert soundfile.info(again.path).samplerate == 44_100
        assert read_record(again.path)["finishing"]["measured"]["true_peak_dbtp"] == pytest.approx(-6.05, abs=0.02)
        same = library.refinish(again.id, FinishSettings())
        assert same.sha256 == clip.sha256
        library.render_of(clip.id).unlink()
        with pytest.raises(InvalidInput, match="not kept"):
            library.refinish(clip.id, FinishSettings())


def test_a_new_name_is_in_the_metadata_too(tmp_path: Path, make_take: MakeTake) -> None:
    with closing(Library(tmp_path / "library")) as library:
        clip = library.adopt(make_take(seconds=1.0))
        named = library.rename(clip.id, "THUN_Far Away_JD_Storm")
        assert named.ucs is not None and named.ucs.cat_id == "THUN"
        assert ixml(named.path).find("ASWG/fxName").text == "Far Away"
        assert (read_record(named.path)["sha256"], named.id) == (clip.sha256, clip.id)
        assert library.get(clip.id) == named
        assert library.clips(text="weather thunder") == [named]
        plain = library.rename(clip.id, "my favourite")
        assert plain.ucs is not None and plain.ucs.cat_id == "THUN"


@pytest.mark.parametrize(
    "wrong",
    [
        {"leave_out": frozenset({"everything"})},
        {"creator_id": "J_D"},
        {"name_template": "{prompt}"},
        {"name_template": "{"},
        {"name_template": "always"},
    ],
)
def test_impossible_deliveries_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Delivery(**wrong)
