"""One clip in full: its waveform, what it is, and everything that can be made of it.

Buttons are tied to the window's commands by name, so that mouse and keys are one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from PyQt6.QtCore import QSize, Qt, pyqtBoundSignal, pyqtSignal
from PyQt6.QtGui import QAction, QResizeEvent
from PyQt6.QtWidgets import (
    QComboBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from dcldm_plugin.engine import registry
from dcldm_plugin.types import Clip, Kind, ModelInfo
from dcldm_plugin.variations import AMOUNTS
from ui import theme
from ui.editor import SHOWN_HZ, WaveEditor
from ui.parent_strip import ParentStrip
from ui.sound import Outline
from ui.takes import Row, info_of, letter
from ui.widgets import hint, paint, text_label, tie, tool

# Of what stands between a button and the words that say what it does: these need the room.
CONTROL_WIDTH, SLIDER_WIDTH = 170, 104
PARENT_MARGIN = 48
MADE: dict[Kind, str] = {
    "regenerate": "Made anew from:",
    "retexture": "Varied from:",
    "rearrange": "Re-arranged from:",
    "like": "Follows the timing of:",
    "repair": "Repaired from:",
    "purify": "Purified from:",
    "morph": "Morphed from:",
    "more": "More like:",
}


@dataclass(frozen=True, slots=True)
class Ask:
    """A variation that is asked for. `model`: another one than the clip's, or empty."""

    kind: Kind
    amount: float | None = None
    start: float = 0.0
    end: float = 0.0
    model: str = ""


class Detail(QFrame):
    """`asked` is emitted with an `Ask`, `lineage` with the id of a clip that this one was made from."""

    asked = pyqtSignal(object)
    lineage = pyqtSignal(str)
    renamed = pyqtSignal(str)  # another name for the file of the clip
    noted = pyqtSignal(str)

    def __init__(self, actions: Mapping[str, QAction]) -> None:
        super().__init__()
        self.setObjectName("card")
        self._row: Row | None = None
        self._selected: list[Clip] = []
        self.title = text_label("Clip", "title")
        self.facts = text_label("About the clip")
        self.rights = text_label("Licence")
        self.problem = text_label("Problem", "error")
        self._parent_button = QPushButton()
        self._parent_button.setObjectName("link")
        self._parent_button.clicked.connect(self._go_to_parent)
        self.name, self.notes = QLineEdit(), QLineEdit()
        hint(self.name, "File name", "Another name for the file; the library writes it as file systems can take it")
        self.notes.setPlaceholderText("Notes")
        hint(self.notes, "Notes")
        self.name.editingFinished.connect(lambda: self._edited(self.name, self.renamed))
        self.notes.editingFinished.connect(lambda: self._edited(self.notes, self.noted))
        self._words_of_user = QHBoxLayout()
        self._words_of_user.addWidget(self.name, 3)
        self._words_of_user.addWidget(self.notes, 2)
        self.wave, self.beside = WaveEditor(), ParentStrip()
        self.wave.marked.connect(lambda *_: self._update_words())
        self.wave.seeked.connect(lambda *_: self._update_words())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(8)
        layout.addWidget(self.title)
        layout.addWidget(self.facts)
        layout.addWidget(self.rights)
        layout.addWidget(self.problem)
        layout.addWidget(self._parent_button, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addLayout(self._words_of_user)
        layout.addWidget(self.wave, 1)
        layout.addWidget(self.beside)
        layout.addLayout(self._transport(actions))
        self.made = text_label("How the clip was made", "")
        self.made.setTextFormat(Qt.TextFormat.RichText)
        self.made.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._lower = QStackedWidget()
        self._lower.addWidget(self._controls(actions))
        self._lower.addWidget(_scrolling(self.made))
        layout.addWidget(self._lower)
        self.show_row(None, [], None)

    def _transport(self, actions: Mapping[str, QAction]) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(4)
        names = {"play": "play", "loop": "loop", "match": "match", "spectrogram": "spectrogram", "made": "info"}
        for name, icon in names.items():
            row.addWidget(tool(actions[name], icon))
        self.time = QLabel("0.00")
        self.time.setObjectName("dim")
        self.time.setAccessibleName("Position in seconds")
        row.addWidget(self.time)
        row.addStretch(1)
        for name, icon in {
            "reveal": "reveal",
            "copy_path": "copy",
            "replace": "replace",
            "insert_takes": "takes",
        }.items():
            row.addWidget(tool(actions[name], icon))
        insert = QPushButton("Insert")
        theme.set_icon(insert, "insert")
        tie(insert, actions["insert"])
        row.addWidget(insert)
        return row

    def _controls(self, actions: Mapping[str, QAction]) -> QWidget:
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 4, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(2, 1)
        self._buttons: dict[str, QPushButton] = {}
        self._words: dict[str, QLabel] = {}
        self.distance = _slider(AMOUNTS["retexture"], "Distance", "Near keeps the surface, far changes all of it")
        self.purity = _slider(AMOUNTS["purify"], "Purify", "How far back into noise the sound is taken")
        self.between = _slider(AMOUNTS["morph"], "Morph", "From the first selected clip to the second")
        self.models = QComboBox()
        self.models.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        hint(self.models, "Another model")
        self.models.addItems(list(registry.models()))
        rows: tuple[tuple[str, str, QWidget | None, Callable[[], None]], ...] = (
            ("regenerate", "Regenerate", None, lambda: self._ask(Ask("regenerate"))),
            (
                "retexture",
                "Vary",
                _near_far(self.distance),
                lambda: self._ask(Ask("retexture", self._value(self.distance))),
            ),
            ("rearrange", "Re-arrange", None, lambda: self._ask(Ask("rearrange", start=self.wave.position))),
            ("repair", "Repair", None, self._repair),
            ("purify", "Purify", self.purity, lambda: self._ask(Ask("purify", self._value(self.purity)))),
            ("morph", "Morph", self.between, lambda: self._ask(Ask("morph", self._value(self.between)))),
            ("more", "More like these", None, lambda: self._ask(Ask("more"))),
            ("model", "Again with", self.models, lambda: self._ask(Ask("regenerate", model=self.models.currentText()))),
        )
        for number, (name, words, control, act) in enumerate(rows):
            button = QPushButton(words)
            button.clicked.connect(act)
            button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(112)
            label = QLabel()
            label.setObjectName("dim")
            label.setWordWrap(True)
            self._buttons[name], self._words[name] = button, label
            grid.addWidget(button, number, 0)
            if control is not None:
                control.setMaximumWidth(CONTROL_WIDTH)
                grid.addWidget(control, number, 1)
            grid.addWidget(label, number, 1 if control is None else 2, 1, -1)
        for slider in (self.distance, self.purity, self.between):
            slider.valueChanged.connect(self._update_words)
        actions["regenerate"].triggered.connect(self._buttons["regenerate"].click)
        actions["vary"].triggered.connect(self._buttons["retexture"].click)
        actions["repair"].triggered.connect(self._buttons["repair"].click)
        return _scrolling(box)

    # What is shown

    @property
    def clip(self) -> Clip | None:
        return self._row.clip if self._row is not None else None

    def show_row(self, row: Row | None, selected: list[Clip], outline: Outline | None, status: str = "") -> None:
        """Show the row that is current; `selected` are all clips that are, for what takes several."""
        self._row, self._selected = row, selected
        clip = self.clip
        self.setVisible(row is not None)
        band_hz = _band_hz(clip)
        self.wave.show_clip(clip, outline, SHOWN_HZ if band_hz is None else band_hz)
        if row is not None:
            which = f"  ·  {letter(row.index)}" if not row.is_heading else ""
            self.title.setText(f"{row.group.request.prompt.text}{which}")
        self.facts.setText(self._facts(row, outline, band_hz))
        self._show_rights(clip)
        failed = row is not None and row.group.job is not None and bool(row.group.job.error)
        self.problem.setVisible(failed)
        self.problem.setText(status if failed else "")
        for field, text in (
            (self.name, clip.path.stem if clip else ""),
            (self.notes, clip.marks.notes if clip else ""),
        ):
            field.setVisible(clip is not None)
            if not field.hasFocus() or not field.isModified():
                field.setText(text)
                field.setCursorPosition(0)
        self._show_parent(clip)
        self._update_words()

    def minimumSizeHint(self) -> QSize:
        """With the lines that texts take as they wrap, which a layout leaves out: nothing is to lie over another."""
        hint, layout = super().minimumSizeHint(), self.layout()
        if layout is not None:
            hint.setHeight(max(hint.height(), layout.minimumHeightForWidth(max(self.width(), hint.width()))))
        return hint

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._show_parent(self.clip)  # as much of its words as there is room for
        self.updateGeometry()  # texts wrap anew

    @staticmethod
    def _edited(field: QLineEdit, changed: pyqtBoundSignal) -> None:
        if field.isModified():
            field.setModified(False)
            changed.emit(field.text())

    def show_made(self, said: Sequence[tuple[str, str]] | None) -> None:
        """How the clip was made, as names and what is to be said of them, in place of the controls; None: those."""
        self._lower.setCurrentIndex(0 if said is None else 1)
        rows = (
            f"<tr><td><b>{escape(name)}</b>&nbsp;&nbsp;</td><td>{escape(text)}</td></tr>" for name, text in said or ()
        )
        self.made.setText(f"<table>{''.join(rows)}</table>")

    def _show_rights(self, clip: Clip | None) -> None:
        """The licences of all that had a part in the clip; red where it may not be sold, or does not say so."""
        self.rights.setVisible(clip is not None)
        if clip is None:
            return
        may = clip.rights is not None and clip.rights.commercial_use
        sentence = clip.rights.sentence if clip.rights is not None else "are not recorded in this clip"
        self.rights.setText(f"Licences: {sentence}" if clip.rights is None else sentence[0].upper() + sentence[1:])
        paint(self.rights, "dim" if may else "error")

    def _facts(self, row: Row | None, outline: Outline | None, band_hz: float | None) -> str:
        if row is None:
            return ""
        clip = row.clip
        if clip is None:
            request = row.group.request
            return f"{request.model}  ·  {request.seconds:g} s  ·  {len(request.seeds)} alternates"
        loud = f"{outline.loudness:.1f} LUFS" if outline is not None and outline.loudness == outline.loudness else ""
        band = "" if band_hz is None else f"nothing above {band_hz / 1000:g} kHz"
        structure, texture = clip.seeds.structure, clip.seeds.texture
        seeds = f"seed {structure}" if structure == texture else f"seeds {structure} / {texture}"
        length = f"{clip.seconds:.2f} s"
        known = f"read as “{clip.read_as}”" if clip.read_as else ""
        return "  ·  ".join(word for word in (clip.model, length, loud, band, seeds, known) if word)

    def _show_parent(self, clip: Clip | None) -> None:
        control = clip.request.control if clip is not None and clip.request is not None else None
        self._parent_button.setVisible(control is not None)
        if control is None:
            return
        from_words = control.parents[0].request.prompt.text if control.parents else "a file"
        if control.audio is not None:
            from_words = control.audio.path.replace("\\", "/").rpartition("/")[2]
        words = f"{MADE[control.kind]} {from_words}"
        room = self.contentsRect().width() - PARENT_MARGIN
        self._parent_button.setText(self.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, room))
        self._parent_button.setEnabled(bool(control.parents and control.parents[0].clip))
        hint(self._parent_button, words, "Go to the clip that this one was made from")

    def _go_to_parent(self) -> None:
        clip = self.clip
        if clip is not None and clip.request is not None and clip.request.control is not None:
            self.lineage.emit(clip.request.control.parents[0].clip)

    def _update_words(self) -> None:
        """What each control would keep and change, and whether the model has it."""
        clip = self.clip
        info = info_of(clip.model) if clip is not None else None
        distance = round(self._value(self.distance) * 100)
        marked = self.wave.range
        at = self.wave.position
        words = {
            "regenerate": "New events, new sound; the words stay.",
            "retexture": f"Events stay; {distance} % of the surface is new.",
            "rearrange": f"Kept up to the cursor at {at:.1f} s; new events after it.",
            "repair": f"New between {marked[0]:.2f} and {marked[1]:.2f} s, all else kept."
            if marked
            else "Drag over the waveform to mark what is to be new.",
            "purify": "Cleaned under the prompt; timing stays.",
            "morph": "Between the two selected clips." if len(self._selected) == 2 else "Select two clips.",
            "more": f"Between the {len(self._selected)} selected clips."
            if len(self._selected) > 1
            else "Select several clips.",
            "model": "The same words.",
        }
        for name, label in self._words.items():
            label.setText(words[name])
            reason = self._why_not(name, clip, info)
            self._buttons[name].setEnabled(not reason)
            hint(self._buttons[name], self._buttons[name].text(), reason or words[name])

    def _why_not(self, name: str, clip: Clip | None, info: ModelInfo | None) -> str:
        """Why a control can't be used now; empty if it can."""
        if clip is None:
            return "Choose a clip first."
        if name == "model":
            return ""
        if info is None:
            return f"The model {clip.model} is not here."
        if sentence := info.why_not(name):
            return sentence
        if name == "repair" and self.wave.range is None:
            return "Drag over the waveform to mark what is to be new."
        if name == "rearrange" and not 0.0 <= self.wave.position < clip.seconds:
            return "Put the cursor where the new events are to begin."
        if name == "morph" and len(self._selected) != 2:
            return "Select two clips."
        if name == "more" and len(self._selected) < 2:
            return "Select several clips."
        return ""

    def _repair(self) -> None:
        if self.wave.range is not None:
            self._ask(Ask("repair", start=self.wave.range[0], end=self.wave.range[1]))

    def _ask(self, ask: Ask) -> None:
        self.asked.emit(ask)

    @staticmethod
    def _value(slider: QSlider) -> float:
        return slider.value() / 100


def _band_hz(clip: Clip | None) -> float | None:
    """Where the sound of a clip ends; of one that does not say so, where its model's does."""
    if clip is None or clip.band_hz is not None:
        return None if clip is None else clip.band_hz
    info = info_of(clip.model)
    return None if info is None else info.band_hz


def _scrolling(content: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setObjectName("bare")
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setWidget(content)
    content.setObjectName("bare")
    area.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setMinimumHeight(64)
    return area


def _slider(value: float, name: str, description: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    slider.setValue(round(value * 100))
    slider.setFixedWidth(SLIDER_WIDTH)
    hint(slider, name, description)
    return slider


def _near_far(slider: QSlider) -> QWidget:
    box = QWidget()
    layout = QHBoxLayout(box)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(5)
    for widget in (QLabel("near"), slider, QLabel("far")):
        if isinstance(widget, QLabel):
            widget.setObjectName("dim")
        layout.addWidget(widget)
    return box
