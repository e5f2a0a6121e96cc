"""The metrics against the code that the numbers of papers come from: `audioldm_eval`, loaded file by file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dcldm_plugin.evaluation.metrics import frechet_distance

LoadOracle = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def oracle() -> LoadOracle:
    """Its metrics, each a module of its own: the package itself imports far more than is there."""
    spec = importlib.util.find_spec("audioldm_eval")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("python -m pip install --no-deps audioldm-eval==0.0.3")
    folder = Path(spec.submodule_search_locations[0]) / "metrics"

    def load(name: str) -> ModuleType:
        found = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    return load


def features(count: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    return torch.randn(count, width, generator=generator) @ mixing + 0.3 * seed


@pytest.mark.filterwarnings("ignore:The `disp` argument is deprecated")
@pytest.mark.parametrize(("count", "width", "tolerance"), [(400, 32, 1e-6), (60, 128, 1e-4)])
def test_frechet_distance(oracle: LoadOracle, count: int, width: int, tolerance: float) -> None:
    first, second = features(count, width, 1), features(count + 7, width, 2)
    theirs = oracle("fid").calculate_fid({"x": first.double()}, {"x": second.double()}, "x")["frechet_distance"]
    # Where N is smaller than the width, their root of a singular product is what is not exact.
    assert frechet_distance(first.numpy(), second.numpy()) == pytest.approx(theirs, rel=tolerance)


def test_frechet_distance_of_equal_sets_is_nought() -> None:
    same = features(50, 20, 1).numpy()
    assert frechet_distance(same, same) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(same, same + 2.0) == pytest.approx(20 * 4.0)
    assert np.isfinite(frechet_distance(same[:3], same))
