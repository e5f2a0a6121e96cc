"""The Universal Category System (https://universalcategorysystem.com): which CatID a sound gets, and its name.

The identifiers are those of the public list, version 8.2; the synonyms are our own. Whoever has downloaded the
official sheet can put it in the place of ours (`install`).
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.types import UcsName, clean_text

TABLE = "ucs.csv"
UNKNOWN_ID = "DSGNMisc"  # a sound that no word says anything of was designed, at least
GENERAL = {"MISC", "GENERAL"}
MAX_FX_CHARACTERS = 40
MAX_SHEET_BYTES = 20_000_000
STOP = {
    "a", "an", "and", "as", "at", "by", "for", "from", "in", "into", "of", "off", "on", "onto", "or", "out",
    "over", "the", "to", "under", "up", "very", "with",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Category:
    """One row of the list."""

    category: str
    sub_category: str
    cat_id: str
    synonyms: tuple[str, ...] = ()

    @property
    def is_general(self) -> bool:
        return self.sub_category in GENERAL

    @property
    def phrases(self) -> Iterable[str]:
        """What says that a sound belongs here: a synonym, or the names of category and subcategory."""
        yield from self.synonyms
        yield self.category if self.is_general else f"{self.category} {self.sub_category}"


class Table:
    """The categories by CatID, and suggestions among them."""

    def __init__(self, rows: Iterable[Category]) -> None:
        self.rows = {row.cat_id: row for row in rows}

    @classmethod
    def load(cls, home: Path | None = None) -> Table:
        """The table that was installed in a home folder, else our own. Raises `DcldmError` if it is damaged."""
        own = None if home is None else home / TABLE
        if own is None or not own.is_file():
            return cls(_read_csv((files("dcldm_plugin") / TABLE).read_text(encoding="utf-8")))
        try:
            return cls(_read_csv(own.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, InvalidInput) as error:
            raise DcldmError(f"{own} is not readable as a UCS list; delete it or install it again.") from error

    def find(self, cat_id: str) -> Category:
        """The row of a CatID, written as the list writes it. Raises `InvalidInput` with the nearest there is."""
        row = self.rows.get(cat_id.strip())
        if row is None:
            same = [known for known in self.rows if known.lower() == cat_id.strip().lower()]
            near = same or [known for known in self.rows if known.lower().startswith(cat_id.strip().lower()[:4])][:5]
            hint = f"; is it {' or '.join(near)}?" if near else "; see `dcldm ucs WORDS`."
            raise InvalidInput(f"There is no CatID {cat_id[:40]!r} in the UCS list{hint}")
        return row

    def suggest(self, prompt: str, count: int = 5, *, by_meaning: bool = True) -> list[Category]:
        """The likeliest categories of a prompt, best first: by words, then by the meaning of the sentence.

        Meaning needs the sentence encoder, and takes a second where it is asked for the first time.
        """
        scores = self._by_words(prompt)
        if by_meaning and len(scores) < count:
            from dcldm_plugin.sentences import nearest

            for cat_id in nearest(prompt, self.titles(), count):
                scores.setdefault(cat_id, 0.0)
        best = sorted(scores, key=lambda cat_id: -scores[cat_id])
        return [self.rows[cat_id] for cat_id in best[:count]]

    def cat_id_of(self, prompt: str) -> str:
        """The CatID that a prompt's clip gets by itself."""
        found = self.suggest(prompt, 1)
        return found[0].cat_id if found else UNKNOWN_ID

    def titles(self) -> dict[str, str]:
        """Each category in words, for comparing meanings."""
        return {
            row.cat_id: f"{row.category} {row.sub_category}: {', '.join(row.synonyms)}".lower()
            for row in self.rows.values()
            if row.category != "ARCHIVED"  # states of files, not sounds
        }

    @cached_property
    def _weights(self) -> Mapping[str, float]:
        """Of each word: the rarer in the list, the more it says."""
        counts = Counter(word for row in self.rows.values() for word in set(_words(" ".join(row.phrases))))
        return {word: math.log(len(self.rows) / number) for word, number in counts.items()}

    def _by_words(self, prompt: str) -> dict[str, float]:
        """A score for every category of which a whole phrase is in the prompt.

        What is said first counts most: "rain on a car" is rain, and so is "slow rain on a car", since only words of
        the list have a place. A general category stands back behind a special one.
        """
        words = [word for word in _words(prompt) if word in self._weights]
        places = {word: place for place, word in reversed(list(enumerate(words)))}
        scores: dict[str, float] = {}
        for row in self.rows.values():
            for phrase in row.phrases:
                parts = _words(phrase)
                if parts and all(part in places for part in parts):
                    first = min(places[part] for part in parts)
                    score = sum(self._weights[part] for part in parts) * (1.0 + 1.0 / (1 + first))
                    score *= 0.9 if row.is_general else 1.0
                    scores[row.cat_id] = max(scores.get(row.cat_id, 0.0), score)
        return scores


def fx_name(prompt: str) -> str:
    """A prompt as the FXName of a file: its words in ASCII, each with a capital, none cut in two."""
    from dcldm_plugin.audio.wave import to_ascii

    words = re.findall(r"[A-Za-z0-9]+", re.sub(r"['`’]", "", to_ascii(prompt)))
    name = ""
    for word in words:
        longer = f"{name} {word[:1].upper()}{word[1:]}".strip()
        if len(longer) > MAX_FX_CHARACTERS:
            break
        name = longer
    return name or (words[0][:MAX_FX_CHARACTERS] if words else "Sound")


def parse_name(stem: str, table: Table) -> UcsName | None:
    """The blocks of a file name without its ending, if it is one by UCS with a CatID of the list."""
    blocks = stem.split("_")
    if len(blocks) < 4 or blocks[0].split("-")[0] not in table.rows:
        return None
    try:
        return UcsName(blocks[0].split("-")[0], blocks[1], blocks[2], blocks[3])
    except InvalidInput:
        return None


def install(source: Path, home: Path) -> Table:
    """Put the official list, a CSV or XLSX that the user has downloaded, in the place of ours.

    Raises `InvalidInput`, and then nothing changed.
    """
    try:
        if source.stat().st_size > MAX_SHEET_BYTES:
            raise InvalidInput(f"{source} is too large for the UCS list; choose the sheet itself.")
        content = source.read_bytes()
    except OSError as error:
        raise InvalidInput(
            f"{source} can't be read ({error.strerror or error}); choose the downloaded sheet."
        ) from error
    text = _xlsx_as_csv(content, source) if content[:2] == b"PK" else content.decode("utf-8-sig", "replace")
    rows = _read_csv(text)
    if len(rows) < 100:
        raise InvalidInput(f"{source} lists only {len(rows)} categories; choose the full UCS list.")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["Category", "SubCategory", "CatID", "Synonyms"])
    writer.writerows((row.category, row.sub_category, row.cat_id, ", ".join(row.synonyms)) for row in rows)
    home.mkdir(parents=True, exist_ok=True)
    part = home / f"{TABLE}.part"
    part.write_text(out.getvalue(), encoding="utf-8")
    os.replace(part, home / TABLE)
    return Table(rows)


def _words(text: str) -> list[str]:
    """Words that say something, in lower case, without the endings of number and tense."""
    found = re.findall(r"[a-z0-9]+", text.lower().replace("'s", ""))
    return [re.sub(r"(?<=[a-z]{3})(?:ing|ed|es|e|(?<![su])s|y)$", "", word) for word in found if word not in STOP]


def _read_csv(text: str) -> list[Category]:
    """Rows below a header that names the columns, wherever it stands. Raises `InvalidInput`."""
    lines = list(csv.reader(io.StringIO(text)))
    headers = [[re.sub(r"[^a-z]", "", cell.lower()) for cell in line] for line in lines]
    number = next((k for k, names in enumerate(headers) if {"category", "subcategory", "catid"} <= set(names)), None)
    if number is None:
        raise InvalidInput("The UCS list has no columns Category, SubCategory and CatID; choose the official sheet.")
    names = headers[number]
    where = {name: names.index(name) for name in ("category", "subcategory", "catid")}
    synonyms = next((place for place, name in enumerate(names) if name.startswith("synonym")), None)
    rows: dict[str, Category] = {}
    for line in lines[number + 1 :]:
        cells = [cell.strip() for cell in line] + [""] * len(names)
        category, sub, cat_id = (cells[where[name]] for name in ("category", "subcategory", "catid"))
        if category and re.fullmatch(r"[A-Za-z0-9]{2,20}", cat_id):
            words = cells[synonyms] if synonyms is not None else ""
            known = tuple(clean_text(word, "synonym") for word in words.split(",") if word.strip())
            rows[cat_id] = Category(category, sub, cat_id, known)
    return list(rows.values())


def _xlsx_as_csv(content: bytes, source: Path) -> str:
    """The sheet of a workbook that has the list (ECMA-376: a zip of XML; only texts are looked at)."""
    from xml.etree import ElementTree

    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            if sum(entry.file_size for entry in book.infolist()) > 10 * MAX_SHEET_BYTES:
                raise InvalidInput(f"{source} unpacks to more than a UCS list can be; choose the official sheet.")
            shared: list[str] = []
            if "xl/sharedStrings.xml" in book.namelist():
                root = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
                shared = ["".join(node.text or "" for node in item.iter(f"{space}t")) for item in root]
            for name in sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet")):
                text = _sheet(ElementTree.fromstring(book.read(name)), shared, space)
                if "catid" in re.sub(r"[^a-z]", "", text[:20_000].lower()):
                    return text
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError, ValueError) as error:
        raise InvalidInput(f"{source} is not a readable workbook ({error}); save the sheet as CSV.") from error
    raise InvalidInput(f"{source} has no sheet with a column CatID; choose the official UCS list.")


def _sheet(root: object, shared: list[str], space: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    for row in root.iter(f"{space}row"):  # type: ignore[attr-defined]
        cells: dict[int, str] = {}
        for cell in row.iter(f"{space}c"):
            letters = re.sub(r"[^A-Z]", "", cell.get("r", "A"))
            column = 0
            for letter in letters:
                column = 26 * column + ord(letter) - 64
            value = cell.findtext(f"{space}v") or "".join(node.text or "" for node in cell.iter(f"{space}t"))
            if 0 < column <= 64:
                cells[column - 1] = shared[int(value)] if cell.get("t") == "s" and value else value
        writer.writerow([cells.get(column, "") for column in range(max(cells, default=-1) + 1)])
    return out.getvalue()
