"""The one place where what happens on other threads enters Qt's.

A signal that is emitted on a thread without an event loop is queued to the receiver's, so whoever connects to
these is called on Qt's thread and need not think of locks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import QObject, QRunnable, QThreadPool, pyqtSignal

from bridge.spotting import Spotting
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.session import ClipReady, JobChanged, JobProgress, Session, SessionEvent

log = logging.getLogger(__name__)


class SessionSignals(QObject):
    """The session's events as Qt signals, each with the event as its only argument."""

    job_changed = pyqtSignal(object)
    progress = pyqtSignal(object)
    clip_ready = pyqtSignal(object)
    run_changed = pyqtSignal(object)  # the `Run` of a cue sheet

    def __init__(self, session: Session, spotting: Spotting) -> None:
        super().__init__()
        self._unsubscribe = (session.subscribe(self._pass_on), spotting.subscribe(self.run_changed.emit))

    def close(self) -> None:
        for unsubscribe in self._unsubscribe:
            unsubscribe()

    def _pass_on(self, event: SessionEvent) -> None:
        match event:
            case JobChanged():
                self.job_changed.emit(event)
            case JobProgress():
                self.progress.emit(event)
            case ClipReady():
                self.clip_ready.emit(event)


class _Work(QRunnable):
    """`tell` is called, on the thread that does the work, with `done` or `failed` and what came of it."""

    def __init__(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None] | None,
        tell: Callable[[object, object], None],
    ) -> None:
        super().__init__()
        self._work, self._done, self._failed, self._tell = work, done, failed, tell

    def run(self) -> None:
        try:
            result = self._work()
        except DcldmError as error:
            self._tell(self._failed, str(error))
        except Exception as error:
            log.exception("work in the background failed")
            sentence = (
                f"Something went wrong inside dcldm ({type(error).__name__}); the log says more, please report it."
            )
            self._tell(self._failed, sentence)
        else:
            self._tell(self._done, result)


class Background(QObject):
    """Work that may take a while, off Qt's thread; its result, or a sentence, comes back on it."""

    _over = pyqtSignal(object, object)  # whom to call, if anybody, and with what

    def __init__(self, threads: int = 2) -> None:
        super().__init__()
        self._pool = QThreadPool(self)
        self._pool.setObjectName("dcldm work")  # which its threads are called by, too
        self._pool.setMaxThreadCount(threads)
        self._closed = False
        self._over.connect(self._call)

    def do(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Call `work` on another thread, then `done` with its result, or `failed` with a sentence, on this one.

        After `close` nothing is begun any more.
        """
        if not self._closed:
            self._pool.start(_Work(work, done, failed, self._over.emit))

    def close(self) -> None:
        """Drop what waits; wait for what runs, and for its threads. Nothing is called back afterwards."""
        self._closed = True
        self._pool.clear()
        self._pool.waitForDone()

    def _call(self, callback: Callable[[Any], None] | None, value: Any) -> None:
        if callback is not None and not self._closed:
            callback(value)
