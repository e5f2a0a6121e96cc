"""The decode loop of the acoustic language model, against transformers' own forward pass."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor
from transformers import EncodecConfig, EncodecModel, MusicgenForCausalLM
from transformers.models.encodec.modeling_encodec import EncodecEuclideanCodebook
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.errors import Cancelled
from dcldm_plugin.models.acoustic_lm import Decoder, aligned, decoded, delay, draw, encode, latents, sample_codes

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY, CODEBOOKS, WIDTH, FRAMES = 32, 3, 24, 12


@pytest.fixture(scope="module")
def language_model() -> MusicgenForCausalLM:
    torch.manual_seed(0)
    config = MusicgenDecoderConfig(
        vocab_size=VOCABULARY,
        num_codebooks=CODEBOOKS,
        hidden_size=WIDTH,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=VOCABULARY,
        bos_token_id=VOCABULARY,
    )
    model = MusicgenForCausalLM(config)
    model.train(False)
    for parameter in model.parameters():  # far from the tiny default, so that mistakes show
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def text() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    states = torch.randn(2, 7, WIDTH, generator=random)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    return states, mask


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def some_codes(batch: int, frames: int = FRAMES) -> Tensor:
    random = torch.Generator().manual_seed(2)
    return torch.randint(VOCABULARY, (batch, CODEBOOKS, frames), generator=random)


@pytest.mark.parametrize("masked", [False, True])
def test_steps_equal_the_whole_forward_pass(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor], masked: bool
) -> None:
    states, mask = text
    sequence = delay(some_codes(2), VOCABULARY)[..., :-1]
    with torch.inference_mode():
        whole = language_model(
            sequence.reshape(2 * CODEBOOKS, -1),
            encoder_hidden_states=states,
            encoder_attention_mask=mask.long() if masked else None,
        ).logits.view(2, CODEBOOKS, -1, VOCABULARY)
        for first in (1, 5):  # one by one, and after a longer beginning at once
            decoder = Decoder(language_model, states, mask if masked else None, sequence.shape[-1])
            starts = [0, *range(first, sequence.shape[-1])]
            for start, stop in zip(starts, [*starts[1:], sequence.shape[-1]], strict=True):
                logits = decoder.step(sequence[..., start:stop])
                torch.testing.assert_close(logits, whole[:, :, stop - 1], atol=1e-4, rtol=0)


def test_greedy_codes_follow_the_delay_pattern(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]
) -> None:
    """The loop, done the slow way: each step runs the whole sequence, guided, through transformers."""
    states, mask = text
    zeroed = states * mask[..., None]
    columns = torch.full((2, CODEBOOKS, FRAMES + CODEBOOKS), VOCABULARY)
    with torch.inference_mode():
        for column in range(1, FRAMES + CODEBOOKS):
            given = columns[..., :column].repeat(2, 1, 1).reshape(-1, column)
            both = torch.cat([zeroed, torch.zeros_like(zeroed)])
            logits = language_model(given, encoder_hidden_states=both).logits[:, -1].view(4, CODEBOOKS, -1)
            guided = logits[2:] + 3.0 * (logits[:2] - logits[2:])
            for codebook in range(CODEBOOKS):
                if 0 <= column - 1 - codebook < FRAMES:
                    columns[:, codebook, column] = guided[:, codebook].argmax(-1)
    codes = sample_codes(language_model, states, mask, FRAMES, generators=generators(0, 0), temperature=0.0)
    assert codes.dtype == torch.int64
    assert torch.equal(delay(codes, VOCABULARY), columns)


def test_an_item_is_the_same_alone_and_in_a_batch(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]
) -> None:
    states, mask = text
    together = sample_codes(language_model, states, mask, FRAMES, generators=generators(5, 6))
    for item, seed in enumerate((5, 6)):
        one = slice(item, item + 1)
        alone = sample_codes(language_model, states[one], mask[one], FRAMES, generators=generators(seed))
        assert torch.equal(alone, together[one])
    other = sample_codes(language_model, states, mask, FRAMES, generators=generators(7, 6))
    assert not torch.equal(other[0], together[0])
    assert torch.equal(other[1], together[1])
    longer = sample_codes(language_model, states, mask, FRAMES + 5, generators=generators(5, 6))
    alike = FRAMES - CODEBOOKS + 1  # the last frames' later codebooks are drawn where the first has ended
    assert torch.equal(longer[..., :alike], together[..., :alike])


@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("zero_padding", [False, True])
@pytest.mark.parametrize("by", [None, 1, 5, FRAMES - 1, FRAMES, FRAMES + 9])
def test_what_is_not_chosen_is_not_gone_on_with(
    language_model: MusicgenForCausalLM,
    text: tuple[Tensor, Tensor],
    by: int | None,
    zero_padding: bool,
    scale: float,
) -> None:
    states, mask = (each.repeat(2, *[1] * (each.dim() - 1)) for each in text)
    settings: dict[str, Any] = {"guidance_scale": scale, "zero_padding": zero_padding}
    whole = sample_codes(language_model, states, mask, FRAMES, generators=generators(3, 4, 5, 6), **settings)
    heard = []

    def choose(codes: Tensor) -> Tensor:
        heard.append(codes)
        return torch.tensor([2, 1])

    settings |= {"choose": choose, "choose_at": () if by is None else (by,)}
    chosen = sample_codes(language_model, states, mask, FRAMES, generators=generators(3, 4, 5, 6), **settings)
    assert torch.equal(chosen, whole[[2, 1]])
    (asked,) = heard
    assert torch.equal(asked, whole[:, :, :by])


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_items_are_left_behind_one_after_the_other(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor], scale: float
) -> None:
    states, mask = (each.repeat(3, *[1] * (each.dim() - 1)) for each in text)
    seeds = generators(3, 4, 5, 6, 7, 8), generators(3, 4, 5, 6, 7, 8)
    whole = sample_codes(language_model, states, mask, FRAMES, generators=seeds[0], guidance_scale=scale)
    rows = iter([torch.tensor([5, 1, 2, 0]), torch.tensor([3, 2]), torch.tensor([1])])
    left = [[0, 1, 2, 3, 4, 5], [5, 1, 2, 0], [0, 2], [2]]

    def choose(codes: Tensor) -> Tensor:
        assert torch.equal(codes, whole[left[0], :, : codes.shape[-1]])
        heard.append(codes.shape[-1])
        left.pop(0)
        return next(rows)

    heard: list[int] = []
    chosen = sample_codes(
        language_model,
        states,
        mask,
        FRAMES,
        generators=seeds[1],
        guidance_scale=scale,
        choose=choose,
        choose_at=(2, 4, FRAMES),
    )
    assert heard == [2, 4, FRAMES]
    assert torch.equal(chosen, whole[[2]])


def test_a_prompt_is_kept_and_continued(language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]) -> None:
    states, mask = text
    whole = sample_codes(language_model, states, mask, FRAMES, generators=generators(5, 6))
    again = sample_codes(language_model, states, mask, FRAMES, generators=generators(5, 6), prompt_codes=whole[..., :5])
    assert torch.equal(again, whole)  # the same draws at the same places, so the same seed says the same
    other = sample_codes(language_model, states, mask, FRAMES, generators=generators(8, 9), prompt_codes=whole[..., :5])
    assert torch.equal(other[..., :5], whole[..., :5])
    assert not torch.equal(other[..., 5:], whole[..., 5:])
    full = sample_codes(language_model, states, mask, FRAMES, generators=generators(8, 9), prompt_codes=whole)
    assert torch.equal(full, whole)


def test_guidance_of_one_leaves_the_empty_text_out(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]
) -> None:
    states, mask = text
    nothing = torch.full((1, 2, WIDTH), torch.nan)

    def codes(scale: float, empty: Tensor | None, zero_padding: bool = True) -> Tensor:
        return sample_codes(
            language_model,
            states,
            mask,
            FRAMES,
            generators=generators(5, 6),
            guidance_scale=scale,
            empty_states=empty,
            zero_padding=zero_padding,
        )

    assert torch.equal(codes(1.0, nothing), codes(1.0, None))
    assert not torch.equal(codes(3.0, None), codes(1.0, None))
    assert not torch.equal(codes(3.0, torch.ones(1, 2, WIDTH)), codes(3.0, None))
    # Masked padding is not looked at, whatever stands there; zeroed padding takes its share of attention.
    assert not torch.equal(codes(3.0, None, zero_padding=False)[1], codes(3.0, None)[1])


def test_masked_padding_changes_nothing(language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]) -> None:
    states, mask = text
    empty = torch.ones(1, 9, WIDTH)  # longer than the texts, which are then padded
    padded, short = (
        sample_codes(
            language_model,
            states[1:, :length],
            mask[1:, :length],
            FRAMES,
            generators=generators(6),
            empty_states=empty,
            zero_padding=False,
        )
        for length in (7, 4)
    )
    assert torch.equal(padded, short)


def test_report_is_called_in_each_step_and_cancels(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]
) -> None:
    states, mask = text
    seen: list[float] = []

    def report(stage: str, fraction: float) -> None:
        assert stage == "planning"
        seen.append(fraction)
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        sample_codes(language_model, states, mask, FRAMES, generators=generators(5, 6), report=report)
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert len(seen) == (FRAMES + CODEBOOKS - 1) // 2 + 2


def test_too_few_generators_or_a_prompt_too_long_are_mistakes(
    language_model: MusicgenForCausalLM, text: tuple[Tensor, Tensor]
) -> None:
    states, mask = text
    with pytest.raises(ValueError, match="2 generators"):
        sample_codes(language_model, states, mask, FRAMES, generators=generators(5))
    with pytest.raises(ValueError, match="13 known frames"):
        sample_codes(language_model, states, mask, FRAMES, generators=generators(5, 6), prompt_codes=some_codes(2, 13))


def test_the_delay_is_undone() -> None:
    columns = delay(torch.tensor([[[1, 2], [3, 4], [5, 6]]]), 9)
    assert columns.tolist() == [[[9, 1, 2, 9, 9], [9, 9, 3, 4, 9], [9, 9, 9, 5, 6]]]
    assert torch.equal(aligned(delay(some_codes(2), 9)), some_codes(2))


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, -1.0, 1.0, 0.0, 1.5])
    uniform = (torch.arange(100_000) + 0.5) / 100_000
    wide = logits.expand(len(uniform), -1)
    shares = torch.bincount(draw(wide, uniform), minlength=5) / len(uniform)
    torch.testing.assert_close(shares, torch.softmax(logits, 0), atol=1e-4, rtol=0)
    kept = torch.bincount(draw(wide, uniform, temperature=0.5, top_k=3), minlength=5) / len(uniform)
    best = torch.tensor([2.0, -torch.inf, 1.0, -torch.inf, 1.5])
    torch.testing.assert_close(kept, torch.softmax(best / 0.5, 0), atol=1e-4, rtol=0)
    assert not draw(wide, uniform, temperature=0.0).any()
    assert not draw(wide, uniform, top_k=1).any()


def test_codes_and_latents_of_a_codec() -> None:
    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=16_000,
        upsampling_ratios=[8, 5, 4, 2],
        target_bandwidths=[2.2],
        num_filters=4,
        hidden_size=16,
        codebook_dim=16,
        codebook_size=VOCABULARY,
        num_lstm_layers=1,
        use_causal_conv=False,
        normalize=False,
    )
    codec = EncodecModel(config)
    codec.train(False)
    books = [cast(EncodecEuclideanCodebook, layer.codebook).embed for layer in codec.quantizer.layers]
    for book in books:
        torch.nn.init.normal_(book)
    audio = torch.randn(2, 1, 16_000)
    codes = encode(codec, audio)
    assert codes.shape == (2, len(books), 50)
    assert torch.equal(encode(codec, audio, codebooks=2), codes[:, :2])
    summed = latents(codec, codes)
    assert summed.shape == (2, 50, 16)
    torch.testing.assert_close(summed, torch.stack([book[codes[:, k]] for k, book in enumerate(books)]).sum(0))
    with torch.inference_mode():  # the codec's own ways to the same
        own: Any = codec
        assert torch.equal(codes, own.encode(audio, bandwidth=2.2).audio_codes[0])
        heard = own.decode(codes.unsqueeze(0), [None]).audio_values
        torch.testing.assert_close(decoded(codec, summed), heard[:, 0])
