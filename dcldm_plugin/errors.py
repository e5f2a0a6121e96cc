"""Errors that a user can act on. Anything else that is raised is a bug and belongs in the log."""

from __future__ import annotations


class DcldmError(Exception):
    """Something went wrong that the user can understand: one sentence, which says what to do."""

    exit_code = 1


class InvalidInput(DcldmError):
    """What was asked for cannot be done by anyone: an empty prompt, a negative seed, an unknown model."""

    exit_code = 2


class EngineFailed(DcldmError):
    """The engine process could not finish a job: it crashed, was killed or ran out of memory."""


class Cancelled(Exception):
    """Raised by a `Report` to leave a loop at the next step. Not an error: somebody asked for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the machine or of its GPU, ran out.

    torch has `OutOfMemoryError` for CUDA; its CPU and Metal allocators raise a plain RuntimeError.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    phrases = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in phrases)
