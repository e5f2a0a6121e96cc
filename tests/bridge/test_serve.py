from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.osc import decode, encode

COMMAND = [sys.executable, "-m", "dcldm_plugin", "serve"]


class Serve:
    """A real `dcldm serve` and the JSON lines of its stderr."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(self.wait("started")["port"])

    def wait(self, event: str, **values: object) -> dict[str, Any]:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            line: dict[str, Any] = json.loads(text)
            assert line["time"].endswith("+00:00")
            if line["event"] == event and values.items() <= line.items():
                return line
        raise AssertionError(f"the log ended before {event}")

    def ask(self, address: str, *arguments: str | float) -> dict[str, Any]:
        """The first answer. Asks again after a second, as a sender should: UDP drops what finds a full buffer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            for _ in range(30):
                client.sendto(encode(address, *arguments), ("127.0.0.1", self.port))
                try:
                    [(_, [text])] = decode(client.recv(65_535))
                except TimeoutError:
                    continue
                reply: dict[str, Any] = json.loads(text)
                return reply
        raise AssertionError(f"no answer to {address}")


@contextmanager
def serving(home: Path) -> Iterator[Serve]:
    home.mkdir(exist_ok=True)
    (home / "settings.toml").write_text('model = "tone"\n')
    with subprocess.Popen([*COMMAND, "--home", str(home), "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        try:
            yield Serve(process)
        finally:
            process.kill()


def test_a_prompt_becomes_a_clip_in_the_watched_folder(tmp_path: Path) -> None:
    with serving(tmp_path) as serve:
        assert serve.ask("/dcldm/generate", "job-1", "rain", 0.5, 1, 1, "", "folder")["status"] == "accepted"
        clip = serve.wait("clip", job="job-1")
        placement = serve.wait("placement", job="job-1")
        assert serve.wait("job", id="job-1", state="finished")["error"] == ""
        assert Path(clip["path"]).is_file()
        assert (tmp_path / "inbox" / placement["item"]).read_bytes() == Path(clip["path"]).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_in_mid_job(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as serve:
        serve.ask("/dcldm/generate", "job-1", "slow rain", 0.5, 32)
        serve.wait("clip", job="job-1")
        workers = children(serve.process.pid)
        serve.process.send_signal(number)
        serve.wait("job", id="job-1", state="interrupted")
        serve.wait("stopped")
        assert serve.process.wait(30) == 0
        assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    with serving(tmp_path) as serve:  # the job is not lost: asked for again, it goes on
        reply = serve.ask("/dcldm/status", "job-1")
        assert reply["status"] == "interrupted"
        assert len(reply["clips"]) >= 1
        assert serve.ask("/dcldm/generate", "job-1", "slow rain", 0.5, 32)["status"] == "accepted"


def children(process_id: int) -> list[int]:
    path = Path(f"/proc/{process_id}/task/{process_id}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def test_a_second_instance_says_so(tmp_path: Path) -> None:
    with serving(tmp_path):
        second = subprocess.run(
            [*COMMAND, "--home", str(tmp_path), "--port", "0"], capture_output=True, text=True, check=False
        )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1 and "already runs" in second.stderr


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as serve:
        second = subprocess.run(
            [*COMMAND, "--home", str(tmp_path / "two"), "--port", str(serve.port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1 and f"port {serve.port} is in use" in second.stderr


@pytest.mark.parametrize("port", ["-1", "80", "65536", "many"])
def test_bad_ports(tmp_path: Path, port: str) -> None:
    done = subprocess.run(
        [*COMMAND, "--home", str(tmp_path), "--port", port], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_random_datagrams_do_not_harm_it(tmp_path: Path) -> None:
    with serving(tmp_path) as serve, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        heads = (b"", b"/dcldm/generate\0,ss\0", b"#bundle\0", b"/dcldm/cues\0,s\0\0", b"/dcldm/placed\0\0\0,sssss\0\0")
        for number in range(10_000):
            client.sendto(heads[number % len(heads)] + os.urandom(number % 1500), ("127.0.0.1", serve.port))
        assert serve.ask("/dcldm/ping")["status"] == "ok"
        assert serve.process.poll() is None
    assert not list(tmp_path.rglob("*.wav"))
