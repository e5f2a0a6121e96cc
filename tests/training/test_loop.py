"""The training loop: it learns, survives being killed, and does the same in any number of portions."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.training import checkpoints
from dcldm_plugin.training.config import Optimizer, Run
from dcldm_plugin.training.draw import Draw, normal, rows_at
from dcldm_plugin.training.loop import Sounds, train

SOUNDS = Sounds(np.arange(10), np.arange(10, 12))


def line(model: nn.Module, draw: Draw) -> dict[str, Tensor]:
    """Fits 2 x + 1; x is the sound's own draw and its row."""
    x = normal(draw.own(), (4, 1), draw.device) + torch.from_numpy(draw.rows)[:, None, None] / 10.0
    error = (model(x) - (2.0 * x + 1.0)).square().mean()
    return {"total": error, "never": torch.tensor(float("nan"))}


def fitted(folder: Path, steps: int, **more: float) -> nn.Linear:
    torch.manual_seed(3)
    model = nn.Linear(1, 1)
    run = Run(steps=steps, batch=4, log_steps=4, average=0.9, **more)  # type: ignore[arg-type]
    train(model, line, folder, SOUNDS, run, Optimizer(rate=0.05, clip=1.0))
    return model


def log(folder: Path) -> list[dict[str, float]]:
    return [
        {name: value for name, value in json.loads(text).items() if name != "seconds"}
        for text in (folder / "log.jsonl").read_text().splitlines()
    ]


def test_it_learns_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = fitted(tmp_path, 120)
    assert abs(float(model.weight.detach()) - 2.0) < 0.2
    lines = log(tmp_path)
    learned = [each["total"] for each in lines if "total" in each]
    assert len(learned) == 30 and learned[-1] < 0.1 * learned[0]
    assert all("never" not in each for each in lines)
    assert [each["step"] for each in lines if "held out" in each] == [0, 120]
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
    assert not list(tmp_path.rglob("*.part"))
    told = capsys.readouterr().err
    assert "100%" in told and "steps/s" in told and "held out" in told


def test_every_sound_comes_once_an_epoch() -> None:
    first, second = rows_at(1, 10, 0, 10), rows_at(1, 10, 10, 10)
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    assert list(rows_at(1, 10, 7, 6)) == [*first[7:], *second[:3]]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = fitted(tmp_path / "whole", 23)
    # The budget is spent by rate alone, so a shorter run is another one: stop the same one in its middle.
    torch.manual_seed(3)
    model, seen = nn.Linear(1, 1), 0

    def stopping(module: nn.Module, draw: Draw) -> dict[str, Tensor]:
        nonlocal seen
        seen += module.training
        if seen == 12:
            raise KeyboardInterrupt
        return line(module, draw)

    run = Run(steps=23, batch=4, log_steps=4, average=0.9, save_minutes=0.0)
    with pytest.raises(KeyboardInterrupt):
        train(model, stopping, tmp_path / "parts", SOUNDS, run, Optimizer(rate=0.05, clip=1.0))
    again = fitted(tmp_path / "parts", 23)
    assert torch.equal(whole.weight, again.weight) and torch.equal(whole.bias, again.bias)
    assert log(tmp_path / "whole") == log(tmp_path / "parts")


def test_portions_do_not_change_what_is_learned(tmp_path: Path) -> None:
    one, four = fitted(tmp_path / "1", 8, at_once=4), fitted(tmp_path / "4", 8, at_once=1)
    torch.testing.assert_close(one.weight, four.weight, rtol=1e-5, atol=1e-6)
    with pytest.raises(InvalidInput, match="divisor"):
        fitted(tmp_path / "3", 8, at_once=3)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted(tmp_path, 6, save_minutes=0.0)
    first, last = sorted((tmp_path / "checkpoints").glob("step-*.pt"))
    assert (first.name, last.name) == ("step-000000005.pt", "step-000000006.pt")
    last.write_bytes(last.read_bytes()[:200])
    fitted(tmp_path, 6)
    told = capsys.readouterr().out
    assert "is damaged" in told and "step 5" in told


def test_the_largest_portion_that_fits_is_found(tmp_path: Path) -> None:
    largest = []

    def greedy(model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        largest.append(len(draw.rows))
        if len(draw.rows) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return line(model, draw)

    torch.manual_seed(3)
    train(nn.Linear(1, 1), greedy, tmp_path, SOUNDS, Run(steps=2, batch=8), Optimizer())
    assert largest[:3] == [8, 4, 2] and max(largest[3:]) == 2


def test_weights_that_are_no_numbers_are_not_kept(tmp_path: Path) -> None:
    def diverging(model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        return {"total": line(model, draw)["total"] * (float("inf") if draw.step == 3 else 1.0)}

    torch.manual_seed(3)
    run = Run(steps=9, batch=4, save_minutes=0.0)
    with pytest.raises(DcldmError, match="no numbers any more at step 4"):
        train(nn.Linear(1, 1), diverging, tmp_path, SOUNDS, run, Optimizer())
    state = checkpoints.newest(tmp_path / "checkpoints", print)
    assert state is not None and state["step"] == 3


TWO = """
import sys, torch
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_loop import fitted
model = fitted(Path(sys.argv[1]), 3)
torch.save(model.state_dict(), Path(sys.argv[1]) / f"weights-{{sys.argv[2]}}.pt")
"""


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = tmp_path / "two.py"
    script.write_text(TWO.format(folder=str(Path(__file__).parent)))
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path), str(rank)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for process in processes:
        assert process.communicate(timeout=280)[1] is not None and process.returncode == 0
    alone = fitted(tmp_path / "alone", 3)
    for rank in range(2):
        weights = torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True)
        torch.testing.assert_close(weights["weight"], alone.weight.detach(), rtol=1e-6, atol=1e-7)
    assert len(log(tmp_path)) == len(log(tmp_path / "alone"))


FULL = """
import resource, sys
from pathlib import Path
import torch
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.training import checkpoints
folder = Path(sys.argv[1])
checkpoints.save({"step": 1, "values": torch.zeros(100)}, folder, 1, 2)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    checkpoints.save({"step": 2, "values": torch.zeros(100_000)}, folder, 2, 1)
except DcldmError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_no_room_is_a_sentence_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=250)
    assert "There is no room left" in done.stdout, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000001.pt"]
    state = checkpoints.newest(tmp_path, print)
    assert state is not None and state["step"] == 1


def test_checkpoints_of_another_part_are_refused(tmp_path: Path) -> None:
    fitted(tmp_path, 2)
    with pytest.raises(DcldmError, match="another part"):
        train(nn.Sequential(nn.Linear(1, 1)), line, tmp_path, SOUNDS, Run(steps=4, batch=4), Optimizer())
