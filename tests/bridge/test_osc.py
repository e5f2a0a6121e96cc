from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bridge.osc import MAX_DATAGRAM_BYTES, OscSocket, Peer, decode, encode
from dcldm_plugin.errors import DcldmError, InvalidInput


class Server:
    """A real socket that answers what it hears, and remembers what it refused."""

    def __init__(self) -> None:
        self.osc = OscSocket(0)
        self.refused: list[str] = []
        self.heard: list[tuple[str, list[Any]]] = []
        self.osc.start(self.receive, self.refuse)

    def receive(self, address: str, arguments: Sequence[Any], peer: Peer) -> None:
        self.heard.append((address, list(arguments)))
        if address == "/boom":
            raise RuntimeError("a bug in a handler")
        self.osc.send(peer, f"/reply{address}", *arguments)

    def refuse(self, sentence: str, peer: Peer) -> None:
        self.refused.append(sentence)
        self.osc.send(peer, "/reply", sentence)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.osc.stop()


@pytest.fixture
def client(server: Server) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(10)
        sender.connect(("127.0.0.1", server.osc.port))
        yield sender


def ask(client: socket.socket, datagram: bytes) -> tuple[str, list[Any]]:
    client.send(datagram)
    [answer] = decode(client.recv(65_535))
    return answer


def test_what_is_encoded_is_decoded() -> None:
    values = ["rain — 雨 🌧", 7, 2**40, 0.5, True, False]
    assert decode(encode("/a/b", *values)) == [("/a/b", values)]


def test_an_answer_goes_to_the_sender(server: Server, client: socket.socket) -> None:
    assert ask(client, encode("/ping", 1)) == ("/reply/ping", [1])


def test_messages_are_handled_in_order(server: Server, client: socket.socket) -> None:
    for number in range(200):
        assert ask(client, encode("/n", number)) == ("/reply/n", [number])


def bundle(seconds_from_now: float, message: bytes) -> bytes:
    seconds = time.time() + seconds_from_now + 2_208_988_800  # from 1900, as in NTP
    return b"#bundle\0" + struct.pack(">II", int(seconds), 0) + struct.pack(">i", len(message)) + message


def test_a_time_tag_in_the_future_is_not_waited_for(server: Server, client: socket.socket) -> None:
    before = time.monotonic()
    assert ask(client, bundle(3600, encode("/later"))) == ("/reply/later", [])
    assert time.monotonic() - before < 5


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"#reply\0\0",
        b"/a",
        b"/a\0\0,i\0\0",
        b"/a\0\0,s\0\0\xff\xff\xff\xff",
        b"#bundle\0",
        b"#bundle\0" + b"\0" * 8 + b"\x7f\xff\xff\xff",
        b"/a\0\0,b\0\0\x80\0\0\0",
    ],
)
def test_nonsense_is_refused_with_a_sentence(datagram: bytes) -> None:
    try:
        messages = decode(datagram)
    except InvalidInput as error:
        assert str(error).endswith(".")
    else:
        assert all(address.startswith("/") for address, _ in messages)


def test_a_deep_nest_of_bundles_harms_nobody() -> None:
    packet = encode("/a")
    for _ in range(400):
        packet = b"#bundle\0" + b"\0" * 7 + b"\1" + struct.pack(">i", len(packet)) + packet
    assert len(packet) < MAX_DATAGRAM_BYTES
    try:
        assert decode(packet) == [("/a", [])]
    except InvalidInput as error:
        assert "OSC" in str(error)


def test_too_long_is_refused_to_the_sender(server: Server, client: socket.socket) -> None:
    address, [sentence] = ask(client, encode("/long", "x" * MAX_DATAGRAM_BYTES))
    assert address == "/reply" and "8,192" in sentence


def random_datagrams(count: int) -> Iterator[bytes]:
    dice = random.Random(1)
    seeds = [encode("/dcldm/generate", "id", "rain", 1.0, 2), bundle(1, encode("/dcldm/ping")), encode("/a", True)]
    for number in range(count):
        if number % 2:
            yield dice.randbytes(dice.randrange(600))
        else:  # nearly right, so that it gets further into the parser
            datagram = bytearray(dice.choice(seeds))
            for _ in range(dice.randrange(1, 8)):
                datagram[dice.randrange(len(datagram))] = dice.randrange(256)
            yield bytes(datagram)


def test_ten_thousand_random_datagrams_harm_nobody(server: Server, client: socket.socket) -> None:
    for number, datagram in enumerate(random_datagrams(10_000)):
        client.send(datagram)
        if number % 100 == 0:  # the system drops what is sent faster than it is read
            while True:
                client.send(encode("/dcldm/ping", number))
                if wait_for_answer(client, number):
                    break
    assert len(server.refused) > 1000
    assert len(server.heard) > 100


def wait_for_answer(client: socket.socket, number: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            answers = decode(client.recv(65_535))
        except InvalidInput:
            continue
        except TimeoutError:
            return False
        if answers == [("/reply/dcldm/ping", [number])]:
            return True
    return False


def test_a_bug_in_a_handler_ends_nothing(
    server: Server, client: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    client.send(encode("/boom"))
    assert ask(client, encode("/ping")) == ("/reply/ping", [])
    assert "a bug in a handler" in caplog.text


def test_a_port_in_use_is_said_in_a_sentence(server: Server) -> None:
    with pytest.raises(DcldmError, match=rf"UDP port {server.osc.port} is in use"):
        OscSocket(server.osc.port)


def test_only_this_machine_is_listened_to(server: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.2", server.osc.port))  # free, so ours is not on all interfaces


def test_stop_ends_the_thread_and_frees_the_port(server: Server) -> None:
    server.osc.stop()
    server.osc.stop()
    assert "dcldm osc" not in {thread.name for thread in threading.enumerate()}
    OscSocket(server.osc.port).stop()


def test_stop_without_start() -> None:
    OscSocket(0).stop()
