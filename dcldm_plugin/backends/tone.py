"""A backend without a model: a decaying tone with a noise burst, to prove the path from prompt to timeline.

The pitch comes from the prompt and the structure seed, the noise from the texture seed, so equal requests
give equal samples. It goes through the same stages as a real model and reports at every step. Some words
in a prompt make it misbehave on purpose, at the first step of denoising, so that the engine's promises can
be tested with a real process:

    slow             takes about 20 ms a step
    tone-crash       aborts the process
    tone-memory      runs out of memory
    tone-gpu-memory  runs out of GPU memory, as torch says it
    tone-bug         raises an error that nobody expected
    tone-exit        calls sys.exit, as some libraries do
    tone-print       prints rubbish, from Python and straight to file descriptor 1
    tone-silent      yields nothing
    tone-nan         yields samples that are not numbers
    tone-hang        never comes back and never reports
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.backends.base import Backend, Rendered
from dcldm_plugin.engine.registry import TONE
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.types import GenerationRequest, Prompt, Report, Sampling, Seeds

PLANNING_STEPS = 10
DENOISING_STEPS = 30
DECODING_STEPS = 5
SLOW_STEP_SECONDS = 0.02
LOWEST_HZ = 110.0


class OutOfMemoryError(RuntimeError):
    """Named as torch.cuda.OutOfMemoryError is: that name is all that the worker knows it by."""


def _run_out_of_memory() -> None:
    raise MemoryError


def _run_out_of_gpu_memory() -> None:
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def _stumble() -> None:
    raise LookupError("no such tone")


def _print_rubbish() -> None:
    print("rubbish from Python", flush=True)
    os.write(1, b'{"say": "finished"}\nrubbish \xff\xfe from file descriptor 1')


def _hang() -> None:
    while True:
        time.sleep(1.0)


FAULTS: dict[str, Callable[[], object]] = {
    "tone-crash": os.abort,
    "tone-memory": _run_out_of_memory,
    "tone-gpu-memory": _run_out_of_gpu_memory,
    "tone-bug": _stumble,
    "tone-exit": sys.exit,
    "tone-print": _print_rubbish,
    "tone-hang": _hang,
}


class ToneBackend:
    """See the module's text. `info.sample_rate` is 16 kHz, mono."""

    info = TONE

    def keep_in(self, folder: Path) -> None:
        """There is nothing to keep."""

    def render(self, request: GenerationRequest, report: Report) -> Iterator[Rendered]:
        """Yield one take for each pair of seeds. Raises `InvalidInput` for an unknown sampler."""
        self.info.check(request)
        if request.sampling.sampler is not None:
            raise InvalidInput("The test tone has no samplers to choose from; leave the sampler out.")
        words = set(request.prompt.text.lower().split())
        steps = request.sampling.steps or DENOISING_STEPS
        if "tone-silent" in words:
            return
        for index, seeds in enumerate(request.seeds):
            _walk("planning", PLANNING_STEPS, words, report)
            _walk("denoising", steps, words, report)
            samples = tone(request.prompt, seeds, request.seconds, self.info.sample_rate)
            if "tone-nan" in words:
                samples[:, ::100] = np.nan
            _walk("decoding", DECODING_STEPS, words, report)
            yield Rendered(index, samples, Sampling(steps=steps))


def _walk(stage: str, steps: int, words: set[str], report: Report) -> None:
    for step in range(steps):
        report(stage, step / steps)
        if stage == "denoising" and step == 0:
            for word in words & FAULTS.keys():
                FAULTS[word]()
        if "slow" in words:
            time.sleep(SLOW_STEP_SECONDS)
    report(stage, 1.0)


def tone(prompt: Prompt, seeds: Seeds, seconds: float, sample_rate: int) -> NDArray[np.float32]:
    """A tone of a pitch of its own under a noise burst: [1, time], within -0.5 … 0.5."""
    digest = hashlib.sha256(f"{prompt.text}\0{prompt.negative}".encode()).digest()
    semitones = (digest[0] + 7 * seeds.structure) % 36
    pitch_hz = LOWEST_HZ * 2.0 ** (semitones / 12.0)
    time_seconds = np.arange(max(1, round(seconds * sample_rate))) / sample_rate
    noise = np.random.default_rng(seeds.texture).uniform(-1.0, 1.0, time_seconds.size)
    wave = 0.4 * np.sin(2.0 * np.pi * pitch_hz * time_seconds) * np.exp(-time_seconds / seconds)
    burst = 0.1 * noise * np.exp(-20.0 * time_seconds / seconds)
    samples: NDArray[np.float32] = (wave + burst).astype(np.float32)
    return samples[np.newaxis, :]


def make(report: Report, name: str = "tone") -> Backend:
    """There is nothing to load, which is reported all the same."""
    report("loading", 1.0)
    return ToneBackend()
