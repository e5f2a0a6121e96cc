"""Cue sheets in the window, through the real session and worker into a watched folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PyQt6.QtCore import Qt
from pytestqt.qtbot import QtBot

from bridge.program import Program
from bridge.spotting import make_plan
from dcldm_plugin.cues import parse_sheet
from dcldm_plugin.jobs import JobState
from ui.cue_table import ACT, SOUND, TIME
from ui.spotting_page import SpottingPage
from ui.window import Window

PATIENCE = 120_000  # milliseconds; the machine may be busy with other work
SHEET = "time,prompt,length,variations\n1:00,rain,0.2,2\n2:00,wind,0.2,1\nsoon,fire,0.2,1\n3:00,bell,0.2,1\n"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "scene.csv"
    path.write_text(SHEET, encoding="utf-8")
    return path


@pytest.fixture
def page(window: Window) -> SpottingPage:
    window.commands["view_spotting"].trigger()
    return window.spotting


def column(page: SpottingPage, number: int) -> list[str]:
    return [page.table.text(row, number) for row in page.table.rows]


def state(page: SpottingPage) -> list[str]:
    return [page.table.state(row) for row in page.table.rows]


def test_a_sheet_is_shown_before_anything_is_made(
    qtbot: QtBot, page: SpottingPage, program: Program, sheet: Path
) -> None:
    page.open_sheet(sheet)
    assert column(page, TIME) == ["00:01:00:00", "00:02:00:00", "", "00:03:00:00"]
    assert column(page, SOUND) == ["rain", "wind", "", "bell"]
    assert "soon" in state(page)[2] and column(page, ACT) == ["Spot", "Spot", "", "Spot"]
    assert "3 cues, 4 clips" in page.sum.text() and "1 row can't be done" in page.sum.text()
    assert not page.go.isEnabled() and program.session.jobs() == []
    page.leave_out.setChecked(True)
    assert page.go.isEnabled()


def test_one_row_by_key_then_all(qtbot: QtBot, page: SpottingPage, window: Window, sheet: Path, home: Path) -> None:
    page.open_sheet(sheet)
    page.view.selectRow(1)
    page.view.setFocus()
    qtbot.keyClick(page.view, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: state(page)[1] == "placed", timeout=PATIENCE)
    assert column(page, ACT) == ["Spot", "Takes", "", "Spot"] and len(list((home / "inbox").iterdir())) == 1
    page.leave_out.setChecked(True)
    assert page.go.text() == "Go on"
    qtbot.mouseClick(page.go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: column(page, ACT) == ["Takes", "Takes", "", "Takes"], timeout=PATIENCE)
    assert len(list((home / "inbox").iterdir())) == 4 and page.go.text() == "New takes of all"
    page._act(0)  # shows the takes
    row = window.takes.model.row(window.takes.view.currentIndex())
    assert window.takes.isVisible() and row is not None and row.group.request.prompt.text == "rain"


def test_a_row_can_be_cancelled_and_tried_again(qtbot: QtBot, page: SpottingPage, tmp_path: Path) -> None:
    slow = tmp_path / "slow.csv"
    slow.write_text("time,prompt,length,variations\n1,slow rain,0.2,9\n", encoding="utf-8")
    page.only_make.setChecked(True)
    page.open_sheet(slow)
    page._act(0)
    qtbot.waitUntil(lambda: "denoising" in state(page)[0], timeout=PATIENCE)
    assert " of 30" in state(page)[0] and page.cancel.isEnabled()
    page._act(0)
    qtbot.waitUntil(lambda: column(page, ACT) == ["Retry"], timeout=PATIENCE)
    assert "cancelled" in state(page)[0]


def test_an_interrupted_run_is_shown_and_goes_on(
    qtbot: QtBot, program: Program, make_window: Callable[[], Window]
) -> None:
    plan = make_plan(parse_sheet(SHEET, "scene.csv"), id="run", model="tone", target=None)
    program.spotting.start(plan, leave_out_errors=True, rows=[3])
    qtbot.waitUntil(lambda: program.session.jobs()[0].state is JobState.FINISHED, timeout=PATIENCE)
    window = make_window()
    window.commands["view_spotting"].trigger()
    page = window.spotting
    assert column(page, SOUND) == ["rain", "wind", "", "bell"] and page.go.text() == "Go on"
    qtbot.mouseClick(page.go, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: state(page)[0::3] == ["made", "made"], timeout=PATIENCE)


def test_what_is_wrong_is_said_in_place(qtbot: QtBot, page: SpottingPage, tmp_path: Path) -> None:
    page.open_sheet(tmp_path / "gone.csv")
    assert page.problem.isVisible() and "is not there" in page.problem.text()
    page.open_markers()
    qtbot.waitUntil(lambda: "name a cue sheet" in page.problem.text(), timeout=PATIENCE)


def test_keys_that_act_on_takes_do_nothing_here(qtbot: QtBot, window: Window, page: SpottingPage) -> None:
    assert not window.commands["insert"].isEnabled() and window.commands["play"].isEnabled()
    window.commands["view_make"].trigger()
    assert window.commands["insert"].isEnabled()
