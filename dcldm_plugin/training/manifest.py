"""Which sounds there are to learn from, and what each is called.

A list is a CSV or JSONL file with `path` and `caption` and, if wanted, `start` and `end` in seconds; AudioCaps'
own CSV (https://github.com/cdjkim/audiocaps: youtube_id, start_time, caption) with a folder of its clips; or what
`compose.py` writes. In a folder each sound is called, with `captions = "auto"`, by the first of these:

- sidecar: a text file of the same name beside it;
- metadata: the description in its iXML (ASWG, BEXT and USER objects) or its bext chunk;
- ucs: the FXName of a Universal Category System name, CatID_FXName_CreatorID_SourceID (https://universalcategorysystem.com),
  with the words of its category where the name does not have them;
- name: its file name, without numbers.

A sound that is gone, can't be read or has no caption is named, and left out.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dcldm_plugin.audio import wave
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.training.config import Data

SUFFIXES = frozenset((".wav", ".aif", ".aiff", ".flac", ".ogg", ".opus", ".mp3", ".w64", ".rf64"))
LONGEST_CAPTION = 500
MOST_PIECES = 12  # of one long recording
SHORTEST_PIECE = 1.0  # seconds
MAX_XML_BYTES = 1_000_000
MAX_SIDECAR_BYTES = 100_000

Complain = Callable[[str], None]
"""Told one sentence for each sound that is left out."""


@dataclass(frozen=True, slots=True)
class Item:
    """A sound: `path` from `start` to `end` (None: as far as it goes) in seconds."""

    path: Path
    caption: str
    start: float = 0.0
    end: float | None = None


# Of the category codes that CatIDs begin with, those whose words a caption gains by.
UCS_CATEGORIES = {
    "AIR": "air", "ALRM": "alarm", "AMB": "ambience", "ANML": "animal", "BEEP": "beep", "BELL": "bell",
    "BIRD": "bird", "BOAT": "boat", "BUBL": "bubbles", "CERM": "ceramics", "CHAIN": "chain", "CLTH": "cloth",
    "CLOCK": "clock", "COMP": "computer", "CREA": "creature", "CRWD": "crowd", "DEST": "destruction",
    "DIRT": "dirt", "DOOR": "door", "DRWR": "drawer", "ELEC": "electricity", "EXPL": "explosion", "FGHT": "fight",
    "FEET": "footsteps", "FIRE": "fire", "FOLY": "foley", "GLAS": "glass", "GORE": "gore", "GUN": "gun",
    "HORN": "horn", "ICE": "ice", "LASR": "laser", "LEATH": "leather", "LIQ": "liquid", "MACH": "machine",
    "MAGC": "magic", "MECH": "mechanism", "METL": "metal", "MOTR": "motor", "PAPR": "paper", "PLAS": "plastic",
    "RAIN": "rain", "ROBO": "robot", "ROCK": "rock", "ROPE": "rope", "RUBR": "rubber", "SCIFI": "science fiction",
    "SNOW": "snow", "SWSH": "swoosh", "SWTCH": "switch", "THUN": "thunder", "TOON": "cartoon", "TOOL": "tool",
    "TRN": "train", "UI": "interface", "VEH": "vehicle", "WATR": "water", "WEAP": "weapon", "WHSH": "whoosh",
    "WIND": "wind", "WNDW": "window", "WOOD": "wood",
}  # fmt: skip


def read_items(data: Data, seconds: float, complain: Complain) -> list[Item]:
    """All sounds of a source, recordings longer than `seconds` in pieces of that length.

    Raises `InvalidInput` if there is no source, or nothing to learn from in it.
    """
    source = data.source
    if source.is_dir():
        lists = [source / name for name in ("clips.jsonl", "metadata.csv", "manifest.csv", "manifest.jsonl")]
        found = next((path for path in lists if path.is_file()), None)
        items = list(_folder(source, data.captions, complain) if found is None else _list(found, data.clips, complain))
    elif source.is_file():
        items = list(_list(source, data.clips, complain))
    else:
        raise InvalidInput(f"There is no folder or list of sounds {source}; correct `source` in [data].")
    pieces = [piece for item in items for piece in _pieces(item, seconds, complain)]
    if not pieces:
        raise InvalidInput(f"There is nothing to learn from in {source}; choose a folder of sounds, or a list of them.")
    return pieces


def _pieces(item: Item, seconds: float, complain: Complain) -> Iterator[Item]:
    if item.end is not None and item.end - item.start <= seconds * 1.01:
        yield item
        return
    length = _length(item.path, complain)
    if length is None:
        return
    end = min(length, item.end or length)
    start = item.start
    for index in range(MOST_PIECES):
        if index and end - start < SHORTEST_PIECE:
            return
        yield replace(item, start=start, end=min(end, start + seconds))
        start += seconds


def _length(path: Path, complain: Complain) -> float | None:
    import soundfile

    try:
        information = soundfile.info(path)
        return float(information.duration)
    except (soundfile.LibsndfileError, OSError, RuntimeError):
        complain(f"{path} is {'gone' if not path.exists() else 'no sound that can be read'}; it is left out.")
        return None


def _list(path: Path, clips: Path | None, complain: Complain) -> Iterator[Item]:
    if (sounds := path.parent / "audio.npy").is_file() and path.name == "clips.jsonl":
        yield from _composed(path, sounds)
        return
    rows = list(_rows(path))
    if rows and "youtube_id" in rows[0][1]:
        if clips is None:
            raise InvalidInput(f"{path} is AudioCaps' list; say with `clips` in [data] where its sounds are.")
        yield from _audiocaps(rows, clips, complain)
        return
    for place, row in rows:
        try:
            sound = path.parent / Path(str(row["path"])).expanduser()
            start, end = float(row.get("start") or 0.0), row.get("end")
            item = Item(sound, _caption(row["caption"]), start, float(end) if end not in (None, "") else None)
            if item.start < 0.0 or (item.end is not None and item.end <= item.start):
                raise ValueError("its end is before its start")
        except (KeyError, TypeError, ValueError) as error:
            reason = f"has no {error.args[0]}" if isinstance(error, KeyError) else f"is wrong ({error})"
            complain(f"{path}, {place}: {reason}; it is left out.")
            continue
        yield item


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".ndjson"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        row = json.loads(line)
                        yield f"line {number}", row if isinstance(row, dict) else {}
            else:
                for number, values in enumerate(csv.DictReader(file), 2):
                    yield f"line {number}", values
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise InvalidInput(f"{path} is not a list in CSV or JSONL ({error}); correct it.") from error


def _composed(path: Path, sounds: Path) -> Iterator[Item]:
    """The rows of `audio.npy` one after the other, at 16 kHz."""
    import numpy as np

    seconds = np.load(sounds, mmap_mode="r").shape[1] / 16_000
    for index, (_, row) in enumerate(_rows(path)):
        yield Item(sounds, str(row["caption"]), index * seconds, (index + 1) * seconds)


def _audiocaps(rows: list[tuple[str, Mapping[str, Any]]], clips: Path, complain: Complain) -> Iterator[Item]:
    there = {path.stem: path for path in sorted(clips.rglob("*")) if path.suffix.lower() in SUFFIXES}
    for place, row in rows:
        video, start = str(row["youtube_id"]), str(row.get("start_time", ""))
        names = (str(row.get("audiocap_id", "")), video, f"Y{video}", f"{video}_{start}", f"Y{video}_{start}")
        found = next((there[name] for name in names if name in there), None)
        if found is None:
            complain(f"AudioCaps, {place}: there is no sound of {video} in {clips}; it is left out.")
        elif not str(row.get("caption") or "").strip():
            complain(f"AudioCaps, {place}: has no caption; it is left out.")
        else:
            yield Item(found, _caption(row["caption"]))


def _folder(folder: Path, captions: str, complain: Complain) -> Iterator[Item]:
    ways = (captions,) if captions != "auto" else ("sidecar", "metadata", "ucs", "name")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file() or path.name.startswith("."):
            continue
        found = next((caption for way in ways if (caption := WAYS[way](path))), None)
        if found is None:
            complain(f"{path} has no caption ({', '.join(ways)}); it is left out.")
        else:
            yield Item(path, _caption(found))


def _caption(text: Any) -> str:
    caption = " ".join(str(text).split())
    if not caption or text is None:
        raise ValueError("its caption is empty")
    return caption[:LONGEST_CAPTION]


def _sidecar(path: Path) -> str | None:
    for place in (path.with_suffix(".txt"), path.with_name(path.name + ".txt")):
        if place.is_file():
            with place.open("rb") as file:
                return file.read(MAX_SIDECAR_BYTES).decode("utf-8-sig", "replace").strip() or None
    return None


def _metadata(path: Path) -> str | None:
    if path.suffix.lower() != ".wav":
        return None
    try:
        chunks = wave.read_chunks(path).chunks
    except DcldmError:
        return None  # whoever decodes it says so
    described = _ixml_description(chunks.get(b"iXML", b""))
    return described or chunks.get(b"bext", b"")[:256].split(b"\0")[0].decode("ascii", "replace").strip() or None


def _ixml_description(body: bytes) -> str | None:
    """Of the ASWG, BEXT and USER objects, in this order; entities are not expanded."""
    if not body or len(body) > MAX_XML_BYTES or b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return None
    try:
        root = ElementTree.fromstring(body.rstrip(b"\0 \r\n"))
    except (ElementTree.ParseError, ValueError, LookupError):
        return None
    for place in ("ASWG/description", "BEXT/BWF_DESCRIPTION", "USER/DESCRIPTION", "NOTE"):
        text = (root.findtext(place) or "").strip()
        if text:
            return text
    return None


def _ucs(path: Path) -> str | None:
    fields = path.stem.split("_")
    code = re.match(r"([A-Z]+)([A-Z][a-z]{1,4}|Misc)$", fields[0])
    if len(fields) < 3 or code is None:
        return None
    name, category = words(fields[1]), UCS_CATEGORIES.get(code[1], "")
    if not category or category.rstrip("s") in name:
        return name or None
    return f"{category}, {name}" if name else category


def words(name: str) -> str:
    """A file name as words: no numbers at its end, no camel case, no signs."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z]{3})(?=[0-9])", " ", name)
    spaced = re.sub(r"[_\-.,()\[\]]+", " ", spaced)
    spaced = re.sub(r"\b(take|var|alt|v)?\s*\d+\b", " ", spaced, flags=re.IGNORECASE)
    return " ".join(spaced.lower().split())


def _name(path: Path) -> str | None:
    return words(path.stem) or words(path.parent.name) or None


WAYS: Mapping[str, Callable[[Path], str | None]] = {
    "sidecar": _sidecar,
    "metadata": _metadata,
    "ucs": _ucs,
    "name": _name,
}
