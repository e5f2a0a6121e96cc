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
from dcldm_plugin.audio import wave
from dcldm_plugin.errors import EngineFailed, InvalidInput
from dcldm_plugin.types import MAX_VARIATIONS, Clip, GenerationRequest, Sampling, Variation

RECORD_VERSION = 1


@dataclass(frozen=True, slots=True)
class ClipFile:
    """A complete WAV file that is not on disk yet, and the record (plain JSON values) that it carries."""

    content: bytes
    record: Mapping[str, Any]


def make_clip_file(variation: Variation) -> ClipFile:
    """Finish a rendered take and tag it. Raises `EngineFailed` if the render cannot be read or used."""
    from dcldm_plugin.audio.finish import finish
    from dcldm_plugin.audio.settings import FinishSettings

    samples, sample_rate = _read_render(variation.path)
    made = variation.request
    finished = finish(samples, sample_rate, FinishSettings(made.seconds, loop=made.loop, level=variation.level))
    pcm = finished.pcm
    channels, frames = finished.samples.shape
    created = datetime.now(UTC)
    # What makes the take again: this variation alone, and not whose session it was made for.
    request = replace(variation.request.only(variation.index), target=None)
    record = {
        "dcldm": RECORD_VERSION,
        "id": uuid.uuid4().hex,
        "created": created.isoformat(timespec="microseconds"),
        "request": request.to_json(),
        "index": variation.index,
        "sampling": asdict(variation.sampling),
        "model_version": variation.model_version,
        "frames": frames,
        "sample_rate": finished.sample_rate,
        "channels": channels,
        "sha256": hashlib.sha256(pcm).hexdigest(),  # of the samples: equal requests give equal sums
        "finishing": finished.record(),
        "software": __version__,
    }
    chunks = _metadata_chunks(record, variation, created)
    return ClipFile(wave.encode_wave(pcm, channels, finished.sample_rate, chunks), record)


def read_record(path: Path) -> Mapping[str, Any]:
    """The record in a clip's file, checked. Raises `InvalidInput` if the file is damaged or not ours."""
    header = wave.read_chunks(path)
    comment = wave.parse_info(header.chunks.get(wave.INFO, b"")).get("ICMT", "")
    try:
        record: dict[str, Any] = json.loads(comment)
        if not isinstance(record, dict) or record["dcldm"] != RECORD_VERSION:
            raise ValueError("another kind of comment")
        clip = to_clip(record, path)
    except (ValueError, TypeError, KeyError, RecursionError, InvalidInput) as error:
        raise InvalidInput(f"{path} does not say how it was made; choose a clip of ours.") from error
    written = (record["frames"], clip.sample_rate, clip.channels)
    if written != (header.frames, header.sample_rate, header.channels):
        raise InvalidInput(f"{path} was edited since, so its record is void; choose the original.")
    return record


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
    )


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


def _metadata_chunks(record: Mapping[str, Any], variation: Variation, created: datetime) -> dict[bytes, bytes]:
    """The same history for each kind of reader: DAWs and sound libraries (bext), file managers, ourselves."""
    prompt = variation.request.prompt.text
    software = f"{wave.ORIGINATOR} {__version__}"
    # EBU R 98: coding algorithm, sampling frequency, word length, mode, free text (which has no commas).
    mode = {1: "mono", 2: "stereo"}.get(record["channels"], "multitrack")
    model = f"{variation.request.model} {variation.model_version}".strip().replace(",", " ")
    seeds = f"seeds {variation.seeds.structure} {variation.seeds.texture}"
    history = f"A=PCM,F={record['sample_rate']},W=24,M={mode},T={software}; model {model}; {seeds}"
    info = {
        "INAM": prompt,
        "IART": wave.ORIGINATOR,
        "ICRD": f"{created:%Y-%m-%d}",
        "ISFT": software,
        "ICMT": json.dumps(record),  # ASCII with \u escapes: survives readers that guess another encoding
    }
    return {
        wave.BROADCAST: wave.broadcast_chunk(prompt, record["id"], created, history),
        wave.INFO: wave.info_chunk(info),
    }


def _read_render(path: Path) -> tuple[Any, int]:
    """Samples [channels, time], float32, and their rate."""
    import soundfile

    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise EngineFailed(f"The rendered take {path} cannot be read ({error}); render it again.") from error
    return samples.T, int(sample_rate)
