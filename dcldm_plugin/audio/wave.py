"""WAV files as lists of chunks: what sound libraries read beside the samples, written and read.

RIFF: Microsoft/IBM, "Multimedia Programming Interface and Data Specifications 1.0". Chunks are held in a
mapping from their name to their body. The name is the four-byte id, and for a LIST its type as well
(`b"LISTINFO"`), so that further chunks (iXML, smpl, cue, LIST adtl) need no change here.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from dcldm_plugin.errors import DcldmError, InvalidInput

BROADCAST = b"bext"
INFO = b"LISTINFO"
IXML = b"iXML"
SAMPLER = b"smpl"
CUE = b"cue "
LABELS = b"LISTadtl"
ORIGINATOR = "DC-LDM Plugin"
MAX_CHUNKS = 1024  # in one file; real ones have a dozen
MAX_METADATA_BYTES = 2**24  # of all chunks that are kept in memory together

# EBU Tech 3285 (version 2), section 2.3: Description, Originator, OriginatorReference, OriginationDate,
# OriginationTime, TimeReference (64 bit), Version, UMID, five measures of loudness in hundredths; then 180 reserved
# bytes and the CodingHistory.
_BEXT = struct.Struct("<256s32s32s10s8sQH64s5h180x")
_BEXT_MEASURES = ("integrated_lufs", "range_lu", "true_peak_dbtp", "max_momentary_lufs", "max_short_term_lufs")
_NOT_MEASURED = 0x7FFF
_FORMAT = struct.Struct("<HHIIHH")  # tag, channels, frames/s, bytes/s, bytes per frame, bits per sample
_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE


@dataclass(frozen=True, slots=True)
class WaveHeader:
    """Everything in a WAV file but its samples."""

    sample_rate: int
    channels: int
    bits_per_sample: int
    frames: int
    chunks: Mapping[bytes, bytes]


def to_ascii(text: str) -> str:
    """`text` in plain ASCII: other scripts transliterated, emoji by their names."""
    from anyascii import anyascii

    return str(anyascii(unicodedata.normalize("NFC", text)))


def broadcast_chunk(
    description: str,
    reference: str,
    created: datetime | None,
    coding_history: str = "",
    *,
    originator: str = ORIGINATOR,
    loudness: Mapping[str, float | None] | None = None,
) -> bytes:
    """The body of a `bext` chunk. The format is ASCII, so text is transliterated, and cut to its field.

    `created` is written as it is given. TimeReference is 0: where a clip belongs on a timeline is the
    session's business, and a DAW that spots by it must not move the clip. With `loudness` (of `audio.loudness`)
    it is of version 2, else of version 1.
    """
    texts = [to_ascii(text).encode() for text in (description, originator, reference)]
    times = [f"{created:%Y-%m-%d}".encode(), f"{created:%H:%M:%S}".encode()] if created else [b"", b""]
    measures = [0] * len(_BEXT_MEASURES)
    if loudness is not None:
        values = [loudness.get(name) for name in _BEXT_MEASURES]
        measures = [_NOT_MEASURED if value is None else max(-9999, min(9999, round(100 * value))) for value in values]
    version = 1 if loudness is None else 2
    fixed = _BEXT.pack(*texts, *times, 0, version, b"", *measures)
    return fixed + (to_ascii(coding_history).encode() + b"\r\n" if coding_history else b"")


def sampler_chunk(sample_rate: int, first_frame: int, frames: int) -> bytes:
    """The body of a `smpl` chunk with one loop that goes forward for ever, from `first_frame` over `frames` samples."""
    period_ns = round(1e9 / sample_rate)
    head = struct.pack("<9I", 0, 0, period_ns, 60, 0, 0, 0, 1, 0)  # middle C; no time code; one loop
    return head + struct.pack("<6I", 0, 0, first_frame, first_frame + frames - 1, 0, 0)  # the last one is played too


def cue_chunk(places: Mapping[int, int]) -> bytes:
    """The body of a `cue ` chunk: sample positions by their number."""
    points = [struct.pack("<II4sIII", number, place, b"data", 0, 0, place) for number, place in places.items()]
    return struct.pack("<I", len(points)) + b"".join(points)


def labels_chunk(labels: Mapping[int, str]) -> bytes:
    """The body of a LIST adtl chunk: the names of cue points, in ASCII."""
    return b"".join(
        _chunk(b"labl", struct.pack("<I", number) + to_ascii(text).encode() + b"\0") for number, text in labels.items()
    )


def info_chunk(fields: Mapping[str, str]) -> bytes:
    """The body of a LIST INFO chunk from four-letter names and their UTF-8 text, each ending in a zero."""
    return b"".join(_chunk(name.encode("ascii"), text.encode() + b"\0") for name, text in fields.items())


def parse_info(body: bytes) -> dict[str, str]:
    """The fields of a LIST INFO body. What is cut off or not UTF-8 is read as far as it goes."""
    fields: dict[str, str] = {}
    position = 0
    while position + 8 <= len(body):
        name, size = struct.unpack_from("<4sI", body, position)
        text = body[position + 8 : position + 8 + size].split(b"\0", 1)[0]
        fields.setdefault(name.decode("latin-1"), text.decode("utf-8", "replace"))
        position += 8 + size + size % 2
    return fields


def encode_wave(pcm: bytes, channels: int, sample_rate: int, chunks: Mapping[bytes, bytes]) -> bytes:
    """A complete file of interleaved 24-bit samples. `chunks` stand before them, in the given order.

    So a reader has the metadata without passing the sound, and readers that stop at `data` see it too.
    """
    frame_bytes = 3 * channels
    layout = _FORMAT.pack(_PCM, channels, sample_rate, sample_rate * frame_bytes, frame_bytes, 24)
    parts = [_chunk(b"fmt ", layout)]
    parts += [_chunk(name[:4], name[4:] + body) for name, body in chunks.items()]
    parts.append(_chunk(b"data", pcm))
    size = 4 + sum(map(len, parts))
    if size >= 2**32:
        raise InvalidInput("This clip is longer than a WAV file can hold; ask for fewer seconds.")
    return b"".join([struct.pack("<4sI4s", b"RIFF", size, b"WAVE"), *parts])


def read_chunks(path: Path) -> WaveHeader:
    """Everything in the file but its samples. Nothing that a size field says is believed unchecked.

    Raises `InvalidInput` if this is not a WAV file, is damaged or was cut off, and `DcldmError` if it cannot
    be opened.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DcldmError(f"{path} cannot be read ({reason}); check that it is there and yours.") from error


def read_samples(path: Path) -> bytes:
    """The body of the first `data` chunk. Raises as `read_chunks` does."""
    try:
        with path.open("rb") as file:
            for identifier, size in _walk(file, path):
                if identifier == b"data":
                    return file.read(size)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DcldmError(f"{path} cannot be read ({reason}); check that it is there and yours.") from error
    raise InvalidInput(f"{path} holds no sound; it was cut off or is not a complete WAV file.")


def _chunk(identifier: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", identifier, len(body)) + body + b"\0" * (len(body) % 2)


def _read(file: BinaryIO, path: Path) -> WaveHeader:
    chunks: dict[bytes, bytes] = {}
    layout: tuple[int, int, int, int] | None = None  # channels, frames/s, bytes per frame, bits per sample
    data_bytes: int | None = None
    kept = 0
    for identifier, size in _walk(file, path):
        if identifier == b"data":
            data_bytes = size if data_bytes is None else data_bytes
        elif identifier == b"fmt ":
            layout = _parse_format(file.read(min(size, 64)), path)
        elif kept + size <= MAX_METADATA_BYTES:
            body = file.read(size)
            kept += size
            split = 4 if identifier == b"LIST" else 0
            chunks.setdefault(identifier + body[:split], body[split:])
    if layout is None or data_bytes is None:
        raise InvalidInput(f"{path} holds no sound; it was cut off or is not a complete WAV file.")
    channels, sample_rate, frame_bytes, bits = layout
    return WaveHeader(sample_rate, channels, bits, data_bytes // frame_bytes, chunks)


def _walk(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, int]]:
    """The id and size of each chunk, with the file standing at its body."""
    file_bytes = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise InvalidInput(f"{path} is not a WAV file; choose one that is.")
    end = 8 + int.from_bytes(head[4:8], "little")
    if end > file_bytes:
        raise InvalidInput(f"{path} was cut off: {file_bytes:,} bytes of {end:,} are there; copy it again.")
    position = 12
    for _ in range(MAX_CHUNKS):
        if position + 8 > end:
            return
        file.seek(position)
        start = file.read(8)
        if len(start) < 8:  # cut off while we read it
            return
        identifier, size = struct.unpack("<4sI", start)
        if position + 8 + size > end:
            raise InvalidInput(f"{path} is damaged: a part claims {size:,} bytes it has not; copy it again.")
        yield identifier, size
        position += 8 + size + size % 2
    raise InvalidInput(f"{path} is damaged: it claims more than {MAX_CHUNKS:,} parts; copy it again.")


def _parse_format(body: bytes, path: Path) -> tuple[int, int, int, int]:
    if len(body) >= _FORMAT.size:
        tag, channels, sample_rate, _, frame_bytes, bits = _FORMAT.unpack_from(body)
        if tag in {_PCM, _FLOAT, _EXTENSIBLE} and channels and sample_rate and frame_bytes and bits:
            return channels, sample_rate, frame_bytes, bits
    raise InvalidInput(f"{path} is not a WAV file of plain samples; convert it to PCM.")
