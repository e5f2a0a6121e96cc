"""Model cards of what was trained, and the licence of a base, which nobody may drop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dcldm_plugin.__main__ import main
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.publish import publish

BASE = {"name": "builtin", "version": "0123456789ab", "licence": "CC-BY-SA-4.0"}


def trained(folder: Path, base: dict[str, str] | None = None, **more: Any) -> Path:
    config = {"version": "ba9876543210", "title": "My sounds", "commercial_use": True, "base": base}
    config |= {"licence": base["licence"] if base else "", **more}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "train.toml").write_text('part = "adapter"\n')
    facts = {"sounds": 3, "held_out": 1, "left_out": 1, "files": ["a.wav", "b.wav"], "captions": ["rain", "wind"]}
    (folder / "data.json").write_text(json.dumps(facts))
    rows = "".join(f"learned,{step},{1 / (step + 1)}\n" for step in range(0, 1000, 10))
    (folder / "curve.csv").write_text("set,step,total\n" + rows + "held out,0,0.9\nheld out,1000,0.5\n")
    return folder


def test_a_card_tells_the_whole_story(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scores.md").write_text("top-1 0.30 (chance 0.05)")
    trained(tmp_path, BASE)
    arguments = ["models", "publish", str(tmp_path), "--scores", str(tmp_path / "scores.md")]
    assert main([*arguments, "--home", str(tmp_path / "home")]) == 0
    card = Path(capsys.readouterr().out.strip()).read_text()
    for words in (
        "My sounds", "ba9876543210", "**CC-BY-SA-4.0.** Clips may be sold", "Made from builtin", "0123456789ab",
        "3 sounds from 2 files; 1 more were held out, 1 could not be used", "rain; wind", "| learned | 990 | 0.0010 |",
        "| held out | 1000 | 0.5000 |", "top-1 0.30", 'part = "adapter"',
    ):  # fmt: skip
        assert words in card
    assert card.count("| learned |") <= 12


@pytest.mark.parametrize(
    ("base", "licence"),
    [
        ("CC-BY-SA-4.0", "MIT"),
        ("CC-BY-SA-4.0", "CC-BY-4.0"),
        ("CC-BY-NC-4.0", "CC-BY-SA-4.0"),
        ("CC-BY-NC-SA-4.0 (its page), CC-BY-NC-ND-4.0 (its code)", "CC-BY-NC-SA-4.0"),
        ("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"),
    ],
)
def test_the_bases_licence_stays(base: str, licence: str, tmp_path: Path) -> None:
    trained(tmp_path, BASE | {"licence": base})
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(InvalidInput, match="Publish under the base's licence"):
        publish(tmp_path, licence, None)
    assert (tmp_path / "config.json").read_bytes() == before and not (tmp_path / "MODEL_CARD.md").exists()


def test_stricter_is_allowed_where_the_base_allows_it(tmp_path: Path) -> None:
    trained(tmp_path, BASE | {"licence": "CC-BY-4.0"})
    publish(tmp_path, "CC-BY-NC-4.0", None)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["licence"] == "CC-BY-NC-4.0" and config["commercial_use"] is False


def test_what_forbids_passing_on_is_said(tmp_path: Path) -> None:
    trained(tmp_path, BASE | {"licence": "CC-BY-NC-ND-4.0"}, commercial_use=False)
    assert "forbids passing on" in publish(tmp_path, None, None).read_text()


def test_a_model_from_nothing_needs_a_licence(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(InvalidInput, match="--licence"):
        publish(tmp_path, None, None)
    publish(tmp_path, "CC0-1.0", None)
    assert json.loads((tmp_path / "config.json").read_text())["commercial_use"] is True


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no model"):
        publish(tmp_path, None, None)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InvalidInput, match="does not describe"):
        publish(tmp_path, None, None)
    trained(tmp_path, BASE | {"licence": ""})
    with pytest.raises(InvalidInput, match="is not known"):
        publish(tmp_path, None, None)
