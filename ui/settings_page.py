"""Settings: the output, the look, the keys, and what `settings.toml` says."""

from __future__ import annotations

from dataclasses import replace
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
    QGridLayout,
    QHBoxLayout,
    QKeySequenceEdit,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from dcldm_plugin import settings as settings_file
from dcldm_plugin.audio.settings import CLASSES, SAMPLE_RATES
from dcldm_plugin.delivery import FIELDS, NAME_FIELDS, Delivery
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.settings import Settings
from ui import theme
from ui.commands import COMMANDS, Commands
from ui.player import devices
from ui.widgets import CardsPage, clearable, hint, wrapped

SYSTEM = "The system's own"
DEVICES = ("auto", "cpu", "cuda", "mps")
FROM_NEXT_START = {"library_folder", "watch_folder", "osc_port", "reaper_port", "live_port", "device", "idle_seconds"}


class SettingsPage(CardsPage):
    """`restyled` is emitted when the look was changed, `device_chosen` with the name of an output.

    `saved` is emitted with the `Settings` as they are now.
    """

    restyled = pyqtSignal(str)
    device_chosen = pyqtSignal(str)
    saved = pyqtSignal(object)

    def __init__(self, settings: Settings, commands: Commands, stored: QSettings) -> None:
        super().__init__("Settings")
        self._settings, self._commands, self._stored = settings, commands, stored
        self.show_cards([self._window_card(), self._clips_card(), self._program_card(), self._keys_card()])

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

    def _clips_card(self) -> QWidget:
        """What the library does to each new clip."""
        now = self._settings
        card, form = _card("Clips", "Saved in settings.toml; these hold from the next clip on.")
        self.finish, self.project_rate = QComboBox(), QComboBox()
        self.finish.addItems(list(CLASSES))
        self.project_rate.addItems([str(rate) for rate in SAMPLE_RATES])
        self.project_rate.setCurrentText(str(now.project_rate))
        self.finish.setCurrentText(now.finish_as)
        self.creator, self.source = QLineEdit(now.creator_id), QLineEdit(now.source_id)
        self.title, self.template = QLineEdit(now.library_title), QLineEdit(now.name_template)
        rows = (
            ("Finish as", self.finish, "What is done to the level, the ends and the offset of each clip"),
            ("Rate in Hz", self.project_rate, "Sample rate of finished clips, that of your projects"),
            ("Creator", self.creator, "The third block of a UCS name: who made it"),
            ("Source", self.source, "The fourth block of a UCS name: where it is from"),
            ("Library title", self.title, "In the metadata: the collection that the clips belong to"),
            ("File names", self.template, f"May hold {', '.join(f'{{{name}}}' for name in NAME_FIELDS)}"),
        )
        for name, field, meaning in rows:
            hint(field, name, meaning)
            form.addRow(name, field)
        self.commercial = QCheckBox("Only what may be sold")
        hint(self.commercial, "Only what may be sold", "Refuse models and clips that may not be used commercially")
        self.commercial.setChecked(now.commercial_only)
        form.addRow("Rights", self.commercial)
        grid = QGridLayout()
        left_out = {name.strip() for name in now.leave_out.split(",")}
        self.in_file: dict[str, QCheckBox] = {}
        for number, (name, meaning) in enumerate(FIELDS.items()):
            box = self.in_file[name] = QCheckBox(name)
            hint(box, f"In files: {name}", f"Files say {meaning}")
            box.setChecked(name not in left_out)
            grid.addWidget(box, number // 4, number % 4)
        form.addRow("Files say", grid)
        form.addRow("", self._save_button("Save the settings of clips"))
        return card

    def _program_card(self) -> QWidget:
        now = self._settings
        card, form = _card("Program", "Saved in settings.toml; these hold from the next start on.")
        self.library, self.watched = QLineEdit(str(now.library_folder)), QLineEdit(str(now.watch_folder))
        for name, field, meaning in (
            ("Library", self.library, "Where finished clips are kept"),
            ("Watched folder", self.watched, "Where clips for the host “Folder” go"),
        ):
            hint(field, name, meaning)
            choose = QPushButton("Choose …")
            hint(choose, f"Choose: {name}")
            choose.clicked.connect(lambda _, name=name, field=field: self._choose_folder(name, field))
            row = QHBoxLayout()
            row.addWidget(field, 1)
            row.addWidget(choose)
            form.addRow(name, row)
        self.port, self.reaper_port, self.live_port = QSpinBox(), QSpinBox(), QSpinBox()
        for name, spin, port, meaning in (
            ("OSC port", self.port, now.osc_port, "Set a DAW up again after changing it"),
            ("REAPER's port", self.reaper_port, now.reaper_port, "Where REAPER's OSC device listens"),
            ("Live's port", self.live_port, now.live_port, "Where our script in Ableton Live listens"),
        ):
            spin.setRange(1024, 65_535)
            spin.setValue(port)
            hint(spin, name, meaning)
            form.addRow(name, spin)
        self.engine_device = QComboBox()
        self.engine_device.setEditable(True)  # for the second of several GPUs: cuda:1
        self.engine_device.addItems(DEVICES)
        self.engine_device.setCurrentText(now.device)
        words = "What models compute on; auto takes a GPU if there is one. The built-in model always uses the processor"
        hint(self.engine_device, "Engine's device", words)
        form.addRow("Engine's device", self.engine_device)
        self.idle = QDoubleSpinBox()
        self.idle.setRange(1.0, 86_400.0)
        self.idle.setDecimals(0)
        self.idle.setSuffix(" s")
        self.idle.setValue(now.idle_seconds)
        hint(self.idle, "Idle time", "After this long without work the engine gives its memory back")
        form.addRow("Engine rests after", self.idle)
        form.addRow("", self._save_button("Save the settings of the program"))
        return card

    def _save_button(self, name: str) -> QPushButton:
        button = QPushButton("Save")
        button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        hint(button, name)
        button.clicked.connect(self.save)
        return button

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
            clearable(edit)
            hint(edit, f"Keys for: {command.words}")
            edit.editingFinished.connect(lambda name=command.name: self._bind(name))
            self.keys[command.name] = edit
            form.addRow(command.words, edit)
        reset = QPushButton("All as they came")
        reset.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
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

    def _choose_folder(self, name: str, field: QLineEdit) -> None:
        folder = QFileDialog.getExistingDirectory(self, name, field.text())
        if folder:
            field.setText(folder)

    def save(self) -> None:
        """Write what was changed into `settings.toml`; all else there stays as it is."""
        values: dict[str, str | int | float] = {
            "finish_as": self.finish.currentText(),
            "project_rate": int(self.project_rate.currentText()),
            "creator_id": self.creator.text().strip(),
            "source_id": self.source.text().strip(),
            "library_title": self.title.text().strip(),
            "name_template": self.template.text().strip(),
            "leave_out": ", ".join(name for name, box in self.in_file.items() if not box.isChecked()),
            "library_folder": str(Path(self.library.text())),
            "watch_folder": str(Path(self.watched.text())),
            "osc_port": self.port.value(),
            "reaper_port": self.reaper_port.value(),
            "live_port": self.live_port.value(),
            "device": self.engine_device.currentText().strip(),
            "idle_seconds": self.idle.value(),
            "commercial_only": self.commercial.isChecked(),
        }
        changed = {name: value for name, value in values.items() if str(getattr(self._settings, name)) != str(value)}
        try:
            clips = {name: value for name, value in values.items() if name not in ("library_folder", "watch_folder")}
            Delivery.of(replace(self._settings, **clips))  # type: ignore[arg-type]  # raises for what a name can't hold
            self._settings = settings_file.save(self._settings.home, changed)
        except DcldmError as error:
            self.said.emit(str(error), True)
            return
        self.saved.emit(self._settings)
        later = " Some of it holds from the next start on." if changed.keys() & FROM_NEXT_START else ""
        self.said.emit(f"Saved.{later}", False)

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
        form.addRow(wrapped(words))
    return card, form
