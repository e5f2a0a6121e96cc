"""The table of models, and folders in the place of names."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from dcldm_plugin.backends.dcldm import BUILTIN_FOLDER
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.sources import MODELS
from dcldm_plugin.types import GenerationRequest, unheard


def test_each_model_of_the_table_has_a_factory_that_is_there() -> None:
    entries = registry.models()
    assert set(MODELS) <= set(entries)
    for name, entry in entries.items():
        module, _, function = entry.factory.partition(":")
        assert entry.info.name == name and registry.describe(name) == entry.info
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        assert f"def {function}(report: Report, name: str" in Path(spec.origin).read_text(encoding="utf-8")


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidInput, match="no model named 'nonesuch'; choose one of: builtin"):
        registry.describe("nonesuch")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUILTIN_FOLDER, tmp_path / "mine"))


def test_a_folder_is_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    name = registry.full_name("./mine")
    assert name == str(folder) and registry.full_name("tango") == "tango"
    info = registry.describe(name)
    assert (info.name, info.sample_rate, info.band_hz) == (str(folder), 16_000, registry.BUILTIN.band_hz)
    assert info.steps == registry.BUILTIN.steps
    assert "not stated" in info.licence and not info.commercial_use  # until its maker says so
    backend = registry.load(name, unheard)
    assert backend.info.name == name and backend.info.version == info.version
    request = GenerationRequest.create("rain", seconds=0.5, seed=1, model=name)
    (take,) = backend.render(request, unheard)
    assert take.samples.shape == (1, 8_000)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no model in"):
        registry.describe(str(tmp_path / "nowhere"))
    for content in ("", "[]", "{}", json.dumps({"sizes": {"chain": {"mel": 3}}}), "\0", "[" * 100_000):
        (folder / "config.json").write_text(content, encoding="utf-8")
        with pytest.raises(InvalidInput, match="does not describe a model"):
            registry.describe(str(folder))
