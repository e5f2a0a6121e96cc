"""The configuration of a training run: one TOML file, checked, and printed and stored with every default in it.

    part = "adapter"            # codec, lm, vae, vocoder, matcher, unet, transformer or adapter
    base = "builtin"            # what it starts from: builtin, tango, new, new-unet, or a model's folder
    out = "my-sounds"           # everything that the run writes, the finished model in `model` there

    [data]
    source = "recordings"       # a folder, a CSV or a JSONL file

    [run]
    minutes = 10

Every part has defaults of its own (`DEFAULTS`): those of `unet` are TANGO's and the paper's. Relative paths are
relative to the file.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from dcldm_plugin.errors import InvalidInput

DENOISERS = ("unet", "transformer", "adapter")
PARTS = ("codec", "lm", "vae", "vocoder", "matcher", *DENOISERS)
# Codebooks and judges learn beside the gradient; the matcher compares all sounds of a batch.
ONE_PROCESS = ("codec", "vocoder", "matcher")


def _check(condition: bool, sentence: str) -> None:
    if not condition:
        raise ValueError(sentence)


@dataclass(frozen=True, slots=True)
class Data:
    """Sounds and their captions.

    captions: "auto", or one of "sidecar", "metadata", "ucs" and "name" (`manifest.py`).
    clips: the folder of AudioCaps' sound files, whose CSV is the source.
    held_out: share of the sounds that is only listened to, never learned from.
    level: bring each sound to the level of TANGO's training.
    mixes: how many mixtures of two sounds are made, for each sound ("A and b", as TANGO; fixed for the run).
    plans: what the denoiser is told happens when: "target", the sound's own plan, or "model", one that the
        language model makes of the caption, as in the paper.
    """

    source: Path = Path()
    captions: str = "auto"
    clips: Path | None = None
    held_out: float = 0.1
    level: bool = True
    mixes: float = 0.0
    plans: str = "target"

    def __post_init__(self) -> None:
        _check(self.source != Path(), "source: say where the sounds are.")
        kinds = ("auto", "sidecar", "metadata", "ucs", "name")
        _check(self.captions in kinds, f"captions: choose one of {', '.join(kinds)}.")
        _check(0.0 <= self.held_out <= 0.5, "held_out: choose a share from 0 to 0.5.")
        _check(0.0 <= self.mixes <= 16.0, "mixes: choose a number from 0 to 16.")
        _check(self.plans in ("target", "model"), 'plans: choose "target" or "model".')


@dataclass(frozen=True, slots=True)
class Network:
    """Where a U-Net's acoustic attention goes, if the base has none yet (`models/unet.py`)."""

    places: tuple[str, ...] = ("down", "up")
    block: str = "faithful"
    encoding: str = "ag"

    def __post_init__(self) -> None:
        _check(set(self.places) <= {"down", "mid", "up"} and bool(self.places), "places: choose from down, mid, up.")
        _check(self.block in ("faithful", "light"), 'block: choose "faithful" or "light".')
        _check(self.encoding in ("ag", "ag_vae"), 'encoding: choose "ag" or "ag_vae".')


@dataclass(frozen=True, slots=True)
class Optimizer:
    """AdamW. The rate rises in `warm_up` steps and falls linearly to `last_share` of it; clip 0 is none."""

    rate: float = 3e-5
    weight_decay: float = 1e-2
    warm_up: int = 0
    last_share: float = 0.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        _check(0.0 < self.rate <= 1.0, "rate: choose a number above 0, at most 1.")
        _check(0.0 <= self.weight_decay < 1.0, "weight_decay: choose a number from 0 to 1.")
        _check(0.0 <= self.last_share <= 1.0, "last_share: choose a share from 0 to 1.")
        _check(self.warm_up >= 0 and self.clip >= 0.0, "warm_up and clip: choose 0 or more.")


@dataclass(frozen=True, slots=True)
class Run:
    """How long, in which portions, how precisely, and what is kept.

    steps, epochs, minutes: how long; exactly one of them is not 0. With minutes, what the rate is depends on how
        fast the machine was, so two runs are not bit-equal.
    batch: sounds a step, over all processes. at_once: sounds a process takes at once, 0 for as many as fit; the
        others of the batch follow, so what is learned does not depend on it.
    average: how slowly the moving average of the weights follows, 0 for none; it is what is kept in the end.
    save_minutes: between checkpoints, of which the last `keep` stay.
    """

    steps: int = 0
    epochs: float = 0.0
    minutes: float = 0.0
    batch: int = 8
    at_once: int = 0
    precision: str = "fp32"
    checkpointing: bool = False
    average: float = 0.0
    seed: int = 0
    save_minutes: float = 2.0
    keep: int = 2
    log_steps: int = 50
    threads: int = 0

    def __post_init__(self) -> None:
        _check(
            sum(1 for value in (self.steps, self.epochs, self.minutes) if value) == 1,
            "say how long with exactly one of steps, epochs and minutes.",
        )
        _check(min(self.steps, self.epochs, self.minutes) >= 0, "steps, epochs, minutes: choose 0 or more.")
        _check(1 <= self.batch <= 65_536, "batch: choose a number from 1 to 65536.")
        _check(0 <= self.at_once <= self.batch, "at_once: choose a number from 0 to the batch.")
        _check(self.precision in ("fp32", "bf16"), 'precision: choose "fp32" or "bf16".')
        _check(0.0 <= self.average < 1.0, "average: choose a number from 0 to below 1.")
        _check(self.seed >= 0 and self.threads >= 0, "seed and threads: choose 0 or more.")
        _check(self.keep >= 1 and self.log_steps >= 1, "keep and log_steps: choose 1 or more.")
        _check(self.save_minutes >= 0.0, "save_minutes: choose 0 or more.")


@dataclass(frozen=True, slots=True)
class Samples:
    """What is rendered every `every` steps (0: at the end alone) with fixed prompts and one fixed seed.

    No prompts stands for the first captions of the sounds that are held out.
    """

    every: int = 0
    prompts: tuple[str, ...] = ()
    seed: int = 0
    seconds: float = 5.12
    count: int = 3

    def __post_init__(self) -> None:
        _check(self.every >= 0 and self.seed >= 0, "every and seed: choose 0 or more.")
        _check(0 <= self.count <= 16, "count: choose a number from 0 to 16.")
        _check(0.1 <= self.seconds <= 60.0, "seconds: choose a number from 0.1 to 60.")


@dataclass(frozen=True, slots=True)
class DenoiserRecipe:
    """Equation 3 on v.

    snr_gamma: of the min-SNR weight, 0 for none. posterior: draw z_0 from the VAE's posterior, not its mean.
    drop_text, drop_plan, drop_both: how often a condition gives way to the empty text's, which guidance needs.
    wrong_tokens: share of the plan's tokens that are wrong. fewer_codebooks: how often only some of the codebooks
        are given, the first. So the plan is not trusted beyond what a language model can predict.
    crops: share of the steps that see half of each sound; from_start: of those that see its beginning.
    """

    snr_gamma: float = 5.0
    posterior: bool = True
    drop_text: float = 0.0
    drop_plan: float = 0.0
    drop_both: float = 0.0
    wrong_tokens: float = 0.0
    fewer_codebooks: float = 0.0
    crops: float = 0.0
    from_start: float = 0.7

    def __post_init__(self) -> None:
        dropped = (self.drop_text, self.drop_plan, self.drop_both)
        others = (self.wrong_tokens, self.fewer_codebooks, self.crops, self.from_start)
        _check(all(0.0 <= share <= 1.0 for share in (*dropped, *others)), "all shares are from 0 to 1.")
        _check(sum(dropped) <= 1.0, "drop_text, drop_plan and drop_both: together at most 1.")
        _check(self.snr_gamma >= 0.0, "snr_gamma: choose 0 or more.")


@dataclass(frozen=True, slots=True)
class LmRecipe:
    """empty_text: how often the caption is the empty text and the plan that of silence."""

    empty_text: float = 0.04

    def __post_init__(self) -> None:
        _check(0.0 <= self.empty_text <= 1.0, "empty_text: choose a share from 0 to 1.")


@dataclass(frozen=True, slots=True)
class SoundRecipe:
    """Of the parts that learn from the sound itself.

    seconds: length of the pieces. kl_weight: of the VAE's divergence. plain_steps: before the codec's
    codebooks, or the vocoder's judges, take part.
    """

    seconds: float = 1.0
    kl_weight: float = 1e-4
    plain_steps: int = 300

    def __post_init__(self) -> None:
        _check(0.2 <= self.seconds <= 10.24, "seconds: choose a number from 0.2 to 10.24.")
        _check(self.kl_weight >= 0.0 and self.plain_steps >= 0, "kl_weight and plain_steps: choose 0 or more.")


@dataclass(frozen=True, slots=True)
class MatcherRecipe:
    """wrong_tokens, crops, from_start: as the denoiser's. noise: latents get noise of up to this deviation."""

    wrong_tokens: float = 0.05
    noise: float = 0.3
    crops: float = 0.7
    from_start: float = 0.7

    def __post_init__(self) -> None:
        shares = (self.wrong_tokens, self.crops, self.from_start)
        _check(all(0.0 <= share <= 1.0 for share in shares), "all shares are from 0 to 1.")
        _check(0.0 <= self.noise <= 10.0, "noise: choose a number from 0 to 10.")


Recipe = DenoiserRecipe | LmRecipe | MatcherRecipe | SoundRecipe
RECIPES: dict[str, type[Recipe]] = {"lm": LmRecipe, "matcher": MatcherRecipe}
_SMALL: dict[str, Any] = {"warm_up": 100, "last_share": 0.05, "clip": 1.0}
# What the paper leaves open is TANGO's (its train.py and train.sh): 48 sounds a step, one mixture of two sounds.
DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "unet": {"run": {"epochs": 40.0, "batch": 48, "log_steps": 10}, "data": {"mixes": 0.5, "plans": "model"}},
    "adapter": {
        "optimizer": {"rate": 1e-4} | _SMALL,
        "run": {"epochs": 40.0, "batch": 16, "average": 0.999},
        "recipe": {"drop_text": 0.05, "drop_plan": 0.2, "drop_both": 0.1},
    },
    "transformer": {
        "optimizer": {"rate": 8e-4} | _SMALL,
        "run": {"epochs": 40.0, "batch": 16, "average": 0.999},
        # Without min-SNR's weight, which hardly counts the noisiest steps, where a small network decides what it hears.
        "recipe": {
            "snr_gamma": 0.0,
            "drop_text": 0.05,
            "drop_plan": 0.35,
            "drop_both": 0.1,
            "wrong_tokens": 0.04,
            "fewer_codebooks": 0.4,
            "crops": 0.75,
        },
    },
    "lm": {"optimizer": {"rate": 1e-3} | _SMALL, "run": {"epochs": 40.0, "average": 0.999}},
    "matcher": {
        "optimizer": {"rate": 2e-3, "weight_decay": 0.05} | _SMALL,
        "run": {"epochs": 40.0, "batch": 64, "at_once": 64, "average": 0.995},
    },
    "codec": {"optimizer": {"rate": 1e-3} | _SMALL, "run": {"epochs": 40.0, "batch": 12, "average": 0.99}},
    "vae": {"optimizer": {"rate": 1e-3} | _SMALL, "run": {"epochs": 40.0, "average": 0.99}},
    "vocoder": {"optimizer": {"rate": 2e-4} | _SMALL, "run": {"epochs": 40.0, "average": 0.999}},
}


@dataclass(frozen=True, slots=True)
class Config:
    """A run. See the module and the sections."""

    part: str
    out: Path
    data: Data
    recipe: Recipe
    base: str = "builtin"
    title: str = ""
    network: Network = Network()
    optimizer: Optimizer = Optimizer()
    run: Run = Run(steps=1)
    samples: Samples = Samples()


def read_config(path: Path) -> Config:
    """The run that a TOML file describes. Raises `InvalidInput` with the key that is wrong and what to do."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror or error}); name a configuration.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}; correct it.") from error
    try:
        return make_config(values, path.absolute().parent)
    except ValueError as error:
        raise InvalidInput(f"{path}: {error}") from error


def make_config(values: Mapping[str, Any], folder: Path) -> Config:
    """The run of a parsed TOML file that lies in `folder`. Raises `ValueError` with a sentence."""
    part = values.get("part")
    _check(part in PARTS, f"part: choose one of {', '.join(PARTS)}.")
    _check("out" in values, "out: say which folder the run writes to.")
    assert isinstance(part, str)
    recipe = DenoiserRecipe if part in DENOISERS else RECIPES.get(part, SoundRecipe)
    hints = get_type_hints(Config) | {"recipe": recipe}
    merged: dict[str, Any] = {"data": {}, "recipe": {}, **values}
    for section, defaults in DEFAULTS[part].items():
        given = merged.get(section, {})
        _check(isinstance(given, dict), f"{section}: is a section, [{section}].")
        if section == "run" and any(given.get(name) for name in ("steps", "epochs", "minutes")):
            defaults = {name: value for name, value in defaults.items() if name != "epochs"}
        merged[section] = {**defaults, **given}
    config: Config = _typed(Config, merged, hints, "", folder)
    if config.base.startswith((".", "~")) or "/" in config.base or "\\" in config.base:
        base = (folder / Path(config.base).expanduser()).resolve()
        config = _typed(Config, {**merged, "base": str(base)}, hints, "", folder)
    return config


def _typed(kind: type[Any], values: Mapping[str, Any], hints: Mapping[str, Any], where: str, folder: Path) -> Any:
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ValueError(f"{where}{name} is unknown{f'; do you mean {near[0]}?' if near else '; leave it out.'}")
    made = {name: _value(value, hints[name], f"{where}{name}", folder) for name, value in values.items()}
    try:
        return kind(**made)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from None


def _value(value: Any, kind: Any, where: str, folder: Path) -> Any:
    if is_dataclass(kind) and isinstance(kind, type):
        _check(isinstance(value, dict), f"{where} is a section, [{where}].")
        return _typed(kind, value, get_type_hints(kind), f"{where}.", folder)
    if isinstance(kind, UnionType):  # Path | None
        kind = get_args(kind)[0]
    if kind is Path:
        _check(isinstance(value, str) and value != "", f"{where}: give a path, in quotes.")
        return (folder / Path(value).expanduser()).resolve()
    if get_origin(kind) is tuple:
        _check(isinstance(value, list), f"{where}: give a list, in square brackets.")
        return tuple(_value(each, get_args(kind)[0], where, folder) for each in value)
    if kind is float and type(value) is int:
        value = float(value)
    names = {str: "a text, in quotes", int: "a whole number", float: "a number", bool: "true or false"}
    finite = type(value) is not float or math.isfinite(value)
    _check(type(value) is kind and finite, f"{where}: give {names[kind]}.")
    return value


def to_toml(config: Config) -> str:
    """The whole configuration as TOML; reading it back gives the same."""
    values = json.loads(json.dumps(asdict(config), default=str))
    plain = {name: value for name, value in values.items() if not isinstance(value, dict)}
    lines = _lines(plain)
    for name, section in values.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]", *_lines(section)]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Any]) -> list[str]:
    # A JSON text, number, boolean or list of them is a TOML one too.
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value is not None]
