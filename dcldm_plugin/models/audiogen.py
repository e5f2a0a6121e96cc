"""AudioGen's published files as transformers' classes: the same numbers, with a key/value cache.

A folder holds `state_dict.bin` (the language model) and `compression_state_dict.bin` (EnCodec, 16 kHz), as
audiocraft exports them. https://huggingface.co/facebook/audiogen-medium
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audiocraft import BROKEN_FILE, read_checkpoint
from dcldm_plugin.models.plan import PlanModel

# How a name in audiocraft's files becomes one in transformers' classes: replaced in this order.
LANGUAGE_MODEL_NAMES = (
    (r"^emb\.", "lm.model.decoder.embed_tokens."),
    (r"^linears\.", "lm.lm_heads."),
    (r"^out_norm\.", "lm.model.decoder.layer_norm."),
    (r"^transformer\.layers\.", "lm.model.decoder.layers."),
    (r"\.mha\.", "."),  # where it was trained with torch's own attention
    (r"\.cross_attention\.", ".encoder_attn."),
    (r"\.norm_cross\.", ".encoder_attn_layer_norm."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"\.norm2\.", ".final_layer_norm."),
    (r"\.linear([12])\.", r".fc\1."),
    (r"^condition_provider\.conditioners\.\w+\.output_proj\.", "enc_to_dec_proj."),
)
CODEC_NAMES = (
    (r"^(encoder|decoder)\.model\.", r"\1.layers."),
    (r"\.(conv|convtr)\.\1\.", ".conv."),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
    (r"^quantizer\.vq\.layers\.(\d+)\._codebook\.", r"quantizer.layers.\1.codebook."),
)

# What transformers' classes have built in. A file that says otherwise is of another model.
LANGUAGE_MODEL_IS = {
    "norm_first": True,
    "norm": "layer_norm",
    "bias_ff": False,
    "bias_attn": False,
    "bias_proj": False,
    "causal": True,
    "past_context": None,
    "layer_scale": None,
    "positional_embedding": "sin",
    "max_period": 10_000,
    "positional_scale": 1.0,
    "qk_layer_norm": False,
    "qk_layer_norm_cross": False,
    "kv_repeat": 1,
}
FUSER_IS = {"sum": [], "prepend": [], "input_interpolate": [], "cross_attention_pos_emb": False}
CODEC_IS = {
    "activation": "ELU",
    "activation_params": {"alpha": 1.0},
    "norm": "weight_norm",
    "disable_norm_outer_blocks": 0,
    "encoder": {},
}
CODEC_DECODER_IS = {"final_activation": None, "final_activation_params": None}
MOST = 64  # kernel sizes, layers, ratios: far above any real one, far below what would fill the memory


@dataclass(frozen=True, slots=True)
class AudioGen:
    """AudioGen, ready to run but for its text encoder.

    text_encoder: the T5 whose states `plan.enc_to_dec_proj` takes, by name ("t5-large").
    longest_seconds: how long the clips were that it was trained on.
    """

    plan: PlanModel
    codec: EncodecModel
    text_encoder: str
    longest_seconds: float


def load_audiogen(folder: Path, dtype: torch.dtype = torch.float32) -> AudioGen:
    """Read and convert the two files in `folder`. Raises `DcldmError`. dtype: of the language model."""
    path, codec_path = folder / "state_dict.bin", folder / "compression_state_dict.bin"
    state, config = read_checkpoint(
        path, ("transformer_lm", "codebooks_pattern", "fuser", "conditioners", "dataset.segment_duration")
    )
    codec_state, codec_config = read_checkpoint(codec_path, ("encodec", "seanet"))
    try:
        text_encoder, conditioner = _text_encoder(config)
        plan = _language_model(state, config, conditioner, dtype)
        longest_seconds = float(config["dataset.segment_duration"])
    except BROKEN_FILE as error:
        raise DcldmError(_other_model(path, "an AudioGen language model", error)) from error
    try:
        codec = _codec(codec_state, codec_config)
    except BROKEN_FILE as error:
        raise DcldmError(_other_model(codec_path, "AudioGen's EnCodec", error)) from error
    of_plan = (plan.lm.config.num_codebooks, plan.lm.config.vocab_size)
    if of_plan != (codec.config.num_quantizers, codec.config.codebook_size):
        raise DcldmError(f"The two files in {folder} are not of the same model; download both again.")
    return AudioGen(plan, codec, text_encoder, longest_seconds)


def _other_model(path: Path, expected: str, error: BaseException) -> str:
    why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"{path} is not {expected} ({why[:120]}); choose a folder with AudioGen's own two files."


def _language_model(
    state: Mapping[str, Tensor], config: Mapping[str, Any], conditioner: str, dtype: torch.dtype
) -> PlanModel:
    """The sizes are those of the tensors; the configuration adds what can't be seen in them."""
    given = config["transformer_lm"]
    _require("transformer_lm", given, LANGUAGE_MODEL_IS)
    layers = sum(name.endswith(".norm1.weight") for name in state)
    codebooks = sum(name.startswith("emb.") for name in state)
    pattern = config["codebooks_pattern"]
    _require("codebooks_pattern", pattern, {"modeling": "delay"})
    _require("delay", pattern["delay"], {"delays": list(range(codebooks)), "flatten_first": 0, "empty_initial": 0})
    vocabulary, width = state["emb.0.weight"].shape
    projection = f"condition_provider.conditioners.{conditioner}.output_proj.weight"
    decoder_config = MusicgenDecoderConfig(
        vocab_size=vocabulary - 1,
        num_codebooks=codebooks,
        hidden_size=width,
        ffn_dim=state["transformer.layers.0.linear1.weight"].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=_count(given, "num_heads", width),
        activation_function=given.get("activation", "gelu"),
        dropout=0.0,
        pad_token_id=vocabulary - 1,
        bos_token_id=vocabulary - 1,
    )
    with torch.device("meta"):  # no memory yet: the tensors of the file take the places
        plan = PlanModel(decoder_config, state[projection].shape[1])
    plan.load_state_dict(
        {name: value.to(dtype, copy=True) for name, value in _language_model_weights(state)}, assign=True
    )
    positions = plan.lm.model.decoder.embed_positions
    positions.weights = positions.get_embedding(positions.num_positions, width).to(dtype)
    return plan.requires_grad_(False).eval()


def _language_model_weights(state: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """audiocraft keeps the projections to queries, keys and values in one tensor, transformers in three."""
    weights = []
    for old, value in state.items():
        name = _renamed(old, LANGUAGE_MODEL_NAMES)
        head, joined, _ = name.partition("in_proj_weight")
        if joined:
            parts = value.chunk(3)
            weights += [(f"{head}{one}_proj.weight", part) for one, part in zip("qkv", parts, strict=True)]
        else:
            weights.append((name, value))
    return weights


def _text_encoder(config: Mapping[str, Any]) -> tuple[str, str]:
    """Which T5, and the name of the only condition, which is attended to."""
    fuser = config["fuser"]
    _require("fuser", fuser, FUSER_IS)
    (conditioner,) = fuser["cross"]
    given = config["conditioners"][conditioner]
    _require("conditioners", given, {"model": "t5"})
    return str(given["t5"]["name"]), str(conditioner)


def _codec(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> EncodecModel:
    overall, seanet = config["encodec"], config["seanet"]
    decoder = seanet.get("decoder", {})
    _require("encodec", overall, {"autoencoder": "seanet", "quantizer": "rvq", "channels": 1})
    _require("seanet", seanet, CODEC_IS)
    _require(
        "seanet.decoder",
        {**decoder, "trim_right_ratio": None},
        {**CODEC_DECODER_IS, "trim_right_ratio": None},
    )
    weights = {_renamed(name, CODEC_NAMES): value.float() for name, value in state.items()}
    codebooks = sum(name.endswith(".codebook.embed") for name in weights)
    codes, width = weights["quantizer.layers.0.codebook.embed"].shape
    ratios = [_count({"ratio": ratio}, "ratio", MOST) for ratio in seanet["ratios"]]
    codec_config = EncodecConfig(
        sampling_rate=_count(overall, "sample_rate", 192_000),
        normalize=bool(overall.get("renormalize", False)),
        hidden_size=width,
        codebook_size=codes,
        num_filters=weights["encoder.layers.0.conv.parametrizations.weight.original1"].shape[0],
        num_residual_layers=_count(seanet, "n_residual_layers", MOST),
        upsampling_ratios=ratios[:MOST],
        kernel_size=_count(seanet, "kernel_size", MOST),
        last_kernel_size=_count(seanet, "last_kernel_size", MOST),
        residual_kernel_size=_count(seanet, "residual_kernel_size", MOST),
        dilation_growth_rate=_count(seanet, "dilation_base", MOST),
        use_causal_conv=bool(seanet["causal"]),
        pad_mode=str(seanet["pad_mode"]),
        compress=_count(seanet, "compress", MOST),
        num_lstm_layers=_count(seanet, "lstm", MOST),
        trim_right_ratio=float(decoder.get("trim_right_ratio", 1.0)),
        use_conv_shortcut=not seanet["true_skip"],
    )
    # The class counts codebooks by the bandwidth; half a codebook more keeps rounding from losing one.
    codec_config.target_bandwidths = [
        (codebooks + 0.5) * codec_config.frame_rate * codec_config.codebook_nbits / 1000.0
    ]
    codec = EncodecModel(codec_config)
    codec.load_state_dict(weights)
    codec.requires_grad_(False)
    codec.train(False)
    return codec


def _renamed(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _require(part: str, given: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, value in expected.items():
        if given.get(name, value) != value:
            raise ValueError(f"{part}.{name} is {given[name]!r} and not {value!r}")


def _count(given: Mapping[str, Any], name: str, most: int) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} is {value!r}")
    return value
