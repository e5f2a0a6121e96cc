"""The whole path in the real program: a prompt typed inside Ardour becomes clips on its timeline.

Ardour 7 runs under Xvfb with its dummy audio backend, `dcldm serve` as a process of its own. What counts is
what Ardour saved and what its mixer plays, not what our own parts say.
"""

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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from bridge import install
from bridge.ardour import PLACE, spool_folder
from bridge.osc import decode, encode
from bridge.spool import Spool, lines

MODEL = "builtin"
PROMPT = "heavy rain on a tin roof"
SECONDS = 3
ALTERNATES = 2
POSITION = 123_457  # samples; odd, so that no grid could have put it there
NEW_TRACK, NEW_POSITION = "door slam", 400_003
TRACK, OTHER_TRACK = "AI Clips", "Dialogue"
SESSION, RATE = "sess", 48_000
SUPERCLOCK_PER_SECOND = 282_240_000  # the unit of times in Ardour 7's session files
LAG_SAMPLES = 20
PATIENCE_SECONDS = 180.0  # the machine may be busy with other work

PROGRAMS = ("ardour", "ardour7-lua", "ardour7-export", "Xvfb", "xdotool")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

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


@dataclass
class Events:
    """The JSON lines of a running `dcldm serve`, as they come."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def read(self, stream: IO[str]) -> None:
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


def ask(app_port: int, address: str, *arguments: str | float) -> dict[str, Any]:
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
    command: list[str], log: Path, environment: dict[str, str], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in a file; ended, if need be killed, in the end."""
    with log.open("wb") as output:
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


class Ardour:
    """A real Ardour, spoken to by OSC and by its windows."""

    def __init__(self, folder: Path, environment: dict[str, str], osc_port: int) -> None:
        self._folder = folder
        self._environment = environment
        self._osc_port = osc_port

    def send(self, address: str, *arguments: str | float) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(encode(address, *arguments), ("127.0.0.1", self._osc_port))

    def xdotool(self, *arguments: str) -> str:
        done = subprocess.run(
            ["xdotool", *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def type_prompt(self, slot: int) -> None:
        """Open our dialog, fill it in, press OK."""
        self.send("/access_action", f"LuaAction/script-{slot}")
        window = wait_until("the dialog", lambda: self.xdotool("search", "--name", "^Generate from prompt"))
        window = window.split()[0]
        time.sleep(0.5)  # no window manager says when the dialog takes keys
        self.xdotool("windowfocus", "--sync", window)
        for text in (PROMPT, str(SECONDS), str(ALTERNATES)):
            self.xdotool("key", "ctrl+a")
            self.xdotool("type", "--delay", "20", text)
            self.xdotool("key", "Tab")
        self.xdotool("key", "alt+o")

    def screenshot(self, path: Path) -> None:
        if shutil.which("import"):
            subprocess.run(["import", "-window", "root", str(path)], env=self._environment, check=False)

    @property
    def session_file(self) -> Path:
        return self._folder / SESSION / f"{SESSION}.ardour"


@dataclass(frozen=True)
class Placed:
    """A region of a playlist in the session file, in samples."""

    id: str
    track: str
    position: int
    length: int
    muted: bool
    layer: int


def regions(session_file: Path) -> list[Placed]:
    root = ElementTree.parse(session_file).getroot()
    tracks = {route.get("audio-playlist"): route.attrib["name"] for route in root.iterfind("Routes/Route")}
    found = []
    for playlist in root.iterfind("Playlists/Playlist"):
        for region in playlist.iterfind("Region"):
            length, _, position = region.attrib["length"].partition("@")
            found.append(
                Placed(
                    id=region.attrib["id"],
                    track=tracks[playlist.attrib["id"]],
                    position=samples(position),
                    length=samples(length),
                    muted=region.attrib["muted"] == "1",
                    layer=int(region.attrib["layering-index"]),
                )
            )
    return found


def samples(time_text: str) -> int:
    assert time_text.startswith("a"), time_text  # audio time
    count, rest = divmod(int(time_text[1:]) * RATE, SUPERCLOCK_PER_SECOND)
    assert rest == 0
    return count


def best_lag(mix: np.ndarray[Any, Any], clip: np.ndarray[Any, Any]) -> tuple[int, float]:
    """By how many samples the clip lies off in the mixdown, and the correlation there. One channel each."""
    scores = {}
    for lag in range(-LAG_SAMPLES, LAG_SAMPLES + 1):
        start = LAG_SAMPLES + lag
        scores[lag] = float(np.corrcoef(mix[start : start + len(clip)], clip)[0, 1])
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def place_once_more(home: Path, job_id: str, clips: list[dict[str, Any]]) -> None:
    """Ask the script for what it has placed already, as the program does if a confirmation got lost."""
    job: dict[str, str | int] = {"job": job_id, "title": PROMPT, "project": SESSION, "track": TRACK}
    job |= {"position": POSITION, "sample_rate": RATE, "clips": len(clips)}
    for number, clip in enumerate(clips, 1):
        job |= {f"clip{number}_id": clip["id"], f"clip{number}_path": clip["path"]}
    spool = Spool(spool_folder(home))
    spool.write(PLACE, lines(job))
    wait_until("the script", lambda: not (spool.folder / PLACE).exists())


def test_a_prompt_typed_in_ardour_lands_on_its_timeline(tmp_path: Path) -> None:
    home, config = tmp_path / "dcldm", tmp_path / "cfg" / "ardour7"
    app_port, ardour_port = free_port(), free_port()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(config.parent),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "NO_AT_BRIDGE": "1",
    }
    config.mkdir(parents=True)
    (config / ".a7").touch()  # no wizard for new users
    (config / "config").write_text(CONFIG.format(port=ardour_port, home=tmp_path))
    (config / "ui_config").write_text(UI_CONFIG)
    home.mkdir()
    (home / "settings.toml").write_text(f'model = "{MODEL}"\n')
    command = [sys.executable, "-m", "dcldm_plugin"]
    subprocess.run(
        [*command, "install", "ardour", "--config", config, "--port", str(app_port), "--home", home],
        env=environment,
        check=True,
    )
    record = json.loads((config / "scripts" / install.RECORD).read_text())
    make_session = tmp_path / "make_session.lua"
    make_session.write_text(MAKE_SESSION)
    subprocess.run(
        ["ardour7-lua", make_session, tmp_path / SESSION, SESSION, str(RATE), OTHER_TRACK, TRACK],
        env=environment,
        check=True,
        capture_output=True,
    )
    with ExitStack() as stack:
        events = Events()
        serve = stack.enter_context(
            subprocess.Popen(
                [*command, "serve", "--home", str(home), "--port", str(app_port)],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        assert serve.stderr is not None
        reader = threading.Thread(target=events.read, args=(serve.stderr,))
        reader.start()
        stack.callback(reader.join)
        stack.callback(stop, serve)
        events.wait("start", lambda line: line["event"] == "started")
        display = stack.enter_context(x_server(tmp_path / "xvfb.log", environment))
        environment["DISPLAY"] = display
        daw = stack.enter_context(
            process(
                ["ardour", "--no-announcements", "--no-splash", str(tmp_path / SESSION)],
                tmp_path / "ardour.log",
                environment,
            )
        )
        ardour = Ardour(tmp_path, environment, ardour_port)
        wait_until(
            "a heartbeat from Ardour",
            lambda: ask(app_port, "/dcldm/ping")["hosts"]["ardour"]["sessions"].keys() == {SESSION},
        )

        ardour.send("/locate", POSITION, 0)
        ardour.send("/strip/select", 2, 0)
        time.sleep(1.0)  # neither is confirmed
        ardour.type_prompt(record["slot"])
        ardour.send("/locate", 0, 0)  # the place was noted when the prompt was asked for
        done = events.wait("end of the job", lambda line: line["event"] == "job" and is_over(line))
        assert done["error"] == ""
        clips = [line for line in events.lines if line["event"] == "clip"]
        placements = [line for line in events.lines if line["event"] == "placement"]
        assert len(clips) == len(placements) == ALTERNATES
        place_once_more(home, done["id"], clips)
        # A second job, from outside, that names no track.
        request = ("later", NEW_TRACK, SECONDS, 1, "", "", "ardour", "", NEW_POSITION, RATE, SESSION)
        assert ask(app_port, "/dcldm/generate", *request)["status"] == "accepted"
        later = events.wait("end of the second job", lambda line: line["event"] == "job" and is_over(line, "later"))
        assert later["error"] == ""
        time.sleep(0.5)
        ardour.screenshot(tmp_path / "timeline.png")

        before = ardour.session_file.stat().st_mtime_ns
        ardour.send("/save_state")
        wait_until("a saved session", lambda: ardour.session_file.stat().st_mtime_ns != before)
        time.sleep(0.5)
        ardour.send("/access_action", "Common/Quit")
        # All is saved by then; in its last step Ardour 7.3 now and then cancels a thread that has ended already.
        assert daw.wait(PATIENCE_SECONDS) in (0, -signal.SIGSEGV)
        serve.terminate()
        assert serve.wait(PATIENCE_SECONDS) == 0
        reader.join()
        assert events.lines[-1]["event"] == "stopped"

    placed = regions(ardour.session_file)
    audio = [soundfile.read(clip["path"], always_2d=True, dtype="float32")[0] for clip in clips]
    assert [len(samples) for samples in audio] == [SECONDS * RATE] * ALTERNATES
    assert sorted((region.track, region.position, region.length) for region in placed) == [
        *[(TRACK, POSITION, SECONDS * RATE)] * ALTERNATES,
        (NEW_TRACK, NEW_POSITION, SECONDS * RATE),
    ]
    by_id = {region.id: region for region in placed}
    first, second = (by_id[placement["item"]] for placement in placements)
    assert not first.muted and second.muted and first.layer > second.layer

    history = ElementTree.parse(tmp_path / SESSION / f"{SESSION}.history").getroot()
    steps = [step.attrib["name"] for step in history.iterfind("UndoTransaction") if step.find(".//Add") is not None]
    assert steps == [f"Generate: {PROMPT}", f"Generate: {NEW_TRACK}"]

    mixdown = tmp_path / "mix.wav"
    subprocess.run(
        ["ardour7-export", "-b", "24", "-o", mixdown, tmp_path / SESSION, SESSION],
        env=environment,
        check=True,
        capture_output=True,
    )
    mix = soundfile.read(mixdown, always_2d=True, dtype="float32")[0]  # from the session's start to its end
    assert len(mix) == NEW_POSITION - POSITION + SECONDS * RATE
    silence = np.zeros((LAG_SAMPLES, 2), np.float32)
    for channel in range(2):
        lag, score = best_lag(np.concatenate([silence, mix, silence])[:, channel], audio[0][:, 0])
        assert lag == 0 and score > 0.99
