"""The training loop: it learns, it goes on where it was stopped, and its draws depend on the step alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dcldm_plugin.training.loop import train


class Draws:
    """Fits a line, and remembers what each step drew."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def __call__(self, model: nn.Module, random: np.random.Generator) -> dict[str, Tensor]:
        x = torch.from_numpy(random.standard_normal((64, 1), dtype=np.float32))
        self.seen.append(float(x[0]))
        error = (model(x) - (2.0 * x + 1.0)).square().mean()
        return {"total": error}


def test_it_learns_and_logs(tmp_path: Path) -> None:
    averaged = train(nn.Linear(1, 1), Draws(), tmp_path, minutes=1 / 60, rate=0.05, warm_up=1, average=0.9)
    assert isinstance(averaged, nn.Linear)
    assert abs(float(averaged.weight) - 2.0) < 0.1
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert lines[-1]["total"] < lines[0]["total"]
    assert not list(tmp_path.glob("*.part"))


def test_a_second_call_goes_on_with_the_next_step(tmp_path: Path) -> None:
    first, second, whole = Draws(), Draws(), Draws()
    model = nn.Linear(1, 1)
    train(model, first, tmp_path / "a", minutes=0.3 / 60, rate=0.01)
    state = torch.load(tmp_path / "a" / "state.pt", weights_only=True)
    assert state["step"] == len(first.seen)
    again = nn.Linear(1, 1)
    train(again, second, tmp_path / "a", minutes=0.6 / 60, rate=0.01)
    train(nn.Linear(1, 1), whole, tmp_path / "b", minutes=1.5 / 60, rate=0.01)
    both = first.seen + second.seen
    shared = min(len(both), len(whole.seen))
    assert second.seen and both[:shared] == whole.seen[:shared]


def test_a_spent_budget_only_reads(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    averaged = train(model, Draws(), tmp_path, minutes=0.3 / 60, rate=0.01)
    none = Draws()
    again = train(nn.Linear(1, 1), none, tmp_path, minutes=0.2 / 60, rate=0.01)
    assert not none.seen
    assert torch.equal(next(again.parameters()), next(averaged.parameters()))
