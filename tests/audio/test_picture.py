from __future__ import annotations

import struct
import zlib

import numpy as np

from dcldm_plugin.audio.picture import spectrogram_png


def pixels(file: bytes) -> np.ndarray:
    """What is in a PNG of ours: [height, width, 3]. Checks each chunk's sum."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    place, data, size = 8, b"", (0, 0)
    while place < len(file):
        (length,) = struct.unpack(">I", file[place : place + 4])
        body = file[place + 4 : place + 8 + length]
        assert struct.unpack(">I", file[place + 8 + length : place + 12 + length]) == (zlib.crc32(body),)
        if body[:4] == b"IHDR":
            size = struct.unpack(">II", body[4:12])
        if body[:4] == b"IDAT":
            data += body[4:]
        place += 12 + length
    width, height = size
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + 3 * width)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, 3)


def test_a_tone_is_a_bright_line_where_its_pitch_is() -> None:
    seconds = np.arange(48_000) / 48_000
    low, high = (
        pixels(spectrogram_png(np.sin(2 * np.pi * hz * seconds), 48_000)).sum(axis=(1, 2)) for hz in (200, 4000)
    )
    assert low.argmax() > high.argmax()  # upwards
    assert pixels(spectrogram_png(np.zeros(100), 48_000)).shape == (120, 480, 3)
