"""One ordered UDP socket that speaks OSC 1.0, on 127.0.0.1 unless other machines are asked for.

python-osc reads and writes the packets; its servers are not used, since they sleep until the time tag of a
bundle comes or start a thread for every datagram. Here whatever arrives is handled at once, in order.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from dcldm_plugin.errors import DcldmError, InvalidInput

log = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES = 8 * 1024
HOST = "127.0.0.1"

Peer = tuple[str, int]
NOBODY: Peer = ("", 0)  # whoever speaks to us in another way than OSC and hears us in another, too
Receive = Callable[[str, Sequence[Any], Peer], None]  # address, arguments, sender
Refuse = Callable[[str, Peer], None]  # why a datagram could not be read, its sender


def decode(datagram: bytes) -> list[tuple[str, list[Any]]]:
    """The messages of a packet as (address, arguments). Time tags are ignored. Raises `InvalidInput`."""
    from pythonosc.osc_packet import OscPacket, ParseError

    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise InvalidInput(
            f"The OSC packet has {len(datagram):,} bytes; send at most {MAX_DATAGRAM_BYTES:,}, "
            "and longer data as the path of a file."
        )
    try:
        return [(timed.message.address, timed.message.params) for timed in OscPacket(datagram).messages]
    except (
        ParseError,
        ValueError,
        TypeError,
        IndexError,
        OverflowError,
        struct.error,
        RecursionError,
    ) as error:
        # The parser lets some of Python's own errors through when the bytes are nonsense.
        raise InvalidInput("This is not an OSC packet; send OSC 1.0 messages or bundles.") from error


def encode(address: str, *arguments: str | float | bool) -> bytes:
    """One message as a datagram; int, float, str and bool arguments become i (or h), f, s, T and F."""
    from pythonosc.osc_message_builder import OscMessageBuilder

    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return bytes(builder.build().dgram)


def _not_the_parser(record: logging.LogRecord) -> bool:
    """python-osc writes the whole of every bad datagram into the log: anybody could fill it."""
    return "pythonosc" not in record.pathname


def check_port(port: int, *, or_any: bool = False) -> int:
    """The port itself, if we may listen there; with `or_any` also 0, for any free one. Raises `InvalidInput`."""
    if not 1024 <= port <= 65_535 and not (or_any and port == 0):
        raise InvalidInput(f"The port must be {'0 or ' if or_any else ''}a whole number from 1024 to 65535.")
    return port


class OscSocket:
    """A bound socket and the one thread that reads it."""

    def __init__(self, port: int, *, lan: bool = False) -> None:
        """Bind to `port`, 0 for any free one, for this machine or for all. Raises `DcldmError` if it is taken."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if sys.platform == "win32":  # there a second socket could otherwise share the port
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            self._socket.bind(("0.0.0.0" if lan else HOST, port))
        except OSError as error:
            self._socket.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES, getattr(errno, "WSAEADDRINUSE", None)):
                raise DcldmError(
                    f"The UDP port {port} is in use or reserved; stop the other program (another dcldm?) "
                    "or choose another port with --port."
                ) from error
            raise DcldmError(f"The UDP port {port} can't be opened ({error}); choose another.") from error
        self.port: int = self._socket.getsockname()[1]
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self, receive: Receive, refuse: Refuse) -> None:
        """Call `receive` for every message, on the socket's thread, and `refuse` for every other datagram."""
        logging.getLogger().addFilter(_not_the_parser)
        self._thread = threading.Thread(target=self._read, args=(receive, refuse), name="dcldm osc", daemon=True)
        self._thread.start()

    def send(self, peer: Peer, address: str, *arguments: str | float | bool) -> None:
        """Send one message. A peer that is gone, or a message too long for the system, is logged only."""
        if peer == NOBODY:
            return
        try:
            self._socket.sendto(encode(address, *arguments), peer)
        except OSError as error:
            log.warning("no OSC reply to %s:%d: %s", *peer, error)

    def stop(self) -> None:
        """Close the socket and wait for its thread. May be called twice."""
        if self._stopping:
            return
        self._stopping = True
        if self._thread is not None:
            # Closing a socket does not wake its reader on every system; a datagram does.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", (HOST, self.port))
            self._thread.join()
            logging.getLogger().removeFilter(_not_the_parser)
        self._socket.close()

    def _read(self, receive: Receive, refuse: Refuse) -> None:
        while not self._stopping:
            try:
                datagram, sender = self._socket.recvfrom(65_535)
            except ConnectionResetError:  # Windows: an earlier reply found nobody at its port
                continue
            if self._stopping:
                return
            try:
                try:
                    messages = decode(datagram)
                except InvalidInput as error:
                    refuse(str(error), sender)
                    continue
                for address, arguments in messages:
                    receive(address, arguments, sender)
            except Exception:  # a bug in a handler must not end the thread that everybody talks to
                log.exception("an OSC packet from %s:%d could not be handled", *sender)
