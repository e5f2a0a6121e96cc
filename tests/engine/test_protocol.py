import json
import random
from pathlib import Path

import pytest

from dcldm_plugin.engine.protocol import (
    MAX_LINE_BYTES,
    PROTOCOL,
    Cancel,
    Command,
    Failed,
    Finished,
    Progress,
    ProtocolError,
    Ready,
    Render,
    Stopped,
    VariationReady,
    WorkerMessage,
    decode_command,
    decode_message,
    encode,
    take_path,
)
from dcldm_plugin.types import GenerationRequest, Sampling, TimelineTarget, Variation

REQUEST = GenerationRequest.create(
    "rain 🌧 on a roof, مطر",
    negative="wind",
    seconds=2.5,
    variations=3,
    seed=2**63 - 2,
    model="tone",
    sampling=Sampling("dpm", 12, 3.5),
    target=TimelineTarget("ardour", "A project", "FX", 2**40, 44_100),
    id="a.request-1_x",
)
VARIATION = Variation(
    REQUEST, 2, take_path(Path("renders"), REQUEST.id, 2), 16_000, 1, "", Sampling(steps=30), read_as="a dog"
)
COMMANDS: list[Command] = [Render(REQUEST, (0, 2), Path("renders")), Cancel(REQUEST.id)]
MESSAGES: list[WorkerMessage] = [
    Ready(PROTOCOL, "0.1.0", 4711),
    Progress(REQUEST.id, 1, "denoising", 1 / 3),
    VariationReady(VARIATION),
    Finished(REQUEST.id),
    Stopped(REQUEST.id),
    Failed(REQUEST.id, "memory", "Not enough of it; buy more."),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_come_back_as_they_went(command: Command) -> None:
    line = encode(command)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_command(line) == command


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_come_back_as_they_went(message: WorkerMessage) -> None:
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert decode_message(line) == message


def test_the_longest_request_fits_in_a_line() -> None:
    widest = "😀" * 1000  # twelve bytes each in escaped JSON
    target = TimelineTarget(widest, widest, widest)
    request = GenerationRequest.create(widest, negative=widest, variations=32, model=widest, target=target)
    command = Render(request, tuple(range(32)), Path("renders"))
    assert decode_command(encode(command)) == command


def test_path_that_is_not_unicode_comes_back() -> None:
    folder = Path("renders-\udcff")  # how Python shows a byte that is no UTF-8 in a Linux path
    assert decode_command(encode(Render(REQUEST, (0,), folder))) == Render(REQUEST, (0,), folder)


def _changed(message: Command | WorkerMessage, /, **values: object) -> bytes:
    return json.dumps({**json.loads(encode(message)), **values}).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"rubbish\n",
        b"\xff\xfe\x00\n",
        b"[]\n",
        b"null\n",
        b"{}\n",
        b'{"say": 5}\n',
        b'{"say": "hello"}\n',
        b'{"say": "finished"}\n',
        b"[" * 50_000,
        b'{"say": "ready", "protocol": ' + b"9" * 5000 + b"}",
        b'{"say": "finished", "id": "' + b"x" * MAX_LINE_BYTES + b'"}\n',
        _changed(MESSAGES[0], protocol=True),
        _changed(MESSAGES[0], protocol="1"),
        _changed(MESSAGES[0], pid=-1),
        _changed(MESSAGES[1], fraction=float("nan")),
        _changed(MESSAGES[1], fraction=1.01),
        _changed(MESSAGES[1], fraction="half"),
        _changed(MESSAGES[1], index=-1),
        _changed(MESSAGES[1], index=1.0),
        _changed(MESSAGES[1], stage="x" * 65),
        _changed(MESSAGES[2], variation=None),
        _changed(MESSAGES[2], variation={"request": {}}),
        _changed(MESSAGES[2], variation={**json.loads(encode(MESSAGES[2]))["variation"], "index": 3}),
        _changed(MESSAGES[2], variation={**json.loads(encode(MESSAGES[2]))["variation"], "channels": 0}),
        _changed(MESSAGES[2], variation={**json.loads(encode(MESSAGES[2]))["variation"], "sampling": {"x": 1}}),
        _changed(MESSAGES[5], kind="whim"),
        _changed(MESSAGES[5], message="x" * 5000),
    ],
    ids=lambda line: repr(line[:60]),
)
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_message(line)


@pytest.mark.parametrize(
    "line",
    [
        encode(MESSAGES[3]),
        _changed(COMMANDS[0], indices=[]),
        _changed(COMMANDS[0], indices=[0, 0]),
        _changed(COMMANDS[0], indices=[0, 3]),
        _changed(COMMANDS[0], indices=[False]),
        _changed(COMMANDS[0], folder=None),
        _changed(COMMANDS[0], request={"id": "x"}),
        _changed(COMMANDS[0], request={**REQUEST.to_json(), "seconds": -1}),
        _changed(COMMANDS[0], request={**REQUEST.to_json(), "whim": 1}),
        _changed(COMMANDS[1], id=7),
    ],
    ids=lambda line: repr(line[:60]),
)
def test_what_is_no_command_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_command(line)


def test_damaged_lines_never_raise_anything_else() -> None:
    chance = random.Random(1)
    lines = [encode(message) for message in MESSAGES]
    for _ in range(3000):
        line = bytearray(chance.choice(lines))
        for _ in range(chance.randint(1, 4)):
            line[chance.randrange(len(line))] = chance.randrange(256)
        try:
            decode_message(bytes(line))
        except ProtocolError:
            continue


def test_numbers_that_json_lacks_are_not_sent() -> None:
    with pytest.raises(ValueError):
        encode(Progress("x", 0, "denoising", float("nan")))


def test_too_long_a_message_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="too long"):
        encode(Failed("x", "bug", "y" * MAX_LINE_BYTES))
