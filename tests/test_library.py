"""The library: adoption, search, rebuilding from the files, two processes at once, and what goes wrong."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from wavinfo import WavInfoReader

from dcldm_plugin.audio import wave
from dcldm_plugin.audio.clip_file import read_record
from dcldm_plugin.commands.show import describe
from dcldm_plugin.errors import DcldmError, EngineFailed, InvalidInput
from dcldm_plugin.library import Library
from dcldm_plugin.types import GenerationRequest, Sampling, Seeds, TimelineTarget, Variation

RATE = 16_000
MakeTake = Callable[..., Variation]
NAME = "RAIN_Heavy Rain On A Roof_ANON_DCLDM"
NOT_WRITABLE = r"cannot be written to \(.+\); choose another folder\."


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    with start_python(code, *arguments) as process:
        out, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe, env=environment)


TAKE_IN_CHILD = """
import sys
from pathlib import Path
from dcldm_plugin.library import Library
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import GenerationRequest, Sampling, Variation
def take(render, seconds=0.25):
    request = GenerationRequest.create("heavy rain", seconds=seconds, seed=7)
    return Variation(request, 0, Path(render), 16000, 1, "1.0", Sampling())
"""


def test_a_take_becomes_a_finished_clip(library: Library, make_take: MakeTake) -> None:
    take = make_take("Heavy rain, on a roof!")
    clip = library.adopt(take)
    assert clip.path == library.clip_folder / f"{NAME}.wav"
    info = soundfile.info(clip.path)
    assert (info.subtype, info.samplerate, info.frames) == ("PCM_24", 48_000, 12_000)
    assert (clip.seconds, clip.sample_rate, clip.channels) == (0.25, 48_000, 1)
    assert (clip.prompt, clip.seeds, clip.model) == (take.request.prompt, Seeds(7, 7), "builtin")
    assert (clip.request_id, clip.index) == (take.request.id, 0)
    assert library.get(clip.id) == clip
    assert library.clips() == [clip]
    assert take.path.exists()


def test_the_file_tells_its_history_to_an_independent_reader(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take("Glöckchen 🔔 مطر", negative="Musik", model="builtin"))
    read = WavInfoReader(str(clip.path), info_encoding="utf-8")
    assert read.bext.originator_ref == clip.id
    assert read.bext.description.startswith("Glockchen :bell: ")
    assert "model builtin 1.0; seeds 7 7" in read.bext.coding_history
    assert "A=PCM,F=48000,W=24,M=mono," in read.bext.coding_history
    assert read.info.title == "Glöckchen 🔔 مطر"
    record = json.loads(read.info.comment)
    again = GenerationRequest.from_json(record["request"])
    assert (again.prompt, again.seeds, again.model) == (clip.prompt, (clip.seeds,), clip.model)
    assert Sampling(**record["sampling"]) == Sampling("dpm", 12, 3.0)
    assert record["finishing"]["ceiling_dbtp"] == -1.0


def test_what_the_prompt_was_read_as_is_kept_and_shown(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(replace(make_take("logs on the hearth"), read_as="a crackling fire"))
    assert clip.read_as == "a crackling fire" and library.get(clip.id) == clip
    assert ("read as", "a crackling fire") in list(describe(clip, library.record_at(clip.path)))
    plain = library.adopt(make_take("a crackling fire"))
    assert plain.read_as == "" and "read as" not in dict(describe(plain, library.record_at(plain.path)))


def test_the_file_keeps_the_session_it_was_made_for_to_itself(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take(target=TimelineTarget("ardour", "secret-project", "Audio 1", 48_000)))
    assert b"secret-project" not in clip.path.read_bytes()


def test_the_checksum_is_of_the_sound_so_equal_requests_have_equal_ones(library: Library, make_take: MakeTake) -> None:
    first, second = library.adopt(make_take()), library.adopt(make_take())
    assert first.path != second.path
    assert first.sha256 == second.sha256
    content = first.path.read_bytes()
    assert hashlib.sha256(content[content.rindex(b"data") + 8 :]).hexdigest() == first.sha256


def test_one_variation_of_several_keeps_its_own_seeds(library: Library, make_take: MakeTake) -> None:
    take = replace(make_take(variations=3), index=2)
    clip = library.adopt(take)
    assert (clip.index, clip.seeds) == (2, Seeds(9, 9))
    assert clip.path.name == f"{NAME}.wav"


def test_names_that_are_taken_get_a_number(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{NAME}_02.wav").write_bytes(b"somebody else's")
    names = [library.adopt(make_take(), out).path.name for _ in range(3)]
    assert names == [f"{NAME}{end}.wav" for end in ("", "_03", "_04")]
    assert (out / f"{NAME}_02.wav").read_bytes() == b"somebody else's"


def test_a_name_that_another_process_is_writing_is_left_to_it(library: Library, make_take: MakeTake) -> None:
    (library.clip_folder / f"{NAME}.wav.part").write_bytes(b"half")
    assert library.adopt(make_take()).path.name == f"{NAME}_02.wav"


def test_the_same_take_is_adopted_once(library: Library, make_take: MakeTake) -> None:
    take = make_take()
    clip = library.adopt(take)
    assert library.adopt(take) == clip
    assert len(files_below(library.clip_folder)) == 1
    clip.path.unlink()
    assert library.adopt(take).path.exists()


def test_search_finds_all_words_in_any_case_and_script(library: Library, make_take: MakeTake) -> None:
    rain = library.adopt(make_take("Heavy Rain on a roof"))
    bell = library.adopt(make_take("kleine GLÖCKCHEN 100% 🔔", negative="Musik"))
    assert library.clips(text="roof heavy") == [rain]
    for text in ("glöckchen", "musik", "🔔", "100%", "%"):
        assert library.clips(text=text) == [bell]
    for text in ("glockchen", "MUSÍK", "glö mu", "🔔 kl", "kl 100"):
        assert library.clips(text=text) == [bell]
    for text in ("öckchen", '"', "gl*", "NOT rain", "🔔🔔"):
        assert library.clips(text=text) == []
    street = library.adopt(make_take("濡れた通りに遠い雷"))
    for text in ("通り", "雷", "濡れ 遠い"):
        assert library.clips(text=text) == [street]
    assert library.clips(text="rain bell") == library.clips(text="' OR 1=1 --") == []
    assert library.clips(request_id=rain.request_id) == [rain]
    assert library.clips(request_id="none") == []
    assert library.get("none") is None


def test_the_newest_come_first_in_pages(library: Library, make_take: MakeTake) -> None:
    adopted = [library.adopt(make_take(f"clip {number}")) for number in range(5)]
    assert library.clips() == adopted[::-1]
    assert library.clips(limit=2, offset=1) == [adopted[3], adopted[2]]
    assert library.clips(limit=0) == library.clips(offset=99) == []


def test_clips_survive_a_restart(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take())
    library.close()
    library.close()
    with contextlib.closing(Library(library.folder)) as again:
        assert again.clips() == [clip]


def test_the_index_is_rebuilt_from_the_files_alone(
    library: Library, make_take: MakeTake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prompts = ["rain", "مطر غزير", "🔔 bell", "Glöckchen"]
    before = [library.adopt(make_take(prompt, negative="no music")) for prompt in prompts][::-1]
    rows = sqlite_rows(library.index)
    shutil.copy(before[0].path, library.clip_folder / "the copy of one.WAV")
    soundfile.write(library.clip_folder / "foreign.wav", np.zeros(100), 48_000)
    (library.clip_folder / "broken.wav").write_bytes(before[0].path.read_bytes()[:900])
    (library.clip_folder / "half.wav.part").write_bytes(b"RIFF")
    (library.clip_folder / "folder.wav").mkdir()
    library.close()
    for file in library.folder.glob("index.sqlite*"):
        file.unlink()
    caplog.set_level(logging.INFO, "dcldm_plugin.library")
    with contextlib.closing(Library(library.folder)) as again:
        assert again.clips() == before
        assert sqlite_rows(again.index) == rows
        assert again.rebuild() == 4
        assert sqlite_rows(again.index) == rows
    assert "4 clips, 4 other WAV files skipped" in caplog.text


def sqlite_rows(index: Path) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(index)) as connection:
        return sorted(connection.execute("SELECT * FROM clips"))


def test_rebuilding_follows_what_happened_to_the_files(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    moved, deleted = library.adopt(make_take("moved")), library.adopt(make_take("deleted"))
    outside, unplugged = (library.adopt(make_take(name), tmp_path / name) for name in ("out", "usb"))
    (library.clip_folder / "birds").mkdir()
    new_path = moved.path.rename(library.clip_folder / "birds" / "mine.wav")
    deleted.path.unlink()
    (tmp_path / "usb").rename(tmp_path / "elsewhere")
    assert library.rebuild() == 3
    assert library.clips() == [unplugged, outside, replace(moved, path=new_path)]


def spoil(record: dict[str, object]) -> Iterator[dict[str, object]]:
    yield {}
    for name, value in [
        ("dcldm", 2), ("id", "../../x"), ("id", 5), ("created", "soon"), ("created", "2026-01-01T00:00:00"),
        ("created", 5), ("request", None), ("request", {}), ("request", []), ("index", 2**70), ("index", -1),
        ("index", 0.5), ("index", True), ("sampling", {"__class__": 1}), ("sampling", None), ("sha256", "x"),
        ("model_version", "x" * 300), ("sample_rate", 0), ("frames", 5), ("channels", 2),
    ]:  # fmt: skip
        yield record | {name: value}


def test_records_that_lie_are_refused(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    clip = library.adopt(make_take())
    good = dict(read_record(clip.path))
    comments = [json.dumps(record) for record in spoil(good)]
    comments += ["", "hello", "[" * 100_000, "9" * 5000, json.dumps(good)[:-1], '{"dcldm": NaN}']
    pcm = soundfile.read(clip.path, dtype="int32")[0].tobytes()[: 12_000 * 3]
    path = tmp_path / "bad.wav"
    for comment in comments:
        path.write_bytes(wave.encode_wave(pcm, 1, 48_000, {wave.INFO: wave.info_chunk({"ICMT": comment})}))
        with pytest.raises(InvalidInput):
            read_record(path)


def test_processes_write_at_once(make_take: MakeTake, tmp_path: Path) -> None:
    code = TAKE_IN_CHILD + (
        "library = Library(Path(sys.argv[1]))\nfor _ in range(12): library.adopt(take(sys.argv[2]))\nlibrary.close()\n"
    )
    home = tmp_path / "shared"
    children = [start_python(code, home, make_take().path) for _ in range(3)]
    for child in children:
        out, errors = child.communicate(timeout=60)
        assert (child.returncode, out, errors) == (0, "", "")
    with contextlib.closing(Library(home)) as together:
        clips = together.clips()
        assert len({clip.path for clip in clips}) == len({clip.id for clip in clips}) == 36
        assert len(files_below(together.clip_folder)) == 36
        assert all(read_record(clip.path)["id"] == clip.id for clip in clips)
        assert together.rebuild() == 36


def test_threads_share_one_library(library: Library, make_take: MakeTake) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                library.adopt(make_take())
                library.clips(text="rain")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(library.clips()) == len(files_below(library.clip_folder)) == 20


def test_a_render_that_cannot_be_read_gets_a_sentence(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    for content in (None, b"", b"RIFF\xff\xff\xff\xffWAVE"):
        if content is not None:
            broken.write_bytes(content)
        with pytest.raises(EngineFailed, match="render it again"):
            library.adopt(replace(make_take(), path=broken))
    assert files_below(library.clip_folder) == []


def test_a_render_of_no_numbers_leaves_nothing(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    bad = tmp_path / "nan.wav"
    soundfile.write(bad, np.full(100, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    with pytest.raises(EngineFailed, match="no numbers"):
        library.adopt(replace(make_take(), path=bad))
    assert files_below(library.clip_folder) == []
    assert library.clips() == []


def test_a_folder_that_is_a_file_gets_a_sentence(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(DcldmError, match=NOT_WRITABLE):
            library.adopt(make_take(), folder)
        with pytest.raises(DcldmError, match=NOT_WRITABLE):
            Library(folder)
    assert library.clips() == []


@pytest.mark.skipif(os.name != "posix", reason="folders have no such permissions")
def test_a_folder_without_permission_gets_a_sentence(library: Library, make_take: MakeTake, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):  # root may write there, but not into the kernel's own folder
        locked = Path("/sys/kernel")
    if not locked.is_dir():
        pytest.skip("root may write anywhere here")
    with pytest.raises(DcldmError, match=NOT_WRITABLE):
        library.adopt(make_take(), locked)
    assert files_below(library.clip_folder) == []
    assert library.clips() == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
@pytest.mark.parametrize("full", ["clip", "index"])
def test_a_full_disk_gets_a_sentence_and_leaves_nothing_half_written(
    library: Library, make_take: MakeTake, tmp_path: Path, full: str
) -> None:
    """A limit on file size stands for a full disk: writing fails part-way, in the clip or in the index."""
    kept = library.adopt(make_take())
    code = TAKE_IN_CHILD + (
        "import resource\n"
        "library = Library(Path(sys.argv[1]))\n"
        "log = library.index.with_name(library.index.name + '-wal')\n"
        "limit = 20_000 if sys.argv[3] == 'clip' else max(40_000, log.stat().st_size)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "failures = 0\n"
        "for _ in range(40):\n"
        "    try: library.adopt(take(sys.argv[2], 0.25 if sys.argv[3] == 'clip' else 0.1))\n"
        "    except DcldmError as error: failures += 1; sentence = str(error)\n"
        "print(failures, sentence)\n"
        "print(len(library.clips()))\n"
    )
    done = run_python(code, library.folder, make_take().path, full)
    assert (done.stderr, done.returncode) == ("", 0)
    first, listed = done.stdout.splitlines()
    assert ("has no room left" if full == "clip" else "check that the disk has room") in first
    assert int(first.split()[0]) > 0
    names = files_below(library.clip_folder)
    assert len(names) == int(listed) == len(library.clips())
    assert all(name.endswith(".wav") for name in names)
    assert library.get(kept.id) == kept
    assert library.rebuild() == len(names)


def test_a_damaged_index_gets_a_sentence_and_is_made_anew_without_it(library: Library, make_take: MakeTake) -> None:
    clip = library.adopt(make_take())
    library.close()
    for file in library.folder.glob("index.sqlite-*"):
        file.unlink()
    library.index.write_bytes(b"no database at all" * 1000)
    with pytest.raises(DcldmError, match="move it away"):
        Library(library.folder)
    library.index.rename(library.folder / "damaged")
    with contextlib.closing(Library(library.folder)) as again:
        assert again.clips() == [clip]


def test_the_index_may_be_elsewhere_and_hold_other_tables(make_take: MakeTake, tmp_path: Path) -> None:
    index = tmp_path / "state" / "index.sqlite"
    index.parent.mkdir()
    with contextlib.closing(sqlite3.connect(index)) as connection:
        connection.execute("CREATE TABLE jobs (id)")
        connection.commit()
    with contextlib.closing(Library(tmp_path / "library", index)) as library:
        library.adopt(make_take())
        library.rebuild()
        with contextlib.closing(sqlite3.connect(index)) as connection:
            assert connection.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    assert not (tmp_path / "library" / "index.sqlite").exists()


def test_opening_the_library_imports_nothing_heavy() -> None:
    heavy = {"numpy", "soxr", "soundfile", "anyascii", "torch"}
    code = f"import sys, dcldm_plugin.library\nprint(sorted({heavy} & sys.modules.keys()))"
    assert run_python(code).stdout == "[]\n"
