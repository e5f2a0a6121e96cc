"""What finishing does, as settings: light to import, so that whoever only passes them on loads no numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.types import Level

LevelBy = Literal["keep", "peak", "integrated", "short-term"]
SAMPLE_RATES = (44_100, 48_000, 88_200, 96_000, 176_400, 192_000)


@dataclass(frozen=True, slots=True)
class FinishSettings:
    """What finishing does, step by step. Every step but the last rounding can be left out.

    seconds: exact, round(seconds * sample_rate) samples; None as rendered. A clip that is trimmed or wrapped
    is as long as that leaves it.
    extend: the name of a bandwidth extender that another package brings (`audio/extension.py`); None leaves the band
    as the model made it.
    trim_db: silence at both ends goes, as far as it is this many dB below the loudest 5 ms; None keeps it.
    `pre_roll_seconds` of what is before the onset stay, and what decays behind it stays 10 dB further down.
    high_pass_hz: 12 dB an octave; None leaves it out.
    wrap_seconds: the end is faded into the beginning over this long, at the lag where they fit best, so that the
    clip goes round without a seam; None leaves it out, and so does a clip that was made as a loop.
    stereo_width: 0 keeps mono as it is; up to 1 spreads it over two channels whose sum is the mono again.
    level_by, target: `keep` leaves the level that the model chose between `lift_below_dbtp` and `ceiling_dbtp`;
    one above is turned down to the ceiling, one below up to it, by at most `lift_limit_db`, so that near-silence
    does not become noise. `peak` sets the true peak to the target in dBTP, `integrated` and `short-term` (its
    maximum) the loudness to the target in LUFS (ITU-R BS.1770); a clip that is too short for that window is
    measured as far as it goes. What then exceeds the ceiling is limited, by at most `limit_db`; beyond that
    the level stays lower.
    level: taken as it is where it is given and `keep` is asked for: the offset and gain of the take that this
    one is in part.
    loop: made to go round: no fades, and resampled as one that goes round.
    dither_seed: fixed, so that equal renders give equal files; None rounds without dither.
    """

    seconds: float | None = None
    sample_rate: int = 48_000
    remove_dc: bool = True
    trim_db: float | None = None
    pre_roll_seconds: float = 0.01
    high_pass_hz: float | None = None
    wrap_seconds: float | None = None
    stereo_width: float = 0.0
    fade_seconds: float = 0.005
    fade_out_seconds: float | None = None  # None: as at the beginning
    level_by: LevelBy = "keep"
    target: float = -1.0
    ceiling_dbtp: float = -1.0
    limit_db: float = 6.0
    lift_below_dbtp: float | None = -12.0
    lift_limit_db: float = 30.0
    loop: bool = False
    level: Level | None = None
    dither_seed: int | None = 0
    extend: str | None = None

    def __post_init__(self) -> None:
        if self.level_by not in get_args(LevelBy):
            raise InvalidInput(f"There is no level {self.level_by!r}; choose one of: {', '.join(get_args(LevelBy))}.")
        if not 8_000 <= self.sample_rate <= 192_000:
            raise InvalidInput(f"A rate of {self.sample_rate} Hz cannot be delivered; choose 44100, 48000 or 96000.")
        if self.extend is not None and (not isinstance(self.extend, str) or not self.extend):
            raise InvalidInput("An extender of the band is called by its name; leave it out for none.")
        for name, what, low, high, unit in _BOUNDS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise InvalidInput(f"The {what} must be from {low:g} to {high:g}{unit}.")

    @property
    def keeps_length(self) -> bool:
        """Whether a clip is as long as it was asked for."""
        return self.trim_db is None and (self.wrap_seconds is None or self.loop)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FinishSettings:
        """The settings that `asdict` described; what else is in `values` is passed over. Raises `InvalidInput`."""
        known = {name: values[name] for name in cls.__slots__ if name in values}
        try:
            if known.get("level") is not None:
                offset = tuple(map(float, known["level"]["offset"]))
                known["level"] = Level(offset, float(known["level"]["gain_db"]))
            return cls(**known)
        except (TypeError, ValueError, KeyError) as error:
            raise InvalidInput(f"These are no settings for finishing ({error}).") from error


_BOUNDS = (
    ("trim_db", "threshold of trimming", -90.0, -10.0, " dB"),
    ("pre_roll_seconds", "pre-roll", 0.0, 5.0, " s"),
    ("high_pass_hz", "high-pass", 10.0, 1000.0, " Hz"),
    ("wrap_seconds", "overlap of a loop", 0.01, 10.0, " s"),
    ("stereo_width", "stereo width", 0.0, 1.0, ""),
    ("fade_seconds", "fade-in", 0.0, 60.0, " s"),
    ("fade_out_seconds", "fade-out", 0.0, 60.0, " s"),
    ("target", "target level", -60.0, 0.0, " dB"),
    ("ceiling_dbtp", "true-peak ceiling", -30.0, 0.0, " dBTP"),
    ("limit_db", "most that is limited", 0.0, 24.0, " dB"),
)

# By what a sound is for: a library's one-shots by their peak, what plays under a mix by its loudness.
CLASSES: Mapping[str, FinishSettings] = {
    "as-made": FinishSettings(),
    "one-shot": FinishSettings(trim_db=-50.0, level_by="peak", fade_seconds=0.002, fade_out_seconds=0.02),
    "ambience": FinishSettings(level_by="integrated", target=-26.0, ceiling_dbtp=-2.0, fade_seconds=0.03),
    "ui": FinishSettings(
        trim_db=-50.0, high_pass_hz=80.0, level_by="short-term", target=-21.0, fade_seconds=0.002, fade_out_seconds=0.01
    ),
}


def finishing_class(name: str) -> FinishSettings:
    """The settings of a class by its name. Raises `InvalidInput`."""
    if name not in CLASSES:
        raise InvalidInput(f"There is no way to finish called {name[:40]!r}; choose one of: {', '.join(CLASSES)}.")
    return CLASSES[name]
