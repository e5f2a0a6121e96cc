"""The window: pages behind tabs, the host bar above them, one line of news below."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from PyQt6.QtCore import QSettings, QSize, Qt, QTimer
from PyQt6.QtGui import QCloseEvent, QGuiApplication
from PyQt6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QHBoxLayout,
    QMainWindow,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from bridge.program import Program
from dcldm_plugin.delivery import Delivery
from dcldm_plugin.settings import Settings
from dcldm_plugin.store import Store
from ui import theme
from ui.commands import Commands
from ui.hosts import HostBar
from ui.signals import Background, SessionSignals
from ui.takes_page import TakesPage
from ui.widgets import hint, paint, text_label, tool

if TYPE_CHECKING:
    from ui.models_page import ModelsPage
    from ui.settings_page import SettingsPage
    from ui.spotting_page import SpottingPage

Page = TypeVar("Page", "TakesPage", "SpottingPage", "ModelsPage", "SettingsPage")
NEWS_MILLISECONDS = 8000  # how long good news stays; bad news stays until there is other
SIZE = QSize(520, 900)


class Window(QMainWindow):
    """Everything that the user sees. `shut` lets go of all that it holds."""

    def __init__(self, program: Program, stored: QSettings) -> None:
        super().__init__()
        self._stored = stored
        self.setWindowTitle("DC-LDM")
        self.setWindowIcon(theme.icon("ear"))
        self.commands = Commands(self, stored)
        self.signals = SessionSignals(program.session, program.spotting)
        self.background = Background()
        self.hosts = HostBar(program.hosts, str(stored.value("host", "")))
        self.takes = TakesPage(program, self.signals, self.background, self.hosts, self.commands, stored)
        self._program = program
        self._pages = QStackedWidget()
        self._tabs = QButtonGroup(self)
        self._news = text_label("News")
        self._build()
        self._restore()

    def _build(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(0)
        pages: dict[str, Callable[[], QWidget]] = {
            "view_make": lambda: self.takes,
            "view_spotting": lambda: self.spotting,
            "view_models": lambda: self.models,
            "view_settings": lambda: self.settings,
        }
        for name, page in pages.items():
            action = self.commands[name]
            tab = QPushButton(action.text())
            tab.setObjectName("tab")
            tab.setCheckable(True)
            hint(tab, action.text(), action.toolTip())
            tab.clicked.connect(action.trigger)
            action.triggered.connect(lambda _=False, page=page, tab=tab: self._show(page(), tab))
            self._tabs.addButton(tab)
            bar.addWidget(tab)
        self._add(self.takes)
        self._tabs.buttons()[0].setChecked(True)
        bar.addStretch(1)
        bar.addWidget(tool(self.commands["dock"], "pin"))
        whole = QWidget()
        whole.setObjectName("page")
        layout = QVBoxLayout(whole)
        layout.setContentsMargins(10, 6, 10, 8)
        layout.setSpacing(8)
        layout.addLayout(bar)
        layout.addWidget(self.hosts)
        layout.addWidget(self._pages, 1)
        layout.addWidget(self._news)
        self.setCentralWidget(whole)
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.timeout.connect(lambda: self.say(""))
        self.say("")
        for place in (self.hosts, self.takes):
            place.set_up.connect(self._set_up)
        self.commands["dock"].toggled.connect(self._dock)
        self.commands["quit"].triggered.connect(self.close)
        self.takes.prompt.prompt.setFocus()

    # Pages that are made when they are looked at first: the window is to be there at once.

    @cached_property
    def spotting(self) -> SpottingPage:
        from ui.spotting_page import SpottingPage

        page = self._add(SpottingPage(self._program, self.signals, self.background, self.hosts))
        page.takes_wanted.connect(self._show_takes)
        return page

    @cached_property
    def models(self) -> ModelsPage:
        from ui.models_page import ModelsPage

        return self._add(ModelsPage(Store(self._program.settings.home / "models"), self.background))

    @cached_property
    def settings(self) -> SettingsPage:
        from ui.settings_page import SettingsPage

        page = self._add(SettingsPage(self._program.settings, self.commands, self._stored))
        page.restyled.connect(restyle)
        page.saved.connect(self._settings_saved)
        page.device_chosen.connect(self._choose_device)
        return page

    def _add(self, page: Page) -> Page:
        page.said.connect(lambda words, bad: self.say(words, bad=bad))
        self._pages.addWidget(page)
        return page

    def _restore(self) -> None:
        self.resize(SIZE)
        geometry = self._stored.value("geometry")
        if geometry is not None:
            self.restoreGeometry(geometry)
        self._dock(self.commands["dock"].isChecked())
        self.takes.recall_settings(self._stored)

    @property
    def news(self) -> str:
        """What was said last."""
        return self._news.text()

    def say(self, words: str, *, bad: bool = False) -> None:
        """One line of news, which can be copied."""
        paint(self._news, "error" if bad else "dim")
        self._news.setText(words)
        self._news.setVisible(bool(words))
        self._quiet.stop()
        if words and not bad:
            self._quiet.start(NEWS_MILLISECONDS)

    def _show(self, page: QWidget, tab: QPushButton) -> None:
        tab.setChecked(True)
        self._pages.setCurrentWidget(page)
        self.commands.enable(("Place", "Choose", "Vary"), page is self.takes)

    def _show_takes(self, job_id: str) -> None:
        self.commands["view_make"].trigger()
        self.takes.go_to_request(job_id)

    def _choose_device(self, name: str) -> None:
        self.takes.audition.player.device = name

    def _settings_saved(self, settings: Settings) -> None:
        """What need not wait for the next start."""
        self._program.session.commercial_only = settings.commercial_only
        self._program.library.delivery = Delivery.of(settings)

    def _set_up(self) -> None:
        from ui.set_up import SetUp

        SetUp(self._program.settings, self._program.osc.port, self).show()

    def _dock(self, on: bool) -> None:
        """Above all other windows, or not. To change that, Qt has to show the window anew."""
        visible = self.isVisible()
        self.setWindowFlag(Qt.WindowType.WindowStaysOnTopHint, on)
        if visible:
            self.show()

    def closeEvent(self, event: QCloseEvent | None) -> None:
        super().closeEvent(event)
        QGuiApplication.quit()

    def shut(self) -> None:
        """Remember how it was, and stop what runs for it."""
        self._stored.setValue("geometry", self.saveGeometry())
        self._stored.setValue("host", self.hosts.chosen if self.hosts.user_chose else "")
        self.commands.store()
        self.takes.store_settings(self._stored)
        self._stored.sync()
        self.hosts.stop()
        self.takes.close_down()
        self.signals.close()
        self.background.close()


def restyle(theme_name: str) -> None:
    """Dress the running application anew."""
    application = QApplication.instance()
    if isinstance(application, QApplication):
        theme.apply(application, theme_name)
