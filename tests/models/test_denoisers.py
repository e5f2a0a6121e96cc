"""Both tenants of the denoiser seam, and guidance."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dcldm_plugin.models.denoiser import Conditions, guided, predicted
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig, attended
from dcldm_plugin.models.unet import PLACES, Block, Condition, DualUNet, tango_config

TINY_UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": [16, 32, 32],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
    "use_linear_projection": True,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
}
TINY_TRANSFORMER = TransformerConfig(text_width=24, plan_width=8, width=32, heads=2, blocks=2)


KINDS = ["transformer", "unet", "light unet"]


def make(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "transformer":
        return DualTransformer(TINY_TRANSFORMER)
    return DualUNet(TINY_UNET, ("down", "up"), plan_width=8, block="light" if kind == "light unet" else "faithful")


def conditions(batch: int, seed: int = 0) -> Conditions:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(batch, 5, dtype=torch.bool)
    mask[:, 4:] = False
    return Conditions(
        torch.randn(batch, 5, 24, generator=generator), mask, torch.randn(batch, 32, 8, generator=generator)
    )


@pytest.mark.parametrize(
    ("places", "parameters"),
    [
        ((), 865_933_768),
        (("down",), 870_207_048),
        (("mid",), 899_056_328),
        (("up",), 872_343_688),
        (("down", "up"), 876_616_968),
    ],
)
def test_full_size_parameter_counts_of_table_1(places: tuple[str, ...], parameters: int) -> None:
    with torch.device("meta"):
        network = DualUNet(tango_config(), places)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    base = [name for name in network.state_dict() if ".acoustic." not in name]
    assert len(base) == 686  # TANGO's tensors, under their own names


def test_attention_stays_in_full_precision_where_half_is_slower() -> None:
    query, key, value = torch.randn(3, 2, 4, 7, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = attended(query, key, value)
    assert torch.equal(mixed, nn.functional.scaled_dot_product_attention(query, key, value))
    assert attended(query, key, value.bfloat16()).dtype == torch.bfloat16


def full_size(
    places: tuple[str, ...], block: Block = "faithful", condition: Condition = "text"
) -> tuple[DualUNet, int]:
    """A network on the meta device, and the operations of one evaluation for 10.24 s."""
    with torch.device("meta"):
        network = DualUNet(tango_config(), places, block=block, condition=condition)
        mask = torch.ones(1, 16, dtype=torch.bool)
        told = Conditions(torch.zeros(1, 16, 1024), mask, torch.zeros(1, 512, 128))
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 8, 256, 16), torch.zeros(1), told)
    return network, counter.get_total_flops()


def test_what_a_faithful_and_a_light_block_cost() -> None:
    _, base = full_size(())
    _, faithful = full_size(("down", "up"))
    network, light = full_size(("down", "up"), "light")
    assert base == pytest.approx(799e9, rel=0.01)
    assert faithful / base == pytest.approx(1.256, abs=0.01)
    assert light / base == pytest.approx(1.028, abs=0.005)
    assert len([name for name in network.state_dict() if ".acoustic." not in name]) == 686


def test_a_plan_in_the_place_of_the_text_has_table_1s_866_million_parameters() -> None:
    network, _ = full_size((), condition="plan")
    assert sum(parameter.numel() for parameter in network.parameters()) == 865_933_768 + 132_096


def test_a_plan_alone_is_all_that_such_a_network_is_told() -> None:
    torch.manual_seed(1)
    network = DualUNet(TINY_UNET, (), plan_width=8, condition="plan").eval()
    z, t, given, other = torch.randn(1, 4, 16, 8), torch.tensor([500]), conditions(1), conditions(1, seed=9)
    with torch.inference_mode():
        answer = network(z, t, given)
        assert torch.equal(network(z, t, Conditions(other.text, other.text_mask, given.plan)), answer)
        assert not torch.allclose(network(z, t, Conditions(given.text, given.text_mask, other.plan)), answer)
    with pytest.raises(ValueError, match="places"):
        DualUNet(TINY_UNET, ("mid",), condition="plan")


@pytest.mark.parametrize("block", ["faithful", "light"])
@pytest.mark.parametrize("places", [("down",), ("mid",), ("up",), ("down", "up"), PLACES])
def test_untrained_plan_leaves_the_base_unet_bit_for_bit(places: tuple[str, ...], block: Block) -> None:
    torch.manual_seed(1)
    network = DualUNet(TINY_UNET, places, plan_width=8, block=block).eval()
    given, z, t = conditions(2), torch.randn(2, 4, 16, 8), torch.tensor([3, 900])
    with torch.inference_mode():
        base = network.unet(z, t, given.text, encoder_attention_mask=given.text_mask).sample
        assert torch.equal(network(z, t, given), base)


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_later_everything_acoustic_learns(kind: str) -> None:
    network = make(kind)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    z, t = torch.randn(2, 4, 16, 16), torch.tensor([3, 900])
    for _ in range(3):
        optimizer.zero_grad()
        (network(z, t, conditions(2)) - z).square().mean().backward()
        optimizer.step()
    acoustic = [(name, p) for name, p in network.named_parameters() if "acoustic" in name]
    assert acoustic
    assert not [name for name, p in acoustic if p.grad is None or not p.grad.any()]


@pytest.mark.parametrize("kind", KINDS)
def test_text_time_and_plan_each_change_the_answer_and_padding_does_not(kind: str) -> None:
    network = make(kind).eval()
    torch.manual_seed(2)
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    z, t, given, other = torch.randn(1, 4, 16, 16), torch.tensor([500]), conditions(1), conditions(1, seed=9)
    with torch.inference_mode():
        answer = network(z, t, given)
        assert answer.shape == z.shape
        assert not torch.allclose(network(z, torch.tensor([10]), given), answer, atol=1e-4)
        with_text = Conditions(other.text, given.text_mask, given.plan)
        assert not torch.allclose(network(z, t, with_text), answer, atol=1e-4)
        with_plan = Conditions(given.text, given.text_mask, other.plan)
        assert not torch.allclose(network(z, t, with_plan), answer, atol=1e-4)
        padding = given.text.clone()
        padding[:, 4:] = 100.0
        assert torch.allclose(network(z, t, Conditions(padding, given.text_mask, given.plan)), answer, atol=1e-4)


def test_guidance_is_equation_8() -> None:
    def network(z: Tensor, t: Tensor, both: Conditions) -> Tensor:
        return z * both.text.mean(dim=(1, 2)).view(-1, 1, 1, 1)

    both = Conditions(
        torch.stack([torch.full((1, 2), 2.0), torch.full((1, 2), 0.5)]),
        torch.ones(2, 1, dtype=torch.bool),
        torch.zeros(2, 1, 2),
    )
    z = torch.randn(1, 4, 3, 2)
    alone, lead = guided(network, z, torch.tensor([1]), [both.first(1), both.last(1)], [1.0], 4.0)
    assert torch.allclose(alone, 2.0 * z)
    assert torch.allclose(alone + lead, 4.0 * 2.0 * z - 3.0 * 0.5 * z, rtol=1e-4)


def test_guidance_may_lead_by_the_words_and_then_by_the_plan() -> None:
    def network(z: Tensor, t: Tensor, given: Conditions) -> Tensor:
        words, plan = given.text.mean(dim=(1, 2)), given.plan.mean(dim=(1, 2))
        return z * (words + 10.0 * plan).view(-1, 1, 1, 1)

    def told(words: float, plan: float) -> Conditions:
        mask = torch.ones(1, 1, dtype=torch.bool)
        return Conditions(torch.full((1, 1, 2), words), mask, torch.full((1, 3, 2), plan))

    z, t, prompts = torch.randn(1, 4, 3, 2), torch.tensor([1]), [told(2.0, 1.0), told(4.0, 3.0), told(0.5, 0.2)]
    free, words, both = 0.5 + 2.0, 0.75 * 2.0 + 0.25 * 4.0 + 2.0, 0.75 * 12.0 + 0.25 * 34.0
    expected = free + 4.0 * (words - free) + 1.5 * (both - words)
    weights = [0.75, 0.25]
    alone, lead = guided(network, z, t, prompts, weights, 4.0, 1.5)
    assert torch.allclose(alone, both * z) and torch.allclose(alone + lead, expected * z, rtol=1e-4)
    assert torch.allclose(predicted(network, z, t, prompts[:-1], weights), both * z)
    alike, plain = (guided(network, z, t, prompts, weights, 4.0, scale) for scale in (4.0, None))
    assert torch.equal(alike[0], plain[0]) and torch.equal(alike[1], plain[1])  # equation 8


def test_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match="sideways"):
        DualUNet(TINY_UNET, ("sideways",))
