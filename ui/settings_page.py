"""Settings: the output, the look, the keys, and what `settings.toml` says."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QSettings, Qt, pyqtSignal
from PyQt6.QtGui import QKeySequence
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from dcldm_plugin import settings as settings_file
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.settings import Settings
from ui import theme
from ui.commands import COMMANDS, Commands
from ui.player import devices
from ui.widgets import hint

SYSTEM = "The system's own"


class SettingsPage(QScrollArea):
    """`restyled` is emitted when the look was changed, `device_chosen` with the name of an output.

    `saved` is emitted with the `Settings` as they are now.
    """

    said = pyqtSignal(str, bool)
    restyled = pyqtSignal(str)
    device_chosen = pyqtSignal(str)
    saved = pyqtSignal(object)

    def __init__(self, settings: Settings, commands: Commands, stored: QSettings) -> None:
        super().__init__()
        self._settings, self._commands, self._stored = settings, commands, stored
        self.setObjectName("bare")
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setAccessibleName("Settings")
        page = QWidget()
        page.setObjectName("bare")
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, 0, 4, 0)
        layout.setSpacing(8)
        layout.addWidget(self._window_card())
        layout.addWidget(self._program_card())
        layout.addWidget(self._keys_card())
        layout.addStretch(1)
        self.setWidget(page)

    def _window_card(self) -> QWidget:
        card, form = _card("Sound and look")
        self.device = QComboBox()
        self.device.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        hint(self.device, "Output device")
        self.device.addItem(str(self._stored.value("device", "")) or SYSTEM)
        self.device.textActivated.connect(self._choose_device)
        look = QPushButton("Look for outputs")
        look.clicked.connect(self.list_devices)
        row = QHBoxLayout()
        row.addWidget(self.device, 1)
        row.addWidget(look)
        form.addRow("Output", row)
        self.theme = QComboBox()
        self.theme.addItems(list(theme.THEMES))
        self.theme.setCurrentText(str(self._stored.value("theme", "system")))
        hint(self.theme, "Look")
        self.theme.textActivated.connect(self._choose_theme)
        form.addRow("Look", self.theme)
        return card

    def _program_card(self) -> QWidget:
        card, form = _card("Program", "Saved in settings.toml; what needs the next start says so.")
        self.library = QLineEdit(str(self._settings.library_folder))
        hint(self.library, "Library folder", "Where finished clips are kept")
        choose = QPushButton("Choose …")
        hint(choose, "Choose the library folder")
        choose.clicked.connect(self._choose_library)
        row = QHBoxLayout()
        row.addWidget(self.library, 1)
        row.addWidget(choose)
        form.addRow("Library", row)
        self.port = QSpinBox()
        self.port.setRange(1024, 65_535)
        self.port.setValue(self._settings.osc_port)
        hint(self.port, "OSC port", "Set a DAW up again after changing it")
        form.addRow("OSC port", self.port)
        self.idle = QDoubleSpinBox()
        self.idle.setRange(1.0, 86_400.0)
        self.idle.setDecimals(0)
        self.idle.setSuffix(" s")
        self.idle.setValue(self._settings.idle_seconds)
        hint(self.idle, "Idle time", "After this long without work the engine gives its memory back")
        form.addRow("Engine rests after", self.idle)
        self.commercial = QCheckBox("Only what may be sold")
        hint(self.commercial, "Only what may be sold", "Refuse models and clips that may not be used commercially")
        self.commercial.setChecked(self._settings.commercial_only)
        form.addRow("Rights", self.commercial)
        save = QPushButton("Save")
        hint(save, "Save the program's settings")
        save.clicked.connect(self.save)
        form.addRow("", save)
        return card

    def _keys_card(self) -> QWidget:
        card, form = _card("Keys", "Press the keys that you want; each command keeps its place in the menus.")
        self.keys: dict[str, QKeySequenceEdit] = {}
        group = ""
        for command in COMMANDS:
            if command.group != group:
                group = command.group
                heading = QLabel(group)
                heading.setObjectName("dim")
                form.addRow(heading)
            edit = QKeySequenceEdit(QKeySequence.listFromString(self._commands.keys(command.name))[0])
            edit.setMaximumSequenceLength(1)
            edit.setClearButtonEnabled(True)
            hint(edit, f"Keys for: {command.words}")
            edit.editingFinished.connect(lambda name=command.name: self._bind(name))
            self.keys[command.name] = edit
            form.addRow(command.words, edit)
        reset = QPushButton("All as they came")
        hint(reset, "All keys as they came")
        reset.clicked.connect(self._reset_keys)
        form.addRow("", reset)
        return card

    def list_devices(self) -> None:
        """Ask PortAudio, which may take a moment, or not be there."""
        try:
            names = [device.name for device in devices()]
        except DcldmError as error:
            self.said.emit(str(error), True)
            return
        chosen = self.device.currentText()
        self.device.clear()
        self.device.addItems([SYSTEM, *names])
        self.device.setCurrentText(chosen)
        self.said.emit(f"{len(names)} outputs are there." if names else "No output is there; connect one.", not names)

    def _choose_device(self, words: str) -> None:
        name = "" if words == SYSTEM else words
        self._stored.setValue("device", name)
        self.device_chosen.emit(name)

    def _choose_theme(self, name: str) -> None:
        self._stored.setValue("theme", name)
        self.restyled.emit(name)

    def _choose_library(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Library folder", self.library.text())
        if folder:
            self.library.setText(folder)

    def save(self) -> None:
        """Write what was changed into `settings.toml`; all else there stays as it is."""
        values: dict[str, str | int | float] = {
            "library_folder": str(Path(self.library.text())),
            "osc_port": self.port.value(),
            "idle_seconds": self.idle.value(),
            "commercial_only": self.commercial.isChecked(),
        }
        changed = {name: value for name, value in values.items() if str(getattr(self._settings, name)) != str(value)}
        try:
            self._settings = settings_file.save(self._settings.home, changed)
        except DcldmError as error:
            self.said.emit(str(error), True)
            return
        self.saved.emit(self._settings)
        self.said.emit("Saved.", False)

    def _bind(self, name: str) -> None:
        keys = self.keys[name].keySequence().toString()
        taken = self._commands.set_keys(name, keys)
        if taken:
            self.said.emit(f"{keys} is taken by “{taken}”; choose other keys, or change those first.", True)
            shown = QKeySequence.listFromString(self._commands.keys(name))
            self.keys[name].setKeySequence(shown[0] if shown else QKeySequence())

    def _reset_keys(self) -> None:
        self._commands.reset()
        for command in COMMANDS:
            self.keys[command.name].setKeySequence(QKeySequence.listFromString(command.keys)[0])


def _card(title: str, words: str = "") -> tuple[QFrame, QFormLayout]:
    card = QFrame()
    card.setObjectName("card")
    form = QFormLayout(card)
    form.setContentsMargins(14, 12, 14, 12)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    heading = QLabel(title)
    heading.setObjectName("title")
    form.addRow(heading)
    if words:
        label = QLabel(words)
        label.setObjectName("dim")
        label.setWordWrap(True)
        form.addRow(label)
    return card, form
