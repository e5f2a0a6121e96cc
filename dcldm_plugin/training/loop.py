"""One training loop for every part: a time budget, a moving average, and checkpoints that survive a kill."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

LossFunction = Callable[[nn.Module, np.random.Generator], dict[str, Tensor]]
"""`loss(model, random)`: draws its own batch from `random` and returns terms; "total" is minimised."""


def train(
    model: nn.Module,
    loss: LossFunction,
    folder: Path,
    *,
    minutes: float,
    rate: float,
    seed: int = 0,
    weight_decay: float = 1e-2,
    warm_up: int = 100,
    average: float = 0.999,
    save_every: float = 120.0,
) -> nn.Module:
    """Train for `minutes` of wall time in all, over any number of calls, and return the moving average.

    AdamW, linear warm-up, then the rate falls linearly to a twentieth with the budget spent. What is random in a
    step depends on (seed, step) alone. `folder/state.pt` holds everything and is replaced atomically;
    `folder/log.jsonl` has the loss terms, averaged over 50 steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=weight_decay)
    averaged = deepcopy(model).requires_grad_(False)
    step, spent = 0, 0.0
    state_file = folder / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        averaged.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = int(state["step"]), float(state["spent"])

    def save() -> None:
        part = state_file.with_suffix(".part")
        torch.save(
            {
                "model": model.state_dict(),
                "average": averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent,
            },
            part,
        )
        os.replace(part, state_file)

    sums: dict[str, float] = {}
    saved, budget = spent, minutes * 60.0
    model.train()
    while spent < budget:
        started = time.perf_counter()
        decay = max(0.05, 1.0 - spent / budget)
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / warm_up) * decay
        random = np.random.default_rng([seed, step])
        torch.manual_seed(int(random.integers(2**63)))  # what a loss leaves to torch is as resumable
        terms = loss(model, random)
        optimizer.zero_grad()
        terms["total"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        keep = min(average, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(averaged.parameters(), model.parameters(), strict=True):
                mean.lerp_(value, 1.0 - keep)
            for kept, current in zip(averaged.buffers(), model.buffers(), strict=True):
                kept.copy_(current)
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + float(term.detach())
        spent += time.perf_counter() - started
        if step % 50 == 0:
            line = {"step": step, "seconds": round(spent, 1)}
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(line | {name: round(value / 50, 5) for name, value in sums.items()}))
                log.write("\n")
            sums = {}
        if spent - saved > save_every:
            save()
            saved = spent
    save()
    return averaged
