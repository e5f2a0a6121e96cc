"""The variation controls keep what their names promise, on the built-in model whatever it has learned.

Each promise is relative: nearer than, more than, equal to. So the tests hold for any weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from dcldm_plugin.audio import measures
from dcldm_plugin.audio.finish import finish
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.backends.base import Rendered
from dcldm_plugin.backends.dcldm import DcldmBackend, make_builtin
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.embedding import Embedding
from dcldm_plugin.types import Control, GenerationRequest, Kind, Level, Parent, Sampling, Seeds, unheard
from dcldm_plugin.variations import audio_source

Samples = NDArray[np.float32]
RATE = 16_000
SECONDS = 5.12  # the shortest that the denoiser was trained on
PROMPTS = ("a dog barking", "footsteps on gravel", "heavy rain on a roof", "a bell ringing")
TEXTURE = 1000  # a seed that no parent has


@pytest.fixture(scope="module")
def backend() -> Iterator[DcldmBackend]:
    yield make_builtin(unheard)


def rendered(backend: DcldmBackend, request: GenerationRequest) -> list[Rendered]:
    return list(backend.render(request, unheard))


def take(backend: DcldmBackend, request: GenerationRequest) -> Samples:
    """The one take of a request, [time]."""
    (made,) = rendered(backend, request)
    return made.samples[0]


def plain(text: str, seed: int = 1, seconds: float = SECONDS) -> GenerationRequest:
    return GenerationRequest.create(text, seed=seed, seconds=seconds, sampling=Sampling("dpm++", 8, 3.0, candidates=1))


def parent(backend: DcldmBackend, request: GenerationRequest) -> Parent:
    return Parent(request, backend.info.version)


def varied(backend: DcldmBackend, kind: Kind, *made: GenerationRequest, **values: float) -> GenerationRequest:
    """A variation of the first, with a new texture and structure."""
    first = made[0]
    control = Control(kind, tuple(parent(backend, each) for each in made), **values)
    return replace(first, id=f"{kind}-{TEXTURE}", seeds=(Seeds(TEXTURE, TEXTURE),), control=control)


def distance(one: Samples, other: Samples) -> float:
    return measures.spectral_distance(one, other, RATE)


def codes(backend: DcldmBackend, request: GenerationRequest) -> NDArray[np.int64]:
    """The plan [codebooks, frames] of a request's only branch."""
    (branch,) = backend.variations.branches(request, backend.variations.steps(request), unheard)
    return branch.codes.numpy()


def test_regenerate_is_a_new_take(backend: DcldmBackend) -> None:
    old = plain(PROMPTS[0])
    new = varied(backend, "regenerate", old)
    assert not np.array_equal(codes(backend, old), codes(backend, new))
    alone = take(backend, replace(old, seeds=new.seeds))
    assert np.array_equal(take(backend, new), alone)  # the parent is remembered, and changes nothing


def test_retexture_moves_away_with_the_distance_and_keeps_the_plan(backend: DcldmBackend) -> None:
    rising = 0
    for text in PROMPTS[:3]:
        old = plain(text)
        sound = take(backend, old)
        far = [varied(backend, "retexture", old, amount=amount) for amount in (0.0, 0.4, 1.0)]
        sounds = [take(backend, request) for request in far]
        assert np.array_equal(sounds[0], sound)
        assert all(np.array_equal(codes(backend, old), codes(backend, request)) for request in far)
        distances = [distance(sound, each) for each in sounds]
        rising += distances == sorted(distances)
        assert distances[1] > 0.0
        # The plan holds the events in place: closer in level over time than a take of another plan.
        other = take(backend, varied(backend, "regenerate", old))
        kept = measures.envelope_correlation(sound, sounds[1], RATE)
        assert kept > measures.envelope_correlation(sound, other, RATE)
    assert rising >= 2


def test_rearrange_keeps_the_plan_and_the_sound_up_to_the_time(backend: DcldmBackend) -> None:
    old = plain(PROMPTS[1])
    new = varied(backend, "rearrange", old, start=2.5)
    before, after = codes(backend, old), codes(backend, new)
    known = int(2.5 * backend.model.codec.config.frame_rate)
    assert np.array_equal(before[:, :known], after[:, :known])
    assert not np.array_equal(before[:, known:], after[:, known:])
    sound, changed = take(backend, old), take(backend, new)
    begin = round(2.2 * RATE)
    assert np.array_equal(sound[:begin], changed[:begin])
    assert distance(sound[round(2.5 * RATE) :], changed[round(2.5 * RATE) :]) > 1.0


def test_repair_changes_nothing_outside_of_its_range_in_the_finished_clip(backend: DcldmBackend) -> None:
    old = plain(PROMPTS[2])
    before = rendered(backend, old)[0]
    after = rendered(backend, varied(backend, "repair", old, start=1.5, end=3.0))[0]
    start, end = 24_000, 48_000
    assert np.array_equal(before.samples[:, :start], after.samples[:, :start])
    assert np.array_equal(before.samples[:, end:], after.samples[:, end:])
    assert distance(before.samples[0, start:end], after.samples[0, start:end]) > 1.0
    # No click at the joins: no step that the clip itself has not.
    steps = np.abs(np.diff(after.samples[0]))
    joins = np.concatenate([steps[at - 8 : at + 400] for at in (start, end - 400)])
    assert joins.max() <= max(steps[: start - 8].max(), steps[end + 8 :].max(), np.abs(np.diff(before.samples)).max())
    # And finished, at the same level: sample-equal but where the resampler's filter sees the range.
    assert after.level is not None
    one = finish(before.samples, RATE, FinishSettings(SECONDS)).samples[0]
    two = finish(after.samples, RATE, FinishSettings(SECONDS, level=after.level)).samples[0]
    margin = 48_000 // 50
    assert np.array_equal(one[: 3 * start - margin], two[: 3 * start - margin])
    assert np.array_equal(one[3 * end + margin :], two[3 * end + margin :])


def pulses(path: Path, channels: int = 2) -> Samples:
    """A file at 44.1 kHz with bursts of noise at 0.5, 2 and 4 s; returns what it is at 16 kHz."""
    noise = np.random.default_rng(1).standard_normal((round(SECONDS * 44_100), channels)) * 0.001
    for second in (0.5, 2.0, 4.0):
        at = round(second * 44_100)
        noise[at : at + 13_230] *= 300.0
    soundfile.write(path, noise, 44_100)
    mono = noise.mean(axis=1)
    return np.interp(np.arange(round(SECONDS * RATE)) / RATE, np.arange(len(mono)) / 44_100, mono).astype(np.float32)


def test_like_this_follows_the_reference_by_its_weight(backend: DcldmBackend, tmp_path: Path) -> None:
    reference = pulses(tmp_path / "pulses.wav")
    source = audio_source(tmp_path / "pulses.wav")
    means = []
    for weight in (0.0, 0.5, 1.0):
        found = [
            measures.envelope_correlation(
                reference,
                take(backend, replace(plain(text), control=Control("like", amount=weight, audio=source))),
                RATE,
            )
            for text in PROMPTS[:3]
        ]
        means.append(float(np.mean(found)))
    assert means == sorted(means)
    assert means[2] > 0.5
    none = replace(plain(PROMPTS[1]), control=Control("like", amount=0.0, audio=source))
    assert np.array_equal(take(backend, none), take(backend, plain(PROMPTS[1])))


def test_purify_stays_aligned_with_its_source(backend: DcldmBackend, tmp_path: Path) -> None:
    reference = pulses(tmp_path / "pulses.wav")
    source = audio_source(tmp_path / "pulses.wav")
    alike = []
    for amount in (0.0, 0.5, 1.0):
        request = replace(plain("a gunshot"), control=Control("purify", amount=amount, audio=source))
        alike.append(distance(reference, take(backend, request)))
    assert max(alike[:2]) < alike[2]
    half = replace(plain("a gunshot"), control=Control("purify", amount=0.5, audio=source))
    assert measures.envelope_correlation(reference, take(backend, half), RATE) > 0.5


def test_morph_goes_from_one_to_the_other(backend: DcldmBackend) -> None:
    monotone = 0
    for first, second in ((PROMPTS[0], PROMPTS[2]), (PROMPTS[3], PROMPTS[1])):
        one, other = plain(first), plain(second, seed=2)
        between = [take(backend, varied(backend, "morph", one, other, amount=x)) for x in (0.0, 0.5, 1.0)]
        a, b = take(backend, one), take(backend, other)
        assert np.array_equal(between[0], a)
        assert np.array_equal(between[2], b)
        from_a, from_b = distance(a, between[1]), distance(b, between[1])
        monotone += from_a < distance(a, b) and from_b < distance(a, b)
    assert monotone >= 1


def test_clips_of_other_lengths_and_channels_have_something_between_them(backend: DcldmBackend) -> None:
    one, other = plain(PROMPTS[2]), replace(plain(PROMPTS[0], seconds=7.0), stereo=0.5)
    for kind, made in (("morph", (one, other)), ("morph", (other, one)), ("more", (one, other))):
        (found,) = rendered(backend, varied(backend, kind, *made, amount=0.5))
        assert found.samples.shape == ((2, 7 * RATE) if made[0] is other else (1, round(SECONDS * RATE)))
        assert np.abs(found.samples).max() > 0.01


def test_what_a_source_brought_can_be_changed_afterwards(backend: DcldmBackend, tmp_path: Path) -> None:
    old = plain(PROMPTS[0])
    soundfile.write(tmp_path / "rough.wav", take(backend, old), RATE, subtype="FLOAT")
    control = Control("purify", amount=0.3, audio=audio_source(tmp_path / "rough.wav"))
    clean = replace(plain(PROMPTS[0], seed=5), control=control)
    sound = take(backend, clean)
    # The new arrangement is not the source's, and a new surface is as new as that of any clip.
    changed = take(backend, varied(backend, "rearrange", clean, start=1.0))
    anew, behind = take(backend, varied(backend, "regenerate", clean)), round(1.3 * RATE)
    assert distance(sound[behind:], changed[behind:]) > 0.5 * distance(sound[behind:], anew[behind:])
    near, far = (take(backend, varied(backend, "retexture", clean, amount=amount)) for amount in (0.3, 1.0))
    assert distance(sound, near) < 0.8 * distance(sound, far)


def test_more_like_these_lies_between_them(backend: DcldmBackend) -> None:
    pytest.importorskip("aisfx", reason="python -m pip install --no-deps aisfx==0.1.2")
    # In dB, the silence between the events of one is as far from another's rain as can be.
    embed = Embedding.installed()
    favourites = [plain(text, seed=seed) for seed, text in enumerate((PROMPTS[0], PROMPTS[3], PROMPTS[2]), 1)]
    sounds = [embed(take(backend, each), RATE) for each in favourites]
    widest = max(float(np.linalg.norm(a - b)) for a in sounds for b in sounds)

    def furthest(seed: int) -> float:
        request = replace(varied(backend, "more", *favourites, amount=0.2), seeds=(Seeds(seed, seed),))
        new = embed(take(backend, request), RATE)
        return max(float(np.linalg.norm(each - new)) for each in sounds)

    assert np.median([furthest(TEXTURE + number) for number in range(3)]) < widest  # one take may be nearly one of them


@pytest.mark.parametrize("seconds", [2.0, 5.13])
def test_a_loop_has_no_seam(backend: DcldmBackend, seconds: float) -> None:
    request = replace(plain(PROMPTS[2], seconds=seconds), loop=True)
    sound = take(backend, request)
    assert len(sound) == round(seconds * RATE)
    at_seams, within = measures.seam(sound, RATE, 10)
    assert at_seams <= within * 1.05
    steps = np.abs(np.diff(sound))
    assert abs(float(sound[0]) - float(sound[-1])) <= steps.max()


def test_length_is_exact_and_long_clips_neither_repeat_nor_break(backend: DcldmBackend) -> None:
    assert len(take(backend, plain(PROMPTS[0], seconds=1.37))) == round(1.37 * RATE)
    long = take(backend, plain(PROMPTS[2], seconds=24.0))
    assert len(long) == 24 * RATE
    assert measures.largest_repetition(long, 2 * RATE) < 0.8  # no part is another over again
    flux = measures.flux(long, RATE)
    assert flux.max() < flux.mean() + 40 * flux.std()


def test_stereo_width_parts_the_channels_and_keeps_the_events(backend: DcldmBackend) -> None:
    correlations = []
    for width in (0.25, 0.5, 1.0):
        (made,) = rendered(backend, replace(plain(PROMPTS[2]), stereo=width))
        left, right = made.samples
        correlations.append(float(np.corrcoef(left, right)[0, 1]))
        single = 10 * np.log10((left**2).mean() + (right**2).mean()) - 3.01
        mono = 10 * np.log10((((left + right) / 2) ** 2).mean())
        assert mono > single - 3.3  # two channels that have nothing in common lose 3 dB, and no more
        assert measures.envelope_correlation(left, right, RATE) > 0.0
    assert correlations == sorted(correlations, reverse=True)


def test_takes_made_together_are_those_made_one_by_one(backend: DcldmBackend) -> None:
    old = plain(PROMPTS[0])
    several = replace(varied(backend, "retexture", old, amount=0.4), seeds=tuple(Seeds(n, n) for n in (7, 8, 9)))
    together = [each.samples for each in rendered(backend, several)]
    for index, samples in enumerate(together):
        assert np.array_equal(samples, rendered(backend, several.only(index))[0].samples)


def test_a_plan_is_made_once_and_found_again_on_disk(tmp_path: Path) -> None:
    first = make_builtin(unheard)
    first.keep_in(tmp_path)
    request = plain(PROMPTS[0])
    sound = take(first, request)
    again = make_builtin(unheard)
    again.keep_in(tmp_path)
    stages: list[str] = []
    (made,) = again.render(request, lambda stage, fraction: stages.append(stage))
    assert np.array_equal(made.samples[0], sound)
    assert "planning" not in stages
    retextured = varied(again, "retexture", request, amount=0.5)
    stages.clear()
    list(again.render(retextured, lambda stage, fraction: stages.append(stage)))
    assert "planning" not in stages


def test_a_variation_of_a_variation_is_made_again_from_its_own_record(backend: DcldmBackend) -> None:
    child = varied(backend, "retexture", plain(PROMPTS[0]), amount=0.5)
    grandchild = replace(
        child,
        seeds=(Seeds(5, 5),),
        control=Control("repair", (parent(backend, child),), start=1.0, end=2.0),
    )
    stored = GenerationRequest.from_json(grandchild.to_json())
    assert stored == grandchild
    assert stored.generations == 2
    assert np.array_equal(take(make_builtin(unheard), stored), take(backend, grandchild))


def test_a_clip_of_other_weights_is_refused_with_what_to_do(backend: DcldmBackend) -> None:
    control = Control("retexture", (Parent(plain("rain"), "of old"),), amount=0.5)
    with pytest.raises(InvalidInput, match="use the clip's file with like or purify"):
        rendered(backend, replace(plain("rain"), control=control))


def bad_reference(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.wav"
    noise = np.random.default_rng(1).standard_normal
    if kind == "silent":
        soundfile.write(path, np.zeros(RATE), RATE)
    elif kind == "short":
        soundfile.write(path, noise(RATE // 100) * 0.1, RATE)
    elif kind == "text":
        path.write_text("no sound at all\n" * 100)
    elif kind == "changed":
        soundfile.write(path, noise(RATE) * 0.1, RATE)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [("silent", "is silent"), ("short", "lasts 0.010 s"), ("text", "can't be read"), ("changed", "was changed")],
)
def test_a_reference_that_is_no_use_is_refused(backend: DcldmBackend, tmp_path: Path, kind: str, words: str) -> None:
    path = bad_reference(tmp_path, kind)
    request = replace(plain("rain"), control=Control("like", amount=0.5, audio=audio_source(path)))
    if kind == "changed":
        soundfile.write(path, np.ones(RATE) * 0.1, RATE)
    with pytest.raises(InvalidInput, match=words):
        rendered(backend, request)
    path.unlink()
    with pytest.raises(InvalidInput, match="is gone"):
        rendered(backend, request)


@pytest.mark.parametrize(("rate", "channels", "seconds"), [(192_000, 1, 6.0), (8_000, 32, 1.0), (16_000, 1, 7200.0)])
def test_any_rate_channels_and_length_can_be_a_reference(
    backend: DcldmBackend, tmp_path: Path, rate: int, channels: int, seconds: float
) -> None:
    path = tmp_path / "any.wav"
    noise = np.random.default_rng(1).standard_normal((rate, channels)).astype(np.float32) * 0.1
    with soundfile.SoundFile(path, "w", rate, channels, "PCM_U8" if seconds > 60 else "PCM_16") as file:
        for _ in range(round(seconds)):
            file.write(noise)
    request = replace(plain("rain"), control=Control("like", amount=0.7, audio=audio_source(path)))
    assert len(take(backend, request)) == round(SECONDS * RATE)


def test_levels_are_recorded_for_those_takes_alone_that_keep_a_part(backend: DcldmBackend) -> None:
    old = plain(PROMPTS[0])
    assert rendered(backend, old)[0].level is None
    assert isinstance(rendered(backend, varied(backend, "rearrange", old, start=1.0))[0].level, Level)
