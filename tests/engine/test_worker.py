"""The worker on its own: the real process, without `EngineProcess`, lines in and lines out."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcldm_plugin.engine.child import worker_command, worker_environment
from dcldm_plugin.engine.protocol import (
    PROTOCOL,
    Cancel,
    Failed,
    Finished,
    Progress,
    Ready,
    Render,
    Stopped,
    VariationReady,
    WorkerMessage,
    decode_message,
    encode,
)
from dcldm_plugin.errors import is_out_of_memory
from dcldm_plugin.types import GenerationRequest, Sampling

ENDLESS = Sampling(steps=1000)  # with the word "slow": twenty seconds


def make_request(prompt: str, *, variations: int = 1, sampling: Sampling | None = None) -> GenerationRequest:
    return GenerationRequest.create(prompt, seconds=0.2, variations=variations, seed=3, model="tone", sampling=sampling)


class BareWorker:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            worker_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(),
        )

    def send(self, *lines: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(lines))
        self.process.stdin.flush()

    def hear(self) -> WorkerMessage:
        assert self.process.stdout is not None
        return decode_message(self.process.stdout.readline())

    def hear_outcome(self) -> WorkerMessage:
        while isinstance(message := self.hear(), Progress | VariationReady):
            pass
        return message

    def end_input(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(10.0)


@pytest.fixture
def worker() -> Iterator[BareWorker]:
    bare = BareWorker()
    with bare.process:
        yield bare
        bare.process.kill()


def test_worker_says_ready_first(worker: BareWorker) -> None:
    message = worker.hear()
    assert isinstance(message, Ready)
    assert message.protocol == PROTOCOL
    assert worker.end_input() == 0


def test_worker_ends_with_its_input_in_the_middle_of_a_job(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    worker.send(encode(Render(make_request("slow rain", sampling=ENDLESS), (0,), tmp_path)))
    assert isinstance(worker.hear(), Progress)
    started = time.monotonic()
    worker.end_input()
    assert time.monotonic() - started < 5.0


def test_worker_that_hangs_ends_with_its_input(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    worker.send(encode(Render(make_request("tone-hang"), (0,), tmp_path)))
    while not (isinstance(message := worker.hear(), Progress) and message.stage == "denoising"):
        pass
    assert worker.end_input() == 1


def test_cancel_of_a_request_that_waits(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    first, second = make_request("slow rain"), make_request("slow wind", sampling=ENDLESS)
    worker.send(
        encode(Render(first, (0,), tmp_path)),
        encode(Render(second, (0,), tmp_path)),
        encode(Cancel(second.id)),
    )
    assert worker.hear_outcome() == Finished(first.id)
    assert worker.hear() == Stopped(second.id)


def test_cancel_that_came_too_late_does_not_count_for_the_next_time(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    request = make_request("rain")
    for _ in range(2):
        worker.send(encode(Render(request, (0,), tmp_path)))
        assert worker.hear_outcome() == Finished(request.id)
        worker.send(encode(Cancel(request.id)))


def test_worker_renders_only_the_variations_that_are_asked_for(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    request = make_request("rain", variations=4)
    worker.send(encode(Render(request, (1, 3), tmp_path)))
    assert worker.hear_outcome() == Finished(request.id)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{request.id}-1.wav", f"{request.id}-3.wav"]


def test_worker_says_of_which_kind_a_failure_is(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    kinds = {"tone-nan": "failed", "tone-gpu-memory": "memory", "tone-memory": "memory", "tone-bug": "bug"}
    for word, kind in kinds.items():
        worker.send(encode(Render(make_request(word), (0,), tmp_path)))
        outcome = worker.hear_outcome()
        assert isinstance(outcome, Failed)
        assert outcome.kind == kind


def test_worker_ends_on_rubbish(worker: BareWorker) -> None:
    worker.hear()
    worker.send(b"rubbish\n")
    worker.process.wait(10.0)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches no process without a console")
def test_worker_leaves_ctrl_c_to_its_parent(worker: BareWorker, tmp_path: Path) -> None:
    worker.hear()
    worker.process.send_signal(signal.SIGINT)
    request = make_request("rain")
    worker.send(encode(Render(request, (0,), tmp_path)))
    assert worker.hear_outcome() == Finished(request.id)


class OutOfMemoryError(RuntimeError):
    pass


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("CUDA"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
    ids=str,
)
def test_what_counts_as_out_of_memory(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) is is_memory
