"""The nouns of the product, as frozen dataclasses. Everything that a generation needs is in its request.

Whatever arrives from outside (command line, OSC, a file) becomes one of these through a constructor that
checks every field, so the code behind them never has to ask again.
"""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dcldm_plugin.errors import InvalidInput

MAX_PROMPT_CHARACTERS = 1000
MAX_NOTES_CHARACTERS = 4000  # each line within the limit of a prompt
MAX_SECONDS = 600.0  # what a request may ask for; each model has its own, usually shorter, longest clip
MIN_SECONDS = 0.1
MAX_VARIATIONS = 32
MAX_CANDIDATES = 8
MAX_PARENTS = 8  # of one take: its favourites
MAX_GENERATIONS = 32  # from a clip back to the first of its line
MAX_HISTORY_CHARACTERS = 64_000  # of the requests of all ancestors, as JSON: they travel in each file and message
SEED_LIMIT = 2**63  # seeds are 0 … 2^63 - 1: what SQLite, JSON readers and torch all hold exactly
DEFAULT_SECONDS = 10.0
SNAPS = ("", "onset", "peak")  # which moment of a clip falls on its position; "" is its beginning

Report = Callable[[str, float], None]
"""`report(stage, fraction)`: progress within a stage, 0 … 1. Raises `Cancelled` when the job is to stop."""


def unheard(stage: str, fraction: float) -> None:
    """The `Report` of work that nobody follows."""


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
    denoised under the text: 0 leaves it as it is, 1 leaves next to nothing of it. `candidates` is how many sounds
    are made for each take, of which it is the one that fits the words best.
    """

    sampler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_interval: tuple[float, float] | None = None
    purify: float | None = None
    candidates: int | None = None

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
        if self.candidates is not None:
            _integer(self.candidates, "number of candidates", 1, MAX_CANDIDATES)


@dataclass(frozen=True, slots=True)
class AudioSource:
    """A file of anybody's, as it was when it was chosen: its SHA-256 says whether it still is."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not 1 <= len(self.path) <= 4096 or "\0" in self.path:
            raise InvalidInput("The reference needs the path of an audio file.")
        if not isinstance(self.sha256, str) or not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise InvalidInput("The reference needs the SHA-256 of its file.")


@dataclass(frozen=True, slots=True)
class Parent:
    """A take that another was made from, complete: its request for it alone, with the sampling that was used.

    `clip` is its id in the library, or empty.
    """

    request: GenerationRequest
    model_version: str = ""
    clip: str = ""

    def __post_init__(self) -> None:
        if len(self.request.seeds) != 1:
            raise InvalidInput("A variation is made from one take; choose one clip.")
        for name in ("model_version", "clip"):
            clean_text(getattr(self, name), f"parent's {name.replace('_', ' ')}", may_be_empty=True)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Parent:
        return cls(**{**values, "request": GenerationRequest.from_json(values["request"])})


Kind = Literal["regenerate", "retexture", "rearrange", "like", "repair", "purify", "morph", "more"]


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a control needs: how many parents, whether a file may stand for one, and what its amount is."""

    parents: tuple[int, ...]
    audio: bool = False
    amount: str = ""


RULES: Mapping[Kind, _Rule] = {
    "regenerate": _Rule((1,)),
    "retexture": _Rule((1,), amount="distance"),
    "rearrange": _Rule((1,)),
    "like": _Rule((0, 1), audio=True, amount="weight"),
    "repair": _Rule((1,)),
    "purify": _Rule((0, 1), audio=True, amount="purify control"),
    "morph": _Rule((2,), amount="position"),
    "more": _Rule(tuple(range(1, MAX_PARENTS + 1)), amount="distance"),
}


@dataclass(frozen=True, slots=True)
class Control:
    """How a take follows from others. The seeds of the request draw what is new in it.

    regenerate    nothing is kept but the prompt.
    retexture     the parent's plan; `amount` of the way from its noise to a new one, 0 is the same clip.
    rearrange     the parent up to `start` seconds; from there a new plan, under the same noise.
    like          the plan and the levels of the sound `audio` with the weight `amount`.
    repair        the parent, but from `start` to `end` seconds with a new texture.
    purify        the sound `audio`, or the parent, taken `amount` of the way back into noise and denoised
                  under the prompt.
    morph         `amount` of the way from the first parent to the second.
    more          somewhere between the parents; the greater `amount`, the less it is bound to them.
    """

    kind: Kind
    parents: tuple[Parent, ...] = ()
    amount: float = 0.0
    start: float = 0.0
    end: float = 0.0
    audio: AudioSource | None = None

    def __post_init__(self) -> None:
        if self.kind not in RULES:
            raise InvalidInput(f"There is no control {str(self.kind)[:40]!r}; choose one of: {', '.join(RULES)}.")
        rule = RULES[self.kind]
        if len(self.parents) not in rule.parents:
            raise InvalidInput(f"{self.kind}: {len(self.parents)} clips are given; give {_some(rule.parents)}.")
        if self.audio is not None and not rule.audio:
            raise InvalidInput(f"{self.kind} takes no audio file; leave it out.")
        if self.audio is None and (self.kind == "like" or (rule.audio and not self.parents)):
            raise InvalidInput(f"{self.kind} needs an audio file; choose one.")
        object.__setattr__(self, "amount", _number(self.amount, rule.amount or "amount", 0.0, 1.0))
        for name in ("start", "end"):
            object.__setattr__(self, name, _number(getattr(self, name), f"range's {name}", 0.0, MAX_SECONDS, " s"))
        if self.parents and (self.kind in {"rearrange", "repair"}):
            self._check_range(self.parents[0].request.seconds)
        if self.generations > MAX_GENERATIONS or self._characters() > MAX_HISTORY_CHARACTERS:
            raise InvalidInput(
                "The history of this clip is too long to be kept in one more; use its file with like or purify instead."
            )

    def _check_range(self, seconds: float) -> None:
        end = self.end if self.kind == "repair" else seconds
        if not 0.0 <= self.start < end <= seconds + 1e-6:
            what = f"{self.start:g} to {self.end:g} s" if self.kind == "repair" else f"{self.start:g} s"
            raise InvalidInput(f"{self.kind}: {what} is not within the clip, which lasts {seconds:g} s.")

    @property
    def generations(self) -> int:
        """How many steps the line goes back."""
        return 1 + max((each.request.generations for each in self.parents), default=0)

    @property
    def keeps_length(self) -> bool:
        """Whether the take is its parent in part, and so as long and as wide."""
        return self.kind in {"rearrange", "repair"}

    def _characters(self) -> int:
        return sum(len(json.dumps(asdict(parent))) for parent in self.parents)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Control:
        """The control that `asdict` described."""
        plain = dict(values)
        parents = plain.get("parents", ())
        if not isinstance(parents, list | tuple):
            raise ValueError("the parents are no list")
        plain["parents"] = tuple(Parent.from_json(parent) for parent in parents)
        if plain.get("audio") is not None:
            plain["audio"] = AudioSource(**plain["audio"])
        return cls(**plain)


def _some(counts: tuple[int, ...]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


@dataclass(frozen=True, slots=True)
class TimelineTarget:
    """Where clips are to land, as noted by the host when the prompt was given.

    `position` is in samples at `sample_rate`, the session's rate. An empty `track` asks for a new one.
    `item`, by the host's own name for it, is what the clips take the place of: they get its position, length,
    fades and volume, and it stays as a take beside them. `snap` is one of `SNAPS`. `run` is the cue run that
    the clips are placed together with, as one step.
    """

    host: str
    project: str = ""
    track: str = ""
    position: int = 0
    sample_rate: int = 48_000
    item: str = ""
    snap: str = ""
    run: str = ""

    def __post_init__(self) -> None:
        for name in ("host", "project", "track", "item", "run"):
            object.__setattr__(self, name, clean_text(getattr(self, name), name, may_be_empty=name != "host"))
        _integer(self.position, "timeline position in samples", 0, 2**53)
        _integer(self.sample_rate, "session sample rate", 8_000, 768_000)
        if self.snap not in SNAPS:
            raise InvalidInput(f"There is no snap {str(self.snap)[:40]!r}; choose onset or peak, or leave it out.")


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
    control: Control | None = None
    loop: bool = False
    stereo: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not 1 <= len(self.id) <= 64 or not self.id.isascii():
            raise InvalidInput("The request id must be 1 to 64 ASCII characters.")
        if any(not (character.isalnum() or character in "-_.") for character in self.id):
            raise InvalidInput("The request id may hold letters, digits, '-', '_' and '.' only.")
        _integer(len(self.seeds), "number of variations", 1, MAX_VARIATIONS)
        object.__setattr__(self, "seconds", _number(self.seconds, "length", MIN_SECONDS, MAX_SECONDS, " s"))
        object.__setattr__(self, "model", clean_text(self.model, "model name"))
        object.__setattr__(self, "stereo", _number(self.stereo, "stereo width", 0.0, 1.0))
        if not isinstance(self.loop, bool):
            raise InvalidInput("Whether it is a loop must be true or false.")
        if self.control is not None:
            self._check_control(self.control)

    def _check_control(self, control: Control) -> None:
        for parent in control.parents if control.kind != "regenerate" else ():
            if parent.request.model != self.model and control.audio is None:
                raise InvalidInput(
                    f"{control.kind} works within one model, and this clip was made by {parent.request.model!r}; "
                    f"use that one in place of {self.model!r}, or the clip's file with like or purify."
                )
        if control.keeps_length:
            made = control.parents[0].request
            if (self.seconds, self.loop, self.stereo) != (made.seconds, made.loop, made.stereo):
                raise InvalidInput(f"{control.kind} leaves length, loop and stereo width as they are; leave them out.")

    @property
    def generations(self) -> int:
        """How many variations this one is away from the first take of its line."""
        return 0 if self.control is None else self.control.generations

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
        control: Control | None = None,
        loop: bool = False,
        stereo: float = 0.0,
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
            control=control,
            loop=loop,
            stereo=stereo,
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
            if plain.get("control") is not None:
                plain["control"] = Control.from_json(plain["control"])
            return cls(**plain)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InvalidInput(f"This is not a complete generation request ({error}).") from error

    def only(self, index: int) -> GenerationRequest:
        """The same request for the variation `index` alone."""
        return replace(self, seeds=(self.seeds[index],))


NEEDS: Mapping[str, str] = {
    "retexture": "noise that the sound is made of and that can be moved, with nothing random after it",
    "rearrange": "an acoustic plan",
    "like": "an acoustic plan that can be read from a sound",
    "repair": "a denoiser that holds part of a sound while it makes the rest",
    "purify": "a denoiser that can begin with a given sound",
    "morph": "noise and prompts that can be mixed",
    "more": "noise and prompts that can be mixed",
    "loop": "a denoiser whose end can lead into its beginning",
    "stereo": "a denoiser that makes two textures of one plan",
}
"""What a model must be made of to have a control."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is and may do, known without loading it; the one place that all who show it look at.

    band_hz: nothing above it is ever heard. controls: the kinds of `Control` that it has, and of "loop" and
    "stereo". seeds: which of a take's two seeds change anything. memory_bytes: what it needs at once, about, on
    any of `devices`; 0 if nobody knows.
    """

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
    steps: int | None = None  # of denoising, where a request leaves them open
    controls: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ("structure", "texture")
    memory_bytes: int = 0
    devices: tuple[str, ...] = ("cpu", "cuda", "mps")

    def why_not(self, control: str) -> str:
        """A sentence on why it does not have a control, or "negative"; empty if it has it."""
        if control in self.controls or (control == "negative" and self.negative_prompt):
            return ""
        if control == "negative":
            return f"The model {self.name!r} takes no negative prompt; leave it out."
        if control == "stereo" and self.channels > 1:
            return f"The model {self.name!r} makes stereo by itself, and takes no width; leave it out."
        there = f"it has: {', '.join(self.controls)}" if self.controls else "it has none"
        needs = f", which needs {NEEDS[control]}" if control in NEEDS else ""
        return f"The model {self.name!r} does not have the control {control!r}{needs} ({there})."

    def check(self, request: GenerationRequest) -> None:
        """Raises `InvalidInput` with a sentence for what the model can't do."""
        if request.seconds > self.longest_seconds:
            raise InvalidInput(
                f"The model {self.name!r} makes at most {self.longest_seconds:g} s, "
                f"not {request.seconds:g} s; ask for less or choose another model."
            )
        asked: list[str] = [request.control.kind] if request.control is not None else []
        options = (("negative", request.prompt.negative), ("loop", request.loop), ("stereo", request.stereo))
        asked += [name for name, value in options if value]
        for name in asked:
            if sentence := self.why_not(name):
                raise InvalidInput(sentence)


@dataclass(frozen=True, slots=True)
class Level:
    """What finishing does to the level of a take: the offset of each channel that it removes, and the gain."""

    offset: tuple[float, ...]
    gain_db: float


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
    level: Level | None = None  # the parent's, of which parts are in it unchanged; None: its own
    read_as: str = ""  # what the model took the prompt for, where that is not what it says

    @property
    def seeds(self) -> Seeds:
        return self.request.seeds[self.index]


@dataclass(frozen=True, slots=True)
class Licence:
    """One link of a chain: the weights or the sound that it is about, and where its terms are."""

    what: str
    licence: str
    commercial_use: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class Rights:
    """The licences of everything that had a part in a clip."""

    chain: tuple[Licence, ...]

    @property
    def commercial_use(self) -> bool:
        return all(link.commercial_use for link in self.chain)

    @property
    def sentence(self) -> str:
        may = "may" if self.commercial_use else "MAY NOT"
        return f"{may} be used commercially. " + "; ".join(f"{link.what}: {link.licence}" for link in self.chain)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Rights:
        return cls(tuple(Licence(**link) for link in values["chain"]))


@dataclass(frozen=True, slots=True)
class UcsName:
    """The blocks of a name by the Universal Category System: what it is, in words, by whom, from where."""

    cat_id: str
    fx_name: str
    creator_id: str
    source_id: str

    def __post_init__(self) -> None:
        for name in ("cat_id", "fx_name", "creator_id", "source_id"):
            text = getattr(self, name)
            if not isinstance(text, str) or not re.fullmatch(r"[^\W_]([^\W_]|[ .&'+!,()])*", text) or len(text) > 100:
                what = name.replace("_", " ")
                raise InvalidInput(f"The {what} {str(text)[:40]!r} may hold letters, digits and spaces; correct it.")


@dataclass(frozen=True, slots=True)
class Marks:
    """What the user says of a clip. `rejected` hides it and loses nothing; `rating` is 1 … 5, 0 for none.

    `placed`: a project may refer to the file, so it stays where it is whatever becomes of the clip.
    """

    favourite: bool = False
    rating: int = 0
    rejected: bool = False
    placed: bool = False
    notes: str = ""

    def __post_init__(self) -> None:
        for name in ("favourite", "rejected", "placed"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"Whether a clip is {name} must be true or false.")
        _integer(self.rating, "rating", 0, 5)
        if not isinstance(self.notes, str) or len(self.notes) > MAX_NOTES_CHARACTERS:
            raise InvalidInput(f"The notes must be text of at most {MAX_NOTES_CHARACTERS:,} characters; shorten them.")
        lines = [clean_text(line, "notes", may_be_empty=True) for line in self.notes.splitlines()]
        object.__setattr__(self, "notes", "\n".join(lines).strip())


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
    request: GenerationRequest | None = None  # what makes this take alone again
    marks: Marks = Marks()  # as the library knows them; a file has none
    ucs: UcsName | None = None
    rights: Rights | None = None  # None: made before they were recorded
    band_hz: float | None = None  # nothing above it is in the sound, whatever the rate of the file
    read_as: str = ""  # as of a `Variation`

    def as_parent(self) -> Parent:
        """The clip as others are made from it: what its own file says, with nothing left open."""
        if self.request is None:
            raise InvalidInput(f"{self.path} does not say how it was made; choose a clip of ours.")
        made = replace(self.request, sampling=self.sampling, target=None)
        return Parent(made, self.model_version, self.id)


@dataclass(frozen=True, slots=True)
class Placement:
    """A host's word that a clip is on its timeline. `item` is the host's own name for it."""

    clip_id: str
    host: str
    item: str
    track: str
    position: int  # samples at the session's rate
