"""What is trained: of each part the module, its loss, its data, and what it renders for the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models.acoustic_lm import sample_codes
from dcldm_plugin.models.audioldm import HifiGan
from dcldm_plugin.models.checkpoint import make_vocoder
from dcldm_plugin.models.latent import LinearVae
from dcldm_plugin.models.matcher import Matcher
from dcldm_plugin.models.phrasebook import Phrasebook, mean_states
from dcldm_plugin.models.tango import NEW
from dcldm_plugin.models.transformer import DualTransformer
from dcldm_plugin.models.unet import DualUNet
from dcldm_plugin.training.base import Base
from dcldm_plugin.training.codec import CodecLoss, TrainableCodec, start_at_unit_scale
from dcldm_plugin.training.config import (
    DENOISERS,
    ONE_PROCESS,
    Config,
    DenoiserRecipe,
    LmRecipe,
    MatcherRecipe,
    SoundRecipe,
)
from dcldm_plugin.training.denoiser import DenoiserLoss
from dcldm_plugin.training.lm import PlanLoss
from dcldm_plugin.training.loop import LossFunction, Sounds
from dcldm_plugin.training.manifest import Complain, read_items
from dcldm_plugin.training.matcher import MatchLoss
from dcldm_plugin.training.phrases import other_words
from dcldm_plugin.training.precompute import AudioSet, EncodedSet, Portion, audio_set, encoded_set
from dcldm_plugin.training.sound_files import Clip, clips_of
from dcldm_plugin.training.vae import VaeLoss, linear_space, measure_latents
from dcldm_plugin.training.vocoder import TrainableVocoder, VocoderLoss
from dcldm_plugin.types import Sampling, Seeds, unheard

# AudioLDM's vocoder at the built-in model's hop of 320, with an eighth of the channels.
SMALL_VOCODER: dict[str, Any] = {
    "model_in_dim": 64,
    "sampling_rate": 16_000,
    "upsample_initial_channel": 128,
    "upsample_rates": [8, 5, 4, 2],
    "upsample_kernel_sizes": [16, 15, 8, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "leaky_relu_slope": 0.1,
    "normalize_before": False,
}
AT_ONCE = 16  # sounds whose mels are in memory together
MOST_FOR_DIRECTIONS = 1500  # sounds that the principal directions are found from


@dataclass(slots=True)
class Task:
    """A part to be trained. `finish` puts what it learned into the chain; `loss` None: there is nothing to descend.

    render(prompt, row): the sound that the page shows, beside the recorded one of that row.
    """

    model: nn.Module
    loss: LossFunction | None
    data: AudioSet | EncodedSet
    sounds: Sounds
    finish: Callable[[], None]
    render: Callable[[str, int], NDArray[np.float32]]


def build(config: Config, base: Base, accelerator: Accelerator, cache: Path, complain: Complain) -> Task:
    """Reads and computes the data. Raises `DcldmError`."""
    if config.part in ONE_PROCESS and accelerator.num_processes > 1:
        raise InvalidInput(f"The {config.part} is trained by one process; leave --processes out.")
    chain = base.chain.eval().requires_grad_(False)
    if base.sizes is not None:
        chain.to(accelerator.device)
    steps, space = chain.config.longest_steps, chain.space
    rate, samples = chain.config.mel.sample_rate, steps * space.ratio * chain.config.mel.hop
    clips, held = _clips(config, samples / rate, complain)
    portion = Portion(accelerator.process_index, accelerator.num_processes)
    level = config.data.level
    data: AudioSet | EncodedSet
    if config.part in (*DENOISERS, "lm", "matcher"):
        plans = config.data.plans if config.part in DENOISERS else "target"

        def compute() -> AudioSet | EncodedSet:
            return encoded_set(cache, clips, chain, level, plans, portion, complain)
    else:

        def compute() -> AudioSet | EncodedSet:
            return audio_set(cache, clips, rate, samples, level, portion, complain)

    data = compute()
    if accelerator.num_processes > 1:  # once more, when the others' rows are there
        accelerator.wait_for_everyone()
        data = compute()
    rows = np.arange(len(data))
    is_held = np.array([clip.key in held for clip in data.clips])
    if is_held.all():
        raise InvalidInput("All sounds that can be used are held out; give more of them, or held_out = 0.")
    sounds = Sounds(rows[~is_held], rows[is_held])
    if config.part in DENOISERS:
        _know(base, [data.clips[row].caption for row in sounds.learned])
    return MAKERS[config.part](config, base, data, sounds)


def _clips(config: Config, seconds: float, complain: Complain) -> tuple[list[Clip], set[str]]:
    """All clips, and the keys of those that are held out: whole files, so that nothing of them is learned."""
    settings, seed = config.data, config.run.seed
    items = read_items(settings, seconds, complain)
    files = sorted({(item.path, item.start if item.path.suffix == ".npy" else 0.0) for item in items})
    count = round(settings.held_out * len(files))
    chosen = {files[row] for row in np.random.default_rng([seed, 0x4E1D]).permutation(len(files))[:count]}
    apart = [(item.path, item.start if item.path.suffix == ".npy" else 0.0) in chosen for item in items]
    learned = [item for item, is_apart in zip(items, apart, strict=True) if not is_apart]
    others = [item for item, is_apart in zip(items, apart, strict=True) if is_apart]
    clips = clips_of(learned, seconds, settings.level, settings.mixes, seed, complain)
    held = clips_of(others, seconds, settings.level, 0.0, seed, complain)
    learned_keys = {clip.key for clip in clips}
    held = [clip for clip in held if clip.key not in learned_keys]  # the same sound under two names
    return clips + held, {clip.key for clip in held}


def _know(base: Base, captions: list[str]) -> None:
    """What a model learned from are words that it knows. One whose other words are not on record gets no phrasebook."""
    chain = base.chain
    if base.sizes is None or (chain.phrasebook is None and base.licence):
        return
    book = Phrasebook.of(captions, mean_states(chain.text), chain.phrasebook, other_words())
    chain.phrasebook, base.sizes = book.to(chain.space.mean.device), replace(base.sizes, phrasebook=book.sizes)


def _denoiser(config: Config, base: Base, data: AudioSet | EncodedSet, sounds: Sounds) -> Task:
    assert isinstance(data, EncodedSet) and isinstance(config.recipe, DenoiserRecipe)
    chain, recipe, denoiser = base.chain, config.recipe, base.chain.denoiser
    kinds = {"unet": DualUNet, "transformer": DualTransformer}
    if config.part in kinds and not isinstance(denoiser, kinds[config.part]):
        raise InvalidInput(f'The base {base.name} has no {config.part}; choose part = "adapter" or another base.')
    if chain.config.encoding == "ag_vae" and (recipe.wrong_tokens or recipe.fewer_codebooks):
        raise InvalidInput('wrong_tokens and fewer_codebooks are for encoding = "ag"; set them to 0.')
    trained = [value for name, value in denoiser.named_parameters() if config.part != "adapter" or NEW in f".{name}"]
    if not trained:
        raise InvalidInput(f"The base {base.name} has no acoustic attention to adapt; train its whole denoiser.")
    for value in trained:
        value.requires_grad_(True)
    if config.run.checkpointing:
        _save_memory(denoiser)
    loss = DenoiserLoss(data, _books(chain.codec), recipe, chain.config.prediction)
    return Task(denoiser, loss, data, sounds, lambda: None, _generated(config, base))


def _save_memory(denoiser: nn.Module) -> None:
    """Compute activations anew on the way back, in place of keeping them."""
    if isinstance(denoiser, DualUNet):
        denoiser.unet.enable_gradient_checkpointing()
    elif isinstance(denoiser, DualTransformer):
        denoiser.checkpointing = True


def _language_model(config: Config, base: Base, data: AudioSet | EncodedSet, sounds: Sounds) -> Task:
    assert isinstance(data, EncodedSet) and isinstance(config.recipe, LmRecipe)
    if base.sizes is None:
        raise InvalidInput("AudioGen is used as it is; the part lm is for models in a folder, and new ones.")
    chain, model = base.chain, base.chain.plan_model.requires_grad_(True)
    if config.run.checkpointing:
        model.lm.gradient_checkpointing_enable()  # type: ignore[no-untyped-call]

    def finish() -> None:
        """The plan for the empty text is a fixed one, the likeliest."""
        states, mask = chain.text([""])
        codes = sample_codes(
            model.lm,
            model.enc_to_dec_proj(states),
            mask,
            chain.empty_plan.shape[1],
            generators=[torch.Generator().manual_seed(0)],
            temperature=0.0,
            guidance_scale=1.0,
            zero_padding=chain.config.zero_padding,
        )
        chain.empty_plan.copy_(codes[0])

    return Task(model, PlanLoss(data, config.recipe), data, sounds, finish, _generated(config, base))


def _matcher(config: Config, base: Base, data: AudioSet | EncodedSet, sounds: Sounds) -> Task:
    assert isinstance(data, EncodedSet) and isinstance(config.recipe, MatcherRecipe)
    _needs_folder(config, base)
    assert base.sizes is not None
    chain, books = base.chain, _books(base.chain.codec)
    if chain.matcher is None:
        channels, _, bands = chain.space.mean.shape
        sizes = {"plan_width": books.shape[-1], "latent_width": channels * bands, "text_width": base.sizes.text_width}
        base.sizes = replace(base.sizes, matcher=sizes)
        torch.manual_seed(config.run.seed)
        chain.matcher = Matcher(**sizes).to(chain.space.mean.device)
    return Task(
        chain.matcher.requires_grad_(True), MatchLoss(data, books, config.recipe), data, sounds, lambda: None,
        _generated(config, base),
    )  # fmt: skip


def _codec(config: Config, base: Base, data: AudioSet | EncodedSet, sounds: Sounds) -> Task:
    assert isinstance(data, AudioSet) and isinstance(config.recipe, SoundRecipe)
    _needs_folder(config, base)
    chain = base.chain
    device = chain.space.mean.device
    model = TrainableCodec(chain.codec.requires_grad_(True)).to(device)
    if base.licence:
        model.quantising.fill_(True)  # it has learned its codebooks
    else:
        model.start_codebooks_anew()
        start_at_unit_scale(model, data.audio(sounds.learned[:AT_ONCE])[:, None, :160_000].to(device))

    def finish() -> None:
        samples = chain.config.longest_steps * chain.space.ratio * chain.config.mel.hop
        silence = chain.codec.quantizer.encode(chain.codec.encoder(torch.zeros(1, 1, samples, device=device)))
        chain.empty_plan.copy_(silence.transpose(0, 1)[0, :, : chain.empty_plan.shape[1]])

    def render(prompt: str, row: int) -> NDArray[np.float32]:
        audio = data.audio(np.array([row])).to(device)
        return _array(model(audio[:, None])[0][0, 0])

    return Task(model, CodecLoss(data, config.recipe), data, sounds, finish, render)


def _vae(config: Config, base: Base, data: AudioSet | EncodedSet, sounds: Sounds) -> Task:
    assert isinstance(data, AudioSet) and isinstance(config.recipe, SoundRecipe)
    _needs_folder(config, base)
    chain = base.chain

    def mels(rows: NDArray[np.int64]) -> list[Tensor]:
        parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
        return [chain.analysis(data.audio(part).to(chain.space.mean.device)) for part in parts]

    def render(prompt: str, row: int) -> NDArray[np.float32]:
        return _array(chain.vocoder(chain.space.decode(chain.space.encode(mels(np.array([row]))[0])))[0])

    def finish() -> None:
        if isinstance(chain.space.vae, LinearVae):
            sizes = chain.space.vae.config
            some = np.concatenate([mel.half().cpu().numpy() for mel in mels(sounds.learned[:MOST_FOR_DIRECTIONS])])
            found = linear_space(some, sizes["frames"], sizes["latent_channels"])
            chain.space.load_state_dict(found.state_dict())
        else:
            measure_latents(chain.space, mels(sounds.learned[:MOST_FOR_DIRECTIONS]))

    is_linear = isinstance(chain.space.vae, LinearVae)
    if not is_linear:
        chain.space.vae.requires_grad_(True)
    loss = None if is_linear else VaeLoss(data, config.recipe, chain.analysis)
    return Task(chain.space, loss, data, sounds, finish, render)


def _vocoder(config: Config, base: Base, data: AudioSet | EncodedSet, sounds: Sounds) -> Task:
    assert isinstance(data, AudioSet) and isinstance(config.recipe, SoundRecipe)
    _needs_folder(config, base)
    assert base.sizes is not None
    chain = base.chain
    if base.sizes.vocoder is None:  # until now noise was shaped
        base.sizes = replace(base.sizes, vocoder=SMALL_VOCODER)
        torch.manual_seed(config.run.seed)
        chain.vocoder = make_vocoder(base.sizes)
    vocoder = chain.vocoder
    assert isinstance(vocoder, HifiGan)
    if int(np.prod(vocoder.network.config.upsample_rates)) != chain.config.mel.hop:
        raise InvalidInput("The vocoder has another hop than the model's mel; choose another base.")
    model = TrainableVocoder(vocoder.requires_grad_(True)).to(chain.space.mean.device)

    def render(prompt: str, row: int) -> NDArray[np.float32]:
        audio = data.audio(np.array([row])).to(chain.space.mean.device)
        return _array(vocoder(chain.analysis(audio))[0])

    return Task(model, VocoderLoss(data, config.recipe, chain.analysis), data, sounds, lambda: None, render)


MAKERS: dict[str, Callable[[Config, Base, AudioSet | EncodedSet, Sounds], Task]] = {
    **dict.fromkeys(DENOISERS, _denoiser),
    "lm": _language_model,
    "matcher": _matcher,
    "codec": _codec,
    "vae": _vae,
    "vocoder": _vocoder,
}


def _needs_folder(config: Config, base: Base) -> None:
    if base.sizes is None:
        raise InvalidInput(f"TANGO's {config.part} is used as it is; choose another base, or another part.")


def _generated(config: Config, base: Base) -> Callable[[str, int], NDArray[np.float32]]:
    """The whole chain's sound of a prompt."""
    chain, seed, seconds = base.chain, config.samples.seed, config.samples.seconds

    def render(prompt: str, row: int) -> NDArray[np.float32]:
        chain.forget_plans()
        sampling = chain.config.defaults.fill(Sampling())
        longest = chain.config.longest_steps / chain.latent_rate
        audio = chain.generate(prompt, "", min(seconds, longest), Seeds(seed, seed), sampling, unheard)
        return _array(audio)

    return render


def _quantiser(codec: Any) -> Any:
    return codec.quantizer


def _books(codec: Any) -> Tensor:
    """[codebooks, size, width]."""
    return torch.stack([layer.codebook.embed for layer in _quantiser(codec).layers])


def _array(audio: Tensor) -> NDArray[np.float32]:
    return audio.detach().float().cpu().numpy()
