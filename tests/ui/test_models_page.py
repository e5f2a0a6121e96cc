"""The page of models: what is said of them before they are there, and the token that opens weights behind a licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PyQt6.QtWidgets import QLabel, QLineEdit, QPushButton
from pytestqt.qtbot import QtBot

from dcldm_plugin.hub import Hub
from dcldm_plugin.sources import PARTS
from dcldm_plugin.store import Store
from ui.models_page import ModelsPage, fits
from ui.signals import Background

STABLE = "stable-audio-open-1.0"


def test_weights_behind_a_licence_are_opened_by_a_token(qtbot: QtBot, tmp_path: Path, hub: Any) -> None:
    hub.gated[PARTS[STABLE].repository], hub.tokens = {"mine"}, {"mine"}
    page = ModelsPage(Store(tmp_path / "models", Hub(hub.address)), Background())
    qtbot.addWidget(page)
    page.show()
    title = PARTS[STABLE].title
    (field,) = (each for each in page.findChildren(QLineEdit) if each.accessibleName() == f"Access token for {title}")
    assert field.echoMode() is QLineEdit.EchoMode.Password
    assert any(f"{hub.address}/{PARTS[STABLE].repository}" in label.text() for label in page.findChildren(QLabel))
    (install,) = (each for each in page.findChildren(QPushButton) if each.accessibleName() == f"Install {title}")
    field.setText("mine")
    with qtbot.waitSignal(page.said, timeout=60_000) as said:
        install.click()
    assert said.args == [f"{STABLE} is installed.", False]
    assert not any(title in each.accessibleName() for each in page.findChildren(QLineEdit))  # nothing more to ask


def test_whether_a_model_fits_the_memory_of_this_machine() -> None:
    assert fits([5_000_000_000], 16_000_000_000) == "needs about 8 GB of memory of 16"
    assert "take turns" in fits([5_000_000_000, 4_000_000_000, 3_000_000_000], 10_000_000_000)
    assert "too large" in fits([5_000_000_000], 4_000_000_000)
