"""A real window on a real program in a folder of its own, without a screen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PyQt6.QtCore import QSettings
from PyQt6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from bridge.osc import OscSocket
from bridge.program import Program, running
from dcldm_plugin.settings import load
from ui import theme
from ui.commands import KeysForWidgets
from ui.window import Window

PATIENCE = 120_000  # milliseconds; the machine may be busy with other work


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "settings.toml").write_text('model = "tone"\n')
    return folder


@pytest.fixture
def program(home: Path) -> Iterator[Program]:
    with running(load(home), OscSocket(0)) as program:
        yield program


@pytest.fixture
def make_window(qtbot: QtBot, qapp: QApplication, program: Program, home: Path) -> Iterator[Callable[[], Window]]:
    """A function that opens a window; it is closed in the end."""
    theme.apply(qapp, "dark")
    keys = KeysForWidgets(qapp)
    windows: list[Window] = []

    def make() -> Window:
        window = Window(program, QSettings(str(home / "window.ini"), QSettings.Format.IniFormat))
        windows.append(window)
        window.show()
        window.activateWindow()
        qtbot.waitUntil(window.isActiveWindow, timeout=PATIENCE)
        return window

    yield make
    keys.deleteLater()
    for window in windows:
        window.shut()
        window.deleteLater()


@pytest.fixture
def window(make_window: Callable[[], Window]) -> Window:
    window = make_window()
    window.takes.prompt.seconds.setValue(0.5)
    return window
