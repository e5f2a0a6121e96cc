"""Times as people write them in cue sheets, as exact seconds: SMPTE timecode at any usual rate, clock times, seconds.

SMPTE ST 12-1: 29.97 and 59.94 count whole frames and run 0.1 % slow; their drop-frame labels leave out the
first 2 (4) frame numbers of every minute that is not a multiple of ten, so that labels stay near the clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from dcldm_plugin.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class FrameRate:
    """`nominal` frames make a second of timecode; `exact` frames pass in a second of time."""

    nominal: int
    exact: Fraction
    drop: bool = False

    def __str__(self) -> str:
        text = f"{float(self.exact):.3f}".rstrip("0").rstrip(".")
        return f"{text} drop" if self.drop else text


_PULLED = {24: "23.976", 30: "29.97", 48: "47.952", 60: "59.94"}  # times 1000/1001
_WHOLE = (24, 25, 30, 48, 50, 60)
_NAMES = {"23.98": "23.976", "24000/1001": "23.976", "30000/1001": "29.97", "47.95": "47.952"}
_NAMES |= {"48000/1001": "47.952", "60000/1001": "59.94", "29.970": "29.97", "59.940": "59.94"}
RATES = {str(number): FrameRate(number, Fraction(number)) for number in _WHOLE}
RATES |= {name: FrameRate(number, Fraction(number * 1000, 1001)) for number, name in _PULLED.items()}
DEFAULT_RATE = RATES["25"]

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")
_LABEL = re.compile(r"(\d{1,2})[:;](\d{1,2})[:;](\d{1,2})([:;])(\d{1,2})(?:\.(\d{1,2}))?")
_SECONDS = re.compile(r"(\d+(?:[.,]\d*)?|[.,]\d+) ?(?:s|sec|seconds)?", re.IGNORECASE)


def frame_rate(text: str) -> FrameRate:
    """The rate that a text such as `25`, `29.97 DF`, `23.98 fps` or `30000/1001` names. Raises `InvalidInput`."""
    words = re.sub(r"fps|frames?|/s\b", " ", text.strip().lower().replace(",", "."))
    drop = re.search(r"(?<!non)(?<!non-)(?<!non )(?:\bdrop\b|\bdf\b|(?<=\d)df\b)", words) is not None
    number = re.search(r"\d+(?:[./]\d+)?", words)
    name = number[0] if number else ""
    name = _NAMES.get(name, name.removesuffix(".0").removesuffix(".00").removesuffix(".000"))
    if drop and name in {"30", "60"}:  # drop frames are there for the rates that run slow, whatever they are called
        name = _PULLED[int(name)]
    found = RATES.get(name)
    if found is None or (drop and found.exact.denominator == 1) or (drop and found.nominal % 30):
        raise InvalidInput(
            f"{text.strip()[:40]!r} is not a frame rate; write one of: {', '.join(RATES)}, or 29.97 drop."
        )
    return FrameRate(found.nominal, found.exact, drop)


def seconds(text: str, rate: FrameRate) -> Fraction:
    """The exact seconds of a time, 0 or more. Raises `InvalidInput`.

    `01:00:10:12` is timecode at the rate; a `;` before the frames, or a rate that drops, means drop frame.
    `1:02:03.5` and `2:03.5` are hours, minutes and seconds; `12.5` and `12,5` are seconds.
    """
    text = text.strip()
    if label := _LABEL.fullmatch(text):
        return _from_label(text, label, rate)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes = int(clock[1] or 0), int(clock[2])
        rest = Fraction(clock[3].replace(",", "."))
        if rest < 60 and (minutes < 60 or clock[1] is None):
            return hours * 3600 + minutes * 60 + rest
    elif plain := _SECONDS.fullmatch(text):
        return Fraction(plain[1].replace(",", ".").rstrip("."))
    raise InvalidInput(f"{text[:40]!r} is not a time; write it as 01:02:03:04 (timecode), 1:02.5 or 62.5 (seconds).")


def timecode(at: Fraction, rate: FrameRate) -> str:
    """The label of the frame that a time lies in."""
    count = int(at * rate.exact)
    if rate.drop:
        dropped = rate.nominal // 15
        tens, rest = divmod(count, rate.nominal * 600 - 9 * dropped)
        count += 9 * dropped * tens
        if rest >= rate.nominal * 60:
            count += dropped * ((rest - dropped) // (rate.nominal * 60 - dropped))
    whole, frame = divmod(count, rate.nominal)
    minutes, second = divmod(whole, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02d}:{minute:02d}:{second:02d}{';' if rate.drop else ':'}{frame:02d}"


def _from_label(text: str, label: re.Match[str], rate: FrameRate) -> Fraction:
    hour, minute, second, frame = (int(label[group]) for group in (1, 2, 3, 5))
    drop = rate.drop or label[4] == ";"
    if drop and (rate.nominal % 30 or rate.exact.denominator == 1):
        raise InvalidInput(f"{text!r} is drop-frame timecode, which {rate} frames a second do not have; give the rate.")
    if minute > 59 or second > 59 or frame >= rate.nominal:
        raise InvalidInput(f"{text!r} does not exist at {rate} frames a second; check the time and the rate.")
    dropped = rate.nominal // 15 if drop else 0
    minutes = hour * 60 + minute
    if dropped and minute % 10 and second == 0 and frame < dropped:
        raise InvalidInput(f"{text!r} does not exist in drop-frame timecode; the minute begins with frame {dropped}.")
    count = (minutes * 60 + second) * rate.nominal + frame - dropped * (minutes - minutes // 10)
    part = Fraction(int(label[6].ljust(2, "0")), 100) if label[6] else Fraction(0)  # subframes, 100 to a frame
    return (count + part) / rate.exact
