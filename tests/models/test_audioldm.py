"""AudioLDM's VAE and vocoder in the three shapes of their files: tiny random weights, the original names."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.models.audioldm import AudioParts, load_audio_parts


def as_tango(tiny: Any, folder: Path) -> Path:
    path: Path = tiny.write_autoencoder(folder)
    return path


def as_audioldm(tiny: Any, folder: Path) -> Path:
    path = folder / "audioldm-s-full.ckpt"
    tensors = {
        f"first_stage_model.{name}": value
        for name, value in tiny.autoencoder_tensors(tiny.vae(), tiny.vocoder()).items()
    }
    tensors |= {"scale_factor": torch.tensor(tiny.SCALING_FACTOR), "model.diffusion_model.out.0.weight": torch.ones(2)}
    torch.save({"epoch": 3, "state_dict": tensors}, path)
    return path


def as_diffusers(tiny: Any, folder: Path) -> Path:
    vae, vocoder = tiny.vae(), tiny.vocoder()
    vae.register_to_config(scaling_factor=tiny.SCALING_FACTOR)
    vae.save_pretrained(folder / "vae")
    vocoder.save_pretrained(folder / "vocoder")
    return folder


def as_older_diffusers(tiny: Any, folder: Path) -> Path:
    """Before 0.15: a pickle, and the names query, key, value and proj_attn."""
    as_diffusers(tiny, folder)
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, value in tiny.vae().state_dict().items():
        for new, old in older.items():
            name = name.replace(f".{new}.", f".{old}.")
        tensors[name] = value
    torch.save(tensors, folder / "vae" / "diffusion_pytorch_model.bin")
    return folder


def log_mel(frames: int = 32) -> Tensor:
    return torch.randn(2, frames, 64, generator=torch.Generator().manual_seed(1)) - 4.0


@pytest.mark.parametrize("write", [as_tango, as_audioldm, as_diffusers, as_older_diffusers], ids=lambda f: f.__name__)
@torch.inference_mode()
def test_every_shape_gives_the_same_parts(tiny: Any, write: Callable[[Any, Path], Path], tmp_path: Path) -> None:
    parts = load_audio_parts(write(tiny, tmp_path))
    vae, vocoder = tiny.vae(), tiny.vocoder()
    mel = log_mel()
    latent = vae.encode(mel[:, None]).latent_dist.mean * tiny.SCALING_FACTOR
    z = parts.space.encode(mel)
    assert z.shape == (2, 8, 8, 16)
    torch.testing.assert_close(z, latent, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        parts.space.decode(z), vae.decode(latent / tiny.SCALING_FACTOR).sample[:, 0], atol=1e-5, rtol=1e-4
    )
    assert torch.equal(parts.vocoder(mel), vocoder(mel)[:, : 32 * 160])
    assert not any(tensor.is_meta for tensor in (*parts.space.state_dict().values(), *parts.vocoder.parameters()))
    assert not any(parameter.requires_grad for parameter in parts.vocoder.parameters())


def decoded_as_the_original(z: Tensor, w: dict[str, Tensor]) -> Tensor:
    """The original decoder written out anew from its own names: z / factor [batch, 8, time, mel] -> mel."""

    def conv(x: Tensor, name: str, padding: int = 1) -> Tensor:
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=padding)

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.group_norm(x, 32, w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)

    def block(x: Tensor, name: str) -> Tensor:
        h = conv(functional.silu(norm(x, f"{name}.norm1")), f"{name}.conv1")
        h = conv(functional.silu(norm(h, f"{name}.norm2")), f"{name}.conv2")
        return h + (conv(x, f"{name}.nin_shortcut", 0) if f"{name}.nin_shortcut.weight" in w else x)

    h = conv(conv(z, "post_quant_conv", 0), "decoder.conv_in")
    h = block(h, "decoder.mid.block_1")
    normed = norm(h, "decoder.mid.attn_1.norm")
    q, k, v = (conv(normed, f"decoder.mid.attn_1.{part}", 0).flatten(2) for part in "qkv")
    weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(-1)
    h = h + conv((v @ weights.transpose(1, 2)).view_as(h), "decoder.mid.attn_1.proj_out", 0)
    h = block(h, "decoder.mid.block_2")
    for level in reversed(range(3)):
        for number in range(2):
            h = block(h, f"decoder.up.{level}.block.{number}")
        if level:
            h = functional.interpolate(h, scale_factor=2.0, mode="nearest")
            h = conv(h, f"decoder.up.{level}.upsample.conv")
    return conv(functional.silu(norm(h, "decoder.norm_out")), "decoder.conv_out")


@torch.inference_mode()
def test_decoding_is_the_original_computation(tiny: Any, tmp_path: Path) -> None:
    tensors = tiny.autoencoder_tensors(tiny.vae(), tiny.vocoder())
    parts = load_audio_parts(tiny.write_autoencoder(tmp_path, tensors))
    z = torch.randn(1, 8, 4, 16, generator=torch.Generator().manual_seed(2))
    expected = decoded_as_the_original(z / tiny.SCALING_FACTOR, tensors)[:, 0]
    torch.testing.assert_close(parts.space.decode(z), expected, atol=1e-5, rtol=1e-4)


def test_full_size_names_and_counts(tiny: Any) -> None:
    """TANGO's file has 398 tensors; the stock classes at full size have as many in the same shapes."""
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=(128, 256, 512),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=2,
            latent_channels=8,
            in_channels=1,
            out_channels=1,
        )
        vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**{**tiny.VOCODER, "upsample_initial_channel": 1024}))
    tensors = tiny.autoencoder_tensors(vae, vocoder)
    of = {part: [name for name in tensors if name.split(".")[0] == part] for part in ("encoder", "decoder", "vocoder")}
    assert {part: len(names) for part, names in of.items()} == {"encoder": 88, "decoder": 112, "vocoder": 194}
    assert sum(tensors[name].numel() for name in of["encoder"]) == 22_395_024
    assert sum(tensors[name].numel() for name in of["decoder"]) == 32_981_505
    assert len(tensors) == 398


def refuses(path: Path, words: str) -> None:
    with pytest.raises(DcldmError, match=words) as caught:
        load_audio_parts(path)
    assert "\n" not in str(caught.value)


def test_damaged_hostile_and_foreign_files_are_refused(tiny: Any, tmp_path: Path) -> None:
    folder = as_tango(tiny, tmp_path / "tango")
    path, trace = folder / "pytorch_model_vae.bin", tmp_path / "trace"
    whole = path.read_bytes()
    for content in (b"", b"PK\x03\x04", whole[: len(whole) // 2], whole[:-100], pickle.dumps(tiny.Malice(trace))):
        path.write_bytes(content)
        refuses(folder, "damaged")
    for hostile in (tiny.Malice(trace), {"encoder.conv_in.weight": tiny.Malice(trace)}, {"a": 1}, [1], {}):
        torch.save(hostile, path)
        refuses(folder, "damaged")
    assert not trace.exists()
    path.unlink()
    refuses(folder, "There is no file")


def test_tensors_too_few_too_many_or_of_another_shape_are_refused(tiny: Any, tmp_path: Path) -> None:
    tensors = tiny.autoencoder_tensors(tiny.vae(), tiny.vocoder())
    first, last = "encoder.conv_in.bias", "vocoder.conv_post.bias"
    for name in (first, last):
        less = {other: value for other, value in tensors.items() if other != name}
        refuses(tiny.write_autoencoder(tmp_path, less), "1 tensors are missing")
        refuses(tiny.write_autoencoder(tmp_path, tensors | {name: torch.zeros(99)}), "has the shape")
    refuses(tiny.write_autoencoder(tmp_path, tensors | {"decoder.extra": torch.zeros(1)}), "unknown")
    swapped = {name: value for name, value in tensors.items() if not name.startswith("vocoder.")}
    refuses(tiny.write_autoencoder(tmp_path, swapped), "does not hold AudioLDM's VAE and vocoder")
    refuses(tiny.write_autoencoder(tmp_path, {"unet.conv_in.weight": torch.zeros(1)}), "does not hold")


@pytest.mark.parametrize("factor", [None, 0, -1.0, "0.9", float("nan"), True])
def test_a_scaling_factor_is_never_guessed(tiny: Any, tmp_path: Path, factor: object) -> None:
    folder = as_tango(tiny, tmp_path)
    (folder / "vae_config.json").write_text(json.dumps(tiny.VAE_CONFIG | {"scale_factor": factor}))
    refuses(folder, "scaling factor")


def test_other_configurations_are_refused(tiny: Any, tmp_path: Path) -> None:
    folder = as_tango(tiny, tmp_path / "tango")
    (folder / "stft_config.json").write_text(json.dumps(tiny.STFT_CONFIG | {"hop_length": 320}))
    refuses(folder, "hop_length")
    (folder / "stft_config.json").write_text("[" * 100_000)
    refuses(folder, "JSON")
    refuses(tmp_path, "holds no audio autoencoder")
    path = as_audioldm(tiny, tmp_path)
    state = torch.load(path, weights_only=True)
    del state["state_dict"]["scale_factor"]
    torch.save(state, path)
    refuses(path, "scale_factor")
    other = as_diffusers(tiny, tmp_path / "diffusers")
    config = json.loads((other / "vocoder" / "config.json").read_text())
    (other / "vocoder" / "config.json").write_text(json.dumps(config | {"upsample_rates": [5, 4, 2, 2]}))
    refuses(other, "strides")
    save_file({"a": torch.zeros(1)}, other / "vocoder" / "model.safetensors")
    (other / "vocoder" / "config.json").write_text(json.dumps(config))
    refuses(other, "does not hold")


def test_half_precision_is_a_choice(tiny: Any, tmp_path: Path) -> None:
    parts: AudioParts = load_audio_parts(as_tango(tiny, tmp_path), torch.bfloat16)
    assert {value.dtype for value in parts.space.parameters()} == {torch.bfloat16}
    assert next(parts.vocoder.parameters()).dtype == torch.bfloat16
