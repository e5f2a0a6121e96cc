"""Clips on one HTML page, complete in itself: each with a player and a spectrogram. Knows no torch."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

STYLE = """
body{background:#16161c;color:#ddd;font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em}
h2{margin:2em 0 .2em;font-size:1.1em}h3{margin:.2em 0;font-size:.95em;overflow-wrap:anywhere}
p{margin:.2em 0 .8em;color:#aaa}
section{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1em}
figure{margin:0 0 .6em;background:#22222b;padding:.6em;border-radius:6px}
img,audio{width:100%;display:block}figcaption{font-size:.85em;padding:.3em 0}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;text-align:right;border-bottom:1px solid #444}
td:first-child,th:first-child{text-align:left}td.best{font-weight:700}caption{text-align:left;color:#aaa}
"""
BAND_HZ = 8_000.0


def document(title: str, body: str) -> str:
    """The page; `body` is HTML."""
    shown = html.escape(title)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{shown}</title><style>{STYLE}</style>"
        f"<h1>{shown}</h1>{body}</html>\n"
    )


def figure(path: Path, caption: str, band_hz: float = BAND_HZ) -> str:
    """A clip: its spectrogram up to `band_hz`, a player that has the sound with it, and words below."""
    import soundfile

    from dcldm_plugin.audio.picture import spectrogram_png

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    picture = base64.b64encode(spectrogram_png(samples.mean(axis=1), rate, band_hz=band_hz)).decode()
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC", subtype="PCM_16")  # a third of the size
    sound = base64.b64encode(file.getvalue()).decode()
    return (
        f'<figure><img alt="spectrogram" src="data:image/png;base64,{picture}">'
        f'<audio controls preload=none src="data:audio/flac;base64,{sound}"></audio>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
