"""Takes that follow from other takes: two seeds, and what can be done with them.

A request holds its parents' requests, so whatever a control needs of them, their plan, their noise, their
latent, is made again from there, and comes out the same. The acoustic plan says what happens when, the noise
how it sounds: each control keeps one, moves it or replaces it, for all of the clip or for a part.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dcldm_plugin.audio.finish import level_of
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models import acoustic_lm, encodings
from dcldm_plugin.models.course import Course, Known, between, widened
from dcldm_plugin.models.dcldm import EMPTY_SEED, DualConditionedLatentDiffusion, further, within
from dcldm_plugin.models.denoiser import Conditions
from dcldm_plugin.models.device import render_in_batches
from dcldm_plugin.models.joins import spliced
from dcldm_plugin.models.lineage import (
    CHUNK,
    SIDE,
    can_be_remade,
    candidate,
    changed,
    check_versions,
    first_surface,
    is_new,
    lead,
    name_of,
    origin,
    weights,
)
from dcldm_plugin.models.sound import Levels, as_loud, shown, sound
from dcldm_plugin.models.wishes import Wishes
from dcldm_plugin.types import AudioSource, Control, GenerationRequest, Level, Report, Sampling, unheard

FADE_SECONDS = 0.02
KEPT = 16  # latents of takes, a few hundred KB each
# How far back in noise a mix of clips is taken, half of the way from one to the other, and at least between favourites.
# The first makes one sound of two, and moves with the position; the second is what takes differ by.
MORPH_T0, MORE_T0 = 0.35, 0.6
CEILING = 10.0 ** (-1.2 / 20.0)  # of what is new in a part, a little below what finishing allows


@dataclass(frozen=True, slots=True)
class Branch:
    """One prompt with its plan and its weight: codes [codebooks, frames], encoded [1, length, width]."""

    weight: float
    text: str
    codes: Tensor
    plan: Tensor


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What one take is denoised from; noise and latents are [channels of sound, channels, steps, bands]."""

    noise: Tensor
    branches: tuple[Branch, ...]
    known: Known | None = None
    source: Tensor | None = None
    t0: float = 1.0


class Variations:
    """The requests of one model, with all their controls. `version` names its weights."""

    def __init__(self, model: DualConditionedLatentDiffusion, name: str, version: str) -> None:
        self.model, self.name, self.version = model, name, version
        self._latents: OrderedDict[str, Tensor] = OrderedDict()
        self._chosen: dict[str, int] = {}
        self._references: dict[tuple[AudioSource, int], Tensor] = {}  # of one request, whose takes have them in common

    # Takes

    @torch.inference_mode()
    def takes(self, request: GenerationRequest, sampling: Sampling, report: Report) -> Iterator[Tensor]:
        """The takes [channels, samples] of a request, in the order of its seeds; `sampling` has no gaps."""
        check_versions(request, self.version)
        self._references.clear()
        report("reading", 0.0)
        model = self.model
        wanted = [origin(replace(request.only(index), sampling=sampling)) for index in range(len(request.seeds))]
        if model.placement.keep != "device":  # each part comes to the device once, not once a take
            self._prefetch(wanted, report)

        def batch(items: range) -> Iterator[Tensor]:
            chosen = self._settled([self._resolved(wanted[item], report) for item in items], report)
            self._prefetch(chosen, report)
            for one, z in zip(chosen, self._all_made(chosen, report), strict=True):
                yield self._finished(one, z, report)

        # Favourites are weighed anew for each take.
        most = 1 if request.control is not None and request.control.kind == "more" else model.placement.batch
        with model.at_work("denoiser"):
            yield from render_in_batches(len(wanted), batch, most, model.take_fewer, model.placement.device)

    def level(self, request: GenerationRequest, report: Report) -> Level | None:
        """For a take that is its parent in part: what finishing did to the parent's level."""
        request = self._resolved(request, report)
        if request.control is None or not request.control.keeps_length:
            return None
        parent = request.control.parents[0].request
        audio = self.audio(parent, report).cpu().numpy().astype(np.float32)
        settings = FinishSettings(parent.seconds, loop=parent.loop, level=self.level(parent, report))
        return level_of(audio, self.model.config.mel.sample_rate, settings)

    @torch.inference_mode()
    def audio(self, take: GenerationRequest, report: Report) -> Tensor:
        """The sound [channels, samples] of a request for one take, made again."""
        take = self._one(take, report)
        return self._finished(take, self.latent(take, report), report)

    @torch.inference_mode()
    def latent(self, take: GenerationRequest, report: Report) -> Tensor:
        """z_0 [channels of sound, channels, steps, bands] of a request for one take, made again."""
        take = self._one(take, report)
        name = name_of(take)
        if name not in self._latents:
            self._made([take], report)
        self._latents.move_to_end(name)
        return self._latents[name].to(self.model.placement.device)

    # Candidates: a new take is that of several that fits its words best.

    def _resolved(self, take: GenerationRequest, report: Report) -> GenerationRequest:
        """A take as what it stays, its parents as the candidates that were chosen."""
        take = origin(take)
        control = take.control
        if control is None or not control.parents:
            return take
        parents = tuple(replace(parent, request=self._one(parent.request, report)) for parent in control.parents)
        return replace(take, control=replace(control, parents=parents))

    def _one(self, take: GenerationRequest, report: Report) -> GenerationRequest:
        """A take as what it stays and as the candidate that was chosen."""
        return self._settled([self._resolved(take, report)], report)[0]

    def _settled(self, takes: Sequence[GenerationRequest], report: Report) -> list[GenerationRequest]:
        """Takes that differ in nothing but their seeds, each as that of its candidates that was chosen."""
        first, matcher = takes[0], self.model.matcher
        count = first.sampling.candidates or 1
        if count == 1 or matcher is None or not is_new(first):
            return list(takes)
        # Where words name a number of events, the first candidate that has it will do.
        wishes, fits = Wishes.of(first.prompt.text), {name_of(take): list[float]() for take in takes}
        at_once = 1 if wishes.number else count
        for start in range(0, count, at_once):
            undecided = {name_of(take): take for take in takes if self._choice(take) is None}.values()
            if not undecided:
                break
            numbers = range(start, start + at_once)
            tried = [(take, candidate(take, number)) for take in undecided for number in numbers]
            part = within(report, start / count, (start + at_once) / count)
            judged = self._judged([one for _, one in tried], wishes, part)
            for (take, _), (fit, will_do) in zip(tried, judged, strict=True):
                of_one = fits[name_of(take)]
                of_one.append(fit)
                if will_do or len(of_one) == count:
                    self._choose(take, len(of_one) - 1 if will_do else of_one.index(max(of_one)))
        return [candidate(take, self._choice(take) or 0) for take in takes]

    def _judged(
        self, takes: Sequence[GenerationRequest], wishes: Wishes, report: Report
    ) -> Iterator[tuple[float, bool]]:
        """Of takes that differ in nothing but their seeds: how well each fits its words, and whether it has the number
        of events that they name."""
        self._prefetch(takes, report)
        (states, mask), rate = self.model.read([takes[0].prompt.text]), self.model.config.mel.sample_rate
        assert self.model.matcher is not None
        at_once = self.model.placement.batch
        for start in range(0, len(takes), at_once):
            some = takes[start : start + at_once]
            part = within(report, start / len(takes), (start + len(some)) / len(takes))
            for take, z in zip(some, self._made(some, part), strict=True):
                fit = float(self.model.matcher.of_latents(z, states, mask).mean())
                has_number = False
                if wishes != Wishes():
                    heard = self._sound(take, z, unheard).mean(0, keepdim=True)
                    fit += float(wishes.met(heard, rate))
                    has_number = wishes.has_number(heard[0], rate)
                yield fit, has_number

    def _choice(self, take: GenerationRequest) -> int | None:
        name, cache = name_of(take), self.model.cache
        if name not in self._chosen and cache is not None:
            found = cache.get(self._content(name))
            if found is not None and found.numel() == 1 and 0 <= int(found) < (take.sampling.candidates or 1):
                self._chosen[name] = int(found)
        return self._chosen.get(name)

    def _choose(self, take: GenerationRequest, number: int) -> None:
        name, cache = name_of(take), self.model.cache
        self._chosen[name] = number
        if cache is not None:
            cache.put(self._content(name), torch.tensor([[number]]))

    def _content(self, name: str) -> dict[str, Any]:
        return {"model": self.version, "chosen": name}

    def _all_made(self, takes: Sequence[GenerationRequest], report: Report) -> list[Tensor]:
        """Latents of takes that differ in nothing but their seeds; those that were kept cost nothing."""
        kept = {name_of(take): self._latents.get(name_of(take)) for take in takes}
        missing = [take for take in takes if kept[name_of(take)] is None]
        made = iter(self._made(missing, report) if missing else ())
        device = self.model.placement.device
        return [next(made) if z is None else z.to(device) for z in (kept[name_of(take)] for take in takes)]

    def _made(self, takes: Sequence[GenerationRequest], report: Report) -> list[Tensor]:
        """Latents of takes that differ in nothing but their seeds, made together."""
        first, model = takes[0], self.model
        steps, width = self.steps(first), first.stereo
        parts = [self._ingredients(take, steps, width, report) for take in takes]
        channels = len(parts[0].noise)
        texts = [*(branch.text for branch in parts[0].branches), first.prompt.negative]
        states, mask = model.read(texts)
        count = len(takes) * channels
        window = min(max(steps, model.config.shortest_steps), model.config.longest_steps)

        def conditions(kind: int, plans: Tensor) -> Conditions:
            return Conditions(states[[kind]].expand(count, -1, -1), mask[[kind]].expand(count, -1), plans)

        told = [
            conditions(kind, torch.cat([part.branches[kind].plan.expand(channels, -1, -1) for part in parts]))
            for kind in range(len(texts) - 1)
        ]
        told.append(conditions(-1, self._empty_plan(window, report).expand(count, -1, -1)))
        course = Course(
            weights=tuple(branch.weight for branch in parts[0].branches),
            known=_joined_known([part.known for part in parts]),
            source=_joined([part.source for part in parts]),
            t0=parts[0].t0,
            lead=lead(first),
            window=window,
            loop=first.loop,
        )
        z = model.follow(torch.cat([part.noise for part in parts]), told, first.sampling, report, course)
        latents = list(torch.split(z, channels))
        for take, each in zip(takes, latents, strict=True):
            self._latents[name_of(take)] = each.cpu()
        while len(self._latents) > KEPT:
            self._latents.popitem(last=False)
        return latents

    def _finished(self, take: GenerationRequest, z: Tensor, report: Report) -> Tensor:
        """The waveform; outside of the part that was to change, the parent's own."""
        new = self._sound(take, z, report)
        control = take.control
        if control is None or not control.keeps_length:
            return new
        old = self.audio(control.parents[0].request, report)
        rate = self.model.config.mel.sample_rate
        start, end = (round(second * rate) for second in changed(control, take.seconds))
        level = self.level(take, report)
        assert level is not None
        peak = float(new[:, start:end].abs().max()) * 10.0 ** (level.gain_db / 20.0)
        return spliced(old, new * min(1.0, CEILING / max(peak, 1e-9)), start, end, round(FADE_SECONDS * rate))

    def _sound(self, take: GenerationRequest, z: Tensor, report: Report) -> Tensor:
        """The waveform of a take's latent."""
        return sound(self.model, z, take.seconds, take.loop, report, None if take.loop else self._levels(take))

    def _levels(self, take: GenerationRequest) -> Levels | None:
        """The course of levels that a take is given. Where a number of events is named, that of the plan that it was
        told, E_t2a, which has that number more often: what is denoised has echoes and wavers. Else that of a sound that
        it is to be like, as far as it is to be."""
        take, model = first_surface(take), self.model
        control = take.control
        if Wishes.of(take.prompt.text).number and model.has_plan and model.config.encoding == "ag":
            branches = self.branches(take, self.steps(take), unheard)
            if len(branches) == 1:
                return Levels(model.analysis(acoustic_lm.decoded(model.codec, branches[0].plan)))
        if control is None or control.audio is None or control.kind != "like":
            return None
        heard = self._reference(control.audio, self.steps(take)).to(model.placement.device)
        return Levels(model.analysis(heard), control.amount)

    # What a take is made of

    def steps(self, take: GenerationRequest) -> int:
        """Latent steps: of a loop one turn, else no fewer than the denoiser has seen."""
        exact = take.seconds * self.model.latent_rate
        return max(1, round(exact)) if take.loop else max(math.ceil(exact), self.model.config.shortest_steps)

    def _ingredients(self, take: GenerationRequest, steps: int, width: float, report: Report) -> Ingredients:
        noise = self.noise(take, steps, width)
        branches = tuple(branch for branch in self.branches(take, steps, report) if branch.weight > 0.0)
        source, t0 = self._source(take, steps, len(noise), report)
        known = None
        if take.control is not None and take.control.keeps_length:
            parent = take.control.parents[0].request
            where = self._kept(take, steps).to(noise.device)
            known = Known(self.latent(parent, report), self.noise(parent, steps, width), where)
        return Ingredients(noise, branches, known, source, t0)

    def _kept(self, take: GenerationRequest, steps: int) -> Tensor:
        """Where, bool [steps], a take is its parent."""
        assert take.control is not None
        start, end = (second * self.model.latent_rate for second in changed(take.control, take.seconds))
        place = torch.arange(steps)
        return (place + 1 <= start) | (place >= end)

    def noise(self, take: GenerationRequest, steps: int, width: float) -> Tensor:
        """z_T [1 or 2, channels, steps, bands]: two of one plan for a stereo width above 0."""
        control = take.control
        if control is None or control.kind in {"regenerate", "like", "purify", "more"}:
            return self._fresh(take.seeds[0].texture, steps, width)
        old = [self.noise(parent.request, steps, width) for parent in control.parents]
        if control.kind == "rearrange":
            return old[0]
        if control.kind == "morph":
            return between(old[0], old[1], control.amount)
        new = self._fresh(take.seeds[0].texture, steps, width)
        if control.kind == "repair":
            return torch.where(self._kept(take, steps).to(new.device)[:, None], old[0], new)
        return between(old[0], new, control.amount)

    def _fresh(self, seed: int, steps: int, width: float) -> Tensor:
        centre = self.model.noise(steps, seed)
        return centre if width <= 0.0 else widened(centre, self.model.noise(steps, further(seed, SIDE)), width)

    def branches(self, take: GenerationRequest, steps: int, report: Report) -> list[Branch]:
        """The prompts and plans of a take that lasts `steps`."""
        control, text, seed = take.control, take.prompt.text, take.seeds[0].structure
        if control is None or control.kind == "regenerate":
            return [self._branch(text, self._plan(text, steps, seed, None, report), steps)]
        if control.kind == "purify":
            codes = self._heard(self._audio_of(control, steps, report), steps)
            return [self._branch(text, codes, steps)]
        if control.audio is not None:
            return [self._like(text, seed, control, steps, report)]
        old = [self.branches(parent.request, steps, report) for parent in control.parents]
        kept = [
            replace(branch, weight=weight * branch.weight, text=_spoken(take, branch))
            for weight, branches in zip(weights(take, control), old, strict=True)
            for branch in branches
        ]
        if control.kind == "rearrange":
            return [self._rearranged(branch, seed, control, steps, report) for branch in kept]
        return kept

    def _like(self, text: str, seed: int, control: Control, steps: int, report: Report) -> Branch:
        """The reference's plan and one of the prompt's own, mixed by the weight."""
        assert control.audio is not None
        heard = self._branch(text, self._heard(self._reference(control.audio, steps), steps), steps)
        if control.amount >= 1.0:
            return heard
        own = self._branch(text, self._plan(text, steps, seed, None, report), steps)
        return replace(own, plan=torch.lerp(own.plan, heard.plan, control.amount))

    def _rearranged(self, old: Branch, seed: int, control: Control, steps: int, report: Report) -> Branch:
        """The old plan up to the start, continued by the language model."""
        if not old.codes.numel():
            return old
        known = math.floor(control.start * self.model.codec.config.frame_rate)
        codes = self._plan(old.text, steps, seed, old.codes[:, :known] if known else None, report)
        new = self._branch(old.text, codes, steps)
        length = round(control.start / (steps / self.model.latent_rate) * old.plan.shape[1])
        plan = torch.cat([old.plan[:, :length], new.plan[:, length:]], dim=1)
        return replace(new, weight=old.weight, plan=plan)

    def _branch(self, text: str, codes: Tensor, steps: int) -> Branch:
        if not codes.numel():  # a model that is told the text alone
            return Branch(1.0, text, codes, torch.zeros(1, 0, 0, device=self.model.placement.device))
        return Branch(1.0, text, codes, self.model.encoded(codes[None], steps))

    # Plans

    def _plan(self, text: str, steps: int, seed: int, known: Tensor | None, report: Report) -> Tensor:
        """Codes [codebooks, frames]; one longer than the language model's own is continued piece by piece."""
        if not self.model.has_plan:
            return torch.zeros(0, 0, dtype=torch.long)
        longest = self.model.plan_frames(self.model.config.longest_steps)
        frames = self._frames(steps)
        if frames <= longest:
            return self.model.plans(text, frames, [seed], report, known)[0]
        have = known
        if have is None or have.shape[1] < longest:
            have = self.model.plans(text, longest, [seed], report, have)[0]
        while have.shape[1] < frames:
            tail = have[:, -(longest // 2) :]
            wanted = min(longest, tail.shape[1] + frames - have.shape[1])
            piece = self.model.plans(text, wanted, [further(seed, CHUNK + have.shape[1])], report, tail)[0]
            have = torch.cat([have, piece[:, tail.shape[1] :]], dim=1)
        return have

    def _frames(self, steps: int) -> int:
        model = self.model
        if steps <= model.config.longest_steps:
            return model.plan_frames(steps)
        return math.ceil(steps / model.latent_rate * model.codec.config.frame_rate)

    def _prefetch(self, takes: Sequence[GenerationRequest], report: Report) -> None:
        """Make the plans of several takes together where the language model draws them anew."""
        first = takes[0]
        steps = self.steps(first)
        if is_new(first) and self.model.has_plan and steps <= self.model.config.longest_steps:
            seeds = [take.seeds[0].structure for take in takes]
            self.model.plans(first.prompt.text, self._frames(steps), seeds, report)

    def _empty_plan(self, window: int, report: Report) -> Tensor:
        """The encoded plan [1, length, width] for the empty text, as long as a window."""
        model = self.model
        if not model.has_plan:
            return torch.zeros(1, 0, 0, device=model.placement.device)
        frames = model.plan_frames(window)
        if model.config.stored_empty_plan:
            return model.encoded(model.empty_plan[None, :, :frames], window)
        return model.encoded(model.plans("", frames, [EMPTY_SEED], report), window)

    # Sounds that are told

    def _reference(self, source: AudioSource, steps: int) -> Tensor:
        """The beginning of a file [1, samples] at the mel's rate, as long as `steps`. Raises `InvalidInput`."""
        if (source, steps) not in self._references:
            seconds, rate = steps / self.model.latent_rate, self.model.config.mel.sample_rate
            self._references[source, steps] = read_reference(source, seconds, rate)
        return self._references[source, steps]

    def _audio_of(self, control: Control, steps: int, report: Report) -> Tensor:
        """What is purified: [channels, samples], as long as `steps`."""
        if control.audio is not None and not can_be_remade(control, self.name, self.version):
            return self._reference(control.audio, steps)
        samples = steps * self.model.space.ratio * self.model.config.mel.hop
        return encodings.fitted(self.audio(control.parents[0].request, report), samples)

    def _heard(self, audio: Tensor, steps: int) -> Tensor:
        """The codes [codebooks, frames] of a sound [channels, samples] at the mel's rate."""
        if not self.model.has_plan:
            return torch.zeros(0, 0, dtype=torch.long)
        codec, rate = self.model.codec, self.model.config.mel.sample_rate
        if codec.config.sampling_rate != rate:  # both are 16 kHz in every model so far
            raise InvalidInput("The model's codec has another sample rate than its spectrogram.")
        codes = acoustic_lm.encode(codec, encodings.levelled(audio.mean(0, keepdim=True))[:, None])[0]
        frames = self._frames(steps)
        return functional.pad(codes[:, :frames], (0, max(0, frames - codes.shape[1])), mode="constant")

    def _source(
        self, take: GenerationRequest, steps: int, channels: int, report: Report
    ) -> tuple[Tensor | None, float]:
        """The latent [channels of sound, channels, steps, bands] that a take starts from, if it does not from noise
        alone, and how far back in noise that is."""
        control = take.control
        if control is None:
            return None, 1.0
        if control.kind in {"retexture", "repair"}:
            source, t0 = self._source(control.parents[0].request, steps, channels, report)
            return source, max(t0, control.amount) if control.kind == "retexture" else t0
        if control.kind == "morph":
            return self._mix(take, steps, channels, report), MORPH_T0 * 4.0 * control.amount * (1.0 - control.amount)
        if control.kind == "more":
            return self._mix(take, steps, channels, report), MORE_T0 + (1.0 - MORE_T0) * control.amount
        if control.kind != "purify":
            return None, 1.0
        audio = self._audio_of(control, steps, report).to(self.model.placement.device)
        z = encodings.latent(self.model.space, audio, self.model.analysis)[:, :, :steps]
        return (z if len(z) == channels else z[:1].expand(channels, -1, -1, -1)), control.amount

    def _mix(self, take: GenerationRequest, steps: int, channels: int, report: Report) -> Tensor:
        """The latent of a take's parents in one, as long as it is: the mean of the roots of their amplitudes.

        Of the amplitudes themselves it would be a cross-fade, of their logarithms silence where one of them is silent.
        """
        control, frames = take.control, steps * self.model.space.ratio
        assert control is not None
        parents = [parent.request for parent in control.parents]
        weighed = [pair for pair in zip(parents, weights(take, control), strict=True) if pair[1] > 0.0]
        if len(weighed) == 1:
            only = self.latent(weighed[0][0], report)
            if only.shape[::2] == (channels, steps):  # bit by bit
                return only
        total = torch.zeros((), device=self.model.placement.device)
        for parent, weight in weighed:
            heard = as_loud(shown(self.model, self.latent(parent, report)), self._levels(parent))
            roots = (0.5 * heard).exp()
            roots = encodings.fitted(roots.transpose(1, 2), frames).transpose(1, 2)
            total = total + weight * (roots if len(roots) == channels else roots.mean(0, keepdim=True))
        return self.model.space.encode(2.0 * total.clamp(min=1e-9).log()).expand(channels, -1, -1, -1)


def read_reference(source: AudioSource, seconds: float, sample_rate: int, channels: int = 1) -> Tensor:
    """The beginning of a file that was chosen (see `encodings.read_audio`). Raises `InvalidInput`."""
    path = Path(source.path)
    if path.is_file() and file_hash(path) != source.sha256:
        raise InvalidInput(f"The file {path} was changed since it was chosen; choose it again.")
    return encodings.read_audio(path, seconds, sample_rate, channels)


def file_hash(path: Path) -> str:
    """SHA-256 of a file. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _spoken(take: GenerationRequest, branch: Branch) -> str:
    """The parent's words, unless the take has words of its own: those that none of its parents has."""
    assert take.control is not None
    known = {each.request.prompt.text for each in take.control.parents}
    return branch.text if take.prompt.text in known else take.prompt.text


def _joined(latents: Sequence[Tensor | None]) -> Tensor | None:
    given = [each for each in latents if each is not None]
    return torch.cat(given) if given else None


def _joined_known(known: Sequence[Known | None]) -> Known | None:
    given = [each for each in known if each is not None]
    if not given:
        return None
    return Known(torch.cat([each.z for each in given]), torch.cat([each.noise for each in given]), given[0].where)
