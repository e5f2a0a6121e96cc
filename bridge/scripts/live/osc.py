# Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
"""As much of OSC 1.0 as is spoken with the program: single messages of i, f, d and s."""

from __future__ import annotations

import struct
from typing import Union

Value = Union[str, int, float]


def encode(address: str, *arguments: Value) -> bytes:
    """One message; an int as i where it fits, else as d, and a float as d: samples need more digits than f has."""
    tags, data = ",", b""
    for argument in arguments:
        if isinstance(argument, str):
            tags += "s"
            data += _text(argument)
        elif isinstance(argument, int) and -(2**31) <= argument < 2**31:
            tags += "i"
            data += struct.pack(">i", argument)
        else:
            tags += "d"
            data += struct.pack(">d", argument)
    return _text(address) + _text(tags) + data


def decode(datagram: bytes) -> tuple[str, list[Value]]:
    """The address and the arguments. Raises ValueError for anything else."""
    address, at = _read_text(datagram, 0)
    tags, at = _read_text(datagram, at)
    if not address.startswith("/") or not tags.startswith(","):
        raise ValueError("not an OSC message")
    arguments: list[Value] = []
    for tag in tags[1:]:
        if tag == "s":
            text, at = _read_text(datagram, at)
            arguments.append(text)
        elif tag in "ifd":
            form = ">" + tag
            try:
                arguments.append(struct.unpack_from(form, datagram, at)[0])
            except struct.error as error:
                raise ValueError("the data end too early") from error
            at += struct.calcsize(form)
        else:
            raise ValueError("unknown type tag")
    return address, arguments


def _text(text: str) -> bytes:
    content = text.encode("utf-8", "replace").replace(b"\0", b"?")
    return content + b"\0" * (4 - len(content) % 4)


def _read_text(datagram: bytes, at: int) -> tuple[str, int]:
    end = datagram.index(b"\0", at)  # ValueError if there is none
    return datagram[at:end].decode("utf-8"), (end // 4 + 1) * 4
