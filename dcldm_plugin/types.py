"""The nouns of the product, as frozen dataclasses. Everything that a generation needs is in its request.

Whatever arrives from outside (command line, OSC, a file) becomes one of these through a constructor that
checks every field, so the code behind them never has to ask again.
"""

from __future__ import annotations

import secrets
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dcldm_plugin.errors import InvalidInput

MAX_PROMPT_CHARACTERS = 1000
MAX_SECONDS = 600.0  # what a request may ask for; each model has its own, usually shorter, longest clip
MIN_SECONDS = 0.1
MAX_VARIATIONS = 32
SEED_LIMIT = 2**63  # seeds are 0 … 2^63 - 1: what SQLite, JSON readers and torch all hold exactly
DEFAULT_SECONDS = 10.0

Report = Callable[[str, float], None]
"""`report(stage, fraction)`: progress within a stage, 0 … 1. Raises `Cancelled` when the job is to stop."""


def clean_text(text: str, what: str, *, may_be_empty: bool = False) -> str:
    """One line of text in NFC, with runs of white space folded. `what` names the field in errors."""
    if not isinstance(text, str):
        raise InvalidInput(f"The {what} must be text.")
    folded = " ".join(unicodedata.normalize("NFC", text).split())
    if not folded and not may_be_empty:
        raise InvalidInput(f"The {what} is empty; describe the sound in a few words.")
    if len(folded) > MAX_PROMPT_CHARACTERS:
        raise InvalidInput(
            f"The {what} has {len(folded):,} characters; shorten it to at most {MAX_PROMPT_CHARACTERS:,}."
        )
    for character in folded:
        # Cc: control, Cs: half of a surrogate pair. Format characters (joiners in emoji, marks in
        # right-to-left text) are part of ordinary writing and stay.
        if unicodedata.category(character) in {"Cc", "Cs"}:
            raise InvalidInput(f"The {what} contains the control character U+{ord(character):04X}; remove it.")
    return folded


def _integer(value: object, what: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInput(f"The {what} must be a whole number from {low} to {high}.")
    return value


def _number(value: object, what: str, low: float, high: float, unit: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidInput(f"The {what} must be a number from {low:g} to {high:g}{unit}.")
    return float(value)


def _interval(value: object, what: str) -> tuple[float, float]:
    """Two fractions 0 <= first < second <= 1; JSON has them as a list."""
    if isinstance(value, tuple | list) and len(value) == 2:
        first, second = (_number(end, what, 0.0, 1.0) for end in value)
        if first < second:
            return first, second
    raise InvalidInput(f"The {what} must be two rising numbers from 0 to 1.")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to make, and what to keep out of it."""

    text: str
    negative: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean_text(self.text, "prompt"))
        object.__setattr__(self, "negative", clean_text(self.negative, "negative prompt", may_be_empty=True))


@dataclass(frozen=True, slots=True)
class Seeds:
    """The two seeds of a take: `structure` draws the acoustic plan, `texture` the diffusion noise."""

    structure: int
    texture: int

    def __post_init__(self) -> None:
        _integer(self.structure, "structure seed", 0, SEED_LIMIT - 1)
        _integer(self.texture, "texture seed", 0, SEED_LIMIT - 1)

    @classmethod
    def series(cls, seed: int | None, count: int) -> tuple[Seeds, ...]:
        """Seeds of `count` variations: `seed`, `seed` + 1, … for both, or a random start for None.

        So variation k of seed N is the clip that seed N + k gives on its own.
        """
        count = _integer(count, "number of variations", 1, MAX_VARIATIONS)
        first = secrets.randbelow(2**31) if seed is None else _integer(seed, "seed", 0, SEED_LIMIT - 1)
        values = [(first + k) % SEED_LIMIT for k in range(count)]
        return tuple(cls(value, value) for value in values)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the latent is sampled. None means the model's own default.

    `guidance_interval` is the part of the steps that are guided, as fractions: (0, 1) is all of them, (0, 0.5)
    the first and noisier half. `purify` is how far a bridge takes AudioGen's sound back into noise before it is
    denoised under the text: 0 leaves it as it is, 1 leaves next to nothing of it.
    """

    sampler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    purify: float | None = None

    def __post_init__(self) -> None:
        if self.sampler is not None:
            object.__setattr__(self, "sampler", clean_text(self.sampler, "sampler's name"))
        if self.steps is not None:
            _integer(self.steps, "number of steps", 1, 1000)
        if self.guidance_scale is not None:
            _number(self.guidance_scale, "guidance scale", 0.0, 30.0)
        if self.guidance_interval is not None:
            object.__setattr__(self, "guidance_interval", _interval(self.guidance_interval, "guidance interval"))
        if self.purify is not None:
            _number(self.purify, "purify control", 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class TimelineTarget:
    """Where clips are to land, as noted by the host when the prompt was given.

    `position` is in samples at `sample_rate`, the session's rate. An empty `track` asks for a new one.
    """

    host: str
    project: str = ""
    track: str = ""
    position: int = 0
    sample_rate: int = 48_000

    def __post_init__(self) -> None:
        for name in ("host", "project", "track"):
            object.__setattr__(self, name, clean_text(getattr(self, name), name, may_be_empty=name != "host"))
        _integer(self.position, "timeline position in samples", 0, 2**53)
        _integer(self.sample_rate, "session sample rate", 8_000, 768_000)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Everything that one generation needs. Two equal requests give equal clips on the same machine."""

    id: str
    prompt: Prompt
    seeds: tuple[Seeds, ...]
    seconds: float = DEFAULT_SECONDS
    model: str = "builtin"
    sampling: Sampling = field(default_factory=Sampling)
    target: TimelineTarget | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not 1 <= len(self.id) <= 64 or not self.id.isascii():
            raise InvalidInput("The request id must be 1 to 64 ASCII characters.")
        if any(not (character.isalnum() or character in "-_.") for character in self.id):
            raise InvalidInput("The request id may hold letters, digits, '-', '_' and '.' only.")
        _integer(len(self.seeds), "number of variations", 1, MAX_VARIATIONS)
        object.__setattr__(self, "seconds", _number(self.seconds, "length", MIN_SECONDS, MAX_SECONDS, " s"))
        object.__setattr__(self, "model", clean_text(self.model, "model name"))

    @classmethod
    def create(
        cls,
        text: str,
        *,
        negative: str = "",
        seconds: float = DEFAULT_SECONDS,
        variations: int = 1,
        seed: int | None = None,
        model: str = "builtin",
        sampling: Sampling | None = None,
        target: TimelineTarget | None = None,
        id: str | None = None,
    ) -> GenerationRequest:
        """A complete request: seeds drawn, an id given, every field checked. Raises `InvalidInput`."""
        return cls(
            id=id or uuid.uuid4().hex,
            prompt=Prompt(text, negative),
            seeds=Seeds.series(seed, variations),
            seconds=seconds,
            model=model,
            sampling=sampling or Sampling(),
            target=target,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; `from_json` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GenerationRequest:
        """The request that `to_json` described. Raises `InvalidInput` for anything else."""
        try:
            plain = dict(values)
            plain["prompt"] = Prompt(**plain["prompt"])
            plain["seeds"] = tuple(Seeds(**seeds) for seeds in plain["seeds"])
            plain["sampling"] = Sampling(**plain.get("sampling", {}))
            if plain.get("target") is not None:
                plain["target"] = TimelineTarget(**plain["target"])
            return cls(**plain)
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"This is not a complete generation request ({error}).") from error

    def only(self, index: int) -> GenerationRequest:
        """The same request for the variation `index` alone."""
        return replace(self, seeds=(self.seeds[index],))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is and may do, known without loading it. `band_hz`: nothing above it is ever heard."""

    name: str
    title: str
    licence: str
    commercial_use: bool
    sample_rate: int
    channels: int
    longest_seconds: float
    band_hz: float
    negative_prompt: bool = True
    version: str = ""


@dataclass(frozen=True, slots=True)
class Variation:
    """One rendered take as the engine left it: an unfinished float WAV at the model's own rate."""

    request: GenerationRequest
    index: int
    path: Path
    sample_rate: int
    channels: int
    model_version: str
    sampling: Sampling  # what was used, with the model's defaults filled in

    @property
    def seeds(self) -> Seeds:
        return self.request.seeds[self.index]


@dataclass(frozen=True, slots=True)
class Clip:
    """A finished take in the library: a 48 kHz, 24-bit WAV that carries its own history."""

    id: str
    path: Path
    prompt: Prompt
    seeds: Seeds
    model: str
    model_version: str
    sampling: Sampling
    request_id: str
    index: int
    seconds: float
    sample_rate: int
    channels: int
    sha256: str
    created: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class Placement:
    """A host's word that a clip is on its timeline. `item` is the host's own name for it."""

    clip_id: str
    host: str
    item: str
    track: str
    position: int  # samples at the session's rate
