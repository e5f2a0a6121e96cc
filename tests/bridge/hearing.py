"""The program's ear without its session: messages are read by the API's table, a host hears its words."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from bridge.arguments import read
from bridge.host import Hello, Host, Placed, PlacingFailed
from bridge.osc import Peer
from bridge.table import CUES, FAILED, HELLO, PLACED, TABLE

WORDS = (HELLO, PLACED, FAILED)


class Hearing:
    """Remembers all that came; may lose confirmations, or hear every word several times."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.lose = 0
        self.repeat = 1

    def receive(self, address: str, arguments: Sequence[Any], peer: Peer) -> None:
        if address.startswith(CUES):
            self.messages.append((address, {"arguments": list(arguments)}))
            return
        row = next(row for row in TABLE if row.address == address)
        values = read(row.arguments, arguments)
        self.messages.append((address, dict(values)))
        if values.pop("host", "") != self.host.name or address not in WORDS:
            return
        if address == PLACED and self.lose:
            self.lose -= 1
            return
        for _ in range(self.repeat):
            if address == HELLO:
                self.host.hear(Hello(**values))
            elif address == PLACED:
                job, clip = values["id"], values["clip"]
                self.host.hear(Placed(job, clip, values["item"], values["track"], values["position"]))
            else:
                self.host.hear(PlacingFailed(values["id"], values["sentence"]))

    def of(self, address: str) -> list[dict[str, Any]]:
        return [values for known, values in list(self.messages) if known == address]


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found
