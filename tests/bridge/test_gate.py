from __future__ import annotations

import pytest

from bridge import gate as module
from bridge.gate import Gate, is_local
from dcldm_plugin.errors import InvalidInput

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
