"""What a user says of clips: favourites, ratings, rejects, notes and names; kept through everything."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.library import Library
from dcldm_plugin.marks import Journal
from dcldm_plugin.types import Marks, Variation

MakeTake = Callable[..., Variation]


def test_marks_are_kept_and_searched_by(library: Library, make_take: MakeTake) -> None:
    rain, bell, door = (library.adopt(make_take(text)) for text in ("rain", "bell", "door"))
    assert rain.marks == Marks()
    library.mark(rain.id, favourite=True, rating=4)
    library.mark(bell.id, rating=2, notes="for the Abbey scene")
    library.mark(door.id, rejected=True)
    assert [clip.id for clip in library.clips()] == [bell.id, rain.id]
    assert [clip.id for clip in library.clips(rejected=True)] == [door.id]
    assert len(library.clips(rejected=None)) == 3
    assert [clip.id for clip in library.clips(favourite=True)] == [rain.id]
    assert [clip.id for clip in library.clips(favourite=False)] == [bell.id]
    assert [clip.id for clip in library.clips(min_rating=2)] == [bell.id, rain.id]
    assert [clip.id for clip in library.clips(text="abbey")] == [bell.id]
    library.mark(bell.id, notes="")
    assert library.clips(text="abbey") == []
    assert library.mark(door.id, rejected=False) == library.get(door.id)
    assert len(library.clips()) == 3
    with contextlib.closing(Library(library.folder)) as again:
        assert again.clips() == library.clips()


def test_marks_outlive_a_lost_index(library: Library, make_take: MakeTake) -> None:
    clips = [library.adopt(make_take(str(number))) for number in range(4)]
    library.mark(clips[0].id, favourite=True)
    library.mark(clips[0].id, rating=5, notes="two\nlines")
    library.mark(clips[1].id, rejected=True)
    before = library.clips(rejected=None)
    library.close()
    for file in library.folder.glob("index.sqlite*"):
        file.unlink()
    with contextlib.closing(Library(library.folder)) as again:
        assert again.clips(rejected=None) == before
        assert again.clips(text="lines")[0].marks == Marks(favourite=True, rating=5, notes="two\nlines")
        assert again.rebuild() == 4
        assert again.clips(rejected=None) == before
        assert len((library.folder / "marks.jsonl").read_text().splitlines()) == 2


def test_a_damaged_journal_loses_only_its_damaged_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "marks.jsonl")
    assert journal.read() == {}
    journal.append("a", Marks(favourite=True))
    with journal.file.open("ab") as file:
        file.write(b'{"id": "b", "rat')
    journal.append("c", Marks(rating=3))
    with journal.file.open("ab") as file:
        file.write(b'\n[]\n{"id": 5}\n{"id": "d", "rating": 9}\n\xff\xfe\n')
    assert journal.read() == {"a": Marks(favourite=True), "c": Marks(rating=3)}


@pytest.mark.parametrize(
    "bad", [{"rating": 6}, {"rating": -1}, {"rating": 2.5}, {"favourite": 1}, {"notes": "x" * 4001}, {"notes": "a\x00"}]
)
def test_marks_that_cannot_be_are_refused(library: Library, make_take: MakeTake, bad: dict[str, object]) -> None:
    clip = library.adopt(make_take())
    with pytest.raises(InvalidInput):
        library.mark(clip.id, **bad)  # type: ignore[arg-type]
    assert library.get(clip.id) == clip


def test_what_is_not_there_cannot_be_marked(library: Library) -> None:
    with pytest.raises(InvalidInput, match="no clip"):
        library.mark("nothing", favourite=True)
    with pytest.raises(InvalidInput, match="no clip"):
        library.rename("nothing", "name")


def test_clips_of_one_request_are_one_group(library: Library, make_take: MakeTake) -> None:
    from dataclasses import replace

    first = make_take("rain", variations=3)
    of_first = [library.adopt(replace(first, index=index)) for index in (2, 0)]
    alone = library.adopt(make_take("bell"))
    of_first.append(library.adopt(replace(first, index=1)))
    assert library.groups() == [[of_first[1], of_first[2], of_first[0]], [alone]]
    assert library.groups(limit=1, offset=1) == [[alone]]
    library.mark(of_first[0].id, rejected=True)
    assert library.groups(text="rain") == [[of_first[1], of_first[2]]]


def test_renaming_moves_the_file_and_what_it_is_found_by(library: Library, make_take: MakeTake) -> None:
    clip, other = library.adopt(make_take("rain")), library.adopt(make_take("wind"))
    named = library.rename(clip.id, "WEATRain_Roof Heavy_JD_DCLDM.wav")
    assert named.path == library.clip_folder / "WEATRain_Roof Heavy_JD_DCLDM.wav"
    assert read_record(named.path)["id"] == clip.id
    assert not clip.path.exists()
    assert library.clips(text="roof") == [named] == [library.get(clip.id)]
    assert library.rename(other.id, named.path.stem).path.stem == f"{named.path.stem}_02"
    assert library.rename(named.id, named.path.stem) == named
    assert library.rebuild() == 2


def test_a_placed_file_stays_where_a_project_looks_for_it(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take())
    library.mark(clip.id, placed=True, rejected=True)
    named = library.rename(clip.id, "better")
    assert clip.path.exists() and named.path.exists()
    assert library.empty_rejected() == 0
    assert named.path.exists()


def test_emptying_deletes_only_what_was_rejected(library: Library, make_take: MakeTake) -> None:
    kept, gone = library.adopt(make_take("kept")), library.adopt(make_take("gone"))
    library.mark(gone.id, rejected=True)
    assert library.empty_rejected() == 1
    assert library.clips(rejected=None) == [kept]
    assert not gone.path.exists()


@pytest.mark.parametrize("name", ["", " ", "a/b", "..", "x" * 201, "CON", "a:b", "name.", "a\x07", "nul.tar"])
def test_names_that_not_every_system_takes_are_refused(library: Library, make_take: MakeTake, name: str) -> None:
    clip = library.adopt(make_take())
    with pytest.raises(InvalidInput):
        library.rename(clip.id, name)
    assert library.get(clip.id) == clip and clip.path.exists()


def test_an_earlier_index_is_carried_over(library: Library, make_take: MakeTake) -> None:
    clips = [library.adopt(make_take(text)) for text in ("rain", "bell")]
    library.close()
    with contextlib.closing(sqlite3.connect(library.index)) as connection:
        rows = connection.execute(
            "SELECT id, path, request_id, variation, created, '', record FROM clips ORDER BY number"
        ).fetchall()
        connection.executescript("""
            DROP TABLE clips; DROP TABLE clip_words; DROP TABLE marks;
            CREATE TABLE clips (
                id TEXT PRIMARY KEY, path TEXT NOT NULL, request_id TEXT NOT NULL, variation INTEGER NOT NULL,
                created TEXT NOT NULL, words TEXT NOT NULL, record TEXT NOT NULL);
            CREATE INDEX clips_by_time ON clips (created DESC, request_id, variation DESC, id);
            CREATE INDEX clips_by_request ON clips (request_id);
        """)
        connection.executemany("INSERT INTO clips VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    with contextlib.closing(Library(library.folder)) as again:
        assert again.clips() == clips[::-1]
        assert again.clips(text="bell") == [clips[1]]
        assert again.mark(clips[0].id, rating=1).marks.rating == 1


MARK_IN_CHILD = """
import sys
from pathlib import Path
from dcldm_plugin.library import Library
from dcldm_plugin.errors import DcldmError
library = Library(Path(sys.argv[1]))
"""


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MARK_IN_CHILD + code, *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_processes_mark_at_once(library: Library, make_take: MakeTake) -> None:
    clips = [library.adopt(make_take(str(number))) for number in range(10)]
    code = "for clip in library.clips(): library.mark(clip.id, **{sys.argv[2]: eval(sys.argv[3])})"
    children = [
        run_python(code, library.folder, *change) for change in (("rating", 3), ("favourite", True), ("notes", "'x'"))
    ]
    for child in children:
        assert child.communicate(timeout=120) == ("", "")
    wanted = Marks(favourite=True, rating=3, notes="x")
    assert [clip.marks for clip in library.clips()] == [wanted] * len(clips)
    assert library.rebuild() == 10
    assert [clip.marks for clip in library.clips()] == [wanted] * len(clips)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_full_disk_keeps_the_marks_that_were_there(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take())
    library.mark(clip.id, favourite=True)
    code = """
import resource
limit = (library.folder / "marks.jsonl").stat().st_size + 20
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try: library.mark(sys.argv[2], rating=5)
except DcldmError as error: print(error)
"""
    with run_python(code, library.folder, clip.id) as child:
        said, errors = child.communicate(timeout=120)
    assert errors == "" and ("room" in said)
    marks = Marks(favourite=True)
    known = library.get(clip.id)
    assert known is not None and known.marks == marks
    lines = [json.loads(line) for line in (library.folder / "marks.jsonl").read_text().split("\n") if line]
    assert len(lines) == 1
    library.rebuild()
    assert [clip.marks for clip in library.clips()] == [marks]


def test_a_journal_that_cannot_be_written_gets_a_sentence(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take())
    (library.folder / "marks.jsonl").mkdir()
    with pytest.raises(DcldmError, match="cannot be written to"):
        library.mark(clip.id, favourite=True)
    assert library.get(clip.id) == clip
