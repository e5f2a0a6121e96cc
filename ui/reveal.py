"""Showing a file in the platform's own file manager, selected where that can be asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PyQt6.QtCore import QUrl
from PyQt6.QtGui import QDesktopServices

ASK_SECONDS = 3.0


def reveal(path: Path) -> None:
    """Show a file in its folder; where no file manager can select it, the folder is opened."""
    if not any(_runs(command) for command in commands(path)):
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))


def commands(path: Path, platform: str = sys.platform) -> list[list[str]]:
    """What selects a file on a platform. Linux: https://www.freedesktop.org/wiki/Specifications/file-manager-interface"""
    if platform == "win32":
        return [["explorer", "/select,", str(path)]]
    if platform == "darwin":
        return [["open", "-R", str(path)]]
    name = "org.freedesktop.FileManager1"
    address = QUrl.fromLocalFile(str(path)).toEncoded().data().decode("ascii").replace(",", "%2C")  # commas part items
    ask = ["dbus-send", "--session", "--print-reply", f"--dest={name}", "/org/freedesktop/FileManager1"]
    return [[*ask, f"{name}.ShowItems", f"array:string:{address}", "string:"]]


def _runs(command: list[str]) -> bool:
    """Whether a command does what it was asked for. Explorer says 1 in any case."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 or command[0] == "explorer"
