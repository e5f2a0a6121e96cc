"""The arguments of an OSC message: what is expected, read into Python values, or refused with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dcldm_plugin.errors import InvalidInput

Kind = Literal["text", "number", "whole"]
_NAMES: dict[Kind, str] = {"text": "a text", "number": "a number", "whole": "a whole number"}
_NUMBER_TAGS = "i, f, d, h, T, F"  # buttons and faders send 1.0 or True where a program sends 1


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a message. `default` stands for one that may be left out and is."""

    name: str
    kind: Kind
    default: str | float | None = None
    required: bool = False


def read(expected: Sequence[Argument], values: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a message by name. Nil and an empty text mean "not given". Raises `InvalidInput`."""
    if len(values) > len(expected):
        raise InvalidInput(f"There are {len(values)} arguments; send at most {len(expected)}.")
    padded = [*values, *[None] * (len(expected) - len(values))]
    return {argument.name: _value(argument, value) for argument, value in zip(expected, padded, strict=True)}


def described(argument: Argument) -> str:
    """An argument as the README prints it: name, OSC type tags, default; in brackets if it may be left out."""
    tags = {"text": "s", "number": _NUMBER_TAGS, "whole": f"{_NUMBER_TAGS}; whole"}[argument.kind]
    default = f" = {argument.default}" if argument.default not in (None, "") else ""
    text = f"`{argument.name}` ({tags}){default}"
    return text if argument.required else f"[{text}]"


def _value(argument: Argument, value: Any) -> Any:
    if value is None or value == "":
        if argument.required:
            raise InvalidInput(f"The argument {argument.name!r} is missing; send it as {_NAMES[argument.kind]}.")
        return argument.default
    if argument.kind == "text":
        if isinstance(value, str):
            return value
    elif isinstance(value, int | float):  # bool (T and F) is an int
        if argument.kind == "number":
            return float(value)
        if float(value).is_integer():
            return int(value)
    raise InvalidInput(f"The argument {argument.name!r} must be {_NAMES[argument.kind]}.")
