"""A Live without Live: as much of its API as our script uses, held to the stubs of the real one.

Whatever a class here defines must stand in the stubs (PyPI `ableton-live-stubs`) under the same name, as a
method with as many arguments or as a property that can be set or not. So a script that runs here uses nothing
that Live does not have. A version is made by taking away what came later. What Live's users would not like is
noted in `violations`: something written over, a change outside an undo step or off Live's own thread.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import threading
import types
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import soundfile

SINCE = {  # class and member -> the first version that has it
    ("Track", "create_audio_clip"): ((11, 3, 25), (12, 0, 5)),
    ("ClipSlot", "create_audio_clip"): ((11, 3, 25), (12, 0, 5)),
    ("Track", "create_take_lane"): ((12, 2, 0),),
    ("Track", "take_lanes"): ((12, 2, 0),),
    ("Clip", "is_take_lane_clip"): ((12, 2, 0),),
}
LAST_BEAT = 1576800.0


def stubs() -> dict[str, dict[str, tuple[str, int]]]:
    """Class -> member -> kind (method, property, settable) and number of arguments without self."""
    found: dict[str, dict[str, tuple[str, int]]] = {}
    folder = Path(str(distribution("ableton-live-stubs").locate_file("Live-stubs")))
    for path in folder.glob("*.pyi"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                _members(node, found.setdefault(f"{path.stem}.{node.name}", {}))
    return found


def _members(node: ast.ClassDef, members: dict[str, tuple[str, int]]) -> None:
    for one in node.body:
        if not isinstance(one, ast.FunctionDef):
            continue
        marks = [ast.unparse(mark) for mark in one.decorator_list]
        arguments = len(one.args.posonlyargs) + len(one.args.args) - 1
        if "property" in marks:
            members[one.name] = ("property", 0)
        elif any(mark.endswith(".setter") for mark in marks):
            members[one.name] = ("settable", 0)
        else:
            members[one.name] = ("method", arguments)


def in_version(name: str, member: str, version: tuple[int, int, int]) -> bool:
    firsts = SINCE.get((name, member))
    return (
        firsts is None
        or any(first[0] == version[0] and version >= first for first in firsts)
        or (version[0] > max(first[0] for first in firsts))
    )


class FakeLive:
    """One Live: `module` is what scripts import, `song` the open set. `tick` is a frame."""

    def __init__(self, version: tuple[int, int, int] = (12, 3, 6), timer: bool = True) -> None:
        self.version = version
        self.violations: list[str] = []
        self.shown: list[str] = []
        self.log: list[str] = []
        self.timers: list[Any] = []
        self.undo: list[str] = []  # of each step, what was done in it
        self.step: list[str] | None = None
        self.session_view = False
        self.thread = threading.current_thread()
        self.spells: Any = str  # how it tells the path of a file
        self.dies_in = ""  # a method in which Live crashes
        self.module = self._make(timer)
        self.surface: Any = None
        self.song = self.module.Song.Song()

    # c_instance of the script

    def show_message(self, text: str) -> None:
        self.shown.append(text)

    def log_message(self, text: str) -> None:
        self.log.append(text)

    def load(self, folder: Path) -> None:
        """Start the script in this folder, as Live does when a control surface is chosen."""
        name = f"control_surface_{id(self)}"
        sys.modules["Live"] = self.module
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        package = importlib.util.module_from_spec(spec)
        sys.modules[name] = package
        try:
            spec.loader.exec_module(package)
            instance = types.SimpleNamespace(
                song=lambda: self.song, show_message=self.show_message, log_message=self.log_message
            )
            self.surface = package.create_instance(instance)
        finally:
            for known in [known for known in sys.modules if known == "Live" or known.startswith(name)]:
                del sys.modules[known]

    def tick(self) -> None:
        for timer in list(self.timers):
            timer._fire()
        if not self.timers and self.surface is not None:
            self.surface.update_display()

    # What it keeps an eye on

    def changes(self, what: str) -> None:
        if threading.current_thread() is not self.thread:
            self.violations.append(f"{what} off Live's thread")
        if what.split(" ")[0] == self.dies_in:
            raise SystemExit(f"Live crashed in {what}")
        if self.step is None:
            self.violations.append(f"{what} outside an undo step")
        else:
            self.step.append(what)

    def _make(self, timer: bool) -> Any:  # noqa: C901 (a world of its own for each version)
        live, known = self, stubs()
        module: Any = types.ModuleType("Live")

        def checked(stub: str, cls: type) -> type:
            """Hold a class to its stub, and to the version."""
            for name, value in list(vars(cls).items()):
                if name.startswith("_"):
                    continue
                assert name in known[stub], f"{stub} has no {name}"
                kind, arguments = known[stub][name]
                if isinstance(value, property):
                    assert kind == "settable" or (kind == "property" and value.fset is None), f"{stub}.{name}"
                else:
                    assert kind == "method", f"{stub}.{name} is a {kind}"
                    assert value.__code__.co_argcount - 1 == arguments, f"{stub}.{name} takes {arguments}"
                    assert value.__code__.co_posonlyargcount == arguments + 1 or not arguments, f"{stub}.{name}"
                if not in_version(cls.__name__, name, live.version):
                    delattr(cls, name)
            setattr(module, stub.split(".")[0], types.SimpleNamespace(**{cls.__name__: cls}))
            return cls

        def settable(name: str) -> property:
            def read(self: Any) -> Any:
                return getattr(self, "_" + name)

            def write(self: Any, value: Any) -> None:
                live.changes(f"set {name}")
                setattr(self, "_" + name, value)

            return property(read, write)

        def readable(name: str) -> property:
            return property(lambda self: getattr(self, "_" + name))

        class Clip:
            def __init__(self, path: str, start: float, arrangement: bool) -> None:
                if not Path(path).is_absolute() or not Path(path).is_file():
                    raise RuntimeError("Invalid file path")
                try:
                    self._seconds = soundfile.info(path).duration
                except soundfile.LibsndfileError as error:
                    raise RuntimeError("not an audio file") from error
                self._file_path, self._start_time, self._is_arrangement_clip = path, start, arrangement
                self._name, self._looping, self._warping, self._muted = Path(path).stem, True, True, False
                self._gain, self._start_marker, self._pitch_coarse, self._pitch_fine = 0.4, 0.0, 0, 0.0
                self._loop_start, self._loop_end, self._has_envelopes, self._lane = 0.0, self._seconds, False, False

            loop_start, has_envelopes = settable("loop_start"), readable("has_envelopes")
            pitch_coarse, pitch_fine = settable("pitch_coarse"), settable("pitch_fine")
            is_take_lane_clip = property(lambda self: self._lane)
            name, looping, warping = settable("name"), settable("looping"), settable("warping")
            muted, gain, start_marker = settable("muted"), settable("gain"), settable("start_marker")
            start_time = readable("start_time")
            is_arrangement_clip = readable("is_arrangement_clip")

            @property
            def file_path(self) -> str:
                return str(live.spells(self._file_path))

            @property
            def is_audio_clip(self) -> bool:
                return True

            @property
            def loop_end(self) -> float:
                return float(self._loop_end)

            @loop_end.setter
            def loop_end(self, value: float) -> None:
                live.changes("set loop_end")
                assert not self._looping and not self._warping, "in seconds, and the length, only then"
                self._loop_end = min(value, self._seconds)

            @property
            def sample_length(self) -> int:
                return round(self._seconds * self.sample_rate)

            @property
            def sample_rate(self) -> float:
                return 48_000.0

            @property
            def end_time(self) -> float:
                return float(self._start_time + (self._loop_end - self._loop_start) * live.song._tempo / 60.0)

        class ClipSlot:
            def __init__(self, track: Any) -> None:
                self._track, self._clip = track, None

            @property
            def has_clip(self) -> bool:
                return self._clip is not None

            @property
            def clip(self) -> Any:
                return self._clip

            @property
            def canonical_parent(self) -> Any:
                return self._track

            def create_audio_clip(self, path: str, /) -> Any:
                live.changes("create_audio_clip in a slot")
                if self._clip is not None or not self._track._has_audio_input:
                    raise RuntimeError("This slot takes no audio clip")
                self._clip = Clip(path, 0.0, False)
                return self._clip

        def add(clips: list[Any], track: Any, path: str, beat: float) -> Any:
            if not isinstance(beat, float) or not 0.0 <= beat <= LAST_BEAT:
                raise RuntimeError("Position out of range")
            if not track._has_audio_input or track._is_frozen:
                raise RuntimeError("Not an audio track, or a frozen one")
            clip = Clip(path, beat, True)
            if any(other._start_time < clip.end_time and other.end_time > beat for other in clips):
                live.violations.append(f"{path} is written over another clip")
            clips.append(clip)
            return clip

        class TakeLane:
            def __init__(self, track: Any) -> None:
                self._track, self._name, self._clips = track, "", []

            name = settable("name")

            @property
            def arrangement_clips(self) -> Any:
                return tuple(self._clips)

            def create_audio_clip(self, path: str, beat: float, /) -> Any:
                live.changes("create_audio_clip in a lane")
                clip = add(self._clips, self._track, path, beat)
                clip._lane = True
                return clip

        class Track:
            def __init__(self, name: str, audio: bool = True) -> None:
                self._name, self._has_audio_input = name, audio
                self._is_frozen = self._is_foldable = self._arm = False
                self._clips: list[Any] = []
                self._lanes: list[Any] = []
                self._slots = [ClipSlot(self) for _ in range(2)]

            name, arm = settable("name"), settable("arm")
            has_audio_input, is_frozen, is_foldable = (
                readable("has_audio_input"),
                readable("is_frozen"),
                readable("is_foldable"),
            )

            @property
            def can_be_armed(self) -> bool:
                return True

            @property
            def arrangement_clips(self) -> Any:
                return tuple(self._clips)

            @property
            def clip_slots(self) -> Any:
                return tuple(self._slots)

            @property
            def take_lanes(self) -> Any:
                return tuple(self._lanes)

            def create_take_lane(self) -> Any:
                live.changes("create_take_lane")
                self._lanes.append(TakeLane(self))
                return self._lanes[-1]

            def create_audio_clip(self, path: str, beat: float, /) -> Any:
                live.changes("create_audio_clip in the arrangement")
                return add(self._clips, self, path, beat)

            def delete_clip(self, clip: Any, /) -> None:
                live.changes("delete_clip")
                self._clips.remove(clip)

        class CuePoint:
            def __init__(self, time: float, name: str) -> None:
                self._time, self._name = time, name

            name, time = settable("name"), readable("time")

        class Song:
            def __init__(self) -> None:
                self._tempo, self._current_song_time, self._file_path = 120.0, 0.0, ""
                self._tracks = [Track("Drums"), Track("Keys", audio=False)]
                self._cue_points: list[Any] = []
                self._record_mode = self._loop = False
                self._loop_start, self._loop_length = 8.0, 4.0
                self._view = types.SimpleNamespace(
                    selected_track=self._tracks[0], highlighted_clip_slot=None, detail_clip=None
                )

            tempo, current_song_time = settable("tempo"), settable("current_song_time")
            record_mode, file_path, view = settable("record_mode"), readable("file_path"), readable("view")
            cue_points, loop = readable("cue_points"), settable("loop")
            loop_start, loop_length = settable("loop_start"), settable("loop_length")

            @property
            def tracks(self) -> Any:
                return tuple(self._tracks)

            def create_audio_track(self, index: int | None = None, /) -> Any:
                live.changes("create_audio_track")
                track = Track("Audio")
                self._tracks.insert(len(self._tracks) if index in {None, -1} else index, track)  # type: ignore[arg-type]
                return track

            def create_scene(self, index: int, /) -> None:
                live.changes("create_scene")
                for track in self._tracks:
                    track._slots.append(ClipSlot(track))

            def begin_undo_step(self) -> None:
                assert live.step is None
                live.step = []

            def end_undo_step(self) -> None:
                assert live.step is not None
                live.undo.append(", ".join(live.step))
                live.step = None

        class Timer:
            def __init__(self, callback: Any, interval: int, repeat: bool = False, start: bool = False) -> None:
                self._callback, self._on = callback, start
                live.timers.append(self)

            def start(self) -> None:
                self._on = True

            def stop(self) -> None:
                self._on = False

            def _fire(self) -> None:
                if self._on:
                    try:
                        self._callback()
                    except Exception as error:
                        self._on = False
                        live.violations.append(f"the timer is stopped by {error!r}")

        for stub, cls in [
            ("Clip.Clip", Clip),
            ("ClipSlot.ClipSlot", ClipSlot),
            ("Track.Track", Track),
            ("Song.CuePoint", CuePoint),
            ("Song.Song", Song),
        ]:
            checked(stub, cls)
        checked("Base.Timer", Timer)
        if live.version >= (12, 2, 0):
            checked("TakeLane.TakeLane", TakeLane)
        if not timer:
            del module.Base.Timer
        application = types.SimpleNamespace(
            get_major_version=lambda: live.version[0],
            get_minor_version=lambda: live.version[1],
            get_bugfix_version=lambda: live.version[2],
            view=_View(live),
        )
        module.Application = types.SimpleNamespace(get_application=lambda: application)
        return module


class _View:
    def __init__(self, live: FakeLive) -> None:
        self._live = live

    @property
    def focused_document_view(self) -> str:
        return "Session" if self._live.session_view else "Arranger"
