"""Does a DAW answer? Asked of the program that runs, which hears the DAWs' heartbeats."""

from __future__ import annotations

import json
import socket
import time

from bridge.osc import HOST, decode, encode
from bridge.table import PING
from dcldm_plugin.errors import InvalidInput

ASK_SECONDS = 0.5


def wait_for(host: str, port: int, seconds: float) -> str | None:
    """What the host called itself, as soon as the program on this port hears it; None if it does not in time."""
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(ASK_SECONDS)
        while time.monotonic() < deadline:
            try:
                asker.sendto(encode(PING), (HOST, port))
                [(_, [text])] = decode(asker.recv(65_535))
                found = json.loads(text)["hosts"][host]["sessions"]
            except (OSError, ValueError, KeyError, InvalidInput):  # no program, or none that knows this host
                time.sleep(ASK_SECONDS / 5)
                continue
            if found:
                return str(next(iter(found.values()))["application"] or host)
            time.sleep(ASK_SECONDS)
    return None
