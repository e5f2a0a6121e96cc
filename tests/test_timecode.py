from __future__ import annotations

from fractions import Fraction

import pytest

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.timecode import RATES, FrameRate, frame_rate, seconds, timecode


@pytest.mark.parametrize(
    ("text", "name", "drop"),
    [
        ("25", "25", False),
        ("25 fps", "25", False),
        ("25.0", "25", False),
        ("24 Frame", "24", False),
        ("23.976", "23.976", False),
        ("23,98", "23.976", False),
        ("24000/1001", "23.976", False),
        ("29.97 drop", "29.97", True),
        ("29.97 DF", "29.97", True),
        ("29.97df", "29.97", True),
        ("30 drop", "29.97", True),
        ("29.97 Non-Drop", "29.97", False),
        ("29.97 NDF", "29.97", False),
        ("47.952", "47.952", False),
        ("48", "48", False),
        ("50", "50", False),
        ("59.94DF", "59.94", True),
        ("60", "60", False),
    ],
)
def test_frame_rates_by_their_usual_names(text: str, name: str, drop: bool) -> None:
    found = frame_rate(text)
    assert (found.exact, found.drop) == (RATES[name].exact, drop)


@pytest.mark.parametrize("text", ["", "fast", "26", "2.5", "25 drop", "24df", "0"])
def test_what_is_no_frame_rate(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a frame rate"):
        frame_rate(text)


@pytest.mark.parametrize(
    ("text", "rate", "expected"),
    [
        ("12.5", "25", Fraction("12.5")),
        ("12,5 s", "25", Fraction("12.5")),
        (".5", "25", Fraction("0.5")),
        ("7", "25", Fraction(7)),
        ("2:03.25", "25", Fraction("123.25")),
        ("90:00", "25", Fraction(5400)),
        ("1:02:03,5", "25", Fraction("3723.5")),
        ("01:00:10:12", "25", Fraction(3610) + Fraction(12, 25)),
        ("01:00:00:00", "24", Fraction(3600)),
        ("01:00:00:00", "23.976", Fraction(3600) * Fraction(1001, 1000)),
        ("00:00:01:00", "29.97", Fraction(30030, 30000)),
        ("00:01:00;02", "29.97", Fraction(1800 * 1001, 30000)),
        ("00;10;00;00", "29.97", Fraction(17982 * 1001, 30000)),
        ("01:00:00;00", "29.97", Fraction(107892 * 1001, 30000)),
        ("00:01:00;04", "59.94", Fraction(3600 * 1001, 60000)),
        ("00:00:00:01.50", "25", Fraction(3, 50)),
    ],
)
def test_times_are_exact(text: str, rate: str, expected: Fraction) -> None:
    assert seconds(text, RATES[rate]) == expected


@pytest.mark.parametrize(
    ("text", "rate", "complaint"),
    [
        ("soon", "25", "not a time"),
        ("", "25", "not a time"),
        ("-3", "25", "not a time"),
        ("1:2:3:4:5", "25", "not a time"),
        ("0:75", "25", "not a time"),
        ("1:75:00", "25", "not a time"),
        ("01:00:00:25", "25", "does not exist at 25"),
        ("01:60:00:00", "25", "does not exist"),
        ("00:01:00;01", "29.97", "minute begins with frame 2"),
        ("00:01:00;02", "25", "drop-frame timecode, which 25"),
    ],
)
def test_times_that_are_none(text: str, rate: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        seconds(text, RATES[rate])


@pytest.mark.parametrize("rate", [*RATES.values(), frame_rate("29.97 drop"), frame_rate("59.94 drop")], ids=str)
def test_every_frame_has_one_label_and_is_found_by_it(rate: FrameRate) -> None:
    labels = set()
    for count in [*range(0, 4000), *range(17_900, 18_100), *range(107_800, 108_000), 2_589_407]:
        at = Fraction(count) / rate.exact
        label = timecode(at, rate)
        assert seconds(label, rate) == at, label
        labels.add(label)
    assert len(labels) == 4401


def test_an_hour_of_drop_frame_is_an_hour_of_time() -> None:
    assert abs(seconds("01:00:00;00", RATES["29.97"]) - 3600) < Fraction(1, 250)  # 3.6 ms
