"""`dcldm serve`: the bridge without a window. It logs one JSON object a line on stderr."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime

from bridge.osc import OscSocket, check_port
from bridge.program import open_socket, running
from dcldm_plugin import __version__
from dcldm_plugin.commands import Parser, log_file
from dcldm_plugin.jobs import JobState
from dcldm_plugin.session import ClipReady, JobChanged, JobProgress, SessionEvent
from dcldm_plugin.settings import Settings, load, only_instance


def main(arguments: Sequence[str]) -> int:
    """Serve the OSC API and the hosts until SIGINT or SIGTERM. Raises `DcldmError` if that can't begin."""
    parser = Parser("serve", "Listen to DAWs and OSC senders, without a window. Logs JSON lines on stderr.")
    parser.add_argument("--port", type=int, metavar="N", help="UDP port on 127.0.0.1; 0 for any free one")
    options = parser.parse_args(arguments)
    settings = load(options.home)
    port = settings.osc_port if options.port is None else check_port(options.port, or_any=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with ExitStack() as stack:
        stack.enter_context(only_instance(settings))
        osc = open_socket(settings, port)
        stack.callback(osc.stop)
        stack.enter_context(log_file(settings))
        log = JsonLog()
        logging.getLogger().addHandler(log)
        stack.callback(logging.getLogger().removeHandler, log)
        _serve(settings, osc, log, stopped)
    return 0


class JsonLog(logging.Handler):
    """Events, and what the libraries log, as lines of JSON on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._stages: dict[str, tuple[int, str]] = {}

    def write(self, event: str, **values: object) -> None:
        """One line: `time` (ISO 8601, UTC), `event` and whatever belongs to it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **values}, ensure_ascii=True)
        with self.lock or threading.Lock():
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def emit(self, record: logging.LogRecord) -> None:
        values = {"level": record.levelname, "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            values["traceback"] = logging.Formatter().formatException(record.exc_info)
        self.write("log", **values)

    def follow(self, event: SessionEvent) -> None:
        """A listener of the session. Of progress only the stages are written."""
        match event:
            case JobChanged(job):
                if job.state.over:
                    self._stages.pop(job.id, None)
                    for placement in job.placements:
                        self.write("placement", job=job.id, **asdict(placement))
                self.write("job", id=job.id, state=job.state.value, clips=job.clip_ids, error=job.error)
            case ClipReady(job_id, clip):
                self.write("clip", job=job_id, id=clip.id, variation=clip.index, path=str(clip.path))
            case JobProgress(job_id, index, stage, _):
                if self._stages.get(job_id) != (index, stage):
                    self._stages[job_id] = (index, stage)
                    self.write("stage", job=job_id, variation=index, stage=stage)


def _serve(settings: Settings, osc: OscSocket, log: JsonLog, stopped: threading.Event) -> None:
    with ExitStack() as stack:
        stack.callback(log.write, "stopped")
        program = stack.enter_context(running(settings, osc, [log.follow]))
        interrupted = [job.id for job in program.jobs.jobs() if job.state is JobState.INTERRUPTED]
        log.write(
            "started",
            version=__version__,
            pid=os.getpid(),
            port=osc.port,
            home=str(settings.home),
            hosts=sorted(program.hosts),
            interrupted=interrupted,
        )
        while not stopped.wait(0.5):  # on Windows an endless wait would not let Ctrl-C through
            pass
