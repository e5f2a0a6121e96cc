"""`dcldm listen`: rate sounds blind, from the keyboard; leave whenever you want and take it up again."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from dcldm_plugin.commands import Parser
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.evaluation import listening, report
from dcldm_plugin.evaluation.listening import HIGHEST, LOWEST, SCALES, Rating, Ratings, Trial
from dcldm_plugin.evaluation.lists import REAL, read_list, sounds_of

SOUNDS = (".wav", ".flac", ".ogg")
HELP = (
    f"{LOWEST}-{HIGHEST} and Enter rates; Enter alone plays again; b takes the last sound back; q leaves (all is kept)."
)


class Player(Protocol):
    """Plays a sound file, and returns at once."""

    def __call__(self, path: Path) -> None: ...


def main(arguments: Sequence[str]) -> int:
    """Ask for the ratings that are missing, then print the results so far."""
    parser = Parser("listen", "Rate sounds blind: overall quality, relevance and audio quality, 1 to 100.")
    parser.add_argument("list", type=Path, metavar="CSV", help="columns path,prompt: the real sounds")
    parser.add_argument("systems", type=Path, nargs="*", metavar="DIR", help="a folder a system, with those names")
    parser.add_argument(
        "--ratings", type=Path, default=Path("ratings.json"), metavar="FILE", help="where they are kept"
    )
    parser.add_argument("--listener", metavar="NAME", help="who listens (else the user's name)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the order")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N items of the list")
    parser.add_argument("--without-real", action="store_true", help="leave the real sounds out")
    parser.add_argument("--results", action="store_true", help="only print the results so far")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results, for `dcldm evaluate --listening`")
    options = parser.parse_args(arguments)
    ratings = Ratings(options.ratings)
    listener = options.listener or getpass.getuser()
    if not options.results:
        trials = read_trials(options.list, options.systems, not options.without_real, options.limit)
        order = listening.ordered(trials, listener, options.seed)
        with player() as play:
            run(order, ratings, listener, play, ask=input, say=print)
    if not ratings.all:
        raise InvalidInput(f"{options.ratings} holds no ratings yet; rate some sounds first.")
    found = listening.results(ratings.all)
    print(listening.table(found))
    if options.json is not None:
        report.write_json(options.json, found)
    return 0


def read_trials(path: Path, systems: Sequence[Path], real: bool, limit: int | None = None) -> list[Trial]:
    """One trial a prompt and system; names of files pair them. Raises `InvalidInput`."""
    items = read_list(path, limit)
    trials = [Trial(item.prompt, REAL, item.path) for item in items] if real else []
    for folder in systems:
        if not folder.is_dir():
            raise InvalidInput(f"There is no folder {folder}; give one a system, as `dcldm evaluate --keep` makes it.")
        there = sounds_of(folder, items)
        trials += [Trial(item.prompt, folder.name, there[item.name]) for item in items]
    if not trials:
        raise InvalidInput("There is nothing to rate; give a list with sounds.")
    if len({(trial.system, trial.prompt) for trial in trials}) < len(trials):
        raise InvalidInput("Two sounds of one system have the same prompt; keep one of each in the list.")
    return trials


def run(
    order: Sequence[Trial],
    ratings: Ratings,
    listener: str,
    play: Player,
    *,
    ask: Callable[[str], str],
    say: Callable[[str], Any],
) -> None:
    """Until all is rated or the listener leaves. `ask` reads one line; its end (`EOFError`) leaves, too."""
    say(HELP)
    while still := ratings.open(order, listener):
        trial = still[0]
        say(f"\n{len(order) - len(still) + 1} of {len(order)}: “{trial.prompt}”")
        answers: dict[str, int] = {}
        play(trial.path)
        while len(answers) < len(SCALES):
            scale = list(SCALES)[len(answers)]
            try:
                typed = ask(f"  {SCALES[scale]} ").strip().lower()
            except (EOFError, KeyboardInterrupt):
                return
            if typed == "q":
                return
            if typed == "b":
                taken = ratings.take_back(listener) if not answers else None
                say("Once more." if answers or taken else "Nothing to take back.")
                break
            if not typed:
                play(trial.path)
            elif typed.isdecimal() and LOWEST <= int(typed) <= HIGHEST:
                answers[scale] = int(typed)
            else:
                say(f"  A whole number from {LOWEST} to {HIGHEST}, please.")
        if len(answers) == len(SCALES):
            ratings.add(Rating(listener, trial.system, trial.prompt, **answers))
    say("\nAll rated. Thank you.")


@contextlib.contextmanager
def player() -> Iterator[Player]:
    """Through the sound card; without one, with the program that the system opens such files with."""
    try:
        import sounddevice
        import soundfile

        sounddevice.query_devices(kind="output")
    except Exception:  # no PortAudio (OSError), no device (its own error): both mean the same here
        with tempfile.TemporaryDirectory(prefix="dcldm-listen-") as folder:
            yield lambda path: open_file(path, Path(folder))
        return

    def play(path: Path) -> None:
        samples, rate = soundfile.read(path, dtype="float32")
        sounddevice.stop()
        sounddevice.play(samples, rate)

    try:
        yield play
    finally:
        sounddevice.stop()


def open_file(path: Path, folder: Path) -> None:
    """Open a copy in `folder`, with a name that tells nothing; where nothing opens files, say where it is."""
    blind = folder / f"sound{path.suffix}"
    shutil.copyfile(path, blind)
    if sys.platform == "win32":
        os.startfile(blind)
        return
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    if opener is None:
        print(f"  There is no sound card here; play this file: {blind}")
    else:
        subprocess.Popen([opener, str(blind)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
