"""Cue sheets: tables of times and prompts, in the columns and formats in which people already have them."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.timecode import DEFAULT_RATE, FrameRate, frame_rate, seconds
from dcldm_plugin.types import (
    DEFAULT_SECONDS,
    MAX_SECONDS,
    MAX_VARIATIONS,
    MIN_SECONDS,
    SNAPS,
    GenerationRequest,
    Prompt,
    TimelineTarget,
)

MAX_BYTES = 4_000_000
MAX_CUES = 500
_SAMPLE_LINES = 60  # by which the sign between the columns is told

# What columns are called, folded to letters, digits and #; of several that are there, the first filled one counts.
COLUMNS = {
    "time": "time timecode tc tcin timein in start starttime starttc begin at position location cuein timestamp "
    "seconds sec hit sync",
    "end": "end endtime endtc out tcout timeout cueout stop",
    "prompt": "prompt description sound sfx effect fx soundeffect text name markername cue notes comment comments",
    "length": "length duration dur len",
    "variations": "variations variation alternates alternatives alts alt takes variants count",
    "track": "track trackname channel stem layer bus",
    "snap": "snap snapto align",
    "negative": "negative negativeprompt without",
    "seed": "seed",
    "fps": "fps framerate",
}
_RATE_LINES = ("fps", "framerate", "timecodeformat")
_START_LINES = ("start", "sessionstarttimecode", "timelinestart", "starttimecode")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where a sheet says nothing. `start`: the time in the sheet of the timeline's beginning."""

    rate: FrameRate | None = None
    start: str = ""
    seconds: float = DEFAULT_SECONDS
    variations: int = 1
    track: str = ""
    snap: str = ""


@dataclass(frozen=True, slots=True)
class Cue:
    """One sound to make. `row` is its line in the sheet; `at` its place in seconds from the timeline's beginning."""

    row: int
    at: Fraction
    prompt: Prompt
    seconds: float
    variations: int = 1
    track: str = ""
    snap: str = ""
    seed: int | None = None

    def request(self, id: str, model: str, target: TimelineTarget | None) -> GenerationRequest:
        """The request for this cue. `target`: the host, project and rate to fill in. Raises `InvalidInput`."""
        if target is not None:
            target = TimelineTarget(
                host=target.host,
                project=target.project,
                track=self.track,
                position=round(self.at * target.sample_rate),
                sample_rate=target.sample_rate,
                snap=self.snap,
                run=target.run,
            )
        return GenerationRequest.create(
            self.prompt.text,
            negative=self.prompt.negative,
            seconds=self.seconds,
            variations=self.variations,
            seed=self.seed,
            model=model,
            target=target,
            id=id,
        )


@dataclass(frozen=True, slots=True)
class CueError:
    """What is wrong with one line of a sheet."""

    row: int
    sentence: str

    def __str__(self) -> str:
        return f"Row {self.row}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class CueSheet:
    """A sheet as it was understood. Every line with a time or a prompt is a cue or an error."""

    title: str
    cues: tuple[Cue, ...]
    errors: tuple[CueError, ...] = ()
    rate: FrameRate = field(default=DEFAULT_RATE)


def read_sheet(path: Path, defaults: Defaults | None = None) -> CueSheet:
    """Read a CSV file (comma, semicolon or tab; UTF-8, UTF-16 or Windows-1252). Raises `InvalidInput` if it is none."""
    path = path.expanduser().absolute()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(f"The cue sheet {path} is larger than 4 MB; split it.")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidInput(f"The cue sheet {path} is not there; check its name.") from error
    except OSError as error:
        raise InvalidInput(f"The cue sheet {path} can't be read ({error.strerror}); check its permissions.") from error
    return parse_sheet(_decoded(content), path.name, defaults)


def parse_sheet(text: str, title: str, defaults: Defaults | None = None) -> CueSheet:
    """The cues in the text of a sheet. Raises `InvalidInput` if no line names the columns."""
    defaults = defaults or Defaults()
    rows = list(_rows(text))
    rate, start = defaults.rate, defaults.start
    columns: dict[str, list[int]] = {}
    while rows:
        cells = rows.pop(0)[1]
        columns = _columns(cells)
        if columns["time"] and columns["prompt"]:
            break
        name, value = _folded(cells[0].rstrip(":")), next((cell for cell in cells[1:] if cell), "")
        if rate is None and name in _RATE_LINES and value:
            rate = frame_rate(value)
        if not start and name in _START_LINES:
            start = value
    else:
        raise InvalidInput(
            f"{title} has no line that names its columns; it needs at least `time` and `prompt`, "
            "and may have `length`, `variations`, `track`, `snap` and `fps`."
        )
    rate = rate or DEFAULT_RATE
    offset = seconds(start, rate) if start else Fraction(0)
    cues: list[Cue] = []
    errors: list[CueError] = []
    for line, cells in rows:
        row = _Row(cells, columns)
        if not row.text("time") and not row.text("prompt"):
            continue
        try:
            cues.append(_cue(line, row, rate, offset, defaults))
        except InvalidInput as error:
            errors.append(CueError(line, str(error)))
    if len(cues) > MAX_CUES:
        raise InvalidInput(f"{title} has {len(cues):,} cues; split it into sheets of at most {MAX_CUES}.")
    return CueSheet(title, tuple(cues), tuple(errors), rate)


@dataclass(frozen=True, slots=True)
class _Row:
    cells: Sequence[str]
    columns: dict[str, list[int]]

    def text(self, name: str) -> str:
        filled = (self.cells[index] for index in self.columns[name] if index < len(self.cells))
        return next((cell for cell in filled if cell), "")

    def number(self, name: str, low: float, high: float) -> float | None:
        text = self.text(name)
        if not text:
            return None
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise InvalidInput(f"the {name} {text[:40]!r} must be a number from {low:g} to {high:g}.")
        return value

    def whole(self, name: str, low: int, high: int) -> int | None:
        value = self.number(name, low, high)
        if value is not None and value != int(value):
            raise InvalidInput(f"the {name} {self.text(name)!r} must be a whole number.")
        return None if value is None else int(value)


def _cue(line: int, row: _Row, rate: FrameRate, offset: Fraction, defaults: Defaults) -> Cue:
    if fps := row.text("fps"):
        rate = frame_rate(fps)
    if not row.text("time"):
        raise InvalidInput("the time is missing.")
    at = seconds(row.text("time"), rate)
    if at < offset:
        raise InvalidInput(f"{row.text('time')} is before the start of the timeline.")
    snap = row.text("snap").lower() or defaults.snap
    if snap in {"start", "none", "beginning"}:
        snap = ""
    if snap not in SNAPS:
        raise InvalidInput(f"the snap {snap[:40]!r} must be onset, peak or empty.")
    variations = row.whole("variations", 1, MAX_VARIATIONS)
    return Cue(
        row=line,
        at=at - offset,
        prompt=Prompt(row.text("prompt"), row.text("negative")),
        seconds=_length(row, rate, at, defaults.seconds),
        variations=defaults.variations if variations is None else variations,
        track=row.text("track") or defaults.track,
        snap=snap,
        seed=row.whole("seed", 0, 2**53),
    )


def _length(row: _Row, rate: FrameRate, at: Fraction, default: float) -> float:
    if text := row.text("length"):
        length = float(seconds(text, rate))
    elif text := row.text("end"):
        length = float(seconds(text, rate) - at)
    else:
        return default
    if length == 0.0:  # markers have an end and a length, of nothing
        return default
    if not MIN_SECONDS <= length <= MAX_SECONDS:
        raise InvalidInput(f"the length of {length:g} s must be from {MIN_SECONDS:g} to {MAX_SECONDS:g} s.")
    return length


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines that are not empty, with their numbers (1 for the first) and trimmed cells."""
    sample = [line for line in text.splitlines()[:_SAMPLE_LINES] if line.strip()]
    delimiter = max(",;\t|", key=lambda sign: sum(line.count(sign) for line in sample))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    before = 0
    try:
        for cells in reader:
            trimmed = [unicodedata.normalize("NFC", cell).strip() for cell in cells]
            if any(trimmed):
                yield before + 1, trimmed
            before = reader.line_num
    except csv.Error as error:
        raise InvalidInput(f"Line {reader.line_num} of the cue sheet is not CSV ({error}); correct it.") from error


def _columns(cells: Sequence[str]) -> dict[str, list[int]]:
    """Which columns hold what, in the order in which they count."""
    names = [_folded(cell) for cell in cells]
    return {
        kind: [names.index(known) for known in knowns.split() if known in names] for kind, knowns in COLUMNS.items()
    }


def _folded(text: str) -> str:
    return re.sub(r"\(.*?\)|[^a-z0-9#]", "", text.lower())


def _decoded(content: bytes) -> str:
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    encodings = ["utf-16"] if marked else ["utf-8-sig", "cp1252"]  # what Excel writes, by version and language
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InvalidInput("The cue sheet is not text; save it as CSV (UTF-8).")
