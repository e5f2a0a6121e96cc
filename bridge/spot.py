"""`dcldm spot [SHEET.csv]`: a cue sheet, or the markers of a session, looked at, or rendered and placed.

It speaks OSC to the program that runs, and starts one for the time of the run if there is none: so both ways
are one, and whoever looks at the window sees the run there.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import uuid
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bridge.osc import HOST, decode, encode
from bridge.program import open_socket, running
from bridge.spotting import run_name
from bridge.table import CHECK, CUES, PING, STATUS
from dcldm_plugin.commands import Parser, log_file
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.settings import Settings, instance_runs, load, only_instance
from dcldm_plugin.types import DEFAULT_SECONDS

ASK_SECONDS = 2.0  # without a word for this long, the program is asked again
PATIENCE_SECONDS = 60.0  # without any word for this long, it is taken to be gone
HOST_SECONDS = 10.0  # how long to wait for a DAW's heartbeat

Reply = dict[str, Any]


def main(arguments: Sequence[str]) -> int:
    """Spot a cue sheet; the same call again goes on where it was. Raises `DcldmError`."""
    options = _parser().parse_args(arguments)
    settings = load(options.home)
    if options.sheet is None and not options.host:
        raise InvalidInput(
            "Name a cue sheet (SHEET.csv); or a DAW with --host, to spot the markers of the session that is open."
        )
    sheet = str(options.sheet or "")
    run_id = _run_id(options)
    values = (options.host, options.project, 0, options.fps, options.start, options.track)
    defaults = (options.seconds, options.variations, options.snap, options.model)
    with _program(settings, options) as port, _Client(port) as client:
        client.wait_for_host(options.host)
        if options.check or not sheet:
            looked = client.ask(CHECK, run_id, sheet, *values, *defaults)
            wrong = bool(looked["errors"]) and not options.leave_out
            if options.check or wrong or not looked["cues"]:
                _print_check(looked, options.json)
                return 2 if looked["errors"] else 0
        client.ask(CUES, run_id, sheet, *values, *defaults, int(options.leave_out))
        return _follow(client, run_id, options.json)


def _parser() -> Parser:
    parser = Parser("spot", "Make and place a sound for every row of a cue sheet (CSV). The same call again goes on.")
    columns = "with at least the columns time and prompt; without it, the markers of --host"
    parser.add_argument("sheet", type=_path, nargs="?", metavar="SHEET.csv", help=columns)
    parser.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--host", default="", metavar="NAME", help="place the clips there, as ardour or reaper")
    parser.add_argument("--project", default="", metavar="NAME", help="which of several open sessions")
    parser.add_argument("--fps", default="", metavar="RATE", help="frame rate of the timecode, as 29.97df (else 25)")
    parser.add_argument("--start", default="", metavar="TIME", help="the sheet's time where the timeline begins")
    parser.add_argument("--track", default="", metavar="NAME", help="for rows that name none")
    parser.add_argument("--seconds", type=float, default=DEFAULT_SECONDS, metavar="S", help="for rows without length")
    parser.add_argument("--variations", type=int, default=1, metavar="N", help="for rows that don't say")
    parser.add_argument("--snap", default="", metavar="MOMENT", help="onset or peak falls on the time")
    parser.add_argument("--model", default="", metavar="NAME")
    parser.add_argument("--leave-out", action="store_true", help="go on without the rows that have errors")
    parser.add_argument("--fresh", action="store_true", help="begin anew, with new takes")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--port", type=int, metavar="N", help="UDP port of the program (else as in the settings)")
    return parser


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _run_id(options: Namespace) -> str:
    return uuid.uuid4().hex if options.fresh else run_name(options.sheet, options.host, options.project)


@contextmanager
def _program(settings: Settings, options: Namespace) -> Iterator[int]:
    """The port of the program that runs, or of one that runs for as long as this lasts."""
    if instance_runs(settings):
        yield settings.osc_port if options.port is None else options.port
        return
    with ExitStack() as stack:
        stack.enter_context(only_instance(settings))
        # A DAW's scripts know the port in the settings; for all else any will do.
        osc = open_socket(settings, options.port if options.port is not None else None if options.host else 0)
        stack.callback(osc.stop)
        stack.enter_context(log_file(settings))
        stack.enter_context(running(settings, osc))
        yield osc.port


class _Client:
    """Asks, and listens for what comes back. Asking twice does no harm: every request has an id."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(ASK_SECONDS)
        self._program = (HOST, port)

    def __enter__(self) -> _Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, address: str, *arguments: str | float) -> Reply:
        """The first answer. Raises `DcldmError` if it is an error, or if none comes."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self._socket.sendto(encode(address, *arguments), self._program)
            while (answer := self.next()) is not None:
                answered, reply = answer
                if answered != f"/reply{address}":
                    continue
                if reply["status"] == "error" and "cues" not in reply:
                    raise InvalidInput(reply["error"])
                return reply
        raise DcldmError("dcldm runs, and does not answer; close it, or name its port with --port.")

    def next(self) -> tuple[str, Reply] | None:
        """What comes within `ASK_SECONDS`."""
        try:
            ((address, (text,)),) = decode(self._socket.recv(65_535))
        except (TimeoutError, ConnectionResetError):
            return None
        return address, json.loads(text)

    def wait_for_host(self, host: str) -> None:
        """Wait a moment for the heartbeat of a DAW that has one."""
        deadline = time.monotonic() + HOST_SECONDS
        while host and time.monotonic() < deadline:
            said = self.ask(PING)["hosts"].get(host)
            if said is None or said.get("connected", True):
                return
            time.sleep(0.5)


def _print_check(looked: Reply, as_json: bool) -> None:
    if as_json:
        print(json.dumps(looked))
        return
    print(f"{looked['title']}: {looked['cues']} cues, {looked['clips']} clips")
    for row in looked["rows"]:
        where = row["time"] or "-"
        print(f"{row['row']:>5}  {where:<12} {row['seconds']:>6.2f} s  x{row['variations']}  {row['prompt']}")
    for error in looked["errors"]:
        print(f"Row {error['row']}: {error['error']}", file=sys.stderr)


def _follow(client: _Client, run_id: str, as_json: bool) -> int:
    """Tell how a run gets on until it is over. Returns the exit code."""
    silent, last = time.monotonic(), -1
    while True:
        answer = client.next()
        if answer is None:
            answer = ("", client.ask(STATUS, run_id))
        _, reply = answer
        if reply.get("id") != run_id or "rendered" not in reply:
            if time.monotonic() - silent > PATIENCE_SECONDS:
                raise DcldmError("dcldm does not say how the run gets on; start it again with the same command.")
            continue
        silent = time.monotonic()
        if as_json:
            print(json.dumps(reply), flush=True)
        elif reply["rendered"] != last:
            last = reply["rendered"]
            print(f"{last} of {reply['cues']} cues are rendered", file=sys.stderr, flush=True)
        if reply["status"] != "progress":
            break
    for error in reply["errors"]:
        print(f"Row {error['row']}: {error['error']}", file=sys.stderr)
    if not as_json:
        print(f"{reply['done']} of {reply['cues']} cues are done")
    return 0 if reply["status"] == "done" else 1
