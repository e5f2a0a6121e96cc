"""AudioGen's files, read by our own code, against audiocraft: tiny random models in the true format."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.acoustic_lm import Decoder, delay, encode, latents, sample_codes
from dcldm_plugin.models.audiocraft import import_audiocraft, read_checkpoint
from dcldm_plugin.models.audiogen import AudioGen, load_audiogen

CODEBOOKS, CODES, WIDTH, TEXT_WIDTH, HEADS = 4, 64, 48, 32, 6
SIZES = {"dim": WIDTH, "num_heads": HEADS, "num_layers": 2, "n_q": CODEBOOKS, "card": CODES}
PROMPTS = ["rain on a roof", "a dog barks far away in the wind"]
try:
    audiocraft: Any = import_audiocraft()
except DcldmError as error:
    pytest.skip(str(error), allow_module_level=True)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),  # audiocraft's EnCodec
    pytest.mark.filterwarnings("ignore::UserWarning:audiocraft"),
]


@dataclass(frozen=True)
class Pair:
    """The same model twice, and the T5 of both."""

    folder: Path
    reference: Any  # audiocraft.models.AudioGen
    ours: AudioGen
    t5: Path

    def text(self, prompts: list[str]) -> tuple[Tensor, Tensor]:
        """States as the language model takes them, and their mask."""
        tokens = T5Tokenizer.from_pretrained(self.t5)(prompts, return_tensors="pt", padding=True)
        encoder: Any = T5EncoderModel.from_pretrained(self.t5)
        states = self.ours.plan.enc_to_dec_proj(encoder(**tokens).last_hidden_state)
        return states, tokens["attention_mask"]


@pytest.fixture(scope="module", autouse=True)
def inference(one_thread: None) -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(1)
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0).save_pretrained(folder)
    T5EncoderModel(
        T5Config(
            vocab_size=len(pieces),
            d_model=TEXT_WIDTH,
            d_kv=8,
            d_ff=32,
            num_layers=1,
            num_heads=4,
            pad_token_id=0,
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pair(tiny: Any, tmp_path_factory: pytest.TempPathFactory, t5: Path) -> Pair:
    """Made by audiocraft's own builders and exports, read back by both."""
    from omegaconf import OmegaConf

    builders, export = (import_module(f"audiocraft.{name}") for name in ("models.builders", "utils.export"))
    conditioners = import_module("audiocraft.modules.conditioners")

    folder = tmp_path_factory.mktemp("audiogen")
    conditioners.T5Conditioner.MODELS.append(str(t5))
    conditioners.T5Conditioner.MODELS_DIMS[str(t5)] = TEXT_WIDTH
    torch.manual_seed(2)
    language_config = OmegaConf.create(tiny.audiogen_config(str(t5), seconds=10, **SIZES))
    language_model = builders.get_lm_model(language_config)
    codec_config = OmegaConf.create(tiny.codec_config(width=16, lstm=2, codebooks=CODEBOOKS, codes=CODES))
    codec: Any = builders.get_compression_model(codec_config)
    for layer in codec.quantizer.vq.layers:  # else random codebooks wait for k-means
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1.0)
    training = folder / "training.th"
    for model, config, exported, name in (
        (language_model, language_config, export.export_lm, "state_dict.bin"),
        (codec, codec_config, export.export_encodec, "compression_state_dict.bin"),
    ):
        best = {"best_state": {"model": model.state_dict()}, "fsdp_best_state": {}, "xp.cfg": config}
        torch.save(best, training)
        with torch.serialization.safe_globals(torch.serialization.get_safe_globals() + omegaconf_classes()):
            exported(training, folder / name)
    reference = audiocraft.models.AudioGen.get_pretrained(str(folder), device="cpu")
    return Pair(folder, reference, load_audiogen(folder), t5)


def omegaconf_classes() -> list[Any]:
    """What a configuration consists of when it is pickled."""
    from collections import defaultdict

    from omegaconf import DictConfig, ListConfig
    from omegaconf.base import ContainerMetadata, Metadata
    from omegaconf.nodes import AnyNode

    return [DictConfig, ListConfig, ContainerMetadata, Metadata, AnyNode, Any, dict, list, int, defaultdict]


def conditions(prompts: list[str]) -> list[Any]:
    """Prompts as audiocraft takes them."""
    attributes = import_module("audiocraft.modules.conditioners").ConditioningAttributes
    return [attributes(text={"description": prompt}) for prompt in prompts]


def some_codes(batch: int, frames: int) -> Tensor:
    return torch.randint(CODES, (batch, CODEBOOKS, frames), generator=torch.Generator().manual_seed(3))


def test_what_is_read(pair: Pair) -> None:
    assert pair.ours.text_encoder == str(pair.t5)
    assert pair.ours.longest_seconds == 10.0
    assert pair.ours.codec.config.sampling_rate == 16_000
    assert pair.ours.codec.config.frame_rate == 50
    assert pair.ours.plan.lm.config.num_attention_heads == HEADS
    assert not pair.ours.plan.training
    assert not any(each.is_meta for each in (*pair.ours.plan.parameters(), *pair.ours.plan.buffers()))


def test_the_codec_is_the_same(pair: Pair) -> None:
    reference, codec = pair.reference.compression_model, pair.ours.codec
    codes = some_codes(2, 50)
    assert torch.equal(latents(codec, codes).transpose(1, 2), reference.decode_latent(codes))
    decoded: Any = codec.decoder(latents(codec, codes).transpose(1, 2))
    torch.testing.assert_close(decoded, reference.decode(codes), atol=1e-6, rtol=0)
    for samples in (16_000, 12_345):
        audio = torch.randn(2, 1, samples, generator=torch.Generator().manual_seed(4))
        assert torch.equal(encode(codec, audio), reference.encode(audio)[0])


def test_the_logits_are_the_same_with_padded_texts(pair: Pair) -> None:
    """audiocraft zeroes padded text and attends to it; so `sample_codes` does with `zero_padding`."""
    reference = pair.reference.lm
    columns = delay(some_codes(2, 20), CODES)[..., :-1]
    expected = reference(columns, conditions(PROMPTS))  # [batch, codebooks, steps, vocabulary]
    states, mask = pair.text(PROMPTS)
    assert not mask.all()
    decoder = Decoder(pair.ours.plan.lm, states * mask[..., None], None, columns.shape[-1])
    for step in range(columns.shape[-1]):
        logits = decoder.step(columns[..., step : step + 1])
        torch.testing.assert_close(logits, expected[:, :, step], atol=1e-4, rtol=0)
    whole = pair.ours.plan.lm(
        columns.flatten(0, 1), encoder_hidden_states=states * mask[..., None], use_cache=False
    ).logits
    torch.testing.assert_close(whole.view_as(expected), expected, atol=1e-4, rtol=0)
    masked = Decoder(pair.ours.plan.lm, states, mask.bool(), columns.shape[-1]).step(columns)
    assert (masked - expected[:, :, -1]).abs().amax((1, 2))[0] > 0.01  # so the difference would show


@pytest.mark.parametrize("guidance_scale", [3.0, 1.0])
@pytest.mark.parametrize("known", [0, 7])
def test_greedy_codes_are_identical(pair: Pair, guidance_scale: float, known: int) -> None:
    frames = 50
    prompt = some_codes(2, known) if known else None
    expected = pair.reference.lm.generate(
        prompt=prompt,
        conditions=conditions(PROMPTS),
        max_gen_len=frames,
        use_sampling=False,
        cfg_coef=guidance_scale,
    )
    states, mask = pair.text(PROMPTS)
    codes = sample_codes(
        pair.ours.plan.lm,
        states,
        mask,
        frames,
        generators=[torch.Generator() for _ in PROMPTS],
        temperature=0.0,
        guidance_scale=guidance_scale,
        prompt_codes=prompt,
    )
    assert torch.equal(codes, expected)


def test_sampled_codes_follow_the_same_distribution(pair: Pair) -> None:
    """First codes of many draws: audiocraft's stream of random numbers is its own, its shares are ours."""
    count = 1500
    torch.manual_seed(0)
    expected = pair.reference.lm.generate(conditions=conditions(PROMPTS[:1] * count), max_gen_len=1, top_k=8)
    states, mask = pair.text(PROMPTS[:1])
    codes = sample_codes(
        pair.ours.plan.lm,
        states.expand(count, -1, -1),
        mask.expand(count, -1),
        1,
        generators=[torch.Generator().manual_seed(seed) for seed in range(count)],
        top_k=8,
    )
    shares = [torch.bincount(each[:, 0, 0], minlength=CODES) / count for each in (codes, expected)]
    assert torch.equal(shares[0] > 0, shares[1] > 0)
    assert (shares[0] - shares[1]).abs().max() < 0.06  # 4 standard errors of a difference of two shares


def test_a_pickled_configuration_is_read(pair: Pair, tmp_path: Path) -> None:
    """Older exports hold omegaconf's own objects in place of YAML."""
    from omegaconf import OmegaConf

    stored = torch.load(pair.folder / "state_dict.bin", weights_only=True)
    torch.save({**stored, "xp.cfg": OmegaConf.create(stored["xp.cfg"])}, tmp_path / "state_dict.bin")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "state_dict.bin", weights_only=True)
    old, new = (
        read_checkpoint(folder / "state_dict.bin", ("transformer_lm", "fuser", "absent"))
        for folder in (tmp_path, pair.folder)
    )
    assert old[1] == new[1]
    assert old[0].keys() == new[0].keys()


class Malice:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def test_a_hostile_file_is_refused_and_not_executed(tmp_path: Path) -> None:
    path, trace = tmp_path / "state_dict.bin", tmp_path / "trace"
    for content in ({"best_state": {}, "xp.cfg": Malice(trace)}, Malice(trace)):
        for write in (torch.save, lambda what, where: where.write_bytes(pickle.dumps(what))):
            write(content, path)
            refuses(path, "damaged or not a checkpoint")
            assert not trace.exists()


def test_damaged_and_foreign_files_are_refused(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "state_dict.bin"
    refuses(path, "There is no file")
    whole = (pair.folder / "state_dict.bin").read_bytes()
    for content in (
        b"",
        b"PK\x03\x04",
        whole[:1000],
        whole[: len(whole) // 2],
        whole[:-100],
        b"\x80\x02}." * 9,
    ):
        path.write_bytes(content)
        refuses(path, "damaged or not a checkpoint")
    for other in (
        {"model": torch.ones(2)},
        [1, 2],
        {"best_state": {"a": 1}, "xp.cfg": "a: 1"},
        {"best_state": {"a": torch.ones(1)}, "xp.cfg": "[1, 2"},
        {"best_state": {"a": torch.ones(1)}, "xp.cfg": "[1, 2]"},
        {"best_state": {"a": torch.ones(1)}, "xp.cfg": "a: ${b}"},
        {"best_state": {"a": torch.ones(1)}, "xp.cfg": None},
    ):
        torch.save(other, path)
        refuses(path, "damaged or not a checkpoint")
    torch.save({"pretrained": "facebook/encodec_32khz", "exported": True}, path)
    refuses(path, "only names another codec")


def refuses(path: Path, words: str) -> None:
    with pytest.raises(DcldmError, match=words) as caught:
        read_checkpoint(path, ("a",))
    assert "\n" not in str(caught.value)


def test_other_models_are_refused_with_a_sentence(pair: Pair, tmp_path: Path) -> None:
    language_model, codec = (
        torch.load(pair.folder / name, weights_only=True) for name in ("state_dict.bin", "compression_state_dict.bin")
    )

    def refuses_pair(first: object, second: object, words: str) -> None:
        torch.save(first, tmp_path / "state_dict.bin")
        torch.save(second, tmp_path / "compression_state_dict.bin")
        with pytest.raises(DcldmError, match=words) as caught:
            load_audiogen(tmp_path)
        assert "\n" not in str(caught.value)

    def changed(content: dict[str, Any], old: str, new: str) -> dict[str, Any]:
        assert old in content["xp.cfg"]
        return {**content, "xp.cfg": content["xp.cfg"].replace(old, new)}

    refuses_pair(codec, language_model, "is not an AudioGen language model")
    refuses_pair(language_model, language_model, "is not AudioGen's EnCodec")
    refuses_pair(changed(language_model, "norm_first: true", "norm_first: false"), codec, "norm_first")
    refuses_pair(changed(language_model, "num_heads: 6", "num_heads: 7"), codec, "not an AudioGen language")
    refuses_pair(changed(language_model, "num_heads: 6", "num_heads: 1000000000"), codec, "num_heads")
    refuses_pair(changed(language_model, "modeling: delay", "modeling: parallel"), codec, "modeling")
    refuses_pair(language_model, changed(codec, "activation: ELU", "activation: ReLU"), "activation")
    refuses_pair(language_model, changed(codec, "lstm: 2", "lstm: 1"), "is not AudioGen's EnCodec")
    refuses_pair(language_model, changed(codec, "kernel_size: 7", "kernel_size: 9999999"), "kernel_size")
    less = {name: value for name, value in language_model["best_state"].items() if "layers.1.norm2" not in name}
    refuses_pair({**language_model, "best_state": less}, codec, "is not an AudioGen language model")
    fewer = {name: value for name, value in codec["best_state"].items() if ".layers.3._codebook" not in name}
    refuses_pair(language_model, {**codec, "best_state": fewer}, "not of the same model")
