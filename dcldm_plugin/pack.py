"""Round-robin packs: `_01 … _NN` of one sound, level-matched, of one length, and what Wwise and FMOD take them by.

More variants than takes are made by signal processing from those that there are, at no cost of rendering: pitch
and speed together (as tape does it), time alone, a tilt of the spectrum, gain; each drawn from a range by a seed.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.audio.clip_file import read_record, tag
from dcldm_plugin.audio.finish import pcm_bytes, quantise
from dcldm_plugin.audio.loudness import METER_MARGIN_DB, MOMENTARY_SECONDS, decibels, loudness_by, measure, true_peak
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.types import Clip

Middleware = Literal["folder", "wwise", "fmod"]
LengthPolicy = Literal["longest", "shortest", "own"]
MAX_FILES = 99
CEILING_DBTP = -1.0
FADE_SECONDS = 0.005
TILT_HZ = 1000.0  # where the tilt turns: as much down below as up above

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranges:
    """How far variants may go from their take, to both sides; 0 leaves it as it is.

    pitch_semitones changes speed with it; stretch is a share of the length; tilt_db is between the lowest and the
    highest; gain_db is applied after the levels were matched.
    """

    pitch_semitones: float = 1.0
    stretch: float = 0.0
    tilt_db: float = 2.0
    gain_db: float = 1.0

    def __post_init__(self) -> None:
        for name, high in (("pitch_semitones", 12.0), ("stretch", 0.5), ("tilt_db", 12.0), ("gain_db", 12.0)):
            if not 0.0 <= getattr(self, name) <= high:
                raise InvalidInput(f"The range of {name.replace('_', ' ')} must be from 0 to {high:g}.")


@dataclass(frozen=True, slots=True)
class PackSettings:
    """files: how many in all; what the clips do not give is made as variants of them in turn."""

    name: str
    files: int = 0  # 0: as many as there are clips
    ranges: Ranges = Ranges()
    length: LengthPolicy = "longest"
    middleware: Middleware = "folder"
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.name or not all(letter.isalnum() or letter in " _-" for letter in self.name) or len(self.name) > 80:
            raise InvalidInput("The name of a pack has 1 to 80 letters, digits, spaces, _ or -; give another one.")
        if not 0 <= self.files <= MAX_FILES:
            raise InvalidInput(f"A pack has at most {MAX_FILES} files; ask for fewer.")
        if self.length not in get_args(LengthPolicy) or self.middleware not in get_args(Middleware):
            raise InvalidInput("Choose the length from longest, shortest, own, and wwise, fmod or folder.")


def make_pack(clips: Sequence[Clip], folder: Path, settings: PackSettings, delivery: Delivery | None = None) -> Path:
    """Write a pack into a new folder `folder/NAME`, all of it or nothing. Raises `DcldmError`."""
    delivery = delivery or Delivery()
    if not clips:
        raise InvalidInput("No clip is given; choose those that the pack is made of.")
    target = folder.expanduser().absolute() / settings.name
    if target.exists():
        raise InvalidInput(f"{target} is there already; choose another name or folder.")
    rates = {(clip.sample_rate, clip.channels) for clip in clips}
    if len(rates) > 1:
        raise InvalidInput("The clips of a pack need one sample rate and width; finish them alike first.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{settings.name}-", dir=target.parent))
        try:
            _fill(staging, target, clips, settings, delivery)
            os.replace(staging, target)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise DcldmError(f"{target} can't be written ({error.strerror or error}); choose another folder.") from error
    return target


def vary(
    samples: Samples, sample_rate: int, ranges: Ranges, generator: np.random.Generator
) -> tuple[Samples, dict[str, float]]:
    """One variant of [channels, time], and what was drawn for it. The same generator gives the same."""
    drawn = {name: float(generator.uniform(-high, high)) for name, high in asdict(ranges).items()}
    rate = 2.0 ** (drawn["pitch_semitones"] / 12.0)
    varied = _stretched(samples, 1.0 + drawn["stretch"], sample_rate) if ranges.stretch else samples
    varied = _resampled(varied, rate) if ranges.pitch_semitones else varied
    varied = _tilted(varied, sample_rate, drawn["tilt_db"]) if ranges.tilt_db else varied
    return varied, {name: round(value, 3) for name, value in drawn.items()}


def _fill(staging: Path, target: Path, clips: Sequence[Clip], settings: PackSettings, delivery: Delivery) -> None:
    rate = clips[0].sample_rate
    generator = np.random.default_rng(settings.seed)
    sounds = [_samples(clip) for clip in clips]
    drawn: list[dict[str, float]] = [{} for _ in clips]
    for number in range(len(clips), settings.files or len(clips)):
        sound, values = vary(sounds[number % len(clips)], rate, settings.ranges, generator)
        sounds.append(sound)
        drawn.append(values)
    sounds = sounds[: settings.files or None]
    sounds = matched(same_length(sounds, settings.length, rate), rate, [values.get("gain_db", 0.0) for values in drawn])
    rows = []
    for number, sound in enumerate(sounds):
        clip = clips[number % len(clips)]
        name = f"{settings.name.replace(' ', '_')}_{number + 1:02d}"
        pcm = quantise(sound, settings.seed + number)
        record = _record(clip, pcm, sound, rate, drawn[number])
        (staging / f"{name}.wav").write_bytes(tag(pcm_bytes(pcm), record, delivery).content)
        rights = clip.rights.sentence if clip.rights is not None else "not recorded"
        rows.append({"file": f"{name}.wav", "from": clip.path.name, "prompt": clip.prompt.text, "rights": rights})
        rows[-1] |= {key: str(drawn[number].get(key, 0.0)) for key in asdict(settings.ranges)}
    _table(staging / "contents.csv", rows, ",")
    if settings.middleware == "wwise":
        _table(staging / "wwise_import.txt", wwise_rows(settings.name, target, [row["file"] for row in rows]), "\t")
    elif settings.middleware == "fmod":
        (staging / "fmod_import.js").write_text(fmod_script(settings.name, target, [row["file"] for row in rows]))


def _samples(clip: Clip) -> Samples:
    import soundfile

    try:
        samples, _ = soundfile.read(clip.path, dtype="float64", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InvalidInput(f"{clip.path} can't be read ({error}); choose another clip.") from error
    return np.ascontiguousarray(samples.T)


def _record(clip: Clip, pcm: NDArray[np.int32], sound: Samples, rate: int, drawn: dict[str, float]) -> dict[str, Any]:
    """The record of the clip, for the file that was made of it; a variant by processing says so."""
    import hashlib
    import uuid

    record = dict(read_record(clip.path))
    finishing = dict(record["finishing"])
    finishing["measured"] = {
        name: None if value is None else round(value, 3) for name, value in asdict(measure(sound, rate)).items()
    }
    finishing["done"] = {**finishing.get("done", {}), "pack": {"of": clip.id, **drawn}}
    record |= {"id": uuid.uuid4().hex, "frames": pcm.shape[1], "finishing": finishing}
    record |= {
        "sha256": hashlib.sha256(pcm_bytes(pcm)).hexdigest(),
        "peak_frame": int(np.abs(pcm).max(axis=0).argmax()),
    }
    return record


def matched(sounds: Sequence[Samples], rate: int, offsets_db: Sequence[float]) -> list[Samples]:
    """All at the loudness that the quietest headroom allows, then each off by its offset, none above the ceiling."""
    loudness = [loudness_by(sound, rate, MOMENTARY_SECONDS) for sound in sounds]
    heard = [value for value in loudness if value is not None]
    if not heard:
        return list(sounds)
    room = [
        CEILING_DBTP - METER_MARGIN_DB - decibels(true_peak(sound, rate)) + value - offset
        for sound, value, offset in zip(sounds, loudness, offsets_db, strict=False)
        if value is not None
    ]
    common = min(float(np.median(heard)), *room)
    return [
        sound if value is None else sound * 10.0 ** ((common - value + offset) / 20.0)
        for sound, value, offset in zip(sounds, loudness, offsets_db, strict=False)
    ]


def same_length(sounds: Sequence[Samples], policy: LengthPolicy, rate: int) -> list[Samples]:
    """All as long as the longest (silence behind), as the shortest (faded out), or each as it is."""
    lengths = [sound.shape[1] for sound in sounds]
    if policy == "own":
        return list(sounds)
    frames = max(lengths) if policy == "longest" else min(lengths)
    made = []
    for sound in sounds:
        cut = sound[:, :frames].copy()
        if sound.shape[1] > frames:
            fade = min(round(FADE_SECONDS * rate), frames)
            cut[:, frames - fade :] *= np.linspace(1.0, 0.0, fade)
        made.append(np.pad(cut, ((0, 0), (0, frames - cut.shape[1]))))
    return made


def wwise_rows(name: str, folder: Path, names: Sequence[str]) -> list[dict[str, str]]:
    """Rows of Wwise's tab-delimited import: a random container of sounds below the default work unit."""
    parent = rf"\Actor-Mixer Hierarchy\Default Work Unit\<Random Container>{name}"
    return [
        {
            "Audio File": str(folder / file),
            "Object Path": rf"{parent}\<Sound SFX>{Path(file).stem}",
            "Object Type": "Sound SFX",
        }
        for file in names
    ]


def fmod_script(name: str, folder: Path, names: Sequence[str]) -> str:
    """A script for FMOD Studio (Scripts menu) that makes an event with a multi instrument of all files."""
    paths = json.dumps([(folder / file).as_posix() for file in names], indent=1)
    title = json.dumps(name)
    return f"""// In FMOD Studio: put this file into the project's scripts folder, then Scripts, Reload, and choose it.
studio.menu.addMenuItem({{
  name: "Import " + {title},
  execute: function () {{
    var event = studio.project.create("Event");
    event.name = {title};
    event.folder = studio.project.workspace.masterEventFolder;
    var track = event.addGroupTrack();
    var multi = track.addSound(event.timeline, "MultiSound", 0, 10);
    {paths}.forEach(function (path) {{
      var single = studio.project.create("SingleSound");
      single.audioFile = studio.project.importAudioFile(path);
      single.owner = multi;
    }});
  }}
}});
"""


def _table(path: Path, rows: Sequence[dict[str, str]], delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8", newline="")


def _resampled(samples: Samples, speed: float) -> Samples:
    """Faster and higher by a factor, as a tape is."""
    import soxr

    made: Samples = soxr.resample(np.ascontiguousarray(samples.T), speed, 1.0, quality="VHQ").T
    return np.ascontiguousarray(made)


def _stretched(samples: Samples, factor: float, rate: int) -> Samples:
    """Longer by a factor at the same pitch: windows of 50 ms laid anew where they fit best.

    W. Verhelst, M. Roelands, "An overlap-add technique based on waveform similarity (WSOLA)", ICASSP 1993.
    """
    window = 2 * round(0.025 * rate)
    hop, reach = window // 2, window // 4
    shape = np.hanning(window + 1)[:window]
    frames = round(samples.shape[1] * factor)
    padded = np.pad(samples, ((0, 0), (reach, window + 2 * reach)))
    out = np.zeros((len(samples), frames + window))
    natural = reach
    for start in range(0, frames, hop):
        at = reach + round(start / factor)
        wanted = padded[:, natural : natural + window]
        region = padded[:, at - reach : at + reach + window]
        if wanted.shape[1] == window and region.shape[1] >= window:
            likeness = sum(np.correlate(one, other, mode="valid") for one, other in zip(region, wanted, strict=True))
            at = at - reach + int(np.argmax(likeness))
        piece = padded[:, at : at + window]
        out[:, start : start + piece.shape[1]] += piece * shape[: piece.shape[1]]
        natural = at + hop
    return out[:, :frames]


def _tilted(samples: Samples, rate: int, tilt_db: float) -> Samples:
    """More treble and less bass by half of `tilt_db` each, or the other way: a first-order shelf about 1 kHz."""
    from scipy.signal import bilinear, lfilter

    turn = 2.0 * np.pi * TILT_HZ
    gain = 10.0 ** (tilt_db / 40.0)
    numerator, denominator = bilinear([gain, turn / gain], [1.0, turn], fs=rate)
    tilted: Samples = lfilter(numerator, denominator, samples, axis=1)
    return tilted
