"""A tiny chain in the true format: written, read, rendered; and files that are not what they should be."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dcldm_plugin.errors import Cancelled
from dcldm_plugin.models import checkpoint
from dcldm_plugin.models.checkpoint import BrokenModel, Sizes
from dcldm_plugin.models.dcldm import ChainConfig, Defaults, DualConditionedLatentDiffusion
from dcldm_plugin.models.mel import MelConfig
from dcldm_plugin.models.phrasebook import Phrasebook, mean_states
from dcldm_plugin.models.text import TextEncoder
from dcldm_plugin.types import Sampling, Seeds, unheard

SAMPLING = Sampling("dpm++", 3, 2.0)


def tiny_text() -> TextEncoder:
    """A random encoder that knows a few words, made by transformers' own classes."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "rain", "dog", "roof", "wind"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    torch.manual_seed(0)
    config = BertConfig(vocab_size=6, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)

    def whole(texts: list[str], **keywords: object) -> object:
        return fast([text or "[UNK]" for text in texts], **keywords)

    return TextEncoder(whole, BertModel(config))


def tiny_sizes(kind: str = "transformer") -> Sizes:
    unet = {
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
    transformer = {
        "latent_channels": 2,
        "latent_bands": 4,
        "text_width": 16,
        "plan_width": 8,
        "width": 16,
        "heads": 2,
        "blocks": 1,
    }
    return Sizes(
        chain=ChainConfig(
            mel=MelConfig(hop=320, mels=16, window=512),
            shortest_steps=8,
            longest_steps=16,
            defaults=Defaults(steps=3),
        ),
        text_width=16,
        plan={
            "vocab_size": 32,
            "num_hidden_layers": 1,
            "ffn_dim": 16,
            "num_attention_heads": 2,
            "hidden_size": 16,
            "num_codebooks": 2,
            "pad_token_id": 32,
            "bos_token_id": 32,
        },
        codec={
            "sampling_rate": 16_000,
            "target_bandwidths": [0.25],
            "num_filters": 2,
            "upsampling_ratios": [8, 5, 4, 4],
            "hidden_size": 8,
            "codebook_size": 32,
            "num_lstm_layers": 1,
            "use_causal_conv": False,
        },
        vae={
            "in_channels": 1,
            "out_channels": 1,
            "block_out_channels": (4, 8, 8),
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "layers_per_block": 1,
            "latent_channels": 2,
            "norm_num_groups": 4,
        },
        bands=4,
        denoiser_kind=kind,
        denoiser=transformer if kind == "transformer" else {"unet": unet, "places": ["down", "up"], "plan_width": 8},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = checkpoint.build(tiny_sizes(), tiny_text())
    checkpoint.write(model, tiny_sizes(), tmp_path / "model")
    return tmp_path / "model"


def render(model: DualConditionedLatentDiffusion, seeds: Seeds, seconds: float = 1.0) -> torch.Tensor:
    return model.generate("rain roof", "", seconds, seeds, SAMPLING, unheard)


@pytest.mark.parametrize("kind", ["transformer", "unet"])
def test_what_is_written_is_read_and_renders_the_same(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = checkpoint.build(tiny_sizes(kind), tiny_text())
    for parameter in model.parameters():  # so that half precision on disk loses nothing
        parameter.data.copy_(parameter.data.half())
    version = checkpoint.write(model, tiny_sizes(kind), tmp_path)
    again, found = checkpoint.read(tmp_path, model.text)
    assert found == version
    assert not list(tmp_path.glob("*.part"))
    assert torch.allclose(render(model, Seeds(1, 1)), render(again, Seeds(1, 1)), atol=1e-4)


def test_a_matcher_comes_with_the_model_that_has_one(tmp_path: Path) -> None:
    sizes = replace(tiny_sizes(), matcher={"plan_width": 8, "latent_width": 8, "text_width": 16})
    model = checkpoint.build(sizes, tiny_text())
    assert model.matcher is not None
    checkpoint.write(model, sizes, tmp_path)
    again, _ = checkpoint.read(tmp_path, model.text)
    assert again.matcher is not None
    there = again.matcher.state_dict()
    for name, value in model.matcher.state_dict().items():
        torch.testing.assert_close(there[name], value, rtol=1e-3, atol=1e-3)
    (tmp_path / "matcher.safetensors").unlink()
    with pytest.raises(BrokenModel, match="not complete"):
        checkpoint.read(tmp_path, model.text)


def test_a_phrasebook_comes_with_the_model_and_is_checked(tmp_path: Path) -> None:
    sizes = tiny_sizes()
    model = checkpoint.build(sizes, tiny_text())
    model.phrasebook = Phrasebook.of(["heavy rain", "a dog"], mean_states(model.text))
    sizes = replace(sizes, phrasebook=model.phrasebook.sizes)
    checkpoint.write(model, sizes, tmp_path)
    again, version = checkpoint.read(tmp_path, model.text)
    assert again.phrasebook is not None and again.phrasebook.phrases == ["heavy rain", "a dog"]
    model.phrasebook.text[model.phrasebook.text == ord("\n")] = ord(" ")
    assert checkpoint.write(model, sizes, tmp_path) != version
    with pytest.raises(BrokenModel, match=r"phrasebook\.safetensors .* does not fit"):
        checkpoint.read(tmp_path, model.text)


def test_seeds_and_length_do_what_they_say(folder: Path) -> None:
    model, _ = checkpoint.read(folder, tiny_text())
    sound = render(model, Seeds(1, 1), 0.73)
    assert sound.shape == (round(0.73 * 16_000),)
    assert torch.equal(sound, render(model, Seeds(1, 1), 0.73))
    assert not torch.allclose(sound, render(model, Seeds(1, 2), 0.73))


def test_structure_seed_changes_the_plan_and_texture_seed_does_not(folder: Path) -> None:
    model, _ = checkpoint.read(folder, tiny_text())
    states, mask = model.text(["rain"])
    first, same, other = (model.plan(states, mask, 16, seed, None) for seed in (1, 1, 2))
    assert first.shape == (1, 2, 32)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("stage", ["planning", "denoising"])
def test_cancel_is_obeyed_within_one_step(folder: Path, stage: str) -> None:
    model, _ = checkpoint.read(folder, tiny_text())
    seen: list[str] = []

    def report(name: str, fraction: float) -> None:
        seen.append(name)
        if seen.count(stage) == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        model.generate("rain", "", 1.0, Seeds(1, 1), SAMPLING, report)
    assert seen[-1] == stage


def test_every_sampler_and_no_guidance_render(folder: Path) -> None:
    model, _ = checkpoint.read(folder, tiny_text())
    for sampler in ("dpm++", "unipc", "ddim", "ddpm"):
        for scale in (1.0, 3.0):
            sampling = Sampling(sampler, 4, scale)
            sound = model.generate("dog", "wind", 0.5, Seeds(1, 1), sampling, unheard)
            assert torch.isfinite(sound).all()


def cut_short(folder: Path) -> None:
    path = folder / "denoiser.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def swap(folder: Path) -> None:
    data = (folder / "vae.safetensors").read_bytes()
    (folder / "codec.safetensors").write_bytes(data)


def remove_a_part(folder: Path) -> None:
    (folder / "plan.safetensors").unlink()


def write_nonsense(folder: Path) -> None:
    (folder / "config.json").write_text("rm -rf", encoding="utf-8")


def other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["sizes"]["denoiser"]["width"] = 32
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def another_format(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["format"] = 99
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    "damage", [cut_short, swap, remove_a_part, write_nonsense, other_sizes, another_format], ids=lambda f: f.__name__
)
def test_damaged_models_are_refused_with_a_sentence(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder)
    with pytest.raises(BrokenModel) as caught:
        checkpoint.read(folder, tiny_text())
    assert "install" in str(caught.value) or "choose" in str(caught.value)
