# Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
"""A control surface for Ableton Live 11.3.25 or newer: it puts generated clips into the set.

What is in this folder runs inside Live, under its own Python (3.7 in Live 11, 3.11 in Live 12), and imports
nothing of the program that it belongs to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .surface import Surface


def create_instance(c_instance: Any) -> Surface:
    """What Live calls when the control surface is chosen, and again for every set that is opened."""
    from .surface import Surface

    return Surface(c_instance)
