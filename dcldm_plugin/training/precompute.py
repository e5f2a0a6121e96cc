"""What training reads again and again, computed once: latents, plans and text states of captioned sounds.

Rows are keyed by content, folders by the model whose parts computed them, so that another run, or another part,
with the same sounds computes nothing, and a run that was killed computes what is missing.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm
from dcldm_plugin.models.dcldm import EMPTY_SEED, DualConditionedLatentDiffusion
from dcldm_plugin.training.manifest import Complain
from dcldm_plugin.training.shards import Shards, stacked
from dcldm_plugin.training.sound_files import Clip, read_clip
from dcldm_plugin.types import unheard

CHUNK = 32  # sounds at a time
ROWS = 256  # a file
SAY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Portion:
    """Which of the rows this process computes."""

    process: int = 0
    processes: int = 1

    def of(self, keys: list[str]) -> list[str]:
        return keys[self.process :: self.processes]


class AudioSet:
    """Sounds [samples] themselves, for what learns from them."""

    def __init__(self, shards: Shards, clips: Sequence[Clip]) -> None:
        self.clips = [clip for clip in clips if clip.key in shards]
        self._shards = shards

    def __len__(self) -> int:
        return len(self.clips)

    def audio(self, rows: NDArray[np.int64]) -> Tensor:
        """[rows, samples], float32."""
        return self._shards.stacked("audio", [self.clips[row].key for row in rows]).float() / 32768.0


class EncodedSet:
    """What the language model and the denoiser learn from. `empty`: the plan of the empty text [codebooks, frames];
    `silence`: that of no sound; `empty_encoding`: E_t2a or E'_t2a of the former [length, width]."""

    def __init__(
        self, encoded: Shards, texts: Shards, clips: Sequence[Clip], empty: Tensor, silence: Tensor, encoding: Tensor
    ) -> None:
        self.clips = [clip for clip in clips if clip.key in encoded]
        self._encoded, self._texts = encoded, texts
        self.empty, self.silence, self.empty_encoding = empty, silence, encoding
        self._has_deviation, self._has_encoding = encoded.has("deviation"), encoded.has("encoding")

    def __len__(self) -> int:
        return len(self.clips)

    def _keys(self, rows: NDArray[np.int64]) -> list[str]:
        return [self.clips[row].key for row in rows]

    def latents(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Mean and deviation (None: certain) of the posterior of z_0, each [rows, channels, time, bands]."""
        keys = self._keys(rows)
        deviation = self._encoded.stacked("deviation", keys).float() if self._has_deviation else None
        return self._encoded.stacked("mean", keys).float(), deviation

    def codes(self, rows: NDArray[np.int64]) -> Tensor:
        """Plans [rows, codebooks, frames], int64."""
        return self._encoded.stacked("codes", self._keys(rows)).long()

    def encodings(self, rows: NDArray[np.int64]) -> Tensor | None:
        """E'_t2a [rows, length, width]; None where the denoiser is told E_t2a, which the codes stand for."""
        return self._encoded.stacked("encoding", self._keys(rows)).float() if self._has_encoding else None

    def texts(self, rows: NDArray[np.int64], empty: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """Token states [rows, tokens, width] and mask [rows, tokens], of the empty text where `empty`."""
        captions = ["" if none else self.clips[row].caption for row, none in zip(rows, empty, strict=True)]
        keys = [text_key(caption) for caption in captions]
        lengths = self._texts.stacked("length", keys)
        longest = int(lengths.max())
        states = [
            functional.pad(row[:longest], (0, 0, 0, max(0, longest - len(row))))
            for row in self._texts.rows("states", keys)
        ]
        return stacked(states).float(), torch.arange(longest)[None] < lengths[:, None]


def text_key(caption: str) -> str:
    return hashlib.sha256(caption.encode()).hexdigest()[:24]


def model_key(parts: Iterable[nn.Module], *more: object) -> str:
    """Names what computes: all tensors of some parts, and anything else that matters."""
    digest = hashlib.sha256(repr(more).encode())
    for part in parts:
        for name, value in sorted(part.state_dict().items()):
            digest.update(name.encode() + _content(value))
    return digest.hexdigest()[:16]


def _content(value: object) -> bytes:
    """Of what a state may hold: tensors, those of 8-bit layers in tuples, and plain values."""
    if isinstance(value, tuple):
        return b"".join(map(_content, value))
    if not isinstance(value, Tensor):
        return repr(value).encode()
    plain = value.detach().dequantize() if value.is_quantized else value.detach()
    raw = plain.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    return f"{tuple(value.shape)} {value.dtype}".encode() + raw


def audio_set(
    cache: Path, clips: list[Clip], rate: int, samples: int, level: bool, portion: Portion, complain: Complain
) -> AudioSet:
    """The sounds as 16-bit samples, so that files are decoded once."""
    shards = Shards(cache / f"audio-{rate}-{samples}-{level:d}", portion.process)
    reader = _Reader(clips, samples / rate, rate, level, complain)

    def compute(keys: list[str]) -> tuple[list[str], dict[str, Tensor]]:
        there, sounds = reader.read(keys)
        return there, {"audio": (sounds * 32768.0).round().clamp(-32768, 32767).to(torch.int16)}

    _fill(shards, [clip.key for clip in clips], compute, portion, "sounds")
    return AudioSet(shards, _known(clips, shards))


@torch.inference_mode()
def encoded_set(
    cache: Path,
    clips: list[Clip],
    chain: DualConditionedLatentDiffusion,
    level: bool,
    plans: str,
    portion: Portion,
    complain: Complain,
) -> EncodedSet:
    """Latents, plans and texts by the parts of a chain, which are used as they are and where they are."""
    config, steps = chain.config, chain.config.longest_steps
    rate, samples = config.mel.sample_rate, steps * chain.space.ratio * config.mel.hop
    frames = chain.plan_frames(steps)
    device = chain.space.mean.device
    silence = acoustic_lm.encode(chain.codec, torch.zeros(1, 1, samples, device=device))[0, :, :frames].cpu()
    empty = (
        chain.empty_plan[:, :frames].cpu()
        if config.stored_empty_plan
        else chain.plans("", frames, [EMPTY_SEED], unheard)[0].cpu()
    )

    by_key = {text_key(caption): caption for caption in ("", *(clip.caption for clip in clips))}

    def read(keys: list[str]) -> tuple[list[str], dict[str, Tensor]]:
        states, mask = chain.text([by_key[key] for key in keys])
        return keys, {"states": states.half().cpu(), "length": mask.sum(1).cpu()}

    with chain.at_work("text"):
        texts = Shards(cache / f"texts-{model_key([chain.text])}", portion.process)
        _fill(texts, list(by_key), read, portion, "captions")

    what = (config.mel, config.encoding, frames, samples, level)
    if plans == "model":
        with chain.at_work("plan_model"):
            key = model_key([chain.space, chain.codec, chain.plan_model], config.defaults, *what)
    else:
        key = model_key([chain.space, chain.codec], *what)
    encoded = Shards(cache / f"encoded-{key}", portion.process)
    reader = _Reader(clips, samples / rate, rate, level, complain)

    def encode(keys: list[str]) -> tuple[list[str], dict[str, Tensor]]:
        there, sounds = reader.read(keys)
        if not there:
            return [], {}
        sounds = sounds.to(device)
        mean, deviation = chain.space.posterior(chain.analysis(sounds))
        if plans == "model":
            captions = [reader.clips[key].caption for key in there]
            seeds = [int(key[:8], 16) % 2**31 for key in there]  # the sound's own
            codes = chain.plan_each(captions, frames, seeds, unheard)
        else:
            codes = acoustic_lm.encode(chain.codec, sounds[:, None])[:, :, :frames]
        row = {"mean": mean.half().cpu(), "codes": codes.to(torch.int16).cpu()}
        if bool(deviation.any()):
            row["deviation"] = deviation.half().cpu()
        if config.encoding == "ag_vae":
            # Always of the plan's own sound: a target's latent in its place would be the answer, and so be copied.
            row["encoding"] = chain.encoded(codes, steps).half().cpu()
        return there, row

    _fill(encoded, [clip.key for clip in clips], encode, portion, "latents and plans")
    empty_encoding = chain.encoded(empty[None].to(device), steps)[0].float().cpu()
    return EncodedSet(encoded, texts, _known(clips, encoded), empty, silence, empty_encoding)


def _known(clips: list[Clip], shards: Shards) -> list[Clip]:
    known = [clip for clip in clips if clip.key in shards]
    if not known:
        raise InvalidInput("None of the sounds can be used; see above why, and choose others.")
    return known


class _Reader:
    """Sounds by their keys; what can't be read is told once and left out."""

    def __init__(self, clips: list[Clip], seconds: float, rate: int, level: bool, complain: Complain) -> None:
        self.clips = {clip.key: clip for clip in clips}
        self.seconds, self.rate, self.level, self.complain = seconds, rate, level, complain

    def read(self, keys: list[str]) -> tuple[list[str], Tensor]:
        """(those of the keys that could be read, their sounds [n, samples])."""
        there, sounds = [], []
        for key in keys:
            try:
                sounds.append(torch.from_numpy(read_clip(self.clips[key], self.seconds, self.rate, self.level)))
                there.append(key)
            except InvalidInput as error:
                self.complain(str(error))
        return there, torch.stack(sounds) if sounds else torch.zeros(0, round(self.seconds * self.rate))


def _fill(
    shards: Shards,
    keys: list[str],
    compute: Callable[[list[str]], tuple[list[str], dict[str, Tensor]]],
    portion: Portion,
    what: str,
) -> None:
    """Compute what is missing, and write it as soon as there is a file's worth."""
    missing = portion.of(shards.missing(keys))
    began = said = time.perf_counter()
    kept: list[str] = []
    rows: dict[str, list[Tensor]] = {}

    def write() -> None:
        if kept:
            shards.write(kept, {name: _joined(values) for name, values in rows.items()})
        kept.clear()
        rows.clear()

    for start in range(0, len(missing), CHUNK):
        there, made = compute(missing[start : start + CHUNK])
        kept += there
        for name, value in made.items() if there else ():
            rows.setdefault(name, []).append(value)
        if len(kept) >= ROWS:
            write()
        done, now = min(start + CHUNK, len(missing)), time.perf_counter()
        if now - said > SAY_SECONDS or done == len(missing):
            said = now
            left = (now - began) * (len(missing) - done) / done
            print(f"{what}: {done:,} of {len(missing):,}, {left:.0f} s left", file=sys.stderr, flush=True)
    write()


def _joined(values: list[Tensor]) -> Tensor:
    """Along the first dimension; what is shorter along the second (texts) is padded."""
    if values[0].dim() < 3 or len({value.shape[1] for value in values}) == 1:
        return torch.cat(values)
    longest = max(value.shape[1] for value in values)
    return torch.cat([functional.pad(value, (0, 0, 0, longest - value.shape[1])) for value in values])
