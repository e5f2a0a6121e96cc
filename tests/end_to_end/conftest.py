"""A real Ardour 7 under Xvfb with its dummy audio backend, and a `dcldm serve` beside it, for one test module."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import pytest

from bridge import install, ui_scripts
from bridge.osc import decode, encode

MODEL = "tone"  # at once, where no test asks for a real one
SESSION, RATE = "sess", 48_000
TRACKS = ("Dialogue", "AI Clips")
PATIENCE_SECONDS = 180.0  # the machine may be busy with other work
PROGRAMS = ("ardour", "ardour7-lua", "ardour7-export", "Xvfb", "xdotool", "import")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]

SUPERCLOCK_PER_SECOND = 282_240_000  # the unit of times in Ardour 7's session files

CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Ardour>
  <Config>
    <Option name="osc-port" value="{port}"/>
    <Option name="hide-dummy-backend" value="0"/>
    <Option name="try-autostart-engine" value="1"/>
    <Option name="discover-plugins-on-start" value="0"/>
    <Option name="default-session-parent-dir" value="{home}"/>
  </Config>
  <Extra><AudioMIDISetup><EngineStates>
    <State backend="None (Dummy)" driver="Normal Speed" device="Silence" input-device="" output-device=""
      sample-rate="48000" buffer-size="1024" n-periods="0" input-latency="0" output-latency="0" lm-input=""
      lm-output="" active="1" use-buffered-io="0" midi-option="1 in, 1 out, Silence" lru="1700000000">
      <MIDIDevices/>
    </State>
  </EngineStates></AudioMIDISetup></Extra>
  <ControlProtocols>
    <Protocol name="Open Sound Control (OSC)" active="1" debugmode="0" address-only="0" remote-port="8000"
      banksize="0" striptypes="31" feedback="0" gainmode="0" send-page-size="0" plug-page-size="0"/>
  </ControlProtocols>
</Ardour>
"""
UI_CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<Ardour><UI>
  <Option name="check-announcements" value="0"/>
  <Option name="no-new-session-dialog" value="1"/>
  <Option name="font-scale" value="102400"/>
</UI></Ardour>
"""
MAKE_SESSION = """
local folder, name, rate = arg[1], arg[2], tonumber (arg[3])
local backend = AudioEngine:set_backend ("None (Dummy)", "", "")
backend:set_sample_rate (rate)
local session = create_session (folder, name, rate)
assert (session)
for number = 4, #arg do
  local made = session:new_audio_track (2, 2, nil, 1, arg[number], ARDOUR.PresentationInfo.max_order,
    ARDOUR.TrackMode.Normal, true)
  for track in made:iter () do -- connecting by itself happens in another thread, too late for this script
    for channel = 0, 1 do
      track:output ():audio (channel):connect (session:master_out ():input ():audio (channel):name ())
    end
  end
end
session:save_state ("")
close_session ()
quit ()
"""


PROBE = """
ardour { ["type"] = "EditorHook", name = "Tester" }
function signals () return LuaSignal.Set ():add ({ [LuaSignal.LuaTimerDS] = true }) end
function factory ()
  local busy = false
  return function ()
    local file = not busy and io.open ("%(folder)s/probe.lua")
    if not file then return end
    local text = file:read ("a")
    file:close ()
    os.remove ("%(folder)s/probe.lua")
    busy = true
    local said = {}
    local function say (...) for _, one in ipairs { ... } do said[#said + 1] = tostring (one) end end
    local work, problem = load (text, "probe", "t", setmetatable ({ say = say }, { __index = _G }))
    local fine = work and nil
    if work then fine, problem = pcall (work) end
    local answer = io.open ("%(folder)s/probe.part", "w")
    answer:write (fine and "" or "ERROR " .. tostring (problem) .. "\\n", table.concat (said, "\\n"))
    answer:close ()
    os.rename ("%(folder)s/probe.part", "%(folder)s/probe.out")
    busy = false
  end
end
"""  # the hand of the user where OSC and keys reach nothing: it runs Lua of ours inside Ardour


@dataclass
class Events:
    """The JSON lines of a running `dcldm serve`, as they come."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self.changed:
                    self.lines.append(json.loads(line))
                    self.changed.notify_all()

    def wait(self, what: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((line for line in self.lines if wanted(line)), None)

        with self.changed:
            line = self.changed.wait_for(found, PATIENCE_SECONDS)
        assert line is not None, f"no {what} among: {self.lines}"
        return line


def wait_until(what: str, found: Callable[[], Any], pause_seconds: float = 0.1) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        result = found()
        if result:
            return result
        time.sleep(pause_seconds)
    raise AssertionError(f"{what} did not come within {PATIENCE_SECONDS:g} s")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(app_port: int, address: str, *arguments: str | float | None) -> dict[str, Any]:
    """What `dcldm serve` answers at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(PATIENCE_SECONDS)
        sender.sendto(encode(address, *arguments), ("127.0.0.1", app_port))
        [(answered, [text])] = decode(sender.recv(65_535))
    assert answered == f"/reply{address}"
    reply: dict[str, Any] = json.loads(text)
    return reply


def is_over(line: dict[str, Any], job_id: str = "") -> bool:
    return line["state"] in {"finished", "failed", "cancelled"} and (not job_id or line["id"] == job_id)


@contextmanager
def process(
    command: Sequence[str | Path], log: Path, environment: dict[str, str], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in a file; ended, if need be killed, in the end."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
        )
        try:
            yield running
        finally:
            stop(running)


def stop(running: subprocess.Popen[Any]) -> None:
    if running.poll() is None:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


@contextmanager
def x_server(log: Path, environment: dict[str, str]) -> Iterator[str]:
    """The name of a display that nobody else uses."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1600x900x24", "-nolisten", "tcp"]
    with process(command, log, environment, pass_fds=[writer]):
        os.close(writer)
        with os.fdopen(reader) as numbers:
            yield f":{numbers.readline().strip()}"


class Studio:
    """Ardour and a program of ours, as their user has them: one by OSC, keys and a probe; ours by OSC and its log."""

    def __init__(self, folder: Path, tracks: Sequence[str] = TRACKS) -> None:
        self.folder = folder
        self.home = folder / "dcldm"
        self.app_port, self.ardour_port = free_port(), free_port()
        self.events = Events()
        self.slots: list[int] = []
        self.serve: subprocess.Popen[str] | None = None
        self.daw: subprocess.Popen[bytes] | None = None
        self._tracks = tracks
        self._stack = ExitStack()
        config = folder / "cfg" / "ardour7"
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(config.parent),
            "XDG_RUNTIME_DIR": str(folder),
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "NO_AT_BRIDGE": "1",
        }
        config.mkdir(parents=True)
        (config / ".a7").touch()  # no wizard for new users
        (config / "config").write_text(CONFIG.format(port=self.ardour_port, home=folder))
        (config / "ui_config").write_text(UI_CONFIG)
        self.home.mkdir()
        self._set_model(MODEL)
        self._config = config

    def _set_model(self, name: str) -> None:
        (self.home / "settings.toml").write_text(f'model = "{name}"\n')

    @contextmanager
    def model(self, name: str) -> Iterator[None]:
        """Another model for whoever names none, and then the usual one: the program is started again for each."""
        for chosen in (name, MODEL):
            stop(self.serve)
            self._set_model(chosen)
            self.start_serve()
            wait_until("Ardour", lambda: self.ask("/dcldm/ping")["hosts"]["ardour"]["connected"])
            if chosen == name:
                yield

    def start_screen(self) -> None:
        self.environment["DISPLAY"] = self._stack.enter_context(x_server(self.folder / "xvfb.log", self.environment))

    def start(self, name: str, *command: str | Path) -> subprocess.Popen[bytes]:
        """A program that is ended, if need be killed, in the end. Its output is added to a file."""
        return self._stack.enter_context(process(list(command), self.folder / f"{name}.log", self.environment))

    def start_serve(self) -> None:
        self.serve = serve = subprocess.Popen(
            [sys.executable, "-m", "dcldm_plugin", "serve", "--home", self.home, "--port", str(self.app_port)],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert serve.stderr is not None
        reader = threading.Thread(target=self.events.read, args=(serve.stderr,))
        reader.start()
        self._stack.callback(reader.join)
        self._stack.callback(stop, serve)
        self.events.wait("start", lambda line: line["event"] == "started" and line["pid"] == serve.pid)

    def start_ardour(self) -> None:
        """Until the program hears of it."""
        self.daw = self.start("ardour", "ardour", "--no-announcements", "--no-splash", self.session_folder)
        wait_until("a heartbeat from Ardour", lambda: self.ask("/dcldm/ping")["hosts"]["ardour"]["connected"])

    def kill(self, running: subprocess.Popen[Any]) -> None:
        """What a crash is to the others."""
        running.kill()
        running.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self._stack.close()

    def wait_until(self, what: str, found: Callable[[], Any]) -> Any:
        return wait_until(what, found)

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        return done.stdout

    def install(self, *options: str) -> str:
        command = ["install", "ardour", "--config", self._config, "--port", str(self.app_port), "--home", self.home]
        return self.run(sys.executable, "-m", "dcldm_plugin", *command, *options)

    def set_up(self) -> None:
        """Our scripts, and the tester's."""
        self.install()
        self.slots = json.loads((self._config / "scripts" / install.RECORD).read_text())["slots"]
        path = self._config / "ui_scripts"
        text, _ = ui_scripts.add(path.read_bytes(), [], ("Tester", PROBE % {"folder": self.folder}))
        path.write_bytes(text)

    def make_session(self) -> None:
        script = self.folder / "make_session.lua"
        script.write_text(MAKE_SESSION)
        self.run("ardour7-lua", script, self.session_folder, SESSION, str(RATE), *self._tracks)

    def ask(self, address: str, *arguments: str | float | None) -> dict[str, Any]:
        return ask(self.app_port, address, *arguments)

    def finished(self, job_id: str) -> dict[str, Any]:
        """The end of a job, which has to be a good one."""
        done = self.events.wait(f"end of {job_id}", lambda line: line["event"] == "job" and is_over(line, job_id))
        assert (done["state"], done["error"]) == ("finished", "")
        return done

    def placements(self, job_id: str) -> list[dict[str, Any]]:
        return [line for line in self.events.lines if line["event"] == "placement" and line["job"] == job_id]

    def clips(self, job_id: str) -> list[dict[str, Any]]:
        return [line for line in self.events.lines if line["event"] == "clip" and line["job"] == job_id]

    def send(self, address: str, *arguments: str | float) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(encode(address, *arguments), ("127.0.0.1", self.ardour_port))

    def lua(self, text: str) -> list[str]:
        """Run Lua inside Ardour; the lines that it `say`s."""
        answer = self.folder / "probe.out"
        answer.unlink(missing_ok=True)
        part = self.folder / "probe.new"
        part.write_text(text)
        part.replace(self.folder / "probe.lua")
        wait_until("the probe", answer.exists)
        said = answer.read_text()
        assert not said.startswith("ERROR"), said
        return said.splitlines()

    def select_region(self, region_id: str) -> None:
        self.lua(
            f"""
            for route in Session:get_tracks ():iter () do
              local region = route:to_track ():playlist ():region_by_id (PBD.ID ("{region_id}"))
              if not region:isnil () then
                local list = ArdourUI.SelectionList ()
                list:push_back (Editor:regionview_from_region (region))
                Editor:set_selection (list, ArdourUI.SelectionOp.Set)
              end
            end"""
        )

    def select_range(self, start: int, end: int, track: str) -> None:
        """A range of samples on one track, by way of the loop."""
        self.send("/loop_location", start, end)
        time.sleep(0.5)
        number = 1 + self._tracks.index(track)
        self.send("/strip/select", number, 0)
        time.sleep(0.5)
        self.send("/access_action", "Editor/select-loop-range")
        time.sleep(0.5)

    def xdotool(self, *arguments: str) -> str:
        done = subprocess.run(
            ["xdotool", *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def window(self, title: str) -> str:
        """The window of that title, with the keys in it."""
        found = str(wait_until(title, lambda: self.xdotool("search", "--onlyvisible", "--name", title))).split()[0]
        time.sleep(0.5)  # no window manager says when a dialog takes keys
        self.xdotool("windowfocus", "--sync", found)
        return found

    def action(
        self, number: int, title: str, *fields: str, place: tuple[float, float] = (0.0, 0.0), choice: Sequence[str] = ()
    ) -> None:
        """Open the dialog of one of our actions, fill in its first fields, press OK.

        `place`: where in the window, as fractions, a list is in which keys then make a `choice`.
        """
        self.send("/access_action", f"LuaAction/script-{self.slots[number]}")
        window = self.window(f"^{title}")
        for text in fields:
            self.xdotool("key", "ctrl+a")
            self.xdotool("type", "--delay", "20", text)
            self.xdotool("key", "Tab")
        if choice:
            shape = dict(row.split("=") for row in self.xdotool("getwindowgeometry", "--shell", window).splitlines())
            x, y = (int(part * int(shape[side])) for part, side in zip(place, ("WIDTH", "HEIGHT"), strict=True))
            self.xdotool("mousemove", "--window", window, str(x), str(y), "click", "1")
            for key in (*choice, "Return"):
                time.sleep(0.5)
                self.xdotool("key", key)
            time.sleep(0.5)
        self.screenshot(self.folder / f"dialog-{number}.png")
        self.xdotool("key", "alt+o")

    def new_job(self, before: int) -> str:
        """The id of the first job that was accepted after so many lines of the log."""
        line = self.events.wait(
            "a new job", lambda line: line["event"] == "job" and self.events.lines.index(line) >= before
        )
        return str(line["id"])

    def screenshot(self, path: Path) -> None:
        subprocess.run(["import", "-window", "root", str(path)], env=self.environment, check=False, timeout=60)

    def save(self) -> None:
        before = self.session_file.stat().st_mtime_ns
        self.send("/save_state")
        wait_until("a saved session", lambda: self.session_file.stat().st_mtime_ns != before)
        time.sleep(0.5)

    def regions(self) -> list[Placed]:
        """What lies on the timeline, by what Ardour saves."""
        self.save()
        return regions(self.session_file)

    @property
    def session_folder(self) -> Path:
        return self.folder / SESSION

    @property
    def session_file(self) -> Path:
        return self.session_folder / f"{SESSION}.ardour"


@dataclass(frozen=True)
class Placed:
    """A region of a playlist in the session file, in samples."""

    id: str
    track: str
    position: int
    length: int
    start: int
    muted: bool
    layer: int
    gain: float
    sync: int | None  # the marked moment, from the region's start
    fades: tuple[str, str]  # the points of the curves, as they stand in the file
    path: str


def regions(session_file: Path) -> list[Placed]:
    root = ElementTree.parse(session_file).getroot()
    tracks = {route.get("audio-playlist"): route.attrib["name"] for route in root.iterfind("Routes/Route")}
    paths = {source.attrib["id"]: source.get("origin", "") for source in root.iterfind("Sources/Source")}
    found = []
    for playlist in root.iterfind("Playlists/Playlist"):
        for region in playlist.iterfind("Region"):
            length, _, position = region.attrib["length"].partition("@")
            marked = region.attrib["sync-marked"] == "1"
            found.append(
                Placed(
                    id=region.attrib["id"],
                    track=tracks[playlist.attrib["id"]],
                    position=samples(position),
                    length=samples(length),
                    start=samples(region.attrib["start"]),
                    muted=region.attrib["muted"] == "1",
                    layer=int(region.attrib["layering-index"]),
                    gain=float(region.attrib["scale-amplitude"]),
                    sync=samples(region.attrib["sync-position"]) if marked else None,
                    fades=(_curve(region, "FadeIn"), _curve(region, "FadeOut")),
                    path=paths.get(region.attrib["source-0"], ""),
                )
            )
    return found


def _curve(region: ElementTree.Element, side: str) -> str:
    return (region.findtext(f"{side}/AutomationList/events") or "").strip()


def samples(time_text: str) -> int:
    assert time_text.startswith("a"), time_text  # audio time
    count, rest = divmod(int(time_text[1:]) * RATE, SUPERCLOCK_PER_SECOND)
    assert rest == 0
    return count


@pytest.fixture
def bare_studio(tmp_path: Path) -> Iterator[Studio]:
    """A session with one track and our scripts; nothing is started. Skips where Ardour is not installed."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    one = Studio(tmp_path, ("AI Clips",))
    one.set_up()
    one.make_session()
    yield one
    one.close()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Both programs, connected, with an empty session of two tracks. Skips where they are not installed."""
    if MISSING:
        pytest.skip(f"not installed: {', '.join(MISSING)}")
    one = Studio(tmp_path_factory.mktemp("studio"))
    try:
        one.set_up()
        one.make_session()
        one.start_serve()
        one.start_screen()
        one.start_ardour()
        yield one
        one.screenshot(one.folder / "timeline.png")
        one.save()
        one.send("/access_action", "Common/Quit")
        assert one.daw is not None and one.serve is not None
        # All is saved by then; in its last step Ardour 7.3 now and then cancels a thread that has ended already.
        assert one.daw.wait(PATIENCE_SECONDS) in (0, -signal.SIGSEGV)
        one.serve.terminate()
        assert one.serve.wait(PATIENCE_SECONDS) == 0
    finally:
        one.close()
    assert one.events.lines[-1]["event"] == "stopped"
