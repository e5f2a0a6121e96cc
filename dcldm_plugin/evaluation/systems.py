"""Several systems on one test list, each at one or several guidance scales: the rows of Table 1, Table 2, Figure 2."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dcldm_plugin.backends.base import Backend
from dcldm_plugin.backends.dcldm import DcldmBackend
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation.embedding import Audio
from dcldm_plugin.evaluation.lists import SOUNDS, Item, sounds_of
from dcldm_plugin.evaluation.paired import Extractors, Score, as_read, read_sound, score
from dcldm_plugin.evaluation.render import Take, label, load, takes
from dcldm_plugin.types import Sampling

Report = Callable[[str, int, int], None]  # (what, how many are done, of how many)
Keep = Callable[[str, Item, Take], None]


def is_folder_of_sounds(system: str) -> bool:
    """Whether a system's name is a folder that holds sounds, not a model."""
    folder = Path(system)
    return (
        system not in registry.models()
        and folder.is_dir()
        and any(path.suffix.lower() in SOUNDS for path in folder.iterdir())
    )


def parameters(backend: Backend) -> int | None:
    """The denoiser's, which are what is trained (#Params. of Table 1); None where there is none to count."""
    if not isinstance(backend, DcldmBackend):
        return None
    return sum(parameter.numel() for parameter in backend.model.denoiser.parameters())


def scores(
    names: Sequence[str],
    items: Sequence[Item],
    extract: Extractors,
    *,
    guidances: Sequence[float | None],
    sampling: Sampling,
    seconds: float,
    report: Report,
    keep: Keep,
) -> Iterator[Score]:
    """One row a system and scale. The first item is rendered with seed 0, the next with 1, ..., for all alike.

    Raises `DcldmError`.
    """

    def told(what: str, sounds: Iterator[Audio]) -> Iterator[tuple[Audio, str]]:
        for done, (item, audio) in enumerate(zip(items, sounds, strict=True), 1):
            yield audio, item.prompt
            report(what, done, len(items))

    folders = {name: sounds_of(Path(name), items) for name in names if is_folder_of_sounds(name)}
    if folders and guidances != [None]:
        raise InvalidInput(f"{next(iter(folders))} holds sounds that are there already; leave out --guidance.")
    reference = extract(told("references", (read_sound(item.path) for item in items)))
    for name in names:
        if name in folders:
            made = extract(told(name, (read_sound(folders[name][item.name]) for item in items)))
            yield score(Path(name).name, reference, made, extract.judge)
            continue
        backend = load(name)
        for guidance in guidances:
            row = label(backend) if guidance is None else f"{label(backend)}, w = {guidance:g}"
            wanted = replace(sampling, guidance_scale=guidance)

            def rendered(backend: Backend = backend, row: str = row, wanted: Sampling = wanted) -> Iterator[Audio]:
                for seed, item in enumerate(items):
                    take = next(takes(backend, item.prompt, [seed], seconds, wanted))
                    keep(row, item, take)
                    yield as_read(take.audio, take.rate)

            made = extract(told(row, rendered()))
            yield score(row, reference, made, extract.judge, parameters=parameters(backend), guidance=guidance)
