"""DC-LDM: text encoder -> acoustic language model -> dual-conditioned denoiser -> VAE -> vocoder.

The whole chain of figure 1 of the paper, in one readable order, at any size: every part is a class that
also loads the public full-size weights.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import EncodecModel

from dcldm_plugin.models import acoustic_lm, encodings
from dcldm_plugin.models.course import PLAIN, Course, alpha_at, in_windows
from dcldm_plugin.models.denoiser import Conditions, guided, predicted
from dcldm_plugin.models.device import Placement, Staged, compile_blocks, render_in_batches
from dcldm_plugin.models.latent import LatentSpace, MelRange
from dcldm_plugin.models.matcher import Matcher
from dcldm_plugin.models.mel import MelConfig, MelSpectrogram
from dcldm_plugin.models.phrasebook import Phrasebook, mean_states
from dcldm_plugin.models.plan import PlanModel
from dcldm_plugin.models.plan_cache import PlanCache
from dcldm_plugin.models.schedule import Prediction, entered, make_sampler
from dcldm_plugin.models.text import TextEncoder
from dcldm_plugin.models.wishes import Wishes
from dcldm_plugin.types import Report, Sampling, Seeds

# Below this width a token's matrices are too small to share: a second thread gains nothing on a quiet machine
# and costs seven times the time on a busy one.
SMALL_WIDTH = 512
EMPTY_SEED = 0  # of the plan for the empty text, where the model does not bring one
PLANS_AT_ONCE = 128  # of the built-in size they need 220 MB for 10 s, measured
PLANS_KEPT = 64  # a few kilobytes each; more than the variations of one request
READINGS_KEPT = 256
EDGE_SECONDS = 0.05  # at the end of a plan's sound, where it is cut off with a click
WHOLE = (0.0, 1.0)


@contextmanager
def _one_thread(wanted: bool) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if wanted else threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def within(report: Report, first: float, last: float) -> Report:
    """A report whose 0 … 1 is first … last of another's."""
    return lambda stage, fraction: report(stage, first + (last - first) * fraction)


@dataclass(frozen=True, slots=True)
class Defaults:
    """How this model is sampled unless a request says otherwise.

    `guidance_interval`, `purify` and `candidates`: see `Sampling`; only a bridge has the second, and only a model
    with a matcher the last. What a request does not give: the language model's temperature, top_k and
    plan_guidance_scale; `plans`, how many plans are drawn for each seed, of which the one that fits the words best
    is kept; `plan_scale`, how far the plan leads the denoiser where that is not as far as the words (`guided`);
    `counted_candidates`, how many sounds are made at most of a take whose words name a number above one, until one
    has so many events ("a single cricket" may go on for long); `guidance_every`, for how many steps holds what guidance
    adds in the first of them, which spares most of its evaluations (https://arxiv.org/abs/2408.11194).
    """

    sampler: str = "dpm++"
    steps: int = 12
    guidance_scale: float = 3.0
    temperature: float = 1.0
    top_k: int = 50
    plan_guidance_scale: float = 1.0
    guidance_interval: tuple[float, float] = WHOLE
    purify: float | None = None
    candidates: int = 1
    plans: int = 1
    plan_scale: float | None = None
    guidance_every: int = 1
    counted_candidates: int = 1

    def fill(self, wish: Sampling, prompt: str = "") -> Sampling:
        """The wish with what it leaves open filled in for a prompt."""
        candidates = self.counted_candidates if Wishes.of(prompt).number > 1 else self.candidates
        return Sampling(
            sampler=wish.sampler or self.sampler,
            steps=wish.steps or self.steps,
            guidance_scale=self.guidance_scale if wish.guidance_scale is None else wish.guidance_scale,
            guidance_interval=wish.guidance_interval or self.guidance_interval,
            purify=self.purify if wish.purify is None or self.purify is None else wish.purify,
            candidates=wish.candidates or candidates,
        )


# For the public weights: the guidance scale with which the paper scores best (figure 2), AudioGen's own values
# for the plan, and 25 evaluations in place of the paper's 200. Guidance does its work in the middle of the
# steps, harms in the noisiest and is lost on the cleanest (https://arxiv.org/abs/2404.07724).
FULL_SIZE_DEFAULTS = Defaults(
    steps=25, guidance_scale=4.0, top_k=250, plan_guidance_scale=3.0, guidance_interval=(0.2, 0.8)
)


@dataclass(frozen=True, slots=True)
class ChainConfig:
    """What the parts do not say themselves.

    prediction: what the denoiser was trained to predict; TANGO's is v.
    encoding: how the plan is told to the denoiser, as E_t2a ("ag") or E'_t2a ("ag_vae") of section 2.2.
    zero_padding: the language model was trained with zeros for padding and for the empty text (AudioGen).
    stored_empty_plan: the model brings its plan for the empty text; otherwise it is made once a length.
    longest_plan_seconds: what the language model was trained on, where that is less than the longest clip.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    mel_range: MelRange = field(default_factory=MelRange)
    shortest_steps: int = 64  # latent steps: the denoiser never saw shorter ones
    longest_steps: int = 128
    defaults: Defaults = field(default_factory=Defaults)
    prediction: Prediction = "v_prediction"
    encoding: Literal["ag", "ag_vae"] = "ag"
    zero_padding: bool = False
    stored_empty_plan: bool = True
    longest_plan_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlanKey:
    """What a plan depends on, within one loaded model."""

    text: str
    seed: int
    frames: int
    temperature: float
    top_k: int
    guidance_scale: float
    after: str = ""  # SHA-256 of the frames that it continues
    best_of: int = 1


class DualConditionedLatentDiffusion(Staged):
    """The chain. `empty_plan` [codebooks, frames] is the language model's plan for the empty text (eq. 8).

    plan_text: the language model's own text encoder, where it is not the denoiser's (AudioGen reads with T5,
        TANGO with FLAN-T5).
    plan_model, codec: None for a denoiser that is told the text alone (TANGO).
    matcher: tells of several plans, or takes, which fits the words best; None: the first will do.
    phrasebook: the words that the model knows, by which others are read; None: all are read as they are.
    loaders: for parts that are given as None since they are to be loaded when their turn comes: "text",
        "plan_text", "plan_model", "denoiser".
    """

    empty_plan: Tensor
    text: TextEncoder
    plan_text: TextEncoder | None
    plan_model: PlanModel
    codec: EncodecModel
    denoiser: nn.Module
    matcher: Matcher | None
    phrasebook: Phrasebook | None

    def __init__(
        self,
        config: ChainConfig,
        text: TextEncoder | None,
        plan_model: PlanModel | None,
        codec: EncodecModel | None,
        denoiser: nn.Module | None,
        space: LatentSpace,
        vocoder: Callable[[Tensor], Tensor],
        *,
        plan_text: TextEncoder | None = None,
        matcher: Matcher | None = None,
        phrasebook: Phrasebook | None = None,
        placement: Placement | None = None,
        loaders: Mapping[str, Callable[[], nn.Module]] | None = None,
    ) -> None:
        super().__init__(placement or Placement(), loaders or {})
        self.config, self.vocoder, self.analysis = config, vocoder, MelSpectrogram(config.mel)
        parts = {"text": text, "plan_text": plan_text, "plan_model": plan_model, "codec": codec, "denoiser": denoiser}
        for name, part in parts.items():  # an attribute that is None would hide the part that comes later
            self.register_module(name, part)
        self.space, self.matcher, self.phrasebook = space, matcher, phrasebook
        if denoiser is not None and self.placement.compile:
            compile_blocks(denoiser)
        for module in (codec, space, vocoder, self.analysis, matcher, phrasebook):  # small enough to stay
            if isinstance(module, nn.Module):
                module.to(self.placement.device)
        self._plans: OrderedDict[PlanKey, Tensor] = OrderedDict()
        self._readings: OrderedDict[str, str] = OrderedDict()
        self.version = ""  # what names the weights
        self.cache: PlanCache | None = None  # plans on disk
        if codec is not None:
            frames = self.plan_frames(config.longest_steps)
            self.register_buffer("empty_plan", torch.zeros(codec.config.num_quantizers, frames, dtype=torch.long))

    @property
    def has_plan(self) -> bool:
        """Whether the denoiser is told a plan, or was made of one; TANGO is told the text alone."""
        return self._modules["codec"] is not None

    @property
    def latent_rate(self) -> float:
        """Latent steps a second."""
        mel = self.config.mel
        return mel.sample_rate / mel.hop / self.space.ratio

    def latent_steps(self, seconds: float) -> int:
        """How many latent steps a clip of this length is rendered with (what is too long is cut off)."""
        wanted = math.ceil(seconds * self.latent_rate)
        return min(max(wanted, self.config.shortest_steps), self.config.longest_steps)

    def plan_frames(self, steps: int) -> int:
        """Plan frames that last as long as some latent steps."""
        seconds = min(steps / self.latent_rate, self.config.longest_plan_seconds or math.inf)
        return math.ceil(seconds * self.codec.config.frame_rate)

    def read_as(self, text: str) -> str:
        """The words that a text is read as, by the phrasebook; "" is no text."""
        if self.phrasebook is None or not text:
            return text
        if text not in self._readings:
            with self.at_work("text"), torch.inference_mode():
                self._readings[text] = self.phrasebook.read(text, mean_states(self.text))
            while len(self._readings) > READINGS_KEPT:
                self._readings.popitem(last=False)
        return self._readings[text]

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """States [n, tokens, width] and mask [n, tokens] of prompts, each as it is read."""
        known = [self.read_as(text) for text in texts]
        with self.at_work("text"):
            states, mask = self.text(known)
        return states, mask

    def generate(
        self, prompt: str, negative: str, seconds: float, seeds: Seeds, sampling: Sampling, report: Report
    ) -> Tensor:
        """One take, waveform [samples] of `seconds` at the mel's sample rate.

        The structure seed draws the plan, the texture seed the noise. `report` is called at every step of
        both loops and may raise.
        """
        return next(iter(self.takes(prompt, negative, seconds, [seeds], sampling, report)))

    @torch.inference_mode()
    def takes(
        self,
        prompt: str,
        negative: str,
        seconds: float,
        seeds: Sequence[Seeds],
        sampling: Sampling,
        report: Report,
    ) -> Iterator[Tensor]:
        """Takes of one prompt, each as by `generate`, as many at once as the placement says."""
        report("reading", 0.0)
        states, mask = self.read([prompt, negative])  # the second is what guidance leads away from
        steps = self.latent_steps(seconds)
        if self.placement.keep != "device":  # each part comes to the device once, not once a take
            self._encoded_plans(prompt, steps, [each.structure for each in seeds], report)

        def batch(items: range) -> Iterator[Tensor]:
            chosen = [seeds[item] for item in items]
            # 1. The plans: what happens when. Those of the prompt, then the empty text's for each.
            plans = self._encoded_plans(prompt, steps, [each.structure for each in chosen], report)

            # 2. The sounds' latents, from noise.
            count = len(chosen)
            conditions = Conditions(states.repeat_interleave(count, 0), mask.repeat_interleave(count, 0), plans)
            noise = torch.cat([self.noise(steps, each.texture) for each in chosen])
            latents = self.denoise(noise, conditions, sampling, report)

            # 3. Sound, one by one: the vocoder needs more memory than all else.
            for z in latents:
                yield self._sound(z[None], seconds, report)

        with self.at_work("denoiser"):
            yield from render_in_batches(
                len(seeds), batch, self.placement.batch, self.take_fewer, self.placement.device
            )

    def take_fewer(self, batch: int) -> None:
        """Memory ran out: batches are smaller from now on."""
        logging.getLogger(__name__).warning("Memory ran out: making %d takes at once from now on.", batch)
        self.placement = replace(self.placement, batch=batch)

    def _sound(self, z: Tensor, seconds: float, report: Report) -> Tensor:
        report("decoding", 0.0)
        log_mel = self.space.decode(z)
        report("decoding", 0.5)
        audio: Tensor = self.vocoder(log_mel)[0, : round(seconds * self.config.mel.sample_rate)]
        report("decoding", 1.0)
        return audio

    def _encoded_plans(self, prompt: str, steps: int, seeds: Sequence[int], report: Report) -> Tensor:
        """Acoustic encodings [2 n, frames, width]: of the prompt's plans, then the empty text's for each."""
        count = len(seeds)
        if not self.has_plan:
            return torch.zeros(2 * count, 0, 0, device=self.placement.device)
        frames = self.plan_frames(steps)
        if self.config.stored_empty_plan:
            codes, empty = self.plans(prompt, frames, seeds, report), self.empty_plan[None, :, :frames]
        else:
            codes = self.plans(prompt, frames, seeds, within(report, 0.0, 0.5))
            empty = self.plans("", frames, [EMPTY_SEED], within(report, 0.5, 1.0))
        encoded = self.encoded(torch.cat([codes, empty.to(codes.device)]), steps)
        return torch.cat([encoded[:count], encoded[count:].expand(count, -1, -1)])

    @torch.inference_mode()
    def encoded(self, codes: Tensor, steps: int) -> Tensor:
        """E_t2a or E'_t2a of codes [n, codebooks, frames] that last `steps` latent steps: [n, length, width]."""
        vectors = acoustic_lm.latents(self.codec, codes)
        if self.config.encoding == "ag":
            return vectors
        audio = acoustic_lm.decoded(self.codec, vectors)
        samples = steps * self.space.ratio * self.config.mel.hop
        return encodings.vae_encoding(self.space, encodings.fitted(audio, samples), self.analysis)

    @torch.inference_mode()
    def plans(
        self, text: str, frames: int, seeds: Sequence[int], report: Report, known: Tensor | None = None
    ) -> Tensor:
        """The plans [n, codebooks, frames] of a text and some seeds; those that were made before cost nothing.

        known: the first frames [codebooks, fewer frames], which are kept and continued.
        """
        after = "" if known is None else hashlib.sha256(known.cpu().contiguous().numpy().tobytes()).hexdigest()
        defaults = self.config.defaults
        # Led from the empty text, the empty text stays where it is.
        scale = defaults.plan_guidance_scale if text else 1.0
        best_of = defaults.plans if text and self.matcher is not None else 1
        more = (frames, defaults.temperature, defaults.top_k, scale, after, best_of)
        keys = [PlanKey(text, seed, *more) for seed in seeds]
        self._fetch([key for key in keys if key not in self._plans])
        missing = [key for key in dict.fromkeys(keys) if key not in self._plans]
        if missing:
            states, mask = self._read_for_plans([self.read_as(text)])
            told = mask if text or not self.config.zero_padding else torch.zeros_like(mask)
            size = max(1, PLANS_AT_ONCE // best_of)
            for start in range(0, len(missing), size):
                group = missing[start : start + size]
                part = within(report, start / len(missing), (start + len(group)) / len(missing))
                self._plans.update(zip(group, self._best(states, told, group, part, known).cpu(), strict=True))
            if self.cache is not None:
                for key in missing:
                    self.cache.put(self._content(key), self._plans[key])
        for key in keys:
            self._plans.move_to_end(key)
        codes = torch.stack([self._plans[key] for key in keys]).to(self.placement.device)
        while len(self._plans) > PLANS_KEPT:
            self._plans.popitem(last=False)
        return codes

    def _best(
        self, states: Tensor, mask: Tensor, keys: Sequence[PlanKey], report: Report, known: Tensor | None
    ) -> Tensor:
        """The best plan of each key [n, codebooks, frames], of `best_of`.

        Plans, which may continue some known frames, are judged at last by as much as the shortest clip has, so that
        a longer clip begins as that does; and twice on the way there, where half of them is left behind. What words
        ask of pitch and pace is heard at last in those that are left, and a number of events in the whole of them.
        """
        best_of, frames = keys[0].best_of, keys[0].frames
        drawn = [replace(key, seed=further(key.seed, number)) for key in keys for number in range(best_of)]
        if best_of == 1:
            return self._sample(states, mask, drawn, report, known)
        wishes = Wishes.of(keys[0].text)
        before, shortest = 0 if known is None else known.shape[-1], self.plan_frames(self.config.shortest_steps)
        end = frames if wishes.number else min(before + shortest, frames)
        judged = [before + shortest // 4, before + shortest // 2, end]

        def fitting(codes: Tensor) -> Tensor:
            assert self.matcher is not None
            vectors, last = acoustic_lm.latents(self.codec, codes), codes.shape[-1] >= end
            fit = self.matcher.of_plans(vectors, states, mask)
            if last and wishes != Wishes():
                rate = self.codec.config.sampling_rate
                sounds = acoustic_lm.decoded(self.codec, vectors)[:, : -round(EDGE_SECONDS * rate)]
                fit = fit + wishes.met(sounds, rate)
            fit = fit.view(len(keys), -1)
            left = fit.shape[1]
            best = fit.topk(1 if last else max(1, left // 2), dim=1).indices
            return (best + torch.arange(len(keys), device=fit.device)[:, None] * left).flatten()

        return self._sample(states, mask, drawn, report, known, fitting, judged)

    @torch.inference_mode()
    def plan_each(self, texts: Sequence[str], frames: int, seeds: Sequence[int], report: Report) -> Tensor:
        """A plan of each of several texts [n, codebooks, frames], made together and not remembered; none is empty."""
        defaults = self.config.defaults
        more = (frames, defaults.temperature, defaults.top_k, defaults.plan_guidance_scale)
        keys = [PlanKey(text, seed, *more) for text, seed in zip(texts, seeds, strict=True)]
        return self._sample(*self._read_for_plans(texts), keys, report)

    def _read_for_plans(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        reader = "text" if self.plan_text is None and "plan_text" not in self.loaders else "plan_text"
        with self.at_work(reader):
            states, mask = getattr(self, reader)(texts)
        return states, mask

    def forget_plans(self) -> None:
        """After the language model has changed."""
        self._plans.clear()

    def _fetch(self, keys: Sequence[PlanKey]) -> None:
        """Take from the disk what is there."""
        for key in keys:
            found = None if self.cache is None else self.cache.get(self._content(key))
            if found is not None and found.shape == (len(self.empty_plan), key.frames):
                self._plans[key] = found

    def _content(self, key: PlanKey) -> dict[str, Any]:
        return {"model": self.version, **asdict(key)}

    @torch.inference_mode()
    def plan(self, states: Tensor, mask: Tensor, steps: int, seed: int, report: Report | None) -> Tensor:
        """Tokens [1, codebooks, frames] for text states [1, tokens, width], made anew."""
        defaults = self.config.defaults
        key = PlanKey(
            "", seed, self.plan_frames(steps), defaults.temperature, defaults.top_k, defaults.plan_guidance_scale
        )
        return self._sample(states, mask, [key], report)

    def _sample(
        self,
        states: Tensor,
        mask: Tensor,
        keys: Sequence[PlanKey],
        report: Report | None,
        known: Tensor | None = None,
        choose: Callable[[Tensor], Tensor] | None = None,
        choose_at: Sequence[int] = (),
    ) -> Tensor:
        """Tokens [n, codebooks, frames] for n seeds and the states of one text, or of n [1 or n, tokens, width].

        choose, choose_at: see `acoustic_lm.sample_codes`.
        """
        key, count, zeros = keys[0], len(keys), self.config.zero_padding
        empty_states = empty_mask = None
        if key.guidance_scale != 1.0 and not zeros:
            with self.at_work("text"):
                empty_states, empty_mask = self.text([""])
        with self.at_work("plan_model"):
            model = self.plan_model
            project = model.enc_to_dec_proj
            dtype = project.weight.dtype
            with _one_thread(model.lm.config.hidden_size < SMALL_WIDTH):
                return acoustic_lm.sample_codes(
                    model.lm,
                    project(states.to(dtype)).expand(count, -1, -1),
                    mask.expand(count, -1),
                    key.frames,
                    generators=[torch.Generator().manual_seed(each.seed) for each in keys],
                    temperature=key.temperature,
                    top_k=key.top_k,
                    guidance_scale=key.guidance_scale,
                    empty_states=None if empty_states is None else project(empty_states.to(dtype)),
                    empty_mask=empty_mask,
                    zero_padding=zeros,
                    prompt_codes=None if known is None else known.to(states.device).expand(count, -1, -1),
                    report=report,
                    choose=choose,
                    choose_at=choose_at,
                )

    def noise(self, steps: int, seed: int) -> Tensor:
        """Standard normal z_T [1, channels, steps, bands], the same on every device."""
        channels, _, bands = self.space.mean.shape
        generator = torch.Generator().manual_seed(seed)
        # Drawn for the longest clip and cut, so that a shorter one begins as the longer does.
        longest = self.config.longest_steps
        count = max(1, math.ceil(steps / longest))
        drawn = [torch.randn(1, longest, channels, bands, generator=generator) for _ in range(count)]
        whole = torch.cat(drawn, dim=1)
        return whole[:, :steps].transpose(1, 2).to(self.space.mean.device)

    def denoise(self, noise: Tensor, conditions: Conditions, sampling: Sampling, report: Report) -> Tensor:
        """The reverse process of n latents, whose conditions are those of n prompts, then of n empty texts."""
        told = [conditions.first(len(noise)), conditions.last(len(noise))]
        return self.follow(noise, told, sampling, report)

    @torch.inference_mode()
    def follow(
        self, noise: Tensor, told: Sequence[Conditions], sampling: Sampling, report: Report, course: Course = PLAIN
    ) -> Tensor:
        """Reverse diffusion (equations 4-7) with guidance (equation 8) in the steps of the interval.

        noise [n, channels, time, mel]; told: one or several conditions of n items, then the empty text's.
        Guidance scale 1 leaves the last out.
        """
        assert sampling.sampler and sampling.steps and sampling.guidance_scale is not None
        with self.at_work("denoiser"):
            dtype = next(self.denoiser.parameters()).dtype
            seen = [each.to(noise.device, dtype) for each in told]
            first, last = sampling.guidance_interval or WHOLE
            plan_scale = self.config.defaults.plan_scale if self.has_plan else None
            scheduler = make_sampler(sampling.sampler, self.config.prediction)
            scheduler.set_timesteps(sampling.steps, device=noise.device)
            extra = {"generator": _generators(noise)} if sampling.sampler == "ddpm" else {}
            if course.source is None:
                start, z = self.begin(scheduler, noise, told[0], sampling)
            else:
                start, z = entered(scheduler, course.source, noise, course.t0)
            lead, led = noise.new_zeros(()), 0  # what guidance adds, and how many steps it has led so far
            for index, t in enumerate(scheduler.timesteps[start:], start):
                fraction = index / sampling.steps
                report("denoising", fraction)
                if course.known is not None:
                    z = course.known.put_back(z, alpha_at(scheduler, index))
                scale = 1.0 + (sampling.guidance_scale - 1.0) * course.lead
                guide = scale != 1.0 and first <= fraction < last
                anew = guide and led % self.config.defaults.guidance_every == 0

                def predict(
                    given: Tensor, there: Sequence[Conditions], t: Tensor = t, anew: bool = anew, scale: float = scale
                ) -> Tensor:
                    given = given.to(dtype)
                    if not anew:
                        return predicted(self.denoiser, given, t, there[:-1], course.weights)
                    return torch.cat(guided(self.denoiser, given, t, there, course.weights, scale, plan_scale), dim=1)

                prediction = in_windows(predict, z, seen, course, index)
                if anew:
                    prediction, lead = prediction.chunk(2, dim=1)
                if guide:
                    prediction, led = prediction + lead, led + 1
                z = scheduler.step(prediction.to(z.dtype), t, z, **extra).prev_sample
        report("denoising", 1.0)
        return z if course.known is None else course.known.put_back(z, 1.0)

    def begin(self, scheduler: Any, noise: Tensor, conditions: Conditions, sampling: Sampling) -> tuple[int, Tensor]:
        """At which step of the scheduler the reverse process begins, and from which z_t: from noise alone."""
        return 0, noise * scheduler.init_noise_sigma


def further(seed: int, number: int) -> int:
    """Another seed that follows from one; number 0 is the seed itself."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:7], "big") if number else seed


def _generators(noise: Tensor) -> list[torch.Generator]:
    """One for the further noise of each item, which depends on the item's own first noise alone."""
    first = noise[:, 0, 0, 0].cpu().view(torch.int32) if noise.dim() == 4 else noise
    return [torch.Generator().manual_seed(int(seed) % 2**31) for seed in first]
