"""Putting scripts into DAWs from the window, into real folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from bridge.program import Program
from ui.set_up import DAWS, SetUp
from ui.window import Window


def choose(dialog: SetUp, name: str, folder: Path) -> None:
    index = next(index for index, daw in enumerate(DAWS) if name in daw.title)
    dialog.daw.setCurrentIndex(index)
    dialog.folder.setText(str(folder))


@pytest.mark.parametrize(
    ("name", "mark", "script", "step"),
    [
        ("Ardour", "config", "scripts/dcldm_generate.lua", "Lua Scripts"),
        ("REAPER", "reaper.ini", "Scripts/dcldm/dcldm_generate.lua", "start REAPER"),
        ("Live", "", "Remote Scripts/DCLDM/__init__.py", "Control Surface"),
    ],
)
def test_scripts_go_in_and_out(
    qtbot: QtBot, window: Window, program: Program, tmp_path: Path, name: str, mark: str, script: str, step: str
) -> None:
    folder = tmp_path / "ardour7"
    folder.mkdir()
    if mark:
        (folder / mark).touch()
    dialog = SetUp(program.settings, 8710, window)
    choose(dialog, name, folder)
    dialog.put_in()
    assert step in dialog.answer.text()
    assert (folder / script).is_file()
    dialog.take_out()
    assert "taken out" in dialog.answer.text()
    assert not (folder / script).exists()


def test_a_wrong_folder_is_one_sentence(qtbot: QtBot, window: Window, program: Program, tmp_path: Path) -> None:
    dialog = SetUp(program.settings, 8710, window)
    choose(dialog, "REAPER", tmp_path)
    dialog.put_in()
    assert "reaper.ini" in dialog.answer.text()
    assert dialog.answer.objectName() == "error"
    assert not (tmp_path / "Scripts").exists()
