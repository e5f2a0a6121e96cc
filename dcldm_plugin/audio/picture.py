"""A spectrogram as a PNG file, without a library for pictures."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

RANGE_DB = 70.0
LOWEST_HZ = 60.0
# Black, violet, orange, white: darker is quieter also in grey.
COLOURS = np.array([[8, 8, 16], [70, 24, 110], [190, 50, 90], [250, 150, 60], [255, 250, 220]], dtype=np.float64)


def spectrogram_png(
    samples: NDArray[np.floating[Any]],
    sample_rate: int,
    *,
    width: int = 480,
    height: int = 120,
    band_hz: float = 8000.0,
) -> bytes:
    """Samples [time] as a picture of width x height: time to the right, 60 Hz … `band_hz` upwards on a log scale."""
    window = 2048
    hop = max(1, len(samples) // width)
    padded = np.pad(np.asarray(samples, dtype=np.float64), (window // 2, window + hop))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:width]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)) ** 2
    edges = np.geomspace(LOWEST_HZ, band_hz, height + 1) / (sample_rate / window)
    first = np.floor(edges[:-1]).astype(int)
    last = np.maximum(first + 1, np.ceil(edges[1:]).astype(int))
    rows = np.stack([power[:, low:high].max(axis=1) for low, high in zip(first, last, strict=True)])[::-1]
    level = 10.0 * np.log10(rows + 1e-12)
    shade = np.clip(1.0 + (level - level.max()) / RANGE_DB, 0.0, 1.0) * (len(COLOURS) - 1)
    below = np.minimum(shade.astype(int), len(COLOURS) - 2)
    share = (shade - below)[..., None]
    return png((COLOURS[below] * (1.0 - share) + COLOURS[below + 1] * share).round().astype(np.uint8))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels [height, width, red green blue] as a PNG file (https://www.w3.org/TR/png-3/)."""
    height, width, _ = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # filter 0

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
