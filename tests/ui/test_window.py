from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from PyQt6.QtCore import QMimeData, QModelIndex, QPoint, QPointF, QSettings, Qt, QUrl
from PyQt6.QtGui import QDragEnterEvent, QDropEvent, QGuiApplication
from PyQt6.QtWidgets import QAbstractScrollArea, QAbstractSpinBox, QApplication, QComboBox, QLabel, QWidget
from pytestqt.qtbot import QtBot

from bridge.osc import OscSocket
from bridge.program import Program, running
from dcldm_plugin.jobs import JobState
from dcldm_plugin.settings import load
from dcldm_plugin.types import GenerationRequest, Licence, Rights, Sampling
from ui.app import end
from ui.takes import Row
from ui.takes_page import SHARES
from ui.window import Window

PATIENCE = 120_000  # milliseconds; the machine may be busy with other work


def rows(window: Window) -> list[Row]:
    model = window.takes.model
    return [row for number in range(model.rowCount()) if (row := model.row(model.index(number))) is not None]


def states(window: Window) -> list[JobState]:
    return [row.group.job.state for row in rows(window) if row.is_heading and row.group.job is not None]


def make(qtbot: QtBot, window: Window, text: str, alternates: int = 2) -> None:
    """Type a prompt, press the key, and wait until everything is there."""
    before = len(states(window))
    window.takes.prompt.prompt.clear()
    window.takes.prompt.alternates.setValue(alternates)
    qtbot.keyClicks(window.takes.prompt.prompt, text)
    qtbot.keyClick(window.takes.prompt.prompt, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(
        lambda: len(states(window)) > before and all(state.over for state in states(window)), timeout=PATIENCE
    )


def select(window: Window, number: int) -> Row:
    view = window.takes.view
    view.setFocus()
    view.go_to(window.takes.model.index(number))
    row = window.takes.model.row(view.currentIndex())
    assert row is not None
    return row


def test_a_typed_prompt_becomes_rows(qtbot: QtBot, window: Window) -> None:
    assert window.takes.welcome.isVisible() and not window.takes.view.isVisible()
    make(qtbot, window, "rain on a roof", alternates=3)
    heading, *takes = rows(window)
    assert heading.is_heading and [row.index for row in takes] == [0, 1, 2]
    assert all(row.clip is not None and row.clip.path.is_file() for row in takes)
    assert not window.takes.welcome.isVisible() and window.takes.view.isVisible()
    assert [row.clip.seeds.texture for row in takes if row.clip] == [
        takes[0].clip.seeds.texture + k
        for k in range(3)
        if takes[0].clip  # type: ignore[union-attr]
    ]


def test_rows_for_all_alternates_are_there_from_the_beginning(qtbot: QtBot, window: Window) -> None:
    window.takes.prompt.alternates.setValue(4)
    window.takes.prompt.prompt.setPlainText("slow rain")
    window.takes.prompt.ask()
    qtbot.waitUntil(lambda: len(rows(window)) == 5, timeout=PATIENCE)
    qtbot.waitUntil(lambda: any(row.clip for row in rows(window)), timeout=PATIENCE)
    assert states(window) == [JobState.RUNNING]  # the first is there while the rest still render
    qtbot.waitUntil(lambda: states(window) == [JobState.FINISHED], timeout=PATIENCE)


def test_the_seed_is_kept_only_when_locked(qtbot: QtBot, window: Window) -> None:
    panel = window.takes.prompt
    panel.seed.setText("41")
    panel.lock.setChecked(True)
    make(qtbot, window, "door", alternates=1)
    assert panel.seed.text() == "41" and rows(window)[0].group.request.seeds[0].structure == 41
    panel.lock.setChecked(False)
    make(qtbot, window, "bell", alternates=1)
    assert panel.seed.text() != "41"


def test_what_made_a_take_can_be_filled_in_again(window: Window) -> None:
    panel = window.takes.prompt
    assert panel.draft().sampling == Sampling()  # the model's own, of everything
    used = Sampling("ddim", 30, 4.5, candidates=3)
    panel.recall(GenerationRequest.create("rain", seed=4, sampling=used))
    assert (panel.draft().sampling, panel.draft().seed) == (used, 4)


def test_bad_input_is_said_in_place_and_loses_nothing(qtbot: QtBot, window: Window) -> None:
    panel = window.takes.prompt
    panel.prompt.setPlainText("a bell")
    panel.seed.setText("minus one")
    panel.ask()
    assert "whole number" in panel.problem.text() and panel.problem.isVisible()
    assert panel.prompt.toPlainText() == "a bell" and rows(window) == []


def test_a_prompt_of_several_events_is_offered_as_layers(qtbot: QtBot, window: Window) -> None:
    panel = window.takes.prompt
    panel.prompt.setPlainText("rain and wind")
    assert not panel.split.isVisible()
    panel.prompt.setPlainText("a door slams, then footsteps; a dog barks")
    assert panel.split.isVisible() and "3" in panel.split.text()
    panel.alternates.setValue(1)
    qtbot.mouseClick(panel.split, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: states(window) == [JobState.FINISHED] * 3, timeout=PATIENCE)
    prompts = {row.group.request.prompt.text for row in rows(window)}
    assert prompts == {"a door slams", "footsteps", "a dog barks"}


def test_insert_places_the_clip_in_the_chosen_host(qtbot: QtBot, window: Window, home: Path) -> None:
    make(qtbot, window, "rain", alternates=2)
    for _ in range(2):  # what is inserted twice is wanted twice: a folder needs it but once
        row = select(window, 1)
        qtbot.keyClick(window.takes.view, Qt.Key.Key_Return)
        qtbot.waitUntil(lambda: window.news.startswith("one clip in Folder"), timeout=PATIENCE)
    assert row.clip is not None
    assert [path.read_bytes() for path in (home / "inbox").iterdir()] == [row.clip.path.read_bytes()]
    qtbot.keyClick(window.takes.view, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: window.news.startswith("2 clips in Folder"), timeout=PATIENCE)
    assert len(list((home / "inbox").iterdir())) == 2


def test_what_is_made_can_be_placed_at_once(qtbot: QtBot, window: Window, home: Path) -> None:
    window.commands["place"].setChecked(True)
    make(qtbot, window, "rain", alternates=2)
    assert len(list((home / "inbox").iterdir())) == 2
    assert [placement.host for placement in rows(window)[0].group.job.placements] == ["folder"] * 2  # type: ignore[union-attr]


def test_regenerate_makes_new_takes_of_the_current_one(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=2)
    first = select(window, 1).clip
    qtbot.keyClick(window.takes.view, Qt.Key.Key_R)
    qtbot.waitUntil(lambda: states(window) == [JobState.FINISHED] * 2, timeout=PATIENCE)
    made = rows(window)[1].clip
    assert made is not None and made.request is not None and made.request.control is not None and first is not None
    assert made.request.control.kind == "regenerate"
    assert made.request.control.parents[0].clip == first.id
    select(window, 1)
    detail, beside = window.takes.detail, window.takes.detail.beside
    assert beside.isVisible() and beside.clip is not None and beside.clip.id == first.id
    assert first.model in beside.accessibleName() and detail._parent_button.text() == "Made anew from: rain"
    qtbot.mouseClick(beside, Qt.MouseButton.LeftButton)
    heard, other = window.takes.audition._clip, window.takes.audition._before  # also where there is no sound card
    assert heard is not None and heard.id == first.id and other is not None and other.id == made.id
    qtbot.mouseClick(detail._parent_button, Qt.MouseButton.LeftButton)
    assert detail.clip is not None and detail.clip.id == first.id and not beside.isVisible()


def test_controls_that_a_model_lacks_say_so(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=1)
    select(window, 1)
    button = window.takes.detail._buttons["retexture"]
    assert not button.isEnabled() and "does not have the control" in button.toolTip()


def test_cancel_one_and_all_that_wait(qtbot: QtBot, window: Window, program: Program) -> None:
    for word in ("one", "two", "three"):
        program.session.submit(GenerationRequest.create(f"slow {word}", variations=32, seconds=0.5, model="tone"))
    qtbot.waitUntil(lambda: JobState.RUNNING in states(window) and len(states(window)) == 3, timeout=PATIENCE)
    window.takes._part_clicked("later", rows(window)[1 if rows(window)[1].is_heading else 0])
    window.commands["cancel_waiting"].trigger()
    qtbot.waitUntil(lambda: states(window).count(JobState.CANCELLED) == 2, timeout=PATIENCE)
    window.commands["cancel_all"].trigger()
    qtbot.waitUntil(lambda: states(window) == [JobState.CANCELLED] * 3, timeout=PATIENCE)


def test_interrupted_requests_are_offered_again(
    qtbot: QtBot, program: Program, make_window: Callable[[], Window], home: Path
) -> None:
    request = GenerationRequest.create("rain", variations=2, seconds=0.5, model="tone")
    job = program.jobs.add(request)
    assert job is not None
    program.jobs.update(job, state=JobState.INTERRUPTED)
    window = make_window()
    assert window.takes._banner.isVisible()
    window.takes._resume_interrupted()
    qtbot.waitUntil(lambda: states(window) == [JobState.FINISHED], timeout=PATIENCE)
    assert len(rows(window)) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_worker_leaves_the_window_alive_and_the_row_explained(
    qtbot: QtBot, window: Window, program: Program
) -> None:
    window.takes.prompt.alternates.setValue(32)
    window.takes.prompt.prompt.setPlainText("slow rain")
    window.takes.prompt.ask()
    killed: set[int] = set()

    def kill_each() -> bool:
        worker = program.engine.pid
        busy = states(window) == [JobState.RUNNING] and rows(window)[0].group.progress is not None
        if worker is not None and worker not in killed and busy:
            os.kill(worker, signal.SIGKILL)
            killed.add(worker)
        return states(window) == [JobState.FAILED]

    qtbot.waitUntil(kill_each, timeout=PATIENCE)
    assert len(killed) == 2
    select(window, 0)
    assert "was ended by SIGKILL" in window.takes.detail.problem.text()
    make(qtbot, window, "rain", alternates=1)  # the next one is none the worse
    assert states(window)[0] is JobState.FINISHED


def test_searching(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=1)
    make(qtbot, window, "bell", alternates=1)
    select(window, 0)
    qtbot.keyClick(window.takes.view, Qt.Key.Key_Slash)
    assert window.takes.search.hasFocus()
    qtbot.keyClicks(window.takes.search, "ra")
    qtbot.waitUntil(lambda: {row.group.request.prompt.text for row in rows(window)} == {"rain"}, timeout=PATIENCE)
    window.takes.search.clear()
    qtbot.waitUntil(lambda: len(rows(window)) == 4, timeout=PATIENCE)


def test_a_file_of_ours_says_how_it_was_made_and_another_is_a_reference(
    qtbot: QtBot, window: Window, tmp_path: Path
) -> None:
    make(qtbot, window, "rain", alternates=1)
    clip = rows(window)[1].clip
    assert clip is not None
    copy = tmp_path / "copy.wav"
    copy.write_bytes(clip.path.read_bytes())
    window.takes.open_file(copy)
    assert "made by tone" in window.news and "rain" in window.news
    other = tmp_path / "other.wav"
    other.write_bytes(b"RIFF nothing")
    window.takes.open_file(other)
    assert window.takes.prompt.reference == other


def test_a_file_that_is_dropped_is_taken_by_what_it_is_dropped_on(qtbot: QtBot, window: Window, tmp_path: Path) -> None:
    def drop(target: QWidget | None, mime: QMimeData) -> bool:
        keys = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
        enter, fall = QDragEnterEvent(QPoint(), *keys), QDropEvent(QPointF(), *keys)
        for event in (enter, fall):
            event.ignore()
            QApplication.sendEvent(target, event)
        return enter.isAccepted() and fall.isAccepted()

    words, file = QMimeData(), QMimeData()
    words.setText("rain")
    path = tmp_path / "other.wav"
    path.write_bytes(b"RIFF nothing")
    file.setUrls([QUrl.fromLocalFile(str(path))])
    panel = window.takes.prompt
    assert not any(drop(target, words) for target in (panel, window.takes, window.spotting))
    for target in (panel, panel.prompt.viewport(), window.takes):
        panel.follow(None)
        assert drop(target, file) and panel.reference == path
    assert drop(window.spotting, file) and not window.spotting.problem.isHidden()  # it is no sheet


def test_a_clip_says_how_it_was_made_and_what_it_may_be_used_for(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=1)
    row = select(window, 1)
    detail = window.takes.detail
    assert "may be used commercially" in detail.rights.text().lower() and detail.rights.objectName() == "dim"
    assert "nothing above 8 kHz" in detail.facts.text()
    qtbot.keyClick(window.takes.view, Qt.Key.Key_I)
    qtbot.waitUntil(lambda: "30 steps" in detail.made.text() and detail.made.isVisible(), timeout=PATIENCE)
    assert row.clip is not None
    row.group.clips[0] = replace(row.clip, rights=Rights((Licence("weights", "CC-BY-NC-4.0", False),)))
    window.takes._show_current()
    assert "MAY NOT" in detail.rights.text() and detail.rights.objectName() == "error"


def test_where_only_what_may_be_sold_is_wanted_all_else_is_refused(qtbot: QtBot, window: Window, home: Path) -> None:
    make(qtbot, window, "rain", alternates=1)
    window.settings.commercial.setChecked(True)
    window.settings.save()
    panel = window.takes.prompt
    panel.models.setCurrentText("audiogen-medium")
    assert panel.badge.objectName() == "error"
    panel.prompt.setPlainText("a bell")
    panel.ask()
    assert "may not be used commercially" in panel.problem.text() and len(states(window)) == 1
    row = select(window, 1)
    assert row.clip is not None
    row.group.clips[0] = replace(row.clip, rights=None)
    qtbot.keyClick(window.takes.view, Qt.Key.Key_Return)
    assert "can't be sold" in window.news and not list((home / "inbox").iterdir())
    assert load(home).commercial_only


def test_a_clip_that_is_gone_is_said_when_it_is_to_be_heard(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=1)
    clip = select(window, 1).clip
    assert clip is not None
    clip.path.unlink()
    qtbot.keyClick(window.takes.view, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: "can't be read" in window.news, timeout=PATIENCE)


def test_choosing_outlives_the_window(
    qtbot: QtBot, window: Window, program: Program, make_window: Callable[[], Window]
) -> None:
    make(qtbot, window, "rain", alternates=3)
    clip = select(window, 1).clip
    assert clip is not None
    qtbot.keyClick(window.takes.view, Qt.Key.Key_F)
    qtbot.keyClick(window.takes.view, Qt.Key.Key_4)
    window.takes.detail.noted.emit("for the roof scene")
    window.takes.detail.renamed.emit("Roof Rain 01")
    again = rows(make_window())[1].clip
    assert again is not None and again.marks.favourite and again.marks.rating == 4
    assert again.marks.notes == "for the roof scene" and again.path.stem == "Roof Rain 01" and again.path.is_file()
    window.takes.show_only.setCurrentIndex(1)
    assert [row.clip.id for row in rows(window) if row.clip] == [clip.id]


def test_a_rejected_take_can_be_brought_back(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=2)
    clip = select(window, 1).clip
    assert clip is not None
    qtbot.keyClick(window.takes.view, Qt.Key.Key_Delete)
    assert [row.index for row in rows(window)] == [-1, 1] and clip.path.is_file()
    qtbot.keyClick(window.takes.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert [row.index for row in rows(window)] == [-1, 0, 1]


def test_keys_can_be_changed_but_not_doubled(qtbot: QtBot, window: Window, make_window: Callable[[], Window]) -> None:
    commands = window.commands
    assert commands.set_keys("loop", "F") == "Favourite"
    assert commands.set_keys("loop", "Ctrl+J") == ""
    assert [one.toString() for one in make_window().commands["loop"].shortcuts()] == ["Ctrl+J"]


def test_saved_settings_hold_from_the_next_start_on(qtbot: QtBot, window: Window, home: Path) -> None:
    window.settings.port.setValue(9999)
    window.settings.save()
    assert load(home).osc_port == 9999 and load(home).model == "tone"


def test_copy_path(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=2)
    select(window, 0)  # a heading stands for all of its alternates
    window.commands["copy_path"].trigger()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text().splitlines() == [str(row.clip.path) for row in rows(window)[1:] if row.clip]


def test_everything_that_takes_keys_has_a_name(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=1)
    window.takes.prompt.more.setChecked(True)
    select(window, 1)
    unnamed = []
    for view in ("view_spotting", "view_models", "view_settings", "view_make"):
        window.commands[view].trigger()
        unnamed += [
            widget
            for widget in window.findChildren(QWidget)
            if widget.focusPolicy() != Qt.FocusPolicy.NoFocus
            and not widget.accessibleName()
            and not getattr(widget, "text", str)()
            and not isinstance(widget.parent(), QAbstractScrollArea | QComboBox | QAbstractSpinBox)
            and widget.isVisible()
            and not isinstance(widget, QLabel)
            and not widget.objectName().startswith("qt_")
        ]
    assert unnamed == []
    spoken = window.takes.model.data(window.takes.model.index(1), Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "Alternate A of rain, 0.5 seconds"
    assert window.takes.model.data(QModelIndex()) is None


def test_a_wide_window_can_be_made_narrow_again(qtbot: QtBot, window: Window) -> None:
    make(qtbot, window, "rain", alternates=1)
    select(window, 1)
    detail, view = window.takes.detail, window.takes.view
    window.resize(1200, 800)
    qtbot.waitUntil(lambda: detail.mapTo(window, QPoint()).x() > view.mapTo(window, QPoint()).x(), timeout=PATIENCE)
    window.resize(520, 760)
    qtbot.waitUntil(lambda: detail.mapTo(window, QPoint()).y() > view.mapTo(window, QPoint()).y(), timeout=PATIENCE)
    assert (window.width(), window.height()) == (520, 760)


def test_what_was_typed_is_there_after_a_restart(qtbot: QtBot, make_window: Callable[[], Window]) -> None:
    first = make_window()
    first.takes.prompt.prompt.setPlainText("half a thought")
    first.takes.prompt.alternates.setValue(7)
    first.shut()
    second = make_window()
    assert second.takes.prompt.prompt.toPlainText() == "half a thought"
    assert second.takes.prompt.alternates.value() == 7


def test_the_room_is_shared_as_it_was_before_a_restart(qtbot: QtBot, make_window: Callable[[], Window]) -> None:
    def divided(window: Window, width: int, sizes: list[int]) -> list[int]:
        window.resize(width, 900)
        wanted = Qt.Orientation.Horizontal if width > 900 else Qt.Orientation.Vertical
        qtbot.waitUntil(lambda: window.takes._splitter.orientation() == wanted, timeout=PATIENCE)
        if sizes:
            window.takes._splitter.setSizes(sizes)
            window.takes._splitter.splitterMoved.emit(sizes[0], 1)  # as when it is dragged
        return window.takes._splitter.sizes()

    first = make_window()
    first.show()
    make(qtbot, first, "rain", alternates=1)  # without a take there is nothing to share with
    select(first, 1)
    low, wide = divided(first, 700, []), divided(first, 1300, [])
    assert min(low + wide) > 0 and first.takes._shares == SHARES  # nobody has moved it
    low, wide = divided(first, 700, [300, 500]), divided(first, 1300, [800, 480])
    assert divided(first, 700, []) == low and divided(first, 1300, []) == wide  # each way has its own
    first.shut()
    second = make_window()
    second.show()
    select(second, 1)
    assert divided(second, 1300, []) == pytest.approx(wide, abs=2)
    assert divided(second, 700, []) == pytest.approx(low, abs=2)


def test_nothing_is_left_running(qtbot: QtBot, qapp: QApplication, home: Path, tmp_path: Path) -> None:
    def threads() -> set[str]:
        """Python's own, and those of our pool, by its name."""
        own = [one for one in threading.enumerate() if not isinstance(one, threading._DummyThread)]
        pooled = set()
        for task in Path("/proc/self/task").glob("*"):
            with suppress(OSError):  # it ended just now
                pooled |= {str(task)} if task.joinpath("comm").read_text().startswith("dcldm") else set()
        return pooled | {f"{one.name} {one.ident}" for one in own}

    before, processes = threads(), set(psutil.Process().children())
    with running(load(home), OscSocket(0)) as program:
        window = Window(program, QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat))
        window.show()
        window.takes.prompt.seconds.setValue(0.5)
        window.takes.making.example("rain")
        qtbot.waitUntil(lambda: states(window) == [JobState.FINISHED], timeout=30_000)
        select(window, 1)
        qtbot.waitUntil(lambda: threads() > before, timeout=PATIENCE)
        assert set(psutil.Process().children()) > processes
        end(window)
    assert threads() == before
    assert set(psutil.Process().children()) == processes


def test_names_of_clips_hold_from_the_next_one_on(qtbot: QtBot, window: Window, home: Path) -> None:
    page = window.settings
    page.creator.setText("no_underscores")
    page.save()
    assert "creator id" in window.news and load(home).creator_id == "ANON"
    page.creator.setText("Fox")
    page.in_file["date"].setChecked(False)
    page.engine_device.setCurrentText("cpu")
    page.save()
    assert "next start" in window.news
    assert (load(home).creator_id, load(home).leave_out, load(home).device) == ("Fox", "date", "cpu")
    make(qtbot, window, "rain", alternates=1)
    clip = rows(window)[1].clip
    assert clip is not None and clip.path.stem.endswith("_Fox_DCLDM")
