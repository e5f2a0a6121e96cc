"""The host bar: which DAWs are there, what they have open, and which of them clips go to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from PyQt6.QtCore import QTimer, pyqtSignal
from PyQt6.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from bridge.host import Host, slot_of
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import TimelineTarget
from ui.takes import clock
from ui.widgets import hint

LOOK_MILLISECONDS = 700
TITLES = {"folder": "Folder", "ardour": "Ardour", "reaper": "REAPER", "live": "Live"}


@dataclass(frozen=True, slots=True)
class HostState:
    """What a host says of itself. A folder is always there, and knows no time."""

    name: str
    connected: bool = False
    project: str = ""
    track: str = ""
    position: int = 0  # samples
    sample_rate: int = 48_000
    folder: str = ""
    item: str = ""  # what is selected on the timeline, by the host's own name for it
    file: str = ""  # the sound that it plays
    range_start: int = 0  # of the selected range, or else of the selected item; samples
    range_length: int = 0  # 0 for none

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name)

    @property
    def words(self) -> str:
        """Project, track and time; or what is missing."""
        if self.folder:
            return self.folder
        if not self.connected:
            return f"{self.title} is not there: open a session, or set it up first."
        selected = f"selected: {PurePath(self.file).name}" if self.item and self.file else ""
        return "  ·  ".join(word for word in (self.project, self.track or "new track", self.where, selected) if word)

    @property
    def slot(self) -> str:
        """The slot of Live's session that is selected, by the host's name for it: it is the place then."""
        return slot_of(self.item)

    @property
    def where(self) -> str:
        """The time, or the slot as people count."""
        return f"slot {int(self.slot.split()[-1]) + 1}" if self.slot else clock(self.position / self.sample_rate)

    def target(self) -> TimelineTarget:
        """Where the user is now. Raises `DcldmError` if nobody is there."""
        if not self.connected and not self.folder:
            raise DcldmError(f"{self.title} is not there; open a session in it, or drag the clip by hand.")
        return TimelineTarget(self.name, self.project, self.track, self.position, self.sample_rate, self.slot)


def state_of(name: str, said: Mapping[str, Any]) -> HostState:
    """From what `Host.describe` says. Of several open sessions, the first is meant."""
    if "folder" in said:
        return HostState(name, True, folder=str(said["folder"]))
    for project, hello in said["sessions"].items():
        return HostState(
            name,
            True,
            str(project),
            str(hello.get("track", "")),
            int(hello.get("position", 0)),
            int(hello.get("sample_rate", 48_000)),
            item=str(hello.get("item", "")),
            file=str(hello.get("file", "")),
            range_start=int(hello.get("range_start", 0)),
            range_length=int(hello.get("range_length", 0)),
        )
    return HostState(name)


class HostBar(QWidget):
    """One button for each host; the one that is pressed is where clips go."""

    set_up = pyqtSignal()
    looked = pyqtSignal()  # the hosts were asked how they are

    def __init__(self, hosts: Mapping[str, Host], chosen: str) -> None:
        super().__init__()
        self._hosts = hosts
        self._states = {name: state_of(name, host.describe()) for name, host in hosts.items()}
        self.user_chose = chosen in hosts
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(4)
        layout = QHBoxLayout()
        layout.setSpacing(4)
        whole.addLayout(layout)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: dict[str, QPushButton] = {}
        for name in sorted(hosts, key=lambda name: name == "folder"):
            button = QPushButton()
            button.setCheckable(True)
            button.clicked.connect(self._choose)
            self._group.addButton(button)
            self._buttons[name] = button
            layout.addWidget(button)
        self._words = QLabel()
        self._words.setObjectName("dim")
        self._words.setAccessibleName("Where clips go")
        self._words.setSizePolicy(self._words.sizePolicy().Policy.Ignored, self._words.sizePolicy().Policy.Preferred)
        whole.addWidget(self._words)
        layout.addStretch(1)
        set_up = QPushButton("Set up …")
        set_up.setObjectName("flat")
        hint(set_up, "Set up a DAW", "Put our scripts into a DAW")
        set_up.clicked.connect(self.set_up)
        layout.addWidget(set_up)
        self._buttons[chosen if self.user_chose else "folder"].setChecked(True)
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(LOOK_MILLISECONDS)
        self._show()

    @property
    def chosen(self) -> str:
        return next(name for name, button in self._buttons.items() if button.isChecked())

    @property
    def state(self) -> HostState:
        """Of the chosen host, as it is now."""
        return state_of(self.chosen, self._hosts[self.chosen].describe())

    def look(self) -> None:
        """Ask all hosts how they are. A DAW that appears is chosen, unless the user has chosen."""
        for name, host in self._hosts.items():
            before, now = self._states[name], state_of(name, host.describe())
            self._states[name] = now
            if now.connected and not before.connected and not self.user_chose:
                self._buttons[name].setChecked(True)
        self._show()
        self.looked.emit()

    def stop(self) -> None:
        self._timer.stop()

    def _choose(self) -> None:
        self.user_chose = True
        self._show()

    def _show(self) -> None:
        for name, button in self._buttons.items():
            state = self._states[name]
            mark = "●" if state.connected else "○"
            text = f"{mark} {state.title}"
            if button.text() != text:
                button.setText(text)
                said = "connected" if state.connected else "not there"
                hint(button, f"{state.title}, {said}", f"Clips go to {state.title}: {state.words}")
        words = self._states[self.chosen].words
        if self._words.text() != words:
            self._words.setText(words)
            self._words.setToolTip(words)
