from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge import gate as module
from bridge.gate import Gate, is_local
from bridge.osc import decode, encode
from bridge.program import open_socket, running
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.settings import Settings

OTHER, THIRD = ("192.168.1.20", 9000), ("192.168.1.21", 9000)


def test_this_machine_is_always_heard() -> None:
    assert Gate().admits(("127.0.0.1", 5)) and is_local(("", 0))
    assert not Gate().admits(OTHER)


def test_another_machine_needs_the_passcode() -> None:
    gate = Gate("open sesame")
    with pytest.raises(InvalidInput, match="wrong"):
        gate.open(OTHER, "open says me")
    assert not gate.admits(OTHER)
    gate.open(OTHER, "open sesame")
    assert gate.admits(OTHER) and gate.admits((OTHER[0], 1)) and not gate.admits(THIRD)


def test_without_a_passcode_no_code_is_right() -> None:
    with pytest.raises(InvalidInput, match="wrong"):
        Gate().open(OTHER, "")


def test_guessing_is_slow_from_however_many_addresses() -> None:
    gate = Gate("open sesame")
    for number in range(module.WRONG_CODES):
        with pytest.raises(InvalidInput, match="wrong"):
            gate.open((f"10.0.0.{number}", 1), f"guess {number}")
    with pytest.raises(InvalidInput, match="too many"):
        gate.open(OTHER, "open sesame")


def test_refusals_are_few() -> None:
    gate = Gate("open sesame")
    assert gate.may_be_told(OTHER) and not gate.may_be_told(THIRD)
    assert not Gate().may_be_told(OTHER)


def test_a_passcode_has_some_length() -> None:
    with pytest.raises(InvalidInput, match="at least 8"):
        Gate("short")


def own_address() -> str:
    """By which other machines know this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # of no machine (RFC 5737); nothing is sent
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


def test_from_the_network_only_who_knows_the_passcode_is_heard_and_no_host(tmp_path: Path) -> None:
    address = own_address()
    settings = replace(Settings.at(tmp_path), lan=True, passcode="open sesame")
    osc = open_socket(settings, 0)
    with running(settings, osc), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.settimeout(60)
        other.bind((address, 0))

        def ask(called: str, *arguments: str) -> dict[str, Any]:
            other.sendto(encode(called, *arguments), (address, osc.port))
            [(_, [text])] = decode(other.recv(65_535))
            reply: dict[str, Any] = json.loads(text)
            return reply

        assert "Send /dcldm/passcode" in ask("/dcldm/ping")["error"]
        assert "wrong" in ask("/dcldm/passcode", "open says me")["error"]
        assert ask("/dcldm/passcode", "open sesame")["status"] == "ok"
        assert ask("/dcldm/ping")["status"] == "ok"
        assert "A host speaks from the machine" in ask("/dcldm/hello", "live", "Song")["error"]
    with pytest.raises(InvalidInput, match="set a `passcode`"):
        open_socket(replace(settings, passcode=""), 0)
