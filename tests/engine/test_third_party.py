"""Backends of others: a package that is installed and runs, packages that can't be used, and what shares the memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import soundfile

from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.engine.protocol import EngineEvent, Progress
from dcldm_plugin.types import GenerationRequest

EXAMPLE = Path(__file__).parents[1] / "example_backend"
WEIGHTS_BYTES = 150_000_000  # of each of its models
BROKEN = {
    "raises": "raise RuntimeError('no such\\nluck')",
    "exits": "import sys; sys.exit(3)",
    "nothing": "THERE = 5",
    "twice": ("from dcldm_plugin.engine.registry import TONE, Entry\nTHERE = Entry(TONE, 'somewhere:else')"),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has put the example, from its source, without asking anybody."""
    root = tmp_path_factory.mktemp("third-party")
    source = shutil.copytree(EXAMPLE, root / "source")  # pip builds in place
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*pip, "--target", str(root / "target"), str(source)], check=True)
    return root / "target"


def environment(*folders: Path) -> dict[str, str]:
    """With folders of packages in front."""
    path = [*map(str, folders), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def dcldm(home: Path, *arguments: str, folders: tuple[Path, ...]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dcldm_plugin", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(*folders), cwd=home)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder of packages none of which can be used."""
    folder = tmp_path / "broken"
    for name, code in BROKEN.items():
        about = folder / f"{name}_backend-1.0.dist-info"
        about.mkdir(parents=True)
        (folder / f"{name}_backend.py").write_text(code, encoding="utf-8")
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-backend\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[dcldm.backends]\n{name} = {name}_backend:THERE\n")
    return folder


def test_a_package_of_backends_runs_beside_broken_ones(installed: Path, broken: Path, tmp_path: Path) -> None:
    listed = dcldm(tmp_path, "models", "list", folders=(installed, broken))
    assert listed.returncode == 0 and "example-noise" in listed.stdout and "builtin" in listed.stdout
    sentences = listed.stderr.splitlines()
    assert len(sentences) == len(BROKEN), listed.stderr
    for name, what in (
        ("raises", "RuntimeError: no such luck"),
        ("exits", "SystemExit: 3"),
        ("nothing", "is no registry Entry"),
        ("twice", "has the name of another, 'tone'"),
    ):
        assert any(f"The backend {name!r}" in line and what in line for line in sentences), listed.stderr

    asked = ("generate", "wind", "--model", "example-noise", "--seconds", "0.2", "--seed", "4", "--json")
    made = dcldm(tmp_path, *asked, folders=(installed, broken))
    assert made.returncode == 0, made.stderr
    clip = json.loads(made.stdout)
    assert (clip["channels"], clip["sample_rate"], clip["model"]) == (2, 48_000, "example-noise")
    assert soundfile.info(clip["path"]).channels == 2


def test_models_stay_while_they_fit_and_give_their_memory_back(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other with room for both; then one that leaves room for nothing else."""
    monkeypatch.setenv("PYTHONPATH", environment(installed)["PYTHONPATH"])
    engine = EngineProcess(tmp_path, idle_seconds=1e6, patience_seconds=120.0)

    def run(model: str) -> tuple[int, list[str]]:
        """The memory of the engine's process afterwards, and the stages that were announced."""
        stages: list[str] = []

        def listen(event: EngineEvent) -> None:
            if isinstance(event, Progress) and event.stage not in stages:
                stages.append(event.stage)

        engine.run(GenerationRequest.create("wind", seconds=0.1, seed=1, model=model), listen)
        assert engine.pid is not None
        return psutil.Process(engine.pid).memory_info().rss, stages

    try:
        run("example-noise")
        run("tone")  # has torch imported, to ask how much memory is free
        before, _ = run("example-noise")
        both, stages = run("example-other")
        assert not any(stage.startswith("unloading") for stage in stages)
        assert both - before > 0.9 * WEIGHTS_BYTES
        assert run("example-noise")[1] == ["denoising"]  # is there still
        alone, stages = run("example-large")
        assert [stage for stage in stages if "unloading" in stage][-2:] == [
            "unloading example-other",
            "unloading example-noise",
        ]
        assert both - alone > 0.9 * WEIGHTS_BYTES  # two went, one came
    finally:
        engine.close()
    assert engine.pid is None
