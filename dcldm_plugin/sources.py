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
TANGO_PARAMETERS = 865_933_768
PROJECTION_PARAMETERS = 128 * 1024 + 1024  # from the plan's width to the text's, where it takes the text's place


@dataclass(frozen=True, slots=True)
class Part:
    """Files that belong together.

    repository: "owner/name" on the hub; empty for what only the user has. required: exact names, "a|b" for
    the first of them that is there. single_file: the name under which one file that the user gives is kept in
    place of all these. size_bytes: of the download, about.
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


TOKENIZER_FILES = ("config.json", "tokenizer.json|spiece.model")
MORE_TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "spiece.model")
AUDIOCRAFT_FILES = ("state_dict.bin", "compression_state_dict.bin")

_PUBLIC_PARTS = (
    Part(
        "tango",
        "TANGO (U-Net, text encoder, VAE and vocoder)",
        "CC-BY-NC-SA-4.0 (its page), CC-BY-NC-ND-4.0 (its code)",
        False,
        5_271_000_000,
        "declare-lab/tango",
        (
            "main_config.json",
            "vae_config.json",
            "stft_config.json",
            "pytorch_model_main.bin",
            "pytorch_model_vae.bin",
        ),
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
        "audioldm",
        "AudioLDM",
        "CC-BY-NC-SA-4.0",
        False,
        1_690_000_000,
        "cvssp/audioldm",
        (
            "model_index.json",
            "scheduler/scheduler_config.json",
            "text_encoder/config.json",
            _weights("text_encoder", "model"),
            "tokenizer/tokenizer.json|tokenizer/vocab.json",
            "unet/config.json",
            _weights("unet", "diffusion_pytorch_model"),
            "vae/config.json",
            _weights("vae", "diffusion_pytorch_model"),
            "vocoder/config.json",
            _weights("vocoder", "model"),
        ),
        tuple(
            f"tokenizer/{name}"
            for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json")
        ),
        single_file="audioldm.ckpt",
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


def _model(name: str, title: str, seconds: float, parts: tuple[str, ...], parameters: int | None = None) -> Model:
    licences = dict.fromkeys(PARTS[part].licence for part in parts)
    info = ModelInfo(
        name=name,
        title=title,
        licence="; ".join(licences),
        commercial_use=all(PARTS[part].commercial_use for part in parts),
        sample_rate=SAMPLE_RATE,
        channels=1,
        longest_seconds=seconds,
        band_hz=SAMPLE_RATE / 2,
        negative_prompt="tango" in parts,  # AudioGen and MAGNeT are guided away from no text, not from words
        controls=_controls(parts),
    )
    return Model(info, parts, parameters)


def _controls(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Without a denoiser there is no texture, without a language model no plan."""
    if "tango" not in parts:
        return ("regenerate",)
    of_plans = () if "audiogen-medium" in parts else ("like", "rearrange")
    return (*(name for name in RULES if name not in of_plans), "loop", "stereo")


_TANGO = ("tango", "flan-t5-large")
_AUDIOGEN = ("audiogen-medium", "t5-large")

MODELS = {
    model.info.name: model
    for model in (
        _model("tango", "TANGO (LDM with T5)", TANGO_SECONDS, _TANGO, TANGO_PARAMETERS),
        _model("tango-bridge", "AudioGen, purified by TANGO", TANGO_SECONDS, (*_TANGO, *_AUDIOGEN)),
        _model("audiogen-medium", "AudioGen medium", AUDIOGEN_SECONDS, _AUDIOGEN),
        _model("audiogen-medium-audiocraft", "AudioGen medium, run by audiocraft", AUDIOGEN_SECONDS, _AUDIOGEN),
        _model("audio-magnet-small", "MAGNeT small", AUDIOGEN_SECONDS, ("audio-magnet-small", "t5-large")),
        _model("audio-magnet-medium", "MAGNeT medium", AUDIOGEN_SECONDS, ("audio-magnet-medium", "t5-large")),
        _model("audioldm", "AudioLDM", TANGO_SECONDS, ("audioldm",)),
        *(
            _model(name, title, TANGO_SECONDS, (*_TANGO, *_AUDIOGEN, name), parameters)
            for name, title, parameters in _table_1()
        ),
    )
}
