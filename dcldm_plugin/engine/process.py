"""The parent's side of the engine: hands one request at a time to the worker and survives whatever it does.

Never imports torch. The worker is started when the first request comes, is ended after some idle time (so
that all memory, the GPU's too, comes back) and started again on demand.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty

from dcldm_plugin.engine.child import Child, ChildEnded, worker_command
from dcldm_plugin.engine.protocol import (
    PROTOCOL,
    Cancel,
    EngineEvent,
    Failed,
    Finished,
    Outcome,
    Progress,
    Ready,
    Render,
    Stopped,
    VariationReady,
    take_path,
)
from dcldm_plugin.errors import Cancelled, EngineFailed, InvalidInput
from dcldm_plugin.types import GenerationRequest

ATTEMPTS = 2  # a crash may be an accident; two on one request are not


class EngineProcess:
    """Renders requests in a worker process. Starts nothing before the first `run`.

    `folder` is where unfinished takes go, `log` where what the worker prints is kept (bounded),
    `home` where it finds installed models if that is not the default, `device` what the models compute on
    where they have a choice ("" as the environment says).
    `patience_seconds` is how long a worker may take to say that it is ready, or to heed a cancel.
    """

    def __init__(
        self,
        folder: Path,
        *,
        idle_seconds: float = 300.0,
        command: Sequence[str] | None = None,
        log: Path | None = None,
        home: Path | None = None,
        device: str = "",
        patience_seconds: float = 30.0,
    ) -> None:
        self._folder = folder
        self._idle_seconds = min(idle_seconds, threading.TIMEOUT_MAX)
        self._command = list(command or worker_command())
        self._log = log
        self._home = home
        self._device = device
        self._patience_seconds = patience_seconds
        self._turn = threading.Lock()  # held by the thread that uses the worker
        self._state = threading.Lock()  # guards all that follows; never held while waiting
        self._child: Child | None = None
        self._cancelled: set[str] = set()
        self._closed = False
        self._idle_timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id while there is one."""
        with self._state:
            return self._child.pid if self._child is not None and self._child.is_alive else None

    def run(self, request: GenerationRequest, listener: Callable[[EngineEvent], None]) -> None:
        """Render all variations of a request; returns when they are there.

        `listener` is called on this thread, in order: `Progress`, which starts over if the worker crashed
        and the rest is tried again, and one `VariationReady` for each variation.

        Raises `Cancelled` (also after `close`), `InvalidInput` if the model refuses the request, and
        `EngineFailed` if it fails, runs out of memory, or its process crashes twice.
        """
        try:
            with self._turn:
                self._stop_idle_timer()
                missing = list(range(len(request.seeds)))
                outcome = self._outcome(request, missing, listener)
        finally:
            with self._state:
                self._cancelled.discard(request.id)
            self._start_idle_timer()
        match outcome:
            case Stopped():
                raise Cancelled
            case Failed(kind="invalid"):
                raise InvalidInput(outcome.message)
            case Failed():
                raise EngineFailed(outcome.message)
            case Finished() if missing:
                raise EngineFailed(f"The model {request.model!r} made too few variations; choose another model.")

    def cancel(self, request_id: str) -> None:
        """Leave a request at its next step. One that is not running is left as soon as it comes to `run`."""
        with self._state:
            self._cancelled.add(request_id)
            if self._child is not None:
                self._child.nudge()

    def close(self) -> None:
        """End the worker, also in the middle of a request, whose `run` then raises `Cancelled`."""
        with self._state:
            self._closed = True
        self._stop_idle_timer()
        self._discard()

    def _outcome(
        self, request: GenerationRequest, missing: list[int], listener: Callable[[EngineEvent], None]
    ) -> Outcome:
        """How it went, after another attempt at what is missing if the worker crashed."""
        ended = ChildEnded()
        for _ in range(ATTEMPTS):
            if missing:
                try:
                    return self._attempt(request, missing, listener)
                except ChildEnded as error:
                    ended = error
        if missing:
            raise EngineFailed(
                f"The engine process {ended}, twice on this request;"
                f" try a shorter sound or another model{self._log_hint()}."
            ) from ended
        return Finished(request.id)  # it crashed with its work done

    def _attempt(
        self, request: GenerationRequest, missing: list[int], listener: Callable[[EngineEvent], None]
    ) -> Outcome:
        self._check_cancelled(request.id)
        try:
            child = self._ready_child(request.id)
            child.send(Render(request, tuple(missing), self._folder))
            outcome = self._follow(child, request, missing, listener)
        except BaseException as error:
            # Nobody knows where in the request the worker is, if it still is.
            printed = self._discard()
            self._remove_takes(request.id, missing)
            if isinstance(error, ChildEnded):
                self._check_cancelled(request.id)
                logger = logging.getLogger(__name__)
                logger.error("The engine process %s. Its last words:\n%s", error, printed)
            raise
        if isinstance(outcome, Stopped):
            self._remove_takes(request.id, missing)
        if isinstance(outcome, Failed) and outcome.kind == "memory":
            self._discard()  # only a new process has all of it back
        return outcome

    def _follow(
        self,
        child: Child,
        request: GenerationRequest,
        missing: list[int],
        listener: Callable[[EngineEvent], None],
    ) -> Outcome:
        """Pass on what the worker says about a request, and a cancel to the worker."""
        deadline: float | None = None
        while True:
            try:
                message = child.receive(None if deadline is None else max(0.0, deadline - time.monotonic()))
            except Empty as error:
                raise Cancelled from error  # without waiting for a worker that does not heed it
            if deadline is None and self._is_cancelled(request.id):
                child.send(Cancel(request.id))
                deadline = time.monotonic() + self._patience_seconds
            match message:
                case None:
                    pass  # only woken
                case Progress() | VariationReady() if deadline is not None:
                    pass  # on its way when the cancel came: handling it would keep the caller waiting
                case Progress(request_id=request.id):
                    listener(message)
                case VariationReady(variation) if variation.request == request and variation.index in missing:
                    missing.remove(variation.index)
                    listener(message)
                case Finished(request.id) if deadline is not None and missing:
                    return Stopped(request.id)  # it was done before it heard of the cancel; the rest was dropped here
                case Finished(request.id) | Stopped(request.id) | Failed(request.id):
                    return message
                case _:
                    raise ChildEnded(f"said what nobody asked for ({type(message).__name__})")

    def _ready_child(self, request_id: str) -> Child:
        """The worker, started if need be. Raises `EngineFailed` if it does not get ready."""
        with self._state:
            if self._child is not None and self._child.is_alive:
                return self._child
        self._discard()
        with self._state:
            if self._closed:
                raise Cancelled
            child = self._child = Child(self._command, self._log, self._home, self._device)
        deadline = time.monotonic() + self._patience_seconds
        message = None
        try:
            while message is None:
                message = child.receive(max(0.0, deadline - time.monotonic()))
                self._check_cancelled(request_id)
        except Empty as error:
            raise EngineFailed(
                f"The engine process was not ready within {self._patience_seconds:g} s;"
                f" run `dcldm doctor`{self._log_hint()}."
            ) from error
        except ChildEnded as error:
            self._check_cancelled(request_id)
            raise EngineFailed(
                f"The engine process {error} before it was ready; run `dcldm doctor`{self._log_hint()}."
            ) from error
        if not isinstance(message, Ready) or message.protocol != PROTOCOL:
            raise EngineFailed("The engine process is of another version; install the program again.")
        return child

    def _is_cancelled(self, request_id: str) -> bool:
        with self._state:
            return self._closed or request_id in self._cancelled

    def _check_cancelled(self, request_id: str) -> None:
        if self._is_cancelled(request_id):
            raise Cancelled

    def _log_hint(self) -> str:
        return f", or see {self._log}" if self._log is not None else ""

    def _remove_takes(self, request_id: str, indices: Sequence[int]) -> None:
        """Those that nobody was told of, whole or not."""
        for index in indices:
            path = take_path(self._folder, request_id, index)
            for there in (path, path.with_name(path.name + ".part")):
                with contextlib.suppress(OSError):  # what cannot be removed is written over by the next take
                    there.unlink(missing_ok=True)

    def _discard(self) -> str:
        """End the worker if there is one; what it printed last."""
        with self._state:
            child, self._child = self._child, None
        if child is None:
            return ""
        child.end()
        return child.printed

    def _start_idle_timer(self) -> None:
        self._stop_idle_timer()
        with self._state:
            if self._child is not None and not self._closed:
                self._idle_timer = threading.Timer(self._idle_seconds, self._unload)
                self._idle_timer.daemon = True
                self._idle_timer.start()

    def _stop_idle_timer(self) -> None:
        with self._state:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None

    def _unload(self) -> None:
        if self._turn.acquire(blocking=False):  # else it is not idle
            try:
                self._discard()
            finally:
                self._turn.release()
