"""What a run tells while it goes on: a line of progress, `log.jsonl`, TensorBoard's files, the curves for a page."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

SAY_SECONDS = 5.0  # between lines of progress


class Journal:
    """Means of the loss terms over `every` steps. A context: what is open is closed at its end."""

    def __init__(
        self, folder: Path, accelerator: Accelerator, state: Mapping[str, Any] | None, step: int, every: int
    ) -> None:
        self.folder, self.accelerator, self.every = folder, accelerator, every
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        if state is not None:
            self.sums = {name: value.to(accelerator.device) for name, value in state["sums"].items()}
            self.counts = {name: value.to(accelerator.device) for name, value in state["counts"].items()}
        self.said = self.began = time.perf_counter()
        self.began_at: float | None = None  # of the budget, in this process' life
        self.began_step = step
        self.writer: Any = None
        if accelerator.is_main_process:
            from tensorboardX import SummaryWriter

            folder.mkdir(parents=True, exist_ok=True)
            self.log = folder / "log.jsonl"
            _cut_after(self.log, step if state is not None else -1)
            self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs so that the next line is the same."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def add(self, portions: Sequence[Mapping[str, Tensor]]) -> None:
        """The loss terms of a step's portions. Stays on the device, so that nobody waits for it."""
        for terms in portions:
            for name, value in terms.items():
                there = torch.isfinite(value)
                zero = torch.zeros((), device=value.device, dtype=torch.float64)
                self.sums[name] = self.sums.get(name, zero) + torch.where(there, value, 0.0).double()
                self.counts[name] = self.counts.get(name, zero) + there.double()

    def end_step(self, step: int, spent: float, progress: float) -> None:
        """A step is done: log it if it is time to."""
        if self.began_at is None:
            self.began_at = progress
        if step % self.every == 0 or progress >= 1.0:
            self.flush(step, spent, progress)

    def flush(self, step: int, spent: float, progress: float) -> None:
        """Write the means since the last line, if there are any."""
        if not self.sums:
            return
        names = sorted(self.sums)
        both = torch.stack([torch.stack([self.sums[name], self.counts[name]]) for name in names])
        rows = self.accelerator.reduce(both, "sum").tolist()
        means = {name: total / count for name, (total, count) in zip(names, rows, strict=True) if count}
        self.sums, self.counts = {}, {}
        if not self.accelerator.is_main_process:
            return
        _append(self.log, {"step": step, "seconds": round(spent, 1)} | means)
        for name, value in means.items():
            self.writer.add_scalar(f"loss/{name}", value, step)
        self._say(step, progress, means.get("total", math.nan))

    def held_out(self, step: int, terms: Mapping[str, float]) -> None:
        """The loss on what is held out."""
        _append(self.log, {"step": step, "held out": dict(terms)})
        for name, value in terms.items():
            self.writer.add_scalar(f"held out/{name}", value, step)
        print(f"step {step:,}  held out {terms['total']:.4f}", file=sys.stderr, flush=True)

    def _say(self, step: int, progress: float, total: float) -> None:
        now = time.perf_counter()
        if now - self.said < SAY_SECONDS and progress < 1.0:
            return
        self.said = now
        elapsed = now - self.began
        done = progress - (self.began_at or 0.0)
        rate = (step - self.began_step) / elapsed
        left = "" if done <= 0.0 or progress >= 1.0 else f"  {_duration(elapsed * (1.0 - progress) / done)} left"
        print(
            f"step {step:,}  {progress:4.0%}  loss {total:.4f}  {rate:.2f} steps/s{left}", file=sys.stderr, flush=True
        )


def read_log(folder: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(lines of what was learned from, lines of what is held out) of a run."""
    path = folder / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    return [line for line in lines if "held out" not in line], [line for line in lines if "held out" in line]


def _append(path: Path, line: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _cut_after(path: Path, step: int) -> None:
    """Drop the lines of steps that are done again, and what a kill left half written."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except ValueError:
            break
    partial = path.with_name(path.name + ".part")
    partial.write_text("".join(kept), encoding="utf-8")
    os.replace(partial, path)


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "?"
    minutes, hours = seconds / 60.0, seconds / 3600.0
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes:.0f} min" if minutes < 90 else f"{hours:.1f} h"
