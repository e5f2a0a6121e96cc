"""The chain on a tiny model: batches, plans that are kept, guidance, and both encodings of the plan."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import BertConfig, BertModel, EncodecConfig, EncodecModel
from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

from dcldm_plugin.audio import events
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm, dcldm, variation
from dcldm_plugin.models.dcldm import (
    FULL_SIZE_DEFAULTS,
    ChainConfig,
    Defaults,
    DualConditionedLatentDiffusion,
    further,
)
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.device import Placement
from dcldm_plugin.models.latent import LatentSpace, MelRange
from dcldm_plugin.models.lineage import candidate
from dcldm_plugin.models.matcher import Matcher
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.phrasebook import Phrasebook, mean_states
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.plan_cache import PlanCache
from dcldm_plugin.models.schedule import SAMPLERS
from dcldm_plugin.models.sound import Levels
from dcldm_plugin.models.text import TextEncoder
from dcldm_plugin.models.transformer import DualTransformer, TransformerConfig
from dcldm_plugin.models.unet import DualUNet
from dcldm_plugin.models.variation import Variations, read_reference
from dcldm_plugin.models.wishes import Wishes
from dcldm_plugin.types import AudioSource, Control, GenerationRequest, Parent, Prompt, Sampling, Seeds, unheard

pytestmark = pytest.mark.usefixtures("one_thread")

SEEDS = [Seeds(1, 5), Seeds(2, 6), Seeds(1, 7)]
SAMPLING = Sampling("dpm++", 4, 2.0)
UNET: dict[str, Any] = {
    "in_channels": 2,
    "out_channels": 2,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
    "cross_attention_dim": 16,
    "use_linear_projection": True,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
}


class Words:
    """A tokenizer: one token a word, by its length; the empty text is one token, as T5's is."""

    def __call__(self, texts: list[str], **keywords: object) -> Any:
        from transformers import BatchEncoding

        rows = [[min(len(word), 15) for word in text.split()] or [0] for text in texts]
        longest = max(map(len, rows))
        return BatchEncoding(
            {
                "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
                "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
            }
        )


def text_encoder() -> TextEncoder:
    config = BertConfig(vocab_size=16, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    return TextEncoder(Words(), BertModel(config))


def plan_model() -> PlanModel:
    config = MusicgenDecoderConfig(
        vocab_size=32, num_codebooks=2, hidden_size=16, ffn_dim=16, num_hidden_layers=1, num_attention_heads=2,
        pad_token_id=32, bos_token_id=32, max_position_embeddings=64,
    )  # fmt: skip
    return PlanModel(config, 16)


def smooth_vocoder(log_mel: Tensor) -> Tensor:
    """[batch, frames, mels] -> [batch, samples]: no vocoder, but every number counts a little."""
    return log_mel.mean(-1).repeat_interleave(320, dim=1)


def make(config: ChainConfig | None = None, **more: Any) -> DualConditionedLatentDiffusion:
    torch.manual_seed(0)
    mel = MelConfig(hop=320, mels=16, window=512)
    config = config or ChainConfig()
    vae = AutoencoderKL(
        in_channels=1, out_channels=1, block_out_channels=(4, 8, 8), down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, layers_per_block=1, latent_channels=2, norm_num_groups=4,
    )  # fmt: skip
    codec = EncodecModel(
        EncodecConfig(
            sampling_rate=16_000, target_bandwidths=[0.25], num_filters=2, upsampling_ratios=[8, 5, 4, 4],
            hidden_size=8, codebook_size=32, num_lstm_layers=1, use_causal_conv=False,
        )
    )  # fmt: skip
    quantizer: Any = codec.quantizer
    for layer in quantizer.layers:
        layer.codebook.embed.normal_()
    denoiser = DualTransformer(
        TransformerConfig(latent_channels=2, latent_bands=4, text_width=16, plan_width=8, width=16, heads=2, blocks=1)
    )
    for parameter in denoiser.parameters():  # far from their zeros
        nn.init.normal_(parameter, std=0.3)
    text, plan = text_encoder(), plan_model()
    parts = {"text": text, "plan_model": plan, "denoiser": denoiser} | more.pop("parts", {})
    return DualConditionedLatentDiffusion(
        replace(config, mel=mel, shortest_steps=8, longest_steps=16),
        parts["text"],
        parts["plan_model"],
        codec,
        parts["denoiser"],
        LatentSpace(vae, 4, MelRange()),
        smooth_vocoder,
        **more,
    ).eval()


class Heard:
    """A report that remembers the stages that it was called in."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.fractions: list[float] = []

    def __call__(self, stage: str, fraction: float) -> None:
        assert 0.0 <= fraction <= 1.0
        self.stages.append(stage)
        self.fractions.append(fraction)


def takes(model: DualConditionedLatentDiffusion, sampling: Sampling = SAMPLING, report: Any = None) -> list[Tensor]:
    return list(model.takes("rain on a roof", "wind", 0.6, SEEDS, sampling, report or Heard()))


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_batch_gives_the_takes_that_one_by_one_would(sampler: str) -> None:
    sampling = Sampling(sampler, 4, 2.0, (0.0, 0.5))
    model = make()
    alone = [model.generate("rain on a roof", "wind", 0.6, seeds, sampling, Heard()) for seeds in SEEDS]
    together = takes(make(placement=Placement(batch=2)), sampling)  # two, then one
    assert len(together) == 3
    for one, other in zip(alone, together, strict=True):
        assert one.shape == (9600,)
        assert float((one - other).abs().max()) < 1e-4
    assert float((alone[0] - alone[2]).abs().max()) > 1e-3  # the texture seed counts, in a batch as well
    heard = Heard()
    takes(model, sampling, heard)
    assert heard.stages.count("denoising") == 3 * 5


def test_another_texture_of_the_same_plan_pays_nothing_for_the_language_model() -> None:
    model, heard = make(), Heard()
    model.generate("rain", "", 0.6, Seeds(1, 1), SAMPLING, heard)
    assert heard.stages.count("planning") > 8
    for other in (("rain", "", 0.6, Seeds(1, 2)), ("rain", "wind", 0.6, Seeds(1, 3))):
        heard = Heard()
        model.generate(*other, SAMPLING, heard)
        assert "planning" not in heard.stages
        assert "denoising" in heard.stages
    for other in (("rain", "", 0.6, Seeds(2, 2)), ("wind", "", 0.6, Seeds(1, 1)), ("rain", "", 1.2, Seeds(1, 1))):
        heard = Heard()
        model.generate(*other, SAMPLING, heard)
        assert "planning" in heard.stages


def test_few_plans_are_kept() -> None:
    model = make()
    frames = model.plan_frames(8)
    first = model.plans("rain", frames, [0, 1, 0], Heard())
    assert first.shape == (3, 2, frames)
    assert torch.equal(first[0], first[2])
    for start in range(2, 80, 26):
        model.plans("rain", frames, range(start, start + 26), Heard())
    heard = Heard()
    assert torch.equal(model.plans("rain", frames, [0], heard)[0], first[0])  # made again, the same
    assert "planning" in heard.stages


def test_the_empty_texts_plan_is_made_once_a_length_where_the_model_does_not_bring_it() -> None:
    model, heard = make(ChainConfig(stored_empty_plan=False, defaults=Defaults(plan_guidance_scale=3.0))), Heard()
    model.generate("rain", "", 0.6, Seeds(1, 1), SAMPLING, heard)
    both = heard.stages.count("planning")
    heard = Heard()
    model.generate("dog barks", "", 0.6, Seeds(2, 2), SAMPLING, heard)
    assert heard.stages.count("planning") == both // 2
    heard = Heard()
    model.plans("", model.plan_frames(8), [0], heard)
    assert not heard.stages


def test_audiogens_empty_text_is_all_zeros_whatever_the_encoder_says() -> None:
    model = make(ChainConfig(zero_padding=True, stored_empty_plan=False))
    frames = model.plan_frames(8)
    first = model.plans("", frames, [0], Heard())
    model._plans.clear()
    nn.init.normal_(model.text.encoder.embeddings.word_embeddings.weight)
    assert torch.equal(model.plans("", frames, [0], Heard()), first)


class Counting(nn.Module):
    """A denoiser that notes the size of every batch and is told which conditions."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.batches: list[int] = []
        self.told: list[Conditions] = []

    def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        self.batches.append(len(z))
        self.told.append(conditions)
        return z * self.scale * conditions.text.mean(dim=(1, 2)).view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("interval", "scale", "batches"),
    [
        (None, 2.0, [2, 2, 2, 2]),
        ((0.0, 0.5), 2.0, [2, 2, 1, 1]),
        ((0.25, 0.75), 2.0, [1, 2, 2, 1]),
        ((0.0, 1.0), 1.0, [1, 1, 1, 1]),
    ],
)
def test_only_the_steps_of_the_interval_are_guided(
    interval: tuple[float, float] | None, scale: float, batches: list[int]
) -> None:
    counting = Counting()
    model = make(parts={"denoiser": counting})
    model.generate("rain", "wind", 0.6, Seeds(1, 1), Sampling("ddim", 4, scale, interval), Heard())
    assert counting.batches == batches


@pytest.mark.parametrize(
    ("every", "interval", "batches"),
    [
        (1, (0.0, 1.0), [2] * 8),
        (2, (0.0, 1.0), [2, 1] * 4),
        (3, (0.0, 1.0), [2, 1, 1, 2, 1, 1, 2, 1]),
        (2, (0.25, 0.75), [1, 1, 2, 1, 2, 1, 1, 1]),
    ],
)
def test_what_guidance_adds_may_hold_for_some_steps(
    every: int, interval: tuple[float, float], batches: list[int]
) -> None:
    counting, sampling = Counting(), Sampling("ddim", 8, 2.0, interval)
    model = make(ChainConfig(defaults=Defaults(guidance_every=every)), parts={"denoiser": counting})
    model.generate("rain", "wind", 0.6, Seeds(1, 1), sampling, Heard())
    assert counting.batches == batches


def test_guidance_that_holds_leads_on() -> None:
    class Even(Counting):
        """Guidance adds the same in all steps."""

        def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
            return torch.zeros_like(z) + conditions.plan.mean(dim=(1, 2)).view(-1, 1, 1, 1)

    def latent(every: int, scale: float) -> Tensor:
        model = make(ChainConfig(defaults=Defaults(guidance_every=every)), parts={"denoiser": Even()})
        states, mask = model.text(["rain", "wind"])
        told = [Conditions(states[i : i + 1], mask[i : i + 1], torch.full((1, 4, 8), 1.0 - i)) for i in range(2)]
        return model.follow(model.noise(8, 1), told, Sampling("ddim", 8, scale, (0.0, 1.0)), Heard())

    assert torch.allclose(latent(1, 4.0), latent(3, 4.0), atol=1e-5)
    assert not torch.allclose(latent(1, 4.0), latent(3, 1.0), atol=1e-3)


def test_guidance_leads_away_from_the_negative_prompt_and_the_empty_plan() -> None:
    counting = Counting()
    model = make(parts={"denoiser": counting})
    model.empty_plan.fill_(7)
    model.generate("rain", "wind howls", 0.6, Seeds(1, 1), SAMPLING, Heard())
    (states, mask), told = model.text(["rain", "wind howls"]), counting.told[0]
    assert torch.equal(told.text, states)
    assert torch.equal(told.text_mask, mask)
    frames = model.plan_frames(8)
    codes = torch.cat([model.plans("rain", frames, [1], Heard()), torch.full((1, 2, frames), 7)])
    assert torch.equal(told.plan, model.encoded(codes, 8))


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_the_chain_samples_as_its_model_predicts(prediction: Any) -> None:
    """A Gaussian target, whose exact prediction is known, through the whole reverse process."""

    class Exact(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.alphas = nn.Parameter(torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0))

        def forward(self, z: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
            a = self.alphas[t.long()].view(-1, 1, 1, 1)
            clean = 0.5 + a.sqrt() * 0.09 / (a * 0.09 + 1 - a) * (z - a.sqrt() * 0.5)
            noise = (z - a.sqrt() * clean) / (1 - a).sqrt()
            return noise if prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean

    model = make(ChainConfig(prediction=prediction), parts={"denoiser": Exact()})
    noise = torch.randn(4, 2, 64, 64, generator=torch.Generator().manual_seed(0))
    told = Conditions(torch.zeros(8, 1, 16), torch.ones(8, 1, dtype=torch.bool), torch.zeros(8, 1, 8))
    with torch.inference_mode():
        z = model.denoise(noise, told, Sampling("dpm++", 12, 4.0), Heard())
    assert abs(float(z.mean()) - 0.5) < 0.03
    assert abs(float(z.std()) - 0.3) < 0.03


def test_both_encodings_have_their_own_rate_and_width() -> None:
    codes = torch.randint(32, (2, 2, 32))
    assert make().encoded(codes, 16).shape == (2, 32, 8)  # 25 plan frames a second, the codec's width
    assert make(ChainConfig(encoding="ag_vae")).encoded(codes, 16).shape == (2, 16, 8)  # 12.5, 2 channels x 4 bands


def test_parts_that_take_turns_give_the_same_takes_and_each_comes_once() -> None:
    whole = make()
    loaded: list[str] = []

    def loader(name: str) -> Any:
        def load() -> nn.Module:
            loaded.append(name)
            part = getattr(whole, name)
            assert isinstance(part, nn.Module)
            return part

        return load

    names = ("text", "plan_model", "denoiser")
    staged = make(
        parts=dict.fromkeys(names),
        placement=Placement(keep="disk"),
        loaders={name: loader(name) for name in names},
    )
    staged.space, staged.codec = whole.space, whole.codec
    for one, other in zip(takes(whole), takes(staged), strict=True):
        assert torch.equal(one, other)
    assert loaded == ["text", "text", "plan_model", "denoiser"]
    assert all(staged._modules[name] is None for name in names)


def test_a_denoiser_that_is_told_the_text_alone_needs_no_plan() -> None:
    torch.manual_seed(0)
    whole, heard = make(), Heard()
    model = DualConditionedLatentDiffusion(
        whole.config, whole.text, None, None, DualUNet(UNET, ()), whole.space, smooth_vocoder
    ).eval()
    assert torch.isfinite(model.generate("rain", "", 0.6, Seeds(1, 1), SAMPLING, heard)).all()
    assert "planning" not in heard.stages


def test_guidance_interval_is_checked_and_survives_json() -> None:
    request = GenerationRequest.create("rain", sampling=Sampling(guidance_interval=(0.2, 0.8)))
    again = GenerationRequest.from_json(json.loads(json.dumps(request.to_json())))
    assert again == request
    old = request.to_json()
    del old["sampling"]["guidance_interval"]
    assert GenerationRequest.from_json(old).sampling == Sampling()
    wrong: list[Any] = [(0.5, 0.5), (0.8, 0.2), (-0.1, 1.0), (0.0, 1.1), (0.0,), "ab", 3, (0.0, float("nan"))]
    for interval in wrong:
        with pytest.raises(InvalidInput, match="interval"):
            Sampling(guidance_interval=interval)
    assert Defaults().fill(Sampling()).guidance_interval == (0.0, 1.0)
    assert FULL_SIZE_DEFAULTS.fill(Sampling(guidance_interval=(0.0, 0.5))).guidance_interval == (0.0, 0.5)
    stored = Defaults(**{"guidance_interval": [0.1, 0.9]})  # type: ignore[arg-type]  # as JSON has it
    assert stored.fill(Sampling()).guidance_interval == (0.1, 0.9)


def matching(plans: int = 1) -> DualConditionedLatentDiffusion:
    torch.manual_seed(3)
    matcher = Matcher(plan_width=8, latent_width=8, text_width=16)
    return make(ChainConfig(defaults=Defaults(plans=plans)), matcher=matcher)


def test_of_several_plans_that_which_fits_the_words_best_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first, best = matching(), matching(plans=8)
    seeds, (short, long) = list(range(12)), (first.plan_frames(8), first.plan_frames(16))
    alone = first.plans("rain on a roof", short, seeds, Heard())
    chosen = best.plans("rain on a roof", short, seeds, Heard())
    states, mask = best.text(["rain on a roof"])

    def fit(codes: Tensor) -> Tensor:
        assert best.matcher is not None
        with torch.inference_mode():
            return best.matcher.of_plans(best.encoded(codes, 8), states, mask)

    assert fit(chosen).mean() > fit(alone).mean() + 0.5 * fit(alone).std()
    drawn = first.plans("rain on a roof", short, [further(seeds[0], number) for number in range(8)], Heard())
    left = drawn[fit(drawn[:, :, : short // 4]).topk(4).indices]  # the others are left behind on the way
    left = left[fit(left[:, :, : short // 2]).topk(2).indices]
    assert torch.equal(left[fit(left).argmax()], chosen[0])
    best.forget_plans()
    few = best.plans("rain on a roof", short, seeds[:2], Heard())
    assert torch.equal(few, chosen[:2])  # whatever else is asked for
    best.forget_plans()
    monkeypatch.setattr(dcldm, "PLANS_AT_ONCE", 20)  # two at a time
    heard = Heard()
    assert torch.equal(best.plans("rain on a roof", short, seeds, heard), chosen)
    assert heard.fractions == sorted(heard.fractions)
    go_on = best.plans("rain on a roof", long, seeds, Heard(), chosen[0, :, :6])
    assert torch.equal(go_on[:, :, :6], chosen[:1, :, :6].expand(len(seeds), -1, -1))
    assert len(go_on) == len(seeds) and go_on.shape[-1] == long
    longer = best.plans("rain on a roof", long, seeds, Heard())
    assert torch.equal(longer[:, :, : short - 2], chosen[:, :, : short - 2])  # and however long


def test_of_the_plans_that_fit_the_one_that_does_as_words_say_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def pitch(sound: Any, rate: int) -> float:
        return float(2.0 ** np.abs(sound[:20]).mean())

    monkeypatch.setattr(events, "pitch_hz", pitch)
    monkeypatch.setattr(acoustic_lm, "decoded", lambda _, vectors: vectors.flatten(1).repeat(1, 100))
    model, seeds = matching(plans=8), list(range(12))
    monkeypatch.setattr(model, "read_as", lambda _: "a bell")  # all else is the same
    frames = model.plan_frames(8)

    def heights(prompt: str) -> Tensor:
        model.forget_plans()
        vectors = acoustic_lm.latents(model.codec, model.plans(prompt, frames, seeds, Heard()))
        return torch.tensor([pitch(each.flatten().numpy(), 1) for each in vectors]).log2()

    low, plain, high = (heights(prompt) for prompt in ("a deep bell", "a bell", "a tiny bell"))
    assert (low <= plain + 1.0).all() and (plain <= high + 1.0).all()  # but for what the fit weighs beside it
    assert low.mean() < plain.mean() < high.mean()
    assert torch.equal(heights("a deep bell and a tiny bell"), plain)  # both at once: as it fits


def test_a_take_is_the_best_of_its_candidates_and_variations_know_which() -> None:
    variations = Variations(matching(), "tiny", "1")
    request = GenerationRequest.create("rain on a roof", seconds=0.6, seed=5, variations=8, model="tiny")

    def made(request: GenerationRequest, candidates: int) -> list[Tensor]:
        sampling = replace(SAMPLING, guidance_interval=(0.0, 1.0), candidates=candidates)
        return list(variations.takes(request, sampling, unheard))

    alone, best = made(request, 1), made(request, 3)
    others = [float((one - other).abs().max()) > 1e-3 for one, other in zip(alone, best, strict=True)]
    assert 0 < sum(others) < 8
    again = Variations(matching(), "tiny", "1")
    again.model.cache, variations = None, again
    assert torch.equal(made(request.only(2), 3)[0], best[2])  # by itself, in another process
    index = others.index(True)
    used = replace(request.only(index), sampling=replace(SAMPLING, guidance_interval=(0.0, 1.0), candidates=3))
    same = Control("retexture", (Parent(used, "1"),), amount=0.0)
    near = replace(same, amount=0.2)
    unmoved, moved = (made(replace(used, id="new", control=each, seeds=(Seeds(9, 9),)), 3)[0] for each in (same, near))
    assert torch.equal(unmoved, best[index])
    far = made(replace(used, id="new", control=replace(same, amount=1.0), seeds=(Seeds(9, 9),)), 3)[0]
    assert float((moved - best[index]).abs().mean()) < float((far - best[index]).abs().mean())


def test_of_candidates_the_one_that_does_as_words_say_is_kept() -> None:
    model = matching()

    def heights(prompt: str, candidates: int) -> Tensor:
        request = GenerationRequest.create(prompt, seconds=0.6, seed=5, variations=8, model="tiny")
        sampling = replace(SAMPLING, guidance_interval=(0.0, 1.0), candidates=candidates)
        made = Variations(model, "tiny", "1").takes(request, sampling, unheard)
        return torch.tensor([events.pitch_hz(take[0].numpy(), 16_000) for take in made]).log2()

    assert heights("a deep roar", 6).mean() < heights("a deep roar", 1).mean()
    assert heights("a tiny roar", 6).mean() > heights("a tiny roar", 1).mean()


@pytest.mark.parametrize(("right", "chosen", "tries"), [(0, 0, 1), (1, 1, 2), (2, 2, 3), (9, 0, 3)])
def test_the_first_candidate_that_has_the_number_of_events_will_do(
    right: int, chosen: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = iter(range(9))
    monkeypatch.setattr(Wishes, "has_number", lambda *_: next(heard) == right)
    monkeypatch.setattr(Wishes, "met", lambda self, sounds, rate: torch.zeros(len(sounds)))
    monkeypatch.setattr(Matcher, "of_latents", lambda self, z, states, mask: torch.zeros(len(z)))
    defaults = Defaults(steps=2, counted_candidates=3)
    assert {defaults.fill(Sampling(), prompt).candidates for prompt in ("", "a roar", "a single roar")} == {1}
    assert defaults.fill(Sampling(candidates=2), "three roars").candidates == 2
    request = GenerationRequest.create("three roars", seconds=0.6, seed=5, model="tiny")
    request = replace(
        request, sampling=replace(SAMPLING, candidates=defaults.fill(Sampling(), "three roars").candidates)
    )
    settled = Variations(matching(), "tiny", "1")._settled([request], unheard)
    assert settled == [candidate(request, chosen)] and next(heard) == tries


def test_where_a_number_is_named_the_sound_is_as_loud_as_its_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Levels | None] = []
    plain = variation.sound

    def heard(*arguments: Any) -> Tensor:
        given.append(arguments[5])
        return plain(*arguments)

    monkeypatch.setattr(variation, "sound", heard)
    model = matching()
    variations = Variations(model, "tiny", "1")

    def made(prompt: str, **more: Any) -> Tensor:
        request = GenerationRequest.create(prompt, seconds=0.6, seed=5, model="tiny", **more)
        (take,) = variations.takes(request, SAMPLING, unheard)
        return take

    three, some = made("three roars"), made("roars")
    made("three roars", loop=True)
    levels = given[0]
    assert levels is not None and levels.share == 1.0 and given[1:] == [None, None]
    frames = round(0.6 * model.config.mel.sample_rate / model.config.mel.hop)
    assert levels.like.shape[1] >= frames  # as long as what is heard
    assert three.shape == some.shape and torch.isfinite(three).all()


def test_a_number_does_not_take_a_sound_away_from_what_it_is_like(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "reference.wav"
    soundfile.write(path, 0.3 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    source = AudioSource(str(path), variation.file_hash(path))
    given: list[Levels] = []
    plain = variation.sound

    def heard(*arguments: Any) -> Tensor:
        given.append(arguments[5])
        return plain(*arguments)

    monkeypatch.setattr(variation, "sound", heard)
    model = matching()
    variations = Variations(model, "tiny", "1")
    for amount in (0.0, 0.7, 1.0):
        control = Control("like", amount=amount, audio=source)
        request = replace(GenerationRequest.create("three roars", seconds=0.6, seed=5, model="tiny"), control=control)
        list(variations.takes(request, SAMPLING, unheard))
        (branch,) = variations.branches(request, variations.steps(request), unheard)
        told = model.analysis(acoustic_lm.decoded(model.codec, branch.plan))
        assert torch.allclose(given[-1].like, told) and given[-1].share == 1.0
    assert not torch.allclose(given[0].like, given[1].like) and not torch.allclose(given[1].like, given[2].like)
    # Without a number it takes on the levels of the reference itself, and so does another surface of it.
    request = replace(request, prompt=Prompt("roars"), control=Control("like", amount=0.7, audio=source))
    list(variations.takes(request, SAMPLING, unheard))
    surface = Control("retexture", (Parent(replace(request, sampling=SAMPLING), "1"),), amount=0.5)
    list(variations.takes(replace(request, control=surface), SAMPLING, unheard))
    reference = model.analysis(read_reference(source, 0.6, model.config.mel.sample_rate))
    for levels in given[3:]:
        assert levels.share == 0.7 and torch.allclose(levels.like[:, : reference.shape[1] - 2], reference[:, :-2])


def test_words_that_are_not_known_give_what_the_nearest_known_ones_give() -> None:
    def take(model: DualConditionedLatentDiffusion, text: str) -> Tensor:
        request = GenerationRequest.create(text, negative="a hum", seconds=0.6, seed=5, model="tiny")
        (made,) = Variations(model, "tiny", "1").takes(request, replace(SAMPLING, candidates=2), unheard)
        return made

    plain, knowing = matching(plans=2), matching(plans=2)
    knowing.phrasebook = Phrasebook.of(["rain on a roof", "a wide river"], mean_states(knowing.text))
    known = knowing.read_as("wet leaves rustle")
    assert known in knowing.phrasebook.phrases and knowing.read_as("a wide river") == "a wide river"
    hum = knowing.read_as("a hum")
    assert torch.equal(take(knowing, "wet leaves rustle"), take(knowing, known))
    assert not torch.equal(take(knowing, "wet leaves rustle"), take(plain, "wet leaves rustle"))
    request = GenerationRequest.create(known, negative=hum, seconds=0.6, seed=5, model="tiny")
    (same,) = Variations(plain, "tiny", "1").takes(request, replace(SAMPLING, candidates=2), unheard)
    assert torch.equal(take(knowing, "wet leaves rustle"), same)
    direct = knowing.generate("wet leaves rustle", "a hum", 0.6, Seeds(5, 5), SAMPLING, unheard)
    assert torch.equal(direct, plain.generate(known, hum, 0.6, Seeds(5, 5), SAMPLING, unheard))


def test_a_choice_is_kept_on_disk_with_the_plans(tmp_path: Path) -> None:
    request = GenerationRequest.create("rain on a roof", seconds=0.6, seed=5, model="tiny")
    sampling = replace(SAMPLING, guidance_interval=(0.0, 1.0), candidates=3)
    steps = []
    for _ in range(2):
        variations, heard = Variations(matching(), "tiny", "1"), Heard()
        variations.model.cache = PlanCache(tmp_path)
        made = list(variations.takes(request, sampling, heard))
        steps.append((heard.stages.count("planning"), heard.stages.count("denoising"), made[0]))
    assert steps[0][0] > 0 and steps[1][0] == 0
    assert steps[0][1] == 3 * steps[1][1]
    assert torch.equal(steps[0][2], steps[1][2])
