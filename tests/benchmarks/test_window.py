"""The window: its start beside a bare one's, and its frames with many clips beside those with few; in one run each."""

from __future__ import annotations

import os
import random
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt6.QtCore import QStringListModel
from PyQt6.QtWidgets import QApplication, QListView
from pytestqt.qtbot import QtBot

from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.jobs import JobStore
from dcldm_plugin.library import Library
from dcldm_plugin.session import Session
from dcldm_plugin.types import Variation
from ui import theme
from ui.signals import Background
from ui.sound import BINS, Outlines
from ui.takes import TakesModel
from ui.takes_view import TakesView

BARE = """
from PyQt6.QtWidgets import QApplication, QMainWindow
application = QApplication([])
window = QMainWindow()
window.show()
application.processEvents()
"""
OURS = """
import sys
from pathlib import Path
from PyQt6.QtCore import QSettings
from bridge.osc import OscSocket
from bridge.program import running
from dcldm_plugin.settings import load
from ui import theme
from ui.app import end, make_application
from ui.window import Window
application = make_application()
theme.apply(application, "dark")
home = Path(sys.argv[1])
with running(load(home), OscSocket(0)) as program:
    window = Window(program, QSettings(str(home / "window.ini"), QSettings.Format.IniFormat))
    window.show()
    application.processEvents()
    late = {"torch", "numpy", "scipy", "soundfile", "sounddevice", "pyloudnorm", "huggingface_hub"} & sys.modules.keys()
    end(window)
assert not late, late
"""
TRIES = 3
FRAMES = 120


@pytest.mark.skipif(sys.platform == "win32", reason="there is no CPU time of children there")
def test_the_window_is_there_soon(tmp_path: Path) -> None:
    """From the start of the process to the first frame, in CPU seconds: at most as long as 10 bare windows.

    Modules are compiled, as from the second start on; they may not be kept beside the sources here.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "compiled")

    def cpu_seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", code, str(tmp_path)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare, ours = (min(cpu_seconds(code) for _ in range(TRIES)) for code in (BARE, OURS))
    print(f"\nthe window takes {ours:.2f} s of CPU time, {ours / bare:.1f} times that of a bare one")
    assert ours / bare < 10.0


def test_five_thousand_clips_scroll_as_smoothly_as_fifty(
    qtbot: QtBot,
    qapp: QApplication,
    tmp_path: Path,
    make_take: Callable[..., Variation],
    fakes: Callable[[str], ModuleType],
) -> None:
    """A frame with 5,000 clips takes at most twice as long as one with 50, whose rows are as costly to draw.

    One in twenty may take four times as long: those in which further rows come from the library.
    """
    theme.apply(qapp, "dark")
    fill = fakes("benchmarks/many_clips.py").fill
    few = frames(qtbot, tmp_path / "few", lambda library: fill(library, make_take(), 50))
    many = frames(qtbot, tmp_path / "many", lambda library: fill(library, make_take(), 5000))
    plain = QListView()
    plain.setModel(QStringListModel([f"clip {number}" for number in range(5000)]))
    plain.setUniformItemSizes(True)
    floor = scrolled(qtbot, plain)
    print()
    for name, times in (("50 clips", few), ("5,000 clips", many), ("a list of 5,000 words", floor)):
        print(f"{name}: a frame in {statistics.median(times) * 1e3:.1f} ms, at most {max(times) * 1e3:.1f} ms")
    assert statistics.median(many) < 2.0 * statistics.median(few)
    assert statistics.quantiles(many, n=20)[-1] < 4.0 * statistics.quantiles(few, n=20)[-1]


def frames(qtbot: QtBot, folder: Path, fill: Callable[[Library], None]) -> list[float]:
    """Seconds of each frame while a library is scrolled from its newest clip to its oldest and back."""
    folder.mkdir()
    with (
        closing(Library(folder / "library")) as library,
        closing(JobStore(library.index)) as jobs,
        closing(EngineProcess(folder / "renders")) as engine,
        closing(Session(library, jobs, engine)) as session,
        closing(Background()) as background,
    ):
        fill(library)
        outlines = Outlines(folder / "outlines.sqlite", background)
        store_outlines(folder / "outlines.sqlite", [f"{number:064x}" for number in range(2, 5002)])
        model = TakesModel(session, library)
        view = TakesView(model, outlines, lambda: ("", 0.0))
        model.load()
        while model.canFetchMore():
            model.fetchMore()
        return scrolled(qtbot, view)


def scrolled(qtbot: QtBot, view: QListView) -> list[float]:
    qtbot.addWidget(view)
    view.resize(520, 600)
    view.show()
    bar, viewport = view.verticalScrollBar(), view.viewport()
    assert bar is not None and viewport is not None
    times = []
    for frame in range(FRAMES):
        share = 2 * frame / FRAMES
        QApplication.processEvents()  # what was read meanwhile
        begin = time.thread_time()
        bar.setValue(round(bar.maximum() * min(share, 2 - share)))
        viewport.repaint()
        times.append(time.thread_time() - begin)
    return times


def store_outlines(file: Path, keys: list[str]) -> None:
    """Peaks for clips whose files are not there."""
    dice = random.Random(3)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE outlines (sha256 TEXT PRIMARY KEY, loudness REAL, peaks BLOB)")
        rows = [(key, -20.0, dice.randbytes(2 * BINS)) for key in keys]
        connection.executemany("INSERT INTO outlines VALUES (?, ?, ?)", rows)
        connection.commit()
