"""What prompts are read as, by the sentence encoder of the built-in model."""

from __future__ import annotations

import pytest
import torch

from dcldm_plugin.models.phrasebook import MOST_PHRASES, Encode, Phrasebook, mean_states
from dcldm_plugin.models.text import TextEncoder, minilm_folder

CAPTIONS = (
    "a dog barking",
    "a crackling fire burning",
    "heavy rain and a thunder clap",
    "footsteps on gravel",
    "slow footsteps on gravel",
    "three dog barks",
    "a bell struck  three times followed by a door closing",
    "birds singing in a forest",
    "distant birds singing",
)


@pytest.fixture(scope="module")
def encode() -> Encode:
    return mean_states(TextEncoder.from_folder(minilm_folder()))


@pytest.fixture(scope="module")
def book(encode: Encode) -> Phrasebook:
    return Phrasebook.of(CAPTIONS, encode)


def test_it_holds_the_parts_of_captions_once(book: Phrasebook) -> None:
    assert len(book.phrases) == len(set(book.phrases)) == 11
    assert {"heavy rain", "a thunder clap", "a bell struck three times", "a door closing"} < set(book.phrases)
    assert book.counts.tolist() == [1] * 11 and book.vectors.shape == (11, 384)
    assert book.sizes == {"phrases": 11, "characters": len(book.text), "width": 384}


@pytest.mark.parametrize(
    ("prompt", "known"),
    [
        ("a puppy yapping", "a dog barking"),
        ("wood burning in the grate", "a crackling fire burning"),
        ("a dog barking", "a dog barking"),
        ("A Dog Barking", "A Dog Barking"),  # the encoder tells no letters apart
        ("somebody walks over gravel", "footsteps on gravel"),
        ("somebody slowly walks over gravel", "slow footsteps on gravel"),
        ("a puppy yaps three times", "three dog barks"),
        ("far away sparrows chirping", "distant birds singing"),
        ("pouring rain and a hound that barks", "heavy rain and a dog barking"),
        ("pouring rain, barking dogs", "heavy rain and a dog barking"),
        ("five dogs barking", "five dogs barking"),  # no phrase has five of anything
        ("a quick walk on gravel", "a quick walk on gravel"),
        ("pouring rain and five dogs barking", "pouring rain and five dogs barking"),
        ("chiming three times with a mallet", "a bell struck three times"),
        ("xqzt blorp", "heavy rain"),  # as something that it knows, which makes a sound
        ("and", "a thunder clap"),
        (", ,", "a thunder clap"),
    ],
)  # fmt: skip
def test_a_prompt_is_read_as_the_nearest_words(prompt: str, known: str, book: Phrasebook, encode: Encode) -> None:
    assert book.read(prompt, encode) == known


def test_a_phrase_of_many_sounds_is_preferred_to_a_rare_one(encode: Encode, book: Phrasebook) -> None:
    rare, common = "a hound barking", "a dog barking"
    once = Phrasebook.of([rare, common], encode)
    often = Phrasebook.of([rare, *[common] * 5000], encode)
    assert once.read("a barking hound", encode) == rare and often.read("a barking hound", encode) == common
    assert often.read(rare, encode) == rare  # what is known is not read as anything else
    both = Phrasebook.of([common, "a cat"], encode, often)
    counted = dict(zip(both.phrases, both.counts.tolist(), strict=True))
    assert counted == {common: 5001, rare: 1, "a cat": 1} and both.phrases[0] == common


def test_other_words_are_read_as_the_caption_that_they_stand_for(encode: Encode, book: Phrasebook) -> None:
    others = {
        "morning constitutional": "footsteps on gravel",
        "hearth ambience": "a crackling fire burning",
        "x": "unknown",
    }
    more = Phrasebook.of((), encode, book, others)
    assert book.read("morning constitutional", encode) != "footsteps on gravel" and more.phrases == book.phrases
    assert more.others == {words: caption for words, caption in others.items() if words != "x"}
    assert more.sizes["phrases"] == len(more.vectors) == 13 and more.counts.tolist() == [1] * 13
    more.check()
    for words in ("morning constitutional", "a morning constitutional"):
        assert more.read(words, encode) == "footsteps on gravel"
    mixed = "a morning constitutional and a hound barking"
    assert more.read(mixed, encode) == "footsteps on gravel and a dog barking"
    assert more.read("two morning constitutionals", encode) != "footsteps on gravel"  # how many is not lost
    again = Phrasebook.of(["morning constitutional", "a crackling fire burning"], encode, more)
    counted = dict(zip([*again.phrases, *again.others], again.counts.tolist(), strict=True))
    assert counted["a crackling fire burning"] == counted["hearth ambience"] == 2
    assert again.read("morning constitutional", encode) == "morning constitutional"  # a caption of its own now


def test_many_parts_are_read_as_a_whole(book: Phrasebook, encode: Encode) -> None:
    assert book.read("a dog barking and " * 5 + "a dog barking", encode) in book.phrases


def test_of_more_than_there_is_room_for_the_first_stay() -> None:
    def nothing(texts: object) -> torch.Tensor:
        return torch.ones(len(list(texts)), 2)  # type: ignore[call-overload]

    captions = [f"sound {number}" for number in range(MOST_PHRASES + 5)]
    book = Phrasebook.of([*captions, "x" * 1000, captions[-1]], nothing)
    assert len(book.phrases) == MOST_PHRASES and book.phrases[:2] == [captions[-1], "sound 0"]
    book.check()


def test_words_without_vectors_are_no_phrasebook() -> None:
    with pytest.raises(ValueError, match="other words"):
        Phrasebook(phrases=3, characters=8, width=2).check()
    with pytest.raises(ValueError, match="other words"):
        Phrasebook(phrases=0, characters=0, width=2).check()
