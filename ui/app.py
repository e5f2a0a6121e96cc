"""`dcldm` and `dcldm window`: the companion window, with the bridge inside."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from PyQt6 import sip
from PyQt6.QtCore import QSettings, Qt, QTimer
from PyQt6.QtGui import QGuiApplication
from PyQt6.QtWidgets import QApplication

from bridge.osc import OscSocket, check_port
from bridge.program import open_socket, running
from dcldm_plugin.commands import Parser, log_file
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.settings import Settings, load, only_instance
from ui import theme
from ui.commands import KeysForWidgets
from ui.window import Window

STORED = "window.ini"


def main(arguments: Sequence[str]) -> int:
    """Open the window; returns when it is closed. Raises `DcldmError` if that can't begin."""
    parser = Parser("window", "The companion window. DAWs talk to it while it is open.")
    parser.add_argument("--port", type=int, metavar="N", help="UDP port on 127.0.0.1; 0 for any free one")
    options = parser.parse_args(arguments)
    settings = load(options.home)
    port = settings.osc_port if options.port is None else check_port(options.port, or_any=True)
    _check_screen()
    with ExitStack() as stack:
        stack.enter_context(only_instance(settings))
        stack.enter_context(log_file(settings))
        osc, problem = _socket(settings, port)
        stack.callback(osc.stop)
        application = make_application()
        # Python handles signals only while it runs: a timer lets it, now and then, and ends what has begun by then.
        asked_to_stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda number, _: asked_to_stop.append(number))
        awake = QTimer()
        awake.timeout.connect(lambda: application.quit() if asked_to_stop else None)
        awake.start(200)
        stored = QSettings(str(settings.home / STORED), QSettings.Format.IniFormat)
        theme.apply(application, str(stored.value("theme", "system")))
        program = stack.enter_context(running(settings, osc))
        window = Window(program, stored)
        if problem:
            window.say(problem, bad=True)
        window.show()
        try:
            return application.exec()
        finally:
            awake.stop()
            end(window)


def end(window: Window) -> None:
    """The last of a window: all of it goes before the application object does, whatever order Python would choose.

    Without that, one process in six ended in a crash.
    """
    window.shut()
    sip.delete(window)
    theme.forget()


def _check_screen() -> None:
    """Raises `DcldmError` where there is no screen: Qt would end the process without a word."""
    is_desktop = sys.platform in {"win32", "darwin"}
    if not is_desktop and not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        raise InvalidInput(
            "There is no screen here to open the window on (DISPLAY is not set); "
            "use `dcldm generate` or `dcldm serve`, or see `dcldm --help`."
        )


def make_application() -> QApplication:
    """Qt's application object, with what is wanted of it whatever the window."""
    QGuiApplication.setHighDpiScaleFactorRoundingPolicy(Qt.HighDpiScaleFactorRoundingPolicy.PassThrough)
    made = QApplication(sys.argv[:1])
    made.setApplicationName("dcldm")
    made.setApplicationDisplayName("DC-LDM")
    KeysForWidgets(made)
    return made


def _socket(settings: Settings, port: int) -> tuple[OscSocket, str]:
    """The socket that DAWs speak to; if it can't be had as it was wanted, any other, and a word about it."""
    try:
        return open_socket(settings, port), ""
    except DcldmError as error:
        logging.getLogger(__name__).warning("%s", error)
        return OscSocket(0), f"DAWs can't reach this window: {error}"
