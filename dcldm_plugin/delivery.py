"""How clips are to be delivered: finished as what, named how, and what their files say."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from dcldm_plugin.audio.settings import SAMPLE_RATES, FinishSettings, finishing_class
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import Settings
from dcldm_plugin.types import GenerationRequest, UcsName
from dcldm_plugin.ucs import Table, fx_name

# What a file need not carry. Without `prompt`, `seeds` or `model` it cannot be made again from itself, only by
# the library, which keeps the whole record with the unfinished render.
FIELDS: Mapping[str, str] = {
    "prompt": "the words of the request, also in the file's name",
    "seeds": "both seeds",
    "model": "the model and its version",
    "licence": "the licences of the weights",
    "generated": "that an AI made it",
    "ucs": "category and name by UCS",
    "loudness": "measured loudness and peaks",
    "date": "when it was made",
    "loop": "loop points",
    "cue": "the marker at the peak",
    "software": "the program and its version",
}
PRIVATE = frozenset({"prompt", "seeds", "model"})
TEMPLATE = "{cat_id}_{fx_name}_{creator_id}_{source_id}"
NAME_FIELDS = ("cat_id", "fx_name", "creator_id", "source_id", "seed", "model", "variation")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What `Library.adopt` does to a take. `home`: where a UCS list of the user's own may be."""

    finishing: FinishSettings = field(default_factory=FinishSettings)
    creator_id: str = "ANON"
    source_id: str = "DCLDM"
    library_title: str = ""
    name_template: str = TEMPLATE
    leave_out: frozenset[str] = frozenset()
    home: Path | None = None

    def __post_init__(self) -> None:
        UcsName("WIND", "Name", self.creator_id, self.source_id)  # raises for what a name can't hold
        unknown = self.leave_out - FIELDS.keys()
        if unknown:
            raise InvalidInput(f"There is no metadata called {min(unknown)!r}; there is: {', '.join(FIELDS)}.")
        try:
            names = [name for _, name, _, _ in string.Formatter().parse(self.name_template) if name is not None]
        except ValueError as error:
            raise InvalidInput(f"The template for names is wrong ({error}); write it as {TEMPLATE}.") from error
        if not names or set(names) - set(NAME_FIELDS):
            known = ", ".join(f"{{{name}}}" for name in NAME_FIELDS)
            raise InvalidInput(f"The template for names may hold {known}; correct it.")

    @classmethod
    def of(cls, settings: Settings) -> Delivery:
        """As the user's settings have it. Raises `InvalidInput`."""
        if settings.project_rate not in SAMPLE_RATES:
            rates = ", ".join(map(str, SAMPLE_RATES))
            raise InvalidInput(f"Clips cannot be delivered at {settings.project_rate} Hz; choose one of: {rates}.")
        names = [name.strip() for name in settings.leave_out.split(",")]
        return cls(
            finishing=replace(finishing_class(settings.finish_as), sample_rate=settings.project_rate),
            creator_id=settings.creator_id,
            source_id=settings.source_id,
            library_title=settings.library_title,
            name_template=settings.name_template,
            leave_out=frozenset(name for name in names if name),
            home=settings.home,
        )

    def table(self) -> Table:
        """The UCS list that counts here."""
        return _table(self.home)

    def ucs(self, prompt: str) -> UcsName:
        """The name that a prompt's clip gets by itself."""
        table = self.table()
        cat_id = table.cat_id_of(prompt)
        row = table.find(cat_id)
        words = f"{row.category} {row.sub_category}".lower() if "prompt" in self.leave_out else prompt
        return UcsName(cat_id, fx_name(words), self.creator_id, self.source_id)

    def stem(self, ucs: UcsName, request: GenerationRequest, variation: int) -> str:
        """The name of a file, without ending or number."""
        return self.name_template.format(
            cat_id=ucs.cat_id,
            fx_name=ucs.fx_name,
            creator_id=ucs.creator_id,
            source_id=ucs.source_id,
            seed=request.seeds[0].texture,
            model=fx_name(Path(request.model).name),
            variation=variation + 1,
        )


@cache
def _table(home: Path | None) -> Table:
    return Table.load(home)
