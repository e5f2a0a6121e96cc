"""What the user can do, as one table: each command's name, words and keys. All keys can be changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from PyQt6.QtCore import QEvent, QObject, QSettings, Qt
from PyQt6.QtGui import QAction, QKeyEvent, QKeySequence
from PyQt6.QtWidgets import QAbstractButton, QAbstractSlider, QApplication, QComboBox, QWidget


@dataclass(frozen=True, slots=True)
class Command:
    """`keys` as Qt writes them, several separated by a semicolon and a space. `on`: how a switch is at first."""

    name: str
    words: str
    keys: str
    group: str
    on: bool | None = None


COMMANDS = (
    Command("generate", "Generate", "Ctrl+Return; Ctrl+Enter", "Make"),
    Command("prompt", "Go to the prompt", "Ctrl+P", "Make"),
    Command("fit", "Length from the DAW's selection", "Ctrl+Shift+L", "Make", on=False),
    Command("item", "Show the clip selected in the DAW", "Ctrl+O", "Make"),
    Command("regenerate_item", "Regenerate what is selected in the DAW", "Ctrl+Shift+G", "Make"),
    Command("cancel", "Cancel this job", "Ctrl+.", "Make"),
    Command("cancel_waiting", "Cancel all that wait", "Ctrl+Shift+.", "Make"),
    Command("cancel_all", "Cancel everything", "Ctrl+Alt+.", "Make"),
    Command("play", "Play or stop", "Space; Ctrl+Space", "Listen"),
    Command("stop", "Stop, or leave a field", "Esc", "Listen"),
    Command("back", "Back half a second", "Left", "Listen"),
    Command("forward", "Forward half a second", "Right", "Listen"),
    Command("loop", "Loop", "L", "Listen", on=False),
    Command("match", "Match loudness", "M", "Listen", on=True),
    Command("auto", "Arrow keys play what they come to", "Ctrl+Shift+A", "Listen", on=True),
    Command("swap", "Swap A and B", "B", "Listen"),
    Command("spectrogram", "Waveform or spectrogram", "S", "Listen", on=False),
    Command("made", "How it was made", "I", "Listen", on=False),
    Command("insert", "Insert at the cursor", "Return; Enter", "Place"),
    Command("insert_takes", "Insert all alternates as takes", "Shift+Return; Shift+Enter", "Place"),
    Command("place", "Place what is made at the cursor", "Ctrl+I", "Place", on=False),
    Command("replace", "Replace the item selected in the DAW", "Ctrl+R", "Place"),
    Command("place_again", "Place again", "Ctrl+Shift+P", "Place"),
    Command("reveal", "Show the file in its folder", "Ctrl+Shift+R", "Place"),
    Command("copy_path", "Copy the file's path", "Ctrl+Shift+C", "Place"),
    Command("favourite", "Favourite", "F", "Choose"),
    *(
        Command(f"rate_{stars}", f"{stars} stars" if stars > 1 else "One star", str(stars), "Choose")
        for stars in range(1, 6)
    ),
    Command("rate_0", "No stars", "0", "Choose"),
    Command("reject", "Reject", "Del", "Choose"),
    Command("undo", "Undo the last rejection", "Ctrl+Z", "Choose"),
    Command("rename", "Rename the file", "F2", "Choose"),
    Command("regenerate", "Regenerate", "R", "Vary"),
    Command("vary", "Vary by the distance that is set", "V", "Vary"),
    Command("repair", "Repair the marked range", "Shift+R", "Vary"),
    Command("like", "Follow this clip's timing", "Ctrl+L", "Vary"),
    Command("search", "Search", "/; Ctrl+F", "Window"),
    Command("view_make", "Takes", "Ctrl+1", "Window"),
    Command("view_spotting", "Spotting", "Ctrl+2", "Window"),
    Command("view_models", "Models", "Ctrl+3", "Window"),
    Command("view_settings", "Settings", "Ctrl+4", "Window"),
    Command("dock", "Stay on top of the DAW", "Ctrl+T", "Window", on=False),
    Command("quit", "Quit", "Ctrl+Q", "Window"),
)


class Commands(QObject):
    """The table as actions of a window, with the user's own keys where there are some."""

    def __init__(self, window: QWidget, stored: QSettings) -> None:
        super().__init__(window)
        self._stored = stored
        self.actions: dict[str, QAction] = {}
        for command in COMMANDS:
            action = QAction(command.words, window)
            action.setObjectName(command.name)
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            self.actions[command.name] = action
            window.addAction(action)
            if command.on is not None:
                action.setCheckable(True)
                action.setChecked(stored.value(command.name, command.on, bool))
            self._bind(command.name, self.keys(command.name))

    def __getitem__(self, name: str) -> QAction:
        return self.actions[name]

    def enable(self, groups: Collection[str], on: bool) -> None:
        """Whether the keys of these groups do anything now."""
        for command in COMMANDS:
            if command.group in groups:
                self.actions[command.name].setEnabled(on)

    def keys(self, name: str) -> str:
        default = next(command.keys for command in COMMANDS if command.name == name)
        return str(self._stored.value(f"keys/{name}", default))

    def set_keys(self, name: str, keys: str) -> str:
        """Bind a command to other keys, for good. Returns the words of the command that has one of them, or ""."""
        wanted = {one.toString() for one in QKeySequence.listFromString(keys)}
        for other in COMMANDS:
            taken = {one.toString() for one in self.actions[other.name].shortcuts()}
            if other.name != name and wanted & taken:
                return other.words
        self._stored.setValue(f"keys/{name}", keys)
        self._bind(name, keys)
        return ""

    def store(self) -> None:
        """Keep how the switches are."""
        for command in COMMANDS:
            if command.on is not None:
                self._stored.setValue(command.name, self.actions[command.name].isChecked())

    def reset(self) -> None:
        """All keys as they came."""
        self._stored.remove("keys")
        for command in COMMANDS:
            self._bind(command.name, command.keys)

    def _bind(self, name: str, keys: str) -> None:
        action = self.actions[name]
        action.setShortcuts(QKeySequence.listFromString(keys))
        shown = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        action.setToolTip(f"{action.text()} ({shown})" if shown else action.text())


class KeysForWidgets(QObject):
    """Lets buttons, lists of choices and sliders have the keys that work them, whatever those are bound to.

    Looks only at the widget that has the focus: a shortcut is looked for before that one gets the key.
    """

    def __init__(self, application: QApplication) -> None:
        super().__init__(application)
        application.focusChanged.connect(self._follow)

    def _follow(self, old: QWidget | None, new: QWidget | None) -> None:
        if old is not None:
            old.removeEventFilter(self)
        if new is not None:
            new.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            key = Qt.Key(event.key()) if event.key() else Qt.Key.Key_unknown
            plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
            if plain and key in _keys_of(_kind(watched)):
                event.accept()
                return True
        return False


@cache  # not at import: Qt's table of keys is made when it is looked at first, and takes a while
def _keys_of(kind: str) -> tuple[Qt.Key, ...]:
    press = (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter)
    arrows = (Qt.Key.Key_Left, Qt.Key.Key_Right, Qt.Key.Key_Up, Qt.Key.Key_Down)
    return {"button": press, "choice": press + arrows, "slider": arrows}.get(kind, ())


def _kind(widget: QObject | None) -> str:
    if isinstance(widget, QAbstractButton):
        return "button"
    if isinstance(widget, QComboBox):
        return "choice"
    return "slider" if isinstance(widget, QAbstractSlider) else ""
