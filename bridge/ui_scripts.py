"""Ardour's file `ui_scripts`: which Lua actions and hooks are bound. Read, added to, and taken from.

The file is XML. `ActionScript` holds, in base64, Lua text that assigns `scripts[slot]["n"]` = name, `["s"]` =
source, `["f"]` = the factory (bytecode, but source does as well: it goes through `load`) and `["a"]` =
arguments. `ActionHooks` holds one `LuaCallback` per hook in the same manner, with a bit set of the signals
that it is called for. (Ardour 7.3, gtk2_ardour/luainstance.cc and luasignal_syms.h.)
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence, Set
from xml.etree import ElementTree

from bridge.host import HostError

BOUND_VERSION = 7  # of Ardour, whose list of signals this is
LAST_SLOT = 12
_SIGNALS = 49
_EVERY_TENTH_SECOND = 47  # LuaTimerDS
_LUA = "Lua 5.3"
_NO_SCRIPTS = b"scripts = {} "
_STATEMENT = re.compile(
    rb"\s*scripts(?:\[(?P<slot>\d+)\](?P<keys>(?:\[(?:\d+|\"(?:[^\"\\]|\\.)*\")\])*))?\s*=\s*"
    rb"(?P<value>\{\}|\"(?:[^\"\\]|\\.)*\"|true|false|nil|-?[\d.]+(?:e[-+]?\d+)?)\s*",
    re.DOTALL,
)


def add(text: bytes | None, actions: Sequence[tuple[str, str]], hook: tuple[str, str]) -> tuple[bytes, list[int]]:
    """The file with actions and a hook, each (name, Lua source), bound too; and the actions' slots.

    `text` is the file as it is, without ours, or None. Raises `HostError` if it is not understood or full.
    """
    root = _parse(text) if text is not None else ElementTree.Element("UIScripts")
    node = _child(root, "ActionScript")
    node.set("lua", _LUA)
    statements = _statements(node)
    slots = {slot for slot, _, _ in statements}
    free = [slot for slot in range(1, LAST_SLOT + 1) if slot not in slots][: len(actions)]
    if len(free) < len(actions):
        raise HostError(
            f"Ardour has {len(free)} script slots left, and {len(actions)} are needed; "
            "free some in its menu Edit, Lua Scripts."
        )
    merged = b"".join(raw for _, _, raw in statements) or _NO_SCRIPTS
    ours = [_assignments(f"scripts[{slot}]", *action) for slot, action in zip(free, actions, strict=True)]
    node.text = _encoded(b" ".join([merged, *ours]))
    hooks = _child(root, "ActionHooks")
    ids = {callback.get("id") for callback in hooks}
    number = next(number for number in range(1_000_001, 2_000_000) if str(number) not in ids)
    callback = ElementTree.SubElement(hooks, "LuaCallback", lua=_LUA, id=str(number), name=hook[0])
    bits = ["0"] * _SIGNALS
    bits[_SIGNALS - 1 - _EVERY_TENTH_SECOND] = "1"  # the highest bit comes first
    callback.set("signals", "".join(bits))
    callback.text = _encoded(_assignments("s", *hook))
    return _written(root), free


def has(text: bytes, action_names: Set[str], hook_name: str) -> bool:
    """Whether all actions and the hook of these names are bound. Raises `HostError` if not understood."""
    root = _parse(text)
    named = {name for _, name, _ in _statements(_child(root, "ActionScript"))}
    hooks = {callback.get("name") for callback in _child(root, "ActionHooks")}
    return hook_name in hooks and {_quoted(name) for name in action_names} <= named


def remove(text: bytes, action_names: Set[str], hook_name: str) -> bytes:
    """The file without the actions and the hook of these names. Raises `HostError` if not understood."""
    root = _parse(text)
    node = _child(root, "ActionScript")
    statements = _statements(node)
    wanted = {_quoted(name) for name in action_names}
    ours = {slot for slot, name, _ in statements if slot is not None and name in wanted}
    kept = b"".join(raw for slot, _, raw in statements if slot is None or slot not in ours)
    node.text = _encoded(kept or _NO_SCRIPTS)
    hooks = _child(root, "ActionHooks")
    for callback in [one for one in hooks if one.get("name") == hook_name]:
        hooks.remove(callback)
    return _written(root)


def _statements(node: ElementTree.Element) -> list[tuple[int | None, bytes, bytes]]:
    """The Lua text of a node as (slot, the name if this assigns it, raw text) per assignment."""
    try:
        text = base64.b64decode("".join((node.text or "").split()), validate=True)
    except binascii.Error as error:
        raise _not_understood() from error
    found, end = [], 0
    while end < len(text.rstrip()):
        match = _STATEMENT.match(text, end)
        if match is None:
            raise _not_understood()
        slot = int(match["slot"]) if match["slot"] else None
        name = match["value"] if match["keys"] == b'["n"]' else b""
        found.append((slot, name, match[0]))
        end = match.end()
    return found


def _assignments(table: str, name: str, source: str) -> bytes:
    # Ardour calls what "f" loads to with the arguments, and expects the action itself in return.
    factory = f"function ardour () end; local arguments = ...; {source}\nreturn factory (arguments or {{}})"
    values = {"n": name, "s": source, "f": factory}
    parts = [f"{table} = {{}} ".encode()]
    parts += [f'{table}["{key}"] = '.encode() + _quoted(value) + b" " for key, value in values.items()]
    parts.append(f'{table}["a"] = {{}} '.encode())
    return b"".join(parts)


def _quoted(text: str) -> bytes:
    """A Lua string literal."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0"}
    return ('"' + "".join(escapes.get(character, character) for character in text) + '"').encode()


def _encoded(text: bytes) -> str:
    return base64.b64encode(text).decode("ascii")


def _parse(text: bytes) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise _not_understood() from error
    if root.tag != "UIScripts":
        raise _not_understood()
    return root


def _child(root: ElementTree.Element, tag: str) -> ElementTree.Element:
    child = root.find(tag)
    return ElementTree.SubElement(root, tag) if child is None else child


def _written(root: ElementTree.Element) -> bytes:
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _not_understood() -> HostError:
    return HostError(
        "Ardour's file ui_scripts is not of a form that is known here, so it was left alone; "
        "bind or unbind the scripts by hand, in Ardour's menu Edit, Lua Scripts."
    )
