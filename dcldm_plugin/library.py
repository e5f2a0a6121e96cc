"""The clips on disk, and a searchable index of them that can be rebuilt from the files alone.

The WAV files are the truth: each carries a record of all that made it (`audio.clip_file`). The index is
SQLite in WAL mode, and holds the same record beside what is searched and sorted by. Any number of threads
and processes may use one library at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import re
import sqlite3
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from dcldm_plugin.audio.clip_file import make_clip_file, read_record, to_clip
from dcldm_plugin.audio.wave import to_ascii
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import Clip, Variation

SLUG_CHARACTERS = 48
BUSY_SECONDS = 30.0  # how long to wait for another process that writes the index
_SCHEMA = (
    """CREATE TABLE clips (
        id TEXT PRIMARY KEY, path TEXT NOT NULL, request_id TEXT NOT NULL, variation INTEGER NOT NULL,
        created TEXT NOT NULL, words TEXT NOT NULL, record TEXT NOT NULL)""",
    "CREATE INDEX clips_by_time ON clips (created DESC, request_id, variation DESC, id)",
    "CREATE INDEX clips_by_request ON clips (request_id)",
)
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_DAMAGED = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_log = logging.getLogger(__name__)


class Library:
    """Finished clips: adopted from renders, found again by words or by request."""

    def __init__(self, folder: Path, index: Path | None = None) -> None:
        """Open or make the library in `folder`. A lost index is rebuilt. Raises `DcldmError`."""
        self.folder = folder.expanduser().absolute()
        self.clip_folder = self.folder / "clips"
        self.index = (index or self.folder / "index.sqlite").expanduser().absolute()
        self._lock = threading.RLock()
        with _sentence_for(self.folder):
            self.clip_folder.mkdir(parents=True, exist_ok=True)
            self.index.parent.mkdir(parents=True, exist_ok=True)
        with self._index_errors():
            self._connection = sqlite3.connect(
                self.index, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        try:
            self._execute("PRAGMA journal_mode = WAL")
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
        target = (folder or self.clip_folder).expanduser().absolute()
        made = make_clip_file(variation)
        name = f"{slug(variation.request.prompt.text)}_{variation.seeds.texture}"
        with _sentence_for(target):
            target.mkdir(parents=True, exist_ok=True)
            path = _write_new(target, name, made.content)
            try:
                self._insert(made.record, path)
            except BaseException:
                path.unlink()
                raise
        return to_clip(made.record, path)

    def get(self, clip_id: str) -> Clip | None:
        """The clip of that id, or None."""
        found = self._select("WHERE id = ?", [clip_id])
        return found[0] if found else None

    def clips(self, *, text: str = "", request_id: str | None = None, limit: int = 200, offset: int = 0) -> list[Clip]:
        """Clips, newest first, whose prompt, negative prompt and file name hold every word of `text`."""
        values: list[Any] = _fold(text).split()
        conditions = ["instr(words, ?)"] * len(values)
        if request_id is not None:
            conditions.append("request_id = ?")
            values.append(request_id)
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        order = "ORDER BY created DESC, request_id, variation DESC, id LIMIT ? OFFSET ?"
        return self._select(where + order, [*values, max(0, limit), max(0, offset)])

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
                record = read_record(path)
                found.setdefault(record["id"], (path, record))
        with self._transaction():
            for path, clip_id in listed.items():
                if path.parent.is_dir():
                    self._execute("DELETE FROM clips WHERE id = ?", [clip_id])
            for path, record in found.values():
                self._insert(record, path)
        _log.info("index rebuilt: %d clips, %d other WAV files skipped", len(found), len(files) - len(found))
        return int(self._execute("SELECT count(*) FROM clips")[0][0])

    def close(self) -> None:
        """Let go of the index. The library cannot be used afterwards; closing twice is harmless."""
        with self._lock:
            self._connection.close()

    def _create_tables(self) -> bool:
        """Make what is missing; whether anything was. One of several processes that start at once does it."""
        with self._transaction():
            missing = not self._execute("SELECT 1 FROM sqlite_master WHERE name = 'clips'")
            for statement in _SCHEMA if missing else ():
                self._execute(statement)
        return missing

    def _same_take(self, variation: Variation) -> Clip | None:
        request = variation.request
        wanted = (request.prompt, variation.seeds, request.model, variation.model_version, variation.sampling)
        for clip in self.clips(request_id=request.id):
            made = (clip.prompt, clip.seeds, clip.model, clip.model_version, clip.sampling)
            if clip.index == variation.index and made == wanted and clip.path.is_file():
                return clip
        return None

    def _insert(self, record: Mapping[str, Any], path: Path) -> None:
        request = record["request"]
        words = _fold(f"{request['prompt']['text']} {request['prompt']['negative']} {path.stem}")
        row = [record["id"], str(path), request["id"], record["index"], record["created"], words]
        self._execute("INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?, ?, ?, ?)", [*row, json.dumps(record)])

    def _select(self, tail: str, values: list[Any]) -> list[Clip]:
        rows = self._execute(f"SELECT record, path FROM clips {tail}", values)
        return [to_clip(json.loads(record), Path(path)) for record, path in rows]

    def _execute(self, statement: str, values: list[Any] | None = None) -> list[Any]:
        with self._lock, self._index_errors():
            return self._connection.execute(statement, values or []).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
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


def slug(prompt: str) -> str:
    """A prompt as part of a file name: its first words in lower-case ASCII, joined by hyphens, or `clip`."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"['`]", "", to_ascii(prompt).lower()))
    name = words[0][:SLUG_CHARACTERS] if words else "clip"
    for word in words[1:]:
        if len(name) + 1 + len(word) > SLUG_CHARACTERS:
            break
        name += f"-{word}"
    return name


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
    return unicodedata.normalize("NFKC", text).casefold()
