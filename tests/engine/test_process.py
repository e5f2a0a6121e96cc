"""The engine process with its real worker and the tone backend, whose words make it misbehave."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from dcldm_plugin.engine.child import worker_environment
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.engine.protocol import (
    PROTOCOL,
    EngineEvent,
    Finished,
    Progress,
    Ready,
    VariationReady,
    encode,
)
from dcldm_plugin.errors import Cancelled, EngineFailed, InvalidInput
from dcldm_plugin.types import GenerationRequest, Sampling, Variation

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
ENDLESS = Sampling(steps=1000)  # with the word "slow": twenty seconds


def make_request(
    prompt: str, *, variations: int = 1, model: str = "tone", sampling: Sampling | None = None
) -> GenerationRequest:
    return GenerationRequest.create(prompt, seconds=0.2, variations=variations, seed=3, model=model, sampling=sampling)


class Events(list[EngineEvent]):
    """A listener that keeps what it hears, and may do something about it."""

    def __init__(self, also: Callable[[EngineEvent], None] | None = None) -> None:
        super().__init__()
        self._also = also

    def __call__(self, event: EngineEvent) -> None:
        self.append(event)
        if self._also is not None:
            self._also(event)

    @property
    def variations(self) -> list[Variation]:
        return [event.variation for event in self if isinstance(event, VariationReady)]

    @property
    def takes(self) -> list[int]:
        return [variation.index for variation in self.variations]

    @property
    def sounds(self) -> list[NDArray[np.float32]]:
        return [soundfile.read(variation.path, dtype="float32")[0] for variation in self.variations]

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self if isinstance(event, Progress)]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with contextlib.closing(EngineProcess(tmp_path / "renders", log=tmp_path / "engine.log")) as process:
        yield process


def renders_well(engine: EngineProcess) -> bool:
    events = Events()
    engine.run(make_request("a bell"), events)
    return events.takes == [0]


def at(stage: str, action: Callable[[], None]) -> Callable[[EngineEvent], None]:
    """A reaction to the first progress of a stage."""
    done: list[bool] = []

    def react(event: EngineEvent) -> None:
        if isinstance(event, Progress) and event.stage == stage and not done:
            done.append(True)
            action()

    return react


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


# What it does when all is well


def test_renders_every_variation(engine: EngineProcess, tmp_path: Path) -> None:
    request = make_request("a bell", variations=3)
    events = Events()
    engine.run(request, events)
    assert events.takes == [0, 1, 2]
    assert isinstance(events[-1], VariationReady)
    for variation in events.variations:
        assert variation.request == request
        assert variation.path == tmp_path / "renders" / f"{request.id}-{variation.index}.wav"
        written = soundfile.info(variation.path)
        assert (written.subtype, written.samplerate, written.frames) == ("FLOAT", 16_000, 3_200)
        assert (variation.sample_rate, variation.channels) == (16_000, 1)
        assert variation.sampling.steps == 30
    assert not list((tmp_path / "renders").glob("*.part"))


def test_equal_requests_give_equal_sound(engine: EngineProcess) -> None:
    events = Events()
    for _ in range(2):
        engine.run(make_request("a bell"), events)
    one, other = events.sounds
    np.testing.assert_array_equal(one, other)


def test_progress_never_goes_back_within_a_stage(engine: EngineProcess) -> None:
    events = Events()
    engine.run(make_request("slow bell", variations=2), events)
    runs = [
        (index, stage, [event.fraction for event in group])
        for (index, stage), group in groupby(events.progress, lambda event: (event.index, event.stage))
    ]
    stages = ["planning", "denoising", "decoding"]
    assert [(index, stage) for index, stage, _ in runs if stage != "loading"] == [
        (index, stage) for index in (0, 1) for stage in stages
    ]
    assert runs[0][1] == "loading"
    for _, _, fractions in runs:
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)


def test_progress_is_not_said_at_every_step(engine: EngineProcess) -> None:
    events = Events()
    engine.run(make_request("quick", sampling=Sampling(steps=1000)), events)
    assert len(events.progress) < 300


def test_one_worker_does_many_requests(engine: EngineProcess) -> None:
    assert engine.pid is None
    assert renders_well(engine)
    pid = engine.pid
    assert renders_well(engine)
    assert engine.pid == pid is not None


def test_parent_never_imports_what_is_heavy() -> None:
    code = (
        "import sys, dcldm_plugin.engine.process;"
        "assert not {'torch', 'numpy', 'soundfile', 'PyQt6'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], env=worker_environment(), check=True)


def test_worker_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('a file of the user in the place of a module')")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(EngineProcess(tmp_path / "renders")) as engine:
        assert renders_well(engine)


def test_worker_shares_the_processor() -> None:
    assert worker_environment()["OMP_WAIT_POLICY"] == "PASSIVE"


# Cancelling


def test_cancel_leaves_within_a_step(engine: EngineProcess) -> None:
    request = make_request("slow rain", sampling=ENDLESS)
    cancelled_at: list[float] = []

    def cancel() -> None:
        cancelled_at.append(time.monotonic())
        engine.cancel(request.id)
        engine.cancel(request.id)

    with pytest.raises(Cancelled):
        engine.run(request, Events(at("denoising", cancel)))
    assert time.monotonic() - cancelled_at[0] < 2.0  # a step is 20 ms; the rest is for a busy machine
    pid = engine.pid
    assert renders_well(engine)
    assert engine.pid == pid  # the model stays loaded


def test_cancel_from_another_thread(engine: EngineProcess) -> None:
    request = make_request("slow rain", sampling=ENDLESS)
    timer = threading.Timer(0.5, engine.cancel, [request.id])
    timer.start()
    with pytest.raises(Cancelled):
        engine.run(request, Events())
    timer.join()


def test_cancel_before_it_has_started(engine: EngineProcess) -> None:
    request = make_request("rain")
    engine.cancel(request.id)
    with pytest.raises(Cancelled):
        engine.run(request, Events())
    assert engine.pid is None
    events = Events()
    engine.run(request, events)  # asked for once more, it is made
    assert events.takes == [0]


def test_cancel_of_another_request_changes_nothing(engine: EngineProcess) -> None:
    events = Events(at("denoising", lambda: engine.cancel("another")))
    engine.run(make_request("rain"), events)
    assert events.takes == [0]


def test_cancel_keeps_what_was_delivered(engine: EngineProcess) -> None:
    request = make_request("slow rain", variations=3)

    def cancel_after_a_take(event: EngineEvent) -> None:
        if isinstance(event, VariationReady):
            engine.cancel(request.id)

    events = Events(cancel_after_a_take)
    with pytest.raises(Cancelled):
        engine.run(request, events)
    assert events.takes == [0]


def test_cancelled_request_can_be_asked_for_again(engine: EngineProcess) -> None:
    request = make_request("slow rain")
    with pytest.raises(Cancelled):
        engine.run(request, Events(at("planning", lambda: engine.cancel(request.id))))
    events = Events()
    engine.run(request, events)
    assert events.takes == [0]


def test_worker_that_does_not_heed_a_cancel_is_ended(tmp_path: Path) -> None:
    request = make_request("tone-hang")
    with contextlib.closing(EngineProcess(tmp_path, patience_seconds=5.0)) as engine:
        with pytest.raises(Cancelled):
            engine.run(request, Events(at("denoising", lambda: engine.cancel(request.id))))
        assert engine.pid is None
        assert renders_well(engine)


# Failing


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("tone-crash", "ended by SIGABRT, twice|exit code"),
        ("tone-memory", "ran out of memory"),
        ("tone-gpu-memory", "ran out of memory"),
        ("tone-bug", "LookupError no such tone"),
        ("tone-exit", "SystemExit"),
        ("tone-silent", "too few variations"),
        ("tone-nan", "not sound"),
    ],
)
def test_failure_is_a_sentence_and_the_next_request_runs(engine: EngineProcess, word: str, sentence: str) -> None:
    with pytest.raises(EngineFailed, match=sentence) as caught:
        engine.run(make_request(word), Events())
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert renders_well(engine)


def test_after_running_out_of_memory_the_process_is_a_new_one(engine: EngineProcess) -> None:
    assert renders_well(engine)
    with pytest.raises(EngineFailed):
        engine.run(make_request("tone-memory"), Events())
    assert engine.pid is None


def test_killed_worker_is_replaced_and_delivers_the_rest(engine: EngineProcess) -> None:
    written: list[int] = []

    def kill_after_a_take(event: EngineEvent) -> None:
        if isinstance(event, VariationReady):
            written.append(event.variation.path.stat().st_mtime_ns)
            if len(written) == 1:
                assert engine.pid is not None
                os.kill(engine.pid, KILL)

    events = Events(kill_after_a_take)
    sampling = Sampling(steps=5)
    engine.run(make_request("slow rain", variations=3, sampling=sampling), events)
    assert events.takes == [0, 1, 2]
    first = events.variations[0]
    assert first.path.stat().st_mtime_ns == written[0]  # not rendered again
    alone = Events()
    engine.run(make_request("slow rain", variations=3, sampling=sampling), alone)
    for one, other in zip(events.sounds, alone.sounds, strict=True):
        np.testing.assert_array_equal(one, other)


def test_worker_killed_twice_fails_the_request(engine: EngineProcess) -> None:
    pids: list[int] = []

    def kill(event: EngineEvent) -> None:
        pid = engine.pid
        if pid is not None and pid not in pids and isinstance(event, Progress) and event.stage == "denoising":
            pids.append(pid)
            os.kill(pid, KILL)

    with pytest.raises(EngineFailed, match="twice"):
        engine.run(make_request("slow rain", sampling=ENDLESS), Events(kill))
    assert len(pids) == 2
    assert renders_well(engine)


def test_worker_killed_between_requests_is_replaced(engine: EngineProcess) -> None:
    assert renders_well(engine)
    assert engine.pid is not None
    os.kill(engine.pid, KILL)
    assert renders_well(engine)


def test_unknown_model_is_invalid_input(engine: EngineProcess) -> None:
    with pytest.raises(InvalidInput, match="no model named 'nope'"):
        engine.run(make_request("rain", model="nope"), Events())
    assert renders_well(engine)


def test_what_the_model_refuses_is_invalid_input(engine: EngineProcess) -> None:
    with pytest.raises(InvalidInput, match="sampler"):
        engine.run(make_request("rain", sampling=Sampling(sampler="nope")), Events())


def test_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "renders").write_text("a file in the folder's place")
    engine = EngineProcess(tmp_path / "renders")
    with contextlib.closing(engine), pytest.raises(EngineFailed, match="cannot be written to"):
        engine.run(make_request("rain"), Events())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    with contextlib.closing(EngineProcess(tmp_path, log=Path("/dev/full"))) as engine:
        engine.run(make_request("tone-print"), Events())


def test_stray_prints_go_to_the_log(engine: EngineProcess, tmp_path: Path) -> None:
    events = Events()
    engine.run(make_request("tone-print", variations=2), events)
    assert events.takes == [0, 1]
    engine.close()
    log = (tmp_path / "engine.log").read_bytes()
    assert b"rubbish from Python" in log
    assert b"from file descriptor 1" in log


def test_listener_that_raises_is_heard_and_the_next_request_runs(engine: EngineProcess) -> None:
    def stumble() -> None:
        raise KeyError("a bug in a listener")

    with pytest.raises(KeyError):
        engine.run(make_request("slow rain", sampling=ENDLESS), Events(at("denoising", stumble)))
    assert renders_well(engine)


# Ending


def test_idle_worker_is_ended_and_started_on_demand(tmp_path: Path) -> None:
    with contextlib.closing(EngineProcess(tmp_path, idle_seconds=0.2)) as engine:
        assert renders_well(engine)
        assert wait_until(lambda: engine.pid is None)
        engine.run(make_request("slow rain"), Events())  # takes longer than it may be idle
        assert wait_until(lambda: engine.pid is None)


def test_close_in_the_middle_of_a_request(engine: EngineProcess) -> None:
    pids: list[int | None] = []

    def close() -> None:
        pids.append(engine.pid)
        thread = threading.Thread(target=engine.close)
        thread.start()
        thread.join()

    with pytest.raises(Cancelled):
        engine.run(make_request("slow rain", sampling=ENDLESS), Events(at("denoising", close)))
    assert pids[0] is not None
    assert not is_running(pids[0])
    with pytest.raises(Cancelled):
        engine.run(make_request("rain"), Events())


@pytest.mark.parametrize("prompt", ["slow rain", "tone-hang"])
def test_close_by_the_listener(engine: EngineProcess, prompt: str) -> None:
    with pytest.raises(Cancelled):
        engine.run(make_request(prompt, sampling=ENDLESS), Events(at("denoising", engine.close)))
    engine.close()
    assert engine.pid is None


def is_running(pid: int) -> bool:
    if os.name == "nt":
        listed = subprocess.run(["tasklist", "/FI", f"PID eq {pid}"], capture_output=True, check=True)
        return str(pid).encode() in listed.stdout
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


PARENT = """
import os, sys
from pathlib import Path
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.types import GenerationRequest, Sampling
engine = EngineProcess(Path(sys.argv[1]))
request = GenerationRequest.create("slow rain", model="tone", sampling=Sampling(steps=1000))
def listen(event):
    if getattr(event, "stage", "") == "denoising":
        print(engine.pid, flush=True)
        sys.stdin.read()
engine.run(request, listen)
"""


def test_worker_of_a_killed_parent_leaves_no_orphan(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=worker_environment(),
    )
    with parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        parent.kill()
    assert wait_until(lambda: not is_running(worker) or is_zombie(worker))


def is_zombie(pid: int) -> bool:
    """Where nobody collects orphans (a bare container) an ended process keeps its number."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


# Workers that are none

READY = f"print({encode(Ready(PROTOCOL, '0', 1)).decode().strip()!r}, flush=True);"
LISTEN = "import sys; sys.stdin.readline();"


def strange_worker(code: str) -> Sequence[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import sys; sys.stdin.read()", "not ready within 1 s"),
        ("raise SystemExit(3)", "exit code 3 before it was ready"),
        ("import os, sys; os.close(1); sys.stdin.read()", "closed its output before it was ready"),
        ("print('hello')", "no message .* before it was ready"),
        (READY.replace('"protocol":1', '"protocol":2'), "another version"),
        (f"print({encode(Finished('x')).decode()!r})", "another version"),
        (READY + LISTEN + "print('hello', flush=True); sys.stdin.read()", "no message .* twice"),
        (
            READY + LISTEN + "print('x' * 1_000_000, flush=True); sys.stdin.read()",
            "more than .* bytes.* twice",
        ),
        (READY + LISTEN + "sys.stdout.write('{\"say\":'); sys.exit(0)", "exit code 0, twice"),
        (READY + LISTEN + READY + "sys.stdin.read()", "nobody asked for .* twice"),
    ],
    ids=[
        "silent",
        "ends",
        "closes",
        "rubbish-first",
        "protocol",
        "not-ready",
        "rubbish",
        "long",
        "half",
        "odd",
    ],
)
def test_worker_that_is_none_is_a_sentence(tmp_path: Path, code: str, sentence: str) -> None:
    patience_seconds = 1.0 if "not ready" in sentence else 20.0
    strange = EngineProcess(tmp_path, command=strange_worker(code), patience_seconds=patience_seconds)
    with contextlib.closing(strange) as engine:
        with pytest.raises(EngineFailed, match=sentence) as caught:
            engine.run(make_request("rain"), Events())
        assert str(caught.value).endswith(".")
        assert engine.pid is None


def test_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="cannot be started"):
        EngineProcess(tmp_path, command=[str(tmp_path / "nothing")]).run(make_request("rain"), Events())


def test_crash_with_the_work_done_is_no_failure(tmp_path: Path) -> None:
    code = f"""
import os, sys
from pathlib import Path
from dcldm_plugin.engine.protocol import *
from dcldm_plugin.types import Sampling, Variation
{READY}
request = decode_command(sys.stdin.buffer.readline()).request
take = Variation(request, 0, Path("take.wav"), 16000, 1, "", Sampling())
sys.stdout.buffer.write(encode(VariationReady(take)))
sys.stdout.flush()
os._exit(9)
"""
    with contextlib.closing(EngineProcess(tmp_path, command=strange_worker(code))) as engine:
        assert renders_well(engine)


def test_log_is_bounded(tmp_path: Path) -> None:
    noise = "[print('noise ' * 100, file=sys.stderr) for _ in range(5000)];"  # three million bytes
    code = READY + LISTEN + noise + "sys.exit(0)"
    log = tmp_path / "logs" / "engine.log"
    engine = EngineProcess(tmp_path, command=strange_worker(code), log=log)
    with contextlib.closing(engine), pytest.raises(EngineFailed, match=r"engine\.log"):
        engine.run(make_request("rain"), Events())
    sizes = [path.stat().st_size for path in log.parent.iterdir()]
    assert len(sizes) == 2
    assert 0 < sum(sizes) <= 2_000_000
