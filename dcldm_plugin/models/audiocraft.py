"""The one door to audiocraft: importing it, and reading the checkpoints that it writes.

audiocraft 1.3.0 declares torch 2.1 and imports its whole training code, but runs with a current torch
once the modules that only training needs are there by name. It is used as the reference of AudioGen and
to run MAGNeT; AudioGen itself runs without it (`audiogen.py`), from the same files.
"""

from __future__ import annotations

import importlib
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dcldm_plugin.errors import DcldmError

INSTALL = (
    "python -m pip install einops omegaconf julius num2words flashy"
    " && python -m pip install --no-deps audiocraft==1.3.0"
)
# Imported with audiocraft, used by its training, its metrics and its text normaliser alone.
BYSTANDERS = ("av", "librosa", "spacy", "torchaudio", "torchaudio.transforms", "torchmetrics")

# What a checkpoint may hold besides tensors: a pickled omegaconf configuration. Names, one by one: a
# whole module would let in its functions, and whatever that module imports.
HARMLESS = frozenset(
    {
        "builtins.bool",
        "builtins.bytes",
        "builtins.dict",
        "builtins.float",
        "builtins.int",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "collections.OrderedDict",
        "collections.defaultdict",
        "omegaconf.base.ContainerMetadata",
        "omegaconf.base.Metadata",
        "omegaconf.dictconfig.DictConfig",
        "omegaconf.listconfig.ListConfig",
        "omegaconf.nodes.AnyNode",
        "omegaconf.nodes.BooleanNode",
        "omegaconf.nodes.FloatNode",
        "omegaconf.nodes.IntegerNode",
        "omegaconf.nodes.StringNode",
        "typing.Any",
    }
)
# What torch and the unpickler raise on a file that is cut short, is something else, or was made to harm.
BROKEN_FILE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _Bystander(ModuleType):
    """Stands in for a module that is only named: every attribute is an empty class."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def import_audiocraft() -> ModuleType:
    """The package `audiocraft`. Raises `DcldmError` that says how to install it."""
    if loaded := sys.modules.get("audiocraft"):
        return loaded
    stand_ins = [name for name in BYSTANDERS if not _imports(name)]
    sys.modules.update({name: _Bystander(name) for name in stand_ins})
    if not _imports("xformers.ops"):
        xformers, operations = _Bystander("xformers"), _Bystander("xformers.ops")
        vars(xformers)["ops"] = operations
        sys.modules.update({"xformers": xformers, "xformers.ops": operations})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations in code that is not ours
            package = importlib.import_module("audiocraft")
            transformer = importlib.import_module("audiocraft.modules.transformer")
        # What it runs of xformers, which has no attention for CPUs even where it is installed.
        vars(transformer)["ops"] = SimpleNamespace(unbind=torch.unbind, memory_efficient_attention=_attention)
        return package
    except ImportError as error:
        raise DcldmError(f"audiocraft is not installed ({error}); run: {INSTALL}") from error
    finally:
        for name in stand_ins:  # nobody else in this process is to find them
            del sys.modules[name]


def load_pretrained(kind: str, folder: Path, text_encoder: Path, device: torch.device) -> Any:
    """audiocraft's own "AudioGen" or "MAGNeT" of a folder with its two files; its T5 is in `text_encoder`.

    Raises `DcldmError` with a sentence. The files are read by our own careful reader first.
    """
    for name in ("state_dict.bin", "compression_state_dict.bin"):
        read_checkpoint(folder / name, ())
    import_audiocraft()
    models, conditioners, transformer = (
        importlib.import_module(f"audiocraft.{name}")
        for name in ("models", "modules.conditioners", "modules.transformer")
    )
    transformer.set_efficient_attention_backend("torch")  # MAGNeT's loader chooses another, for the whole process
    harmless = torch.serialization.safe_globals([_named(name) for name in sorted(HARMLESS)])
    with _text_encoder_in(conditioners, text_encoder), harmless, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(models, kind).get_pretrained(str(folder), device=str(device))
        except (*BROKEN_FILE, OSError) as error:
            why = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            raise DcldmError(f"{folder} is not a model of {kind} ({why}); install it again.") from error


def attend_as(kind: str) -> None:
    """Choose the attention that "AudioGen" or "MAGNeT" is written for; audiocraft has one for the whole process."""
    transformer = importlib.import_module("audiocraft.modules.transformer")
    transformer.set_efficient_attention_backend("xformers" if kind == "MAGNeT" else "torch")


def _attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, p: float = 0.0) -> Tensor:
    """xformers' attention by torch: each [batch, time, heads, width]; bias is added to the scores."""
    query, key, value = (each.transpose(1, 2) for each in (query, key, value))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=p).transpose(1, 2)


@contextmanager
def _text_encoder_in(conditioners: ModuleType, folder: Path) -> Iterator[None]:
    """audiocraft asks a hub for its T5 by name; here it gets the one in a folder."""
    names = ("T5Tokenizer", "T5EncoderModel")
    theirs = {name: vars(conditioners)[name] for name in names}

    def local(name: str) -> SimpleNamespace:
        return SimpleNamespace(from_pretrained=lambda _: theirs[name].from_pretrained(folder, local_files_only=True))

    vars(conditioners).update({name: local(name) for name in names})
    try:
        yield
    finally:
        vars(conditioners).update(theirs)


def _imports(name: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    except (ImportError, OSError):  # OSError: torchaudio's library beside another torch
        return False
    return True


def read_checkpoint(path: Path, parts: Sequence[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights by name, and parts of the configuration ("rvq.bins"), of a file that audiocraft exported.

    Nothing in the file is executed: besides tensors only plain values and omegaconf's containers are
    accepted. Raises `DcldmError` when the file is missing, damaged, hostile or something else.
    https://github.com/facebookresearch/audiocraft/blob/main/audiocraft/utils/export.py
    """
    if not path.is_file():
        raise DcldmError(f"There is no file {path}; choose a folder with AudioGen's two .bin files.")
    damaged = f"{path} is damaged or not a checkpoint of audiocraft; download it again."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's remarks on other versions of pickle
            content = _load(path)
    except OSError as error:
        raise DcldmError(f"{path} cannot be read ({error.strerror or error}); check its permissions.") from error
    except BROKEN_FILE as error:
        raise DcldmError(damaged) from error
    if isinstance(content, dict) and "pretrained" in content:
        raise DcldmError(f"{path} only names another codec ({content['pretrained']!r:.80}); use AudioGen's own file.")
    if not isinstance(content, dict) or not {"best_state", "xp.cfg"} <= content.keys():
        raise DcldmError(damaged)
    state = content["best_state"]
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise DcldmError(damaged)
    try:
        return dict(state), _configuration(content["xp.cfg"], parts)
    except BROKEN_FILE as error:
        raise DcldmError(damaged) from error


def _load(path: Path) -> object:
    in_place = zipfile.is_zipfile(path)  # older files cannot be mapped into memory
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
    except pickle.UnpicklingError:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if not names or not HARMLESS.issuperset(names):
            raise
    with torch.serialization.safe_globals([_named(name) for name in names]):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)


def _named(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _configuration(stored: Any, parts: Sequence[str]) -> dict[str, Any]:
    """Parts of a configuration as plain values, references (`${sample_rate}`) resolved; None if not there.

    Only what is asked for is resolved: the rest may refer to the cluster on which the model was trained.
    """
    try:
        from omegaconf import DictConfig, OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        yaml: Any = importlib.import_module("yaml")  # comes with omegaconf
    except ImportError as error:
        raise DcldmError("AudioGen needs omegaconf; run: python -m pip install omegaconf") from error
    try:
        whole = OmegaConf.create(stored)
        if not isinstance(whole, DictConfig):
            raise ValueError("the configuration is not a mapping")
        plain: dict[str, Any] = {}
        for part in parts:
            value = OmegaConf.select(whole, part)
            plain[part] = OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except (yaml.YAMLError, OmegaConfBaseException) as error:
        raise ValueError("the configuration cannot be read") from error
    return plain
