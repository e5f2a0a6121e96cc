from __future__ import annotations

import hashlib
import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.daw import BOARD, PLACE
from bridge.host import HostError, News
from bridge.osc import OscSocket, encode
from bridge.outbox import Outbox, decode
from bridge.program import running
from bridge.reaper import DRAIN, IDS, ReaperHost, command_id, spool_folder
from bridge.spool import lines
from dcldm_plugin.cues import read_sheet
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.jobs import JobState
from dcldm_plugin.settings import Settings
from dcldm_plugin.types import Clip, Prompt, Sampling, Seeds, TimelineTarget

SCRIPTS = Path(__file__).parents[2] / "bridge" / "scripts" / "reaper"
RATE = 44_100


def make_clip(folder: Path, index: int, job: str = "job-1", peak_at: float = 0.0, seconds: float = 1.0) -> Clip:
    path = folder / f"RAINRoof_rain on a roof_{job}_{index}.wav"
    samples = np.full(round(seconds * 48_000), 1e-3)
    samples[round(peak_at * 48_000)] = 0.5
    soundfile.write(path, samples, 48_000, "PCM_24")
    prompt = Prompt("heavy rain, on a roof")
    return Clip(
        f"{job}-{index}", path, prompt, Seeds(1, 1), "tone", "1", Sampling(), job, index, 1.0, 48_000, 1, "", ""
    )


class Daw:
    """A REAPER with our scripts, its main loop on a thread, and a host that talks to it."""

    def __init__(self, fake: ModuleType, tmp_path: Path, spool: Path, **settings: Any) -> None:
        self.hearing: Any = fake.hearing
        self.until = self.hearing.until
        self.resource = tmp_path / "REAPER"
        self.scripts = self.resource / "Scripts" / "dcldm"
        shutil.copytree(SCRIPTS, self.scripts, dirs_exist_ok=True)
        (spool / "outbox").mkdir(parents=True, exist_ok=True)
        (self.scripts / "dcldm.conf").write_text(lines({"spool": spool.as_posix()}))
        self.fake: Any = fake
        self.reaper = fake.FakeReaper(self.resource, **settings)
        self.reaper.projects[0] = fake.Project(str(tmp_path / "Song one.rpp"), RATE)
        self.osc = fake.OscSurface(self.reaper)
        self.lock = threading.Lock()
        self.dead = threading.Event()
        self.thread = threading.Thread(target=self._loop, daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        while not self.dead.wait(0.01):
            with self.lock:
                try:
                    self.osc.cycle()
                    self.reaper.tick()
                except SystemExit:
                    self.dead.set()

    def run(self, script: str) -> None:
        with self.lock:
            self.reaper.run(self.scripts / f"dcldm_{script}.lua")
            self.reaper.tick()

    def add_item(self, clip: Clip | None, position: float = 2.0, length: float = 1.0, notes: str = "") -> Any:
        with self.lock:
            track = self.fake.Track("FX", selected=True)
            self.reaper.project.tracks.append(track)
            item = self.fake.Item(track, {"D_POSITION": position, "D_LENGTH": length, "D_VOL": 0.5}, selected=True)
            item.texts["P_NOTES"] = notes
            if clip is not None:
                item.takes.append(self.fake.Take(item, self.fake.Source(str(clip.path), 1.0)))
            return item

    def close(self) -> None:
        self.dead.set()
        self.thread.join()
        self.osc.close()


@pytest.fixture
def fake(fakes: Callable[[str], ModuleType]) -> ModuleType:
    module = fakes("bridge/fake_reaper.py")
    module.hearing = fakes("bridge/hearing.py")  # type: ignore[attr-defined]
    return module


@pytest.fixture
def daw(fake: ModuleType, tmp_path: Path) -> Iterator[Daw]:
    one = Daw(fake, tmp_path, tmp_path / "spool")
    yield one
    one.close()
    assert one.reaper.violations == []


class App:
    """The program's side without its session: every message is read by the table, words go to the host."""

    def __init__(self, daw: Daw, spool: Path, **settings: Any) -> None:
        self.host = ReaperHost(spool, daw.osc.port, **{"timeout_seconds": 20.0, "resend_seconds": 0.3, **settings})
        self.ear = daw.hearing.Hearing(self.host)
        self.messages = self.ear.messages
        self.host.start()
        self.outbox = Outbox(self.host.outbox, self.ear.receive)

    def close(self) -> None:
        self.outbox.close()
        self.host.stop()


@pytest.fixture
def app(daw: Daw, tmp_path: Path) -> Iterator[App]:
    one = App(daw, tmp_path / "spool")
    yield one
    one.close()


def set_up(daw: Daw, app: App) -> TimelineTarget:
    """Scripts registered, the one in the background running, the project known."""
    daw.run("setup")
    (project,) = daw.until(app.host.open_sessions)
    return TimelineTarget("reaper", project, "", round(2.5 * RATE), RATE)


# Names that REAPER gives to scripts


def test_command_ids_are_those_of_reaper() -> None:
    assert command_id("Cockos/lyrics.lua") == "_RS1ee9bb229dabffe151848d7efa3c10f748e1a1cf"
    assert command_id("nvk-ReaScripts/SEARCH/nvk_SEARCH.lua") == "_RS42ab70fd2ac65e9a003787709bb85f18c36dee52"
    assert command_id("a\\b.lua") == command_id("A/B.LUA")
    assert command_id("a.lua", 32060).startswith("_RS7d3c_")


def test_setup_registers_every_action_once_and_under_the_computed_names(daw: Daw, app: App) -> None:
    set_up(daw, app)
    written = dict(line.split("=") for line in (app.host.outbox.parent / IDS).read_text().splitlines())
    assert written["dcldm_drain"] == command_id(DRAIN)
    parts = {"dcldm_cues", "dcldm_lib", "dcldm_place", "dcldm_setup", "dcldm_window"}  # which are no actions
    assert set(written) == {path.stem for path in SCRIPTS.glob("*.lua")} - parts
    commands = dict(daw.reaper.commands)
    daw.run("setup")
    assert daw.reaper.commands == commands and daw.reaper.console == []


# The two ways into REAPER


def test_the_doorbell_wakes_reaper(daw: Daw, app: App, tmp_path: Path) -> None:
    with daw.lock:  # registered earlier; nothing runs yet
        for name in ("drain", "watch"):
            number = daw.reaper.AddRemoveReaScript(True, 0, str(daw.scripts / f"dcldm_{name}.lua"), True)
        daw.reaper.SetExtState("dcldm", "watch_id", "_" + daw.reaper.ReverseNamedCommandLookup(number), True)
    (project,) = daw.until(app.host.open_sessions)
    assert project.startswith("Song one [")
    assert set(daw.osc.handled[-1][1]) == {command_id(DRAIN)}
    daw.until(lambda: "dcldm_watch.lua" in daw.reaper.running)
    hello = app.host.open_sessions()[project]
    assert (hello.application, hello.sample_rate) == ("REAPER 7.16/linux-x86_64", RATE)
    assert Path(hello.folder).name == "Media" and hello.range_length == 0
    daw.add_item(None, position=2.0, length=0.5)

    def said() -> tuple[int, int]:
        hello = app.host.open_sessions()[project]
        return hello.range_start, hello.range_length

    daw.until(lambda: said() == (2 * RATE, RATE // 2))
    daw.reaper.project.selection = (3.0, 5.0)
    daw.until(lambda: said() == (3 * RATE, 2 * RATE))


def test_the_doorbell_alone_places(daw: Daw, app: App, tmp_path: Path) -> None:
    daw.reaper.AddRemoveReaScript(True, 0, str(daw.scripts / "dcldm_drain.lua"), True)
    (placement,) = app.host.place([make_clip(tmp_path, 0)], TimelineTarget("reaper", position=48_000))
    assert placement.item == daw.reaper.project.items[0].texts["GUID"]
    assert "dcldm_watch.lua" not in daw.reaper.running


def test_the_doorbell_is_a_message_that_reaper_takes(fake: ModuleType) -> None:
    datagram = encode("/action/str", command_id(DRAIN))
    assert len(datagram) <= 900
    assert fake.parse(datagram) == ("/action/str", [command_id(DRAIN)])


def test_the_surface_drops_what_reaper_drops(daw: Daw) -> None:
    parse = daw.fake.parse
    for bad in (encode("/x", True), encode("/x", 2**40), b"", b"/x", b"nonsense\0\0\0\0"):
        assert parse(bad) is None or bad == b"/x"
    assert parse(encode("/x", 1, 2.5, "t")) == ("/x", [1, 2.5, "t"])
    assert daw.fake.context_of("/x", ["word", 1]) == "osc:/x:s=word"
    assert daw.fake.context_of("/x", [1, "word"]) == "osc:/x"  # the first argument only, and no integer
    with daw.lock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in (encode("/action/str", "_RSx"), encode("/action/str", "x" * 2000)):
            sender.sendto(datagram, ("127.0.0.1", daw.osc.port))
        time.sleep(0.2)
        daw.osc.cycle()
        assert daw.osc.handled == []  # the short one went with the long one


# Placing


def test_alternates_are_takes_of_one_item_in_one_named_step(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    clips = [make_clip(tmp_path, index, seconds=1.0 + index) for index in range(3)]
    placements = app.host.place(clips, target)
    (item,) = daw.reaper.project.items
    assert {placement.item for placement in placements} == {item.texts["GUID"]}
    assert [placement.position for placement in placements] == [round(2.5 * RATE)] * 3
    assert item.values["D_POSITION"] == pytest.approx(2.5) and item.values["D_LENGTH"] == pytest.approx(3.0)
    assert item.values["B_LOOPSRC"] == 0 and item.active == 0
    assert [take.source.path for take in item.takes] == [clip.path.as_posix() for clip in clips]
    assert item.takes[0].texts["P_NAME"] == clips[0].path.stem
    assert item.texts["P_NOTES"] == "heavy rain, on a roof"
    assert [name for name, _ in daw.reaper.project.undo] == ["Generate: heavy rain, on a roof"]
    assert item.track.name == "heavy rain, on a roof"
    daw.reaper.project.undo_last()
    assert daw.reaper.project.items == [] and daw.reaper.project.tracks == []


@pytest.mark.parametrize("by", ["guid", "name"])
def test_the_track_that_was_asked_for(daw: Daw, app: App, tmp_path: Path, by: str) -> None:
    target = set_up(daw, app)
    track = daw.fake.Track("Thunder")
    daw.reaper.project.tracks += [daw.fake.Track("Other"), track]
    wanted = track.guid if by == "guid" else track.name
    (placement,) = app.host.place([make_clip(tmp_path, 0)], replace(target, track=wanted))
    assert placement.track == "Thunder" and len(track.items) == 1 and len(daw.reaper.project.tracks) == 2


def test_in_place_keeps_the_item_and_its_takes(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    old = make_clip(tmp_path, 0, "old")
    item = daw.add_item(old, position=7.0, length=0.8)
    item.take.values |= {"D_STARTOFFS": 0.1, "D_VOL": 0.5, "D_PLAYRATE": 1.25}  # trimmed, turned down, sped up
    before, of_take = dict(item.values), dict(item.take.values)
    (placement,) = app.host.place([make_clip(tmp_path, 0, seconds=3.0)], replace(target, item=item.texts["GUID"]))
    assert item.values == before
    assert [take.source.path for take in item.takes] == [str(old.path), str(make_clip(tmp_path, 0).path)]
    assert item.active == 1 and placement.position == 7 * RATE
    assert item.take.values == of_take
    assert daw.reaper.project.undo_last() and len(daw.reaper.project.items[0].takes) == 1


def test_of_tracks_with_one_name_the_selected_one_is_meant(daw: Daw, app: App, tmp_path: Path) -> None:
    target = replace(set_up(daw, app), track="FX")
    daw.reaper.project.tracks += [daw.fake.Track("FX"), chosen := daw.fake.Track("FX", selected=True)]
    app.host.place([make_clip(tmp_path, 0)], target)
    assert len(chosen.items) == 1


def test_an_empty_item_that_waits_there_is_filled(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    empty = daw.add_item(None, position=2.5, length=0.4, notes="rain")
    app.host.place([make_clip(tmp_path, 0)], replace(target, track=empty.track.guid))
    assert daw.reaper.project.items == [empty] and len(empty.takes) == 1 and empty.values["D_LENGTH"] == 0.4


def test_an_item_that_is_gone_gives_a_new_one(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    app.host.place([make_clip(tmp_path, 0)], replace(target, item=daw.fake.new_guid()))
    assert daw.reaper.project.items[0].values["D_POSITION"] == pytest.approx(2.5)


def test_peaks_fall_on_the_position_in_every_take(daw: Daw, app: App, tmp_path: Path) -> None:
    target = replace(set_up(daw, app), snap="peak")
    app.host.place([make_clip(tmp_path, 0, peak_at=0.5), make_clip(tmp_path, 1, peak_at=0.2)], target)
    (item,) = daw.reaper.project.items
    assert item.values["D_POSITION"] == pytest.approx(2.0, abs=1e-4)
    assert item.values["D_SNAPOFFSET"] == pytest.approx(0.5, abs=1e-4)
    peaks = [2.0 + peak - take.values["D_STARTOFFS"] for peak, take in zip((0.5, 0.2), item.takes, strict=True)]
    assert peaks == [pytest.approx(2.5, abs=1e-4)] * 2


def test_a_peak_close_to_the_start_of_the_project(daw: Daw, app: App, tmp_path: Path) -> None:
    target = replace(set_up(daw, app), snap="peak", position=round(0.1 * RATE))
    app.host.place([make_clip(tmp_path, 0, peak_at=0.5)], target)
    (item,) = daw.reaper.project.items
    assert item.values["D_POSITION"] == 0.0
    assert item.takes[0].values["D_STARTOFFS"] == pytest.approx(0.4, abs=1e-4)
    assert item.values["D_SNAPOFFSET"] == pytest.approx(0.1, abs=1e-4)
    assert item.values["D_LENGTH"] == pytest.approx(0.6, abs=1e-4)


def test_a_run_is_one_step(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    groups = [
        ([make_clip(tmp_path, 0, f"cue-{number}")], replace(target, position=number * RATE, run="run"))
        for number in range(5)
    ]
    assert len(app.host.place_run(groups)) == 5
    assert [name for name, _ in daw.reaper.project.undo] == ["Spot: 5 cues"]
    (track,) = daw.reaper.project.tracks
    assert track.name == "Cues" and [item.values["D_POSITION"] for item in track.items] == [0, 1, 2, 3, 4]


def test_another_tab_is_found(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    daw.reaper.projects.insert(0, daw.fake.Project(str(tmp_path / "Other.rpp"), RATE))  # the tab in front
    app.host.place([make_clip(tmp_path, 0)], target)
    assert [len(project.items) for project in daw.reaper.projects] == [0, 1]


def test_a_project_saved_under_another_name_is_still_the_one(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    daw.reaper.project.path = str(tmp_path / "Song two.rpp")
    assert len(app.host.place([make_clip(tmp_path, 0)], target)) == 1


def test_a_project_that_is_not_open_is_named(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    host = app.host
    host._timeout_seconds = 1.0
    with pytest.raises(HostError, match=r"REAPER has 'Song one \[.*open, and the clips belong to 'Else"):
        host.place([make_clip(tmp_path, 0)], replace(target, project="Else [00000000]"))
    assert not (host.outbox.parent / PLACE).exists() and daw.reaper.project.items == []


def test_choosing_a_take(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    clips = [make_clip(tmp_path, index) for index in range(3)]
    app.host.place(clips, target)
    app.host.choose(clips, 2, target)
    daw.until(lambda: daw.reaper.project.items[0].active == 2)


# What goes wrong


def test_lost_late_and_repeated_confirmations_place_once(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    app.ear.lose, app.ear.repeat = 3, 3
    clips = [make_clip(tmp_path, index) for index in range(2)]
    assert len(app.host.place(clips, target)) == 2
    assert len(app.host.place(clips, target)) == 2  # asked for once more
    assert [len(item.takes) for item in daw.reaper.project.items] == [2]
    assert len(daw.reaper.project.undo) == 1


def test_never_an_answer(tmp_path: Path) -> None:
    host = ReaperHost(tmp_path / "spool", 9, timeout_seconds=0.5, resend_seconds=0.1)
    with pytest.raises(HostError, match=r"REAPER did not answer within 0\.5 s; open it there \(after `dcldm install"):
        host.place([make_clip(tmp_path, 0)], TimelineTarget("reaper"))
    assert not (tmp_path / "spool" / PLACE).exists()


@pytest.mark.parametrize("dies_in", ["SetMediaItemTake_Source", "Undo_EndBlock2", "GetMediaItemTake_Item"])
def test_reaper_dies_in_mid_placement(fake: ModuleType, tmp_path: Path, dies_in: str) -> None:
    daw = Daw(fake, tmp_path, tmp_path / "spool")
    app = App(daw, tmp_path / "spool", timeout_seconds=2.0)
    target = set_up(daw, app)
    clips = [make_clip(tmp_path, index) for index in range(2)]
    daw.reaper.dies_in = dies_in
    with pytest.raises(HostError, match="place"):
        app.host.place(clips, target)
    daw.close()
    assert daw.dead.is_set()
    kept = daw.reaper.project.ext  # the project as it was saved before
    again = Daw(fake, tmp_path, tmp_path / "spool")
    again.reaper.project.ext = kept
    again.run("setup")
    app.host._timeout_seconds = 20.0
    assert len(app.host.place(clips, target)) == 2
    assert [len(item.takes) for item in again.reaper.project.items] == [2]
    app.close()
    again.close()
    assert again.reaper.violations == []


def test_an_app_that_died_left_a_job_and_the_next_places_it_once(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    clip = make_clip(tmp_path, 0)
    app.ear.lose = 1000
    app.host._timeout_seconds = 1.0
    with pytest.raises(HostError):
        app.host.place([clip], target)
    assert len(daw.reaper.project.items) == 1
    app.close()
    heir = App(daw, tmp_path / "spool")
    assert len(heir.host.place([clip], target)) == 1
    assert len(daw.reaper.project.items) == 1
    heir.close()


def test_a_file_that_reaper_can_not_open(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    clip = make_clip(tmp_path, 0)
    clip.path.write_bytes(b"no sound")
    with pytest.raises(HostError, match="REAPER could not open"):
        app.host.place([clip], target)
    assert daw.reaper.project.undo == [] and daw.reaper.project.items == []


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("6.71/win64", ("set_action_options", "InsertTrackInProject", "GetNumRegionsOrMarkers")),
        ("7.03/macOS-arm64", ("InsertTrackInProject", "GetNumRegionsOrMarkers")),
        ("7.27/linux-x86_64", ("GetNumRegionsOrMarkers",)),
        ("7.78/win64", ()),
    ],
)
def test_versions(fake: ModuleType, tmp_path: Path, version: str, missing: tuple[str, ...]) -> None:
    daw = Daw(fake, tmp_path, tmp_path / "spool", version=version, missing=missing)
    app = App(daw, tmp_path / "spool")
    target = set_up(daw, app)
    assert len(app.host.place([make_clip(tmp_path, 0)], target)) == 1
    app.close()
    daw.close()
    assert daw.reaper.violations == []


def test_news_is_seen_in_reaper_and_errors_are_kept_to_read(daw: Daw, app: App) -> None:
    target = set_up(daw, app)
    time.sleep(0.3)
    app.host.show(News("job-1", target.project, "progress", "variation 1: denoising", 0.5))
    daw.until(lambda: "DC-LDM: variation 1: denoising" in daw.reaper.help)
    app.host.show(News("job-1", target.project, "error", "It went wrong."))
    daw.until(lambda: "DC-LDM: It went wrong.\n" in daw.reaper.console)
    assert daw.reaper.messages == []


def test_what_is_under_way_has_a_window_that_cancels(daw: Daw, app: App) -> None:
    daw.run("setup")
    (project,) = daw.until(app.host.open_sessions)
    app.host.show(News("job-0", project, "error", "Of before this began."))
    daw.until(lambda: "job=job-0" in (app.host.outbox.parent / BOARD).read_text())
    daw.run("watch")  # started again, it takes over
    time.sleep(0.3)
    window = daw.reaper.window
    assert not window.is_open
    app.host.show(News("job-1", project, "progress", "variation 1: denoising", 0.43))
    app.host.show(News("job-2", "Other [00000000]", "progress", "not of this project", 0.5))
    daw.until(lambda: window.texts == ["variation 1: denoising  43 %", "cancel"])
    (_, full, done) = window.bars
    assert (window.is_open, window.title) == (True, "DC-LDM") and done[2] == pytest.approx(0.43 * full[2], abs=1)
    app.host.show(News("job-3", project, "accepted", "rain: accepted"))
    daw.until(lambda: window.texts[2:] == ["rain: accepted  0 %", "cancel"])
    with daw.lock:
        window.click(window.values["w"] - 20, 60)
    daw.until(lambda: app.ear.of("/dcldm/cancel"))
    time.sleep(0.3)  # the button is held: one click
    assert app.ear.of("/dcldm/cancel") == [{"id": "job-3"}]
    with daw.lock:
        window.release()
    app.host.show(News("job-3", project, "cancelled", "rain: cancelled"))
    app.host.show(News("job-1", project, "error", "It went wrong."))
    daw.until(lambda: window.texts == ["It went wrong."])
    with daw.lock:
        window.key = -1  # closed by hand; nothing opens it but what is new
    daw.until(lambda: not window.is_open)
    time.sleep(0.3)
    assert not window.is_open
    app.host.show(News("job-4", project, "progress", "variation 1: planning", 0.1))
    daw.until(lambda: window.is_open and window.texts[0].startswith("variation 1: planning"))
    app.host.show(News("job-4", project, "done", "rain: done"))
    daw.until(lambda: not window.is_open)
    assert daw.reaper.GetExtState("dcldm", "window") == "0 30 40"


# The actions


def act(daw: Daw, app: App, script: str, *answers: str | None) -> dict[str, Any]:
    """Run an action; what it sent."""
    daw.reaper.answers += answers
    count = len(app.messages)
    daw.run(script)
    assert daw.reaper.messages == []

    def sent() -> list[tuple[str, dict[str, Any]]]:
        return [message for message in list(app.messages)[count:] if message[0] != "/dcldm/hello"]

    ((address, values),) = daw.until(sent)
    return {"address": address, **values}


def test_generate_at_the_cursor(daw: Daw, app: App) -> None:
    set_up(daw, app)
    daw.reaper.project.cursor = 1.5
    sent = act(daw, app, "generate", "thunder, far away; \u96f7\n2,5\n3\npeak")
    assert sent["address"] == "/dcldm/generate" and sent["prompt"] == "thunder, far away; \u96f7"
    assert (sent["seconds"], sent["variations"], sent["snap"], sent["item"]) == (2.5, 3, "peak", "")
    assert (sent["position"], sent["sample_rate"], sent["track"]) == (round(1.5 * RATE), RATE, "")
    assert re.fullmatch(r"reaper-[0-9a-f]+-[0-9a-f]{12}", sent["id"]) and sent["seed"] is None
    assert act(daw, app, "cancel")["id"] == sent["id"]


def test_generate_in_the_time_selection_on_the_selected_track(daw: Daw, app: App) -> None:
    set_up(daw, app)
    daw.reaper.project.selection = (3.0, 5.5)
    track = daw.fake.Track("FX", selected=True)
    daw.reaper.project.tracks.append(track)
    daw.reaper.answers.append(None)  # looked at, and cancelled
    daw.run("generate")
    assert daw.reaper.asked[-1][1].split("\n")[1] == "2.5"
    sent = act(daw, app, "generate", "rain\n2.5\n1\nstart")
    assert (sent["position"], sent["track"], sent["snap"]) == (3 * RATE, track.guid, "")


def test_generate_into_an_empty_item_from_its_notes(daw: Daw, app: App) -> None:
    set_up(daw, app)
    item = daw.add_item(None, position=4.0, length=1.25, notes="a door\nslams")
    daw.reaper.answers.append(None)
    daw.run("generate")
    assert daw.reaper.asked[-1][1].split("\n")[:2] == ["a door slams", "1.25"]
    sent = act(daw, app, "generate", "a door slams\n1.25\n1\nonset")
    assert (sent["position"], sent["item"]) == (4 * RATE, item.texts["GUID"])


def test_actions_on_the_selected_item(daw: Daw, app: App, tmp_path: Path) -> None:
    set_up(daw, app)
    clip = make_clip(tmp_path, 0)
    item = daw.add_item(clip, position=2.0, length=1.0, notes="rain")
    item.take.values["D_STARTOFFS"] = 0.1
    daw.reaper.project.selection = (2.25, 9.0)
    place = {"item": item.texts["GUID"], "position": 2 * RATE, "track": item.track.guid}
    for script, answer, expected in [
        ("regenerate", None, {"control": "regenerate"}),
        ("retexture", "0.3\n2", {"control": "retexture", "amount": 0.3, "variations": 2}),
        ("repair", None, {"control": "repair", "start": pytest.approx(0.35), "end": pytest.approx(1.1)}),
        ("again", None, {"address": "/dcldm/again", "clip": str(clip.path)}),
    ]:
        sent = act(daw, app, script, *([answer] if answer else []))
        assert {key: sent[key] for key in expected} == expected
        assert {key: sent[key] for key in place} == place
        if "control" in expected:
            assert sent["clips"] == str(clip.path)


def test_like_this_goes_beside_what_it_follows(daw: Daw, app: App, tmp_path: Path) -> None:
    set_up(daw, app)
    clip = make_clip(tmp_path, 0)
    daw.add_item(clip, position=2.0).take.values["D_STARTOFFS"] = 0.25
    sent = act(daw, app, "like", "hail\n1\n0.9\n2")
    assert (sent["like"], sent["weight"], sent["prompt"], sent["variations"]) == (str(clip.path), 0.9, "hail", 2)
    assert (sent["track"], sent["item"], sent["position"]) == ("", "", round(1.75 * RATE))


def test_markers_regions_and_empty_items_become_a_cue_sheet(daw: Daw, app: App, tmp_path: Path) -> None:
    target = set_up(daw, app)
    daw.reaper.project.markers = [
        (False, 1.5, 0.0, 'sfx: a "slam", then'),
        (True, 3.0, 4.25, "sfx: rain"),
        (False, 5.0, 0.0, "verse"),
        (False, 6.0, 0.0, "sfx: "),
    ]
    empty = daw.add_item(None, position=8.0, length=2.0, notes="sfx: wind\nin trees")
    sent = act(daw, app, "spot", "markers regions items\nsfx: \n5\n2\npeak")
    id, path, *rest = sent["arguments"]
    track = empty.track.guid
    assert rest == ["reaper", target.project, RATE, "", "", track, 5.0, 2, "peak"]
    assert Path(path).read_text() == (
        f'time,length,prompt,track\n1.500000000,,"a ""slam"", then","{track}"\n'
        f'3.000000000,1.250000000,"rain","{track}"\n8.000000000,2.000000000,"wind in trees","{track}"\n'
    )
    sheet = read_sheet(Path(path))
    assert [(float(cue.at), cue.seconds) for cue in sheet.cues] == [(1.5, 10.0), (3.0, 1.25), (8.0, 2.0)]
    count = len(app.messages)
    app.host.show(News(id, target.project, "preview", "3 cues, 6 clips: | 00:00:01:12 slam"))
    daw.until(lambda: ("/dcldm/cues", {"arguments": [id]}) in app.messages[count:])
    assert daw.reaper.messages == ["3 cues, 6 clips:\n00:00:01:12 slam"]


def test_the_window_asks_for_markers_and_regions(daw: Daw, app: App) -> None:
    with pytest.raises(HostError, match="is not there; open the session"):
        app.host.cue_sheet()
    project = set_up(daw, app).project
    daw.reaper.project.markers = [(False, 1.5, 0.0, "slam"), (True, 3.0, 4.25, 'a "wet" street'), (False, 5.0, 0.0, "")]
    daw.add_item(None, position=8.0, length=2.0, notes="wind")
    sheet = app.host.cue_sheet(project)
    assert sheet.read_text() == (
        'time,length,prompt,track\n1.500000000,,"slam",""\n3.000000000,1.250000000,"a ""wet"" street",""\n'
    )
    with pytest.raises(HostError, match="does not have 'other' open"):
        app.host.cue_sheet("other")
    assert app.host.cue_sheet() == sheet and sheet.name == f"{project} markers.csv"


def test_the_last_run_goes_on_where_it_stopped(daw: Daw, app: App) -> None:
    set_up(daw, app)
    daw.reaper.project.markers = [(False, 1.5, 0.0, "slam")]
    first = act(daw, app, "spot", "markers\n\n5\n1\nstart")["arguments"][0]
    assert act(daw, app, "spot", "last\n\n5\n1\nstart") == {"address": "/dcldm/cues", "arguments": [first]}


def test_spot_selected_tracks_and_a_file(daw: Daw, app: App, tmp_path: Path) -> None:
    set_up(daw, app)
    daw.reaper.project.tracks.append(daw.fake.Track("Wind in trees", selected=True))
    daw.reaper.project.cursor = 2.0
    sent = act(daw, app, "spot", "tracks\n\n5\n1\nstart")
    assert '2.000000000,,"Wind in trees"' in Path(sent["arguments"][1]).read_text()
    assert act(daw, app, "spot", "sheet\n\n5\n1\nstart", "/films/cues.csv")["arguments"][1] == "/films/cues.csv"


@pytest.mark.parametrize(
    ("script", "answer", "sentence"),
    [
        ("retexture", None, "Select an item with audio first."),
        ("generate", "rain\nlong\n1\nstart", '"long" is not a number'),
        ("generate", "rain\n1\n1.5\nstart", '"1.5" is not a whole number'),
        ("spot", "markers\n\n5\n1\nstart", "There is nothing of that kind"),
        ("spot", "last\n\n5\n1\nstart", "Nothing was spotted in this project yet."),
        ("cancel", None, "Nothing was asked for here yet."),
    ],
)
def test_one_clear_sentence(daw: Daw, app: App, script: str, answer: str | None, sentence: str) -> None:
    set_up(daw, app)
    daw.reaper.answers.append(answer)
    daw.run(script)
    assert len(daw.reaper.messages) == 1 and sentence in daw.reaper.messages[0]


def test_repair_needs_a_selection_over_the_item(daw: Daw, app: App, tmp_path: Path) -> None:
    set_up(daw, app)
    daw.add_item(make_clip(tmp_path, 0))
    daw.run("repair")
    assert daw.reaper.messages == ["Make a time selection over the part of the item that is to be repaired."]


def test_without_the_program_the_user_is_told(daw: Daw) -> None:
    daw.run("generate")
    assert daw.reaper.messages == ["dcldm is not running. Start it with: dcldm serve"]


def test_scripts_evaluate_nothing_and_reach_for_nothing() -> None:
    for path in SCRIPTS.glob("*.lua"):
        text = path.read_text()
        loaded = re.findall(r"\b(?:load|loadfile|dofile|require|execute|popen|loadstring|ExecProcess)\b.*", text)
        assert all(re.search(r"dcldm_(cues|lib|place|window)\.lua", line) for line in loaded), path
        assert text.isascii()


# The program as a whole


def test_from_a_dialog_in_reaper_to_takes_on_its_timeline(fake: ModuleType, tmp_path: Path) -> None:
    home = tmp_path / "home"
    daw = Daw(fake, tmp_path, spool_folder(home))
    osc = OscSocket(0)
    settings = replace(Settings.at(home), model="tone", reaper_port=daw.osc.port)
    with running(settings, osc) as program:
        daw.run("setup")
        daw.until(lambda: program.hosts["reaper"].describe()["connected"])
        daw.reaper.project.cursor = 3.0
        daw.reaper.answers.append("rain\n0.5\n2\nstart")
        daw.run("generate")
        item = daw.until(lambda: daw.reaper.project.items and daw.reaper.project.items[0])
        job = daw.until(lambda: (jobs := program.session.jobs()) and jobs[0].state.over and jobs[0])
        assert job.state is JobState.FINISHED and not job.error
        assert len(item.takes) == 2 and item.values["D_POSITION"] == 3.0
        assert Path(item.takes[0].source.path).parent == tmp_path / "Media"
        item.selected = True
        daw.run("again")  # by what the file itself says
        daw.until(lambda: len(item.takes) == 3)
        first, last = item.takes[0].source.path, item.takes[2].source.path
        assert sample_hash(first) == sample_hash(last) and first != last
        daw.until(lambda: program.session.jobs()[0].state.over)
    osc.stop()
    daw.close()
    assert daw.reaper.violations == [] and daw.reaper.messages == []


def sample_hash(path: str) -> str:
    return hashlib.sha256(soundfile.read(path, dtype="int32")[0].tobytes()).hexdigest()


# Messages as files


@pytest.mark.parametrize("text", ["plain", "two\nlines", "\\n is no line", "\r\n\\", "", "  s x "])
def test_lua_and_python_mean_the_same_text(daw: Daw, app: App, text: str) -> None:
    from lupa.lua54 import LuaRuntime

    lua = LuaRuntime(unpack_returned_tuples=True)
    with daw.lock:
        lua.globals().reaper = daw.reaper._table(daw.fake.Script("test", lua))
        lib = lua.execute((SCRIPTS / "dcldm_lib.lua").read_text())
        lib.send(None, "/dcldm/failed", "other", "id", text or "-")
    (sent,) = daw.until(lambda: app.ear.of("/dcldm/failed"))
    assert sent["sentence"] == (text or "-")


@pytest.mark.parametrize("text", ["", "/a\nx 1", "/a\ni x", "/a\ns", "/a\ni 1.5\n\n"])
def test_what_is_no_message(text: str) -> None:
    if text == "":
        assert decode(text) == ("", [])
    else:
        with pytest.raises(InvalidInput, match="not a message"):
            decode(text)


def test_rubbish_in_the_outbox_hurts_nobody(fake: ModuleType, tmp_path: Path) -> None:
    random_bytes = random.Random(1)
    for number in range(200):
        (tmp_path / f"{number}.msg").write_bytes(random_bytes.randbytes(random_bytes.randrange(300)))
    (tmp_path / "huge.msg").write_bytes(b"/x\ns " + b"x" * 70_000)
    (tmp_path / "zz.msg").write_text("/dcldm/ping\ni 3\nf 0.5\ns hello\n")
    (tmp_path / "half.msg.part").write_text("/dcldm/pi")
    heard: list[tuple[str, list[Any]]] = []
    outbox = Outbox(tmp_path, lambda address, arguments, peer: heard.append((address, list(arguments))))
    fake.hearing.until(lambda: not list(tmp_path.glob("*.msg")))
    outbox.close()
    assert heard[-1] == ("/dcldm/ping", [3, 0.5, "hello"])
    assert [path.name for path in tmp_path.iterdir()] == ["half.msg.part"]
