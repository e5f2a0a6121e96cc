"""TANGO's folder and acoustic adapters: tiny random weights under the published names."""

import json
import pickle
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audioldm import AudioParts, load_audio_parts
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.tango import Adapter, load_denoiser, load_text_encoder, read_adapter, write_adapter
from dcldm_plugin.models.text import TextEncoder
from dcldm_plugin.models.unet import PLACES, DualTransformer2D, DualUNet, tango_config

EVERYWHERE = [("down",), ("mid",), ("up",), ("down", "up")]  # the four of Table 1


@pytest.fixture(scope="module")
def folder(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tiny.write_tango(tmp_path_factory.mktemp("tango"))
    return path


@dataclass(frozen=True)
class Tango:
    """All that a folder holds."""

    denoiser: DualUNet
    base: str
    text: TextEncoder
    audio: AudioParts


def load(folder: Path, **options: Any) -> Tango:
    denoiser, base = load_denoiser(folder, **options)
    return Tango(denoiser, base, load_text_encoder(folder, folder / "tokenizer"), load_audio_parts(folder))


def given() -> tuple[torch.Tensor, torch.Tensor, Conditions]:
    """A latent, its steps and its conditions; the second text is shorter."""
    generator = torch.Generator().manual_seed(7)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    plan = torch.randn(2, 10, 128, generator=generator)
    text = torch.randn(2, 5, 24, generator=generator)
    return torch.randn(2, 8, 16, 16, generator=generator), torch.tensor([3, 900]), Conditions(text, mask, plan)


def acoustic(denoiser: DualUNet) -> dict[str, torch.Tensor]:
    return {name: value for name, value in denoiser.unet.state_dict().items() if ".acoustic." in name}


def trained(denoiser: DualUNet) -> DualUNet:
    """As if its acoustic part had learned something."""
    generator = torch.Generator().manual_seed(8)
    for value in acoustic(denoiser).values():
        value.normal_(std=0.3, generator=generator)
    return denoiser


@pytest.mark.parametrize(
    ("places", "block"),
    [((), "faithful"), *((places, "faithful") for places in EVERYWHERE), (("down", "up"), "light")],
    ids=str,
)
@torch.inference_mode()
def test_before_training_it_is_tango_bit_for_bit(tiny: Any, folder: Path, places: Any, block: Any) -> None:
    tango = load(folder, places=places, block=block)
    z, t, conditions = given()
    expected = tiny.unet()(z, t, conditions.text, encoder_attention_mask=conditions.text_mask).sample
    assert torch.equal(tango.denoiser(z, t, conditions), expected)
    count = sum(isinstance(module, DualTransformer2D) for module in tango.denoiser.modules())
    assert count == sum({"down": 1, "mid": 1, "up": 2}[place] for place in places)
    assert bool(acoustic(tango.denoiser)) == bool(places)
    assert not any(tensor.is_meta for tensor in tango.denoiser.state_dict().values())


@torch.inference_mode()
def test_what_is_new_answers_to_the_plan_once_it_has_learned(folder: Path) -> None:
    z, t, conditions = given()
    for places in EVERYWHERE:
        denoiser = trained(load(folder, places=places).denoiser)
        other = replace(conditions, plan=conditions.plan * 5.0)
        assert (denoiser(z, t, conditions) - denoiser(z, t, other)).abs().max() > 1e-4


@pytest.mark.parametrize("with_embeddings", [False, True])
@torch.inference_mode()
def test_the_text_encoder_is_t5s_encoder(tiny: Any, tmp_path: Path, with_embeddings: bool) -> None:
    tango = load(tiny.write_tango(tmp_path, tiny.main_tensors(with_embeddings)))
    states, mask = tango.text(["rain on a roof", ""])
    assert mask[1].tolist() == [True] + [False] * (mask.shape[1] - 1)  # the empty text is its end mark alone
    tokens = tango.text.tokenizer(["rain on a roof", ""], padding=True, return_tensors="pt")
    assert torch.equal(states, tiny.t5()(**tokens).last_hidden_state)
    assert tango.text.width == 24
    encoder = tango.text.encoder
    assert encoder.encoder.embed_tokens.weight.data_ptr() == encoder.shared.weight.data_ptr()


@torch.inference_mode()
def test_the_autoencoder_comes_along_with_its_scaling_factor(tiny: Any, folder: Path) -> None:
    tango = load(folder)
    mel = torch.randn(1, 32, 64) - 4.0
    expected = tiny.vae().encode(mel[:, None]).latent_dist.mean * 0.9227914214134216
    torch.testing.assert_close(tango.audio.space.encode(mel), expected, atol=1e-5, rtol=1e-5)


def test_half_precision_is_the_denoisers_alone(folder: Path) -> None:
    tango = load(folder, places=("down",), dtype=torch.bfloat16)
    assert {value.dtype for value in tango.denoiser.parameters()} == {torch.bfloat16}
    assert next(tango.text.encoder.parameters()).dtype == torch.float32
    assert tango.base == load(folder).base


def test_the_published_folder_has_no_unet_configuration(tiny: Any, tmp_path: Path) -> None:
    """Then it is TANGO's own: the tiny tensors do not fit, which is what tells us."""
    folder = tiny.write_tango(tmp_path)
    (folder / "configs" / "diffusion_model_config.json").unlink()
    refuses(folder, "tensors are missing")
    with torch.device("meta"):
        assert len(DualUNet(tango_config(), ()).unet.state_dict()) == 686


def refuses(folder: Path, words: str, **options: Any) -> None:
    with pytest.raises(DcldmError, match=words) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)


def test_only_acoustic_tensors_may_be_missing_and_none_may_be_unknown(tiny: Any, tmp_path: Path) -> None:
    tensors = tiny.main_tensors()
    base = "unet.down_blocks.0.attentions.0.proj_in.weight"

    def refuses_tensors(content: object, words: str) -> None:
        refuses(tiny.write_tango(tmp_path, content), words, places=("down",))

    for name in (base, "text_encoder.encoder.final_layer_norm.weight"):
        less = {other: value for other, value in tensors.items() if other != name}
        refuses_tensors(less, "1 tensors are missing")
        refuses_tensors(tensors | {name: torch.zeros(1, 2, 3)}, "has the shape")
    refuses_tensors(tensors | {"unet.more.weight": torch.zeros(1)}, "unknown")
    refuses_tensors(tensors | {base.replace("proj_in", "acoustic.proj_in"): torch.zeros(1)}, "unknown")
    refuses_tensors(tensors | {"group_in.0.weight": torch.zeros(1)}, "unknown tensor group_in")
    refuses_tensors({name: value for name, value in tensors.items() if name.startswith("unet.")}, "no T5 encoder")
    refuses_tensors({name: value for name, value in tensors.items() if not name.startswith("unet.")}, "are missing")


def test_damaged_hostile_and_swapped_files_are_refused(tiny: Any, tmp_path: Path) -> None:
    folder, trace = tiny.write_tango(tmp_path), tmp_path / "trace"
    main, vae = folder / "pytorch_model_main.bin", folder / "pytorch_model_vae.bin"
    whole, other = main.read_bytes(), vae.read_bytes()
    for content in (b"", whole[: len(whole) // 2], whole[:-100], pickle.dumps(tiny.Malice(trace))):
        main.write_bytes(content)
        refuses(folder, "damaged")
    torch.save(tiny.main_tensors() | {"unet.x": tiny.Malice(trace)}, main)
    refuses(folder, "damaged")
    assert not trace.exists()
    main.write_bytes(other)
    refuses(folder, "is not TANGO's model")
    main.write_bytes(whole)
    vae.write_bytes(whole)
    refuses(folder, "does not hold AudioLDM's VAE")
    main.unlink()
    refuses(folder, "There is no file")


@pytest.mark.parametrize(
    "change",
    [
        {"layers_per_block": 10**9},
        {"block_out_channels": [10**9] * 4},
        {"up_block_types": ["UpBlock2D"] * 10_000},
        {"block_out_channels": "16"},
        {"down_block_types": ["Exec"] * 4},
        {"attention_head_dim": [0, 0, 0, 0]},
        {"norm_num_groups": 7},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_hostile_configuration_is_refused(tiny: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tiny.write_tango(tmp_path)
    (folder / "configs" / "diffusion_model_config.json").write_text(json.dumps(tiny.UNET_CONFIG | change))
    refuses(folder, "U-Net|diffusion_model_config|is not TANGO's")


def test_a_configuration_outside_the_folder_is_not_read(tiny: Any, tmp_path: Path) -> None:
    folder = tiny.write_tango(tmp_path / "tango")
    (tmp_path / "secret.json").write_text("{}")
    for name in ("../secret.json", str(tmp_path / "secret.json")):
        (folder / "main_config.json").write_text(json.dumps({"unet_model_config_path": name}))
        refuses(folder, "tensors are missing")  # so TANGO's own was taken
    (folder / "main_config.json").write_text("{}")
    refuses(folder, "names no U-Net")


def test_a_tokenizer_that_is_missing_or_of_another_model_is_refused(tiny: Any, tmp_path: Path) -> None:
    folder = tiny.write_tango(tmp_path)
    with pytest.raises(DcldmError, match="dcldm models install tango"):
        load_text_encoder(folder, tmp_path / "nowhere")
    from transformers import T5Tokenizer

    words = [(f"w{number}", -1.0) for number in range(100)]
    T5Tokenizer(vocab=[*((piece, -1.0) for piece in tiny.PIECES), *words], extra_ids=0).save_pretrained(
        folder / "tokenizer"
    )
    refuses(folder, "another text encoder")


# Adapters


@pytest.mark.parametrize(("places", "block"), [(("down",), "faithful"), (("mid", "up"), "light")], ids=str)
@torch.inference_mode()
def test_an_adapter_is_written_and_loads_on_top_of_its_base(
    folder: Path, tmp_path: Path, places: Any, block: Any
) -> None:
    tango = load(folder, places=places, block=block)
    trained(tango.denoiser)
    header = Adapter(tango.base, places, block, encoding="ag_vae")
    write_adapter(tango.denoiser, header, tmp_path / "mine.safetensors")
    assert read_adapter(tmp_path / "mine.safetensors") == header
    assert not list(tmp_path.glob("*.part"))
    again = load(folder, adapter=tmp_path / "mine.safetensors")
    assert all(".acoustic." in name for name in load_file(tmp_path / "mine.safetensors"))
    assert torch.equal(again.denoiser(*given()), tango.denoiser(*given()))
    assert not torch.equal(load(folder).denoiser(*given()), tango.denoiser(*given()))


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    tango = load(folder, places=("down",))
    write_adapter(tango.denoiser, Adapter(tango.base, ("down",)), tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


def test_an_adapter_of_another_base_is_refused(tiny: Any, adapter: Path, tmp_path: Path) -> None:
    tensors = tiny.main_tensors()
    tensors["unet.conv_in.bias"] = tensors["unet.conv_in.bias"] + 1e-6
    refuses(tiny.write_tango(tmp_path / "other", tensors), "trained on another model", adapter=adapter)


def test_adapters_that_are_none_are_refused(folder: Path, adapter: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    whole, tensors = adapter.read_bytes(), load_file(adapter)
    with safe_open(adapter, framework="pt") as file:
        header = file.metadata()

    def refuses_adapter(words: str) -> None:
        refuses(folder, words, adapter=adapter)

    for change in (
        {"format": "another"},
        {"places": "sideways"},
        {"places": ""},
        {"block": "heavy"},
        {"plan_width": "a"},
        {"plan_width": "-1"},
        {"encoding": "mp3"},
        {"condition": "picture"},
        {"condition": "plan"},  # with places, which such a network does not have
    ):
        save_file(tensors, adapter, header | change)
        refuses_adapter("not an acoustic adapter")
    save_file(tensors, adapter)
    refuses_adapter("not an acoustic adapter")
    save_file(tensors, adapter, header | {"places": "up"})
    refuses_adapter("does not fit the places")
    save_file(tensors, adapter, header | {"plan_width": "64"})
    refuses_adapter("does not fit the places")
    save_file(tensors | {"conv_in.bias": torch.zeros(16)}, adapter, header)  # it may not touch its base
    refuses_adapter("does not fit the places")
    for content in (b"", whole[:100], whole[:-10], b"PK\x03\x04"):
        adapter.write_bytes(content)
        refuses_adapter("acoustic adapter")
    adapter.unlink()
    refuses_adapter("cannot be read")


def test_places_are_those_of_table_1() -> None:
    assert PLACES == ("down", "mid", "up")
