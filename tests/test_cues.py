from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from dcldm_plugin.cues import MAX_CUES, Defaults, parse_sheet, read_sheet
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.timecode import frame_rate
from dcldm_plugin.types import TimelineTarget

SHEET = """time,prompt,length,variations,track
0:01.5,distant thunder,4,3,Weather
00:00:10:12,door slam,,,
"""


def test_a_plain_sheet() -> None:
    sheet = parse_sheet(SHEET, "a.csv")
    thunder, door = sheet.cues
    assert sheet.errors == ()
    assert (thunder.row, thunder.at, thunder.prompt.text) == (2, Fraction("1.5"), "distant thunder")
    assert (thunder.seconds, thunder.variations, thunder.track) == (4.0, 3, "Weather")
    assert (door.row, door.at, door.seconds, door.variations) == (3, 10 + Fraction(12, 25), 10.0, 1)


def test_a_spotting_sheet_as_editors_send_it() -> None:
    text = (
        "SESSION NAME:\tReel 3\nTIMECODE FORMAT:\t29.97 Drop Frame\nSESSION START TIMECODE:\t01:00:00;00\n\n"
        "#\tTC In\tTC Out\tDescription\tComments\n"
        "1\t01:00:59;28\t01:01:02;00\tglass breaks\tfoley\n"
        "2\t01:02:00;02\t\t\tcar passes by\n"
    )
    sheet = parse_sheet(text, "reel 3.txt")
    glass, car = sheet.cues
    assert str(sheet.rate) == "29.97 drop"
    assert glass.at == Fraction(59 * 30 + 28) * Fraction(1001, 30000)
    assert glass.seconds == pytest.approx(60 * 1001 / 30000)  # two labels of the new minute are left out
    assert (car.prompt.text, car.at) == ("car passes by", Fraction(3600 - 2) * Fraction(1001, 30000))


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("Start;End;Name", "12,5;14,5;rain"),
        ("Marker Name\tDescription\tIn\tOut\tDuration", "rain\t\t12.5\t14.5\t2"),
        ("Cue #,Sound,Position,Length (s)", "7,rain,12.5,2"),
        ('"Time","Text","Dur"', '"12.5","rain","2"'),
        ("TIMECODE | FX | END TC", "00:00:12:15 | rain | 00:00:14:15"),
    ],
)
def test_usual_names_and_signs(header: str, line: str) -> None:
    rate = frame_rate("30") if "|" in line else None
    (cue,) = parse_sheet(f"{header}\n{line}\n", "x", Defaults(rate=rate)).cues
    assert (cue.at, cue.seconds, cue.prompt.text) == (Fraction("12.5"), 2.0, "rain")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_what_spreadsheets_write(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "sheet.csv"
    file.write_bytes("time;prompt\r\n1,5;Tür fällt zu\r\n".encode(encoding))
    (cue,) = read_sheet(file).cues
    assert (cue.at, cue.prompt.text) == (Fraction("1.5"), "Tür fällt zu")


def test_errors_are_named_by_row_and_lose_nothing() -> None:
    text = (
        "time,prompt,length,variations,snap,fps\n"
        "1,rain\n"
        "soon,rain\n"
        "\n"
        ",rain\n"
        "2,\n"
        "3,rain,0.01\n"
        "4,rain,2,1.5\n"
        "5,rain,2,99\n"
        "6,rain,2,1,middle\n"
        "7,rain,2,1,peak,26\n"
        ",,,\n"
        "8,rain,2,1,onset,24\n"
    )
    sheet = parse_sheet(text, "x")
    assert [cue.row for cue in sheet.cues] == [2, 13]
    assert [error.row for error in sheet.errors] == [3, 5, 6, 7, 8, 9, 10, 11]
    for error, words in zip(
        sheet.errors,
        ["not a time", "time is missing", "prompt is empty", "length of 0.01", "whole", "32", "snap", "frame rate"],
        strict=True,
    ):
        assert words in str(error) and str(error).startswith(f"Row {error.row}: ")


def test_a_quoted_line_break_keeps_the_row_numbers_right() -> None:
    sheet = parse_sheet('time,prompt\n1,"rain\non a roof"\nsoon,wind\n', "x")
    assert [cue.row for cue in sheet.cues] == [2] and sheet.cues[0].prompt.text == "rain on a roof"
    assert [error.row for error in sheet.errors] == [4]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no line that names its columns"),
        ("a,b\n1,2\n", "no line that names its columns"),
        ("time,prompt\n" + "1,rain\n" * (MAX_CUES + 1), "split it"),
        ("fps,26\ntime,prompt\n", "not a frame rate"),
    ],
)
def test_sheets_that_can_not_be_used(text: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parse_sheet(text, "x")


def test_files_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "picture.csv").write_bytes(bytes(range(256)))
    (tmp_path / "large.csv").write_bytes(bytes(5_000_000))
    for name, complaint in (
        ("picture.csv", "not text"),
        ("large.csv", "larger"),
        ("gone.csv", "not there"),
        ("", "read"),
    ):
        with pytest.raises(InvalidInput, match=complaint):
            read_sheet(tmp_path / name)


def test_a_cue_becomes_a_request_at_the_exact_sample() -> None:
    (cue,) = parse_sheet("time,prompt,snap,seed\n01:00:00:01,hit,peak,7\n", "x", Defaults(start="01:00:00:00")).cues
    request = cue.request("id", "tone", TimelineTarget("ardour", "song", sample_rate=44_100, run="r"))
    target = request.target
    assert target is not None
    assert (target.position, target.snap, target.run, target.project) == (1764, "peak", "r", "song")
    assert request.seeds[0].texture == 7


def test_a_time_before_the_start_of_the_timeline_is_an_error() -> None:
    sheet = parse_sheet("time,prompt\n00:59:00:00,hit\n", "x", Defaults(start="01:00:00:00"))
    assert "before the start" in sheet.errors[0].sentence
