"""The clips on disk, and a searchable index of them that can be rebuilt from the files alone.

The WAV files are the truth: each carries a record of all that made it (`audio.clip_file`). What the user says
of them (favourites, ratings, notes) is in a journal beside them, since a file that a project refers to is not
to be rewritten. The index is SQLite in WAL mode, and holds both beside what is searched and sorted by. Any
number of threads and processes may use one library at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import shutil
import sqlite3
import threading
import unicodedata
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from dcldm_plugin.audio.clip_file import (
    ClipFile,
    check_record,
    finish_file,
    kept_id,
    make_clip_file,
    read_record,
    renamed,
    to_clip,
)
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.database import connect
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.marks import Journal
from dcldm_plugin.types import Clip, Marks, Variation
from dcldm_plugin.ucs import parse_name

MAX_STEM_BYTES = 200  # file systems take 255 for a name with its ending, number and `.part`
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{digit}" for name in ("COM", "LPT") for digit in range(1, 10))}
_SCHEMA = (
    """CREATE TABLE clips (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, request_id TEXT NOT NULL,
        variation INTEGER NOT NULL, created TEXT NOT NULL, record TEXT NOT NULL)""",
    "CREATE INDEX clips_by_time ON clips (created DESC, request_id, variation DESC, id)",
    "CREATE INDEX clips_by_request ON clips (request_id, created, id)",
    "CREATE VIRTUAL TABLE clip_words USING fts5(words, tokenize = 'unicode61 remove_diacritics 0', prefix = '2 3')",
    """CREATE TRIGGER clips_gone AFTER DELETE ON clips BEGIN
        DELETE FROM clip_words WHERE rowid = old.number; END""",
    """CREATE TABLE marks (
        id TEXT PRIMARY KEY, favourite INTEGER NOT NULL, rating INTEGER NOT NULL, rejected INTEGER NOT NULL,
        placed INTEGER NOT NULL, notes TEXT NOT NULL)""",
)
_JOINED = "clips LEFT JOIN marks USING (id)"
_NEWEST_FIRST = "created DESC, request_id, variation DESC, clips.id"
_COLUMNS = "record, path, favourite, rating, rejected, placed, notes"
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
# Thai, Lao, Burmese, Khmer, kana, Chinese and their extensions: one word ends where the next begins.
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_log = logging.getLogger(__name__)


class Library:
    """Finished clips: adopted from renders, found again by words or by request."""

    def __init__(self, folder: Path, index: Path | None = None, delivery: Delivery | None = None) -> None:
        """Open or make the library in `folder`. A lost index is rebuilt. Raises `DcldmError`."""
        self.delivery = delivery or Delivery()
        self.folder = folder.expanduser().absolute()
        self.clip_folder = self.folder / "clips"
        self.render_folder = self.folder / "renders"
        self.index = (index or self.folder / "index.sqlite").expanduser().absolute()
        self._journal = Journal(self.folder / "marks.jsonl")
        self._lock = threading.RLock()
        with _sentence_for(self.folder):
            self.clip_folder.mkdir(parents=True, exist_ok=True)
            self.index.parent.mkdir(parents=True, exist_ok=True)
        with self._index_errors():
            self._connection = connect(self.index)
        try:
            if self._create_tables():
                self.rebuild()
        except BaseException:
            self.close()
            raise

    def adopt(self, variation: Variation, folder: Path | None = None) -> Clip:
        """Finish, name, tag, put in place and index one rendered take; the render itself is left alone.

        The file appears complete, under a name that nothing had, in `folder` or the library's own. Adopting
        the same take of the same request again returns the clip that there is. Raises `DcldmError`, and
        then nothing new is left behind.
        """
        present = self._same_take(variation)
        if present is not None:
            return present
        made = make_clip_file(variation, self.delivery)
        return self._put(made, variation.path, folder or self.clip_folder)

    def render_of(self, clip_id: str) -> Path:
        """The unfinished render of a clip. Raises `InvalidInput` if it was not kept."""
        path = self._kept(clip_id, ".wav")
        if not path.is_file():
            raise InvalidInput("The unfinished render of this clip was not kept; make it again instead.")
        return path

    def refinish(self, clip_id: str, settings: FinishSettings, folder: Path | None = None) -> Clip:
        """A new clip from the unfinished render of another, by other settings; nothing is rendered.

        Length, and whether it is a loop, stay as they were asked for. Raises `DcldmError`.
        """
        from dcldm_plugin.rights import rights_of

        clip = self._known(clip_id)
        record = self._record(clip_id)
        assert clip.request is not None  # the library lists nothing that has none
        later = {"ucs": asdict(self.delivery.ucs(clip.prompt.text)), "rights": asdict(rights_of(clip.request))}
        new = {**later, **record, "id": uuid.uuid4().hex, "created": datetime.now(UTC).isoformat()}
        request = record["request"]
        before = FinishSettings.from_json(record["finishing"])
        settings = replace(settings, seconds=request["seconds"], loop=request.get("loop", False), level=before.level)
        render = self.render_of(clip_id)
        return self._put(finish_file(render, new, settings, self.delivery), render, folder or self.clip_folder)

    def _put(self, made: ClipFile, render: Path, folder: Path) -> Clip:
        """Write a file under a name that nothing had, keep its render and record, and list it: all or nothing."""
        target = folder.expanduser().absolute()
        clip = to_clip(made.record, target)
        assert clip.ucs is not None and clip.request is not None
        stem = file_stem(self.delivery.stem(clip.ucs, clip.request, clip.index))
        with _sentence_for(target):
            target.mkdir(parents=True, exist_ok=True)
            path = _write_new(target, stem, made.content)
            try:
                with _sentence_for(self.render_folder):
                    self._keep(made.record, render)
                self._insert(made.record, path)
            except BaseException:
                path.unlink()
                self._forget(clip.id)
                raise
        return replace(clip, path=path)

    def _kept(self, clip_id: str, ending: str) -> Path:
        return self.render_folder / f"{clip_id}{ending}"

    def _keep(self, record: Mapping[str, Any], render: Path | None) -> None:
        """Put the whole record, and the render if there is a new one, beside the clips."""
        self.render_folder.mkdir(parents=True, exist_ok=True)
        if render is not None:
            part = self._kept(record["id"], ".wav.part")
            try:
                shutil.copyfile(render, part)
                os.replace(part, self._kept(record["id"], ".wav"))
            finally:
                part.unlink(missing_ok=True)
        part = self._kept(record["id"], ".json.part")
        try:
            part.write_text(json.dumps(record), encoding="ascii")
            os.replace(part, self._kept(record["id"], ".json"))
        finally:
            part.unlink(missing_ok=True)

    def _forget(self, clip_id: str) -> None:
        for ending in (".wav", ".json"):
            with contextlib.suppress(OSError):
                self._kept(clip_id, ending).unlink(missing_ok=True)

    def _record(self, clip_id: str) -> Mapping[str, Any]:
        rows = self._execute("SELECT record FROM clips WHERE id = ?", [clip_id])
        record: Mapping[str, Any] = json.loads(rows[0][0])
        return record

    def record_at(self, path: Path) -> Mapping[str, Any]:
        """What a file says of itself, or what was kept of it where it may not say so. Raises `DcldmError`."""
        clip_id = kept_id(path)
        if not clip_id:
            return read_record(path)
        try:
            record = json.loads(self._kept(clip_id, ".json").read_text(encoding="ascii"))
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{path} was delivered without its record, which is not kept here.") from error
        return check_record(record, path)

    def get(self, clip_id: str) -> Clip | None:
        """The clip of that id, or None."""
        found = self._select("WHERE clips.id = ?", [clip_id])
        return found[0] if found else None

    def clips(
        self,
        *,
        text: str = "",
        request_id: str | None = None,
        favourite: bool | None = None,
        min_rating: int = 0,
        rejected: bool | None = False,
        limit: int = 200,
        offset: int = 0,
    ) -> list[Clip]:
        """Clips, newest first. Of `favourite` and `rejected`, None means either.

        text: each of its words begins a word of the prompt, the negative prompt, the file name or the notes, in
        any case, with or without accents.
        """
        where, values = _conditions(text, request_id, favourite, min_rating, rejected)
        # Which ones comes first, so that only their records are read, and never sorted.
        page = f"SELECT number FROM clips {where} ORDER BY {_NEWEST_FIRST} LIMIT ? OFFSET ?"
        tail = f"WHERE number IN ({page}) ORDER BY {_NEWEST_FIRST}"
        return self._select(tail, [*values, max(0, limit), max(0, offset)])

    def groups(
        self,
        *,
        text: str = "",
        favourite: bool | None = None,
        min_rating: int = 0,
        rejected: bool | None = False,
        limit: int = 50,
        offset: int = 0,
    ) -> list[list[Clip]]:
        """Clips as in `clips`, those of one request together in their order; the newest request first."""
        where, values = _conditions(text, None, favourite, min_rating, rejected)
        order = "GROUP BY request_id ORDER BY max(created) DESC, request_id LIMIT ? OFFSET ?"
        page = f"SELECT request_id FROM clips {where} {order}"
        requests = [row[0] for row in self._execute(page, [*values, max(0, limit), max(0, offset)])]
        one_of = f"request_id IN ({', '.join('?' * len(requests))})"
        tail = f"{where} AND {one_of}" if where else f"WHERE {one_of}"
        found: dict[str, list[Clip]] = {request_id: [] for request_id in requests}
        for clip in self._select(f"{tail} ORDER BY variation, created, clips.id", [*values, *requests]):
            found[clip.request_id].append(clip)
        return list(found.values())

    def mark(
        self,
        clip_id: str,
        *,
        favourite: bool | None = None,
        rating: int | None = None,
        rejected: bool | None = None,
        placed: bool | None = None,
        notes: str | None = None,
    ) -> Clip:
        """Say something of a clip; what is left out stays as it is. Raises `DcldmError`, then nothing changed."""
        given = {"favourite": favourite, "rating": rating, "rejected": rejected, "placed": placed, "notes": notes}
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        with self._transaction():
            clip = self._known(clip_id)
            marks = replace(clip.marks, **changes)
            if marks != clip.marks:
                self._set_marks(clip_id, marks)
                self._index_words(self._record(clip_id), clip.path, marks.notes)
                with _sentence_for(self.folder):
                    self._journal.append(clip_id, marks)
        return replace(clip, marks=marks)

    def rename(self, clip_id: str, name: str) -> Clip:
        """Give the file of a clip another name, numbered if it is taken. Raises `DcldmError`.

        The blocks of a name by UCS go into its metadata too. A file that was placed stays beside the new one,
        since a project refers to it.
        """
        clip = self._known(clip_id)
        stem = file_stem(name)
        if stem == clip.path.stem:
            return clip
        ucs = parse_name(stem, self.delivery.table())
        record = dict(self._record(clip_id))
        with _sentence_for(clip.path.parent):
            content = clip.path.read_bytes()
            if ucs is not None and clip.rights is not None:  # an earlier file keeps its metadata
                made = renamed(clip.path, record, ucs, self.delivery)
                content, record = made.content, dict(made.record)
            path = _write_new(clip.path.parent, stem, content)
            try:
                with self._transaction():
                    values = [str(path), json.dumps(record), clip_id]
                    self._execute("UPDATE clips SET path = ?, record = ? WHERE id = ?", values)
                    self._index_words(record, path, clip.marks.notes)
                    self._keep(record, None)
            except BaseException:
                path.unlink()
                raise
            if not clip.marks.placed:
                with contextlib.suppress(OSError):  # somebody plays it: then there are two
                    clip.path.unlink()
        return replace(clip, path=path, ucs=ucs or clip.ucs)

    def empty_rejected(self) -> int:
        """Delete the files of rejected clips that were never placed; return how many."""
        gone = 0
        for clip in self.clips(rejected=True, limit=2**31):
            if not clip.marks.placed:
                with _sentence_for(clip.path.parent):
                    clip.path.unlink(missing_ok=True)
                self._execute("DELETE FROM clips WHERE id = ?", [clip.id])
                self._forget(clip.id)
                gone += 1
        return gone

    def rebuild(self) -> int:
        """Make the index anew from the WAV files themselves; returns how many clips it lists.

        Looks through the library's folder, with all below it, and the other folders that clips were put in.
        WAV files that are not ours or are damaged are passed over, and their number is logged. Clips in a
        folder that cannot be reached now (a drive that is unplugged) stay listed.
        """
        listed = {Path(path): clip_id for clip_id, path in self._execute("SELECT id, path FROM clips")}
        elsewhere = {path.parent for path in listed if not path.is_relative_to(self.clip_folder)}
        files = set(_wave_files(self.clip_folder.rglob("*")))
        for folder in elsewhere:
            files.update(_wave_files(folder.glob("*")))
        found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        # Where two files carry one id (somebody made a copy), the one that the index knew keeps it.
        for path in sorted(files, key=lambda path: (path not in listed, path)):
            with contextlib.suppress(DcldmError):
                record = self.record_at(path)
                found.setdefault(record["id"], (path, record))
        with self._transaction():
            for path, clip_id in listed.items():
                if path.parent.is_dir():
                    self._execute("DELETE FROM clips WHERE id = ?", [clip_id])
            with _sentence_for(self.folder):
                marks = self._journal.read()
                for clip_id, known in marks.items():
                    self._set_marks(clip_id, known)
                for path, record in sorted(found.values(), key=lambda each: str(each[1]["created"])):
                    self._insert(record, path, marks.get(record["id"], Marks()).notes)
                self._journal.compact(marks)
        _log.info("index rebuilt: %d clips, %d other WAV files skipped", len(found), len(files) - len(found))
        return int(self._execute("SELECT count(*) FROM clips")[0][0])

    def close(self) -> None:
        """Let go of the index. The library cannot be used afterwards; closing twice is harmless."""
        with self._lock:
            self._connection.close()

    def _create_tables(self) -> bool:
        """Make what is missing; whether anything was. One of several processes that start at once does it.

        An index of an earlier form is made anew from what it knows, and what its files add.
        """
        with self._transaction():
            columns = {row[1] for row in self._execute("PRAGMA table_info(clips)")}
            if "number" in columns:
                return False
            earlier = self._execute("SELECT record, path FROM clips ORDER BY created") if columns else []
            if columns:
                self._execute("DROP TABLE clips")
            for statement in _SCHEMA:
                self._execute(statement)
            for record, path in earlier:
                self._insert(json.loads(record), Path(path))
        return True

    def _same_take(self, variation: Variation) -> Clip | None:
        request = variation.request
        wanted = (request.prompt, variation.seeds, request.model, variation.model_version, variation.sampling)
        for clip in self.clips(request_id=request.id, rejected=None):
            made = (clip.prompt, clip.seeds, clip.model, clip.model_version, clip.sampling)
            if clip.index == variation.index and made == wanted and clip.path.is_file():
                return clip
        return None

    def _known(self, clip_id: str) -> Clip:
        clip = self.get(clip_id)
        if clip is None:
            raise InvalidInput(f"There is no clip {clip_id[:64]!r} in the library; look at its list.")
        return clip

    def _insert(self, record: Mapping[str, Any], path: Path, notes: str = "") -> None:
        request = record["request"]
        row = [record["id"], str(path), request["id"], record["index"], record["created"], json.dumps(record)]
        with self._transaction():
            self._execute(
                """INSERT INTO clips (id, path, request_id, variation, created, record) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET path = excluded.path, request_id = excluded.request_id,
                variation = excluded.variation, created = excluded.created, record = excluded.record""",
                row,
            )
            self._index_words(record, path, notes)

    def _index_words(self, record: Mapping[str, Any], path: Path, notes: str) -> None:
        """What a clip is found by: its words, its file's name, its category."""
        prompt = record["request"]["prompt"]
        row = self.delivery.table().rows.get(record.get("ucs", {}).get("cat_id", ""))
        tags = f"{row.category} {row.sub_category}" if row else ""
        words = _fold(f"{prompt['text']} {prompt['negative']} {path.stem} {tags} {notes}")
        self._execute(
            "INSERT OR REPLACE INTO clip_words (rowid, words) SELECT number, ? FROM clips WHERE id = ?",
            [words, record["id"]],
        )

    def _set_marks(self, clip_id: str, marks: Marks) -> None:
        row = [marks.favourite, marks.rating, marks.rejected, marks.placed, marks.notes]
        self._execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?, ?, ?, ?)", [clip_id, *row])

    def _select(self, tail: str, values: list[Any]) -> list[Clip]:
        rows = self._execute(f"SELECT {_COLUMNS} FROM {_JOINED} {tail}", values)
        return [_to_clip(*row) for row in rows]

    def _execute(self, statement: str, values: list[Any] | None = None) -> list[Any]:
        with self._lock, self._index_errors():
            return self._connection.execute(statement, values or []).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, one writer at a time; within another one it is part of that."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._execute("BEGIN IMMEDIATE")
            try:
                yield
                self._execute("COMMIT")
            except BaseException:
                with self._index_errors():
                    self._connection.rollback()
                raise

    @contextlib.contextmanager
    def _index_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            advice = "check that the disk has room and that the file is yours to write"
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:  # the low byte is the primary code
                advice = "move it away, and the next start makes it anew from the clips"
            sentence = f"The library's index {self.index} cannot be used ({error}); {advice}."
            raise DcldmError(sentence) from error


def file_stem(name: str) -> str:
    """A name that every file system takes, as it was given. Raises `InvalidInput` for one that none would."""
    stem = unicodedata.normalize("NFC", name.strip().removesuffix(".wav"))
    if not stem or len(stem.encode("utf-8", "replace")) > MAX_STEM_BYTES:
        raise InvalidInput(f"A clip's name has 1 to {MAX_STEM_BYTES} letters; give another one.")
    bad = sorted({c for c in stem if c in '<>:"/\\|?*' or unicodedata.category(c) in {"Cc", "Cs"}})
    if bad or stem[-1] in ". " or stem[0] == "." or stem.split(".")[0].upper() in RESERVED:
        what = f" without {' '.join(bad)!r}" if bad else ""
        raise InvalidInput(f"No file can be called {stem[:60]!r} everywhere; choose a name{what}.")
    return stem


def _conditions(
    text: str, request_id: str | None, favourite: bool | None, min_rating: int, rejected: bool | None
) -> tuple[str, list[Any]]:
    """A WHERE clause over `clips`, and its values."""
    conditions: list[str] = []
    values: list[Any] = []
    words = _fold(text).split()
    # The full-text index knows beginnings of words. Signs, and scripts without spaces, are looked for one by one.
    if indexed := [word for word in words if word.isalnum() and not _WITHOUT_SPACES.search(word)]:
        conditions.append("number IN (SELECT rowid FROM clip_words WHERE words MATCH ?)")
        values.append(" AND ".join(f'"{word}"*' for word in indexed))
    for word in words:
        if word not in indexed:
            conditions.append("(SELECT instr(words, ?) FROM clip_words WHERE rowid = number)")
            values.append(word)
    if request_id is not None:
        conditions.append("request_id = ?")
        values.append(request_id)
    if min_rating:
        conditions.append("clips.id IN (SELECT id FROM marks WHERE rating >= ?)")
        values.append(min_rating)
    for mark, wanted in (("favourite", favourite), ("rejected", rejected)):
        if wanted is not None:
            conditions.append(f"clips.id {'' if wanted else 'NOT '}IN (SELECT id FROM marks WHERE {mark})")
    return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), values


def _to_clip(record: str, path: str, *marks: Any) -> Clip:
    favourite, rating, rejected, placed, notes = marks
    known = Marks(bool(favourite), rating or 0, bool(rejected), bool(placed), notes or "")
    return replace(to_clip(json.loads(record), Path(path)), marks=known)


def _write_new(folder: Path, name: str, content: bytes) -> Path:
    """Write a new file, named `name` or the first free `name_NN`: all of it or nothing."""
    for number in count(1):
        path = folder / (f"{name}.wav" if number == 1 else f"{name}_{number:02d}.wav")
        if not path.exists() and _write_if_free(path, content):
            return path
    raise AssertionError("numbers do not end")


def _write_if_free(path: Path, content: bytes) -> bool:
    """Whoever holds the `.part` file of a name owns the name, between processes and on any file system.

    So it is made exclusively, and only its holder may look whether the name is free, and take it.
    """
    part = path.with_name(path.name + ".part")
    try:
        file = part.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            is_free = not path.exists()
            if is_free:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if is_free:
            os.replace(part, path)
        else:
            part.unlink()
    except BaseException:
        part.unlink()
        raise
    return is_free


@contextlib.contextmanager
def _sentence_for(folder: Path) -> Iterator[None]:
    """What the system says when a folder cannot be written to, as a sentence."""
    try:
        str(folder).encode()  # file names that are not text cannot be told to a DAW, nor kept in the index
        yield
    except UnicodeEncodeError as error:
        raise DcldmError("The output folder's name is not valid Unicode; choose another folder.") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DcldmError(f"{folder} has no room left; free some or choose another folder.") from error
        reason = error.strerror or str(error)
        raise DcldmError(f"{folder} cannot be written to ({reason}); choose another folder.") from error


def _wave_files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.suffix.lower() == ".wav":
            with contextlib.suppress(UnicodeEncodeError):
                str(path).encode()
                yield path


def _fold(text: str) -> str:
    """One form for all ways to write a word: any case, with or without accents."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in apart if not unicodedata.combining(character))
