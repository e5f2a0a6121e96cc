"""Pipelines of diffusers from folders in their true layout, with tiny random components."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
import torch
from numpy.typing import NDArray

from dcldm_plugin.backends.pipelines import PipelineBackend, make
from dcldm_plugin.engine import registry
from dcldm_plugin.engine.worker import write_take
from dcldm_plugin.errors import Cancelled, DcldmError, EngineFailed, InvalidInput
from dcldm_plugin.library import Library
from dcldm_plugin.models.variation import read_reference
from dcldm_plugin.store import Store
from dcldm_plugin.types import AudioSource, Control, GenerationRequest, Kind, Parent, Sampling, Variation, unheard
from dcldm_plugin.variations import audio_source

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning"),  # of the autoencoders
    pytest.mark.filterwarnings("ignore:.*(AudioLDM|MusicLDM|deprecated).*:FutureWarning"),
]
OF_NOISE, OF_START = ("audioldm", "audioldm2", "musicldm", "longcat", "ace_step"), ("stable_audio", "stable_audio_3")
NAMES = (*OF_NOISE, *OF_START)
SECONDS, STEPS = 0.2, 3


@pytest.fixture(scope="module")
def writers(fakes: Callable[[str], ModuleType]) -> ModuleType:
    return fakes("tiny_pipelines.py")


@pytest.fixture(scope="module")
def folders(writers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("pipelines")
    return {name: getattr(writers, f"write_{name}")(root / name) for name in NAMES}


@pytest.fixture(scope="module")
def backends(folders: dict[str, Path]) -> dict[str, PipelineBackend]:
    loaded = {name: registry.load(str(folder), unheard) for name, folder in folders.items()}
    assert all(isinstance(backend, PipelineBackend) for backend in loaded.values())
    return loaded  # type: ignore[return-value]


def request(backend: PipelineBackend, text: str = "rain", **asked: Any) -> GenerationRequest:
    asked = {"seconds": SECONDS, "seed": 1, "sampling": Sampling(steps=STEPS), "model": backend.info.name} | asked
    return GenerationRequest.create(text, **asked)


def render(backend: PipelineBackend, text: str = "rain", **asked: Any) -> list[NDArray[np.float32]]:
    return [take.samples for take in backend.render(request(backend, text, **asked), unheard)]


@pytest.mark.parametrize("name", NAMES)
def test_the_texture_seed_and_the_text_draw_everything(name: str, backends: dict[str, PipelineBackend]) -> None:
    backend = backends[name]
    info = backend.info
    first, second = render(backend, variations=2)
    assert first.dtype == np.float32 and first.shape == (info.channels, round(SECONDS * info.sample_rate))
    assert np.isfinite(first).all() and first.std() > 0.0
    assert np.array_equal(second, render(backend, seed=2)[0]) and not np.array_equal(first, second)
    strongly = Sampling(steps=STEPS, guidance_scale=20.0)
    assert not np.array_equal(render(backend, sampling=strongly)[0], render(backend, "dogs", sampling=strongly)[0])
    if info.channels == 2:
        assert not np.array_equal(*first)


@pytest.mark.parametrize("name", NAMES)
def test_progress_rises_and_cancel_is_obeyed(name: str, backends: dict[str, PipelineBackend]) -> None:
    seen: list[tuple[str, float]] = []
    list(backends[name].render(request(backends[name]), lambda stage, fraction: seen.append((stage, fraction))))
    steps = [fraction for stage, fraction in seen if stage == "denoising"]
    assert steps == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert list(dict.fromkeys(stage for stage, _ in seen)) == ["reading", "denoising", "decoding"]

    def leave(stage: str, fraction: float) -> None:
        if stage == "denoising":
            raise Cancelled

    with pytest.raises(Cancelled):
        list(backends[name].render(request(backends[name]), leave))
    assert len(render(backends[name])) == 1  # and it still works


def test_what_the_folders_say_of_themselves(backends: dict[str, PipelineBackend]) -> None:
    infos = {name: backend.info for name, backend in backends.items()}
    assert [(info.sample_rate, info.channels) for info in infos.values()] == [
        *[(16_000, 1)] * 3, (24_000, 1), (48_000, 2), *[(44_100, 2)] * 2
    ]  # fmt: skip
    assert infos["longcat"].longest_seconds == 30.0 and infos["longcat"].steps == 16  # whole frames of 64 samples
    assert infos["stable_audio"].longest_seconds == pytest.approx(200 * 64 / 44_100)
    assert infos["stable_audio_3"].longest_seconds == 384.0 and not infos["stable_audio_3"].negative_prompt
    assert infos["ace_step"].longest_seconds == 600.0 and infos["ace_step"].steps == 8
    assert len({info.version for info in infos.values()}) == 7
    assert not any(info.commercial_use for info in infos.values())  # nobody said so


# Controls


def control(backend: PipelineBackend, kind: Kind, amount: float, seed: int = 1, **more: Any) -> Control:
    made = request(backend, seed=seed, sampling=Sampling(None, STEPS, backend.kind.guidance_scale))
    return Control(kind, (Parent(made, backend.info.version),), amount, **more)


@pytest.mark.parametrize("name", OF_NOISE)
def test_retexture_goes_from_one_noise_to_another(name: str, backends: dict[str, PipelineBackend]) -> None:
    backend = backends[name]
    parent, other = render(backend)[0], render(backend, seed=9)[0]
    takes = {
        amount: render(backend, seed=9, control=control(backend, "retexture", amount))[0] for amount in (0.0, 0.4, 1.0)
    }
    assert np.array_equal(takes[0.0], parent) and np.array_equal(takes[1.0], other)
    between = [float(np.abs(takes[0.4] - end).mean()) for end in (parent, other)]
    assert 0.0 < between[0] < float(np.abs(parent - other).mean()) and between[1] > 0.0


def likeness(backend: PipelineBackend, source: AudioSource, amount: float) -> float:
    """The correlation of what the denoiser is first shown with the sound's own latent."""
    seen: list[torch.Tensor] = []
    hook = backend.pipeline.transformer.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    render(backend, control=Control("purify", amount=amount, audio=source))
    hook.remove()
    pipeline, first = backend.pipeline, seen[0][:1]
    sound = torch.zeros(1, 2, 200 * 64)
    sound[0, :, : round(SECONDS * 44_100)] = read_reference(source, SECONDS, 44_100, 2)
    with torch.inference_mode():
        encoded = pipeline.vae.encode(sound)
    latent = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
    pair = [each.flatten().numpy() for each in (first, latent[..., : first.shape[-1]])]
    return float(np.corrcoef(*pair)[0, 1])


@pytest.mark.parametrize("name", OF_START)
def test_purify_begins_with_a_sound(name: str, backends: dict[str, PipelineBackend], tmp_path: Path) -> None:
    backend = backends[name]
    rate = backend.info.sample_rate
    before = render(backend)[0]
    path = tmp_path / "their.wav"
    sound = 0.5 * np.random.default_rng(3).standard_normal((rate, 2)).astype(np.float32)
    soundfile.write(path, sound, rate, subtype="FLOAT")
    source = audio_source(path)
    (kept,) = render(backend, control=Control("purify", amount=0.0, audio=source))
    assert np.array_equal(kept, sound[: round(SECONDS * rate)].T)  # both channels, as they are
    assert likeness(backend, source, 0.05) > likeness(backend, source, 0.5) > likeness(backend, source, 0.99)
    of_parent = render(backend, control=control(backend, "purify", 0.0))[0]
    assert np.array_equal(of_parent, before)  # a clip of its own is made again, and needs no file
    assert np.array_equal(render(backend)[0], before)  # what was changed for it is put back


@pytest.mark.parametrize(
    ("name", "asked", "sentence"),
    [
        ("audioldm", {"stereo": 0.5}, "'stereo', which needs a denoiser that makes two textures"),
        ("stable_audio", {"stereo": 0.5}, "makes stereo by itself"),
        ("stable_audio_3", {"negative": "wind"}, "takes no negative prompt"),
        ("ace_step", {"negative": "wind"}, "takes no negative prompt"),
        ("audioldm", {"negative": "wind", "sampling": Sampling(guidance_scale=1.0)}, "scale above 1"),
        ("audioldm2", {"sampling": Sampling("ddim")}, "leave sampler"),
        ("stable_audio", {"seconds": 1.0}, "at most 0.290249 s"),
    ],
)
def test_what_it_lacks_is_explained(
    name: str, asked: dict[str, Any], sentence: str, backends: dict[str, PipelineBackend]
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        render(backends[name], **asked)


def test_controls_that_need_a_plan_are_explained(backends: dict[str, PipelineBackend]) -> None:
    for name in NAMES:
        with pytest.raises(InvalidInput, match="'rearrange', which needs an acoustic plan"):
            render(backends[name], control=control(backends[name], "rearrange", 0.0))
    with pytest.raises(InvalidInput, match="was made by the version old"):
        made = request(backends["audioldm"])
        render(backends["audioldm"], control=Control("retexture", (Parent(made, "old"),), 0.5))


# Folders


def test_the_wrong_class_of_the_language_model_is_mended(
    folders: dict[str, Path], backends: dict[str, PipelineBackend]
) -> None:
    index = json.loads((folders["audioldm2"] / "model_index.json").read_text(encoding="utf-8"))
    assert index["language_model"] == ["transformers", "GPT2Model"]
    assert type(backends["audioldm2"].pipeline.language_model).__name__ == "GPT2LMHeadModel"


def test_installed_by_name(folders: dict[str, Path], tmp_path: Path) -> None:
    Store(tmp_path).install_from("audioldm", folders["audioldm"], lambda line: None)
    backend = make(unheard, "audioldm", tmp_path)
    assert backend.info.name == "audioldm" and len(backend.info.version) == 12
    assert backend.info.longest_seconds == 10.24
    (take,) = backend.render(request(backend), unheard)
    assert take.samples.shape == (1, 3_200) and take.sampling == Sampling(steps=STEPS, guidance_scale=2.5)
    with pytest.raises(DcldmError, match="dcldm models install audioldm2"):
        make(unheard, "audioldm2", tmp_path)


def changed(folder: Path, copy: Path, **index: Any) -> Path:
    """A copy with other entries in its index."""
    shutil.copytree(folder, copy)
    path = copy / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | index), encoding="utf-8")
    return copy


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ({"_class_name": "StableDiffusionPipeline"}, "is a StableDiffusionPipeline, which is not run here"),
        ({"_class_name": None}, "is a None, which is not run here"),
        ({"vocoder": ["os", "system"]}, "of an unknown library"),
        ({"ghost": ["diffusers", "AutoencoderKL"]}, "has no folder 'ghost'"),
        ({"_class_name": "StableAudioPipeline"}, "is not described as a StableAudioPipeline is"),
    ],
)
def test_a_wrong_or_partial_folder_is_one_sentence(
    index: dict[str, Any], sentence: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = changed(folders["audioldm"], tmp_path / "copy", **index)
    with pytest.raises(InvalidInput, match=sentence) as refused:
        registry.describe(str(folder))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", OF_NOISE)
@pytest.mark.parametrize("seconds", [0.1001, 0.2, 0.327, 0.333])
def test_latent_frames_never_cut_a_clip_short(seconds: float, name: str, backends: dict[str, PipelineBackend]) -> None:
    (take,) = render(backends[name], seconds=seconds)
    info = backends[name].info
    assert take.shape == (info.channels, round(seconds * info.sample_rate))


def test_diffusers_makes_the_sampler_of_longcat_whatever_the_folder_has(
    folders: dict[str, Path], backends: dict[str, PipelineBackend], tmp_path: Path
) -> None:
    """So that nothing in the folder can draw noise that no seed is given for."""
    folder = changed(folders["longcat"], tmp_path / "copy")
    assert not (folder / "scheduler").exists()
    (folder / "scheduler").mkdir()
    config = dict(backends["longcat"].pipeline.scheduler.config) | {"stochastic_sampling": True}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(config), encoding="utf-8")
    backend = registry.load(str(folder), unheard)
    assert isinstance(backend, PipelineBackend) and not backend.pipeline.scheduler.config.stochastic_sampling
    shutil.rmtree(folder / "transformer")
    with pytest.raises(InvalidInput, match="has no folder 'transformer'"):
        registry.describe(str(folder))


def test_the_distilled_ace_step_takes_no_guidance(writers: ModuleType, tmp_path: Path) -> None:
    backend = registry.load(str(writers.write_ace_step(tmp_path / "turbo", turbo=True)), unheard)
    assert isinstance(backend, PipelineBackend)
    (take,) = backend.render(request(backend, sampling=Sampling()), unheard)
    assert take.sampling == Sampling(steps=8, guidance_scale=1.0)  # what is recorded is what was done
    with pytest.raises(InvalidInput, match="was distilled and takes no guidance"):
        render(backend, sampling=Sampling(guidance_scale=7.0))


def test_ace_step_without_what_is_optional_is_whole_and_its_sampler_draws_nothing(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    index = json.loads((folders["ace_step"] / "model_index.json").read_text(encoding="utf-8"))
    assert index["audio_tokenizer"] == [None, None]
    with pytest.raises(InvalidInput, match="of an unknown library"):
        registry.describe(str(changed(folders["ace_step"], tmp_path / "none", vae=[None, None])))
    drawing = changed(folders["ace_step"], tmp_path / "drawing") / "scheduler" / "scheduler_config.json"
    config = json.loads(drawing.read_text(encoding="utf-8")) | {"stochastic_sampling": True}
    drawing.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InvalidInput, match="noise that no seed is given for"):
        registry.describe(str(drawing.parents[1]))


def test_weights_that_are_cut_short_missing_or_of_another_model(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(folders["audioldm"], tmp_path / "copy")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    with pytest.raises(DcldmError, match="cut short"):
        registry.load(str(folder), unheard)
    shutil.copy(folder / "vae" / weights.name, weights)
    with pytest.raises(EngineFailed, match="can't be loaded as AudioLDMPipeline") as refused:
        registry.load(str(folder), unheard)
    assert "\n" not in str(refused.value)
    weights.unlink()
    with pytest.raises(EngineFailed, match="can't be loaded as AudioLDMPipeline"):
        registry.load(str(folder), unheard)


def test_more_than_there_is_memory_for(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = changed(folders["audioldm"], tmp_path / "copy")
    with (folder / "unet" / "diffusion_pytorch_model.safetensors").open("r+b") as file:
        file.truncate(1 << 42)  # a hole, and takes no room
    with pytest.raises(EngineFailed, match=r"needs 4\d{3}\.\d GB of memory and"):
        registry.load(str(folder), unheard)


def test_a_stereo_take_is_delivered_with_its_channels(
    backends: dict[str, PipelineBackend], library: Library, tmp_path: Path
) -> None:
    """From 44.1 kHz through the finishing chain to 48 kHz, left and right apart."""
    backend = backends["stable_audio"]
    asked = request(backend)
    (take,) = backend.render(asked, unheard)
    path = tmp_path / "take.wav"
    write_take(path, take, backend.info.sample_rate)
    variation = Variation(asked, 0, path, backend.info.sample_rate, 2, backend.info.version, take.sampling)
    clip = library.adopt(variation)
    assert (clip.channels, clip.sample_rate, clip.band_hz) == (2, 48_000, 22_050.0)
    assert clip.rights is not None and not clip.rights.commercial_use  # nobody said that it may be sold
    samples, rate = soundfile.read(clip.path, always_2d=True)
    assert rate == 48_000 and samples.shape == (9_600, 2)
    expected = soxr.resample(take.samples.T, backend.info.sample_rate, rate, quality="VHQ")
    middle = slice(1_000, 8_600)  # without the fades
    for channel in range(2):
        assert np.corrcoef(samples[middle, channel], expected[middle, channel])[0, 1] > 0.999
    assert not np.array_equal(samples[:, 0], samples[:, 1])
