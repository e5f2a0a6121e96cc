"""Real sound effects for training, taken from Debian packages under free licences.

``data/sounds.csv`` names every file that is used, with a caption, a category and the licence its package states for
it. ``fetch`` downloads the packages one after the other (small ones first), decodes only the listed files to mono
16 kHz, and appends them to one flat store:

* ``sounds.pcm``: all sounds end to end, int16, 16 kHz, mono, full scale 32768;
* ``sounds.json``: for each sound its start and length in that file, caption, category, package, licence and path;
* ``copyright/PACKAGE``: the copyright file of each package, as shipped by Debian;
* ``ATTRIBUTION.md`` and ``fetch.log``.

An interrupted run continues with the first package that is not finished. What goes with the trained model comes from
such a store and the table: ``python -m dcldm_plugin.training.sounds STORE --attribution dcldm_plugin/builtin``.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import logging
import re
import shutil
import struct
import subprocess
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
PEAK = 0.5
LONGEST_SECONDS = 60.0
TABLE = Path(__file__).parent / "data" / "sounds.csv"
ALLOWED_LICENCE = re.compile(r"(CC0|CC-BY|PD|public-domain|BSD|MIT)\b(?!.*-N[CD])")

# Unpacked the largest come last, so that a model can start on the others while these are still on their way.
LARGE_PACKAGES = (
    "scratch", "lugaru-data", "lincity-ng-data", "endless-sky-data", "trigger-rally-data", "freeorion-data",
    "flare-game", "hydrogen-drumkits", "cube2-data", "megaglest-data", "unknown-horizons", "naev-data",
    "supertuxkart-data", "redeclipse-data", "0ad-data",
)  # fmt: skip

Row = Mapping[str, str]
log = logging.getLogger(__name__)


def read_table(path: Path = TABLE) -> list[dict[str, str]]:
    """Read the table of sounds: dicts with the keys package, path, caption, category, licence."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def attribution(table_rows: Iterable[Row]) -> str:
    """Return the credits as Markdown: for each package its licences, with the number of sounds taken under each.

    `table_rows` are rows of `read_table` or entries of ``sounds.json``. The text goes beside a folder ``copyright``.
    """
    counts: dict[str, Counter[str]] = {}
    for row in table_rows:
        counts.setdefault(row["package"], Counter())[row["licence"]] += 1
    total = sum(licences.total() for licences in counts.values())
    lines = [
        "# Sounds behind the built-in model",
        "",
        f"The built-in model was trained on {total} sounds from the {len(counts)} Debian packages below, and on",
        "synthesised ones. They were converted to mono 16 kHz, trimmed, normalised, varied and mixed. The names of",
        "the authors and the terms of the licences are in `copyright/PACKAGE` beside this file, as Debian ships it;",
        "`dcldm_plugin/training/data/sounds.csv` lists every file.",
        "",
        "| Package | Sounds | Licences |",
        "| --- | ---: | --- |",
    ]
    for package, licences in sorted(counts.items()):
        names = ", ".join(f"{licence} ({count})" for licence, count in sorted(licences.items()))
        lines.append(f"| [{package}](copyright/{package}) | {licences.total()} | {names} |")
    return "\n".join(lines) + "\n"


def write_attribution(store: Path, target: Path) -> None:
    """Write ``ATTRIBUTION.md`` for the whole table into `target`, and the copyright files of its packages there.

    The copyright files come from `store`, a folder that `fetch` has filled.
    """
    rows = read_table()
    notes = target / "copyright"
    notes.mkdir(parents=True, exist_ok=True)
    for package in sorted({row["package"] for row in rows}):
        _replace(notes / package, (store / "copyright" / package).read_bytes())
    _replace(target / "ATTRIBUTION.md", attribution(rows).encode())


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(content)
    fresh.replace(path)


def licence_is_stated(licence: str, copyright_text: str) -> bool:
    """Tell whether a package's copyright file mentions `licence` (each part of it, if joined by "and")."""
    flags = re.IGNORECASE | re.DOTALL
    return all(re.search(_licence_pattern(part), copyright_text, flags) for part in licence.split(" and "))


def _licence_pattern(licence: str) -> str:
    """Return the pattern of a licence's usual spellings, with its version where it has one."""
    creative_commons = re.match(r"CC-BY(-SA)?-(\d)\.\d", licence)
    if creative_commons:
        share_alike, version = creative_commons.groups()
        name = r"by-sa|share.?alike" if share_alike else r"cc-by|licenses/by/|attribution"
        return rf"({name}).{{0,40}}?{version}"
    spellings = {"CC0": r"CC0|Zero", "PD": r"\bPD\b|public.domain", "public-domain": r"public.domain",
                 "BSD": r"BSD|freedoom-license", "MIT": r"\bMIT\b|Expat"}  # fmt: skip
    return next((pattern for name, pattern in spellings.items() if licence.startswith(name)), r"(?!)")


def prepare(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Bring a decoded sound into the form of the store.

    `samples` are [frames] or [frames, channels] at `rate` Hz. The result is mono at 16 kHz, [length]: without DC, at
    most 60 s, trimmed to 5 ms around what is above -50 dB of the peak, with peak 0.5. It is empty for silence.
    """
    mono = samples if samples.ndim == 1 else samples.mean(axis=1)
    mono = np.nan_to_num(mono[: int(LONGEST_SECONDS * rate)])
    # Before resampling, where a constant would ring at both ends.
    mono = mono - mono.mean() if len(mono) else mono
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="VHQ")
    mono = np.asarray(mono, np.float32)
    peak = float(np.abs(mono).max(initial=0.0))
    if peak < 1e-4:
        return np.zeros(0, np.float32)
    loud = np.flatnonzero(np.abs(mono) > peak * 10 ** (-50 / 20))
    margin = SAMPLE_RATE * 5 // 1000
    mono = mono[max(0, loud[0] - margin) : loud[-1] + 1 + margin]
    return np.asarray(mono * (PEAK / peak), np.float32)


def decode(data: bytes) -> NDArray[np.float32]:
    """Decode the bytes of an audio file (any container libsndfile or ffmpeg knows) and `prepare` it."""
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    except soundfile.LibsndfileError:
        command = ["ffmpeg", "-v", "error", "-i", "pipe:0", "-ac", "1", "-ar", "48000", "-f", "f32le", "pipe:1"]
        raw = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout
        samples, rate = np.frombuffer(raw, np.float32), 48_000
    return prepare(samples, rate)


class Wad:
    """The sound lumps of a Doom WAD, read by name as if they were WAV files (``dspistol.wav``)."""

    def __init__(self, path: Path) -> None:
        self._data = path.read_bytes()
        count, directory = struct.unpack_from("<ii", self._data, 4)
        entries = struct.iter_unpack("<ii8s", self._data[directory : directory + 16 * count])
        self._lumps = {name.rstrip(b"\0").decode("latin-1").lower(): (at, size) for at, size, name in entries}

    def read(self, name: str) -> bytes:
        """Return the lump as a WAV file: the format is a header (rate, count), then unsigned 8-bit samples."""
        start, _ = self._lumps[PurePosixPath(name).stem.lower()]
        _, rate, count = struct.unpack_from("<HHI", self._data, start)
        # 16 samples of padding stand at either end.
        samples = np.frombuffer(self._data, np.uint8, count - 32, start + 8 + 16).astype(np.float32) / 128 - 1
        stream = io.BytesIO()
        soundfile.write(stream, samples, rate, format="WAV", subtype="FLOAT")
        return stream.getvalue()


def split_path(path: str) -> tuple[str | None, str]:
    """Split a table path into the archive's file name (None if there is none) and the path inside it or the package.

    ``0ad-data/_x/public.zip/audio/a.ogg`` gives ("public.zip", "audio/a.ogg").
    """
    inside = path.split("/", 1)[1]
    if not inside.startswith("_x/"):
        return None, inside
    _, archive, member = inside.split("/", 2)
    return archive, member


def _unpack(deb: Path, package: str, rows: list[dict[str, str]], target: Path) -> None:
    """Copy just the files that are needed from a .deb into `target`, archives and the copyright file flat."""
    plain = {member for archive, member in (split_path(row["path"]) for row in rows) if archive is None}
    archives = {archive for archive, _ in (split_path(row["path"]) for row in rows) if archive}
    documents = f"usr/share/doc/{package}/copyright"
    command = ["dpkg-deb", "--fsys-tarfile", str(deb)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as tar,
    ):
        for member in tar:
            name = member.name.removeprefix("./")
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            if name in (documents, documents + ".gz"):
                text = content.read()
                (target / "copyright").write_bytes(gzip.decompress(text) if name.endswith(".gz") else text)
            elif name in plain or PurePosixPath(name).name in archives:
                place = target / (name if name in plain else PurePosixPath(name).name)
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as stream:
                    shutil.copyfileobj(content, stream)


def _read_file(tree: Path, path: str, archives: dict[str, Wad | zipfile.ZipFile]) -> bytes:
    """Return the bytes of the file a table row points to; opened archives are kept in `archives`."""
    archive, member = split_path(path)
    if archive is None:
        return (tree / member).read_bytes()
    if archive not in archives:
        is_wad = archive.endswith(".wad")
        archives[archive] = Wad(tree / archive) if is_wad else zipfile.ZipFile(tree / archive)
    return archives[archive].read(member)


def _download(package: str, debs: Path) -> Path:
    """Return the package's .deb in `debs`, downloading it there first if it is missing."""
    command = ["apt-get", "download", package]
    found = list(debs.glob(f"{package}_*.deb"))
    if not found and subprocess.run(command, cwd=debs, stdout=subprocess.DEVNULL, check=False).returncode:
        # Most likely the package lists are missing or older than the mirror.
        subprocess.run(["apt-get", "update"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(command, cwd=debs, check=True, stdout=subprocess.DEVNULL)
    return found[0] if found else next(debs.glob(f"{package}_*.deb"))


def fetch(folder: Path) -> None:
    """Download every package of the table and write the store described above into `folder`."""
    debs, notes = folder / "debs", folder / "copyright"
    for directory in (debs, notes):
        directory.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "fetch.log", level=logging.INFO, format="%(asctime)s %(message)s")
    by_package: dict[str, list[dict[str, str]]] = {}
    for row in read_table():
        by_package.setdefault(row["package"], []).append(row)
    index_file = folder / "sounds.json"
    index = json.loads(index_file.read_text("utf-8")) if index_file.exists() else {"packages": [], "sounds": []}
    order = sorted(by_package, key=lambda name: LARGE_PACKAGES.index(name) if name in LARGE_PACKAGES else -1)
    for package in (name for name in order if name not in index["packages"]):
        deb = _download(package, debs)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _unpack(deb, package, by_package[package], Path(scratch))
            entries = _append(folder / "sounds.pcm", by_package[package], Path(scratch), index["sounds"])
            (notes / package).write_bytes((Path(scratch) / "copyright").read_bytes())
        index["sounds"] += entries
        index["packages"].append(package)
        _replace(index_file, json.dumps(index, indent=0).encode())
        (folder / "ATTRIBUTION.md").write_text(attribution(index["sounds"]), "utf-8")
        deb.unlink()
        log.info("%s: %d of %d sounds", package, len(entries), len(by_package[package]))


def _append(
    store: Path, rows: list[dict[str, str]], tree: Path, previous: list[dict[str, str | int]]
) -> list[dict[str, str | int]]:
    """Append the sounds of one unpacked package to the store and return their index entries."""
    copyright_text = (tree / "copyright").read_text("utf-8", errors="replace")
    position = int(previous[-1]["start"]) + int(previous[-1]["length"]) if previous else 0
    archives: dict[str, Wad | zipfile.ZipFile] = {}
    entries: list[dict[str, str | int]] = []
    with store.open("r+b" if store.exists() else "wb") as stream:
        stream.truncate(position * 2)  # what an interrupted run left behind
        stream.seek(position * 2)
        for row in rows:
            if not ALLOWED_LICENCE.match(row["licence"]) or not licence_is_stated(row["licence"], copyright_text):
                log.warning("licence %s not stated, dropped: %s", row["licence"], row["path"])
                continue
            try:
                samples = decode(_read_file(tree, row["path"], archives))
            except Exception as error:  # whatever is wrong with one file must not end the run
                log.warning("cannot read %s: %r", row["path"], error)
                continue
            if not len(samples):
                log.warning("silent: %s", row["path"])
                continue
            stream.write(np.round(samples * 32768).astype("<i2").tobytes())
            entries.append({**row, "start": position, "length": len(samples)})
            position += len(samples)
    return entries


def main() -> None:
    """Fetch the sounds into the folder named on the command line, or write the credits from what is there."""
    parser = argparse.ArgumentParser(description="Download and decode the training sounds.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--attribution", type=Path, metavar="OUT", help="only write the credits of a filled folder to OUT"
    )
    options = parser.parse_args()
    if options.attribution:
        write_attribution(options.folder, options.attribution)
    else:
        fetch(options.folder)


if __name__ == "__main__":
    main()
