from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bridge import install
from bridge.ardour import ArdourHost, job_text
from bridge.host import Hello, HostError, News, Placed, PlacingFailed
from bridge.table import TABLE
from dcldm_plugin.types import Clip, Prompt, Sampling, Seeds, TimelineTarget

TARGET = TimelineTarget("ardour", "song", "Track 1", 123_457, 48_000)
TYPES = {"text": "s", "number": "fid", "whole": "id"}


def make_clip(folder: Path, index: int) -> Clip:
    path = folder / f"rain [{index}] = 'x'.wav"
    path.write_bytes(b"sound")
    return Clip(
        id=f"clip{index}",
        path=path,
        prompt=Prompt("heavy rain on a roof that is made of tin and very old"),
        seeds=Seeds(index, index),
        model="tone",
        model_version="1",
        sampling=Sampling(),
        request_id="job-1",
        index=index,
        seconds=1.0,
        sample_rate=48_000,
        channels=1,
        sha256="",
        created="",
    )


class Script(threading.Thread):
    """What the script inside Ardour does with the spool folder, in Python: takes jobs and answers them."""

    def __init__(self, host: ArdourHost, spool: Path, answers: list[str]) -> None:
        super().__init__(daemon=True)
        self.host, self.spool = host, spool
        self.answers = answers  # one for each time that a job is taken: place, silence or fail
        self.jobs: list[dict[str, str]] = []
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.01):
            try:
                text = (self.spool / "place.txt").read_text(encoding="utf-8")
            except OSError:
                continue
            self.jobs.append(dict(line.split("=", 1) for line in text.splitlines()))
            self.answer(self.jobs[-1], self.answers[min(len(self.jobs), len(self.answers)) - 1])
            (self.spool / "place.txt").unlink(missing_ok=True)

    def answer(self, job: dict[str, str], how: str) -> None:
        if how == "fail":
            self.host.hear(PlacingFailed(job["job"], "Ardour has no room."))
        if how != "place":
            return
        for number, clip in enumerate(clips_of(job), 1):
            self.host.hear(Placed(clip["job"], clip["id"], f"region {number}", clip["track"], int(clip["position"])))


def clips_of(job: dict[str, str]) -> list[dict[str, str]]:
    """What the script reads of each clip."""
    rows = [job[f"clip{number}"] for number in range(1, int(job["clips"]) + 1)]
    return [dict(field.split("=", 1) for field in row.split("\t")) for row in rows]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[ArdourHost]:
    one = ArdourHost(tmp_path / "spool", timeout_seconds=1.0)
    one.start()
    yield one
    one.stop()
    assert list((tmp_path / "spool").iterdir()) == []


def run_script(host: ArdourHost, tmp_path: Path, *answers: str) -> Script:
    script = Script(host, tmp_path / "spool", list(answers))
    script.start()
    return script


def end(script: Script) -> None:
    script.ended.set()
    script.join()


def test_every_clip_is_told_and_confirmed(host: ArdourHost, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path, index) for index in range(3)]
    script = run_script(host, tmp_path, "place")
    placements = host.place(clips, TARGET)
    end(script)
    assert [(p.clip_id, p.item, p.track, p.position) for p in placements] == [
        (f"clip{index}", f"region {index + 1}", "Track 1", 123_457) for index in range(3)
    ]
    job = script.jobs[0]
    told = clips_of(job)
    assert told[1]["path"] == clips[1].path.as_posix()
    assert (job["project"], told[0]["track"], told[0]["timeline_rate"]) == ("song", "Track 1", "48000")
    assert [clip["alternate"] for clip in told] == ["0", "1", "1"]


def test_a_run_is_told_in_one_piece(host: ArdourHost, tmp_path: Path) -> None:
    script = run_script(host, tmp_path, "place")
    first, second = (replace(make_clip(tmp_path, index), request_id=f"job-{index}") for index in range(2))
    run = replace(TARGET, track="", run="sheet")
    placements = host.place_run([([first], run), ([second], replace(run, position=7, track="Doors"))])
    end(script)
    assert [placement.clip_id for placement in placements] == ["clip0", "clip1"]
    assert script.jobs[0]["step"] == "Spot: 2 cues"
    told = [(clip["job"], clip["track"], clip["position"], clip["alternate"]) for clip in clips_of(script.jobs[0])]
    assert told == [("job-0", "Cues", "123457", "0"), ("job-1", "Doors", "7", "0")]


def test_another_take_is_chosen(host: ArdourHost, tmp_path: Path) -> None:
    clips = [make_clip(tmp_path, index) for index in range(2)]
    with pytest.raises(HostError, match="does not have 'song' open"):
        host.choose(clips, 1, TARGET)
    host.hear(Hello("song", 48_000))
    host.choose(clips, 1, TARGET)
    text = (tmp_path / "spool" / "choose.txt").read_text(encoding="utf-8")
    told = clips_of(dict(line.split("=", 1) for line in text.splitlines()))
    assert [clip["alternate"] for clip in told] == ["1", "0"]


def test_markers_come_as_a_cue_sheet(host: ArdourHost, tmp_path: Path) -> None:
    host.hear(Hello("song / 1", 48_000))
    spool = tmp_path / "spool"

    def script() -> None:
        while not (spool / "markers.txt").exists():
            time.sleep(0.01)
        (spool / "markers.csv").write_text((spool / "markers.txt").read_text(encoding="utf-8"))

    thread = threading.Thread(target=script)
    thread.start()
    sheet = host.cue_sheet()
    thread.join()
    assert (sheet.name, sheet.read_text()) == ("song - 1 markers.csv", "project=song / 1\n")
    sheet.unlink()


def test_a_lost_confirmation_is_asked_for_again(tmp_path: Path) -> None:
    host = ArdourHost(tmp_path / "spool", timeout_seconds=30.0, resend_seconds=0.2)
    script = run_script(host, tmp_path, "silence", "place")
    assert len(host.place([make_clip(tmp_path, 0)], TARGET)) == 1
    end(script)
    assert len(script.jobs) >= 2 and script.jobs[0] == script.jobs[1]


def test_no_answer_is_a_sentence_and_leaves_no_job_behind(host: ArdourHost, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="did not answer within 1 s; open the session 'song'"):
        host.place([make_clip(tmp_path, 0)], TARGET)
    assert not (tmp_path / "spool" / "place.txt").exists()


def test_another_session_is_named(host: ArdourHost, tmp_path: Path) -> None:
    host.hear(Hello("other song", 48_000))
    described = host.describe()
    assert described["connected"] is True
    assert described["sessions"] == {"other song": asdict(Hello("other song", 48_000))}
    with pytest.raises(HostError, match="'other song' open, and the clips belong to 'song'"):
        host.place([make_clip(tmp_path, 0)], TARGET)


def test_ardour_says_why_it_can_not(host: ArdourHost, tmp_path: Path) -> None:
    script = run_script(host, tmp_path, "fail")
    with pytest.raises(HostError, match=r"Ardour has no room\."):
        host.place([make_clip(tmp_path, 0)], TARGET)
    end(script)


def test_stopping_ends_the_wait(tmp_path: Path) -> None:
    host = ArdourHost(tmp_path / "spool", timeout_seconds=60.0)
    host.start()
    threading.Timer(0.2, host.stop).start()
    with pytest.raises(HostError, match="closed"):
        host.place([make_clip(tmp_path, 0)], TARGET)


def test_a_late_answer_of_another_job_is_no_answer(host: ArdourHost, tmp_path: Path) -> None:
    threading.Timer(0.2, host.hear, [Placed("job-0", "clip0", "region", "", 0)]).start()
    with pytest.raises(HostError, match="did not"):
        host.place([make_clip(tmp_path, 0)], TARGET)


def test_the_board_has_a_heartbeat_and_news(host: ArdourHost, tmp_path: Path) -> None:
    board = tmp_path / "spool" / "board.txt"
    host.show(News("job-1", "song", "progress", "variation 1:\n denoising\t", 0.5))
    beat, news, part = board.read_text(encoding="utf-8").splitlines()
    assert abs(int(beat.removeprefix("time=")) - time.time()) < 5
    assert news == "job=job-1\tsong\tprogress\tvariation 1: denoising"
    assert part == "part=job-1\t0.500"


def test_a_stale_job_is_not_placed_unasked(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "place.txt").write_text("job=old\n")
    host = ArdourHost(spool)
    host.start()
    assert not (spool / "place.txt").exists()
    host.stop()


def test_what_can_not_be_told_on_one_line_is_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, 0)
    odd = tmp_path / "line\nbreak.wav"
    try:
        odd.write_bytes(b"sound")
    except OSError:
        pytest.skip("this system has no such file names")
    with pytest.raises(HostError, match="control character"):
        job_text([([replace(clip, path=odd)], TARGET)])


def test_a_clip_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="not there any more"):
        job_text([([replace(make_clip(tmp_path, 0), path=tmp_path / "gone.wav")], TARGET)])


def sends() -> list[tuple[str, str]]:
    """Every message that the scripts send: address and type tags."""
    text = "".join(install.script(name) for name in install.SCRIPTS)
    return re.findall(r':send \("([^"]+)", "([^"]+)"', text)


def test_the_scripts_send_what_the_table_takes() -> None:
    rows = {row.address: row.arguments for row in TABLE}
    assert {address for address, _ in sends()} == {
        "/dcldm/generate",
        "/dcldm/vary",
        "/dcldm/again",
        "/dcldm/cues",
        "/dcldm/cues/check",
        "/dcldm/cancel",
        "/dcldm/hello",
        "/dcldm/placed",
        "/dcldm/failed",
    }
    for address, tags in sends():
        arguments = rows[address]
        # What may be left out may be left out from the right.
        assert not any(argument.required for argument in arguments[len(tags) :]), address
        for argument, tag in zip(arguments[: len(tags)], tags, strict=True):
            # An empty text means "not given" for every argument that may be left out.
            assert tag in TYPES[argument.kind] or (tag == "s" and not argument.required), (address, argument.name)


@pytest.mark.parametrize("name", install.SCRIPTS)
def test_scripts_evaluate_nothing_and_reach_for_nothing(name: str) -> None:
    text = install.script(name)
    for word in ("load", "dofile", "require", "execute", "popen", "loadstring"):
        assert not re.search(rf"\b{word}\b", text), word
    assert text.isascii()
    assert install.script_name(text).startswith("DC-LDM: ")


class Session(Script):
    """What the script does with a session: it notes what it has placed, and places nothing twice."""

    def __init__(self, host: ArdourHost, spool: Path, answers: list[str]) -> None:
        super().__init__(host, spool, answers)
        self.timeline: list[str] = []

    def answer(self, job: dict[str, str], how: str) -> None:
        for clip in clips_of(job):
            if clip["id"] not in self.timeline:
                self.timeline.append(clip["id"])
                if how == "dies":  # in mid-placement: one clip lies there, and nothing more is heard of it
                    return
        for _ in range(2 if how == "twice" else 1):
            super().answer(job, "silence" if how == "silence" else "place")


def test_a_daw_that_dies_answers_late_twice_or_never(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path, index) for index in range(3)]
    host = ArdourHost(tmp_path / "spool", timeout_seconds=20.0, resend_seconds=0.2)
    session = Session(host, tmp_path / "spool", ["dies", "silence", "twice"])
    session.start()
    assert len(host.place(clips, TARGET)) == 3
    assert len(host.place(clips, TARGET)) == 3  # place again
    end(session)
    assert session.timeline == ["clip0", "clip1", "clip2"]
    assert len(session.jobs) >= 4


def test_a_program_that_dies_in_mid_placement_is_followed_by_one_that_places_nothing_twice(tmp_path: Path) -> None:
    clips = [make_clip(tmp_path, index) for index in range(2)]
    first = ArdourHost(tmp_path / "spool", timeout_seconds=0.5)
    session = Session(first, tmp_path / "spool", ["silence"])
    session.start()
    with pytest.raises(HostError):
        first.place(clips, TARGET)  # placed, but the program never heard of it
    second = ArdourHost(tmp_path / "spool", timeout_seconds=20.0, resend_seconds=0.2)
    session.host, session.answers = second, ["place"]
    assert len(second.place(clips, TARGET)) == 2
    end(session)
    assert session.timeline == ["clip0", "clip1"]
