"""`dcldm generate`: from a prompt to clips on disk."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self

from dcldm_plugin.commands import Parser, log_file
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.settings import Settings, load, writable_folder
from dcldm_plugin.types import DEFAULT_SECONDS, Clip, Control, GenerationRequest, Sampling

# A clip as it is kept (48 kHz, 24 bit, up to two channels) and, beside it for a while, as it was rendered.
BYTES_PER_SECOND = 48_000 * 2 * (3 + 4)
SPARE_BYTES = 1_000_000
CANCEL_SECONDS = 10.0
Show = Callable[[int, str, float], None]  # which take, which stage, how much of it (0 … 1)


def main(arguments: Sequence[str]) -> int:
    """Render a prompt; print each clip's path, or its JSON, as soon as it is there."""
    options = _parser().parse_args(arguments)
    settings = load(options.home)
    request = GenerationRequest.create(
        options.prompt,
        negative=options.negative,
        seconds=options.seconds,
        variations=options.variations,
        seed=options.seed,
        model=settings.model if options.model is None else registry.full_name(options.model),
        sampling=Sampling(
            options.sampler,
            options.steps,
            options.guidance,
            None if options.guidance_interval is None else tuple(options.guidance_interval),
            None if options.audio else options.purify,
            options.candidates,
        ),
        control=_control(options),
        loop=options.loop,
        stereo=options.stereo,
    )
    return render(request, settings, options)


def render(
    request: GenerationRequest, settings: Settings, options: Namespace, also: Callable[[Clip], None] | None = None
) -> int:
    """Have a request done, and show it; `options` are those of `add_output_options`. Calls `also` with each clip."""
    if options.commercial_only or settings.commercial_only:
        from dcldm_plugin.rights import check_commercial

        check_commercial(request)
    needed_bytes = int(request.seconds * len(request.seeds) * BYTES_PER_SECOND) + SPARE_BYTES
    for folder in (settings.library_folder, settings.engine_folder, options.out):
        if folder is not None:
            writable_folder(folder, needed_bytes)
    with log_file(settings):
        return _generate(request, settings, options, also)


def add_output_options(parser: Parser) -> None:
    """What every command takes that makes clips."""
    parser.add_argument("--variations", type=int, default=1, metavar="N", help="how many takes")
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of the first take (else random): same seed, same clip"
    )
    parser.add_argument("--model", metavar="NAME", help="see `dcldm models`")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the clips (else the library)")
    parser.add_argument("--json", action="store_true", help="print one JSON object per take")
    parser.add_argument("--commercial-only", action="store_true", help="refuse models whose clips may not be sold")


def _parser() -> Parser:
    parser = Parser("generate", "Make sounds from a prompt. Prints one path per line.")
    parser.add_argument("prompt", metavar="PROMPT", help="what is to be heard, in a few words")
    parser.add_argument("--negative", default="", metavar="TEXT", help="what is not to be heard")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, metavar="S", help="length")
    parser.add_argument("--steps", type=int, metavar="N", help="sampling steps (else the model's own)")
    parser.add_argument("--guidance", type=float, metavar="W", help="how closely to follow the prompt")
    parser.add_argument(
        "--guidance-interval", type=float, nargs=2, metavar=("A", "B"), help="guide only these steps: 0 1 is all"
    )
    parser.add_argument(
        "--candidates", type=int, metavar="N", help="keep of N sounds for each take the one that fits the words best"
    )
    parser.add_argument("--sampler", metavar="NAME", help="how to sample (else the model's own)")
    parser.add_argument("--like", type=Path, metavar="AUDIO", help="take the timing from any audio file")
    parser.add_argument("--weight", type=float, metavar="W", help="of --like: 0 … 1 (else 0.7)")
    parser.add_argument(
        "--purify", type=float, metavar="T0", help="clean --audio, or a bridge's own sound: 0 as it is, 1 all new"
    )
    parser.add_argument("--audio", type=Path, metavar="AUDIO", help="what --purify cleans")
    parser.add_argument("--loop", action="store_true", help="without a seam from its end to its beginning")
    parser.add_argument("--stereo", type=float, default=0.0, metavar="W", help="stereo width, 0 … 1 (else mono)")
    add_output_options(parser)
    return parser


def _control(options: Namespace) -> Control | None:
    """What a prompt can be told beside its words: the sound of a file."""
    from dcldm_plugin.variations import AMOUNTS, audio_source

    if options.like is not None and options.audio is not None:
        raise InvalidInput("--like and --audio do not go together; leave one out.")
    if options.weight is not None and options.like is None:
        raise InvalidInput("--weight belongs to --like; leave it out or name an audio file.")
    if options.like is not None:
        weight = AMOUNTS["like"] if options.weight is None else options.weight
        return Control("like", amount=weight, audio=audio_source(options.like))
    if options.audio is not None:
        t0 = AMOUNTS["purify"] if options.purify is None else options.purify
        return Control("purify", amount=t0, audio=audio_source(options.audio))
    return None


def _generate(
    request: GenerationRequest, settings: Settings, options: Namespace, also: Callable[[Clip], None] | None
) -> int:
    with _Bar(len(request.seeds)) as bar, studio(settings, options.out) as clips:
        for number, clip in enumerate(clips(request, bar.show)):
            bar.clear()
            if clip.read_as and not number:
                print(f"Read as: {clip.read_as}", file=sys.stderr)
            print(_line(clip, options.json), flush=True)
            if also is not None:
                also(clip)
    return 0


Clips = Callable[[GenerationRequest, Show], Iterator[Clip]]


@contextmanager
def studio(settings: Settings, clip_folder: Path | None) -> Iterator[Clips]:
    """A session for one command. It is given as a function that yields a request's clips as they are ready."""
    from dcldm_plugin.delivery import Delivery
    from dcldm_plugin.engine.process import EngineProcess
    from dcldm_plugin.jobs import JobState, JobStore
    from dcldm_plugin.library import Library
    from dcldm_plugin.session import ClipReady, JobProgress, Session, SessionEvent

    events: SimpleQueue[SessionEvent] = SimpleQueue()
    with ExitStack() as stack:
        library = stack.enter_context(closing(Library(settings.library_folder, settings.index, Delivery.of(settings))))
        jobs = stack.enter_context(closing(JobStore(settings.index)))
        engine = stack.enter_context(
            closing(
                EngineProcess(
                    settings.engine_folder,
                    log=settings.log_folder / "engine.log",
                    home=settings.home,
                    device=settings.device,
                )
            )
        )
        session = stack.enter_context(closing(Session(library, jobs, engine, clip_folder=clip_folder)))
        session.subscribe(events.put)
        asked: list[str] = []

        def clips(request: GenerationRequest, show: Show) -> Iterator[Clip]:
            job = session.submit(request)
            asked.append(job.id)
            while not job.state.over:
                try:
                    event = events.get(timeout=0.2)  # a limit, since Windows can't interrupt a long wait
                except Empty:
                    continue
                if isinstance(event, JobProgress):
                    show(event.index, event.stage, event.fraction)
                elif isinstance(event, ClipReady):
                    yield event.clip
                elif event.job.id == job.id:
                    job = event.job
            if job.state is not JobState.FINISHED:
                raise InvalidInput(job.error) if job.refused else DcldmError(job.error)

        try:
            yield clips
        except KeyboardInterrupt:  # here, since it may come while the command prints a clip
            session.cancel_all()
            for job_id in asked:
                session.wait(job_id, CANCEL_SECONDS)
            raise


def _line(clip: Clip, as_json: bool) -> str:
    path = str(clip.path.absolute())
    if not as_json:
        return path
    return json.dumps(
        {
            "path": path,
            "seeds": {"structure": clip.seeds.structure, "texture": clip.seeds.texture},
            "model": clip.model,
            "seconds": clip.seconds,
            "sample_rate": clip.sample_rate,
            "channels": clip.channels,
            "sha256": clip.sha256,
        }
        | ({"read_as": clip.read_as} if clip.read_as else {})
        | _lineage(clip.request)
    )


def _lineage(request: GenerationRequest | None) -> dict[str, Any]:
    """Which control made a clip, and of which clips."""
    if request is None or request.control is None:
        return {}
    control = request.control
    return {"control": control.kind, "amount": control.amount, "parents": [parent.clip for parent in control.parents]}


class _Bar:
    """A progress bar on stderr; nothing at all when that is not a terminal."""

    def __init__(self, variations: int) -> None:
        self._variations = variations
        self._bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=1.0, leave=False, file=sys.stderr, bar_format="{desc} {percentage:3.0f}% |{bar}|")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, index: int, stage: str, fraction: float) -> None:
        if self._bar is not None:
            self._bar.set_description_str(f"{index + 1}/{self._variations} {stage:<9}", refresh=False)
            self._bar.n = fraction
            self._bar.refresh()

    def clear(self) -> None:
        """Leave the line, so that something can be printed on it; the next `show` draws the bar again."""
        if self._bar is not None:
            self._bar.clear()
