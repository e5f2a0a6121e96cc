"""The words that a model knows.

A small model is sure of the captions that it learned from, and of little else: of "logs burning in a fireplace" it
makes less of a fire than of "wood burning in a fire", though the sentence encoder knows how near the two are. So a
prompt is read as the nearest caption, or its parts are ("rain and a hound barking": "rain and a dog barking"). Other
words that people have for a sound stand beside its caption, and what is nearest to them is read as the caption.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from dcldm_plugin.models.text import TextEncoder, mean_state

MOST_PHRASES, MOST_CHARACTERS = 20_000, 300  # phrases, and characters of one
MOST_PARTS = 4  # of a prompt; with more it is read as a whole
JOINT = r"\s+(and|then|followed by)\s+"  # of captions, see `training.compose`; "with" may also name a tool
BREAKS = re.compile(rf",?{JOINT}|\s*(,)\s*")  # of prompts
SAME, NONE = 0.999, -1.0  # cosines: the same words; no phrase that would do
# What is to stay in a reading, by its words. How many, how fast and how high must: else the prompt is not read as
# anything. Each other quality that only one of the two has costs a cosine of `COST`.
NUMBERS = ("one|once|single", "two|twice", "three", "four", "five", "six", "seven", "eight")
SLOW, FAST = "slow|slowly", "fast|rapid|rapidly|quick|quickly"
LOW, HIGH = "low|low-pitched|deep", "high|high-pitched|shrill"
SMALL, BIG = "small|tiny|little", "big|large|huge|massive|giant"
KEPT = (*NUMBERS, SLOW, FAST, LOW, HIGH)
WEIGHED = (
    "distant|distance|faraway|far", "near|nearby|close", SMALL, BIG,
    "soft|gentle|quiet|softly|gently|quietly", "loud|heavy|strong|loudly|heavily|strongly", "rising|up", "falling|down",
)  # fmt: skip


def any_of(words: str) -> re.Pattern[str]:
    """Finds one of several words, which | parts, wherever it stands by itself."""
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


QUALITIES = tuple(any_of(words) for words in (*KEPT, *WEIGHED))
COST, SLACK = 0.04, 0.15  # SLACK: how much less near a phrase may be for the sake of its qualities
COMMON = 0.02  # what a phrase gains in cosine where e times as many sounds were learned by it: of those it is surer
AT_ONCE = 64

Encode = Callable[[Sequence[str]], Tensor]  # texts -> mean states [n, width]


class Phrasebook(nn.Module):
    """Captions, one a line in UTF-8 as bytes [characters], the mean states of their tokens [phrases, width], and how
    many sounds had each [phrases]. Other words for a caption are a line, too: the words, a tab, the caption."""

    text: Tensor
    vectors: Tensor
    counts: Tensor

    def __init__(self, phrases: int, characters: int, width: int) -> None:
        super().__init__()
        self.register_buffer("text", torch.zeros(characters, dtype=torch.uint8))
        self.register_buffer("vectors", torch.zeros(phrases, width))
        self.register_buffer("counts", torch.zeros(phrases, dtype=torch.int32))
        self._qualities: Tensor | None = None  # [phrases, kinds]

    @classmethod
    def of(
        cls,
        captions: Iterable[str],
        encode: Encode,
        before: Phrasebook | None = None,
        others: Mapping[str, str] | None = None,
    ) -> Phrasebook:
        """The parts of captions, one a sound, and those of another book; the most common, if there are too many.

        others: other words and the caption that they stand for, which are taken where that caption is known.
        """
        counted: Counter[str] = Counter()
        meant = dict(others or {})
        if before is not None:
            meant = before.others | meant
            rows = zip(before._lines(), before.counts.tolist(), strict=True)
            counted.update({line: count for line, count in rows if "\t" not in line})
        counted.update(part for caption in captions for part in _parts(caption))
        known = dict(counted.most_common(MOST_PHRASES))
        meant = {words: caption for words, caption in meant.items() if caption in known and words not in known}
        lines = [*known, *(f"{words}\t{caption}" for words, caption in meant.items())]
        content, texts = "\n".join(lines).encode(), [*known, *meant]
        vectors = torch.cat([encode(texts[at : at + AT_ONCE]) for at in range(0, len(texts), AT_ONCE)])
        made = cls(len(texts), len(content), vectors.shape[1])
        made.text.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        made.vectors.copy_(vectors)
        made.counts.copy_(torch.tensor([*known.values(), *(known[caption] for caption in meant.values())]))
        return made

    @property
    def sizes(self) -> dict[str, int]:
        """What another is built with that is to have the same words."""
        phrases, width = self.vectors.shape
        return {"phrases": phrases, "characters": len(self.text), "width": width}

    @property
    def phrases(self) -> list[str]:
        """The captions."""
        return [line for line in self._lines() if "\t" not in line]

    @property
    def others(self) -> dict[str, str]:
        """Other words, and the caption that each stands for."""
        return dict(line.split("\t", 1) for line in self._lines() if "\t" in line)

    def _lines(self) -> list[str]:
        return bytes(self.text.cpu().numpy()).decode().split("\n")

    def _meant(self) -> list[str]:
        """The caption that each line stands for: its own, or that of other words."""
        return [line.split("\t")[-1] for line in self._lines()]

    def check(self) -> None:
        """Raises `ValueError` where there are not as many lines as vectors, or none."""
        if not len(self.vectors) or len(self._lines()) != len(self.vectors):
            raise ValueError("the phrasebook has other words than vectors")

    def read(self, prompt: str, encode: Encode) -> str:
        """The words that a prompt is read as, however far they are: of words that mean nothing to it a model makes
        next to no sound. Its own where they are known, or no phrase says how many, how fast and how high."""
        pieces = BREAKS.split(prompt)
        parts, joints = [part.strip() for part in pieces[::3]], pieces[1::3]
        texts = [prompt, *parts] if 1 < len(parts) <= MOST_PARTS and all(parts) else [prompt]
        fits, places = self._nearest(texts, encode(texts))
        whole, apart = fits[0], min(fits[1:], default=NONE)
        if max(whole, apart) == NONE:
            return prompt
        meant = self._meant()
        if whole >= apart:
            known = meant[places[0]]
            return prompt if whole >= SAME and known == self._lines()[places[0]] else known
        first, *others = (meant[place] for place in places[1:])
        return first + "".join(f" {joint or 'and'} {each}" for joint, each in zip(joints, others, strict=True))

    def _nearest(self, texts: Sequence[str], states: Tensor) -> tuple[list[float], list[int]]:
        """Cosines and places of the nearest phrases to texts with mean states [n, width]; `NONE` where none will do."""
        if self._qualities is None:
            self._qualities = _qualities(self._meant()).to(states.device)
        known = functional.normalize(self.vectors.float(), dim=1)
        cosines = functional.normalize(states.float(), dim=1) @ known.T
        wanted, nearest = _qualities(texts).to(states.device), cosines.amax(1, keepdim=True)
        fit = cosines - COST * torch.cdist(wanted, self._qualities, p=1.0) + COMMON * self.counts.clamp(min=1).log()
        kept = len(KEPT)
        lost = (wanted[:, None, :kept] > self._qualities[None, :, :kept]).any(2)
        fit = fit.masked_fill(lost | (cosines < nearest - SLACK), -torch.inf)
        fit = fit.masked_fill(cosines >= torch.clamp(nearest, min=SAME), torch.inf)  # what is known stays
        places = fit.argmax(1)
        found = torch.where(fit.amax(1) > -torch.inf, cosines.gather(1, places[:, None])[:, 0], NONE)
        return found.tolist(), places.tolist()


def mean_states(encoder: TextEncoder) -> Encode:
    """An encoder's mean states, as `Phrasebook` wants them."""
    return lambda texts: mean_state(*encoder(texts))


def _qualities(texts: Sequence[str]) -> Tensor:
    """Which of `QUALITIES` each of some texts names, 0 or 1 [n, kinds]."""
    return torch.tensor([[float(bool(words.search(text))) for words in QUALITIES] for text in texts])


def _parts(caption: str) -> list[str]:
    parts = re.split(JOINT, " ".join(caption.split()))[::2]
    return [part for part in parts if 0 < len(part) <= MOST_CHARACTERS]
