"""Small things that all pages are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from pathlib import Path

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtGui import QAction, QDragEnterEvent, QDropEvent
from PyQt6.QtWidgets import (
    QComboBox,
    QFrame,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ui import theme


def hint(widget: QWidget, name: str, description: str = "") -> None:
    """Give a widget the name that a screen reader says, and the words of its tool tip."""
    widget.setAccessibleName(name)
    if isinstance(widget, QComboBox) and (line := widget.lineEdit()) is not None:
        line.setAccessibleName(name)
    if description:
        widget.setAccessibleDescription(description)
        widget.setToolTip(description)


def clearable(field: QLineEdit | QKeySequenceEdit) -> None:
    """Give a field the button that empties it, with a name, which Qt gives it none."""
    field.setClearButtonEnabled(True)
    for action in field.findChildren(QAction, "_q_qlineeditclearaction"):
        action.setText("Clear")


def counted(things: Sized, noun: str = "clip") -> str:
    """How many there are, in words."""
    return f"one {noun}" if len(things) == 1 else f"{len(things)} {noun}s"


def text_label(name: str, kind: str = "dim") -> QLabel:
    """A text that wraps and can be copied. `kind` is its look in the style sheet: dim, error, good, title."""
    label = QLabel()
    label.setObjectName(kind)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(
        Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
    )
    label.setAccessibleName(name)
    return label


def wrapped(words: str, kind: str = "dim") -> QLabel:
    """A text that wraps and stays as it is. `kind` as in `text_label`."""
    label = QLabel(words)
    label.setObjectName(kind)
    label.setWordWrap(True)
    return label


def paint(widget: QWidget, kind: str) -> None:
    """Give a widget another look of the style sheet."""
    if widget.objectName() != kind:
        widget.setObjectName(kind)
        style = widget.style()
        if style is not None:
            style.polish(widget)


def file_of(event: QDropEvent) -> Path | None:
    """The first file that is dragged, if there is one."""
    mime = event.mimeData()
    urls = mime.urls() if mime is not None else []
    return Path(urls[0].toLocalFile()) if urls and urls[0].isLocalFile() else None


class TakesFile:
    """What a widget has that a file can be dropped on: a base before Qt's own."""

    def take_file(self, file: Path) -> None:
        """What is done with a file that was dropped."""
        raise NotImplementedError

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        if event is not None and file_of(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        if event is not None and (file := file_of(event)) is not None:
            event.acceptProposedAction()
            self.take_file(file)


def tool(action: QAction, icon: str) -> QToolButton:
    """A small button for a command."""
    theme.set_icon(action, icon)
    button = QToolButton()
    button.setObjectName("flat")
    button.setDefaultAction(action)
    button.setAccessibleName(action.text())
    return button


def tie(button: QPushButton, action: QAction) -> None:
    """Let a button do what a command does."""
    button.clicked.connect(action.trigger)
    hint(button, action.text(), action.toolTip())


class CardsPage(QScrollArea):
    """Cards one below the other, as far as there is room. `said`: a sentence for the status line, and whether it is
    bad news.
    """

    said = pyqtSignal(str, bool)

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName("bare")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName(name)

    def show_cards(self, cards: Iterable[QWidget]) -> None:
        """Show these in place of those before."""
        page = QWidget()
        page.setObjectName("bare")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 4, 0)
        layout.setSpacing(8)
        for card in cards:
            layout.addWidget(card)
        layout.addStretch(1)
        self.setWidget(page)
