"""Where parts compute and wait, batches that memory does not allow, and the language model in 8 bits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.engine.child import worker_environment
from dcldm_plugin.errors import EngineFailed, InvalidInput
from dcldm_plugin.models.device import (
    Placement,
    Staged,
    choose_device,
    choose_dtype,
    compile_blocks,
    cuda_dtype,
    place,
    plan_memory,
    quantised,
    render_in_batches,
)
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig
from dcldm_plugin.settings import DEVICE_VARIABLE

pytestmark = pytest.mark.usefixtures("one_thread")

GB = 10**9


def test_a_device_that_is_not_here_is_refused_by_name() -> None:
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device().type in {"cpu", "cuda", "mps"}
    for wish in ("abacus", "cuda:99", "cuda:x", "cpu;rm"):
        with pytest.raises(InvalidInput, match="auto"):
            choose_device(wish)


def test_the_device_of_the_settings_is_taken_where_nothing_else_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "abacus")
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(InvalidInput, match="no device 'abacus'"):
        choose_device()
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert choose_device().type == "cpu"
    assert worker_environment(None, "mps")[DEVICE_VARIABLE] == "mps"


def test_precision_follows_the_device() -> None:
    assert choose_dtype(torch.device("cpu")) == torch.float32
    assert choose_dtype(torch.device("mps")) == torch.float16
    capabilities = {(6, 1): torch.float32, (7, 5): torch.float16, (8, 0): torch.bfloat16, (9, 0): torch.bfloat16}
    assert {each: cuda_dtype(each) for each in capabilities} == capabilities


def test_what_fits_stays_and_what_does_not_takes_turns() -> None:
    parts = [round(4 * GB), round(2 * GB), round(0.7 * GB)]
    assert plan_memory(parts, GB, 24 * GB, 32 * GB) == ("device", 8)
    assert plan_memory(parts, GB, 9 * GB, 32 * GB) == ("device", 2)
    assert plan_memory(parts, GB, 7 * GB, 32 * GB) == ("memory", 3)
    assert plan_memory(parts, GB, 7 * GB, 6 * GB) == ("disk", 3)
    assert plan_memory(parts, GB, 6 * GB, 6 * GB) == ("disk", 2)  # a CPU: both are the same memory
    with pytest.raises(EngineFailed, match=r"5\.0 GB"):
        plan_memory(parts, GB, 4 * GB, 32 * GB)


def test_a_small_chain_on_the_cpu_stays_there_and_renders_takes_one_by_one() -> None:
    assert place([1000, 2000], "cpu", language_model=3000) == Placement(torch.device("cpu"), torch.float32, "device", 1)


@pytest.mark.parametrize(("keep", "loaded"), [("device", 1), ("memory", 1), ("disk", 2)])
def test_a_part_is_loaded_when_its_turn_comes(keep: str, loaded: int) -> None:
    times = 0

    def load() -> nn.Module:
        nonlocal times
        times += 1
        return nn.Linear(2, 2)

    placement = Placement(keep=keep)  # type: ignore[arg-type]
    chain = Staged(placement, {"part": load})
    chain.register_module("part", None)
    for _ in range(2):
        with chain.at_work("part"):
            assert isinstance(chain.part, nn.Linear)
            assert not chain.part.weight.requires_grad
        assert (chain._modules["part"] is None) == (keep == "disk")
    assert times == loaded


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_made_twice() -> None:
    batches: list[list[int]] = []
    sizes: list[int] = []

    def work(items: range) -> Iterator[int]:
        batches.append(list(items))
        for item in items:
            if len(items) > 3 or (len(items) == 3 and item == 1):  # while preparing, and in the middle
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield item

    assert list(render_in_batches(8, work, 6, sizes.append)) == list(range(8))
    assert batches == [[0, 1, 2, 3, 4, 5], [0, 1, 2], [1], [2], [3], [4], [5], [6], [7]]
    assert sizes == [3, 1]


def test_one_that_does_not_fit_alone_and_other_mistakes_are_raised() -> None:
    def full(items: range) -> Iterator[int]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    def wrong(items: range) -> Iterator[int]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(torch.OutOfMemoryError):
        list(render_in_batches(1, full, 4, lambda batch: None))
    with pytest.raises(RuntimeError, match="shapes"):
        list(render_in_batches(4, wrong, 4, lambda batch: None))


def test_eight_bits_say_nearly_the_same_and_take_half_precision_weights() -> None:
    torch.manual_seed(0)
    config = MusicgenDecoderConfig(
        vocab_size=32, num_codebooks=2, hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=4,
        pad_token_id=32, bos_token_id=32, max_position_embeddings=16,
    )  # fmt: skip
    model = PlanModel(config, 16).eval()
    sequence, states = torch.randint(32, (1, 2, 5)), torch.randn(1, 3, 16)
    mask = torch.ones(1, 3, dtype=torch.bool)
    with torch.inference_mode():
        exact = model(sequence, states, mask)
        rough = quantised(model.half())(sequence, states, mask)
    kept = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    assert kept == ["enc_to_dec_proj"]
    assert float((rough - exact).abs().max()) < 0.05 * float(exact.abs().max())
    assert not torch.equal(rough, exact)


def test_compiled_blocks_keep_their_names_and_answers() -> None:
    torch.manual_seed(0)
    denoiser = DualTransformer(TransformerConfig(text_width=24, plan_width=8, width=32, heads=2, blocks=2))
    names = list(denoiser.state_dict())
    compile_blocks(denoiser, backend="eager")
    assert list(denoiser.state_dict()) == names
    assert all(block._compiled_call_impl is not None for block in denoiser.blocks)
