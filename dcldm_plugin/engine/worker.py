"""The child process in which a backend runs: `python -m dcldm_plugin.engine.worker`.

Commands come in on standard input, messages go out on what was standard output (see `protocol`). Both are
moved to private descriptors first, so that nothing a library prints, or a child that it starts, can get in
between. The main thread renders; a second thread reads commands, so a cancel is seen at the next step and
the end of the input, which is also how a dead parent looks, ends the process in the middle of a job.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, BinaryIO

from dcldm_plugin import __version__
from dcldm_plugin.engine.protocol import (
    MAX_LINE_BYTES,
    PROTOCOL,
    Cancel,
    Command,
    Failed,
    FailureKind,
    Finished,
    Outcome,
    Progress,
    ProtocolError,
    Ready,
    Render,
    Stopped,
    VariationReady,
    WorkerMessage,
    decode_command,
    encode,
    take_path,
)
from dcldm_plugin.errors import Cancelled, DcldmError, EngineFailed, InvalidInput, is_out_of_memory
from dcldm_plugin.types import Variation

if TYPE_CHECKING:
    from dcldm_plugin.backends.base import Backend, Rendered

PROGRESS_INTERVAL_SECONDS = 0.05
LEAVING_GRACE_SECONDS = 0.5  # how long a job has, once the input has ended, to reach its next step
MAX_MESSAGE_CHARACTERS = 400


class Reporter:
    """The `report` of one job: says progress, not too often, and leaves the job when it was cancelled.

    Within a stage the fraction never goes back; its first and its last value are always said.
    """

    def __init__(self, worker: Worker, job: Render) -> None:
        self._worker = worker
        self._request_id = job.request.id
        self._missing = list(job.indices)
        self._last: Progress | None = None
        self._last_is_said = True
        self._said_at = 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        if self._worker.is_cancelled(self._request_id):
            raise Cancelled
        fraction = min(max(float(fraction), 0.0), 1.0)
        is_new_stage = self._last is None or self._last.stage != stage
        if is_new_stage:
            self.flush()
        elif self._last is not None:
            fraction = max(fraction, self._last.fraction)
        # A model that yields too much is found out when its take is said, not here.
        index = self._missing[0] if self._missing else 0
        self._last = Progress(self._request_id, index, stage, fraction)
        self._last_is_said = False
        if is_new_stage or time.monotonic() - self._said_at >= PROGRESS_INTERVAL_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Say what was held back."""
        if self._last is not None and not self._last_is_said:
            self._worker.say(self._last)
            self._last_is_said = True
            self._said_at = time.monotonic()

    def delivered(self, index: int) -> None:
        """A take is there: what is reported from now on is about the next."""
        self._missing.remove(index)
        self._last = None


class Worker:
    """Does one job after the other with the one backend that is loaded."""

    def __init__(self, messages: BinaryIO) -> None:
        self._messages = messages
        self._jobs: SimpleQueue[Render | None] = SimpleQueue()
        self._cancelled: set[str] = set()
        self._ending = threading.Event()
        self._backends: dict[str, Backend] = {}  # by model, as many as there is room for

    def say(self, message: WorkerMessage) -> None:
        """Write one line; without a parent to read it there is nothing left to do."""
        try:
            self._messages.write(encode(message))
            self._messages.flush()
        except OSError:
            os._exit(1)

    def is_cancelled(self, request_id: str) -> bool:
        """Whether the job is to be left at this step."""
        return self._ending.is_set() or request_id in self._cancelled

    def read(self, commands: BinaryIO) -> None:
        """The reader thread: take commands until the input ends, then end the process."""
        try:
            while line := commands.readline(MAX_LINE_BYTES + 1):
                self._take(decode_command(line))
        except (OSError, ProtocolError):
            traceback.print_exc()
        self._ending.set()
        self._jobs.put(None)
        time.sleep(LEAVING_GRACE_SECONDS)
        os._exit(1)

    def _take(self, command: Command) -> None:
        if isinstance(command, Cancel):
            self._cancelled.add(command.request_id)
        else:
            self._cancelled.discard(command.request.id)  # a cancel counts for what was asked before it
            self._jobs.put(command)

    def work(self) -> None:
        """The main thread: do jobs until there are no more."""
        self.say(Ready(PROTOCOL, __version__, os.getpid()))
        while (job := self._jobs.get()) is not None:
            self.say(self._do(job))

    def _do(self, job: Render) -> Outcome:
        request_id = job.request.id
        try:
            self._render(job)
            return Finished(request_id)
        except Cancelled:
            return Stopped(request_id)
        except DcldmError as error:
            kind: FailureKind = "invalid" if isinstance(error, InvalidInput) else "failed"
            return Failed(request_id, kind, str(error)[:MAX_MESSAGE_CHARACTERS])
        except (Exception, SystemExit) as error:  # one of the two places that catch everything
            traceback.print_exc()
            return _unexpected(request_id, error)

    def _render(self, job: Render) -> None:
        report = Reporter(self, job)
        backend = self._load(job.request.model, report)
        backend.keep_in(job.folder)
        wanted = replace(job.request, seeds=tuple(job.request.seeds[index] for index in job.indices))
        for rendered in backend.render(wanted, report):
            report.flush()
            index = job.indices[rendered.index]
            path = take_path(job.folder, job.request.id, index)
            write_take(path, rendered, backend.info.sample_rate)
            variation = Variation(
                request=job.request,
                index=index,
                path=path,
                sample_rate=backend.info.sample_rate,
                channels=rendered.samples.shape[0],
                model_version=backend.info.version,
                sampling=rendered.sampling,
                level=rendered.level,
                read_as=rendered.read_as,
            )
            self.say(VariationReady(variation))
            report.delivered(index)

    def _load(self, model: str, report: Reporter) -> Backend:
        """The backend of a model: one that is there still, else loaded, after others have made room for it."""
        from dcldm_plugin.engine import registry

        backend = self._backends.pop(model, None)
        if backend is None:
            self._make_room(registry.describe(model).memory_bytes, report)
            report("loading", 0.0)
            try:
                backend = registry.load(model, report)
            except ModuleNotFoundError as error:
                traceback.print_exc()
                raise EngineFailed(
                    f"The model {model!r} needs the Python package {error.name!r}; install it and try again."
                ) from error
        self._backends[model] = backend  # the newest last
        return backend

    def _make_room(self, needed_bytes: int, report: Reporter) -> None:
        """Unload the models that were used the longest ago, until there is room; all, where need is not known."""
        from dcldm_plugin.engine import registry

        while self._backends and not 0 < needed_bytes <= registry.free_bytes():
            oldest = next(iter(self._backends))
            report(f"unloading {Path(oldest).name}", 0.0)
            del self._backends[oldest]
            registry.release_memory()


def write_take(path: Path, rendered: Rendered, sample_rate: int) -> None:
    """A float32 WAV that is there in full or not at all. Raises `EngineFailed`."""
    import numpy as np
    import soundfile

    if rendered.samples.ndim != 2 or not rendered.samples.size or not np.isfinite(rendered.samples).all():
        raise EngineFailed("The model made samples that are not sound; try another seed or fewer steps.")
    buffer = io.BytesIO()  # so that a full disk shows as an OSError of ours
    soundfile.write(buffer, rendered.samples.T, sample_rate, format="WAV", subtype="FLOAT")
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(buffer.getbuffer())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise EngineFailed(
            f"The rendered sound cannot be written to {path.parent} ({error.strerror or error});"
            " free some space or choose another folder."
        ) from error


def _unexpected(request_id: str, error: BaseException) -> Failed:
    if is_out_of_memory(error):
        advice = "ask for a shorter sound, close other programs or use a smaller model"
        return Failed(request_id, "memory", f"The model ran out of memory; {advice}.")
    what = " ".join(f"{type(error).__name__} {error}".split())[:MAX_MESSAGE_CHARACTERS]
    return Failed(request_id, "bug", f"The model stopped unexpectedly ({what}); the log has the details.")


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Commands and messages on descriptors that nobody else knows; 0 reads nothing, 1 goes to the log."""
    commands = os.fdopen(os.dup(0), "rb")
    messages = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return commands, messages


def main() -> None:
    """Run until the input ends."""
    commands, messages = _private_streams()
    faulthandler.enable()
    # Ctrl-C in a terminal reaches the whole process group; what it means is the parent's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker = Worker(messages)
    threading.Thread(target=worker.read, args=(commands,), name="commands", daemon=True).start()
    worker.work()
    sys.stderr.flush()
    os._exit(0)  # a model's own threads have nothing to tidy up, and may take their time


if __name__ == "__main__":
    main()
