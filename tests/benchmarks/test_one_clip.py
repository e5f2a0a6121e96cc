"""Where the time of one ten-second clip goes, stage by stage, beside the floor of the same machine and run.

The floor of a stage is its floating-point operations over the rate of a large matrix product, measured just
before. Run with `-s` to see the table; the test itself only holds ratios.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from dcldm_plugin.audio.finish import finish
from dcldm_plugin.backends.dcldm import BUILTIN_FOLDER
from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.models.checkpoint import read
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.types import Sampling

SECONDS = 10.0
Result = TypeVar("Result")


def nothing(stage: str, fraction: float) -> None:
    """A report that nobody reads."""


def matrix_rate() -> float:
    """Operations a second of a 1024 x 1024 product, the best of five."""
    a = torch.randn(1024, 1024)
    best = min(timed(lambda: a @ a)[1] for _ in range(5))
    return 2 * 1024**3 / best


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def test_where_the_time_of_one_clip_goes() -> None:
    (model, _), loading = timed(lambda: read(BUILTIN_FOLDER))
    rate = matrix_rate()
    rows: list[tuple[str, float, float]] = []

    def stage(name: str, work: Callable[[], Result]) -> Result:
        with torch.inference_mode():
            work()  # once to warm up and to count
            with FlopCounterMode(display=False) as counter:
                work()
            result, seconds = timed(work)
        rows.append((name, seconds, counter.get_total_flops() / rate))
        return result

    steps = model.latent_steps(SECONDS)
    defaults = model.config.defaults.fill(Sampling())
    states, mask = stage("reading", lambda: model.text(["heavy rain on a roof", ""]))
    codes = stage("planning", lambda: model.plan(states[:1], mask[:1], steps, 1, None))
    both = torch.cat([codes, model.empty_plan[None, :, : codes.shape[-1]]])
    conditions = Conditions(states, mask, acoustic_lm.latents(model.codec, both))
    z = stage("denoising", lambda: model.denoise(model.noise(steps, 1), conditions, defaults, nothing))
    mel = stage("decoding", lambda: model.space.decode(z))
    audio = stage("vocoder", lambda: model.vocoder(mel))
    stage("finishing", lambda: finish(audio[:, :160_000].numpy(), 16_000))

    total = sum(seconds for _, seconds, _ in rows)
    print(f"\n{'stage':<12}{'s':>8}{'share':>8}{'floor s':>10}{'x floor':>9}   (loading {loading:.1f} s, apart)")
    for name, seconds, floor in rows:
        ratio = f"{seconds / floor:9.1f}" if floor else "        -"
        print(f"{name:<12}{seconds:8.3f}{seconds / total:8.0%}{floor:10.4f}{ratio}")
    print(f"{'all':<12}{total:8.3f}{SECONDS / total:7.1f}x faster than real time")

    # A second clip of the same plan pays nothing for the language model.
    planning, denoising = rows[1][1], rows[2][1]
    again = min(timed(lambda: model.denoise(model.noise(steps, 2), conditions, defaults, nothing))[1] for _ in range(3))
    assert again < planning + denoising
    shares = {name: seconds / total for name, seconds, _ in rows}
    assert shares["finishing"] < 0.5  # what surrounds the model must not cost more than the model
