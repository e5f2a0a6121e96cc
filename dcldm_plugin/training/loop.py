"""One training loop for every part: it survives being killed, and does the same in any number of portions.

What a step learns from is drawn from (seed, step, place) alone (`draw.py`), so that on a CPU a run that was
killed and started again is equal, bit by bit, to one that was not. Gradients of several processes are averaged
here, in one piece, and not by a wrapper around the model: a loss may use a model as it likes.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.errors import Cancelled, DcldmError, InvalidInput, is_out_of_memory
from dcldm_plugin.training import checkpoints
from dcldm_plugin.training.config import Optimizer, Run
from dcldm_plugin.training.draw import Draw, rows_at
from dcldm_plugin.training.journal import Journal

LossFunction = Callable[[nn.Module, Draw], dict[str, Tensor]]
"""`loss(model, draw)`: the mean over the draw's sounds of each term; "total" is minimised. NaN: none had it."""
MOST_ON_CPU = 16  # sounds at once: more are no faster there, and only need memory
HELD_OUT_SEED = 1_234_567
HELD_OUT_SOUNDS = 32  # a measurement hears at least as many, the same sound several times if need be


Watch = Callable[[int], None]
"""Told the step at the beginning, every `samples.every` steps and at the end, while the weights are the averaged."""


@dataclass(frozen=True, slots=True)
class Sounds:
    """Rows of the data set that are learned from, and those that are held out."""

    learned: NDArray[np.int64]
    held_out: NDArray[np.int64]


def train(
    model: nn.Module,
    loss: LossFunction,
    folder: Path,
    sounds: Sounds,
    run: Run,
    optimizer: Optimizer,
    *,
    accelerator: Accelerator | None = None,
    watch: Watch | None = None,
    watch_every: int = 0,
) -> int:
    """Train what of `model` requires a gradient, until the budget is spent over any number of calls.

    Returns the number of steps. The model is left with the moving average of its weights. `folder` gets
    `checkpoints`, `log.jsonl` and `tensorboard`. Raises `Cancelled` after a checkpoint when the process is told
    to end, and `DcldmError`.
    """
    return _Loop(
        model, loss, folder, sounds, run, optimizer, accelerator or make_accelerator(run), watch, watch_every
    ).run_through()


def make_accelerator(run: Run) -> Accelerator:
    """accelerate's own choice of the device, among as many processes as were launched."""
    # Without being told, accelerate takes several processes without a GPU for as many lone ones.
    on_cpu = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()
    return Accelerator(cpu=on_cpu, mixed_precision="bf16" if run.precision == "bf16" else "no")


class _Loop:
    def __init__(
        self,
        model: nn.Module,
        loss: LossFunction,
        folder: Path,
        sounds: Sounds,
        run: Run,
        optimizer: Optimizer,
        accelerator: Accelerator,
        watch: Watch | None,
        watch_every: int,
    ) -> None:
        self.model, self.loss, self.folder, self.sounds = model, loss, folder, sounds
        self.run, self.settings, self.accelerator = run, optimizer, accelerator
        self.watch, self.watch_every = watch, watch_every
        if run.batch % accelerator.num_processes:
            raise InvalidInput(f"A batch of {run.batch} cannot be shared by {accelerator.num_processes} processes.")
        model.to(accelerator.device)
        self.trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.trained.values(), lr=optimizer.rate, weight_decay=optimizer.weight_decay
        )
        self.average = EMAModel(self.trained.values(), decay=run.average) if run.average else None
        self.steps = run.steps or math.ceil(run.epochs * len(sounds.learned) / run.batch)
        self.step, self.spent, self.at_once = 0, 0.0, run.at_once
        self.stop = False

    # The state: what is trained, and what the model notes beside it (a codec's codebooks), not what is frozen.

    def _state(self) -> dict[str, Any]:
        own = {**self.trained, **dict(self.model.named_buffers())} if self._notes() else self.trained
        return {
            "model": {name: value.detach() for name, value in own.items()},
            "average": None if self.average is None else self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "at_once": self.at_once,
            "journal": self.journal.state(),
        }

    def _notes(self) -> bool:
        return all(value.requires_grad for value in self.model.parameters())

    def _restore(self, state: dict[str, Any]) -> None:
        given = state["model"]
        if not self.trained.keys() <= given.keys():
            raise DcldmError(f"The checkpoints in {self.folder} are of another part; choose another `out`.")
        self.model.load_state_dict(given, strict=False)
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
            self.average.to(self.accelerator.device)
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent, self.at_once = int(state["step"]), float(state["spent"]), int(state["at_once"])

    def _save(self) -> None:
        if not all(bool(torch.isfinite(value).all()) for value in self.trained.values()):
            raise DcldmError(
                f"The weights are no numbers any more at step {self.step:,}; choose a smaller rate in [optimizer], "
                "or clip = 1. The last checkpoint is from before."
            )
        if self.accelerator.is_main_process:
            checkpoints.save(self._state(), self.folder / "checkpoints", self.step, self.run.keep)

    # The loop.

    def run_through(self) -> int:
        say = self.accelerator.print
        state = checkpoints.newest(self.folder / "checkpoints", say)
        if state is not None:
            self._restore(state)
            say(f"Going on from step {self.step:,}.")
        self.journal = Journal(self.folder, self.accelerator, state and state["journal"], self.step, self.run.log_steps)
        self.at_once = self.at_once or self._find_at_once()
        if self.run.batch // self.accelerator.num_processes % self.at_once:
            raise InvalidInput(f"at_once = {self.at_once} does not divide the batch of a process; choose a divisor.")
        self.model.train()
        with checkpoints.room(self.folder), self.journal, self._told_to_end():
            if self.step == 0:
                self._measure()
            if self._progress() < 1.0:
                self._until_done()
                if not self.stop:
                    self._measure()
                self._save()
            if self.stop:
                raise Cancelled
        if self.average is not None:
            self.average.copy_to(self.trained.values())
        self.model.eval()
        return self.step

    def _until_done(self) -> None:
        saved = self.spent
        while not self.stop and self._progress() < 1.0:
            started = time.perf_counter()
            self._one_step()
            self.spent += time.perf_counter() - started
            self._agree()
            self.journal.end_step(self.step, self.spent, self._progress())
            # Before the checkpoint, so that what is in one has been measured.
            if self.watch_every and self.step % self.watch_every == 0 and self._progress() < 1.0:
                self._measure()
            if self.spent - saved >= 60.0 * self.run.save_minutes:
                self._save()
                saved = self.spent

    def _progress(self) -> float:
        """0 … 1 of the budget."""
        return self.step / self.steps if self.steps else self.spent / (60.0 * self.run.minutes)

    def _one_step(self) -> None:
        settings = self.settings
        rate = settings.rate * min(1.0, (self.step + 1) / max(1, settings.warm_up))
        rate *= max(settings.last_share, 1.0 - self._progress())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        self.journal.add(self._backward(self.step, self.at_once))
        self._share_gradients()
        if settings.clip:
            nn.utils.clip_grad_norm_(self.trained.values(), settings.clip)
        self.optimizer.step()
        if self.average is not None:
            self.average.step(self.trained.values())
        self.step += 1

    def _backward(self, step: int, at_once: int) -> list[dict[str, Tensor]]:
        """Gradients of this process' share of a step's batch, in portions."""
        torch.manual_seed(int(np.random.default_rng([self.run.seed, step, 0]).integers(2**63)))
        terms = []
        for draw in self._draws(step, at_once):
            with self.accelerator.autocast():
                each = self.loss(self.model, draw)
            weighted = each["total"] * (len(draw.rows) * self.accelerator.num_processes / draw.batch)
            weighted.backward()
            terms.append({name: value.detach() for name, value in each.items()})
        return terms

    def _draws(self, step: int, at_once: int) -> Iterator[Draw]:
        batch = self.run.batch
        share = batch // self.accelerator.num_processes
        first = self.accelerator.process_index * share
        learned = self.sounds.learned
        rows = learned[rows_at(self.run.seed, len(learned), step * batch + first, share)]
        for start in range(0, share, at_once):
            part = slice(start, start + at_once)
            places = np.arange(first, first + share)[part]
            yield Draw(self.run.seed, step, rows[part], places, batch, self.accelerator.device)

    def _share_gradients(self) -> None:
        """The mean over all processes, in one message."""
        if self.accelerator.num_processes == 1:
            return
        values = [value for value in self.trained.values() if value.grad is not None]
        flat = torch.cat([value.grad.flatten() for value in values if value.grad is not None])
        flat = self.accelerator.reduce(flat, "mean")
        for value, mean in zip(values, flat.split([value.numel() for value in values]), strict=True):
            value.grad = mean.view_as(value)

    def _agree(self) -> None:
        """Time and the wish to end are the first process'."""
        if self.accelerator.num_processes > 1:
            both = torch.tensor([self.spent, float(self.stop)], device=self.accelerator.device, dtype=torch.float64)
            if not self.accelerator.is_main_process:
                both.zero_()
            self.spent, stop = self.accelerator.reduce(both, "sum").tolist()
            self.stop = bool(stop)

    def _find_at_once(self) -> int:
        """The largest portion of which forward and backward fit into memory."""
        share = self.run.batch // self.accelerator.num_processes
        most = MOST_ON_CPU if self.accelerator.device.type == "cpu" else share
        for count in (count for count in range(min(most, share), 0, -1) if share % count == 0):
            try:
                draw = next(self._draws(0, count))
                with self.accelerator.autocast():
                    total = self.loss(self.model, draw)["total"]
                total.backward()  # type: ignore[no-untyped-call]
                return count
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            finally:
                self.optimizer.zero_grad()
                if self.accelerator.device.type == "cuda":
                    torch.cuda.empty_cache()
        raise DcldmError("Not even one sound fits into memory; set checkpointing = true in [run], or precision.")

    # What is seen.

    def _measure(self) -> None:
        """Loss on what is held out, and what `watch` renders, both with the averaged weights."""
        main = self.accelerator.is_main_process
        self.journal.flush(self.step, self.spent, self._progress())
        with self._averaged(), torch.no_grad():
            self.model.eval()
            if main and len(self.sounds.held_out):
                self.journal.held_out(self.step, self._held_out())
            if main and self.watch is not None:
                self.watch(self.step)
            self.model.to(self.accelerator.device)  # a chain that was looked through may have sent it away
            self.model.train()
        self.accelerator.wait_for_everyone()

    def _held_out(self) -> dict[str, float]:
        rows = np.resize(self.sounds.held_out, max(HELD_OUT_SOUNDS, len(self.sounds.held_out)))
        sums: dict[str, list[float]] = {}
        for start in range(0, len(rows), self.at_once):
            places = np.arange(len(rows))[start : start + self.at_once]
            draw = Draw(HELD_OUT_SEED, 0, rows[places], places, len(rows), self.accelerator.device)
            torch.manual_seed(start)
            with self.accelerator.autocast():
                terms = self.loss(self.model, draw)
            for name, value in terms.items():
                if math.isfinite(float(value)):
                    sums.setdefault(name, []).append(float(value))
        return {name: sum(values) / len(values) for name, values in sums.items()}

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        if self.average is None or self.step == 0:
            yield
            return
        kept = {name: value.detach().clone() for name, value in self.trained.items()}
        self.average.copy_to(self.trained.values())
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in self.trained.items():
                    value.copy_(kept[name])

    @contextmanager
    def _told_to_end(self) -> Iterator[None]:
        """Ctrl-C, or a request to end, lets the step be finished and saved."""

        def note(number: int, frame: FrameType | None) -> None:
            self.stop = True

        if threading.current_thread() is not threading.main_thread():  # which alone may be told
            yield
            return
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
