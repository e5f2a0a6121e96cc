"""The prompt panel: what to make, how long, how many, with which model, and what it should follow."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtCore import QEvent, QObject, QSettings, Qt, pyqtSignal
from PyQt6.QtGui import QDropEvent
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import (
    MAX_CANDIDATES,
    MAX_VARIATIONS,
    MIN_SECONDS,
    SEED_LIMIT,
    Control,
    GenerationRequest,
    ModelInfo,
    Sampling,
    TimelineTarget,
)
from dcldm_plugin.variations import AMOUNTS, audio_source
from ui import theme
from ui.prompt_edit import PromptEdit
from ui.widgets import TakesFile, file_of, hint, paint, text_label

ALTERNATES = 4
STEREO_WORDS = "0 is mono; left and right share events and differ in texture"
# Words after which another event begins. A plain "and" is left out: "rain and wind" is one scene.
_NEXT_EVENT = re.compile(
    r"\s*(?:;|\+|,?\s*\b(?:and then|then|followed by|and after that|after which)\b)\s*", re.IGNORECASE
)
EXAMPLES = (
    "heavy rain on a tin roof",
    "distant thunder rolling over hills",
    "small camp fire crackling at night",
    "birds singing in a quiet forest",
)


def layers(text: str) -> list[str]:
    """The events that a prompt names one after the other, if there are several; else the prompt alone."""
    found = [part.strip(" ,.") for part in _NEXT_EVENT.split(text)]
    return [part for part in found if part] or [text]


@dataclass(frozen=True, slots=True)
class Draft:
    """What the panel says, without a target: enough to make requests of."""

    text: str
    negative: str
    seconds: float
    alternates: int
    seed: int
    model: str
    sampling: Sampling
    control: Control | None
    loop: bool
    stereo: float

    def request(self, target: TimelineTarget | None, text: str = "") -> GenerationRequest:
        """Raises `InvalidInput`."""
        return GenerationRequest.create(
            text or self.text,
            negative=self.negative,
            seconds=self.seconds,
            variations=self.alternates,
            seed=self.seed,
            model=self.model,
            sampling=self.sampling,
            target=target,
            control=self.control,
            loop=self.loop,
            stereo=self.stereo,
        )


class PromptPanel(TakesFile, QFrame):
    """`asked` is emitted with the texts to make: one, or one for each layer."""

    asked = pyqtSignal(list)

    def __init__(self, model: str) -> None:
        super().__init__()
        self.setObjectName("card")
        self.setAcceptDrops(True)
        self.reference: Path | None = None
        self.prompt = PromptEdit()
        viewport = self.prompt.viewport()
        if viewport is not None:
            viewport.installEventFilter(self)
        self.prompt.installEventFilter(self)
        self.seconds = QDoubleSpinBox()
        self.seconds.setRange(MIN_SECONDS, 600.0)
        self.seconds.setDecimals(2)
        self.seconds.setValue(10.0)
        self.seconds.setSuffix(" s")
        hint(self.seconds, "Length in seconds")
        self.alternates = QSpinBox()
        self.alternates.setRange(1, MAX_VARIATIONS)
        self.alternates.setValue(ALTERNATES)
        self.alternates.setPrefix("× ")
        hint(self.alternates, "Alternates")
        self.models = QComboBox()
        self._infos: dict[str, ModelInfo] = {name: entry.info for name, entry in registry.models().items()}
        for info in self._infos.values():
            self.models.addItem(info.name)
            self.models.setItemData(self.models.count() - 1, info.title, Qt.ItemDataRole.ToolTipRole)
        self.models.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.models.setMinimumContentsLength(12)  # names may be long; the list of them is as wide as it needs
        self.models.setCurrentText(model)
        hint(self.models, "Model")
        self.badge = QLabel()
        self.badge.setObjectName("dim")
        self.badge.setSizePolicy(self.badge.sizePolicy().Policy.Ignored, self.badge.sizePolicy().Policy.Preferred)
        self.more = QToolButton()
        self.more.setCheckable(True)
        theme.set_icon(self.more, "more")
        hint(self.more, "More controls", "Negative prompt, seed, sampling, loop, stereo")
        self.go = QPushButton("Generate")
        self.go.setObjectName("primary")
        hint(self.go, "Generate", "Generate (Ctrl+Return)")
        self.problem = text_label("Problem", "error")
        self.problem.hide()
        self.split = QPushButton()
        self.split.setObjectName("link")
        self.split.hide()

        self._row = row = QHBoxLayout()
        row.setSpacing(6)
        for widget in (self.seconds, self.alternates, self.more):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(self.go)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.setSpacing(8)
        layout.addWidget(self.prompt)
        layout.addWidget(self.split)
        layout.addWidget(self._reference_row())
        layout.addWidget(self.problem)
        layout.addLayout(row)
        with_what = QHBoxLayout()
        with_what.addWidget(self.models)
        with_what.addWidget(self.badge, 1)
        layout.addLayout(with_what)
        self.details = self._details()
        self.details.hide()
        layout.addWidget(self.details)

        self.more.toggled.connect(self._unfold)
        self.go.clicked.connect(lambda: self.ask())
        self.split.clicked.connect(lambda: self.asked.emit(layers(self.prompt.toPlainText())))
        self.models.currentTextChanged.connect(self._model_changed)
        self.prompt.textChanged.connect(self._text_changed)
        self._model_changed()
        self._text_changed()

    def _reference_row(self) -> QWidget:
        self._reference = QFrame()
        self._reference.setObjectName("banner")
        self._reference_name = QLabel()
        self.weight = QSlider(Qt.Orientation.Horizontal)
        self.weight.setRange(0, 100)
        self.weight.setValue(round(AMOUNTS["like"] * 100))
        self.weight.setMaximumWidth(120)
        hint(self.weight, "Weight of the reference", "How closely the timing of the reference is followed")
        forget = QToolButton()
        forget.setObjectName("flat")
        theme.set_icon(forget, "close")
        hint(forget, "Forget the reference")
        forget.clicked.connect(lambda: self.follow(None))
        layout = QHBoxLayout(self._reference)
        layout.setContentsMargins(10, 4, 4, 4)
        layout.addWidget(self._reference_name, 1)
        layout.addWidget(self.weight)
        layout.addWidget(forget)
        self._reference.hide()
        return self._reference

    def _details(self) -> QWidget:
        details = QWidget()
        self.negative = QLineEdit()
        self.negative.setPlaceholderText("what should not be heard")
        hint(self.negative, "Negative prompt")
        self.seed = QLineEdit(str(secrets.randbelow(2**31)))
        self.seed.setMaximumWidth(180)
        hint(self.seed, "Seed", "Alternate A has this seed for structure and texture, B the next, and so on")
        self.lock = QToolButton()
        self.lock.setCheckable(True)
        theme.set_icon(self.lock, "unlock")
        hint(self.lock, "Keep the seed", "Keep this seed for the next request; else each draws a new one")
        self.lock.toggled.connect(lambda on: theme.set_icon(self.lock, "lock" if on else "unlock"))
        self.seed.textEdited.connect(lambda: self.lock.setChecked(True))
        self.steps = QSpinBox()
        self.steps.setRange(0, 1000)
        self.steps.setSpecialValueText("model's own")
        hint(self.steps, "Denoising steps")
        self.guidance = QDoubleSpinBox()
        self.guidance.setRange(-0.5, 30.0)
        self.guidance.setSingleStep(0.5)
        self.guidance.setDecimals(1)
        self.guidance.setValue(-0.5)
        self.guidance.setSpecialValueText("model's own")
        hint(self.guidance, "Guidance scale", "How strictly the words are followed; more is stricter and harsher")
        self.sampler = QLineEdit()
        self.sampler.setPlaceholderText("model's own")
        hint(self.sampler, "Sampler")
        self.candidates = QSpinBox()
        self.candidates.setRange(0, MAX_CANDIDATES)
        self.candidates.setSpecialValueText("model's own")
        hint(self.candidates, "Candidates", "Each alternate is the one of so many sounds that fits the words best")
        self.loop = QCheckBox("Seamless loop")
        hint(self.loop, "Seamless loop")
        self.stereo = QSlider(Qt.Orientation.Horizontal)
        self.stereo.setRange(0, 100)
        hint(self.stereo, "Stereo width", STEREO_WORDS)
        form = QFormLayout(details)
        form.setContentsMargins(0, 4, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.addRow("Without", self.negative)
        seeds = QHBoxLayout()
        seeds.addWidget(self.seed)
        seeds.addWidget(self.lock)
        seeds.addStretch(1)
        seeds.addWidget(self.loop)
        form.addRow("Seed", seeds)
        sampling = QHBoxLayout()
        for widget in (self.steps, self.guidance, self.sampler):
            sampling.addWidget(widget, 1)
        form.addRow("Steps, guidance, sampler", sampling)
        form.addRow("Best of candidates", self.candidates)
        form.addRow("Stereo width", self.stereo)
        return details

    def add_tool(self, button: QWidget, place: int = -1) -> None:
        """A button of the page, left of Generate or at a place of its own."""
        self._row.insertWidget(self._row.count() - 1 if place < 0 else place, button)

    def fit(self, seconds: float | None) -> None:
        """Take a length from elsewhere in place of the field's own; None gives it back to the user."""
        self.seconds.setEnabled(seconds is None)
        if seconds is not None and abs(seconds - self.seconds.value()) > 0.01:
            self.seconds.setValue(seconds)

    def store_settings(self, stored: QSettings) -> None:
        """Keep what is filled in, also a prompt that was not used yet."""
        stored.setValue("prompt/text", self.prompt.toPlainText())
        stored.setValue("prompt/seconds", self.seconds.value())
        stored.setValue("prompt/alternates", self.alternates.value())
        stored.setValue("prompt/model", self.models.currentText())

    def recall_settings(self, stored: QSettings) -> None:
        self.prompt.take(str(stored.value("prompt/text", "")))
        self.seconds.setValue(stored.value("prompt/seconds", self.seconds.value(), float))
        self.alternates.setValue(stored.value("prompt/alternates", ALTERNATES, int))
        self.models.setCurrentText(str(stored.value("prompt/model", self.models.currentText())))

    # What it says

    def ask(self) -> None:
        """As if Generate was pressed."""
        self.asked.emit([self.prompt.toPlainText()])

    def draft(self) -> Draft:
        """What is filled in. Raises `InvalidInput` for a reference that is gone or a seed that is none."""
        source = None if self.reference is None else audio_source(self.reference)
        return Draft(
            text=self.prompt.toPlainText(),
            negative=self.negative.text(),
            seconds=self.seconds.value(),
            alternates=self.alternates.value(),
            seed=self._seed(),
            model=self.models.currentText(),
            sampling=Sampling(
                sampler=self.sampler.text() or None,
                steps=self.steps.value() or None,
                guidance_scale=self.guidance.value() if self.guidance.value() >= 0.0 else None,
                candidates=self.candidates.value() or None,
            ),
            control=None if source is None else Control("like", amount=self.weight.value() / 100, audio=source),
            loop=self.loop.isChecked() and self.loop.isEnabled(),
            stereo=self.stereo.value() / 100 if self.stereo.isEnabled() else 0.0,
        )

    def submitted(self, text: str) -> None:
        """A request was taken: remember its words, and draw another seed unless it is to stay."""
        self.prompt.remember(text)
        self.say("")
        if not self.lock.isChecked():
            self.seed.setText(str(secrets.randbelow(2**31)))

    def say(self, problem: str) -> None:
        """Show what is wrong, in place; an empty text takes it away."""
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))

    def follow(self, file: Path | None) -> None:
        """Let what is made follow the timing of an audio file, or of none."""
        self.reference = file
        self._reference.setVisible(file is not None)
        if file is not None:
            self._reference_name.setText(f"Like  {file.name}")
            self._reference_name.setToolTip(str(file))

    def recall(self, request: GenerationRequest) -> None:
        """Fill in what made a take, so that it can be changed and made again."""
        self.prompt.take(request.prompt.text)
        self.negative.setText(request.prompt.negative)
        self.seconds.setValue(request.seconds)
        self.models.setCurrentText(request.model)
        self.seed.setText(str(request.seeds[0].structure))
        self.lock.setChecked(True)
        self.loop.setChecked(request.loop)
        self.stereo.setValue(round(request.stereo * 100))
        sampling = request.sampling
        self.steps.setValue(sampling.steps or 0)
        self.guidance.setValue(-0.5 if sampling.guidance_scale is None else sampling.guidance_scale)
        self.sampler.setText(sampling.sampler or "")
        self.candidates.setValue(sampling.candidates or 0)

    def info(self) -> ModelInfo:
        """Of the chosen model."""
        return self._infos[self.models.currentText()]

    def _seed(self) -> int:
        text = self.seed.text().strip()
        if not text.isascii() or not text.isdigit() or int(text) >= SEED_LIMIT:
            raise DcldmError(f"The seed must be a whole number from 0 to {SEED_LIMIT - 1}.")
        return int(text)

    def _unfold(self, on: bool) -> None:
        self.details.setVisible(on)
        theme.set_icon(self.more, "less" if on else "more")

    def _model_changed(self) -> None:
        info = self.info()
        sells = "clips may be sold" if info.commercial_use else "clips may not be sold"
        self.badge.setText(f"{sells.capitalize()} · nothing above {info.band_hz / 1000:g} kHz · {info.licence}")
        paint(self.badge, "dim" if info.commercial_use else "error")
        self.badge.setToolTip(f"{info.title}\nLicence {info.licence}: {sells}\nNothing above {info.band_hz:g} Hz")
        self.badge.setAccessibleName(f"{info.title}; {info.licence}, {sells}; nothing above {info.band_hz:g} hertz")
        self.seconds.setMaximum(info.longest_seconds)
        for name, field, words in (
            ("negative", self.negative, ""),
            ("loop", self.loop, ""),
            ("stereo", self.stereo, STEREO_WORDS),
        ):
            reason = info.why_not(name)
            field.setEnabled(not reason)
            field.setToolTip(reason or words)

    def _text_changed(self) -> None:
        text = self.prompt.toPlainText()
        self.go.setEnabled(bool(text.strip()))
        found = layers(text)
        self.split.setVisible(len(found) > 1)
        self.split.setText(f"These are {len(found)} events: make them as {len(found)} layers")
        self.split.setAccessibleName(f"Make {len(found)} layers, one for each event")

    # Files that are dropped on it

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """The text field would take a file's address as text; here it is a reference."""
        if isinstance(event, QDropEvent) and file_of(event) is not None:
            if event.type() == QEvent.Type.Drop:
                self.dropEvent(event)
            else:
                event.acceptProposedAction()
            return True
        return super().eventFilter(watched, event)

    def take_file(self, file: Path) -> None:
        self.follow(file)
