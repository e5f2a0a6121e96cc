"""The window beside a real Ardour: a prompt is typed, a take auditioned, inserted by key, and one dragged over.

Everything is done with mouse and keys (xdotool) on an X server of its own; what counts is what Ardour saved.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SECONDS, RATE = 2, 48_000
ACCENT = (0xF0, 0xB3, 0x5A)  # of the dark theme: the mark at the left of the current row
LEFT, WIDTH, HEIGHT = 970, 620, 880  # of our window, before the right half of Ardour's
LANE = (700, 330)  # within Ardour's canvas


def current_row(shot: Path) -> int:
    """Where the mark of the current row is, as y on the screen, in a picture of the whole of it."""
    done = subprocess.run(["convert", shot, "-depth", "8", "rgb:-"], capture_output=True, check=True)
    pixels = np.frombuffer(done.stdout, np.uint8).reshape(900, 1600, 3)[:, LEFT : LEFT + 40]
    same = (np.abs(pixels.astype(int) - ACCENT).max(axis=2) < 12).sum(axis=1) >= 2
    ends = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(int)))
    runs = [(begin, end) for begin, end in ends.reshape(-1, 2) if 20 <= end - begin <= 60]
    assert runs, f"no current row is to be seen in {shot}"
    return int(sum(runs[-1]) // 2)


def test_typed_heard_inserted_and_dragged(bare_studio: Any) -> None:
    studio, x = bare_studio, bare_studio.xdotool
    heard = studio.folder / "heard.raw"
    (studio.folder / ".asoundrc").write_text(
        f'pcm.!default {{ type file slave.pcm {{ type null }} file "{heard}" format "raw" }}\n'
    )
    (studio.home / "window.ini").write_text(f"[General]\ntheme=dark\n\n[prompt]\nseconds={SECONDS}\nalternates=3\n")
    studio.environment["QT_QPA_PLATFORM"] = "xcb"
    studio.start_screen()
    command = [sys.executable, "-m", "dcldm_plugin", "window", "--home", studio.home, "--port", str(studio.app_port)]
    studio.start("window", *command)
    window = studio.wait_until("the window", lambda: x("search", "--name", "^DC-LDM$")).split()[0]
    studio.start_ardour()
    x("windowmove", "--sync", window, str(LEFT), "0")
    x("windowsize", "--sync", window, str(WIDTH), str(HEIGHT))
    x("windowraise", window)
    x("windowfocus", "--sync", window)
    time.sleep(2.0)  # for the window to choose the DAW that has appeared

    x("key", "ctrl+p")
    x("type", "--delay", "30", "low bell")
    x("key", "ctrl+Return")
    studio.wait_until("the clips", lambda: [job["status"] for job in studio.ask("/dcldm/status")["jobs"]] == ["done"])
    x("key", "Escape")  # out of the prompt, into the list
    time.sleep(1.0)
    x("key", "Home")
    x("key", "Down")  # the first alternate, which is heard at once
    studio.wait_until(
        "sound", lambda: heard.exists() and bool(np.frombuffer(heard.read_bytes()[:400_000], np.uint8).any())
    )
    x("key", "Return")
    (old,) = studio.wait_until("the inserted clip", studio.regions)

    studio.select_region(old.id)
    studio.wait_until(
        "the selection", lambda: studio.ask("/dcldm/ping")["hosts"]["ardour"]["sessions"]["sess"]["item"] == old.id
    )
    x("windowfocus", "--sync", window)
    x("key", "Down")  # the second alternate
    x("key", "ctrl+r")
    new, kept = studio.wait_until(
        "the replaced clip", lambda: len(now := studio.regions()) == 2 and sorted(now, key=lambda one: one.muted)
    )
    assert (kept.id, kept.muted, new.muted) == (old.id, True, False) and new.path != old.path
    assert (new.track, new.position, new.length) == (old.track, old.position, old.length)
    studio.send("/undo")
    studio.wait_until("the old one", lambda: [(one.id, one.muted) for one in studio.regions()] == [(old.id, False)])

    x("key", "Down")  # the third: Ardour would ask about a file that it has
    time.sleep(1.0)
    shot = studio.folder / "screen.png"
    studio.screenshot(shot)
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
    placed = studio.wait_until("the dragged clip", lambda: (now := studio.regions()) and len(now) == 2 and now)
    studio.screenshot(shot)

    assert [one.length for one in placed] == [SECONDS * RATE] * 2
    first, second = sorted(one.position for one in placed)
    assert first == 0 < second  # inserted at the playhead; dropped where the mouse was
