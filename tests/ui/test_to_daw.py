"""What goes to the DAW and comes back from it, as far as the window is concerned; no DAW runs here."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from bridge.host import Hello
from bridge.program import Program
from dcldm_plugin.types import Clip, GenerationRequest
from ui import theme
from ui.hosts import state_of
from ui.reveal import commands
from ui.window import Window

PATIENCE = 120_000  # milliseconds; the machine may be busy with other work


@pytest.fixture
def clip(qtbot: QtBot, window: Window, program: Program) -> Clip:
    """The first of two takes in the list, which is current."""
    job = program.session.submit(GenerationRequest.create("rain", variations=2, seconds=0.5, model="tone"))
    model = window.takes.model
    qtbot.waitUntil(lambda: model.rowCount() == 3 and model.row(model.index(2)).clip is not None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: program.session.wait(job.id, 0.1).state.over, timeout=PATIENCE)
    window.takes.view.setFocus()
    window.takes.view.go_to(model.index(1))
    clip = window.takes.detail.clip
    assert clip is not None
    return clip


def say_hello(window: Window, program: Program, item: str = "", file: str = "") -> None:
    """As the script in Ardour does, with an item selected."""
    hello = Hello("scene", 48_000, track="FX", position=96_000, item=item, file=file)
    program.hosts["ardour"].hear(hello)
    window.hosts.look()
    assert window.hosts.chosen == "ardour"


def test_what_is_dragged_out_is_marked_as_placed(window: Window, program: Program, clip: Clip) -> None:
    window.takes.view.dragged.emit([clip])
    known = program.library.get(clip.id)
    assert known is not None and known.marks.placed and "handed over" in window.news


def test_the_clip_that_is_selected_in_the_daw_is_shown_and_replaced(
    qtbot: QtBot, window: Window, program: Program, clip: Clip
) -> None:
    window.takes.view.go_to(window.takes.model.index(2))
    window.commands["item"].trigger()
    assert "no timeline" in window.news
    say_hello(window, program)
    window.commands["item"].trigger()
    assert "No sound is selected" in window.news
    say_hello(window, program, "region 7", str(clip.path))
    window.commands["item"].trigger()
    assert window.takes.detail.clip is not None and window.takes.detail.clip.id == clip.id
    window.commands["regenerate_item"].trigger()
    qtbot.waitUntil(lambda: len(program.session.jobs()) == 2, timeout=PATIENCE)
    request = program.session.jobs()[0].request
    assert request.control is not None and request.control.kind == "regenerate" and request.target is not None
    assert (request.target.item, request.target.track, request.target.position) == ("region 7", "FX", 96_000)
    program.session.cancel_all()


def test_what_is_made_of_the_selected_item_takes_its_place(
    window: Window, program: Program, clip: Clip, tmp_path: Path
) -> None:
    say_hello(window, program, "region 7", str(clip.path))
    assert window.takes.to_daw.target_of([clip]).item == "region 7"
    say_hello(window, program, "region 8", str(tmp_path / "theirs.wav"))
    assert window.takes.to_daw.target_of([clip]).item == ""
    assert window.takes.to_daw.item_target().item == "region 8"  # anything can be replaced


def test_the_length_of_the_selection_is_taken(qtbot: QtBot, window: Window) -> None:
    hello = {"track": "FX", "position": 10, "sample_rate": 48_000, "range_start": 48_000, "range_length": 72_000}
    state = state_of("ardour", {"sessions": {"scene": hello}})
    assert (state.range_start, state.range_length) == (48_000, 72_000)
    panel = window.takes.prompt
    panel.fit(state.range_length / state.sample_rate)
    assert panel.seconds.value() == 1.5 and not panel.seconds.isEnabled()
    panel.fit(None)
    assert panel.seconds.isEnabled()


@pytest.mark.parametrize(
    ("platform", "words"),
    [("win32", ["explorer", "/select,"]), ("darwin", ["open", "-R"]), ("linux", ["dbus-send", "ShowItems"])],
)
def test_a_file_is_selected_in_the_file_manager(tmp_path: Path, platform: str, words: list[str]) -> None:
    [command] = commands(tmp_path / "a, b.wav", platform)
    assert command[0] == words[0] and words[1] in " ".join(command)
    if platform == "linux":
        assert command[-2].startswith("array:string:file:///") and "a%2C%20b.wav" in command[-2]


def test_icons_follow_the_look(window: Window, qtbot: QtBot) -> None:
    def colour() -> str:
        image = window.takes.detail.findChild(type(window.takes.fit)).icon().pixmap(16).toImage()
        pixels = (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
        return next(pixel.name() for pixel in pixels if pixel.alpha() == 255)

    assert colour() == theme.DARK.text
    window.settings.restyled.emit("light")
    assert colour() == theme.LIGHT.text
    window.settings.restyled.emit("dark")
