"""`dcldm evaluate`, run as its users run it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dcldm_plugin.__main__ import main
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.render import load


def test_a_model_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("aisfx", reason="python -m pip install --no-deps aisfx==0.1.2")
    report, clips = tmp_path / "report.json", tmp_path / "clips"
    arguments = ["tone", "--seeds", "2", "--seconds", "1", "--plain-only", "--json", str(report), "--keep", str(clips)]
    assert main(["evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    result = json.loads(report.read_text(encoding="utf-8"))
    assert (result["model"], result["n"]) == ("tone", 40)
    assert len(list(clips.glob("*.wav"))) == 40
    # A tone with a burst is beeps, if anything.
    assert result["top1"] < 0.2
    assert result["by_kind"]["rain"]["top1"] == 0.0
    assert result["top1"] <= result["top3"] <= result["top5"]
    assert 0.0 < result["diversity"] < 1.0
    assert result["repeats"] is True
    assert result["takes"][0]["prompt"] == "heavy rain"
    assert "real, by package" in printed
    assert f"{result['top1']:.2f}" in printed


def test_takes_are_those_of_generate(tmp_path: Path) -> None:
    from dcldm_plugin.evaluation.render import takes
    from dcldm_plugin.types import Sampling

    backend = load("tone")
    first, second = takes(backend, "rain", [3, 4], 1.0, Sampling())
    again = next(takes(backend, "rain", [4], 1.0, Sampling()))
    assert (first.seed, second.seed, first.rate) == (3, 4, 16_000)
    assert (second.audio == again.audio).all()
    assert not (first.audio == second.audio).all()


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no model named"):
        load("nonsense")
    with pytest.raises(InvalidInput, match="There is no model in"):
        load(str(tmp_path))
    assert main(["evaluate", "--seeds", "0"]) == 2


def test_help_comes_without_torch() -> None:
    code = (
        "import sys; from dcldm_plugin.__main__ import main\n"
        "try: main(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
