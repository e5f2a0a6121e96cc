"""What the constructors let in, and that every refusal is a sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.types import (
    MAX_PROMPT_CHARACTERS,
    MAX_VARIATIONS,
    SEED_LIMIT,
    GenerationRequest,
    Prompt,
    Sampling,
    Seeds,
    TimelineTarget,
    Variation,
)


def refusal(make: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        make(*arguments, **named)
    sentence = str(caught.value)
    assert sentence[0].isupper() and sentence.endswith(".") and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("text", ["", "   ", "\n\t "])
def test_an_empty_prompt_is_refused(text: str) -> None:
    assert "prompt is empty" in refusal(Prompt, text)


@pytest.mark.parametrize("text", [None, 7, b"rain", ["rain"]])
def test_a_prompt_must_be_text(text: object) -> None:
    assert "must be text" in refusal(Prompt, text)


def test_a_prompt_of_ten_thousand_characters_is_refused_in_a_short_sentence() -> None:
    sentence = refusal(Prompt, "x" * 10_000)
    assert "10,000" in sentence and len(sentence) < 120
    assert Prompt("x" * MAX_PROMPT_CHARACTERS).text == "x" * MAX_PROMPT_CHARACTERS


@pytest.mark.parametrize("character", ["\0", "\x07", "\x1b", "\x7f", "\ud800"])
def test_control_characters_and_half_surrogates_are_refused_by_name(character: str) -> None:
    assert f"U+{ord(character):04X}" in refusal(Prompt, f"rain{character}drops")
    assert "negative prompt" in refusal(Prompt, "rain", f"wind{character}")


@pytest.mark.parametrize(
    "text", ["rain 🌧️", "👨‍👩‍👧 laughing", "مطر غزير على السطح", "\u200fגשם\u200e כבד", "雨の音", "\u202eevil"]
)
def test_all_writing_of_the_world_stays_as_it_is(text: str) -> None:
    assert Prompt(text).text == text


def test_white_space_is_folded_and_letters_are_composed() -> None:
    assert Prompt("  cafe\u0301 \n\t noise ", " a  b ") == Prompt("caf\u00e9 noise", "a b")


@pytest.mark.parametrize("seconds", [0, -1, -0.0, 0.0999, math.nan, math.inf, -math.inf, 1e9, 10**400])
def test_impossible_lengths_are_refused(seconds: float) -> None:
    assert "length must be" in refusal(GenerationRequest.create, "rain", seconds=seconds)


@pytest.mark.parametrize("seconds", ["10", None, True, [10]])
def test_a_length_must_be_a_number(seconds: Any) -> None:
    assert "length must be a number" in refusal(GenerationRequest.create, "rain", seconds=seconds)


@pytest.mark.parametrize("variations", [0, -1, MAX_VARIATIONS + 1, 10_000, 1.5, True])
def test_impossible_numbers_of_variations_are_refused(variations: Any) -> None:
    assert f"from 1 to {MAX_VARIATIONS}" in refusal(GenerationRequest.create, "rain", variations=variations)


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30, 1.0, "1", True])
def test_impossible_seeds_are_refused(seed: Any) -> None:
    assert "seed must be" in refusal(GenerationRequest.create, "rain", seed=seed)
    assert "seed must be" in refusal(Seeds, seed, 0)
    assert "seed must be" in refusal(Seeds, 0, seed)


def test_variation_k_of_a_seed_is_the_first_of_seed_plus_k() -> None:
    several = GenerationRequest.create("rain", seed=5, variations=3)
    assert several.seeds == (Seeds(5, 5), Seeds(6, 6), Seeds(7, 7))
    assert several.only(2).seeds == GenerationRequest.create("rain", seed=7).seeds
    assert Seeds.series(SEED_LIMIT - 1, 2) == (Seeds(SEED_LIMIT - 1, SEED_LIMIT - 1), Seeds(0, 0))


def test_without_a_seed_requests_differ() -> None:
    first, second = GenerationRequest.create("rain"), GenerationRequest.create("rain")
    assert first.seeds != second.seeds and first.id != second.id


@pytest.mark.parametrize("identifier", ["../etc", "a b", "x" * 65, "é", "a/b", 7])
def test_impossible_ids_are_refused(identifier: Any) -> None:
    assert "request id" in refusal(GenerationRequest.create, "rain", id=identifier)


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": 0},
        {"steps": 1001},
        {"steps": 2.5},
        {"guidance_scale": math.nan},
        {"guidance_scale": -1.0},
        {"sampler": 5},
        {"sampler": ""},
        {"sampler": "x" * 10_000},
    ],
)
def test_impossible_sampling_is_refused(arguments: dict[str, Any]) -> None:
    refusal(Sampling, **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": ""},
        {"host": "ardour", "position": -1},
        {"host": "ardour", "position": 2**60},
        {"host": "ardour", "position": 0.5},
        {"host": "ardour", "sample_rate": 0},
        {"host": "ardour", "track": "a\0b"},
    ],
)
def test_impossible_targets_are_refused(arguments: dict[str, Any]) -> None:
    refusal(TimelineTarget, **arguments)


def test_a_request_survives_json() -> None:
    request = GenerationRequest.create(
        "🌧️ مطر",
        negative="wind",
        seconds=2,
        variations=2,
        seed=SEED_LIMIT - 1,
        model="tone",
        sampling=Sampling("ddim", 20, 3.5),
        target=TimelineTarget("ardour", "/a session", "Track 1", 2**53, 44_100),
    )
    assert GenerationRequest.from_json(json.loads(json.dumps(request.to_json()))) == request
    plain = GenerationRequest.create("rain")
    assert GenerationRequest.from_json(json.loads(json.dumps(plain.to_json()))) == plain


HOSTILE: list[Any] = [None, [], "text", 7, {}, {"id": "a"}, [["id", "a"]]]
CHANGES: list[dict[str, Any]] = [
    {"unknown": 1},
    {"prompt": "rain"},
    {"prompt": {"text": ["rain"]}},
    {"prompt": {"text": "rain", "__class__": "x"}},
    {"seeds": None},
    {"seeds": []},
    {"seeds": {"structure": 1, "texture": 1}},
    {"seeds": [{"structure": 1}]},
    {"seeds": [{"structure": 1, "texture": 2**64}]},
    {"seeds": [{"structure": 1, "texture": 1}] * 10_000},
    {"seconds": math.nan},
    {"seconds": 10**400},
    {"seconds": "ten"},
    {"model": {}},
    {"model": ""},
    {"sampling": []},
    {"sampling": 5},
    {"sampling": {"steps": 10**30}},
    {"sampling": {"sampler": ["ddim"]}},
    {"target": 5},
    {"target": {"host": "a", "position": "0"}},
    {"id": "../../etc/passwd"},
    {"id": None},
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_json_is_refused(hostile: Any) -> None:
    with pytest.raises(InvalidInput):
        GenerationRequest.from_json(hostile)


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_json_with_one_wrong_field_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        GenerationRequest.from_json({**GenerationRequest.create("rain").to_json(), **change})


def test_a_variation_knows_its_seeds(tmp_path: Path) -> None:
    request = GenerationRequest.create("rain", seed=1, variations=2)
    variation = Variation(request, 1, tmp_path / "a.wav", 16_000, 1, "1", Sampling())
    assert variation.seeds == Seeds(2, 2)
