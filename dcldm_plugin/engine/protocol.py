"""What parent and worker say to each other: frozen dataclasses, one JSON object a line, every field checked.

To the worker:    {"do": "render", "request": {…}, "indices": [0, 1], "folder": "…"}
                  {"do": "cancel", "id": "…"}
From the worker:  {"say": "ready", "protocol": 1, "version": "…", "pid": 123}, once and first
                  {"say": "progress", "id": "…", "index": 0, "stage": "denoising", "fraction": 0.5}
                  {"say": "variation", "variation": {…}}
                  then one of {"say": "finished", "id": "…"}, {"say": "cancelled", "id": "…"},
                  {"say": "failed", "id": "…", "kind": "memory", "message": "…"}

Closing the worker's standard input asks it to end: nothing has to be said for that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import MAX_VARIATIONS, GenerationRequest, Level, Sampling, Variation

PROTOCOL = 1
# The longest request has six texts of 1000 characters and a history of 64,000; escaped as JSON, one of the
# former takes up to 12 bytes.
MAX_LINE_BYTES = 256 * 1024
MAX_TEXT_CHARACTERS = 4096  # paths and sentences
MAX_STAGE_CHARACTERS = 64

FailureKind = Literal["invalid", "failed", "memory", "bug"]


class ProtocolError(Exception):
    """What arrived is not a message of this protocol."""


@dataclass(frozen=True, slots=True)
class Render:
    """Make the variations `indices` of `request` and leave them in `folder`."""

    request: GenerationRequest
    indices: tuple[int, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class Cancel:
    """Leave a request at its next step, or before its first."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker's first words. `protocol` must be `PROTOCOL`."""

    protocol: int
    version: str
    pid: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is, 0 … 1. `index` is the first variation that is not there yet."""

    request_id: str
    index: int
    stage: str
    fraction: float


@dataclass(frozen=True, slots=True)
class VariationReady:
    """A take is complete and on disk."""

    variation: Variation


@dataclass(frozen=True, slots=True)
class Finished:
    """All variations that were asked for have been said."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The request was left because it was cancelled."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The request cannot be done; `message` is a sentence for the user."""

    request_id: str
    kind: FailureKind
    message: str


EngineEvent = Progress | VariationReady
Outcome = Finished | Stopped | Failed
Command = Render | Cancel
WorkerMessage = Ready | EngineEvent | Outcome


def take_path(folder: Path, request_id: str, index: int) -> Path:
    """Where a rendered take goes. While it is being written it has `.part` at its end."""
    return folder / f"{request_id}-{index}.wav"


def encode(message: Command | WorkerMessage) -> bytes:
    """One line with its line feed. Raises `ProtocolError` if it is longer than `MAX_LINE_BYTES`."""
    # ASCII escapes carry paths that are not valid Unicode unharmed.
    line = json.dumps(_values(message), allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"a message of {len(line):,} bytes is too long")
    return line


def _values(message: Command | WorkerMessage) -> dict[str, Any]:
    match message:
        case Render(request, indices, folder):
            return {"do": "render", "request": request.to_json(), "indices": indices, "folder": str(folder)}
        case Cancel(request_id):
            return {"do": "cancel", "id": request_id}
        case Ready():
            return {"say": "ready", **asdict(message)}
        case Progress(request_id, index, stage, fraction):
            return {"say": "progress", "id": request_id, "index": index, "stage": stage, "fraction": fraction}
        case VariationReady(variation):
            return {"say": "variation", "variation": {**asdict(variation), "path": str(variation.path)}}
        case Finished(request_id):
            return {"say": "finished", "id": request_id}
        case Stopped(request_id):
            return {"say": "cancelled", "id": request_id}
        case Failed(request_id, kind, text):
            return {"say": "failed", "id": request_id, "kind": kind, "message": text}


def decode_command(line: bytes) -> Command:
    """What the parent wants. Raises `ProtocolError`."""
    return cast(Command, _decode(line, "do", _COMMANDS))


def decode_message(line: bytes) -> WorkerMessage:
    """What the worker says. Raises `ProtocolError`."""
    return cast(WorkerMessage, _decode(line, "say", _MESSAGES))


def _decode(line: bytes, key: str, readers: Mapping[str, Callable[[_Fields], object]]) -> object:
    if len(line) > MAX_LINE_BYTES:
        raise ProtocolError(f"a line of more than {MAX_LINE_BYTES:,} bytes")
    try:
        fields = _Fields(json.loads(line, parse_constant=_refuse_constant))
        word = fields.text(key)
        if word not in readers:
            raise ProtocolError(f"an unknown {key!r}: {word[:40]!r}")
        return readers[word](fields)
    except (ValueError, TypeError, RecursionError, DcldmError) as error:
        raise ProtocolError(f"{error} in {line[:80]!r}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ProtocolError(f"the number {name}")


class _Fields:
    """A JSON object from the other side, read field by field with the type and the bounds of each."""

    def __init__(self, values: object) -> None:
        if not isinstance(values, dict):
            raise ProtocolError("not a JSON object")
        self._values: dict[str, Any] = values

    def text(self, name: str, limit: int = MAX_TEXT_CHARACTERS) -> str:
        value = self._values.get(name)
        if not isinstance(value, str) or len(value) > limit:
            raise ProtocolError(f"{name!r} is not a text of at most {limit} characters")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        return _whole_number(self._values.get(name), name, low, high)

    def integers(self, name: str, low: int, high: int) -> tuple[int, ...]:
        values = self._values.get(name)
        if not isinstance(values, list) or not values or len(set(map(str, values))) != len(values):
            raise ProtocolError(f"{name!r} is not a list of different numbers")
        return tuple(_whole_number(value, name, low, high) for value in values)

    def fraction(self, name: str) -> float:
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise ProtocolError(f"{name!r} is not a number from 0 to 1")
        return float(value)

    def group(self, name: str) -> _Fields:
        return _Fields(self._values.get(name))

    def request(self) -> GenerationRequest:
        return GenerationRequest.from_json(self.group("request")._values)

    def sampling(self) -> Sampling:
        return Sampling(**self.group("sampling")._values)

    def level(self) -> Level | None:
        if self._values.get("level") is None:
            return None
        level = self.group("level")._values
        return Level(tuple(map(float, level["offset"])), float(level["gain_db"]))


def _whole_number(value: object, name: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ProtocolError(f"{name!r} is not a whole number from {low} to {high}")
    return value


def _read_render(fields: _Fields) -> Render:
    request = fields.request()
    indices = fields.integers("indices", 0, len(request.seeds) - 1)
    return Render(request, indices, Path(fields.text("folder")))


def _read_progress(fields: _Fields) -> Progress:
    return Progress(
        request_id=fields.text("id"),
        index=fields.integer("index", 0, MAX_VARIATIONS - 1),
        stage=fields.text("stage", MAX_STAGE_CHARACTERS),
        fraction=fields.fraction("fraction"),
    )


def _read_variation(message: _Fields) -> VariationReady:
    fields = message.group("variation")
    request = fields.request()
    return VariationReady(
        Variation(
            request=request,
            index=fields.integer("index", 0, len(request.seeds) - 1),
            path=Path(fields.text("path")),
            sample_rate=fields.integer("sample_rate", 1, 768_000),
            channels=fields.integer("channels", 1, 64),
            model_version=fields.text("model_version"),
            sampling=fields.sampling(),
            level=fields.level(),
            read_as=fields.text("read_as"),
        )
    )


def _read_failed(fields: _Fields) -> Failed:
    kind = fields.text("kind")
    if kind not in get_args(FailureKind):
        raise ProtocolError(f"an unknown kind of failure: {kind[:40]!r}")
    return Failed(fields.text("id"), cast(FailureKind, kind), fields.text("message"))


_COMMANDS: dict[str, Callable[[_Fields], Command]] = {
    "render": _read_render,
    "cancel": lambda fields: Cancel(fields.text("id")),
}
_MESSAGES: dict[str, Callable[[_Fields], WorkerMessage]] = {
    "ready": lambda fields: Ready(
        fields.integer("protocol", 0, 2**31), fields.text("version"), fields.integer("pid", 0, 2**32)
    ),
    "progress": _read_progress,
    "variation": _read_variation,
    "finished": lambda fields: Finished(fields.text("id")),
    "cancelled": lambda fields: Stopped(fields.text("id")),
    "failed": _read_failed,
}
