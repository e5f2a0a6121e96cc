"""WAV chunks: read by independent readers, and hostile files read by ours."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import soundfile
from wavinfo import WavInfoReader

from dcldm_plugin.audio import wave
from dcldm_plugin.errors import DcldmError, InvalidInput

CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PCM = bytes(range(30)) * 3  # 30 frames of mono, 15 of stereo
PROMPTS = [
    "heavy rain on a roof",
    "Glöckchen im Café, sehr süß",
    "проливной дождь по крыше",
    "مطر غزير على السطح",
    "גשם כבד על הגג",
    "屋根に激しい雨",
    "🌧️ rain 👩‍👩‍👧 and 🔔",
]


def write(path: Path, chunks: dict[bytes, bytes], *, pcm: bytes = PCM, channels: int = 1) -> Path:
    path.write_bytes(wave.encode_wave(pcm, channels, 48_000, chunks))
    return path


def riff(*parts: bytes) -> bytes:
    body = b"WAVE" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


FORMAT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 48_000, 144_000, 3, 24)
DATA = b"data" + struct.pack("<I", len(PCM)) + PCM


@pytest.mark.parametrize("channels", [1, 2])
def test_libsndfile_opens_it(tmp_path: Path, channels: int) -> None:
    bext = wave.broadcast_chunk("rain", "id", CREATED)
    path = write(tmp_path / "a.wav", {wave.BROADCAST: bext}, channels=channels)
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate) == ("WAV", "PCM_24", 48_000)
    assert (info.channels, info.frames) == (channels, 30 // channels)


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_reads_sound_and_metadata(tmp_path: Path) -> None:
    chunks = {
        wave.BROADCAST: wave.broadcast_chunk("rain", "reference", CREATED, "A=PCM,F=48000"),
        wave.INFO: wave.info_chunk({"INAM": "Glöckchen 🔔", "ISFT": "DC-LDM"}),
    }
    path = write(tmp_path / "a.wav", chunks)
    command = ["ffprobe", "-v", "warning", "-show_format", "-show_streams", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    shown = json.loads(done.stdout)
    assert done.stderr == b""
    stream, tags = shown["streams"][0], shown["format"]["tags"]
    assert (stream["codec_name"], stream["sample_rate"]) == ("pcm_s24le", "48000")
    assert tags["title"] == "Glöckchen 🔔"
    assert tags["originator_reference"] == "reference"


def test_wavinfo_reads_every_field_of_bext(tmp_path: Path) -> None:
    bext = wave.broadcast_chunk("heavy rain", "f" * 32, CREATED, "A=PCM,F=48000,W=24,M=mono")
    assert len(bext) == 602 + 27
    read = WavInfoReader(str(write(tmp_path / "a.wav", {wave.BROADCAST: bext}))).bext
    assert read.description == "heavy rain"
    assert read.originator == "DC-LDM Plugin"
    assert read.originator_ref == "f" * 32
    assert (read.originator_date, read.originator_time) == ("2026-03-04", "05:06:07")
    assert (read.time_reference, read.version) == (0, 1)
    assert read.umid == bytes(64)
    assert read.coding_history.strip() == "A=PCM,F=48000,W=24,M=mono"


@pytest.mark.parametrize("prompt", PROMPTS)
def test_text_of_any_script_survives(tmp_path: Path, prompt: str) -> None:
    chunks = {
        wave.BROADCAST: wave.broadcast_chunk(prompt, "id", CREATED, prompt),
        wave.INFO: wave.info_chunk({"INAM": prompt, "ICMT": json.dumps({"prompt": prompt})}),
    }
    read = WavInfoReader(str(write(tmp_path / "a.wav", chunks)), info_encoding="utf-8")
    assert read.info.title == prompt
    assert json.loads(read.info.comment) == {"prompt": prompt}
    assert read.bext.description.isascii()
    assert any(character.isalpha() for character in read.bext.description)


def test_ascii_is_a_transliteration() -> None:
    assert wave.to_ascii("Straße im Café") == "Strasse im Cafe"
    assert wave.to_ascii("дождь 🌧") == "dozhd' :cloud_rain:"


def test_long_text_is_cut_to_its_field(tmp_path: Path) -> None:
    bext = wave.broadcast_chunk("ü" * 1000, "r" * 100, CREATED)
    read = WavInfoReader(str(write(tmp_path / "a.wav", {wave.BROADCAST: bext}))).bext
    assert read.description == "u" * 256
    assert read.originator_ref == "r" * 32


@pytest.mark.parametrize("size", [0, 1, 2, 3, 255])
def test_odd_sizes_are_padded_and_read_back(tmp_path: Path, size: int) -> None:
    info = wave.info_chunk({"INAM": "n" * size, "ISFT": "s"})
    chunks = {b"odd1": b"x" * size, wave.INFO: info, b"LISTadtl": b"y" * size}
    content = wave.encode_wave(PCM[:45], 1, 48_000, chunks)
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert len(content) % 2 == 0
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    header = wave.read_chunks(path)
    assert header.chunks == chunks
    assert (header.frames, header.channels, header.bits_per_sample) == (15, 1, 24)
    assert wave.parse_info(header.chunks[wave.INFO]) == {"INAM": "n" * size, "ISFT": "s"}
    assert soundfile.info(path).frames == 15


def test_chunks_stand_in_order_before_the_sound(tmp_path: Path) -> None:
    content = wave.encode_wave(PCM, 1, 48_000, {b"bext": b"b", b"iXML": b"<x/>"})
    places = [content.index(name) for name in (b"fmt ", b"bext", b"iXML", b"data")]
    assert places == sorted(places)


def test_what_others_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "float.wav"
    soundfile.write(path, [[0.0, 0.5]] * 100, 44_100, subtype="FLOAT")
    header = wave.read_chunks(path)
    assert (header.sample_rate, header.channels, header.frames) == (44_100, 2, 100)
    assert header.bits_per_sample == 32


def test_a_missing_last_padding_byte_is_forgiven(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff(FORMAT, b"data" + struct.pack("<I", 3) + b"abc"))
    assert wave.read_chunks(path).frames == 1


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a WAV file"),
        (b"RIFF", "is not a WAV file"),
        (b"\xff" * 4096, "is not a WAV file"),
        (b"RF64" + riff(FORMAT, DATA)[4:], "is not a WAV file"),
        (riff(), "holds no sound"),
        (riff(FORMAT), "holds no sound"),
        (riff(DATA), "holds no sound"),
        (riff(FORMAT, DATA)[:-1], "was cut off"),
        (riff(FORMAT, DATA)[:50], "was cut off"),
        (riff(b"fmt " + struct.pack("<I", 0xFFFFFFFF) + b"x" * 16, DATA), "is damaged"),
        (riff(FORMAT, b"data" + struct.pack("<I", 0xFFFFFFFF) + PCM), "is damaged"),
        (riff(FORMAT, b"bext" + struct.pack("<I", 0xFFFFFFF0) + b"x" * 700, DATA), "is damaged"),
        (riff(FORMAT, b"data" + struct.pack("<I", len(PCM) + 1) + PCM), "is damaged"),
        (riff(*[b"junk\0\0\0\0"] * 2000, FORMAT, DATA), "more than 1,024 parts"),
        (riff(b"fmt " + struct.pack("<IHH", 4, 1, 1), DATA), "plain samples"),
        (riff(b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, 0, 0, 0, 0), DATA), "plain samples"),
        (riff(b"fmt " + struct.pack("<IHHIIHH", 16, 85, 1, 48_000, 1, 1, 1), DATA), "plain samples"),
    ],
)
def test_hostile_and_foreign_files_get_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        wave.read_chunks(path)


def test_any_cut_and_any_flipped_size_is_survived(tmp_path: Path) -> None:
    info = wave.info_chunk({"INAM": "rain", "ICMT": "{}"})
    bext = wave.broadcast_chunk("rain", "id", CREATED)
    whole = wave.encode_wave(PCM, 1, 48_000, {wave.BROADCAST: bext, wave.INFO: info})
    path = tmp_path / "bad.wav"
    spoiled = [whole[:length] for length in range(0, len(whole), 7)]
    spoiled += [whole[:at] + b"\xff\xff\xff\x7f" + whole[at + 4 :] for at in range(0, len(whole) - 4, 5)]
    for content in spoiled:
        path.write_bytes(content)
        try:
            wave.parse_info(wave.read_chunks(path).chunks.get(wave.INFO, b""))
        except DcldmError:
            continue


def test_a_giant_chunk_of_metadata_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "sparse.wav"
    giant = 3 * 2**30
    with path.open("wb") as file:  # sparse: takes no room on the disk
        file.write(b"RIFF" + struct.pack("<I", 4 + len(FORMAT) + 8 + giant + len(DATA)) + b"WAVE" + FORMAT)
        file.write(b"junk" + struct.pack("<I", giant))
        file.seek(giant, 1)
        file.write(DATA)
    header = wave.read_chunks(path)
    assert header.frames == 30
    assert b"junk" not in header.chunks


def test_info_that_lies_about_its_sizes_is_read_as_far_as_it_goes() -> None:
    assert wave.parse_info(b"INAM" + struct.pack("<I", 0xFFFFFFFF) + b"rain\0") == {"INAM": "rain"}
    assert wave.parse_info(b"INAM\0") == {}
    assert wave.parse_info(b"INAM" + struct.pack("<I", 2) + b"\xff\0") == {"INAM": "\ufffd"}


def test_a_file_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(DcldmError, match="cannot be read"):
            wave.read_chunks(path)
