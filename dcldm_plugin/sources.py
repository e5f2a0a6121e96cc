"""Which public weights there are, where they come from and under which licence: one table. Knows no torch.

A *part* is a set of files of one origin; a *model* names the parts that it needs, so models share them on
disk. The licences are those on the parts' pages; a model may do what all of its parts may.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import RULES, ModelInfo

SAMPLE_RATE = 16_000  # Hz, of the whole family
TANGO_SECONDS = 10.24  # 1024 mel frames of 10 ms
AUDIOGEN_SECONDS = 10.0
DIFFSOUND_SECONDS = 848 * 256 / 22_050  # mel frames x hop
STABLE_AUDIO_SECONDS = 2_097_152 / 44_100  # 1024 latent steps of 2048 samples
STABLE_AUDIO_3_SECONDS = 380.0
TANGO_PARAMETERS = 865_933_768
WORKING_BYTES = 1_500_000_000  # what a clip takes besides the weights, about
NOISE_CONTROLS = ("regenerate", "retexture")  # of a pipeline whose sampler draws nothing after the first noise
START_CONTROLS = ("regenerate", "purify")  # of one that can begin with a given sound
PROJECTION_PARAMETERS = 128 * 1024 + 1024  # from the plan's width to the text's, where it takes the text's place


@dataclass(frozen=True, slots=True)
class Part:
    """Files that belong together.

    repository: "owner/name" on the hub; empty for what only the user has. required: exact names, "a|b" for
    the first of them that is there. single_file: the name under which one file that the user gives is kept in
    place of all these. size_bytes: of the download, about. gated: its page gives it only to those who are
    signed in and have accepted its licence. terms: what that licence asks, in a sentence.
    """

    name: str
    title: str
    licence: str
    commercial_use: bool
    size_bytes: int
    repository: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    single_file: str = ""
    gated: bool = False
    terms: str = ""

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return f"https://huggingface.co/{self.repository}" if self.repository else "trained by you"

    @property
    def names(self) -> set[str]:
        """Every file that may be part of it."""
        required = {name for alternatives in self.required for name in alternatives.split("|")}
        return required | {*self.optional, self.single_file} - {""}

    def choose(self, available: Collection[str], place: str) -> list[str]:
        """Which of the files in `place` make up this part. Raises `DcldmError` if one is missing."""
        if self.single_file in available:
            return [self.single_file]
        chosen = []
        for alternatives in self.required:
            found = next((name for name in alternatives.split("|") if name in available), None)
            if found is None:
                raise DcldmError(
                    f"{place} has no {alternatives.replace('|', ' or ')}, so {self.title} is not complete there; "
                    "name a folder that has it with --from."
                )
            chosen.append(found)
        return [*dict.fromkeys(chosen + [name for name in self.optional if name in available])]


@dataclass(frozen=True, slots=True)
class Model:
    """What can be asked for by name.

    trainable_parameters: of a row of the paper's Table 1 or its light form, as counted from
    `models/presets.py` (the tests count again); None for anything else.
    """

    info: ModelInfo
    parts: tuple[str, ...]
    trainable_parameters: int | None = None


def _weights(folder: str, name: str) -> str:
    """Safetensors where there are any, since they hold nothing but numbers."""
    return f"{folder}/{name}.safetensors|{folder}/{'pytorch_model' if name == 'model' else name}.bin"


def _folders(models: tuple[str, ...], networks: tuple[str, ...], tokenizers: tuple[str, ...]) -> tuple[str, ...]:
    """The files of a pipeline of diffusers: `models` are those of transformers, `networks` its own."""
    weights = [(name, "model") for name in models] + [(name, "diffusion_pytorch_model") for name in networks]
    return (
        "model_index.json",
        "scheduler/scheduler_config.json",
        *(file for name, kind in weights for file in (f"{name}/config.json", _weights(name, kind))),
        *(f"{name}/tokenizer.json|{name}/vocab.json|{name}/spiece.model|{name}/tokenizer.model" for name in tokenizers),
    )


def _more(*tokenizers: str) -> tuple[str, ...]:
    """What tokenizers may need besides."""
    files = ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "spiece.model")
    return tuple(f"{name}/{file}" for name in tokenizers for file in files)


TOKENIZER_FILES = ("config.json", "tokenizer.json|spiece.model")
MORE_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "spiece.model")
TANGO_FILES = (
    "main_config.json",
    "vae_config.json",
    "stft_config.json",
    "pytorch_model_main.bin",
    "pytorch_model_vae.bin",
)
STABILITY_TERMS = (
    "Free to use, also commercially below US$1M of revenue a year after registering at https://stability.ai; "
    'above that it needs a contract. Clips are yours; say "Powered by Stability AI" where you pass the model on.'
)
AUDIOCRAFT_FILES = ("state_dict.bin", "compression_state_dict.bin")

_PUBLIC_PARTS = (
    Part(
        "tango",
        "TANGO (U-Net, text encoder, VAE and vocoder)",
        "CC-BY-NC-SA-4.0 (its page), CC-BY-NC-ND-4.0 (its code)",
        False,
        5_271_000_000,
        "declare-lab/tango",
        TANGO_FILES,
    ),
    Part(
        "flan-t5-large",
        "FLAN-T5-large's tokenizer",  # TANGO's own file has the weights: 3 GB that need not be fetched
        "Apache-2.0",
        True,
        3_300_000,
        "google/flan-t5-large",
        TOKENIZER_FILES,
        MORE_TOKENIZER_FILES,
    ),
    Part(
        "t5-large",
        "T5-large (AudioGen's text encoder)",
        "Apache-2.0",
        True,
        2_953_000_000,
        "google-t5/t5-large",
        (*TOKENIZER_FILES, "model.safetensors|pytorch_model.bin"),
        MORE_TOKENIZER_FILES,
    ),
    Part(
        "audiogen-medium",
        "AudioGen medium",
        "CC-BY-NC-4.0",
        False,
        3_916_000_000,
        "facebook/audiogen-medium",
        AUDIOCRAFT_FILES,
    ),
    Part(
        "audio-magnet-small",
        "MAGNeT small",
        "CC-BY-NC-4.0",
        False,
        840_000_000,
        "facebook/audio-magnet-small",
        AUDIOCRAFT_FILES,
    ),
    Part(
        "audio-magnet-medium",
        "MAGNeT medium",
        "CC-BY-NC-4.0",
        False,
        3_910_000_000,
        "facebook/audio-magnet-medium",
        AUDIOCRAFT_FILES,
    ),
    Part(
        "tango2",
        "TANGO 2 (U-Net, text encoder, VAE and vocoder)",
        "CC-BY-NC-SA-4.0",
        False,
        5_271_000_000,
        "declare-lab/tango2",
        TANGO_FILES,
    ),
    *(
        Part(
            name,
            title,
            "CC-BY-NC-SA-4.0",
            False,
            size_bytes,
            f"cvssp/{name}",
            _folders(("text_encoder", "vocoder"), ("unet", "vae"), ("tokenizer",)),
            _more("tokenizer"),
            single_file=f"{name}.ckpt",
        )
        for name, title, size_bytes in (
            ("audioldm", "AudioLDM (small)", 1_690_000_000),
            ("audioldm-l-full", "AudioLDM-L", 3_900_000_000),
        )
    ),
    Part(
        "audioldm2",
        "AudioLDM 2",
        "CC-BY-NC-SA-4.0",
        False,
        4_500_000_000,
        "cvssp/audioldm2",
        (
            *_folders(
                ("text_encoder", "text_encoder_2", "language_model", "vocoder"),
                ("projection_model", "unet", "vae"),
                ("tokenizer", "tokenizer_2"),
            ),
            "feature_extractor/preprocessor_config.json",
        ),
        _more("tokenizer", "tokenizer_2"),
    ),
    Part(
        "diffsound",
        "Diffsound and its vocoder",
        "unclear: its page says MIT, its code has no licence",
        False,
        3_800_000_000,
        "Dongchao/Diffsound",
        ("diffsound.pth", "best_netG.pt"),
    ),
    Part(
        "clip-tokenizer",
        "CLIP's tokenizer",
        "MIT",
        True,
        1_400_000,
        "openai/clip-vit-base-patch32",
        ("vocab.json", "merges.txt"),
        ("tokenizer_config.json", "special_tokens_map.json"),
    ),
    Part(
        "stable-audio-open-1.0",
        "Stable Audio Open 1.0",
        "Stability AI Community License (to sell: below US$1M of revenue a year, registered)",
        True,
        5_200_000_000,
        "stabilityai/stable-audio-open-1.0",
        _folders(("text_encoder",), ("projection_model", "transformer", "vae"), ("tokenizer",)),
        _more("tokenizer"),
        gated=True,
        terms=STABILITY_TERMS,
    ),
    Part(
        "stable-audio-3-medium",
        "Stable Audio 3 medium",
        "Stability AI Community License (to sell: below US$1M of revenue a year, registered); Gemma Terms of Use",
        True,
        8_000_000_000,
        "stabilityai/stable-audio-3-medium",
        _folders(("text_encoder",), ("duration_embedder", "transformer", "vae"), ("tokenizer",)),
        (*_more("tokenizer"), "tokenizer/tokenizer.model"),
        gated=True,
        terms=f"{STABILITY_TERMS} Its text encoder is under Google's Gemma Terms of Use as well.",
    ),
)


def _adapter(name: str, title: str) -> Part:
    """What the user trains for a model: no weights of the paper were ever published."""
    return Part(name, f"the trained weights of {title}", "yours", True, 0, "", ("adapter.safetensors",), (),
                "adapter.safetensors")  # fmt: skip


def _table_1() -> Iterator[tuple[str, str, int]]:
    """The rows that need weights of the user's own: names as in `models/presets.py`, titles, parameters."""
    places = (
        ("down", "CA-DOWN#1", 870_207_048, 866_509_128),
        ("mid", "CA-MID", 899_056_328, 869_542_088),
        ("up", "CA-UP#1", 872_343_688, 866_796_808),
        ("down-up", "CA-DOWN#1 & CA-UP#1", 876_616_968, 867_372_168),
    )
    for encoding, printed in (("ag", "AG"), ("ag-vae", "AG_VAE")):
        yield f"ldm-{encoding}", f"LDM with {printed}", TANGO_PARAMETERS + PROJECTION_PARAMETERS
        for place, where, faithful, light in places:
            title = f"DC-LDM with T5 & {printed} ({where})"
            yield f"dc-ldm-{encoding}-{place}", title, faithful
            yield f"dc-ldm-{encoding}-{place}-light", f"{title}, light", light


_ADAPTERS = tuple(_adapter(name, title) for name, title, _ in _table_1())
PARTS = {part.name: part for part in (*_PUBLIC_PARTS, *_ADAPTERS)}


def _model(
    name: str,
    title: str,
    seconds: float,
    parts: tuple[str, ...],
    parameters: int | None = None,
    *,
    controls: tuple[str, ...] = ("regenerate",),
    seeds: tuple[str, ...] = ("structure", "texture"),
    sample_rate: int = SAMPLE_RATE,
    channels: int = 1,
    negative_prompt: bool = True,
    steps: int | None = None,
    devices: tuple[str, ...] = ("cpu", "cuda", "mps"),
) -> Model:
    licences = dict.fromkeys(PARTS[part].licence for part in parts)
    info = ModelInfo(
        name=name,
        title=title,
        licence="; ".join(licences),
        commercial_use=all(PARTS[part].commercial_use for part in parts),
        sample_rate=sample_rate,
        channels=channels,
        longest_seconds=seconds,
        band_hz=sample_rate / 2,
        negative_prompt=negative_prompt,
        steps=steps,
        controls=controls,
        seeds=seeds,
        devices=devices,
        memory_bytes=sum(PARTS[part].size_bytes for part in parts) + WORKING_BYTES,
    )
    return Model(info, parts, parameters)


_TANGO = ("tango", "flan-t5-large")
_AUDIOGEN = ("audiogen-medium", "t5-large")
_STRUCTURE, _TEXTURE = ("structure",), ("texture",)
# Without a denoiser there is no texture, without a language model no plan.
_ALL = (*RULES, "loop", "stereo")
_OF_TEXTURE = tuple(name for name in _ALL if name not in ("like", "rearrange"))


def _tokens(name: str, title: str, part: str) -> Model:
    """A model of tokens alone. It is guided away from no text, not from words."""
    return _model(name, title, AUDIOGEN_SECONDS, (part, "t5-large"), seeds=_STRUCTURE, negative_prompt=False)


MODELS = {
    model.info.name: model
    for model in (
        _model(
            "tango",
            "TANGO (LDM with T5)",
            TANGO_SECONDS,
            _TANGO,
            TANGO_PARAMETERS,
            controls=_OF_TEXTURE,
            seeds=_TEXTURE,
        ),
        _model("tango2", "TANGO 2", TANGO_SECONDS, ("tango2", "flan-t5-large"), controls=_OF_TEXTURE, seeds=_TEXTURE),
        _model("tango-bridge", "AudioGen, purified by TANGO", TANGO_SECONDS, (*_TANGO, *_AUDIOGEN), controls=_ALL),
        _tokens("audiogen-medium", "AudioGen medium", "audiogen-medium"),
        _tokens("audiogen-medium-audiocraft", "AudioGen medium, run by audiocraft", "audiogen-medium"),
        _tokens("audio-magnet-small", "MAGNeT small", "audio-magnet-small"),
        _tokens("audio-magnet-medium", "MAGNeT medium", "audio-magnet-medium"),
        *(
            _model(name, title, TANGO_SECONDS, (name,), controls=NOISE_CONTROLS, seeds=_TEXTURE, steps=200)
            for name, title in (
                ("audioldm", "AudioLDM (small)"),
                ("audioldm-l-full", "AudioLDM-L"),
                ("audioldm2", "AudioLDM 2"),
            )
        ),
        _model(
            "diffsound",
            "Diffsound",
            DIFFSOUND_SECONDS,
            ("diffsound", "clip-tokenizer"),
            seeds=_TEXTURE,
            sample_rate=22_050,
            negative_prompt=False,
            steps=100,
            devices=("cpu",),
        ),
        _model(
            "stable-audio-open-1.0",
            "Stable Audio Open 1.0",
            STABLE_AUDIO_SECONDS,
            ("stable-audio-open-1.0",),
            controls=START_CONTROLS,
            seeds=_TEXTURE,
            sample_rate=44_100,
            channels=2,
            steps=100,
        ),
        _model(
            "stable-audio-3-medium",
            "Stable Audio 3 medium",
            STABLE_AUDIO_3_SECONDS,
            ("stable-audio-3-medium",),
            controls=START_CONTROLS,
            seeds=_TEXTURE,
            sample_rate=44_100,
            channels=2,
            steps=8,
            negative_prompt=False,
        ),
        *(
            _model(name, title, TANGO_SECONDS, (*_TANGO, *_AUDIOGEN, name), parameters, controls=_ALL)
            for name, title, parameters in _table_1()
        ),
    )
}
