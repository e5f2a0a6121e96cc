"""The window beside a real Ardour: a prompt is typed, a take auditioned, inserted by key, and one dragged over.

Everything is done with mouse and keys (xdotool) on an X server of its own; what counts is what Ardour saved.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bridge.osc import decode, encode

PROGRAMS = ("ardour", "ardour7-lua", "Xvfb", "xdotool", "import")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

SECONDS, RATE = 2, 48_000
SUPERCLOCK_PER_SECOND = 282_240_000  # the unit of times in Ardour 7's session files
PATIENCE_SECONDS = 180.0  # the machine may be busy with other work
ACCENT = (0xF0, 0xB3, 0x5A)  # of the dark theme: the mark at the left of the current row
LEFT, WIDTH, HEIGHT = 970, 620, 880  # of our window, before the right half of Ardour's
LANE = (700, 330)  # within Ardour's canvas


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


def regions(session_file: Path) -> list[tuple[int, int]]:
    """(position, length) in samples of what lies on tracks."""
    found = []
    for region in ElementTree.parse(session_file).getroot().iterfind("Playlists/Playlist/Region"):
        length, _, position = region.attrib["length"].partition("@")
        found.append(tuple(round(int(text[1:]) * RATE / SUPERCLOCK_PER_SECOND) for text in (position, length)))
    return sorted(found)  # type: ignore[arg-type]


def current_row(shot: Path) -> int:
    """Where the mark of the current row is, as y on the screen, in a picture of the whole of it."""
    done = subprocess.run(["convert", shot, "-depth", "8", "rgb:-"], capture_output=True, check=True)
    pixels = np.frombuffer(done.stdout, np.uint8).reshape(900, 1600, 3)[:, LEFT : LEFT + 40]
    same = (np.abs(pixels.astype(int) - ACCENT).max(axis=2) < 12).sum(axis=1) >= 2
    ends = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(int)))
    runs = [(begin, end) for begin, end in ends.reshape(-1, 2) if 20 <= end - begin <= 60]
    assert runs, f"no current row is to be seen in {shot}"
    return int(sum(runs[-1]) // 2)


def test_typed_heard_inserted_and_dragged(tmp_path: Path) -> None:
    home, config = tmp_path / "dcldm", tmp_path / "cfg" / "ardour7"
    app_port, ardour_port = free_port(), free_port()
    heard = tmp_path / "heard.raw"
    (tmp_path / ".asoundrc").write_text(
        f'pcm.!default {{ type file slave.pcm {{ type null }} file "{heard}" format "raw" }}\n'
    )
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(config.parent),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "NO_AT_BRIDGE": "1",
        "QT_QPA_PLATFORM": "xcb",
    }
    config.mkdir(parents=True)
    (config / ".a7").touch()  # no wizard for new users
    (config / "config").write_text(CONFIG.format(port=ardour_port, home=tmp_path))
    (config / "ui_config").write_text(UI_CONFIG)
    home.mkdir()
    (home / "settings.toml").write_text('model = "tone"\n')
    (home / "window.ini").write_text(f"[General]\ntheme=dark\n\n[prompt]\nseconds={SECONDS}\nalternates=2\n")
    command = [sys.executable, "-m", "dcldm_plugin"]
    subprocess.run(
        [*command, "install", "ardour", "--config", config, "--port", str(app_port), "--home", home],
        env=environment,
        check=True,
        capture_output=True,
    )
    (tmp_path / "make_session.lua").write_text(MAKE_SESSION)
    subprocess.run(
        ["ardour7-lua", tmp_path / "make_session.lua", tmp_path / "sess", "sess", str(RATE), "AI Clips"],
        env=environment,
        check=True,
        capture_output=True,
    )
    with ExitStack() as stack:
        display = stack.enter_context(x_server(tmp_path / "xvfb.log", environment))
        environment["DISPLAY"] = display
        window_command = [*command, "window", "--home", str(home), "--port", str(app_port)]
        stack.enter_context(process(window_command, tmp_path / "window.log", environment))

        def x(*arguments: str) -> str:
            done = subprocess.run(["xdotool", *arguments], env=environment, capture_output=True, text=True, check=False)
            return done.stdout.strip()

        window = wait_until("the window", lambda: x("search", "--name", "^DC-LDM$")).split()[0]
        ardour_command = ["ardour", "--no-announcements", "--no-splash", str(tmp_path / "sess")]
        stack.enter_context(process(ardour_command, tmp_path / "ardour.log", environment))
        wait_until("Ardour", lambda: "sess" in ask(app_port, "/dcldm/ping")["hosts"]["ardour"]["sessions"])
        x("windowmove", "--sync", window, str(LEFT), "0")
        x("windowsize", "--sync", window, str(WIDTH), str(HEIGHT))
        x("windowraise", window)
        x("windowfocus", "--sync", window)
        time.sleep(2.0)  # for the window to choose the DAW that has appeared

        x("key", "ctrl+p")
        x("type", "--delay", "30", "low bell")
        x("key", "ctrl+Return")

        def done() -> bool:
            return [job["status"] for job in ask(app_port, "/dcldm/status")["jobs"]] == ["done"]

        wait_until("the clips", done)
        x("key", "Escape")  # out of the prompt, into the list
        time.sleep(1.0)
        x("key", "Home")
        x("key", "Down")  # the first alternate, which is heard at once
        wait_until(
            "sound", lambda: heard.exists() and bool(np.frombuffer(heard.read_bytes()[:400_000], np.uint8).any())
        )

        def saved() -> list[tuple[int, int]]:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(encode("/save_state"), ("127.0.0.1", ardour_port))
            time.sleep(1.0)
            return regions(tmp_path / "sess" / "sess.ardour")

        x("key", "Return")
        wait_until("the inserted clip", lambda: len(saved()) == 1)

        x("key", "Down")  # the other alternate: Ardour would ask about a file that it has
        time.sleep(1.0)
        shot = tmp_path / "screen.png"
        subprocess.run(["import", "-window", "root", shot], env=environment, check=True)
        y = current_row(shot)
        x("mousemove", str(LEFT + 150), str(y))
        x("mousedown", "1")
        for _ in range(6):
            x("mousemove_relative", "--", "-4", "1")
        for step in range(1, 21):
            x_position = LEFT + 126 + (LANE[0] - LEFT - 126) * step // 20
            x("mousemove", str(x_position), str(y + (LANE[1] - y) * step // 20))
            time.sleep(0.05)
        time.sleep(0.5)
        x("mouseup", "1")
        placed = wait_until("the dragged clip", lambda: saved() if len(saved()) == 2 else None)
        subprocess.run(["import", "-window", "root", shot], env=environment, check=True)

    assert [length for _, length in placed] == [SECONDS * RATE] * 2
    assert placed[0][0] == 0 < placed[1][0]  # inserted at the playhead; dropped where the mouse was
