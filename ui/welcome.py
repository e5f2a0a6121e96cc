"""What stands where the takes will be, before there are any: a sound within a minute, and which DAWs are here."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout

from dcldm_plugin.commands.doctor import find_daws
from ui.prompt import EXAMPLES
from ui.widgets import hint, wrapped


class Welcome(QFrame):
    """`example` is emitted with a prompt to make at once, `set_up` when a DAW is to be set up."""

    example = pyqtSignal(str)
    set_up = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("card")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(24, 24, 24, 24)
        layout.setSpacing(10)
        layout.addStretch(1)
        title = QLabel("Make your first sound")
        title.setObjectName("title")
        font = title.font()
        font.setPointSizeF(font.pointSizeF() * 1.5)
        title.setFont(font)
        layout.addWidget(title)
        layout.addWidget(wrapped("Describe it above, or begin with one of these. The built-in model works offline."))
        for words in EXAMPLES:
            button = QPushButton(words)
            button.clicked.connect(lambda _, words=words: self.example.emit(words))
            hint(button, f"Make: {words}")
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addSpacing(16)
        found = [check.name for check in find_daws(Path.home()) if check.ok]
        words = f"Found here: {', '.join(found)}." if found else "No DAW was found in the usual places."
        row = QHBoxLayout()
        row.addWidget(wrapped(f"{words} Clips can be dragged into any DAW."), 1)
        set_up = QPushButton("Set up a DAW …")
        hint(set_up, "Set up a DAW")
        set_up.clicked.connect(self.set_up)
        row.addWidget(set_up)
        layout.addLayout(row)
        layout.addStretch(2)
