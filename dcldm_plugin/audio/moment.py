"""The moments of a clip that are snapped to a marker: where it begins to sound, and where it is loudest."""

from __future__ import annotations

from pathlib import Path

from dcldm_plugin.errors import InvalidInput

ONSET_DB = -20.0  # below the peak; what is quieter is taken for the room before the event


def moment(path: Path, snap: str) -> float:
    """Seconds from the start of an audio file to its `onset` or `peak`; 0 for "" and for silence.

    The peak is the largest sample of any channel. The onset is the first that comes within 20 dB of it.
    Raises `InvalidInput` if the file can't be read.
    """
    if not snap:
        return 0.0
    import numpy as np
    import soundfile

    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise InvalidInput(f"The file {path} can't be read ({error}); choose another one.") from error
    level = np.abs(samples).max(axis=1, initial=0.0)  # [time]
    if not len(level) or level.max() <= 0.0:
        return 0.0
    threshold = level.max() * (10 ** (ONSET_DB / 20) if snap == "onset" else 1.0)
    return float(np.argmax(level >= threshold)) / float(sample_rate)
