"""TANGO's published folder as our parts, and acoustic adapters on top of it.

https://huggingface.co/declare-lab/tango: `pytorch_model_main.bin` holds the U-Net (`unet.*`, 686 tensors) and
the frozen FLAN-T5 (`text_encoder.*`), the other files the audio autoencoder (`audioldm.py`). The values of the
noise schedule, which TANGO asks a hub repository for that is gone, are in `schedule.py`.

An *adapter* is a safetensors file with only the `*.acoustic.*` tensors of a `DualUNet` and a header that
names their base, places and block. It is what a user trains on a frozen TANGO. A U-Net that reads the plan in
the text's place (rows 2 and 3 of Table 1) has no tensors of TANGO left: its file holds all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoTokenizer, T5Config, T5EncoderModel

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.text import T5_TOKENS, TextEncoder
from dcldm_plugin.models.unet import PLACES, Block, Condition, DualTransformer2D, DualUNet, tango_config
from dcldm_plugin.models.weights import below, count, fill, read_json, read_tensors

MAIN = "pytorch_model_main.bin"
NEW = ".acoustic."  # in the names of all tensors that TANGO does not have
Encoding = Literal["ag", "ag_vae"]  # E_t2a (EnCodec's vectors) or E'_t2a (the VAE's latent), section 2.2
ADAPTER_FORMAT = "dcldm-acoustic-adapter-1"
LARGEST_WIDTH = 65_536  # far above any real one: a hostile configuration is not to keep us busy
MOST_LAYERS = 32


@dataclass(frozen=True, slots=True)
class Adapter:
    """What an adapter's header says: of which base it is, and how its `DualUNet` is built.

    encoding: what it was trained to listen to.
    """

    base: str
    places: tuple[str, ...]
    block: Block = "faithful"
    plan_width: int = 128
    encoding: Encoding = "ag"
    condition: Condition = "text"


def load_denoiser(
    folder: Path,
    *,
    places: tuple[str, ...] = (),
    block: Block = "faithful",
    plan_width: int = 128,
    adapter: Path | None = None,
    dtype: torch.dtype = torch.float32,
) -> tuple[DualUNet, str]:
    """TANGO's U-Net, with acoustic attention at some `places`, which does nothing yet (zeroed); and its name.

    adapter: a file of trained acoustic tensors; its header gives places, block and width. The name is the
    `fingerprint` by which adapters know their base.
    Raises `DcldmError` with a sentence for anything that is missing, damaged, hostile or of another model.
    """
    condition: Condition = "text"
    if adapter is not None:
        header = read_adapter(adapter)
        places, block, plan_width, condition = header.places, header.block, header.plan_width, header.condition
    config = _unet_config(folder)
    tensors, what = _main(folder)
    unet = below(tensors, "unet.")
    try:
        with torch.device("meta"):
            denoiser = DualUNet(config, places, plan_width, block, condition)
    except (ValueError, TypeError, LookupError, ArithmeticError, NotImplementedError) as error:
        raise DcldmError(f"The configuration of the U-Net in {folder} is wrong ({error!s:.80}).") from error
    base = fingerprint(unet)
    if adapter is not None and condition == "plan":
        _check_base(adapter, base)
        fill(denoiser, read_tensors(adapter, "a trained U-Net"), f"{adapter} is not a trained U-Net", dtype=dtype)
        return denoiser.to(dtype).eval().requires_grad_(False), base
    _make_acoustic(denoiser, plan_width, block)
    fill(denoiser.unet, unet, what, new=NEW, dtype=dtype)
    denoiser.to(dtype)
    if adapter is not None:
        load_adapter(denoiser, base, adapter)
    return denoiser.eval().requires_grad_(False), base


def load_text_encoder(folder: Path, tokenizer: Path) -> TextEncoder:
    """The FLAN-T5 inside TANGO's file, in float32 since T5 overflows in half precision. Raises `DcldmError`.

    tokenizer: the folder of FLAN-T5's tokenizer, which TANGO's own does not have.
    """
    tensors, what = _main(folder)
    return _text_encoder(below(tensors, "text_encoder."), tokenizer, what)


def parameter_counts(folder: Path) -> tuple[int, int]:
    """How many numbers TANGO's U-Net and its text encoder have. Reads no weights."""
    tensors, _ = _main(folder)
    unet, text = (sum(value.numel() for value in below(tensors, part).values()) for part in ("unet.", "text_encoder."))
    return unet, text


def _main(folder: Path) -> tuple[dict[str, Tensor], str]:
    """All tensors of the main file, and how a sentence about it begins."""
    path = folder / MAIN
    tensors = read_tensors(path, "TANGO's model")
    what = f"{path} is not TANGO's model"
    if foreign := [name for name in tensors if not name.startswith(("unet.", "text_encoder."))]:
        raise DcldmError(f"{what}: it has the unknown tensor {foreign[0]}; choose a folder of TANGO.")
    return tensors, what


def _unet_config(folder: Path) -> dict[str, Any]:
    """TANGO's own, unless the folder has the file that its `main_config.json` names.

    The published folders name a file of the source repository and do not have it.
    """
    config = tango_config()
    named = read_json(folder / "main_config.json").get("unet_model_config_path")
    if not isinstance(named, str):
        raise DcldmError(f"main_config.json in {folder} names no U-Net; choose a folder of TANGO.")
    path = (folder / named).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return config
    given = read_json(path)
    config |= {name: given[name] for name in (*config, "norm_num_groups") if name in given}
    for name, value in config.items():
        most = MOST_LAYERS if name == "layers_per_block" else LARGEST_WIDTH
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, int) and not 0 <= each <= most:
                raise DcldmError(f"{path} gives {name} as {value!r:.40}; download the model again.")
        if isinstance(value, list) and len(value) > MOST_LAYERS:
            raise DcldmError(f"{path} gives {name} {len(value)} values; download the model again.")
    return config


def _make_acoustic(denoiser: DualUNet, plan_width: int, block: Block) -> None:
    """Give what is new in a network on the meta device real values, its output projections zeros."""
    for module in denoiser.modules():
        if isinstance(module, DualTransformer2D):
            DualTransformer2D.behind(module, plan_width, block)


def _text_encoder(given: Mapping[str, Tensor], tokenizer_folder: Path, what: str) -> TextEncoder:
    """The encoder half of T5, in the sizes of its tensors."""
    first = "encoder.block.0.layer"
    try:
        vocabulary, width = given["shared.weight"].shape
        buckets, heads = given[f"{first}.0.SelfAttention.relative_attention_bias.weight"].shape
        gated = f"{first}.1.DenseReluDense.wi_0.weight" in given
        hidden = given[f"{first}.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight"].shape[0]
        config = T5Config(
            vocab_size=vocabulary,
            d_model=width,
            d_kv=given[f"{first}.0.SelfAttention.q.weight"].shape[0] // heads,
            d_ff=hidden,
            num_layers=count(given, r"encoder\.block\.\d+\.layer\.0\.SelfAttention\.q\.weight"),
            num_heads=heads,
            relative_attention_num_buckets=buckets,
            feed_forward_proj="gated-gelu" if gated else "relu",
            is_encoder_decoder=False,
            use_cache=False,
        )
        with torch.device("meta"):
            encoder = T5EncoderModel(config)
    except (LookupError, ValueError, ArithmeticError) as error:
        raise DcldmError(f"{what}: it has no T5 encoder ({error!s:.80}); download it again.") from error
    # One matrix under two names; older files hold it once.
    fill(encoder, {**given, "encoder.embed_tokens.weight": given["shared.weight"]}, what)
    encoder.encoder.embed_tokens.weight = encoder.shared.weight
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DcldmError(
            f"{tokenizer_folder} does not hold the tokenizer of FLAN-T5; run: dcldm models install tango"
        ) from error
    if len(tokenizer) > vocabulary:
        raise DcldmError(f"The tokenizer in {tokenizer_folder} is of another text encoder; install FLAN-T5's.")
    return TextEncoder(tokenizer, encoder, T5_TOKENS)


def fingerprint(unet: Mapping[str, Tensor]) -> str:
    """Names a U-Net by its norms and biases: 16 digits, equal only for equal tensors as they are in the file.

    One-dimensional tensors are a thousandth of all values, and no training leaves them as they were.
    """
    digest = hashlib.sha256()
    for name in sorted(unet):
        if unet[name].dim() == 1 and NEW not in name:
            digest.update(name.encode())
            digest.update(unet[name].float().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def write_adapter(denoiser: DualUNet, adapter: Adapter, path: Path, whole: bool = False) -> None:
    """Write what of `denoiser` is not TANGO's, and its header, in the precision that it has.

    whole: all of it, since TANGO's own part was trained as well.
    """
    trained = denoiser if adapter.condition == "plan" else denoiser.unet
    tensors = {
        name: value.detach().cpu().contiguous().clone()
        for name, value in trained.state_dict().items()
        if NEW in name or whole or adapter.condition == "plan"
    }
    metadata = {
        "format": ADAPTER_FORMAT,
        "base": adapter.base,
        "places": ",".join(adapter.places),
        "block": adapter.block,
        "plan_width": str(adapter.plan_width),
        "encoding": adapter.encoding,
        "condition": adapter.condition,
    }
    partial = path.with_name(path.name + ".part")
    save_file(tensors, partial, metadata)
    os.replace(partial, path)


def read_adapter(path: Path) -> Adapter:
    """The header of an adapter's file. Raises `DcldmError` for anything else."""
    other = f"{path} is not an acoustic adapter, or is damaged; choose another file."
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
        if header["format"] != ADAPTER_FORMAT:
            raise DcldmError(other)
        adapter = Adapter(
            base=header["base"],
            places=tuple(filter(None, header["places"].split(","))),
            block=cast(Block, header["block"]),  # checked below
            plan_width=int(header["plan_width"]),
            encoding=cast(Encoding, header["encoding"]),
            condition=cast(Condition, header.get("condition", "text")),
        )
    except OSError as error:
        raise DcldmError(f"The adapter {path} cannot be read ({error.strerror or error}); choose another.") from error
    except (SafetensorError, LookupError, ValueError) as error:
        raise DcldmError(other) from error
    known = set(adapter.places) <= set(PLACES) and adapter.block in get_args(Block)
    known &= adapter.condition in get_args(Condition) and bool(adapter.places) == (adapter.condition == "text")
    if not known or adapter.encoding not in get_args(Encoding) or not 1 <= adapter.plan_width <= LARGEST_WIDTH:
        raise DcldmError(other)
    return adapter


def load_adapter(denoiser: DualUNet, base: str, path: Path) -> None:
    """Put an adapter's tensors into `denoiser`, by name. Raises `DcldmError` for another base's or places'."""
    _check_base(path, base)
    given = read_tensors(path, "an acoustic adapter")
    own = denoiser.unet.state_dict()
    is_whole = given.keys() == own.keys()
    places = {name: value for name, value in own.items() if is_whole or NEW in name}
    fitting = {name for name, value in places.items() if name in given and given[name].shape == value.shape}
    if given.keys() != fitting or places.keys() != fitting:
        raise DcldmError(f"The adapter {path} does not fit the places that it names; choose another file.")
    with torch.no_grad():
        for name, value in places.items():
            value.copy_(given[name])


def _check_base(path: Path, base: str) -> None:
    named = read_adapter(path).base
    if named != base:
        raise DcldmError(
            f"The adapter {path} was trained on another model (base {named:.16}, this one is {base}); "
            "install the model that it names or choose another adapter."
        )
