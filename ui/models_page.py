"""Models: what there is, what it may be used for, and bringing and removing public weights."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence

from PyQt6.QtCore import Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import (
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QWidget,
)

from dcldm_plugin.engine import registry
from dcldm_plugin.sources import MODELS, PARTS, Part
from dcldm_plugin.store import Store
from dcldm_plugin.types import ModelInfo
from ui.signals import Background
from ui.widgets import CardsPage, hint, text_label, wrapped

LOOK_MILLISECONDS = 500
TAKE_BYTES = 3_000_000_000  # what a full-size model needs besides its weights, in 32 bits


class ModelsPage(CardsPage):
    """One card for each model. Only those that can be run or installed are shown, not every row of a table."""

    _told = pyqtSignal(str)

    def __init__(self, store: Store, background: Background) -> None:
        super().__init__("Models")
        self._store, self._background = store, background
        self._busy = ""  # the model that is being installed or removed
        self._step = ""
        self._clock = QTimer(self)
        self._clock.setInterval(LOOK_MILLISECONDS)
        self._clock.timeout.connect(self._look)
        self._told.connect(lambda words: self._say(words))

    def showEvent(self, event: QShowEvent | None) -> None:
        """Looks at the disk only when somebody looks at the page: the window is to be there at once."""
        super().showEvent(event)
        if self.widget() is None:
            self.refresh()

    def refresh(self) -> None:
        """Look again at what is installed."""
        installable = {
            name: model.info for name, model in MODELS.items() if all(PARTS[p].repository for p in model.parts)
        }
        self._runnable = registry.models()
        problems = [wrapped(sentence, "error") for sentence in registry.broken()]
        bundled = {name: entry.info for name, entry in self._runnable.items() if name not in MODELS}
        cards = [self._card(info) for info in (bundled | installable).values()]
        self.show_cards([self._on_disk(), *problems, *cards])

    def _on_disk(self) -> QLabel:
        folder = self._store.folder
        parts = {part for model in MODELS.values() for part in model.parts}
        taken = sum(manifest.size_bytes for part in parts if (manifest := self._store.manifest(part)) is not None)
        there = next(path for path in (folder, *folder.parents) if path.is_dir())
        free = shutil.disk_usage(there).free
        line = text_label("On disk")
        line.setText(f"{taken / 1e9:.2f} GB of models in {folder}; {free / 1e9:.0f} GB are free.")
        return line

    def _card(self, info: ModelInfo) -> QWidget:
        model = MODELS.get(info.name)
        installed = model is None or self._store.installed(model)
        card = QFrame()
        card.setObjectName("card")
        grid = QGridLayout(card)
        grid.setContentsMargins(14, 10, 14, 10)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 1)
        grid.addWidget(wrapped(info.title, "title"), 0, 0)
        sells = "clips may be sold" if info.commercial_use else "clips may not be sold"
        grid.addWidget(wrapped(f"{info.licence}: {sells}", "good" if info.commercial_use else "error"), 1, 0)
        runs = "" if info.name in self._runnable else "no engine for it yet"
        size = f"{self._store.size_bytes(model) / 1e9:.2f} GB" if model is not None else "comes with dcldm"
        memory = "" if model is None else fits([PARTS[part].size_bytes for part in model.parts], _memory_bytes())
        facts = (
            info.name,
            size,
            memory,
            f"{info.sample_rate / 1000:g} kHz, nothing above {info.band_hz / 1000:g} kHz",
            f"at most {info.longest_seconds:g} s",
            runs,
        )
        grid.addWidget(wrapped("  ·  ".join(fact for fact in facts if fact)), 2, 0)
        if model is not None:
            button = QPushButton("Remove" if installed else "Install")
            hint(button, f"{button.text()} {info.title}")
            button.setEnabled(not self._busy)
            act: Callable[[str], None] = self._remove if installed else self._install
            button.clicked.connect(lambda _, name=info.name: act(name))
            grid.addWidget(button, 0, 1, 2, 1, Qt.AlignmentFlag.AlignTop)
            for part in self._store.locked(model):
                self._add_token(grid, part)
        if info.name == self._busy:
            self._bar = QProgressBar()
            self._bar.setRange(0, 0)
            self._bar.setTextVisible(False)
            self._bar.setAccessibleName(f"Installing {info.title}")
            self._line = text_label("Progress")
            for widget in (self._line, self._bar):
                grid.addWidget(widget, grid.rowCount(), 0, 1, 2)
        return card

    def _add_token(self, grid: QGridLayout, part: Part) -> None:
        """What stands before weights behind a licence, and a place for the token that opens them."""
        page = self._store.hub.page(part.repository)
        terms = wrapped(f'{part.terms} To be accepted at <a href="{page}">{page}</a> before it can be fetched.')
        terms.setOpenExternalLinks(True)
        grid.addWidget(terms, grid.rowCount(), 0, 1, 2)
        token = QLineEdit()
        token.setEchoMode(QLineEdit.EchoMode.Password)
        token.setPlaceholderText("Your access token (it is not kept)")
        hint(token, f"Access token for {part.title}")
        token.textChanged.connect(lambda text: setattr(self._store.hub, "token", text.strip() or None))
        grid.addWidget(token, grid.rowCount(), 0, 1, 2)

    def _install(self, name: str) -> None:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        self._clock.start()
        self._work(name, lambda: self._store.install(name, self._told.emit), f"{name} is installed.")

    def _remove(self, name: str) -> None:
        self._work(name, lambda: self._store.remove(name), f"{name} is removed.")

    def _work(self, name: str, work: Callable[[], object], words: str) -> None:
        self._busy = name
        self.refresh()

        def over(said: str, bad: bool) -> None:
            self._busy = ""
            self._clock.stop()
            self.refresh()
            self.said.emit(said, bad)

        self._background.do(work, lambda _: over(words, False), lambda sentence: over(sentence, True))

    def _look(self) -> None:
        """How much has arrived. The size of what is not there yet is known about only."""
        model = MODELS[self._busy]
        there, whole = self._store.present_bytes(model), self._store.size_bytes(model)
        share = min(1.0, there / max(1, whole))
        self._bar.setRange(0, 1000)
        self._bar.setValue(round(share * 1000))
        self._line.setText(f"downloading {there / 1e9:.2f} of {whole / 1e9:.2f} GB  ·  {self._step}")

    def _say(self, words: str) -> None:
        self._step = words
        if self._busy:
            self._line.setText(words)


def fits(part_bytes: Sequence[int], memory_bytes: int) -> str:
    """Whether a model with parts of these sizes fits a machine's main memory, in words; about, from its files."""
    whole, largest = sum(part_bytes) + TAKE_BYTES, max(part_bytes) + TAKE_BYTES
    here = f"{whole / 1e9:.0f} GB of memory of {memory_bytes / 1e9:.0f}"
    if whole <= memory_bytes:
        return f"needs about {here}"
    if largest <= memory_bytes:
        return f"needs about {here}: its parts will take turns, which is slower"
    return f"too large for this machine: needs about {largest / 1e9:.0f} GB of memory of {memory_bytes / 1e9:.0f}"


def _memory_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().total)
