"""The recipes of the synthesiser: one function per family of sounds, one module per category (two for hits).

A recipe draws its words and parameters from a random generator and returns a `Sound`. Frequencies are in
hertz, times in seconds, rates in events per second; a decay time is the time to fall by 60 dB.
"""

from collections.abc import Callable

from dcldm_plugin.training.recipes import (
    blasts,
    creatures,
    fire,
    hits,
    machines,
    mechanisms,
    movement,
    signals,
    sound_design,
    water,
    weather,
)
from dcldm_plugin.training.recipes.blocks import Rng, Sound

__all__ = ["CATEGORIES", "FAMILIES", "Recipe"]

Recipe = Callable[[Rng], Sound]

_BY_CATEGORY: dict[str, tuple[Recipe, ...]] = {
    "weather": (weather.rain, weather.wind, weather.thunder),
    "water": (water.stream, water.waves, water.dripping, water.bubbles, water.splash),
    "fire": (fire.fire,),
    "movement": (movement.footsteps, movement.whoosh),
    "blasts and weapons": (blasts.explosion, blasts.gunshot, blasts.laser, blasts.sword_clash),
    "machines": (
        machines.engine, machines.helicopter, machines.hum, machines.electricity, machines.steam, machines.aircraft,
        machines.train, machines.power_tool,
    ),
    "bells and signals": (signals.bell, signals.beep, signals.siren, signals.alarm_clock, signals.phone, signals.horn),
    "sound design": (
        sound_design.riser, sound_design.drone, sound_design.magic, sound_design.power, sound_design.game,
        sound_design.static,
    ),
    "hits": (
        hits.impact, hits.knock, hits.door, hits.glass, hits.coins, hits.drums, mechanisms.click, mechanisms.clock,
        mechanisms.typing, mechanisms.sawing,
    ),
    "living things": (
        creatures.heartbeat, creatures.birds, creatures.crickets, creatures.frogs, creatures.owl, creatures.crowd,
        creatures.applause, creatures.insect, creatures.dog, creatures.whistle,
    ),
}  # fmt: skip

FAMILIES: dict[str, Recipe] = {
    recipe.__name__.replace("_", " "): recipe for recipes in _BY_CATEGORY.values() for recipe in recipes
}
"""Every family's recipe by name. Clips are drawn by position in it, so that its order belongs to their identity."""

CATEGORIES: dict[str, str] = {
    recipe.__name__.replace("_", " "): category for category, recipes in _BY_CATEGORY.items() for recipe in recipes
}
"""Every family's category by name."""
