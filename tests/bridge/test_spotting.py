"""Runs of cue sheets with the real session and worker; hosts that keep a list."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bridge.host import Host, HostError
from bridge.spotting import Run, Spotting, make_plan
from dcldm_plugin.cues import parse_sheet
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.jobs import JobStore
from dcldm_plugin.library import Library
from dcldm_plugin.session import Session
from dcldm_plugin.types import Clip, Placement, TimelineTarget

PATIENCE_SECONDS = 120.0
SHEET = "time,prompt,length,variations,track\n1,rain,0.2,2,A\n2,wind,0.2,1,B\n3,fire,0.2,1,\n"
TARGET = TimelineTarget("list", "song", sample_rate=48_000)


class ListHost(Host):
    """What lies on its timeline, and in how many steps it came there."""

    name = "list"

    def __init__(self) -> None:
        self.items: dict[str, tuple[str, int]] = {}
        self.steps = 0
        self.trouble = ""

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        return self.place_run([(clips, target)])

    def place_run(self, groups: Sequence[tuple[Sequence[Clip], TimelineTarget]]) -> Sequence[Placement]:
        if self.trouble:
            raise HostError(self.trouble)
        self.steps += 1
        placements = []
        for clips, target in groups:
            for clip in clips:
                self.items[clip.id] = (target.track, target.position)
                placements.append(Placement(clip.id, self.name, f"item {clip.id}", target.track, target.position))
        return placements

    def describe(self) -> Mapping[str, object]:
        return {}


class Program:
    """As much of the program as a run needs; it can be ended and started again."""

    def __init__(self, folder: Path, host: ListHost) -> None:
        self._stack = ExitStack()
        library = self._stack.enter_context(closing(Library(folder / "library")))
        jobs = self._stack.enter_context(closing(JobStore(library.index)))
        engine = self._stack.enter_context(closing(EngineProcess(folder / "renders")))
        self.session = self._stack.enter_context(closing(Session(library, jobs, engine, {"list": host})))
        self.spotting = Spotting(self.session, folder / "runs")
        self.told: list[Run] = []
        self.changed = threading.Condition()
        self.spotting.subscribe(self._tell)

    def _tell(self, run: Run) -> None:
        with self.changed:
            self.told.append(run)
            self.changed.notify_all()

    def wait(self, wanted: Callable[[Run], bool]) -> Run:
        with self.changed:
            assert self.changed.wait_for(lambda: any(map(wanted, self.told)), PATIENCE_SECONDS), self.told[-1:]
            return next(filter(wanted, self.told))

    def wait_until_over(self) -> Run:
        return self.wait(lambda run: run.status != "progress")

    def end(self) -> None:
        self._stack.close()


@pytest.fixture
def host() -> ListHost:
    return ListHost()


@pytest.fixture
def start(tmp_path: Path, host: ListHost) -> Iterator[Callable[[], Program]]:
    with ExitStack() as stack:

        def begin() -> Program:
            program = Program(tmp_path, host)
            stack.callback(program.end)
            return program

        yield begin


def test_a_sheet_is_rendered_and_placed_in_one_step(start: Callable[[], Program], host: ListHost) -> None:
    program = start()
    plan = make_plan(parse_sheet(SHEET, "a.csv"), id="run", model="tone", target=TARGET)
    assert program.spotting.start(plan).status == "progress"
    over = program.wait_until_over()
    assert over.status == "done" and all(row.done for row in over.rows) and over.failures == []
    assert sorted(host.items.values()) == [("", 144_000), ("A", 48_000), ("A", 48_000), ("B", 96_000)]
    assert host.steps == 1
    assert [run.id for run in program.spotting.runs()] == ["run"]


def test_single_rows_are_done_at_once_and_the_rest_later(start: Callable[[], Program], host: ListHost) -> None:
    program = start()
    plan = make_plan(parse_sheet(SHEET, "a.csv"), id="run", model="tone", target=TARGET)
    program.spotting.start(plan, rows=[3])
    program.wait(lambda run: [row.row for row in run.rows if row.done] == [3])
    assert list(host.items.values()) == [("B", 96_000)]
    known = program.spotting.run("run")
    assert known is not None and [row.done for row in known.rows] == [False, True, False]
    program.spotting.start(plan)
    program.wait(lambda run: run.status == "done" and len(run.rows) == 3)
    assert len(host.items) == 4


def test_a_run_survives_the_program(start: Callable[[], Program], host: ListHost) -> None:
    first = start()
    text = SHEET.replace("wind", "slow wind").replace("0.2,1,B", "0.2,6,B")
    first.spotting.start(make_plan(parse_sheet(text, "a.csv"), id="run", model="tone", target=TARGET))
    first.wait(lambda run: run.rows[0].rendered)
    first.end()
    assert host.items == {}

    second = start()
    found = second.spotting.run("run")
    assert found is not None and found.status == "interrupted"
    assert [row.rendered for row in found.rows] == [True, False, False]
    before = found.rows[0].job
    second.spotting.resume("run")
    over = second.wait_until_over()
    assert over.status == "done" and len(host.items) == 9 and host.steps == 1
    assert before is not None and over.rows[0].job is not None and over.rows[0].job.clip_ids == before.clip_ids


def test_a_sheet_that_was_edited_does_only_what_is_new(start: Callable[[], Program], host: ListHost) -> None:
    program = start()
    program.spotting.start(make_plan(parse_sheet(SHEET, "a.csv"), id="run", model="tone", target=TARGET))
    first = program.wait_until_over()
    program.told.clear()
    edited = "time,prompt,length\n0.5,a bell,0.2\n" + SHEET.partition("\n")[2].replace("fire", "a fire")
    edited = edited.replace("time,prompt,length\n", "time,prompt,length,variations,track\n")
    program.spotting.start(make_plan(parse_sheet(edited, "a.csv"), id="run", model="tone", target=TARGET))
    second = program.wait_until_over()
    known = {row.request.id for row in first.rows}
    assert [row.request.id in known for row in second.rows] == [False, True, True, False]
    assert second.status == "done" and len(host.items) == 6 and host.steps == 2


def test_a_host_that_fails_is_asked_again(start: Callable[[], Program], host: ListHost) -> None:
    program = start()
    host.trouble = "The session is closed; open it."
    program.spotting.start(make_plan(parse_sheet(SHEET, "a.csv"), id="run", model="tone", target=TARGET))
    over = program.wait_until_over()
    assert over.status == "error" and [error.row for error in over.failures] == [2, 3, 4]
    assert "open it" in str(over.failures[0])
    host.trouble = ""
    program.told.clear()
    program.spotting.resume("run")
    assert program.wait_until_over().status == "done"
    assert len(host.items) == 4


def test_rows_with_errors_stop_a_run_or_are_left_out(start: Callable[[], Program], host: ListHost) -> None:
    program = start()
    text = SHEET + "4,long,20\nsoon,snow,0.2\n"
    plan = make_plan(parse_sheet(text, "a.csv"), id="run", model="tango", target=TARGET)
    assert [error.row for error in plan.errors] == [5, 6] and "at most 10.24 s" in str(plan.errors[0])
    with pytest.raises(InvalidInput, match=r"Rows 5 and 6 of a\.csv can't be done; correct them, or leave them out"):
        program.spotting.start(plan)
    assert program.spotting.runs() == [] and program.session.jobs() == []
    plan = make_plan(parse_sheet(text.replace("20", "0.2"), "a.csv"), id="run", model="tone", target=TARGET)
    program.spotting.start(plan, leave_out_errors=True)
    over = program.wait_until_over()
    assert over.status == "done" and [error.row for error in over.failures] == [6] and len(host.items) == 5


def test_cancelling_keeps_what_is_there_and_places_nothing(start: Callable[[], Program], host: ListHost) -> None:
    program = start()
    text = SHEET.replace("wind", "slow wind").replace("0.2,1,B", "0.2,30,B")
    program.spotting.start(make_plan(parse_sheet(text, "a.csv"), id="run", model="tone", target=TARGET))
    program.wait(lambda run: run.rows[0].rendered)
    program.spotting.cancel("run")
    over = program.wait_until_over()
    assert over.status == "cancelled" and over.rows[0].rendered
    time.sleep(0.2)
    assert host.items == {}


def test_equal_cues_are_separate_and_ids_are_checked(start: Callable[[], Program]) -> None:
    plan = make_plan(parse_sheet("time,prompt\n1,rain\n1,rain\n", "x"), id="run", model="tone", target=None)
    assert len({request.id for request in plan.requests.values()}) == 2
    for wrong in ("", "../run", "a b", "r" * 41):
        with pytest.raises(InvalidInput, match="id of a run"):
            make_plan(parse_sheet(SHEET, "x"), id=wrong, model="tone", target=None)
    program = start()
    with pytest.raises(InvalidInput, match="no cues"):
        program.spotting.start(make_plan(parse_sheet("time,prompt\n", "x"), id="run", model="tone", target=None))
    with pytest.raises(InvalidInput, match="no run 'nothing'"):
        program.spotting.resume("nothing")


def test_a_run_that_can_not_be_read_is_left_out(start: Callable[[], Program], tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "broken.json").write_text(json.dumps({"id": "broken"}))
    assert start().spotting.runs() == []
