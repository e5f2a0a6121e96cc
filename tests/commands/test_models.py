"""`dcldm models`, as a user runs it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dcldm_plugin.__main__ import main

BLOCK_BYTES = 10 << 20  # huggingface_hub writes what it gets in blocks of this size
MAIN = "pytorch_model_main.bin"
ASK = """
import sys
from dcldm_plugin.__main__ import main
code = main(["models", *sys.argv[1:]])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""
FIELDS = {
    "name",
    "title",
    "licence",
    "commercial_use",
    "sample_rate",
    "channels",
    "longest_seconds",
    "installed",
    "size_bytes",
    "needs",
}


def command(home: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-c", ASK, *map(str, arguments), "--home", str(home)]


def environment(home: Path, hub: Any = None) -> dict[str, str]:
    address = hub.address if hub else "http://127.0.0.1:9"  # where nobody answers
    return {**os.environ, "HF_TOKEN": "", "HF_ENDPOINT": address, "HF_HOME": str(home / "no-token-here")}


def models(home: Path, *arguments: object, hub: Any = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(home, *arguments), capture_output=True, text=True, env=environment(home, hub))


def listed(home: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert main(["models", "list", "--json", "--home", str(home)]) == 0
    return {row["name"]: row for row in json.loads(capsys.readouterr().out)}


def described(home: Path, name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["models", "describe", name, "--json", "--home", str(home)]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_list_knows_every_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(tmp_path, capsys)
    assert all(row.keys() >= FIELDS for row in rows.values())
    assert rows["builtin"]["installed"] and rows["builtin"]["commercial_use"] and rows["builtin"]["needs"] == []
    assert rows["tango"]["needs"] == ["tango", "flan-t5-large"] and not rows["tango"]["installed"]
    assert not rows["dc-ldm-ag-vae-down-up-light"]["commercial_use"]
    result = models(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert {line.split()[0] for line in result.stdout.splitlines() if line} >= rows.keys()
    assert not (tmp_path / "models").exists()  # asking leaves nothing behind


def test_describe_tells_parameters_and_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = described(tmp_path, "dc-ldm-ag-down-up", capsys)
    assert answer["trainable_parameters"] == 876_616_968
    sources = {part["name"]: part["source"] for part in answer["parts"]}
    assert sources["tango"] == "https://huggingface.co/declare-lab/tango"
    assert sources["dc-ldm-ag-down-up"] == "trained by you"
    assert described(tmp_path, "builtin", capsys)["trainable_parameters"] is None


def test_describe_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["models", "describe", "audiogen-medium", "--home", str(tmp_path)])
    text = capsys.readouterr().out
    assert "CC-BY-NC-4.0" in text and "may not be sold" in text and "not installed" in text
    assert "t5-large (missing)" in text and "16000 Hz" in text
    assert "regenerate; no negative prompt; seeds: structure" in text and "about 8.37 GB, on cpu or cuda" in text
    main(["models", "describe", "builtin", "--home", str(tmp_path)])
    assert "may be sold" in capsys.readouterr().out


def test_killed_in_the_middle_and_taken_up_again(tmp_path: Path, hub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    hub.files["declare-lab/tango"][MAIN] = content = random.Random(1).randbytes(BLOCK_BYTES + 3_000_000)
    hub.break_after = BLOCK_BYTES + 1_000_000
    staging = tmp_path / "models" / "tango.part"
    with subprocess.Popen(
        command(tmp_path, "install", "tango"), env=environment(tmp_path, hub), stdout=subprocess.PIPE, text=True
    ) as first:
        assert hub.broken.wait(120)
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size >= BLOCK_BYTES for path in staging.glob(f"{MAIN}.*.part")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        first.kill()
        assert first.stdout is not None and "CC-BY-NC-SA-4.0" in first.stdout.read()  # told before it began
    hub.go_on.set()
    assert not listed(tmp_path, capsys)["tango"]["installed"]

    second = models(tmp_path, "install", "tango", hub=hub)
    assert (second.returncode, second.stderr) == (0, "")
    assert "works offline" in second.stdout
    assert [start for name, start in hub.ranges if name == MAIN] == [0, BLOCK_BYTES]
    assert (tmp_path / "models" / "tango" / MAIN).read_bytes() == content
    assert not staging.exists()

    row = listed(tmp_path, capsys)["tango"]
    assert row["installed"] and len(content) < row["size_bytes"] < len(content) + 20_000
    assert [part["source"] for part in described(tmp_path, "tango", capsys)["parts"]] == [
        f"{hub.address}/declare-lab/tango",
        f"{hub.address}/google/flan-t5-large",
    ]
    assert models(tmp_path, "install", "tango").returncode == 0  # verifies, and needs no hub for it

    removed = models(tmp_path, "remove", "tango")
    assert removed.returncode == 0 and f"{len(content) / 1e6:.1f} MB are free again" in removed.stdout
    assert not listed(tmp_path, capsys)["tango"]["installed"]


def test_a_model_without_its_adapter_says_what_is_missing(tmp_path: Path, hub: Any) -> None:
    result = models(tmp_path, "install", "dc-ldm-ag-down", hub=hub)
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "dc-ldm-ag-down is not complete yet: dc-ldm-ag-down missing."
    assert "--from FILE" in result.stdout


def test_from_a_folder_without_a_hub(tmp_path: Path) -> None:
    folder = tmp_path / "audiogen-medium"
    folder.mkdir()
    for name in ("state_dict.bin", "compression_state_dict.bin"):
        (folder / name).write_bytes(b"weights")
    result = models(tmp_path, "install", "audiogen-medium", "--from", folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert "not complete yet: t5-large missing" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["install", "tangoo"], 2, "There is no model named 'tangoo'"),
        (["describe", "tangoo"], 2, "There is no model named 'tangoo'"),
        (["remove", "tango"], 2, "not installed"),
        (["remove", "builtin"], 2, "can't be removed"),
        (["install", "tone"], 2, "needs no installing"),
        (["install"], 2, "Say which model"),
        (["list", "tango"], 2, "takes no name"),
        (["remove", "tango", "--from", "."], 2, "--from"),
        (["dance"], 2, "see `dcldm models --help`"),
    ],
)
def test_refusals_are_one_sentence(
    tmp_path: Path, arguments: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", *arguments, "--home", str(tmp_path)]) == code
    result = capsys.readouterr()
    assert sentence in result.err and result.err.count("\n") == 1 and result.out == ""


def test_a_licence_that_was_not_accepted_is_named_with_its_page(tmp_path: Path, hub: Any) -> None:
    repository = "stabilityai/stable-audio-open-1.0"
    hub.gated[repository] = set()
    result = models(tmp_path, "install", "stable-audio-open-1.0", hub=hub)
    page = f"{hub.address}/{repository}"
    assert result.returncode == 1 and f"to be accepted at {page}" in result.stdout and "US$1M" in result.stdout
    assert result.stderr.startswith(f"{page} wants its licence to be accepted first") and "HF_TOKEN" in result.stderr
    assert result.stderr.count("\n") == 1 and f"{hub.address}/settings/tokens" in result.stderr


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    result = models(tmp_path, "install", "tango")
    assert result.returncode == 1 and result.stdout == ""
    assert "can't be reached" in result.stderr and result.stderr.count("\n") == 1
