"""Putting our scripts into a DAW from the window: what `dcldm install` does, with the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from bridge import install, install_live, install_reaper
from bridge.ardour import spool_folder
from dcldm_plugin.commands.doctor import live_library, reaper_folder
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.settings import Settings
from ui.widgets import hint, paint, text_label, wrapped


@dataclass(frozen=True, slots=True)
class Daw:
    """A DAW that takes scripts of ours.

    find: its folder, where that is known. put: write them, and say what is left to do. take: those that were
    changed since and are left.
    """

    title: str
    folder: str
    such_as: str
    find: Callable[[], Path | None]
    put: Callable[[Path, Settings, int], str]
    take: Callable[[Path], list[Path]]


def _find_ardour() -> Path | None:
    try:
        return install.find_config()
    except DcldmError:
        return None


def _put_ardour(folder: Path, settings: Settings, port: int) -> str:
    record = install.install(folder, spool_folder(settings.home), port)
    if record.ui_scripts:
        return "Start Ardour: our actions are in its menu Edit, Lua Scripts."
    return "One step is left: add those that begin with DC-LDM in Ardour's Edit, Lua Scripts, Script Manager."


def _put_reaper(folder: Path, settings: Settings, port: int) -> str:
    install_reaper.install(folder, settings, port)
    return install_reaper.STEPS


def _put_live(folder: Path, settings: Settings, port: int) -> str:
    install_live.install(folder, settings, port)
    return install_live.STEPS


DAWS = (
    Daw(
        "Ardour 7.3 or newer: quit it first",
        "Ardour's configuration folder",
        "such as ~/.config/ardour7",
        _find_ardour,
        _put_ardour,
        install.uninstall,
    ),
    Daw(
        "REAPER 6.71 or newer",
        "REAPER's resource folder",
        "what Options, Show REAPER resource path opens",
        lambda: reaper_folder(Path.home()),
        _put_reaper,
        install_reaper.uninstall,
    ),
    Daw(
        "Ableton Live 11.3.25, 12.0.5 or newer",
        "Live's User Library",
        "as Live's Settings, Library show it",
        lambda: live_library(Path.home()),
        _put_live,
        install_live.uninstall,
    ),
)


class SetUp(QDialog):
    """A DAW, its folder, and two buttons. Any other takes clips by drag or from a folder."""

    def __init__(self, settings: Settings, port: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._settings, self._port = settings, port
        self.setWindowTitle("Set up a DAW")
        self.setMinimumWidth(520)
        self.daw = QComboBox()
        self.daw.addItems([daw.title for daw in DAWS])
        hint(self.daw, "DAW")
        self.folder = QLineEdit()
        choose = QPushButton("Choose …")
        choose.clicked.connect(self._choose)
        put = QPushButton("Put the scripts in")
        put.setObjectName("primary")
        put.clicked.connect(self.put_in)
        take = QPushButton("Take them out")
        take.clicked.connect(self.take_out)
        self.answer = text_label("Result")
        layout = QVBoxLayout(self)
        layout.addWidget(self.daw)
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(choose)
        layout.addLayout(row)
        layout.addWidget(QLabel("Files of yours are never replaced."))
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(take)
        buttons.addWidget(put)
        layout.addLayout(buttons)
        layout.addWidget(self.answer)
        other = (
            f"Any other DAW: drag clips from the list, or let it watch {settings.watch_folder}, "
            "where clips appear that are placed in “Folder”."
        )
        layout.addWidget(wrapped(other))
        self.daw.currentIndexChanged.connect(self._show_folder)
        self._show_folder(0)

    def put_in(self) -> None:
        try:
            rest = DAWS[self.daw.currentIndex()].put(self._folder(), self._settings, self._port)
        except DcldmError as error:
            self._say(str(error), bad=True)
            return
        self._say(f"The scripts are in place. {rest}")

    def take_out(self) -> None:
        try:
            left = DAWS[self.daw.currentIndex()].take(self._folder())
        except DcldmError as error:
            self._say(str(error), bad=True)
            return
        kept = f" Left, since they were changed: {', '.join(map(str, left))}." if left else ""
        self._say(f"The scripts were taken out.{kept}")

    def _show_folder(self, index: int) -> None:
        daw = DAWS[index]
        found = daw.find()
        self.folder.setText("" if found is None else str(found))
        self.folder.setPlaceholderText(daw.such_as)
        hint(self.folder, daw.folder)
        self.answer.clear()

    def _folder(self) -> Path:
        return Path(self.folder.text()).expanduser().absolute()

    def _choose(self) -> None:
        daw = DAWS[self.daw.currentIndex()]
        folder = QFileDialog.getExistingDirectory(self, daw.folder, self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _say(self, words: str, *, bad: bool = False) -> None:
        paint(self.answer, "error" if bad else "good")
        self.answer.setText(words)
