"""The table of our own OSC API: every address, what it takes, what it means and what it answers.

`bridge.api` does what it says; the README prints it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bridge.arguments import Argument, described
from dcldm_plugin.types import DEFAULT_SECONDS, RULES
from dcldm_plugin.variations import AMOUNTS


@dataclass(frozen=True, slots=True)
class Row:
    """One address: what it takes, in order, what it means and what comes back."""

    address: str
    arguments: tuple[Argument, ...]
    meaning: str
    reply: str


def markdown() -> str:
    """The table as the README prints it."""
    rows = ["| address | arguments | meaning | reply |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{row.address}` | {', '.join(map(described, row.arguments)) or 'none'} | {row.meaning} | {row.reply} |"
        for row in TABLE
    ]
    return "\n".join(rows) + "\n"


PING, PASSCODE = "/dcldm/ping", "/dcldm/passcode"
GENERATE, VARY, AGAIN = "/dcldm/generate", "/dcldm/vary", "/dcldm/again"
SELECTED = "/dcldm/selected/"
PLACE, CHOOSE, CANCEL, STATUS = "/dcldm/place", "/dcldm/choose", "/dcldm/cancel", "/dcldm/status"
CUES, CHECK = "/dcldm/cues", "/dcldm/cues/check"
MODELS = "/dcldm/models"
HELLO, PLACED, FAILED = "/dcldm/hello", "/dcldm/placed", "/dcldm/failed"
ON_SELECTED = {  # what can be done with what is selected in a DAW: by the address' last word
    "regenerate": "In place of what is selected in the DAW, which has to be of ours: a new take. For buttons, whose 0 "
    "on release does nothing. Without a host, the one that is connected.",
    "retexture": "The same, with the same events and another texture.",
    "more": "The same, a little different.",
    "again": "The same, made once more from what its file says.",
}

_ID = Argument("id", "text", required=True)
_NEW_ID = Argument("id", "text", "")
_HOST = Argument("host", "text", required=True)
_PLACE = (
    Argument("host", "text", ""),
    Argument("track", "text", ""),
    Argument("position", "whole"),
    Argument("sample_rate", "whole", 48_000),
    Argument("project", "text", ""),
)
_ON_PLACE = (Argument("item", "text", ""), Argument("snap", "text", ""))  # came later, so they stand last
_SHEET = (
    Argument("host", "text", ""),
    Argument("project", "text", ""),
    Argument("sample_rate", "whole", 0),
    Argument("fps", "text", ""),
    Argument("start", "text", ""),
    Argument("track", "text", ""),
    Argument("seconds", "number", DEFAULT_SECONDS),
    Argument("variations", "whole", 1),
    Argument("snap", "text", ""),
    Argument("model", "text", ""),
)
_PROGRESS = (
    "`accepted` at once; `progress` (`variation`, `stage`, `fraction`) and `clip` on the way; then "
    "`done` (`clips`, `placements`), `error`, `cancelled` or `interrupted`"
)

TABLE = (
    Row(PING, (), "Is the program there?", "`ok`, `version`, `hosts`"),
    Row(
        PASSCODE,
        (Argument("passcode", "text", required=True),),
        "From another machine, where that is allowed: before anything else, and again after 12 hours.",
        "`ok`",
    ),
    Row(
        GENERATE,
        (
            _NEW_ID,
            Argument("prompt", "text", required=True),
            Argument("seconds", "number", DEFAULT_SECONDS),
            Argument("variations", "whole", 1),
            Argument("seed", "whole"),
            Argument("model", "text", ""),
            *_PLACE,
            Argument("like", "text", ""),
            Argument("weight", "number", AMOUNTS["like"]),
            Argument("loop", "whole", 0),
            Argument("stereo", "number", 0.0),
            *_ON_PLACE,
        ),
        "Make clips of a prompt and, if a host is named, place them: `position` in samples at `sample_rate`, the "
        "session's; without one, where the user is there now. The sender makes the `id`: the same id again is the same "
        "job, and without one every message is a new job. `like` is an audio file whose timing is followed. `item` is "
        "the host's name for what the clips take the place of, which is kept as a take; `snap` (onset, peak) is the "
        "moment of each clip that falls on `position`.",
        _PROGRESS,
    ),
    Row(
        VARY,
        (
            _NEW_ID,
            Argument("clips", "text", required=True),
            Argument("control", "text", required=True),
            Argument("amount", "number"),
            Argument("start", "number", 0.0),
            Argument("end", "number", 0.0),
            Argument("audio", "text", ""),
            Argument("prompt", "text", ""),
            Argument("seconds", "number"),
            Argument("variations", "whole", 1),
            Argument("seed", "whole"),
            Argument("model", "text", ""),
            *_PLACE,
            Argument("loop", "whole"),
            Argument("stereo", "number"),
            *_ON_PLACE,
        ),
        "Make variations of clips of ours, named by id or path, one a line; place them as `/dcldm/generate` does. "
        f"`control` is one of {', '.join(RULES)}; `start` and `end` in seconds are the part that `rearrange` and "
        "`repair` change; what is left out is as in the first clip.",
        _PROGRESS,
    ),
    Row(
        AGAIN,
        (_NEW_ID, Argument("clip", "text", required=True), Argument("model", "text", ""), *_PLACE, *_ON_PLACE),
        "Make a clip once more from what its own file says of it, also years later; or the same words and seeds "
        "with another model.",
        _PROGRESS,
    ),
    *(
        Row(
            f"{SELECTED}{kind}",
            (Argument("pressed", "number", 1.0), Argument("variations", "whole", 1), Argument("host", "text", "")),
            meaning,
            "as of `/dcldm/vary`, with a new id",
        )
        for kind, meaning in ON_SELECTED.items()
    ),
    Row(
        PLACE,
        (_ID,),
        "Place the clips of a job again, where it was asked for; what is there already is left alone.",
        "as of `/dcldm/generate`",
    ),
    Row(
        CHOOSE,
        (_ID, Argument("variation", "whole", required=True)),
        "Let another variation of a placed job be heard, counted from 0; the others stay beside it.",
        "`accepted`, `variation`",
    ),
    Row(
        CHECK,
        (_ID, Argument("path", "text", ""), *_SHEET),
        "Say what spotting a cue sheet (CSV) would do; without a path, the open session's own markers. "
        "`fps` and `start` (the timecode of the timeline's beginning) "
        "are for sheets that don't say; `track` to `model` hold for rows that don't. Project and rate default to the "
        "open session's. The host shows it and asks whether to go on.",
        "`ok`, `cues`, `clips`, `rows`, `errors` by row",
    ),
    Row(
        CUES,
        (_ID, Argument("path", "text", ""), *_SHEET, Argument("leave_out", "whole", 0)),
        "Spot a cue sheet: render every row, then place all in one step. The same id again goes on where it was; "
        "without a path it is the sheet that was checked, or a run of an earlier time. Rows with errors stop it, "
        "unless `leave_out` is 1.",
        "`accepted`; `progress` (`cues`, `rendered`, `done`, `errors`); then `done`, `error`, `cancelled` or "
        "`interrupted`",
    ),
    Row(CANCEL, (_ID,), "Stop a job or run at its next step; its clips stay.", "`accepted`"),
    Row(
        STATUS,
        (Argument("id", "text", ""),),
        "How is a job or run, or without an id: which jobs are the newest?",
        "the job's status with `clips`, `placements`; or `ok` with `jobs`",
    ),
    Row(
        MODELS,
        (Argument("name", "text", ""),),
        "Which models are there; or all that one can do: sample rate, channels, longest clip, controls, seeds, memory, "
        "licence, and why it lacks a control.",
        "`ok` with `models`, or with `model` and `lacks`",
    ),
    Row(
        HELLO,
        (
            _HOST,
            Argument("project", "text", ""),
            Argument("sample_rate", "whole", 48_000),
            Argument("application", "text", ""),
            Argument("folder", "text", ""),
            Argument("track", "text", ""),
            Argument("position", "whole", 0),
            Argument("item", "text", ""),
            Argument("file", "text", ""),
            Argument("range_start", "whole", 0),
            Argument("range_length", "whole", 0),
        ),
        "A host's heartbeat, every 2 s: the session that is open, what the host is, the project's media folder "
        "(clips are written there), the selected track, the playhead, the selected item and the file that it plays, "
        "and the selected range or else the item's, in samples.",
        "none",
    ),
    Row(
        PLACED,
        (
            _HOST,
            _ID,
            Argument("clip", "text", required=True),
            Argument("item", "text", required=True),
            Argument("track", "text", ""),
            Argument("position", "whole", 0),
        ),
        "A host confirms that one clip of a job is on its timeline; `item` is its own name for it.",
        "none",
    ),
    Row(
        FAILED,
        (_HOST, _ID, Argument("sentence", "text", required=True)),
        "A host could not place a job.",
        "none",
    ),
)
