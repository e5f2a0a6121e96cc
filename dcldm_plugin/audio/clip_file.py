"""The file of one clip: the finished sound and all that made it, written once and read with distrust."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcldm_plugin import __version__
from dcldm_plugin.audio import metadata, wave
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.errors import EngineFailed, InvalidInput
from dcldm_plugin.types import MAX_VARIATIONS, Clip, GenerationRequest, Rights, Sampling, UcsName, Variation

RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A complete WAV file that is not on disk yet, and the record (plain JSON values) that it carries."""

    content: bytes
    record: Mapping[str, Any]


def make_clip_file(variation: Variation, delivery: Delivery | None = None) -> ClipFile:
    """Finish a rendered take and tag it. Raises `EngineFailed` if the render cannot be read or used."""
    from dcldm_plugin.engine import registry
    from dcldm_plugin.rights import rights_of

    delivery = delivery or Delivery()
    made = variation.request
    # What makes the take again: this variation alone, and not whose session it was made for.
    request = replace(made.only(variation.index), target=None)
    try:
        band_hz: float | None = registry.describe(made.model).band_hz
    except InvalidInput:
        band_hz = None
    record: dict[str, Any] = {
        "dcldm": RECORD_VERSION,
        "id": uuid.uuid4().hex,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "request": request.to_json(),
        "index": variation.index,
        "sampling": asdict(variation.sampling),
        "model_version": variation.model_version,
        "ucs": asdict(delivery.ucs(made.prompt.text)),
        "rights": asdict(rights_of(request)),
        "model_band_hz": band_hz,
        "software": __version__,
    }
    if variation.read_as:
        record["read_as"] = variation.read_as
    settings = replace(delivery.finishing, seconds=made.seconds, loop=made.loop, level=variation.level)
    return finish_file(variation.path, record, settings, delivery)


def finish_file(render: Path, record: Mapping[str, Any], settings: FinishSettings, delivery: Delivery) -> ClipFile:
    """The file of a record from its unfinished render, by any settings. Raises `EngineFailed`."""
    from dcldm_plugin.audio.finish import finish

    samples, sample_rate = _read_render(render)
    finished = finish(samples, sample_rate, settings)
    model_band_hz = record.get("model_band_hz", record.get("band_hz"))
    channels, frames = finished.samples.shape
    whole = {
        **record,
        "frames": frames,
        "sample_rate": finished.sample_rate,
        "channels": channels,
        "band_hz": finished.done["extend"]["band_hz"] if "extend" in finished.done else model_band_hz,
        "sha256": hashlib.sha256(finished.pcm).hexdigest(),  # of the samples: equal requests give equal sums
        "peak_frame": finished.peak_frame,
        "finishing": finished.record(),
    }
    return tag(finished.pcm, whole, delivery)


def tag(pcm: bytes, record: Mapping[str, Any], delivery: Delivery) -> ClipFile:
    """A file of finished samples with all that its record says of them."""
    content = wave.encode_wave(pcm, record["channels"], record["sample_rate"], metadata.chunks(record, delivery))
    return ClipFile(content, record)


def renamed(path: Path, record: Mapping[str, Any], ucs: UcsName, delivery: Delivery) -> ClipFile:
    """A clip's file under another name by UCS: the same samples, its metadata written anew."""
    return tag(wave.read_samples(path), {**record, "ucs": asdict(ucs)}, delivery)


def read_record(path: Path) -> Mapping[str, Any]:
    """The record in a clip's file, checked. Raises `InvalidInput` if the file is damaged or not ours."""
    header = wave.read_chunks(path)
    comment = _comment(header)
    if comment.get("kept"):
        left_out = ", ".join(map(str, comment["kept"]))[:200]
        raise InvalidInput(f"{path} was delivered without its {left_out}; choose it in the library that made it.")
    return check_record(comment, path, header)


def check_record(record: Mapping[str, Any], path: Path, header: wave.WaveHeader | None = None) -> Mapping[str, Any]:
    """A record that belongs to the file at `path`, or `InvalidInput`."""
    header = header or wave.read_chunks(path)
    try:
        if record["dcldm"] != RECORD_VERSION:
            raise ValueError("another kind of comment")
        clip = to_clip(record, path)
    except (ValueError, TypeError, KeyError, RecursionError, InvalidInput) as error:
        raise InvalidInput(f"{path} does not say how it was made; choose a clip of ours.") from error
    written = (record["frames"], clip.sample_rate, clip.channels)
    if written != (header.frames, header.sample_rate, header.channels):
        raise InvalidInput(f"{path} was edited since, so its record is void; choose the original.")
    return record


def kept_id(path: Path) -> str:
    """The id of a clip that was delivered without its record, or an empty text."""
    comment = _comment(wave.read_chunks(path))
    found = comment.get("id")
    return found if comment.get("kept") and isinstance(found, str) and re.fullmatch("[0-9a-f]{32}", found) else ""


def _comment(header: wave.WaveHeader) -> dict[str, Any]:
    try:
        values = json.loads(wave.parse_info(header.chunks.get(wave.INFO, b"")).get("ICMT", ""))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def to_clip(record: Mapping[str, Any], path: Path) -> Clip:
    """The clip that a record describes. Raises `InvalidInput`, `ValueError`, `TypeError` or `KeyError`."""
    request = GenerationRequest.from_json(record["request"])
    if datetime.fromisoformat(record["created"]).tzinfo is None:
        raise ValueError("created: a time without its zone")
    sample_rate = _whole(record, "sample_rate", 1, 2**31)
    return Clip(
        id=_text(record, "id", "[0-9a-f]{32}"),
        path=path,
        prompt=request.prompt,
        seeds=request.seeds[0],
        model=request.model,
        model_version=_text(record, "model_version", ".{0,256}"),
        sampling=Sampling(**record["sampling"]),
        request_id=request.id,
        index=_whole(record, "index", 0, MAX_VARIATIONS),
        seconds=_whole(record, "frames", 0, 2**32) / sample_rate,
        sample_rate=sample_rate,
        channels=_whole(record, "channels", 1, 2**16),
        sha256=_text(record, "sha256", "[0-9a-f]{64}"),
        created=record["created"],
        request=request,
        ucs=UcsName(**record["ucs"]) if "ucs" in record else None,  # files of the first days have none
        rights=Rights.from_json(record["rights"]) if "rights" in record else None,
        band_hz=_band(record.get("band_hz")),
        read_as=_text(record, "read_as", ".{0,2000}") if "read_as" in record else "",
    )


def _band(value: object) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not value > 0.0):
        raise ValueError(f"band_hz: {value!r}")
    return None if value is None else float(value)


def _whole(record: Mapping[str, Any], name: str, low: int, limit: int) -> int:
    value = record[name]
    if type(value) is not int or not low <= value < limit:
        raise ValueError(f"{name}: {value!r}")
    return value


def _text(record: Mapping[str, Any], name: str, pattern: str) -> str:
    value = record[name]
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise ValueError(f"{name}: {value!r}")
    return value


def _read_render(path: Path) -> tuple[Any, int]:
    """Samples [channels, time], float32, and their rate."""
    import soundfile

    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise EngineFailed(f"The rendered take {path} cannot be read ({error}); render it again.") from error
    return samples.T, int(sample_rate)
