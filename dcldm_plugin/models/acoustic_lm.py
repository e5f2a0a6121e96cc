"""The acoustic plan: a language model over EnCodec's codes, decoded by our own loop.

One loop serves AudioGen at full size and the built-in model: both are a `MusicgenForCausalLM`, which holds
AudioGen's weights exactly. The loop follows Kreuk et al., "AudioGen" (https://arxiv.org/abs/2209.15352) with
the delay pattern of Copet et al., section 2.2 (https://arxiv.org/abs/2306.05284): codebook k of frame t is
predicted in step t + k, so that each step predicts one code of every codebook.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from transformers import EncodecModel, MusicgenForCausalLM
from transformers.models.musicgen.modeling_musicgen import MusicgenAttention, MusicgenDecoderLayer

from dcldm_plugin.types import Report

# The largest uniform draw. Below 1 by more than float32 rounding, so that `draw * total` stays below `total`.
LARGEST_DRAW = 1.0 - 2.0**-20


def delay(codes: Tensor, special: float) -> Tensor:
    """codes [batch, codebooks, frames] -> [batch, codebooks, frames + codebooks], codebook k later by k + 1.

    What is left free is `special`: in particular all of the first column, the start. A language model's input
    are all columns but the last one, its targets all but the first.
    """
    batch, codebooks, frames = codes.shape
    columns = codes.new_full((batch, codebooks, frames + codebooks), special)
    for codebook in range(codebooks):
        columns[:, codebook, codebook + 1 : codebook + 1 + frames] = codes[:, codebook]
    return columns


def aligned(columns: Tensor) -> Tensor:
    """The codes [batch, codebooks, frames] of which `delay` made columns [batch, codebooks, steps + 1]."""
    codebooks = columns.shape[1]
    frames = columns.shape[2] - codebooks
    return torch.stack([columns[:, k, k + 1 : k + 1 + frames] for k in range(codebooks)], dim=1)


class Decoder:
    """The forward pass of a `MusicgenForCausalLM`, a few steps at a time, with nothing done twice.

    Keys and values of the text are computed once; those of the codes are written into tensors of fixed
    size. The modules of `language_model` are called as they are, so a quantised copy works as well.

    text_states: [batch, tokens, width], width as the language model's.
    text_mask: [batch, tokens] bool, True where a state may be attended to; None for all of them.
    positions: how many steps there will be at most.
    """

    def __init__(
        self,
        language_model: MusicgenForCausalLM,
        text_states: Tensor,
        text_mask: Tensor | None,
        positions: int,
    ) -> None:
        decoder = language_model.model.decoder
        self.layers = [cast(MusicgenDecoderLayer, layer) for layer in decoder.layers]
        self.embeddings = list(decoder.embed_tokens)
        self.final_norm = decoder.layer_norm
        self.heads = list(language_model.lm_heads)
        width = decoder.embed_positions.embedding_dim
        self.places = decoder.embed_positions.get_embedding(positions, width).to(text_states)
        batch = text_states.shape[0]
        self.text = [  # a layer's keys and values, each [batch, heads, tokens, head width]
            (
                _split(layer.encoder_attn.k_proj(text_states), layer.encoder_attn).contiguous(),
                _split(layer.encoder_attn.v_proj(text_states), layer.encoder_attn).contiguous(),
            )
            for layer in self.layers
        ]
        self.text_mask = None if text_mask is None else text_mask[:, None, None, :]
        attention = self.layers[0].self_attn
        shape = (len(self.layers), batch, attention.num_heads, positions, attention.head_dim)
        self.keys = text_states.new_empty(shape)
        self.values = text_states.new_empty(shape)
        self.position = 0

    def step(self, codes: Tensor) -> Tensor:
        """Take codes [batch, codebooks, steps] (delayed; the vocabulary's size stands for "no code").

        Returns the logits of the step that follows the last one: [batch, codebooks, vocabulary].
        """
        start, stop = self.position, self.position + codes.shape[-1]
        hidden = self.places[start:stop].expand(codes.shape[0], -1, -1)
        for codebook, embedding in enumerate(self.embeddings):
            hidden = hidden + embedding(codes[:, codebook])
        causal = None  # one step may look at all that is there
        if stop - start > 1:
            causal = torch.ones(stop - start, stop, dtype=torch.bool, device=codes.device).tril(start)
        for index, layer in enumerate(self.layers):
            attention = layer.self_attn
            normed = layer.self_attn_layer_norm(hidden)
            keys, values = self.keys[index], self.values[index]
            keys[:, :, start:stop] = _split(attention.k_proj(normed), attention)
            values[:, :, start:stop] = _split(attention.v_proj(normed), attention)
            hidden = hidden + _attend(attention, normed, keys[:, :, :stop], values[:, :, :stop], causal)
            normed = layer.encoder_attn_layer_norm(hidden)
            hidden = hidden + _attend(layer.encoder_attn, normed, *self.text[index], self.text_mask)
            normed = layer.final_layer_norm(hidden)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(normed)))
        self.position = stop
        last = self.final_norm(hidden[:, -1])
        return torch.stack([head(last) for head in self.heads], dim=1)

    def keep(self, rows: Tensor) -> None:
        """Go on with some items of the batch only."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.text = [(keys[rows], values[rows]) for keys, values in self.text]
        self.text_mask = None if self.text_mask is None else self.text_mask[rows]


def _split(projected: Tensor, attention: MusicgenAttention) -> Tensor:
    """[batch, steps, width] as [batch, heads, steps, head width]."""
    batch, steps, _ = projected.shape
    return projected.view(batch, steps, attention.num_heads, attention.head_dim).transpose(1, 2)


def _attend(attention: MusicgenAttention, normed: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    queries = _split(attention.q_proj(normed), attention)
    seen = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return cast(Tensor, attention.out_proj(seen.transpose(1, 2).flatten(2)))


@torch.inference_mode()
def sample_codes(
    language_model: MusicgenForCausalLM,
    text_states: Tensor,
    text_mask: Tensor | None,
    frames: int,
    *,
    generators: Sequence[torch.Generator],
    temperature: float = 1.0,
    top_k: int = 250,
    guidance_scale: float = 3.0,
    empty_states: Tensor | None = None,
    empty_mask: Tensor | None = None,
    zero_padding: bool = True,
    prompt_codes: Tensor | None = None,
    report: Report | None = None,
    choose: Callable[[Tensor], Tensor] | None = None,
    choose_at: Sequence[int] = (),
) -> Tensor:
    """Draw codes [batch, codebooks, frames] (int64) for a batch of encoded texts.

    text_states: [batch, tokens, width]; text_mask: [batch, tokens], 0 at padding, or None.
    generators: one a batch item, on the CPU. An item's codes depend on its generator's seed alone, not on
        what else is in the batch (apart from rounding in the matrix products, which can tip a draw that
        falls exactly between two codes), and a frame's not on how many follow, but for the last few.
    temperature: 0 takes the likeliest code in each step. top_k: 0 draws from all codes.
    guidance_scale: logits = empty + scale * (text - empty). At 1 the empty text is not computed at all.
    empty_states: [1 or batch, tokens, width] with their empty_mask; None stands for zeros (AudioGen).
    zero_padding: padded states are zeroed and attended to, as AudioGen was trained; False masks them.
    prompt_codes: [batch, codebooks, known frames <= frames], kept as they are and continued.
    report: called as report("planning", fraction) in each step; what it raises ends the loop.
    choose: told the first `choose_at` frames (counts; more than `frames`, or none: all frames) of the items that are
        left, as soon as these frames are drawn, it says which items are worth to go on with; the codes of those
        that are left at last are returned.
    """
    config = language_model.config
    batch = text_states.shape[0]
    if len(generators) != batch:
        raise ValueError(f"{batch} texts need {batch} generators, not {len(generators)}")
    known = 0 if prompt_codes is None else prompt_codes.shape[-1]
    if known > frames:
        raise ValueError(f"{known} known frames do not fit into {frames}")
    guided = guidance_scale != 1.0
    states, mask = text_states, _whole(text_mask, text_states)
    if guided:
        if empty_states is None:
            empty_states, empty_mask = torch.zeros_like(text_states), mask
        states, mask = _with_empty(states, mask, empty_states, _whole(empty_mask, empty_states))
    states = states.to(language_model.dtype)
    if zero_padding:
        states = states * mask.unsqueeze(-1)

    codes = torch.zeros(batch, config.num_codebooks, frames, dtype=torch.int64, device=states.device)
    if prompt_codes is not None:
        codes[..., :known] = prompt_codes
    columns = delay(codes, config.vocab_size)  # step s reads column s and fills column s + 1
    unknown = delay((torch.arange(frames) >= known).expand(1, config.num_codebooks, -1), False).to(states.device)
    draws = torch.stack([torch.rand(frames, config.num_codebooks, generator=generator) for generator in generators])
    draws = delay(draws.clamp(max=LARGEST_DRAW).transpose(1, 2), 0).to(states.device)

    steps = columns.shape[-1] - 1
    decoder = Decoder(language_model, states, None if zero_padding else mask, steps)
    for column in range(known + 1, steps + 1):
        if report is not None:
            report("planning", (column - known - 1) / (steps - known))
        given = columns[..., decoder.position : column]
        logits = decoder.step(given.repeat(2, 1, 1) if guided else given).float()
        if guided:
            with_text, without = logits.chunk(2)
            logits = without + guidance_scale * (with_text - without)
        drawn = draw(logits, draws[..., column], temperature, top_k)
        columns[..., column] = torch.where(unknown[..., column], drawn, columns[..., column])
        heard = column - config.num_codebooks + 1
        if choose is not None and heard in choose_at and heard < frames:
            rows = choose(aligned(columns)[..., :heard])
            decoder.keep(torch.cat([rows, rows + len(columns)]) if guided else rows)
            columns, draws = columns[rows], draws[rows]
    if report is not None:
        report("planning", 1.0)
    made = aligned(columns)
    at_the_end = max(choose_at, default=frames) >= frames
    return made[choose(made)] if choose is not None and at_the_end else made


def draw(logits: Tensor, uniform: Tensor, temperature: float = 1.0, top_k: int = 0) -> Tensor:
    """Codes [...] drawn from logits [..., vocabulary] by uniform numbers [...], 0 <= u < 1.

    The distribution function is inverted in the order of the vocabulary: rounding then moves the borders
    between codes by a millionth, where an order by likelihood would swap codes that are nearly equal.
    """
    if temperature <= 0.0 or top_k == 1:
        return logits.argmax(-1)
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    cumulative = torch.softmax(logits / temperature, dim=-1).cumsum(-1)
    return torch.searchsorted(cumulative, (uniform * cumulative[..., -1]).unsqueeze(-1), right=True).squeeze(-1)


def _whole(mask: Tensor | None, states: Tensor) -> Tensor:
    """A mask [batch, tokens] as bool; all True where there is none."""
    return torch.ones(states.shape[:2], dtype=torch.bool, device=states.device) if mask is None else mask.bool()


def _with_empty(states: Tensor, mask: Tensor, empty: Tensor, empty_mask: Tensor) -> tuple[Tensor, Tensor]:
    """The texts, then the empty text as often: states [2 * batch, tokens, width] and mask, padded alike."""
    batch, tokens = states.shape[0], max(states.shape[1], empty.shape[1])
    both = [functional.pad(each, (0, 0, 0, tokens - each.shape[1])) for each in (states, empty.to(states))]
    masks = [functional.pad(each, (0, tokens - each.shape[1])) for each in (mask, empty_mask.to(mask))]
    return torch.cat([both[0], both[1].expand(batch, -1, -1)]), torch.cat([masks[0], masks[1].expand(batch, -1)])


@torch.inference_mode()
def latents(codec: EncodecModel, codes: Tensor) -> Tensor:
    """E_t2a (section 2.2), the sum of vectors: [batch, codebooks, frames] -> [batch, frames, width]."""
    return codec.quantizer.decode(codes.transpose(0, 1)).transpose(1, 2)


@torch.inference_mode()
def decoded(codec: EncodecModel, vectors: Tensor) -> Tensor:
    """The sounds [batch, samples] of E_t2a [batch, frames, width], at the codec's rate."""
    return _one_by_one(codec.decoder, vectors.transpose(1, 2))[:, 0]


@torch.inference_mode()
def encode(codec: EncodecModel, audio: Tensor, codebooks: int | None = None) -> Tensor:
    """Audio [batch, 1, time] at the codec's rate -> codes [batch, codebooks, frames], int64.

    codebooks: how many of the codec's codebooks to use, the coarsest first; None for all.
    """
    return codec.quantizer.encode(_one_by_one(codec.encoder, audio))[:codebooks].transpose(0, 1)


def _one_by_one(part: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """On a CPU; what is computed then stays in the cache, which makes it four times as fast."""
    return torch.cat([part(each) for each in batch.chunk(len(batch))]) if batch.device.type == "cpu" else part(batch)
