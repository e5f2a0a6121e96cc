"""The field for the prompt, with what was asked for before."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QStringListModel, Qt
from PyQt6.QtGui import QFontMetrics, QKeyEvent, QTextCursor
from PyQt6.QtWidgets import QCompleter, QPlainTextEdit

from ui.widgets import hint

LINES = 2  # of the prompt that are always seen


class PromptEdit(QPlainTextEdit):
    """The prompt, as high as its text. Up and down at its edges go through earlier prompts."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("prompt")
        self.setPlaceholderText("Describe one sound …")
        self.setTabChangesFocus(True)
        hint(self, "Prompt")
        self._history: list[str] = []
        self._place = -1  # in the history; -1: what is being typed
        self._draft = ""
        self._completions = QStringListModel(self)
        self._completer = QCompleter(self._completions, self)
        self._completer.setWidget(self)
        self._completer.setFilterMode(Qt.MatchFlag.MatchContains)
        self._completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._completer.activated[str].connect(self.take)
        self.textChanged.connect(self._fit)
        self._fit()

    def set_history(self, prompts: Sequence[str]) -> None:
        """Earlier prompts, the newest first."""
        self._history = list(dict.fromkeys(prompts))
        self._completions.setStringList(self._history)

    def remember(self, prompt: str) -> None:
        self.set_history([prompt, *self._history])
        self._place = -1

    def take(self, text: str) -> None:
        """Show a text, ready to be changed."""
        self.setPlainText(text)
        self.moveCursor(QTextCursor.MoveOperation.End)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is None:
            return
        popup = self._completer.popup()
        shown = popup is not None and popup.isVisible()
        if shown and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Tab, Qt.Key.Key_Escape):
            event.ignore()  # they are the list's
            return
        step = {Qt.Key.Key_Up: 1, Qt.Key.Key_Down: -1}.get(Qt.Key(event.key()), 0)
        if step and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier and self._at_edge(step):
            self._recall(step)
            return
        super().keyPressEvent(event)
        text = self.toPlainText()
        if event.text().isprintable() and event.text() and len(text) >= 2:
            self._completer.setCompletionPrefix(text)
            if self._completer.completionCount() and self._completer.currentCompletion() != text:
                self._completer.complete(self.rect())
        elif popup is not None:
            popup.hide()

    def _at_edge(self, step: int) -> bool:
        cursor = self.textCursor()
        moved = cursor.movePosition(QTextCursor.MoveOperation.Up if step > 0 else QTextCursor.MoveOperation.Down)
        return not moved

    def _recall(self, step: int) -> None:
        place = min(max(-1, self._place + step), len(self._history) - 1)
        if place != self._place:
            if self._place == -1:
                self._draft = self.toPlainText()
            self._place = place
            self.take(self._draft if place == -1 else self._history[place])

    def resizeEvent(self, event: object) -> None:
        super().resizeEvent(event)  # type: ignore[arg-type]
        self._fit()

    def _fit(self) -> None:
        document = self.document()
        lines = LINES if document is None else max(LINES, min(5, round(document.size().height())))
        height = QFontMetrics(self.font()).lineSpacing() * lines + 10
        if height != self.height():
            self.setFixedHeight(height)
