"""Diffsound (Yang et al., https://arxiv.org/abs/2207.09983): VQ-diffusion of mel tokens, from its own checkpoints.

The checkpoint of https://github.com/yangdongchao/Text-to-sound-Synthesis holds all but the vocoder: a transformer
that predicts the tokens of a mel-spectrogram from noisy ones, CLIP's text encoder, and the decoder of a VQ-GAN. They
go into the classes of diffusers and transformers that have the same layers; MelGAN (Kumar et al.,
https://arxiv.org/abs/1910.06711), which neither has, is below.

Not verified, since none of the weights were there to try: that the names in the published files are those that the
published code gives them (from which the names here were taken, as were the sizes), and how it sounds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import Transformer2DModel, VQDiffusionScheduler
from diffusers.models.autoencoders.vae import Decoder
from diffusers.models.embeddings import ImagePositionalEmbeddings
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audioldm import VAE_NAMES
from dcldm_plugin.models.weights import below, count, fill, read_tensors, renamed
from dcldm_plugin.types import Report

SAMPLE_RATE, HOP = 22_050, 256
HEAD_WIDTH = 64  # of every attention in it, CLIP's as well
WORDS = 77  # of CLIP
STEPS = 100
TRUNCATION = 0.85  # of the cumulative probability of each token, as its evaluation samples
RATIOS = (8, 8, 2, 2)  # of MelGAN; their product is the hop
SCHEDULE = ("log_at", "log_bt", "log_ct", "log_cumprod_at", "log_cumprod_bt", "log_cumprod_ct")
DENOISER_NAMES = (
    (r"^content_emb\.", "latent_image_embedding."),
    (r"^blocks\.", "transformer_blocks."),
    (r"\.attn(\d)\.(query|key|value)\.", lambda match: f".attn{match[1]}.to_{match[2][0]}."),
    (r"\.attn(\d)\.proj\.", r".attn\1.to_out.0."),
    (r"\.ln1\.", ".norm1."),
    (r"\.ln1_1\.", ".norm2."),
    (r"\.ln2\.", ".norm3."),
    (r"\.mlp\.0\.", ".ff.net.0.proj."),
    (r"\.mlp\.2\.", ".ff.net.2."),
    (r"^to_logits\.0\.", "norm_out."),
    (r"^to_logits\.1\.", "out."),
)
CLIP_NAMES = (
    (r"^token_embedding\.", "embeddings.token_embedding."),
    (r"^positional_embedding$", "embeddings.position_embedding.weight"),
    (r"^transformer\.resblocks\.", "encoder.layers."),
    (r"\.attn\.out_proj\.", ".self_attn.out_proj."),
    (r"\.ln_([12])\.", r".layer_norm\1."),
    (r"\.mlp\.c_fc\.", ".mlp.fc1."),
    (r"\.mlp\.c_proj\.", ".mlp.fc2."),
    (r"^ln_final\.", "final_layer_norm."),
)


class MelGan(nn.Module):
    """Mel [batch, bands, frames] -> samples [batch, 1, frames x 256]."""

    def __init__(self, bands: int, width: int, residuals: int) -> None:
        super().__init__()
        channels = width * 2 ** len(RATIOS)
        layers: list[nn.Module] = [nn.ReflectionPad1d(3), nn.Conv1d(bands, channels, 7)]
        for ratio in RATIOS:
            up = nn.ConvTranspose1d(channels, channels // 2, 2 * ratio, ratio, ratio // 2 + ratio % 2, ratio % 2)
            channels //= 2
            layers += [nn.LeakyReLU(0.2), up, *(_Residual(channels, 3**power) for power in range(residuals))]
        layers += [nn.LeakyReLU(0.2), nn.ReflectionPad1d(3), nn.Conv1d(width, 1, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, mel: Tensor) -> Tensor:
        samples: Tensor = self.model(mel)
        return samples


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.ReflectionPad1d(dilation),
            nn.Conv1d(channels, channels, 3, dilation=dilation),
            nn.LeakyReLU(0.2),
            nn.Conv1d(channels, channels, 1),
        )
        self.shortcut = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.shortcut(x) + self.block(x)
        return mixed


@dataclass(frozen=True, slots=True)
class Diffsound:
    """All parts. codebook: [tokens, channels] of the VQ-GAN; bands, frames: of the grid of tokens."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    denoiser: Transformer2DModel
    schedule: VQDiffusionScheduler
    codebook: Tensor
    before_decoder: nn.Conv2d
    decoder: Decoder
    vocoder: MelGan
    bands: int
    frames: int

    @torch.inference_mode()
    def sample(self, prompt: str, generator: torch.Generator, report: Report) -> Tensor:
        """The sound [1, samples] of a prompt, as long as it was trained to be."""
        report("reading", 0.0)
        states = self._encode(prompt)
        tokens = torch.full((1, self.bands * self.frames), self.schedule.mask_class)
        self.schedule.set_timesteps(STEPS)
        for step, time in enumerate(self.schedule.timesteps):
            (given,) = self.denoiser(tokens, encoder_hidden_states=states, timestep=time, return_dict=False)
            tokens = self.schedule.step(truncated(given), time, tokens, generator).prev_sample
            report("denoising", (step + 1) / STEPS)
        report("decoding", 0.0)
        # Tokens are in the order of time, the lowest band first; one class beyond the codebook was never used.
        grid = tokens.clamp(max=len(self.codebook) - 1).view(self.frames, self.bands).T
        mel = self.decoder(self.before_decoder(self.codebook[grid].permute(2, 0, 1)[None]))
        audio: Tensor = self.vocoder((mel[:, 0] + 1.0) / 2.0)
        report("decoding", 1.0)
        return audio[0]

    def _encode(self, prompt: str) -> Tensor:
        """CLIP's states of each word [1, 77, width], each of length one; padding is the word 0."""
        words = self.tokenizer(prompt, truncation=True, max_length=WORDS)["input_ids"]
        padded = functional.pad(torch.tensor([words]), (0, WORDS - len(words)))
        return functional.normalize(self.text(padded).last_hidden_state, dim=-1)


def truncated(log_probabilities: Tensor, rate: float = TRUNCATION) -> Tensor:
    """[batch, classes, tokens]: without the unlikely classes that lie beyond `rate` of the cumulative probability."""
    ordered, order = log_probabilities.sort(dim=1, descending=True)
    kept = ordered.exp().cumsum(dim=1) < rate
    kept = torch.cat([torch.ones_like(kept[:, :1]), kept[:, :-1]], dim=1)  # the likeliest always stays
    return log_probabilities.masked_fill(~kept.gather(1, order.argsort(dim=1)), -70.0)


def load_diffsound(checkpoint: Path, vocoder: Path, tokenizer: Path, report: Report) -> Diffsound:
    """From `….pth`, `best_netG.pt` and a folder of CLIP's tokenizer. Raises `DcldmError`."""
    what = f"{checkpoint} does not hold Diffsound as its code saves it"
    report("loading", 0.0)
    tensors = read_tensors(checkpoint, "Diffsound")
    try:
        averaged = read_tensors(checkpoint, "Diffsound", ("ema",))
    except DcldmError:
        averaged = {}  # not every checkpoint has them
    diffusion = below(tensors, "transformer.") | averaged
    codec = below(tensors, "content_codec.")
    try:
        text = _text(below(diffusion, "condition_emb."), what)
        denoiser = _denoiser(below(diffusion, "transformer."), what)
        report("loading", 0.5)
        codebook, before, decoder = _codec(codec, what)
        schedule = VQDiffusionScheduler(denoiser.config["num_vector_embeds"], STEPS)
        for name in SCHEDULE:  # its own: it divides by one class more than diffusers does
            setattr(schedule, name, diffusion[name].float())
        generator = _vocoder(vocoder)
        words = CLIPTokenizer.from_pretrained(tokenizer, local_files_only=True)
    except (LookupError, ValueError, TypeError, OSError) as error:
        raise DcldmError(f"{what} ({error!s:.80}); fetch it again.") from error
    table = denoiser.latent_image_embedding
    bands, frames = table.height_emb.num_embeddings, table.width_emb.num_embeddings
    report("loading", 1.0)
    return Diffsound(words, text, denoiser, schedule, codebook, before, decoder, generator, bands, frames)


def _denoiser(given: Mapping[str, Tensor], what: str) -> Transformer2DModel:
    tensors = {
        renamed(name, DENOISER_NAMES): value for name, value in given.items() if not name.endswith(".attn2.mask")
    }
    classes, width = tensors["latent_image_embedding.emb.weight"].shape
    with torch.device("meta"):
        model = Transformer2DModel(
            num_attention_heads=width // HEAD_WIDTH,
            attention_head_dim=HEAD_WIDTH,
            num_layers=count(tensors, r"transformer_blocks\.\d+\.norm3\.weight"),
            cross_attention_dim=tensors["transformer_blocks.0.attn2.to_k.weight"].shape[1],
            attention_bias=True,
            sample_size=1,
            num_vector_embeds=classes,
            activation_fn="geglu-approximate",  # x sigmoid(1.702 x), whatever its name here
            num_embeds_ada_norm=STEPS,
            norm_type="ada_norm",
        )
        rows, columns = (len(tensors[f"latent_image_embedding.{name}_emb.weight"]) for name in ("height", "width"))
        model.latent_image_embedding = ImagePositionalEmbeddings(classes, rows, columns, width)
    model.num_latent_pixels = rows * columns
    fill(model, tensors, what)
    return model.eval().requires_grad_(False)


def _text(given: Mapping[str, Tensor], what: str) -> CLIPTextModel:
    tensors: dict[str, Tensor] = {}
    for old, value in given.items():
        name = renamed(old, CLIP_NAMES)
        if ".attn.in_proj_" in name:
            kind = name.rpartition("_")[2]
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                tensors[name.replace(f".attn.in_proj_{kind}", f".self_attn.{part}_proj.{kind}")] = piece
        elif name != "text_projection":  # of the whole sentence, which is not asked for
            tensors[name] = value
    words, width = tensors["embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig(
        vocab_size=words,
        hidden_size=width,
        intermediate_size=len(tensors["encoder.layers.0.mlp.fc1.bias"]),
        num_hidden_layers=count(tensors, r"encoder\.layers\.\d+\.mlp\.fc1\.bias"),
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=len(tensors["embeddings.position_embedding.weight"]),
        hidden_act="quick_gelu",
        bos_token_id=words - 2,
        eos_token_id=words - 1,
    )
    model = CLIPTextModel(config)
    model.eval().requires_grad_(False)  # type: ignore[no-untyped-call]
    prefix = "text_model." if hasattr(model, "text_model") else ""  # by the version of transformers
    fill(model, {prefix + name: value for name, value in tensors.items()}, what)
    return model


def _codec(given: Mapping[str, Tensor], what: str) -> tuple[Tensor, nn.Conv2d, Decoder]:
    """The codebook and the decoding half of the VQ-GAN; the lowest level of it has attention."""
    levels = count(given, r"decoder\.up\.\d+\.block\.0\.conv1\.weight")
    tensors = {}
    for old, value in below(given, "decoder.").items():
        name = renamed(f".{old}", VAE_NAMES).removeprefix(".")
        name = re.sub(r"\.attn\.(\d+)\.norm\.", r".attentions.\1.group_norm.", name)
        name = re.sub(r"\.attn\.(\d+)\.([qkv])\.", r".attentions.\1.to_\2.", name)
        name = re.sub(r"\.attn\.(\d+)\.proj_out\.", r".attentions.\1.to_out.0.", name)
        name = name.replace(".block.", ".resnets.").replace(".upsample.", ".upsamplers.0.")
        name = re.sub(r"^up\.(\d+)\.", lambda match: f"up_blocks.{levels - 1 - int(match[1])}.", name)
        tensors[name] = value[:, :, 0, 0] if re.search(r"\.to_.*weight$", name) and value.dim() == 4 else value
    with_attention = [bool(count(tensors, rf"up_blocks\.{n}\.attentions\.0\.to_q\.weight")) for n in range(levels)]
    channels = [tensors[f"up_blocks.{n}.resnets.0.conv1.weight"].shape[0] for n in range(levels)]
    with torch.device("meta"):
        decoder = Decoder(
            in_channels=tensors["conv_in.weight"].shape[1],
            out_channels=tensors["conv_out.weight"].shape[0],
            up_block_types=tuple("AttnUpDecoderBlock2D" if here else "UpDecoderBlock2D" for here in with_attention),
            block_out_channels=tuple(reversed(channels)),
            layers_per_block=count(tensors, r"up_blocks\.0\.resnets\.\d+\.conv1\.weight") - 1,
        )
        outer, inner = given["post_quant_conv.weight"].shape[:2]
        before = nn.Conv2d(inner, outer, 1)
    fill(decoder, tensors, what)
    fill(before, below(given, "post_quant_conv."), what)
    codebook = given["quantize.embedding.weight"].float()
    return codebook, before.requires_grad_(False), decoder.eval().requires_grad_(False)


def _vocoder(path: Path) -> MelGan:
    given = read_tensors(path, "MelGAN, the vocoder of Diffsound")
    tensors = {}
    for name, value in given.items():
        if name.endswith(".weight_g"):  # weight normalisation: a direction and its length
            direction = given[name.replace(".weight_g", ".weight_v")]
            length = direction.norm(dim=tuple(range(1, direction.dim())), keepdim=True)
            tensors[name.removesuffix("_g")] = value * direction / length
        elif not name.endswith(".weight_v"):
            tensors[name] = value
    channels, bands = tensors["model.1.weight"].shape[:2]
    residuals = count(tensors, r"model\.\d+\.shortcut\.weight") // len(RATIOS)
    with torch.device("meta"):
        vocoder = MelGan(bands, channels // 2 ** len(RATIOS), residuals)
    fill(vocoder, tensors, f"{path} does not hold MelGAN")
    return vocoder.eval().requires_grad_(False)
