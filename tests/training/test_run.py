"""Whole runs as a user starts them: killed at any time, shown on a page, and loaded by what makes sounds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dcldm_plugin.models import checkpoint
from dcldm_plugin.training.run import main

CONFIG = """
part = "transformer"
base = "{base}"
out = "{out}"
title = "Tiny & small"
[data]
source = "{sounds}"
held_out = 0.2
[optimizer]
rate = 1e-3
warm_up = 4
[run]
steps = {steps}
batch = 4
log_steps = 5
average = 0.9
save_minutes = 0.0
[samples]
every = 40
count = 1
seconds = 1.28
"""


def config(folder: Path, base: Path, sounds: Path, steps: int = 30) -> Path:
    folder.mkdir(parents=True)
    path = folder / "train.toml"
    path.write_text(CONFIG.format(base=base, sounds=sounds, steps=steps, out=folder / "out"))
    return path


def started(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dcldm_plugin", "train", str(path), "--home", str(path.parent / "home")]
    group = {"process_group": 0} if sys.platform != "win32" else {}
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, **group)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    newest = max((folder / "out" / "checkpoints").iterdir())
    state: dict[str, torch.Tensor] = torch.load(newest, weights_only=True)["model"]
    return state


def log(folder: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.timeout(900)
def test_a_killed_run_is_bit_by_bit_the_one_that_was_not(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    path = config(tmp_path / "killed", tiny_model, sounds, steps=150)
    run = started(path)
    checkpoints = path.parent / "out" / "checkpoints"
    deadline = time.monotonic() + 600
    while not list(checkpoints.glob("step-*.pt")):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(run.pid, signal.SIGKILL)  # the command and what it started
    run.communicate()
    reached = int(max(checkpoints.glob("step-*.pt")).stem.removeprefix("step-"))
    assert 0 < reached < 150
    again = started(path)
    printed = again.communicate(timeout=600)[0].decode()
    assert again.returncode == 0 and "Going on from step" in printed

    whole = config(tmp_path / "whole", tiny_model, sounds, steps=150)
    torch.set_num_threads(1)
    assert main([str(whole)]) == 0
    one, other = weights(path.parent), weights(whole.parent)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert log(path.parent) == log(whole.parent)
    models = [folder / "out" / "model" / "denoiser.safetensors" for folder in (path.parent, whole.parent)]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_run_leaves_a_model_and_a_page(
    tiny_model: Path, sounds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(tmp_path / "run", tiny_model, sounds, steps=6)
    assert main([str(path)]) == 0
    printed = capsys.readouterr().out
    out = path.parent / "out"
    assert "snr_gamma = 0.0" in printed and f"--model {out / 'model'}" in printed
    model, version = checkpoint.read(out / "model")
    described = json.loads((out / "model" / "config.json").read_text())
    assert (described["title"], described["licence"], described["commercial_use"]) == (
        "Tiny & small", "CC-BY-SA-4.0", True,
    )  # fmt: skip
    assert {path.name for path in (out / "model").iterdir()} >= {"train.toml", "curve.csv", "data.json"}
    assert str(tmp_path) not in "".join(path.read_text() for path in (out / "model").glob("*.[tcj]*"))
    page = (out / "page.html").read_text()
    assert "Tiny &amp; small" in page and "polyline" in page and "dB from the recorded" in page
    for name in ("samples/step-000000000/0", "samples/step-000000006/0", "samples/step-000000006/0-recorded"):
        assert f'src="{name}.wav"' in page and (out / f"{name}.wav").is_file() and (out / f"{name}.png").is_file()
    before = (out / "model" / "denoiser.safetensors").read_bytes()
    assert main([str(path)]) == 0  # done: nothing is learned twice
    assert (out / "model" / "denoiser.safetensors").read_bytes() == before
    assert version and model


def test_half_precision_learns_too(tiny_model: Path, sounds: Path, tmp_path: Path) -> None:
    path = config(tmp_path / "half", tiny_model, sounds, steps=2)
    path.write_text(path.read_text().replace("batch = 4", 'batch = 4\nprecision = "bf16"'))
    run = started(path)  # in a process of its own: accelerate keeps one precision
    run.communicate(timeout=300)
    assert run.returncode == 0
    read = [weights(path.parent), checkpoint.read(tiny_model)[0].denoiser.state_dict()]
    assert all(bool(torch.isfinite(value).all()) for value in read[0].values())
    assert any(not torch.equal(value, read[1][name]) for name, value in read[0].items())


def test_what_is_wrong_is_a_sentence(tmp_path: Path, sounds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path / "a", tmp_path / "nowhere", sounds)
    assert main([str(path)]) == 2
    assert "There is no base" in capsys.readouterr().err
    assert main([str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main([str(path), "--check"]) == 0
    assert "[samples]" in capsys.readouterr().out
