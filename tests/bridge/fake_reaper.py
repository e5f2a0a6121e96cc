"""A REAPER without REAPER: a real Lua 5.4, and a `reaper` table that knows just REAPER's functions.

Names, numbers and types of arguments come from the list of REAPER's API (`data/reaper-api.csv`, v7.78), so a
call that REAPER would refuse is refused here. Behind it stands a small project with tracks, items, takes and
undo. What REAPER's users would notice is noted in `violations`: a change outside an undo block, an undo point
that nobody named, a script started while it still runs.
"""

from __future__ import annotations

import copy
import csv
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
from lupa.lua54 import LuaRuntime  # type: ignore[import-untyped]

API = Path(__file__).with_name("data") / "reaper-api.csv"
SCRIPT_ONLY = ("defer", "atexit", "set_action_options")  # of ReaScript; not in the list


def new_guid() -> str:
    return f"{{{uuid.uuid4()}}}".upper()


@dataclass(eq=False)
class Source:
    path: str
    seconds: float


@dataclass(eq=False)
class Take:
    item: Item
    source: Source | None = None
    values: dict[str, float] = field(
        default_factory=lambda: {
            **{"D_STARTOFFS": 0.0, "D_VOL": 1.0, "D_PAN": 0.0, "D_PANLAW": -1.0},
            **{"D_PLAYRATE": 1.0, "D_PITCH": 0.0, "B_PPITCH": 1.0},
        }
    )
    texts: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Item:
    track: Track
    values: dict[str, float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    takes: list[Take] = field(default_factory=list)
    active: int = 0
    selected: bool = False

    def __post_init__(self) -> None:
        defaults = {"D_POSITION": 0.0, "D_LENGTH": 0.0, "D_SNAPOFFSET": 0.0, "B_LOOPSRC": 1.0, "D_VOL": 1.0}
        self.values = {**defaults, "D_FADEINLEN": 0.01, "D_FADEOUTLEN": 0.01, **self.values}
        self.texts.setdefault("GUID", new_guid())
        self.track.items.append(self)

    @property
    def take(self) -> Take:
        return self.takes[self.active]


@dataclass(eq=False)
class Track:
    name: str
    items: list[Item] = field(default_factory=list)
    guid: str = field(default_factory=new_guid)
    selected: bool = False


@dataclass(eq=False)
class Project:
    path: str = ""
    sample_rate: int = 0  # of its own; 0: the device's
    tracks: list[Track] = field(default_factory=list)
    ext: dict[tuple[str, str], str] = field(default_factory=dict)
    cursor: float = 0.0
    selection: tuple[float, float] = (0.0, 0.0)
    markers: list[tuple[bool, float, float, str]] = field(default_factory=list)  # region?, start, end, name
    undo: list[tuple[str, list[Track]]] = field(default_factory=list)  # a step's name, and what was before it
    block: list[Track] | None = None

    @property
    def items(self) -> list[Item]:
        return [item for track in self.tracks for item in track.items]

    def undo_last(self) -> str:
        name, self.tracks = self.undo.pop()
        return name


@dataclass
class Script:
    """One running script: each has a Lua state of its own."""

    name: str
    lua: Any
    deferred: list[Any] = field(default_factory=list)
    at_exit: list[Any] = field(default_factory=list)
    options: int = 0
    undone: bool = False  # it took care of undo itself


GFX_FUNCTIONS = {  # fewest and most arguments
    **{"init": (1, 6), "quit": (0, 0), "update": (0, 0), "getchar": (0, 2), "dock": (1, 5)},
    **{"set": (1, 7), "rect": (4, 5), "drawstr": (1, 4), "setfont": (1, 4)},
}


class Window:
    """The one `gfx` window that a script may have: what was drawn in it last, and the user's hand in it.

    Names and arities as in REAPER's own help on ReaScript; other names are noted as violations.
    """

    VALUES = ("x", "y", "w", "h", "mouse_x", "mouse_y", "mouse_cap")

    def __init__(self, violations: list[str], lua: Any) -> None:
        self._violations = violations
        self.is_open = False
        self.title = ""
        self.texts: list[str] = []
        self.bars: list[tuple[float, ...]] = []
        self._drawn: tuple[list[str], list[tuple[float, ...]]] = ([], [])
        self.key = 0  # of the next getchar; -1: closed by its button
        self.values: dict[str, float] = dict.fromkeys(self.VALUES, 0)
        self.table = lua.table()
        for name in GFX_FUNCTIONS:
            self.table[name] = self._checked(name)
        get, put = self._get, self._put
        link = lua.eval("function (g, p) return function (t, k) return g (k) end, function (t, k, v) p (k, v) end end")
        index, new_index = link(get, put)
        lua.globals().setmetatable(self.table, lua.table(__index=index, __newindex=new_index))

    def click(self, x: float, y: float) -> None:
        self.values.update(mouse_x=x, mouse_y=y, mouse_cap=1)

    def release(self) -> None:
        self.values["mouse_cap"] = 0

    def _get(self, name: str) -> float:
        if name not in self.values:
            self._violations.append(f"gfx.{name} is not known here")
        return self.values.get(name, 0)

    def _put(self, name: str, value: float) -> None:
        if name not in ("x", "y"):
            self._violations.append(f"gfx.{name} is set")
        self.values[name] = value

    def _checked(self, name: str) -> Callable[..., Any]:
        fewest, most = GFX_FUNCTIONS[name]

        def call(*arguments: Any) -> Any:
            if not fewest <= len(arguments) <= most:
                self._violations.append(f"gfx.{name}: {len(arguments)} arguments")
            if not self.is_open and name not in ("init", "quit"):
                self._violations.append(f"gfx.{name} without a window")
            return getattr(self, "_" + name)(*arguments)

        return call

    def _init(self, title: str, width: int = 640, height: int = 480, dock: int = 0, x: int = 0, y: int = 0) -> None:
        self.is_open, self.title = True, title
        self.values.update(w=width, h=height)

    def _quit(self) -> None:
        self.is_open = False

    def _update(self) -> None:
        self.texts, self.bars = self._drawn
        self._drawn = ([], [])

    def _getchar(self, _: int = 0, __: int = 0) -> int:
        key, self.key = self.key, 0
        return key

    def _dock(self, state: int, *_: int) -> tuple[int, int, int, int, int]:
        return 0, 30, 40, int(self.values["w"]), int(self.values["h"])

    def _set(self, *_: float) -> None:
        pass

    def _setfont(self, *_: Any) -> None:
        pass

    def _rect(self, *rectangle: float) -> None:
        self._drawn[1].append(rectangle)

    def _drawstr(self, text: str, *_: float) -> None:
        self._drawn[0].append(text)


class FakeReaper:
    """`run` an action, `tick` as REAPER's main loop does, look at `project` and `violations`."""

    def __init__(self, resource: Path, version: str = "7.16/linux-x86_64", missing: tuple[str, ...] = ()) -> None:
        self.resource = resource
        self.version = version
        self.missing = missing  # functions that this version does not have yet
        self.projects = [Project()]
        self.violations: list[str] = []
        self.messages: list[str] = []  # what came up as a dialog
        self.console: list[str] = []
        self.help: list[str] = []
        self.answers: list[str | None] = []  # what the user types next; None is Cancel
        self.asked: list[tuple[str, str]] = []  # captions and defaults
        self.ext: dict[tuple[str, str], str] = {}
        self.persistent: dict[tuple[str, str], str] = {}
        self.commands: dict[int, str] = {}  # number: path of a script
        self.running: dict[str, Script] = {}
        self.dies_in: str = ""  # the function in which REAPER crashes
        self.window: Window | None = None  # of the script in the background
        self._refreshes = 0
        self._api = {row["function"]: row for row in csv.DictReader(API.read_text("utf-8").splitlines())}
        self._script: Script | None = None

    @property
    def project(self) -> Project:
        return self.projects[0]

    # What REAPER does

    def run(self, path: Path | str) -> None:
        """Run an action's script, as its menu does."""
        name = Path(path).name
        old = self.running.get(name)
        if old is not None:
            if not old.options & 1:
                self.violations.append(f"{name} is still running: REAPER asks what to do")
                return
            self._end(old)
        script = Script(name, LuaRuntime(unpack_returned_tuples=True, register_builtins=False))
        self.running[name] = script
        script.lua.globals().reaper = self._table(script)
        window = Window(self.violations, script.lua)
        script.lua.globals().gfx = window.table
        if name == "dcldm_watch.lua":
            self.window = window
        before = len(self.project.undo)
        self._call(script, script.lua.execute, Path(path).read_text(encoding="utf-8"))
        if self._refreshes:
            self.violations.append(f"{name}: PreventUIRefresh is out of balance")
        if not script.deferred:
            self._end(script)
            if not script.undone and len(self.project.undo) == before:
                self.violations.append(f"{name}: REAPER adds an undo point of its own")

    def tick(self) -> None:
        """One turn of the main loop."""
        for script in list(self.running.values()):
            due, script.deferred = script.deferred, []
            for function in due:
                self._call(script, function)
            if not script.deferred:
                self._end(script)

    def _end(self, script: Script) -> None:
        self.running.pop(script.name, None)
        for function in script.at_exit:
            self._call(script, function)

    def _call(self, script: Script, function: Callable[..., Any], *arguments: Any) -> None:
        caller, self._script = self._script, script
        try:
            function(*arguments)
        finally:
            self._script = caller

    def _table(self, script: Script) -> Any:
        table, lua = script.lua.table(), script.lua
        for name in self._api:
            if name not in self.missing:
                table[name] = self._checked(name)
        table["defer"] = lambda function: script.deferred.append(function)
        table["atexit"] = lambda function: script.at_exit.append(function)
        if "set_action_options" not in self.missing:
            table["set_action_options"] = lambda options: setattr(script, "options", options)

        def unknown(_: Any, name: str) -> None:
            if name not in SCRIPT_ONLY:
                self.violations.append(f"reaper.{name} is not there")

        index = lua.eval("function (f) return function (t, k) return f (t, k) end end")(unknown)
        lua.globals().setmetatable(table, lua.table(__index=index))
        return table

    def _checked(self, name: str) -> Callable[..., Any]:
        """A function that takes what REAPER takes from Lua, where out-pointers may be left out."""
        declared = [one.strip() for one in self._api[name]["arguments"].split(";") if one.strip()]
        full = [one for one in declared if not one.endswith("_sz")]
        lean = [one for one in full if not _is_out(one)]

        def call(*arguments: Any) -> Any:
            if name == self.dies_in:
                raise SystemExit(f"REAPER crashed in {name}")
            expected = full if len(arguments) == len(full) else lean
            problem = ""
            if len(arguments) != len(expected):
                problem = f"{len(arguments)} arguments for {len(lean)} to {len(full)}"
            for declaration, value in zip(expected, arguments, strict=False):
                if not _fits(declaration, value):
                    problem = f"{value!r} for {declaration}"
            work = getattr(self, name, None)
            if work is None:
                problem = "the fake does not know it"
            if problem or work is None:
                self.violations.append(f"reaper.{name}: {problem}")
                raise TypeError(f"bad call of {name}: {problem}")
            given = [value for one, value in zip(expected, arguments, strict=True) if not _is_out(one)]
            return work(*given)

        return call

    def _touch(self) -> None:
        if self.project.block is None and all(project.block is None for project in self.projects):
            self.violations.append("the project is changed outside an undo block")

    # The API, out-pointers as further results

    def APIExists(self, name: str) -> bool:
        return name in self._api and name not in self.missing

    def GetResourcePath(self) -> str:
        return self.resource.as_posix()

    def GetAppVersion(self) -> str:
        return self.version

    def genGuid(self, _: str) -> str:
        return new_guid()

    def time_precise(self) -> float:
        return time.monotonic()

    def _of(self, project: Any) -> Project:
        return project if isinstance(project, Project) else self.project

    def EnumProjects(self, index: int) -> Any:
        if index >= len(self.projects):
            return None
        project = self.projects[max(0, index)]
        return project, project.path

    def GetProjExtState(self, project: Any, name: str, key: str) -> tuple[int, str]:
        value = self._of(project).ext.get((name, key), "")
        return len(value), value

    def SetProjExtState(self, project: Any, name: str, key: str, value: str) -> int:
        self._of(project).ext[name, key] = value
        return len(value)

    def GetProjectPathEx(self, project: Any) -> str:
        path = Path(self._of(project).path).parent / "Media"
        path.mkdir(exist_ok=True)
        return str(path)

    def GetSetProjectInfo(self, project: Any, name: str, value: float, is_set: bool) -> float:
        rate = self._of(project).sample_rate
        return float({"PROJECT_SRATE_USE": rate > 0, "PROJECT_SRATE": rate}[name])

    def GetAudioDeviceInfo(self, attribute: str) -> tuple[bool, str]:
        return True, {"SRATE": "48000"}[attribute]

    def GetCursorPositionEx(self, project: Any) -> float:
        return self._of(project).cursor

    def GetSet_LoopTimeRange2(self, project: Any, is_set: bool, is_loop: bool, seek: bool) -> tuple[float, float]:
        assert not is_set and not is_loop
        return self._of(project).selection

    def CountTracks(self, project: Any) -> int:
        return len(self._of(project).tracks)

    def GetTrack(self, project: Any, index: int) -> Track | None:
        tracks = self._of(project).tracks
        return tracks[index] if index < len(tracks) else None

    def GetSelectedTrack2(self, project: Any, index: int, wants_master: bool) -> Track | None:
        chosen = [track for track in self._of(project).tracks if track.selected]
        return chosen[index] if index < len(chosen) else None

    def GetTrackName(self, track: Track) -> tuple[bool, str]:
        return True, track.name or f"Track {self.project.tracks.index(track) + 1}"

    def GetSetMediaTrackInfo_String(self, track: Track, name: str, text: str, is_set: bool) -> tuple[bool, str]:
        if is_set:
            self._touch()
            assert name == "P_NAME"
            track.name = text
        return True, {"P_NAME": track.name, "GUID": track.guid}[name]

    def InsertTrackInProject(self, project: Any, index: int, flags: int) -> None:
        self._touch()
        self._of(project).tracks.insert(index, Track(""))

    def InsertTrackAtIndex(self, index: int, defaults: bool) -> None:
        self.InsertTrackInProject(None, index, 0)

    def IsTrackSelected(self, track: Track) -> bool:
        return track.selected

    def SetCursorContext(self, mode: int, envelope: None) -> None:
        assert mode == 1

    def CountSelectedTracks(self, project: Any) -> int:
        return sum(track.selected for track in self._of(project).tracks)

    def GetUserFileNameForRead(self, name: str, title: str, extension: str) -> tuple[bool, str]:
        answer = self.answers.pop(0)
        return answer is not None, answer or ""

    def CountMediaItems(self, project: Any) -> int:
        return len(self._of(project).items)

    def GetMediaItem(self, project: Any, index: int) -> Item:
        return self._of(project).items[index]

    def GetSelectedMediaItem(self, project: Any, index: int) -> Item | None:
        chosen = [item for item in self._of(project).items if item.selected]
        return chosen[index] if index < len(chosen) else None

    def GetMediaItem_Track(self, item: Item) -> Track:
        return item.track

    def GetMediaItemInfo_Value(self, item: Item, name: str) -> float:
        return item.values[name]

    def SetMediaItemInfo_Value(self, item: Item, name: str, value: float) -> bool:
        self._touch()
        assert name in item.values, name
        item.values[name] = value
        return True

    def GetSetMediaItemInfo_String(self, item: Item, name: str, text: str, is_set: bool) -> tuple[bool, str]:
        return self._text(item.texts, name, text, is_set)

    def GetSetMediaItemTakeInfo_String(self, take: Take, name: str, text: str, is_set: bool) -> tuple[bool, str]:
        return self._text(take.texts, name, text, is_set)

    def _text(self, texts: dict[str, str], name: str, text: str, is_set: bool) -> tuple[bool, str]:
        if is_set:
            self._touch()
            texts[name] = text
        return name in texts, texts.get(name, "")

    def AddMediaItemToTrack(self, track: Track) -> Item:
        self._touch()
        return Item(track)

    def AddTakeToMediaItem(self, item: Item) -> Take:
        self._touch()
        take = Take(item)
        item.takes.append(take)
        return take

    def CountTakes(self, item: Item) -> int:
        return len(item.takes)

    def GetTake(self, item: Item, index: int) -> Take | None:
        return item.takes[index] if index < len(item.takes) else None

    def GetActiveTake(self, item: Item) -> Take | None:
        return item.take if item.takes else None

    def SetActiveTake(self, take: Take) -> None:
        self._touch()
        take.item.active = take.item.takes.index(take)

    def GetMediaItemTake_Item(self, take: Take) -> Item:
        return take.item

    def TakeIsMIDI(self, take: Take) -> bool:
        return False

    def GetMediaItemTakeInfo_Value(self, take: Take, name: str) -> float:
        return take.values[name]

    def SetMediaItemTakeInfo_Value(self, take: Take, name: str, value: float) -> bool:
        self._touch()
        assert name in take.values, name
        take.values[name] = value
        return True

    def GetMediaItemTake_Source(self, take: Take) -> Source | None:
        return take.source

    def SetMediaItemTake_Source(self, take: Take, source: Source) -> bool:
        self._touch()
        take.source = source
        return True

    def PCM_Source_CreateFromFile(self, path: str) -> Source | None:
        try:
            return Source(path, soundfile.info(path).duration)
        except soundfile.LibsndfileError:
            return None

    def PCM_Source_BuildPeaks(self, source: Source, mode: int) -> int:
        return 1 if mode == 0 else 0

    def GetMediaSourceFileName(self, source: Source) -> str:
        return source.path

    def GetMediaSourceParent(self, source: Source) -> None:
        return None

    def GetMediaSourceLength(self, source: Source) -> tuple[float, bool]:
        return source.seconds, False

    def UpdateItemInProject(self, item: Item) -> None:
        pass

    def UpdateArrange(self) -> None:
        pass

    def PreventUIRefresh(self, count: int) -> None:
        self._refreshes += count

    def Undo_BeginBlock2(self, project: Any) -> None:
        assert self._of(project).block is None
        self._of(project).block = copy.deepcopy(self._of(project).tracks)

    def Undo_EndBlock2(self, project: Any, name: str, flags: int) -> None:
        its, before = self._of(project), self._of(project).block
        assert before is not None
        its.undo.append((name, before))
        its.block = None
        if self._script is not None:
            self._script.undone = True

    def CountProjectMarkers(self, project: Any) -> tuple[int, int, int]:
        markers = self._of(project).markers
        regions = sum(marker[0] for marker in markers)
        return len(markers), len(markers) - regions, regions

    def EnumProjectMarkers3(self, project: Any, index: int) -> Any:
        markers = self._of(project).markers
        if index >= len(markers):
            return 0
        is_region, start, end, name = markers[index]
        return index + 1, is_region, start, end, name, index + 1, 0

    def MB(self, text: str, title: str, kind: int) -> int:
        self.messages.append(text)
        return 1  # OK

    def GetUserInputs(self, title: str, count: int, captions: str, defaults: str) -> tuple[bool, str]:
        assert 1 <= count <= 16 and defaults.count("\n") == count - 1
        self.asked.append((captions, defaults))
        answer = self.answers.pop(0)
        return (False, defaults) if answer is None else (True, answer)

    def ShowConsoleMsg(self, text: str) -> None:
        self.console.append(text)

    def Help_Set(self, text: str, temporary: bool) -> None:
        self.help.append(text)

    def GetExtState(self, section: str, key: str) -> str:
        return self.ext.get((section, key), self.persistent.get((section, key), ""))

    def SetExtState(self, section: str, key: str, value: str, persist: bool) -> None:
        assert "\n" not in value
        (self.persistent if persist else self.ext)[section, key] = value

    def DeleteExtState(self, section: str, key: str, persist: bool) -> None:
        self.ext.pop((section, key), None)

    def AddRemoveReaScript(self, add: bool, section: int, path: str, commit: bool) -> int:
        if not Path(path).is_file():
            return 0
        number = next((number for number, known in self.commands.items() if known == path), 0)
        number = number or 53000 + len(self.commands)
        self.commands[number] = path
        return number

    def _name(self, path: str) -> str:
        from bridge.reaper import command_id

        return command_id(Path(path).relative_to(self.resource / "Scripts").as_posix()).removeprefix("_")

    def ReverseNamedCommandLookup(self, number: int) -> str | None:
        return self._name(self.commands[number]) if number in self.commands else None

    def NamedCommandLookup(self, name: str) -> int:
        return next((number for number, path in self.commands.items() if "_" + self._name(path) == name), 0)

    def Main_OnCommand(self, number: int, flag: int) -> None:
        if number in self.commands:
            self.run(self.commands[number])


def _is_out(declaration: str) -> bool:
    words = declaration.replace("*", " ").split()
    return "*" in declaration and any(words[-1].endswith(end) for end in ("Out", "OutOptional", "OutNeedBig"))


_TYPES: dict[str, tuple[type, ...]] = {
    "ReaProject*": (Project, type(None), int),
    "MediaTrack*": (Track,),
    "MediaItem*": (Item,),
    "MediaItem_Take*": (Take,),
    "PCM_source*": (Source,),
    "TrackEnvelope*": (type(None),),
    "GUID*": (str,),
    "char*": (str,),
    "double": (int, float),
    "int": (int,),
    "bool": (bool,),
}


def _fits(declaration: str, value: Any) -> bool:
    if _is_out(declaration):
        return True
    kind = declaration.removeprefix("const ").rsplit(" ", 1)[0]
    if kind in {"double", "int"} and isinstance(value, bool):
        return False
    return isinstance(value, _TYPES[kind])


class OscSurface:
    """REAPER's built-in OSC, as its source has it: what it does not take is dropped without a word."""

    MAX_BYTES = 1024

    def __init__(self, reaper: FakeReaper, port: int = 0) -> None:
        self.reaper = reaper
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.handled: list[tuple[str, list[Any]]] = []

    def close(self) -> None:
        self.socket.close()

    def cycle(self) -> None:
        """Handle what came since the last time; one message that is too long loses all of it."""
        queue: list[bytes] = []
        while True:
            try:
                datagram = self.socket.recv(65_535)
            except BlockingIOError:
                break
            if len(datagram) > self.MAX_BYTES:
                queue.clear()
                break
            queue.append(datagram)
        for datagram in queue:
            message = parse(datagram)
            if message is not None:
                self.handled.append(message)
                self._act(*message)

    def _act(self, address: str, arguments: list[Any]) -> None:
        if address == "/action/str":
            names = arguments if all(isinstance(one, str) for one in arguments) else []
        elif address.startswith("/action/") and (not arguments or arguments[0] == 1):  # as a trigger
            names = [address.removeprefix("/action/")]
        else:
            return
        for name in names:
            number = self.reaper.NamedCommandLookup(name) if name.startswith("_") else 0
            self.reaper.Main_OnCommand(number, 0)


def parse(datagram: bytes) -> tuple[str, list[Any]] | None:
    """A message of i, f and s only; None for anything else."""
    import struct

    def text(at: int) -> tuple[str, int]:
        end = datagram.index(b"\0", at)
        return datagram[at:end].decode("utf-8"), (end // 4 + 1) * 4

    try:
        address, at = text(0)
        if not address.startswith("/"):
            return None
        tags, at = text(at)
        arguments: list[Any] = []
        for tag in tags.removeprefix(","):
            if tag == "s":
                value, at = text(at)
                arguments.append(value)
            elif tag in "if":
                arguments.append(struct.unpack_from(f">{tag}", datagram, at)[0])
                at += 4
            else:
                return None
    except (ValueError, struct.error):
        return None
    return address, arguments


def context_of(address: str, arguments: list[Any]) -> str:
    """What a script that is bound to a message sees of it: the first argument only, a float or a text."""
    first = arguments[0] if arguments else None
    if isinstance(first, str):
        return f"osc:{address}:s={first}"
    return f"osc:{address}:f={first:.14g}" if isinstance(first, float) else f"osc:{address}"
