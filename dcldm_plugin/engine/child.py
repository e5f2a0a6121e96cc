"""The worker as its parent sees it: a process, what it says, what it prints, and how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO

import dcldm_plugin
from dcldm_plugin.engine.protocol import (
    MAX_LINE_BYTES,
    Command,
    ProtocolError,
    WorkerMessage,
    decode_message,
    encode,
)
from dcldm_plugin.errors import EngineFailed
from dcldm_plugin.settings import DEVICE_VARIABLE, HOME_VARIABLE

ENDING_GRACE_SECONDS = 3.0  # longer than the worker gives itself
MAX_LOG_BYTES = 1_000_000  # of each of two files, the log and the one before it
TAIL_LINES = 40
MAX_PRINTED_BYTES = 8192  # what counts as a line of the log: progress bars print no line feeds


class ChildEnded(Exception):
    """The worker is gone or talks nonsense: a clause that tells how, after "the engine process"."""


def worker_command() -> list[str]:
    """The worker by this Python. -P: files in the user's folder must not shadow modules."""
    return [sys.executable, "-P", "-m", "dcldm_plugin.engine.worker"]


def worker_environment(home: Path | None = None, device: str = "") -> dict[str, str]:
    """Our own environment with what lets the worker find the package, its models and share the processor."""
    environment = dict(os.environ)
    if home is not None:
        environment[HOME_VARIABLE] = str(home)
    if device:
        environment[DEVICE_VARIABLE] = device
    # OpenMP's threads would otherwise spin for a while after each operation, and take a core from the DAW.
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    root = Path(dcldm_plugin.__file__).resolve().parents[1]
    # Installed, it is found anyway; from PYTHONPATH all of site-packages would come before Python's own.
    if root not in {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(root), environment.get("PYTHONPATH"))))
    return environment


class Child:
    """A running worker. `send`, `receive` and `end` are for one thread at a time, `nudge` and `end` for any.

    Raises `EngineFailed` if it cannot be started.
    """

    def __init__(self, command: Sequence[str], log: Path | None, home: Path | None = None, device: str = "") -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=worker_environment(home, device),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise EngineFailed(f"The engine process cannot be started ({error}); install the program again.") from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._commands: IO[bytes] = self._process.stdin
        self._inbox: SimpleQueue[WorkerMessage | ChildEnded | None] = SimpleQueue()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._printer = threading.Thread(target=self._keep, args=(self._process.stderr, log), daemon=True)
        self._reader.start()
        self._printer.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still speaks, and has spoken sense so far."""
        return self._reader.is_alive()

    @property
    def printed(self) -> str:
        """The last lines that it printed."""
        return "".join(self._tail)

    def send(self, command: Command) -> None:
        """Say one line. A worker that is gone shows in `receive`."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed by `end` in another thread
            self._commands.write(encode(command))
            self._commands.flush()

    def receive(self, timeout_seconds: float | None = None) -> WorkerMessage | None:
        """The next message, or None after a nudge. Raises `ChildEnded`, and `queue.Empty` when time is up."""
        message = self._inbox.get(timeout=timeout_seconds)
        if isinstance(message, ChildEnded):
            raise message
        return message

    def nudge(self) -> None:
        """Wake up whoever waits in `receive`."""
        self._inbox.put(None)

    def end(self) -> None:
        """End the process, by the end of its input or, if it does not heed that, by force."""
        force = threading.Timer(ENDING_GRACE_SECONDS, self._process.kill)
        force.daemon = True
        force.start()
        with contextlib.suppress(OSError):  # it was gone before it had read all
            self._commands.close()
        self._process.wait()
        force.cancel()
        for thread in (self._reader, self._printer):
            thread.join(1.0)  # a grandchild that lives on may hold the other end of a pipe open

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            try:
                while (line := stream.readline(MAX_LINE_BYTES + 1)).endswith(b"\n"):
                    self._inbox.put(decode_message(line))
                if len(line) > MAX_LINE_BYTES:
                    raise ProtocolError(f"a line of more than {MAX_LINE_BYTES:,} bytes")
                self._inbox.put(ChildEnded(self._how_it_ended()))
            except ProtocolError as error:
                self._inbox.put(ChildEnded(f"said what is no message ({error})"))

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(ENDING_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code >= 0:
            return f"ended with exit code {code}"
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"

    def _keep(self, stream: IO[bytes], log: Path | None) -> None:
        with stream:
            while line := stream.readline(MAX_PRINTED_BYTES):
                self._tail.append(line.decode("utf-8", "backslashreplace"))
                if log is not None:
                    with contextlib.suppress(OSError):  # rendering goes on without a log
                        _append(log, line)


def _append(log: Path, line: bytes) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size + len(line) > MAX_LOG_BYTES:
        os.replace(log, log.with_name(log.name + ".1"))
    with log.open("ab") as file:
        file.write(line)
