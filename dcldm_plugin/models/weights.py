"""Reading other people's weights: tensors by name, and nothing that a file could make run.

Pickled files (`.bin`, `.ckpt`) are read with torch's `weights_only`, so that a hostile one is refused and
not executed. Models are built on the meta device and filled with the tensors of the file, so that nothing
is drawn at random and nothing is in memory twice.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audiocraft import BROKEN_FILE

LARGEST_JSON = 1_000_000  # bytes


def read_tensors(path: Path, what: str, wrappers: Sequence[str] = ("state_dict", "model")) -> dict[str, Tensor]:
    """All tensors of a safetensors file or of a torch pickle, on the CPU. `what` names it in the sentence.

    wrappers: under which names they are in a training checkpoint; by default Lightning's and `model`. Raises
    `DcldmError` when the file is missing, cut short, hostile or something else.
    """
    damaged = f"{path} is damaged or is not {what}; download it again."
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on other versions of pickle
            mapped = zipfile.is_zipfile(path)  # older files cannot be mapped into memory
            with torch.serialization.safe_globals(numpy_data()):
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except FileNotFoundError as error:
        raise DcldmError(f"There is no file {path}, which is to hold {what}; download it.") from error
    except OSError as error:
        raise DcldmError(f"{path} cannot be read ({error.strerror or error}); check its permissions.") from error
    except (*BROKEN_FILE, SafetensorError) as error:
        raise DcldmError(damaged) from error
    for wrapper in wrappers:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise DcldmError(damaged)
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()):
        raise DcldmError(damaged)
    return dict(content)


def numpy_data() -> list[Any]:
    """What torch's safe reader needs for the numbers and arrays of numpy in a file: their makers, which run nothing.

    For `torch.serialization.safe_globals`; each also under its name before numpy 2.
    """
    scalar, array = np.float64(0.0).__reduce__()[0], np.empty(0).__reduce__()[0]
    dtypes = [type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float32", "float64")]
    old = [(scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct")]
    return [scalar, array, *old, np.ndarray, np.dtype, *dtypes]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises `DcldmError` when it is missing or something else."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(LARGEST_JSON))
    except FileNotFoundError as error:
        raise DcldmError(f"There is no file {path}; download the model again.") from error
    except OSError as error:
        raise DcldmError(f"{path} cannot be read ({error.strerror or error}); check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise DcldmError(f"{path} is not valid JSON; download the model again.") from error
    if not isinstance(content, dict):
        raise DcldmError(f"{path} does not hold a JSON object; download the model again.")
    return content


def renamed(name: str, rules: Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]) -> str:
    """`name` after all regular expressions of `rules`, in their order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def count(tensors: Collection[str], pattern: str) -> int:
    """How many names match `pattern` as a whole: the number of layers, say."""
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def fill(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    what: str,
    *,
    new: str | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Put `tensors` in the places of a module on the meta device (or any other), strictly.

    new: a part of the names (".acoustic.") that may, and must, be missing in `tensors`: what was added to
    the module and keeps the values that it has. `what` begins the sentence ("The file … is not …").
    Raises `DcldmError` for a tensor too few, one too many, or one of another shape.
    """
    places = {name: value.shape for name, value in module.state_dict().items() if new is None or new not in name}
    missing, unexpected = sorted(places.keys() - tensors.keys()), sorted(tensors.keys() - places.keys())
    if missing:
        raise DcldmError(f"{what}: {len(missing)} tensors are missing ({missing[0]} first); download it again.")
    if unexpected:
        raise DcldmError(f"{what}: {len(unexpected)} tensors are unknown ({unexpected[0]} first); download it again.")
    for name, shape in places.items():
        if tensors[name].shape != shape:
            raise DcldmError(
                f"{what}: {name} has the shape {list(tensors[name].shape)} and not {list(shape)}; download it again."
            )
    converted = {
        name: value.to(dtype, copy=True) if value.is_floating_point() else value.clone()
        for name, value in tensors.items()
    }
    module.load_state_dict(converted, strict=new is None, assign=True)
