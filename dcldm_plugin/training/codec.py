"""Training of the EnCodec codec whose tokens are the acoustic plan.

transformers' `EncodecModel` can only run a quantiser, so its residual codebooks are learned here: the
first part of the run has none, then they start from the encoder's own vectors and follow them by a moving
average (van den Oord et al. 2017, appendix A.1), with unused entries drawn anew, as in EnCodec's paper
(https://arxiv.org/abs/2210.13438, section 3.2). No discriminator: the plan has to say what happens when,
and its decoded sound is only ever a sketch.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import EncodecConfig, EncodecModel
from transformers.models.encodec.modeling_encodec import EncodecConv1d, EncodecConvTranspose1d

from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.training.config import SoundRecipe
from dcldm_plugin.training.draw import Draw
from dcldm_plugin.training.precompute import AudioSet
from dcldm_plugin.training.vae import pieces

DECAY = 0.98
COMMITMENT = 0.25


def small_codec_config() -> EncodecConfig:
    """The built-in size: 16 kHz, 25 frames a second of 2 codebooks x 512, vectors of 128."""
    return EncodecConfig(
        sampling_rate=16_000,
        audio_channels=1,
        target_bandwidths=[0.45],  # kbit/s = 25 Hz x 2 books x 9 bits
        num_filters=8,
        upsampling_ratios=[8, 5, 4, 4],
        hidden_size=128,
        codebook_size=512,
        num_lstm_layers=1,
        use_causal_conv=False,
        norm_type="weight_norm",
        use_conv_shortcut=False,
    )


def _nearest(x: Tensor, codebook: Tensor) -> Tensor:
    """Index [n] of the nearest of codebook [size, width] for each of x [n, width]."""
    distance = codebook.square().sum(1) - 2.0 * x @ codebook.T
    return distance.argmin(1)


class TrainableCodec(nn.Module):
    """An `EncodecModel` with a quantiser that learns. `quantising` says whether it takes part."""

    quantising: Tensor

    def __init__(self, codec: EncodecModel) -> None:
        super().__init__()
        self.codec, config = codec, codec.config
        # Two mel frames (hop 320) to a latent frame (hop 640).
        self.mel_head = nn.Conv1d(config.hidden_size, 2 * 64, kernel_size=3, padding=1)
        self.register_buffer("quantising", torch.zeros((), dtype=torch.bool))

    def start_codebooks_anew(self) -> None:
        """From the vectors of the first batch that is quantised."""
        for layer in self.codec.quantizer.layers:
            book: Any = layer.codebook
            book.inited.fill_(False)

    def quantise(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """latent [batch, width, frames] -> (quantised with a straight-through gradient, commitment).

        While it learns, half of the items get their first codebooks only, so that those say what matters most.
        """
        count, frames = len(latent), latent.shape[2]
        books = len(self.codec.quantizer.layers)
        kept = torch.where(torch.rand(count) < 0.5, torch.randint(1, books + 1, (count,)), books)
        kept = kept.repeat_interleave(frames)[:, None] if self.training else torch.full((1, 1), books)
        residual = latent.transpose(1, 2).reshape(-1, latent.shape[1])
        flat, total = residual, torch.zeros_like(residual)
        commitment = residual.new_zeros(())
        for level, layer in enumerate(self.codec.quantizer.layers):
            book: Any = layer.codebook
            if not bool(book.inited):
                _start_codebook(book, residual.detach())
            index = _nearest(residual.detach(), book.embed)
            chosen = book.embed[index]
            if self.training:
                _follow(book, residual.detach(), index)
            commitment = commitment + functional.mse_loss(residual, chosen)
            total = total + chosen * (kept > level)
            residual = residual - chosen
        straight = flat + (total - flat).detach()
        return straight.view(len(latent), -1, latent.shape[1]).transpose(1, 2), commitment

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """audio [batch, 1, samples] -> (rebuilt audio, mel [batch, frames, 64] read off, commitment)."""
        latent = self.codec.encoder(audio)
        commitment = latent.new_zeros(())
        if bool(self.quantising):
            latent, commitment = self.quantise(latent)
        mel = self.mel_head(latent).transpose(1, 2).reshape(len(latent), -1, 64)
        return self.codec.decoder(latent)[..., : audio.shape[-1]], mel, commitment


@torch.no_grad()
def start_at_unit_scale(model: TrainableCodec, audio: Tensor) -> None:
    """Scale every convolution so that its output has deviation 1 on audio [batch, 1, samples].

    At their stock start the biases drown the signal (a deviation of 0.003 at the latents), and nothing is
    learned for hundreds of steps. After Mishkin and Matas 2016 (https://arxiv.org/abs/1511.06422).
    """
    done: set[nn.Module] = set()

    def rescale(module: Any, _: object, output: Tensor) -> Tensor | None:
        if module in done:
            return None
        done.add(module)
        scale = output.std()
        module.conv.parametrizations.weight.original0.div_(scale)
        return output / scale

    hooks = []
    for module in model.codec.modules():
        if isinstance(module, EncodecConv1d | EncodecConvTranspose1d):
            nn.init.zeros_(cast(Tensor, module.conv.bias))
            hooks.append(module.register_forward_hook(rescale))
    model.codec.decoder(model.codec.encoder(audio))
    for hook in hooks:
        hook.remove()


def _start_codebook(book: Any, vectors: Tensor, rounds: int = 8) -> None:
    """k-means from the batch's own vectors; with fewer vectors than entries, some repeat with noise."""
    size = len(book.embed)
    centres = vectors[torch.randint(len(vectors), (size,))] + 1e-3 * torch.randn(size, vectors.shape[1])
    for _ in range(rounds):
        index = _nearest(vectors, centres)
        counts = torch.bincount(index, minlength=size).clamp(min=1)
        sums = torch.zeros_like(centres).index_add_(0, index, vectors)
        used = torch.bincount(index, minlength=size) > 0
        centres = torch.where(used[:, None], sums / counts[:, None], centres)
    book.embed.copy_(centres)
    book.embed_avg.copy_(centres)
    book.cluster_size.fill_(1.0)
    book.inited.fill_(True)


def _follow(book: Any, vectors: Tensor, index: Tensor) -> None:
    """Move each entry towards the mean of its vectors; draw the unused anew."""
    counts = torch.bincount(index, minlength=len(book.embed)).to(vectors.dtype)
    sums = torch.zeros_like(book.embed_avg).index_add_(0, index, vectors)
    book.cluster_size.lerp_(counts, 1.0 - DECAY)
    book.embed_avg.lerp_(sums, 1.0 - DECAY)
    book.embed.copy_(book.embed_avg / book.cluster_size[:, None].clamp(min=1e-3))
    dead = book.cluster_size < 0.02
    if bool(dead.any()):
        fresh = vectors[torch.randint(len(vectors), (int(dead.sum()),))]
        book.embed[dead] = fresh
        book.embed_avg[dead] = fresh
        book.cluster_size[dead] = 1.0


def _audible(log_mel: Tensor) -> Tensor:
    """Log-mel over a floor. Added, not clamped: a silent output must still feel which way is louder."""
    return torch.logaddexp(log_mel, log_mel.new_tensor(-7.0))


class CodecLoss:
    """Log-mel distances of the head and, at four resolutions, of the sound; and the commitment."""

    def __init__(self, data: AudioSet, recipe: SoundRecipe, rate: int = 16_000) -> None:
        self.data, self.recipe, self.samples = data, recipe, round(recipe.seconds * rate)
        self.mels = [
            MelSpectrogram(MelConfig(window=window, hop=window // 4, mels=mels))
            for window, mels in ((256, 20), (512, 40), (1024, 64), (2048, 64))
        ]
        self.head_mel = MelSpectrogram(MelConfig(hop=320))

    def __call__(self, model: nn.Module, draw: Draw) -> dict[str, Tensor]:
        assert isinstance(model, TrainableCodec)
        audio = pieces(self.data.audio(draw.rows), draw.own(), self.samples).to(draw.device)
        if draw.step >= self.recipe.plain_steps and model.training:
            model.quantising.fill_(True)
        rebuilt, head, commitment = model(audio[:, None])
        wanted = _audible(self.head_mel.to(draw.device)(audio))
        read = (head[:, : wanted.shape[1]] - wanted).abs().mean()
        mels = [mel.to(draw.device) for mel in self.mels]
        spectral = torch.stack(
            [(_audible(mel(rebuilt[:, 0])) - _audible(mel(audio))).abs().mean() for mel in mels]
        ).mean()
        return {
            "total": read + 0.5 * spectral + COMMITMENT * commitment,
            "mel read": read,
            "spectral": spectral,
            "commitment": commitment,
        }
