"""Tiny random models, written as the public checkpoints are: same files, same names, same shapes of names.

The names are made by turning stock classes' names back into the original ones, independently of the loaders.
"""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from transformers import (
    EncodecConfig,
    EncodecModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
    T5Tokenizer,
)
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.models.plan import PlanModel

SCALING_FACTOR = 0.9227914214134216
LEVELS = 3  # of the VAE
VAE_CONFIG = {
    "image_key": "fbank",
    "embed_dim": 8,
    "subband": 1,
    "time_shuffle": 1,
    "scale_factor": SCALING_FACTOR,
    "ddconfig": {"double_z": True, "z_channels": 8, "ch": 32, "ch_mult": [1, 1, 2], "num_res_blocks": 1},
}
STFT_CONFIG = {
    "filter_length": 1024,
    "hop_length": 160,
    "win_length": 1024,
    "n_mel_channels": 64,
    "sampling_rate": 16000,
    "mel_fmin": 0,
    "mel_fmax": 8000,
}
VOCODER = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 32,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "leaky_relu_slope": 0.1,
    "normalize_before": False,
}
TEXT_WIDTH = 24
# The keys of configs/diffusion_model_config.json in TANGO's repository.
UNET_CONFIG: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "_diffusers_version": "0.10.0.dev0",
    "act_fn": "silu",
    "attention_head_dim": [1, 2, 2, 2],
    "block_out_channels": [16, 32, 32, 32],
    "center_input_sample": False,
    "cross_attention_dim": TEXT_WIDTH,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "dual_cross_attention": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 8,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 8,
    "num_class_embeds": None,
    "only_cross_attention": False,
    "out_channels": 8,
    "sample_size": [32, 2],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "upcast_attention": True,
    "use_linear_projection": True,
}
MAIN_CONFIG = {
    "text_encoder_name": "google/flan-t5-large",
    "scheduler_name": "stabilityai/stable-diffusion-2-1",
    "unet_model_name": None,
    "unet_model_config_path": "configs/diffusion_model_config.json",
    "snr_gamma": 5.0,
}
PIECES = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
CODEBOOKS, CODES = 2, 32


class Malice:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def _drawn(module: Any, seed: int, std: float = 0.05) -> Any:
    """Every parameter at random, biases too, so that two swapped ones show."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module.eval().requires_grad_(False)


def vae() -> AutoencoderKL:
    """AudioLDM's, with 32 channels."""
    return _drawn(
        AutoencoderKL(
            in_channels=1,
            out_channels=1,
            block_out_channels=(32, 32, 64),
            down_block_types=("DownEncoderBlock2D",) * LEVELS,
            up_block_types=("UpDecoderBlock2D",) * LEVELS,
            layers_per_block=1,
            latent_channels=8,
        ),
        seed=1,
    )


def vocoder() -> SpeechT5HifiGan:
    """AudioLDM's, with 32 channels."""
    return _drawn(SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER)), seed=2)


def autoencoder_tensors(vae: AutoencoderKL, vocoder: SpeechT5HifiGan) -> dict[str, Tensor]:
    """Their tensors as AudioLDM's code names and shapes them, without a prefix."""
    tensors: dict[str, Tensor] = {}
    for name, value in vae.state_dict().items():
        part, _, rest = name.partition(".")
        words = rest.split(".")
        if words[0] in ("down_blocks", "up_blocks"):
            level = int(words[1]) if words[0] == "down_blocks" else LEVELS - 1 - int(words[1])
            sampling = {"downsamplers": "downsample", "upsamplers": "upsample"}.get(words[2])
            inner = [sampling, *words[4:]] if sampling else ["block", words[3], *words[4:]]
            words = [words[0].split("_")[0], str(level), *inner]
        elif words[0] == "mid_block" and words[1] == "resnets":
            words = ["mid", f"block_{int(words[2]) + 1}", *words[3:]]
        elif words[0] == "mid_block":
            layer = ".".join(words[3:-1])
            theirs = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}[layer]
            if layer != "group_norm" and words[-1] == "weight":
                value = value[:, :, None, None]
            words = ["mid", "attn_1", theirs, words[-1]]
        original = ".".join([part, *words])
        original = original.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        tensors[original] = value.clone()
    for name, value in vocoder.state_dict().items():
        if name not in ("mean", "scale"):
            tensors[f"vocoder.{name.replace('upsampler.', 'ups.')}"] = value.clone()
    return tensors


def write_autoencoder(folder: Path, tensors: object = None) -> Path:
    """TANGO's three files of its audio autoencoder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vae_config.json").write_text(json.dumps(VAE_CONFIG))
    (folder / "stft_config.json").write_text(json.dumps(STFT_CONFIG))
    content = autoencoder_tensors(vae(), vocoder()) if tensors is None else tensors
    torch.save(content, folder / "pytorch_model_vae.bin")
    return folder


def unet() -> UNet2DConditionModel:
    """TANGO's, with 16 and 32 channels."""
    config = {name: value for name, value in UNET_CONFIG.items() if not name.startswith("_")}
    return _drawn(UNet2DConditionModel(**config), seed=3, std=0.15)


def t5(width: int = TEXT_WIDTH) -> T5EncoderModel:
    """FLAN-T5's encoder, with two layers. It has more rows than its tokenizer has words, as FLAN-T5's."""
    config = T5Config(
        vocab_size=len(PIECES) + 2,
        d_model=width,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        pad_token_id=0,
    )
    torch.manual_seed(4)
    return T5EncoderModel(config).eval()


def write_tokenizer(folder: Path) -> Path:
    T5Tokenizer(vocab=[(piece, -1.0) for piece in PIECES], extra_ids=0).save_pretrained(folder)
    return folder


def main_tensors(with_embeddings: bool = False) -> dict[str, Tensor]:
    """What `pytorch_model_main.bin` holds. T5's one matrix of words is there under one name or two."""
    tensors = {f"unet.{name}": value for name, value in unet().state_dict().items()}
    encoder = t5().state_dict()
    encoder.pop("encoder.embed_tokens.weight", None)
    if with_embeddings:
        encoder["encoder.embed_tokens.weight"] = encoder["shared.weight"]
    return tensors | {f"text_encoder.{name}": value for name, value in encoder.items()}


def write_tango(folder: Path, main: object = None) -> Path:
    """A whole folder of TANGO, with FLAN-T5's tokenizer in `tokenizer`."""
    write_autoencoder(folder)
    write_tokenizer(folder / "tokenizer")
    (folder / "configs").mkdir(exist_ok=True)
    (folder / "configs" / "diffusion_model_config.json").write_text(json.dumps(UNET_CONFIG))
    (folder / "main_config.json").write_text(json.dumps(MAIN_CONFIG))
    torch.save(main_tensors() if main is None else main, folder / "pytorch_model_main.bin")
    return folder


def plan_model() -> PlanModel:
    """AudioGen's language model, with one layer."""
    torch.manual_seed(5)
    sizes = {
        "vocab_size": CODES,
        "num_codebooks": CODEBOOKS,
        "num_hidden_layers": 1,
        "ffn_dim": 64,
        "num_attention_heads": 4,
        "hidden_size": 16,
        "pad_token_id": CODES,
        "bos_token_id": CODES,
    }
    return PlanModel(MusicgenDecoderConfig(**sizes), TEXT_WIDTH).eval()


def codec() -> EncodecModel:
    """AudioGen's EnCodec: 16 kHz, 50 frames a second, vectors of 128; random books."""
    torch.manual_seed(6)
    config = EncodecConfig(
        sampling_rate=16_000,
        audio_channels=1,
        normalize=False,
        hidden_size=128,
        num_filters=4,
        upsampling_ratios=[8, 5, 4, 2],
        codebook_size=CODES,
        use_causal_conv=False,
        num_lstm_layers=1,
        pad_mode="constant",
        use_conv_shortcut=False,
    )
    config.target_bandwidths = [(CODEBOOKS + 0.5) * config.frame_rate * config.codebook_nbits / 1000.0]
    model = EncodecModel(config)
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    return model.eval().requires_grad_(False)


# The settings of AudioGen's own configurations but for the sizes, from config/solver/audiogen/
# audiogen_base_16khz.yaml, config/model/lm/audiogen_lm.yaml, config/conditioner/text2sound.yaml and
# config/model/encodec/default.yaml of the repository.
def audiogen_config(t5: str, seconds: int, dim: int, num_heads: int, num_layers: int, n_q: int, card: int) -> str:
    return f"""
sample_rate: 16000
channels: 1
device: cpu
dtype: float32
compression_model_checkpoint: ???
dataset: {{segment_duration: {seconds}, root: "${{nowhere.at.all}}"}}
lm_model: transformer_lm
codebooks_pattern: {{modeling: delay, delay: {{delays: {list(range(n_q))}, flatten_first: 0, empty_initial: 0}}}}
classifier_free_guidance: {{training_dropout: 0.1, inference_coef: 3.0}}
attribute_dropout: {{}}
fuser:
  cross_attention_pos_emb: false
  cross_attention_pos_emb_scale: 1
  sum: []
  prepend: []
  cross: [description]
  input_interpolate: []
conditioners:
  description:
    model: t5
    t5: {{name: {t5}, finetune: false, word_dropout: 0., normalize_text: false}}
transformer_lm:
  dim: {dim}
  num_heads: {num_heads}
  num_layers: {num_layers}
  hidden_scale: 4
  n_q: {n_q}
  card: {card}
  dropout: 0.
  emb_lr: null
  activation: gelu
  norm_first: true
  bias_ff: false
  bias_attn: false
  bias_proj: false
  past_context: null
  causal: true
  custom: false
  memory_efficient: true
  attention_as_float32: false
  layer_scale: null
  positional_embedding: sin
  xpos: false
  checkpointing: none
  weight_init: gaussian
  depthwise_init: current
  zero_bias_init: true
  norm: layer_norm
  cross_attention: false
  qk_layer_norm: false
  qk_layer_norm_cross: false
  attention_dropout: null
  kv_repeat: 1
  two_step_cfg: false
"""


def magnet_config(**sizes: Any) -> str:
    """As config/solver/magnet/audio_magnet_16khz.yaml and config/model/lm/default.yaml differ from AudioGen's."""
    config = audiogen_config(**sizes)
    for audiogens, magnets in (
        ("lm_model: transformer_lm", "lm_model: transformer_lm_magnet\nmasking: {span_len: 3}"),
        ("modeling: delay", "modeling: parallel"),
        ("causal: true", "causal: false\n  subcodes_context: 5"),
    ):
        assert config.count(audiogens) == 1
        config = config.replace(audiogens, magnets)
    return config


def codec_config(width: int, lstm: int, codebooks: int, codes: int) -> str:
    return f"""
sample_rate: 16000
channels: 1
device: cpu
compression_model: encodec
encodec:
  autoencoder: seanet
  quantizer: rvq
  sample_rate: ${{sample_rate}}
  channels: ${{channels}}
  causal: false
  renormalize: false
seanet:
  dimension: {width}
  channels: ${{channels}}
  causal: ${{encodec.causal}}
  n_filters: 4
  n_residual_layers: 1
  ratios: [8, 5, 4, 2]
  activation: ELU
  activation_params: {{alpha: 1.0}}
  norm: weight_norm
  norm_params: {{}}
  kernel_size: 7
  residual_kernel_size: 3
  last_kernel_size: 7
  dilation_base: 2
  pad_mode: constant
  true_skip: true
  compress: 2
  lstm: {lstm}
  disable_norm_outer_blocks: 0
  decoder: {{trim_right_ratio: 1.0, final_activation: null, final_activation_params: null}}
  encoder: {{}}
rvq:
  n_q: {codebooks}
  q_dropout: false
  bins: {codes}
  decay: 0.99
  kmeans_init: true
  kmeans_iters: 50
  threshold_ema_dead_code: 2
  orthogonal_reg_weight: 0.0
  orthogonal_reg_active_codes_only: false
"""


def language_model_tensors() -> dict[str, Tensor]:
    """AudioGen's language model under audiocraft's names."""
    tensors: dict[str, Tensor] = {}
    joined: dict[str, list[tuple[str, Tensor]]] = {}
    for name, value in plan_model().state_dict().items():
        name = name.removeprefix("lm.").replace("model.decoder.", "")
        for ours, theirs in (
            ("embed_tokens.", "emb."),
            ("lm_heads.", "linears."),
            ("encoder_attn_layer_norm.", "norm_cross."),
            ("self_attn_layer_norm.", "norm1."),
            ("final_layer_norm.", "norm2."),
            ("encoder_attn.", "cross_attention."),
            ("fc1.", "linear1."),
            ("fc2.", "linear2."),
            ("enc_to_dec_proj.", "condition_provider.conditioners.description.output_proj."),
        ):
            name = name.replace(ours, theirs)
        name = name.replace("layers.", "transformer.layers.", 1) if name.startswith("layers.") else name
        name = name.replace("layer_norm.", "out_norm.") if name.startswith("layer_norm.") else name
        head, _, last = name.rpartition(".")
        layer, _, which = head.rpartition(".")
        if which in ("q_proj", "k_proj", "v_proj"):
            joined.setdefault(f"{layer}.in_proj_{last}", []).append((which, value))
        elif "embed_positions" not in name:
            tensors[name] = value
    for name, parts in joined.items():
        order = dict(parts)
        tensors[name] = torch.cat([order[f"{which}_proj"] for which in "qkv"])
    return tensors


def codec_tensors() -> dict[str, Tensor]:
    """EnCodec under audiocraft's names."""
    tensors = {}
    for name, value in codec().state_dict().items():
        name = name.replace(".parametrizations.weight.original0", ".weight_g")
        name = name.replace(".parametrizations.weight.original1", ".weight_v")
        name = name.replace("encoder.layers.", "encoder.model.").replace("decoder.layers.", "decoder.model.")
        name = name.replace("quantizer.layers.", "quantizer.vq.layers.").replace(".codebook.", "._codebook.")
        if ".conv." in name:
            # A transposed convolution's weight has its input channels first; only the decoder's strides have one.
            transposed = name.startswith("decoder.model.") and name.split(".")[2] in ("3", "6", "9", "12")
            name = name.replace(".conv.", ".convtr.convtr." if transposed else ".conv.conv.")
        tensors[name] = value
    return tensors


SIZES = {"seconds": 2, "dim": 16, "num_heads": 4, "num_layers": 1, "n_q": CODEBOOKS, "card": CODES}


def write_audiogen(folder: Path, own: str = "") -> Path:
    """AudioGen's two files, as audiocraft exports them; or MAGNeT's, by another configuration of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, state, config in (
        ("state_dict.bin", language_model_tensors(), own or audiogen_config("t5-large", **SIZES)),
        ("compression_state_dict.bin", codec_tensors(), codec_config(128, 1, CODEBOOKS, CODES)),
    ):
        torch.save({"best_state": state, "xp.cfg": config, "version": "1.3.0", "exported": True}, folder / name)
    return folder


def write_t5(folder: Path) -> Path:
    """T5-large as it is on the hub: encoder and decoder, tokenizer and configuration."""
    torch.manual_seed(7)
    config = T5Config(
        vocab_size=len(PIECES) + 2, d_model=TEXT_WIDTH, d_kv=8, d_ff=32, num_layers=1, num_heads=4, pad_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return write_tokenizer(folder)


def write_models(folder: Path) -> Path:
    """A folder a part, as `dcldm models install NAME --from FOLDER` takes it."""
    write_tango(folder / "tango")
    write_t5(folder / "flan-t5-large")
    write_t5(folder / "t5-large")
    write_audiogen(folder / "audiogen-medium")
    return folder
