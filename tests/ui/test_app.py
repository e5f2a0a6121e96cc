"""The window as a process of its own: it starts, talks, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bridge.osc import decode, encode
from dcldm_plugin.settings import load, only_instance

PATIENCE_SECONDS = 120.0


def ask(port: int, process: subprocess.Popen[str], address: str, *arguments: str | float) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        while time.monotonic() < deadline and process.poll() is None:
            client.sendto(encode(address, *arguments), ("127.0.0.1", port))
            try:
                [(_, [text])] = decode(client.recv(65_535))
            except (TimeoutError, ConnectionRefusedError):
                continue
            reply: dict[str, Any] = json.loads(text)
            return reply
    raise AssertionError(f"no answer to {address}: {process.communicate()}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_a_daw_is_served_and_nothing_stays(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('model = "tone"\n')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "dcldm_plugin", "window", "--home", str(tmp_path), "--port", str(port)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert ask(port, process, "/dcldm/ping")["status"] == "ok"
            request = ("job-1", "slow rain", 0.5, 32)
            assert ask(port, process, "/dcldm/generate", *request)["status"] == "accepted"
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not ask(port, process, "/dcldm/status", "job-1").get("clips") and time.monotonic() < deadline:
                time.sleep(0.1)
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            process.send_signal(signal.SIGTERM)  # in the middle of a job
            out, errors = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert out == "" and [line for line in errors.splitlines() if "propagateSizeHints" not in line] == []
    assert not any(child.is_running() for child in children)


def test_a_second_one_says_so(tmp_path: Path) -> None:
    with only_instance(load(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-m", "dcldm_plugin", "window", "--home", str(tmp_path)],
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1 and "already runs" in done.stderr


def test_it_knows_no_torch() -> None:
    code = "import sys, ui.app; sys.exit('torch' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
