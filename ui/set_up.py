"""Putting our scripts into a DAW from the window: what `dcldm install` does, with the same words."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from bridge import install
from bridge.ardour import spool_folder
from bridge.install import find_config
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.settings import Settings
from ui.takes_view import hint


class SetUp(QDialog):
    """For Ardour: its configuration folder, and two buttons. Any other DAW takes clips by drag or from a folder."""

    def __init__(self, settings: Settings, port: int, parent: QWidget) -> None:
        super().__init__(parent)
        self._settings, self._port = settings, port
        self.setWindowTitle("Set up a DAW")
        self.setMinimumWidth(460)
        try:
            config = str(find_config())
        except DcldmError:
            config = ""
        self.config = QLineEdit(config)
        self.config.setPlaceholderText("such as ~/.config/ardour7")
        hint(self.config, "Ardour's configuration folder")
        choose = QPushButton("Choose …")
        choose.clicked.connect(self._choose)
        put = QPushButton("Put the scripts in")
        put.setObjectName("primary")
        put.clicked.connect(self.put_in)
        take = QPushButton("Take them out")
        take.clicked.connect(self.take_out)
        self.answer = QLabel()
        self.answer.setWordWrap(True)
        self.answer.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        self.answer.setAccessibleName("Result")
        layout = QVBoxLayout(self)
        title = QLabel("Ardour 7.3 or newer")
        title.setObjectName("title")
        layout.addWidget(title)
        layout.addWidget(QLabel("Quit Ardour first. Files of yours are never replaced."))
        row = QHBoxLayout()
        row.addWidget(self.config, 1)
        row.addWidget(choose)
        layout.addLayout(row)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(take)
        buttons.addWidget(put)
        layout.addLayout(buttons)
        layout.addWidget(self.answer)
        other = QLabel(
            f"Any other DAW: drag clips from the list, or let it watch {settings.watch_folder}, "
            "where clips appear that are placed in “Folder”."
        )
        other.setObjectName("dim")
        other.setWordWrap(True)
        layout.addWidget(other)

    def put_in(self) -> None:
        try:
            record = install.install(self._folder(), spool_folder(self._settings.home), self._port)
        except DcldmError as error:
            self._say(str(error), bad=True)
            return
        bound = bool(record.ui_scripts)
        rest = "Start Ardour: our actions are in its menu Edit, Lua Scripts."
        if not bound:
            rest = "One step is left: add those that begin with DC-LDM in Ardour's Edit, Lua Scripts, Script Manager."
        self._say(f"The scripts are in place. {rest}")

    def take_out(self) -> None:
        try:
            left = install.uninstall(self._folder())
        except DcldmError as error:
            self._say(str(error), bad=True)
            return
        kept = f" Left, since they were changed: {', '.join(map(str, left))}." if left else ""
        self._say(f"The scripts were taken out.{kept}")

    def _folder(self) -> Path:
        return Path(self.config.text()).expanduser().absolute()

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Ardour's configuration folder", self.config.text())
        if folder:
            self.config.setText(folder)

    def _say(self, words: str, *, bad: bool = False) -> None:
        self.answer.setObjectName("error" if bad else "good")
        style = self.answer.style()
        if style is not None:
            style.polish(self.answer)
        self.answer.setText(words)
