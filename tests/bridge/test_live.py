from __future__ import annotations

import ast
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from bridge.host import HostError, News
from bridge.live import JOB, LiveHost, job_text, spool_folder
from bridge.osc import OscSocket, encode
from bridge.program import running
from bridge.spool import lines
from bridge.spot import main as spotting
from dcldm_plugin.jobs import JobState
from dcldm_plugin.settings import Settings, only_instance
from dcldm_plugin.types import Clip, GenerationRequest, Prompt, Sampling, Seeds, TimelineTarget

SCRIPTS = Path(__file__).parents[2] / "bridge" / "scripts" / "live"
DATA = Path(__file__).with_name("data")
RATE = 48_000


def make_clip(folder: Path, index: int, job: str = "job-1", peak_at: float = 0.0, seconds: float = 1.0) -> Clip:
    path = folder / f"THUNRumb_distant thunder \u96f7_{job}_{index}.wav"
    samples = np.full(round(seconds * RATE), 1e-3)
    samples[round(peak_at * RATE)] = 0.5
    soundfile.write(path, samples, RATE, "PCM_24")
    prompt = Prompt("distant thunder")
    return Clip(
        f"{job}-{index}", path, prompt, Seeds(1, 1), "tone", "1", Sampling(), job, index, seconds, RATE, 1, "", ""
    )


class Link:
    """A network between two ports of 127.0.0.1 that loses, doubles and reorders datagrams."""

    def __init__(self, target: int, seed: int = 0, loss: float = 0.0, doubled: float = 0.0, late: float = 0.0) -> None:
        self._random = random.Random(seed)
        self._target, self._loss, self._doubled, self._late = target, loss, doubled, late
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self.port: int = self._socket.getsockname()[1]
        self._held: list[bytes] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        while not self._stopped.is_set():
            try:
                datagram = self._socket.recv(65_535)
            except TimeoutError:
                continue
            chance = self._random.random
            if chance() < self._loss:
                continue
            if chance() < self._late:  # until another has gone before it
                self._held.append(datagram)
                continue
            for _ in range(2 if chance() < self._doubled else 1):
                self._socket.sendto(datagram, ("127.0.0.1", self._target))
            while self._held:
                self._socket.sendto(self._held.pop(), ("127.0.0.1", self._target))

    def close(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._socket.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Daw:
    """A Live with our control surface, its frames on a thread of its own."""

    def __init__(
        self, fakes: Callable[[str], ModuleType], tmp_path: Path, spool: Path, app_port: int, **settings: Any
    ) -> None:
        self.fake = fakes("bridge/fake_live.py")
        self.folder = tmp_path / "Remote Scripts" / "DCLDM"
        shutil.copytree(SCRIPTS, self.folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        spool.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        config = {"spool": str(spool), "port": app_port, "live_port": self.port}
        (self.folder / "dcldm.conf").write_text(lines(config), encoding="utf-8")
        self.live: Any = self.fake.FakeLive(**settings)
        self.lock = threading.Lock()
        self.dead = threading.Event()
        self.thread = threading.Thread(target=self._frames, daemon=True)
        self.thread.start()

    def _frames(self) -> None:
        self.live.thread = threading.current_thread()
        self.live.load(self.folder)
        while not self.dead.wait(0.01):
            with self.lock:
                try:
                    self.live.tick()
                except SystemExit:
                    self.live.surface.disconnect()
                    self.dead.set()

    def edit(self, change: Callable[[Any], None]) -> None:
        """What a user does: within an undo step, on Live's thread as far as anybody can tell."""
        with self.lock:
            own, self.live.thread = self.live.thread, threading.current_thread()
            self.live.song.begin_undo_step()
            change(self.live.song)
            self.live.song.end_undo_step()
            self.live.undo.pop()
            self.live.thread = own

    def close(self) -> None:
        self.dead.set()
        self.thread.join()
        self.live.surface.disconnect()


class Rig:
    """Live, the program's host, and what lies between them."""

    def __init__(
        self, fakes: Callable[[str], ModuleType], tmp_path: Path, trouble: dict[str, float] | None = None, **daw: Any
    ) -> None:
        trouble = trouble or {}
        self.osc = OscSocket(0)
        self.to_app = Link(self.osc.port, seed=1, **trouble)
        self.daw = Daw(fakes, tmp_path, tmp_path / "spool", self.to_app.port, **daw)
        self.to_live = Link(self.daw.port, seed=2, **trouble)
        self.host = LiveHost(tmp_path / "spool", self.to_live.port, timeout_seconds=30.0, resend_seconds=0.2)
        self.hearing = fakes("bridge/hearing.py").Hearing(self.host)
        self.host.start()
        self.osc.start(self.hearing.receive, lambda sentence, peer: None)
        self.until = fakes("bridge/hearing.py").until

    @property
    def song(self) -> Any:
        return self.daw.live.song

    def connect(self) -> TimelineTarget:
        (project,) = self.until(self.host.open_sessions)
        return TimelineTarget("live", project, "", 2 * RATE, RATE)

    def close(self) -> None:
        self.host.stop()
        self.daw.close()
        for link in (self.to_app, self.to_live):
            link.close()
        self.osc.stop()


@pytest.fixture
def rig(fakes: Callable[[str], ModuleType], tmp_path: Path) -> Iterator[Rig]:
    one = Rig(fakes, tmp_path)
    yield one
    one.close()
    assert one.daw.live.violations == [] and one.daw.live.log == []


def paths(clips: Any) -> list[str]:
    return [clip.file_path for clip in clips]


# Against the stubs


def test_mypy_accepts_the_script_and_finds_every_mistake(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), "--config-file", ""]
    good = subprocess.run([*command, str(SCRIPTS)], capture_output=True, text=True, check=False)
    assert (good.returncode, "Success" in good.stdout) == (0, True), good.stdout
    fixture = DATA / "live_mistakes.py"
    bad = subprocess.run([*command, str(fixture)], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    wrong = {number for number, line in enumerate(fixture.read_text().splitlines(), 1) if "#" in line}
    found = {int(line.split(":")[1]) for line in bad.stdout.splitlines() if ": error:" in line}
    assert found == wrong and len(wrong) == 9


def test_the_script_is_python_of_live_11() -> None:
    for path in SCRIPTS.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 7))
        imported = {name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in _names(node)}
        assert imported <= {"Live", "json", "os", "socket", "struct", "time", "unicodedata", "uuid", "zlib"}, path
        calls = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not calls & {"eval", "exec", "compile", "__import__"}


def _names(node: ast.Import) -> set[str]:
    return {alias.name.split(".")[0] for alias in node.names}


def test_the_fake_has_nothing_that_live_has_not(fakes: Callable[[str], ModuleType]) -> None:
    known = fakes("bridge/fake_live.py").stubs()
    assert known["Track.Track"]["create_audio_clip"] == ("method", 2)
    assert known["Song.Song"]["file_path"] == ("property", 0) and known["Clip.Clip"]["name"] == ("settable", 0)


def test_osc_of_the_script_is_that_of_the_program(rig: Rig) -> None:
    """What one writes the other reads; the script is loaded within its own package, so by its messages."""
    project = rig.connect().project
    hello = rig.host.open_sessions()[project]
    assert (hello.sample_rate, hello.application, hello.track) == (RATE, "Live 12.3.6", "Drums")
    with rig.daw.lock:
        rig.song._current_song_time = 1_000_000.0
    position = round(1_000_000.0 * 0.5 * RATE)  # more than 32 bits
    rig.until(lambda: rig.host.open_sessions()[project].position == position)


def test_the_range_is_that_of_the_selected_clip_or_of_the_loop(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")

    def said() -> tuple[int, int]:
        hello = rig.host.open_sessions()[target.project]
        return hello.range_start, hello.range_length

    assert said() == (0, 0)
    rig.daw.edit(lambda song: setattr(song, "loop", True))
    rig.until(lambda: said() == (4 * RATE, 2 * RATE))
    rig.host.place([make_clip(tmp_path, 0)], target)
    rig.song.view.detail_clip = rig.song.tracks[0].arrangement_clips[0]
    rig.until(lambda: said() == (2 * RATE, RATE))


# Placing


def test_alternates_are_take_lanes_in_one_undo_step(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")
    clips = [make_clip(tmp_path, index) for index in range(3)]
    placements = rig.host.place(clips, target)
    track = rig.song.tracks[0]
    assert paths(track.arrangement_clips) == [str(clips[0].path)]
    assert [paths(lane.arrangement_clips) for lane in track.take_lanes] == [[str(c.path)] for c in clips[1:]]
    assert [lane.name for lane in track.take_lanes] == ["DC-LDM 2", "DC-LDM 3"]
    heard = track.arrangement_clips[0]
    assert (heard.start_time, heard.name, heard.warping, heard.looping) == (4.0, clips[0].path.stem, False, False)
    assert [(one.track, one.position) for one in placements] == [("Drums", 2 * RATE)] * 3
    assert len(rig.daw.live.undo) == 1


def test_later_clips_share_the_lanes(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")
    for number, position in enumerate((0, 5 * RATE)):
        clips = [make_clip(tmp_path, index, f"job-{number}") for index in range(2)]
        rig.host.place(clips, replace(target, position=position))
    assert [len(lane.arrangement_clips) for lane in rig.song.tracks[0].take_lanes] == [2]


@pytest.mark.parametrize("track", ["", "Keys", "Nowhere"])
def test_a_new_track_where_none_takes_audio(rig: Rig, tmp_path: Path, track: str) -> None:
    (placement,) = rig.host.place([make_clip(tmp_path, 0)], replace(rig.connect(), track=track))
    assert placement.track == {"": "distant thunder", "Keys": "distant thunder", "Nowhere": "Nowhere"}[track]
    assert len(rig.song.tracks) == 3


def test_nothing_is_written_over(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")
    rig.host.place([make_clip(tmp_path, 0, "job-1")], target)
    (second,) = rig.host.place([make_clip(tmp_path, 0, "job-2")], target)
    assert second.track == "distant thunder" and len(rig.song.tracks[0].arrangement_clips) == 1


def test_in_place_of_a_clip_keeps_it_in_a_take_lane(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")
    (first,) = rig.host.place([make_clip(tmp_path, 0)], target)
    drums = rig.song.tracks[0]
    old = drums.arrangement_clips[0]

    def trim(song: Any) -> None:
        old.gain, old.loop_end, old.pitch_coarse = 0.7, 0.6, -3

    rig.daw.edit(trim)
    moved = replace(target, item=first.item, position=99)  # the clip says where, not the request
    clips = [make_clip(tmp_path, index, "job-2") for index in range(2)]
    for _ in range(2):  # asked for twice
        assert len(rig.host.place(clips, moved)) == 2
    (new,) = drums.arrangement_clips
    before, alternate = (lane.arrangement_clips[0] for lane in drums.take_lanes)
    assert [lane.name for lane in drums.take_lanes] == ["DC-LDM before", "DC-LDM 2"]
    assert paths([before, new, alternate]) == [old.file_path, *(str(clip.path) for clip in clips)]
    for clip in (before, new, alternate):
        assert (clip.start_time, clip.end_time, clip.gain) == (old.start_time, old.end_time, 0.7)
        assert (clip.pitch_coarse, clip.warping, clip.muted) == (-3, False, False)
    assert len(rig.daw.live.undo) == 2 and len(rig.song.tracks) == 2


def test_what_can_not_take_its_place_leaves_a_clip_where_it_was(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")
    (first,) = rig.host.place([make_clip(tmp_path, 0)], target)
    bad = make_clip(tmp_path, 0, "job-2")
    bad.path.write_bytes(b"no sound")
    with pytest.raises(HostError, match="Live can't take"):
        rig.host.place([bad], replace(target, item=first.item))
    (clip,) = rig.song.tracks[0].arrangement_clips
    assert (clip.file_path, clip.start_time, clip.warping) == (str(make_clip(tmp_path, 0).path), 4.0, False)


def _warp(song: Any) -> None:
    song.tracks[0].arrangement_clips[0].warping = True


def _trim_the_beginning(song: Any) -> None:
    song.tracks[0].arrangement_clips[0].loop_start = 0.1


def _trim_before_another(song: Any) -> None:
    song.tracks[0].arrangement_clips[0].loop_end = 0.5
    song.tracks[0].create_audio_clip(song.tracks[0].arrangement_clips[0].file_path, 5.5)


@pytest.mark.parametrize("edit", [_warp, _trim_the_beginning, _trim_before_another])
def test_what_could_not_be_kept_stays_muted_and_the_new_one_lies_beneath(
    rig: Rig, tmp_path: Path, edit: Callable[[Any], None]
) -> None:
    target = replace(rig.connect(), track="Drums")
    (first,) = rig.host.place([make_clip(tmp_path, 0)], target)
    old = rig.song.tracks[0].arrangement_clips[0]
    rig.daw.edit(edit)
    rig.daw.edit(lambda song: setattr(old, "gain", 0.7))
    rig.host.place([make_clip(tmp_path, index, "job-2") for index in range(2)], replace(target, item=first.item))
    takes = rig.song.tracks[1]
    new = takes.arrangement_clips[0]
    assert (takes.name, old.muted, new.muted) == ("Drums takes", True, False)
    assert (new.start_time, new.gain) == (old.start_time, 0.7)
    assert paths(takes.take_lanes[0].arrangement_clips) == [str(make_clip(tmp_path, 1, "job-2").path)]


def test_of_tracks_with_one_name_the_selected_one_is_meant(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="FX")
    rig.daw.edit(lambda song: [setattr(song.create_audio_track(), "name", "FX") for _ in range(2)])
    rig.song.view.selected_track = rig.song.tracks[3]
    rig.host.place([make_clip(tmp_path, 0)], target)
    assert [len(track.arrangement_clips) for track in rig.song.tracks] == [0, 0, 0, 1]


def test_into_session_slots_from_the_selected_one_down(rig: Rig, tmp_path: Path) -> None:
    target = rig.connect()
    with rig.daw.lock:
        rig.daw.live.session_view = True
        rig.song.view.highlighted_clip_slot = rig.song.tracks[0].clip_slots[1]
    rig.until(lambda: rig.host.open_sessions()[target.project].item == "slot 0 1")
    clips = [make_clip(tmp_path, index) for index in range(2)]
    placements = rig.host.place(clips, replace(target, item="slot 0 1"))
    assert [one.item for one in placements] == ["slot 0 1", "slot 0 2"]
    assert [slot.has_clip for slot in rig.song.tracks[0].clip_slots] == [False, True, True]
    rig.until(lambda: rig.host.open_sessions()[target.project].file == str(clips[0].path))


def test_peaks_and_what_would_lie_before_the_beginning(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), snap="peak")
    rig.host.place([make_clip(tmp_path, 0, "job-1", peak_at=0.5)], target)
    assert rig.song.tracks[2].arrangement_clips[0].start_time == pytest.approx(3.0, abs=1e-3)
    rig.host.place([make_clip(tmp_path, 0, "job-2", peak_at=0.5)], replace(target, position=round(0.1 * RATE)))
    clip = next(clip for clip in rig.song.tracks[2].arrangement_clips if "job-2" in clip.file_path)
    assert (clip.start_time, clip.start_marker) == (0.0, pytest.approx(0.4, abs=1e-3))


def test_a_run_of_many_cues_is_one_step(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="SFX", run="run")
    groups = [
        ([make_clip(tmp_path, 0, f"cue-{number:03}", seconds=0.1)], replace(target, position=number * RATE))
        for number in range(60)
    ]
    assert len(rig.host.place_run(groups)) == 60
    assert len(rig.daw.live.undo) == 1 and len(rig.song.tracks[2].arrangement_clips) == 60


def test_locators_become_a_cue_sheet(rig: Rig) -> None:
    rig.connect()
    with rig.daw.lock:
        rig.song._cue_points = [
            SimpleNamespace(time=8.0, name='a "slam", then'),
            SimpleNamespace(time=1.0, name="rain"),
        ]
    sheet = rig.host.cue_sheet().read_text(encoding="utf-8")
    assert sheet == 'time,prompt\n0.500000000,"rain"\n4.000000000,"a ""slam"", then"\n'


def test_a_set_that_was_saved_meanwhile_is_still_the_one(rig: Rig, tmp_path: Path) -> None:
    target = rig.connect()
    assert target.project.startswith("unsaved [")
    (tmp_path / "Samples" / "Imported").mkdir(parents=True)
    with rig.daw.lock:
        rig.song._file_path = str(tmp_path / "Film.als")
    assert len(rig.host.place([make_clip(tmp_path, 0)], target)) == 1
    saved = rig.until(lambda: [name for name in rig.host.open_sessions() if name.startswith("Film [")])
    assert rig.host.folder(replace(target, project=saved[0])) == tmp_path / "Samples" / "Imported"


def test_news_is_seen_in_live(rig: Rig) -> None:
    rig.connect()
    rig.host.show(News("job", "", "progress", "variation 1: denoising", 0.43))
    rig.until(lambda: "DC-LDM: variation 1: denoising  43%" in rig.daw.live.shown)
    rig.host.show(News("job", "", "error", "It went wrong."))
    rig.until(lambda: rig.daw.live.log)
    assert rig.daw.live.shown[-1] == "DC-LDM: It went wrong." and "It went wrong." in rig.daw.live.log.pop()


# Versions


@pytest.mark.parametrize(
    ("version", "lanes"), [((11, 3, 25), False), ((12, 0, 5), False), ((12, 2, 0), True), ((12, 3, 6), True)]
)
@pytest.mark.parametrize("timer", [True, False])
def test_versions(
    fakes: Callable[[str], ModuleType], tmp_path: Path, version: tuple[int, int, int], lanes: bool, timer: bool
) -> None:
    rig = Rig(fakes, tmp_path, version=version, timer=timer)
    clips = [make_clip(tmp_path, index) for index in range(2)]
    first, _ = rig.host.place(clips, replace(rig.connect(), track="Drums"))
    drums = rig.song.tracks[0]
    if lanes:
        assert len(drums.take_lanes) == 1
    else:
        alternate = rig.song.tracks[1]
        assert alternate.name == "Drums alt 2" and alternate.arrangement_clips[0].muted
        assert alternate.arrangement_clips[0].start_time == drums.arrangement_clips[0].start_time
    rig.host.place([make_clip(tmp_path, 2)], replace(rig.connect(), item="slot 0 0"))
    assert drums.clip_slots[0].has_clip
    old = drums.arrangement_clips[0]
    (new,) = rig.host.place([make_clip(tmp_path, 3)], replace(rig.connect(), item=first.item))
    assert (new.track, old in drums.arrangement_clips) == (("Drums", False) if lanes else ("Drums takes", True))
    rig.close()
    assert rig.daw.live.violations == []


@pytest.mark.parametrize("version", [(11, 3, 20), (12, 0, 0)])
def test_a_version_that_is_too_old_says_so(
    fakes: Callable[[str], ModuleType], tmp_path: Path, version: tuple[int, int, int]
) -> None:
    rig = Rig(fakes, tmp_path, version=version)
    target = rig.connect()
    with pytest.raises(HostError, match=r"update it to 11\.3\.25, 12\.0\.5 or newer"):
        rig.host.place([make_clip(tmp_path, 0)], target)
    rig.close()
    assert rig.daw.live.violations == []


# What goes wrong


def test_loss_duplication_and_reordering_place_once(fakes: Callable[[str], ModuleType], tmp_path: Path) -> None:
    rig = Rig(fakes, tmp_path, {"loss": 0.3, "doubled": 0.3, "late": 0.3})
    target = replace(rig.connect(), track="Drums")
    for number in range(4):
        clips = [make_clip(tmp_path, index, f"job-{number}") for index in range(3)]
        placements = rig.host.place(clips, replace(target, position=number * 5 * RATE))
        assert [one.clip_id for one in placements] == [clip.id for clip in clips]
    drums = rig.song.tracks[0]
    assert len(drums.arrangement_clips) == 4
    assert [len(lane.arrangement_clips) for lane in drums.take_lanes] == [4, 4]
    assert len(rig.daw.live.undo) == 4 and len(rig.song.tracks) == 2
    rig.close()
    assert rig.daw.live.violations == [] and rig.daw.live.log == []


def test_live_dies_in_the_middle_of_a_replacement(fakes: Callable[[str], ModuleType], tmp_path: Path) -> None:
    rig = Rig(fakes, tmp_path)
    target = replace(rig.connect(), track="Drums", project="")
    (first,) = rig.host.place([make_clip(tmp_path, 0)], target)
    drums = rig.song.tracks[0]
    with rig.daw.lock:  # after the old one has gone from its place
        create = type(drums).create_audio_clip
        type(drums).create_audio_clip = lambda *_: (_ for _ in ()).throw(SystemExit("Live crashed"))
    rig.host._timeout_seconds = 1.0
    replaced = replace(target, item=first.item)
    with pytest.raises(HostError, match="place"):
        rig.host.place([make_clip(tmp_path, 0, "job-2")], replaced)
    assert drums.arrangement_clips == () and len(drums.take_lanes[0].arrangement_clips) == 1
    type(drums).create_audio_clip = create
    reborn(rig, fakes, tmp_path)
    assert len(rig.host.place([make_clip(tmp_path, 0, "job-2")], replaced)) == 1
    assert [len(one.arrangement_clips) for one in (drums, *drums.take_lanes)] == [1, 1]
    rig.close()


def reborn(rig: Rig, fakes: Callable[[str], ModuleType], tmp_path: Path) -> None:
    """Live died; it is started again, with the set as it recovered it."""
    assert rig.daw.dead.is_set()
    rig.daw.close()
    song = rig.song
    again = Daw(fakes, tmp_path, tmp_path / "spool", rig.to_app.port)
    with again.lock:
        again.live.song._tracks = song._tracks
        for track in song._tracks:  # objects of the Live that is gone
            track.__class__ = again.live.module.Track.Track
    rig.to_live.close()
    rig.to_live = Link(again.port)
    rig.host._peer = ("127.0.0.1", rig.to_live.port)
    rig.host._timeout_seconds = 30.0
    rig.daw = again


@pytest.mark.parametrize("dies_in", ["create_take_lane", "create_audio_clip"])
def test_live_dies_in_mid_placement(fakes: Callable[[str], ModuleType], tmp_path: Path, dies_in: str) -> None:
    rig = Rig(fakes, tmp_path)
    target = replace(rig.connect(), track="Drums", project="")
    clips = [make_clip(tmp_path, index) for index in range(2)]
    rig.daw.live.dies_in = dies_in
    rig.host._timeout_seconds = 1.0
    with pytest.raises(HostError, match="place"):
        rig.host.place(clips, target)
    reborn(rig, fakes, tmp_path)
    assert len(rig.host.place(clips, target)) == 2
    drums = rig.song.tracks[0]
    assert len(drums.arrangement_clips) == 1
    assert [len(lane.arrangement_clips) for lane in drums.take_lanes] == [1]
    rig.close()


@pytest.mark.parametrize("spells", [lambda path: unicodedata.normalize("NFD", path), lambda path: "Disk:" + path])
def test_live_may_spell_a_path_in_its_own_way(rig: Rig, tmp_path: Path, spells: Callable[[str], str]) -> None:
    target = replace(rig.connect(), track="Drums")
    rig.daw.live.spells = spells
    rig.hearing.lose = 5
    clips = [make_clip(tmp_path, index, "\u00e4ther") for index in range(2)]
    clips = [replace(clip, request_id="job-1") for clip in clips]
    assert len(rig.host.place(clips, target)) == 2
    assert len(rig.song.tracks[0].arrangement_clips) == 1 and len(rig.daw.live.undo) == 1


def test_a_program_that_died_left_clips_and_the_next_places_them_once(rig: Rig, tmp_path: Path) -> None:
    target = replace(rig.connect(), track="Drums")
    rig.hearing.lose = 1000
    rig.host._timeout_seconds = 1.0
    clip = make_clip(tmp_path, 0)
    with pytest.raises(HostError):
        rig.host.place([clip], target)
    assert not (tmp_path / "spool" / JOB).exists()
    rig.hearing.lose, rig.host._timeout_seconds = 0, 30.0
    assert len(rig.host.place([clip], target)) == 1
    assert len(rig.song.tracks[0].arrangement_clips) == 1


def test_a_file_that_live_can_not_take(rig: Rig, tmp_path: Path) -> None:
    target = rig.connect()
    clip = make_clip(tmp_path, 0)
    clip.path.write_bytes(b"no sound")
    with pytest.raises(HostError, match="Live can't take"):
        rig.host.place([clip], target)
    assert rig.daw.live.step is None


def test_ten_thousand_random_datagrams(rig: Rig, tmp_path: Path) -> None:
    target = rig.connect()
    noise = random.Random(7)
    real = encode("/dcldm/place", str(tmp_path / "elsewhere.json"))
    (tmp_path / "elsewhere.json").write_text('{"project": "", "groups": []}')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(10_000):
            if number % 3:
                datagram = noise.randbytes(noise.randrange(200))
            else:  # a message with some bytes of another
                changed = bytearray(real)
                for _ in range(3):
                    changed[noise.randrange(len(changed))] = noise.randrange(256)
                datagram = bytes(changed)
            sender.sendto(datagram, ("127.0.0.1", rig.daw.port))
            if number % 50 == 0:
                time.sleep(0.002)
    assert len(rig.host.place([make_clip(tmp_path, 0)], target)) == 1
    assert len(rig.song.tracks) == 3
    rig.daw.live.log.clear()  # paths that are not there


def test_a_job_outside_the_spool_is_not_looked_at(rig: Rig, tmp_path: Path) -> None:
    target = rig.connect()
    outside = tmp_path / "outside.json"
    outside.write_text(job_text([([make_clip(tmp_path, 0)], target)]))
    for path in (str(outside), str(tmp_path / "spool" / ".." / "outside.json")):
        rig.host._send("/dcldm/place", path)
    rig.host.place([make_clip(tmp_path, 1)], target)  # handled after those
    assert len(rig.song.tracks[-1].arrangement_clips) == 1


def test_never_an_answer(tmp_path: Path) -> None:
    host = LiveHost(tmp_path / "spool", free_port(), timeout_seconds=0.4, resend_seconds=0.1)
    with pytest.raises(HostError, match=r"Ableton Live did not answer within 0\.4 s; .*control surface"):
        host.place([make_clip(tmp_path, 0)], TimelineTarget("live"))
    assert not (tmp_path / "spool" / JOB).exists()


# The program as a whole


def test_from_the_program_into_live_and_again_from_the_selected_clip(
    fakes: Callable[[str], ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    until = fakes("bridge/hearing.py").until
    osc = OscSocket(0)
    home = tmp_path / "home"
    daw = Daw(fakes, tmp_path, spool_folder(home), osc.port)
    settings = replace(Settings.at(home), model="tone", live_port=daw.port)
    with only_instance(settings), running(settings, osc) as program:
        (project,) = until(lambda: program.hosts["live"].describe()["sessions"])
        target = TimelineTarget("live", project, "Drums", 4 * RATE, RATE)
        request = GenerationRequest.create("thunder", seconds=0.5, variations=2, model="tone", target=target)
        program.session.submit(request)
        job = program.session.wait(request.id, 120)
        assert (job.state, job.error, len(job.placements)) == (JobState.FINISHED, "", 2)
        clip = daw.live.song.tracks[0].arrangement_clips[0]
        with daw.lock:
            daw.live.song.view.detail_clip = clip
        until(lambda: program.hosts["live"].open_sessions()[project].file)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:  # as a button of TouchOSC does
            sender.sendto(encode("/dcldm/selected/again", 1.0), ("127.0.0.1", osc.port))
        until(lambda: len(jobs := program.session.jobs()) == 2 and all(job.state.over for job in jobs))
        drums = daw.live.song.tracks[0]
        assert [len(one.arrangement_clips) for one in (drums, *drums.take_lanes)] == [1, 1, 1]
        assert drums.arrangement_clips[0].start_time == clip.start_time and drums.arrangement_clips[0] is not clip
        with daw.lock:
            daw.live.song._cue_points = [SimpleNamespace(time=40.0, name="rain")]
        spot = ["--host", "live", "--model", "tone", "--seconds", "0.5", "--home", str(home), "--port", str(osc.port)]
        assert spotting([*spot, "--check"]) == 0
        assert "1 cues, 1 clips" in capsys.readouterr().out
        for _ in range(2):  # the second time all is there
            assert spotting(spot) == 0
        cues = until(lambda: [track for track in daw.live.song.tracks if track.name == "Cues"])
        assert [one.start_time for one in cues[0].arrangement_clips] == [40.0]
        until(lambda: all(job.state.over for job in program.session.jobs()))
    osc.stop()
    daw.close()
    assert daw.live.violations == [] and daw.live.log == []
