"""Who is heard over OSC: this machine always, others only by passcode, and only where that is switched on."""

from __future__ import annotations

import hmac
import threading
import time

from bridge.osc import Peer
from dcldm_plugin.errors import InvalidInput

MIN_CHARACTERS = 8
OPEN_SECONDS = 12 * 3600.0
WRONG_CODES = 5  # of all other machines together, since the sender of a datagram is easily forged
WRONG_SECONDS = 60.0  # within this time; then all have to wait
TOLD_SECONDS = 1.0  # at most one refusal in this time, so that nobody is flooded in another's name


def is_local(peer: Peer) -> bool:
    """Whether a datagram came from this machine. A peer without an address speaks to us by other ways than UDP."""
    return not peer[0] or peer[0].startswith("127.")


class Gate:
    """Remembers who knew the passcode, by address. Safe to use from any thread."""

    def __init__(self, passcode: str = "") -> None:
        """Without a passcode nobody else is heard. Raises `InvalidInput` for one that is too short."""
        if passcode and len(passcode) < MIN_CHARACTERS:
            raise InvalidInput(f"The passcode for other machines needs at least {MIN_CHARACTERS} characters.")
        self._passcode = passcode
        self._lock = threading.Lock()
        self._open: dict[str, float] = {}  # address -> until when, monotonic seconds
        self._wrong: list[float] = []  # when wrong codes came
        self._told = -TOLD_SECONDS

    def admits(self, peer: Peer) -> bool:
        with self._lock:
            return is_local(peer) or self._open.get(peer[0], 0.0) > time.monotonic()

    def open(self, peer: Peer, passcode: str) -> None:
        """Let the machine in that sent this passcode. Raises `InvalidInput` if it is wrong, or one must wait."""
        if is_local(peer):
            return
        now = time.monotonic()
        with self._lock:
            self._wrong = [at for at in self._wrong if now - at < WRONG_SECONDS]
            if len(self._wrong) >= WRONG_CODES:
                raise InvalidInput(f"There were too many wrong passcodes; wait {WRONG_SECONDS:g} s.")
            right = hmac.compare_digest(passcode.encode(), self._passcode.encode())  # takes as long either way
            if not self._passcode or not right:
                self._wrong.append(now)
                raise InvalidInput("The passcode is wrong; see `passcode` in settings.toml.")
            self._open = {address: until for address, until in self._open.items() if until > now}
            self._open[peer[0]] = now + OPEN_SECONDS

    def may_be_told(self, peer: Peer) -> bool:
        """Whether a refusal is sent to somebody who is not admitted."""
        now = time.monotonic()
        with self._lock:
            if not self._passcode or now - self._told < TOLD_SECONDS:
                return False
            self._told = now
            return True
