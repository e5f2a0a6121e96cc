"""The metrics against the code that the numbers of papers come from: `audioldm_eval`, loaded file by file."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from dcldm_plugin.evaluation.metrics import frechet_distance, inception_score, kl_sigmoid, kl_softmax

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


def paired(first: torch.Tensor, second: torch.Tensor) -> tuple[dict[str, object], dict[str, object]]:
    names = [f"{index}.wav" for index in range(len(first))]
    return {"logits": first, "file_path_": names}, {"logits": second, "file_path_": names}


@pytest.mark.parametrize("scale", [0.5, 6.0])
def test_divergences(oracle: LoadOracle, scale: float) -> None:
    made, reference = scale * features(50, 527, 1), scale * features(50, 527, 2)
    theirs, _, _ = oracle("kl").calculate_kl(*paired(made.double(), reference.double()), "logits")
    ours = kl_softmax(reference.numpy(), made.numpy()), kl_sigmoid(reference.numpy(), made.numpy())
    assert ours[0] == pytest.approx(theirs["kullback_leibler_divergence_softmax"], rel=1e-6)
    assert ours[1] == pytest.approx(theirs["kullback_leibler_divergence_sigmoid"], rel=1e-6)


def test_what_is_odd_in_them_is_kept() -> None:
    reference, made = np.full((1, 527), -4.0), np.zeros((1, 527))
    assert kl_sigmoid(reference, made) == pytest.approx(-31.5, abs=0.1)  # negative: no divergence of Bernoullis
    same = features(9, 30, 1).numpy()
    assert -1e-4 < kl_softmax(same, same) < 0.0


@pytest.mark.parametrize("count", [57, 10, 4])
def test_inception_score(oracle: LoadOracle, count: int) -> None:
    logits = 3.0 * features(count, 527, 1)
    splits = min(10, count)
    theirs = oracle("isc").calculate_isc({"x": logits}, "x", rng_seed=2020, samples_shuffle=True, splits=splits)
    assert inception_score(logits.numpy()) == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
