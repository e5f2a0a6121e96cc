"""One page on which a run can be seen and heard: curves, and what it renders at each look, sound and picture."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.audio.measures import spectral_distance
from dcldm_plugin.audio.picture import spectrogram_png
from dcldm_plugin.training.checkpoints import written
from dcldm_plugin.training.journal import read_log

STYLE = """
body{background:#16161c;color:#ddd;font:15px/1.5 system-ui,sans-serif;max-width:1040px;margin:2em auto;padding:0 1em}
h2{margin:2em 0 .2em;font-size:1.1em}p{margin:.2em 0 .8em;color:#aaa}svg{background:#22222b;border-radius:6px}
section{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:1em}
figure{margin:0;background:#22222b;padding:.6em;border-radius:6px}pre{overflow:auto;background:#22222b;padding:1em}
img,audio{width:100%;display:block}figcaption{font-size:.85em;padding:.3em 0}
"""
COLOURS = ("#fa9", "#9cf", "#9e9", "#fd7", "#c9f", "#f99", "#9dd", "#ccc")
WIDTH, HEIGHT = 1000, 260


@dataclass(frozen=True, slots=True)
class Look:
    """A sound of the page: what was asked for, what came, and (nothing, if there is none) what was recorded."""

    caption: str
    samples: NDArray[np.float32]
    recorded: NDArray[np.float32] | None


def add_look(folder: Path, step: int, looks: Sequence[Look], rate: int) -> float | None:
    """Write the sounds of a step below `folder`; returns their mean distance from what was recorded, in dB."""
    place = folder / "samples" / f"step-{step:09d}"
    place.mkdir(parents=True, exist_ok=True)
    distances, listed = [], []
    for number, look in enumerate(looks):
        sounds = {f"{number}": look.samples, f"{number}-recorded": look.recorded}
        for name, samples in sounds.items():
            if samples is not None:
                _write_sound(place / name, samples, rate)
        distance = None
        if look.recorded is not None:
            count = min(len(look.samples), len(look.recorded))
            distance = spectral_distance(look.samples[:count], look.recorded[:count], rate)
            distances.append(distance)
        listed.append({"caption": look.caption, "recorded": look.recorded is not None, "distance": distance})
    text = json.dumps(listed, indent=1)
    written(place / "samples.json", lambda partial: partial.write_text(text, encoding="utf-8"))
    return float(np.mean(distances)) if distances else None


def _write_sound(path: Path, samples: NDArray[np.float32], rate: int) -> None:
    import soundfile

    loud = np.clip(samples, -1.0, 1.0)
    wav = path.with_suffix(".wav")
    written(wav, lambda partial: soundfile.write(partial, loud, rate, format="WAV", subtype="PCM_16"))
    path.with_suffix(".png").write_bytes(spectrogram_png(samples, rate, band_hz=rate / 2))


def write_page(folder: Path, title: str, config: str) -> Path:
    """The page of what is in a run's folder."""
    learned, held = read_log(folder)
    body = [f"<h1>{html.escape(title)}</h1>", "<h2>Loss</h2>"]
    body.append(_curves({name: _points(learned, name) for name in _names(learned)}))
    if held:
        flat = [{"step": line["step"], **line["held out"]} for line in held]
        body += ["<h2>Loss on sounds that are held out</h2>", _curves({n: _points(flat, n) for n in _names(flat)})]
    for place in sorted((folder / "samples").glob("step-*"), reverse=True):
        if not (place / "samples.json").is_file():
            continue
        listed = json.loads((place / "samples.json").read_text(encoding="utf-8"))
        body.append(f"<h2>Step {int(place.name.removeprefix('step-')):,}</h2><section>")
        for number, look in enumerate(listed):
            source = f"samples/{place.name}/{number}"
            distance = "" if look["distance"] is None else f" ({look['distance']:.1f} dB from the recorded)"
            body.append(_figure(source, look["caption"] + distance))
            if look["recorded"]:
                body.append(_figure(f"{source}-recorded", f"recorded: {look['caption']}"))
        body.append("</section>")
    body.append(f"<h2>Configuration</h2><pre>{html.escape(config)}</pre>")
    text = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style>{''.join(body)}</html>\n"
    )
    page = folder / "page.html"
    written(page, lambda partial: partial.write_text(text, encoding="utf-8"))
    return page


def _figure(source: str, caption: str) -> str:
    return (
        f'<figure><img src="{source}.png" alt="spectrogram"><audio controls preload=none src="{source}.wav"></audio>'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def _names(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line if name not in ("step", "seconds")))


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def _curves(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines of values over steps, from 0 to the largest."""
    every = [point for points in curves.values() for point in points]
    if not every:
        return "<p>Nothing yet.</p>"
    last, top = max(step for step, _ in every) or 1, max(value for _, value in every) or 1.0
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 30}" width="100%">']
    for number, (name, points) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = [(step / last * WIDTH, HEIGHT * (1.0 - 0.95 * value / top)) for step, value in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        words = f"{html.escape(name)} {points[-1][1]:.3f}" if points else html.escape(name)
        parts.append(f'<text x="{8 + number * 165}" y="{HEIGHT + 20}" fill="{colour}" font-size="13">{words}</text>')
    parts.append(f'<text x="8" y="16" fill="#888" font-size="13">{top:.3g}; {last:,.0f} steps</text></svg>')
    return "".join(parts)
