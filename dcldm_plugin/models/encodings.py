"""The two acoustic encodings of section 2.2, from codes or from any sound, and audio files as their source.

E_t2a is what EnCodec's codes stand for: a vector of 128 numbers, 50 times a second. E'_t2a is the latent of
the audio VAE, whose channels and bands are put side by side: 8 x 16 = 128 numbers, 25 times a second. Both
of AudioGen's own sound, or of a file: "like this".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from transformers import EncodecModel

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.models.latent import LatentSpace
from dcldm_plugin.models.mel import MelSpectrogram

if TYPE_CHECKING:
    import soundfile

SHORTEST_SECONDS = 0.1  # less is a click, of which no encoding knows what it is
QUIETEST = 1e-4  # peak below which a file counts as silent: -80 dB
MOST_CHANNELS = 64
RATES = (1_000, 768_000)  # Hz
PEAK = 0.5  # of the sounds on which TANGO and its VAE were trained


def codec_encoding(codec: EncodecModel, audio: Tensor) -> Tensor:
    """E_t2a of a sound: audio [batch, samples] at the codec's rate -> [batch, frames, width].

    Of codes that there are already, it is `acoustic_lm.latents`.
    """
    with torch.inference_mode():
        return acoustic_lm.latents(codec, acoustic_lm.encode(codec, audio[:, None]))


def vae_encoding(space: LatentSpace, audio: Tensor, analysis: MelSpectrogram) -> Tensor:
    """E'_t2a of a sound: audio [batch, samples] -> [batch, L_s, C x F / r], L_s = samples / hop / r."""
    return side_by_side(latent(space, audio, analysis))


def side_by_side(z: Tensor) -> Tensor:
    """A latent [batch, channels, time, bands] as a sequence [batch, time, channels x bands]."""
    return z.transpose(1, 2).flatten(2)


def latent(space: LatentSpace, audio: Tensor, analysis: MelSpectrogram) -> Tensor:
    """The latent [batch, channels, time, bands] of audio [batch, samples], brought to the level of TANGO's training.

    The samples must last a whole number of latent steps.
    """
    with torch.inference_mode():
        return space.encode(analysis(levelled(audio)))


def levelled(audio: Tensor) -> Tensor:
    """Without offset, at a peak of 0.5, as TANGO prepares its sounds; silence stays silence."""
    centred = audio - audio.mean(dim=-1, keepdim=True)
    peak = centred.abs().amax(dim=-1, keepdim=True)
    return torch.where(peak > QUIETEST, centred * (PEAK / peak.clamp(min=QUIETEST)), torch.zeros_like(centred))


def fitted(audio: Tensor, samples: int) -> Tensor:
    """audio [..., time] cut off, or continued with silence, to [..., samples]."""
    return functional.pad(audio[..., :samples], (0, max(0, samples - audio.shape[-1])))


def read_audio(path: Path, seconds: float, sample_rate: int = 16_000, channels: int = 1) -> Tensor:
    """The beginning of an audio file [channels, seconds x sample_rate], resampled, with silence after its end.

    Any rate and length; a file of another number of channels is mixed to one, for all alike. Raises
    `InvalidInput` with a sentence for a file that is gone, is not audio, holds numbers that are no sound, is
    silent or is shorter than 0.1 s.
    """
    import numpy as np
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            _check(path, file)
            rate = int(file.samplerate)
            # A little more than is wanted, for the resampler's filter; never a whole night's recording.
            given = file.read(int(rate * (seconds + SHORTEST_SECONDS)) + 1, dtype="float32", always_2d=True)
    except FileNotFoundError as error:
        raise InvalidInput(f"The file {path} is gone; choose another one.") from error
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        reason = "is gone" if not path.exists() else "can't be read as audio"
        raise InvalidInput(f"The file {path} {reason}; choose a WAV, AIFF, FLAC, OGG or MP3 file.") from error
    if given.shape[1] != channels:
        given = np.repeat(given.mean(axis=1, keepdims=True), channels, axis=1)
    if not np.isfinite(given).all():
        raise InvalidInput(f"The file {path} holds numbers that are no sound; choose another one.")
    if len(given) < SHORTEST_SECONDS * rate:
        raise InvalidInput(
            f"The file {path} lasts {len(given) / rate:.3f} s; choose one of at least {SHORTEST_SECONDS:g} s."
        )
    wanted = round(seconds * sample_rate)
    heard = given[: round(seconds * rate)]
    if float(np.abs(heard - heard.mean(axis=0)).max()) < QUIETEST:
        raise InvalidInput(f"The file {path} is silent in its first {seconds:g} s; choose another one.")
    resampled = soxr.resample(given, rate, sample_rate, quality="VHQ") if rate != sample_rate else given
    return fitted(torch.from_numpy(np.ascontiguousarray(resampled.T, dtype=np.float32)), wanted)


def _check(path: Path, file: soundfile.SoundFile) -> None:
    low, high = RATES
    if not 1 <= file.channels <= MOST_CHANNELS or not low <= file.samplerate <= high:
        raise InvalidInput(
            f"The file {path} has {file.channels} channels at {file.samplerate:,} Hz; choose one of at most "
            f"{MOST_CHANNELS} channels, from {low:,} to {high:,} Hz."
        )
