"""The words of captions: other phrases for a sound, plurals, and adjectives."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from numpy.random import Generator

OTHER_WORDS = Path(__file__).parent / "data" / "other_words.csv"

NUMBERS = ("two", "three", "four", "five", "six")
# Other words for a sound, by its caption or else by its category; they must hold for all sounds under that key.
PHRASES = {
    key: tuple(phrases.split("|"))
    for key, phrases in {
        "rain": "rain|rainfall|heavy rain|rain on a roof|steady rain outside|rain pouring down",
        "wind": "wind|howling wind|strong wind|wind gusts|a windy day|breeze",
        "thunder": "thunder|thunder rumbling|rolling thunder|a thunderstorm|lightning strike|distant rolling thunder",
        "a river of flowing water": "running water|water flowing|a stream|a babbling brook|water running in a river",
        "a waterfall rushing": "waterfall|rushing water|a large waterfall|water falling",
        "waves": "ocean waves|sea waves|waves breaking on a beach|the sea|surf",
        "a crackling fire burning": "fire|fire crackling|a campfire|burning wood crackling|a fireplace|flames",
        "birds": "birds|birds chirping|birdsong|forest birds singing|birds tweeting",
        "insects": "crickets|insects chirping|crickets at night|night insects",
        "crowd": "crowd|people talking|crowd noise|a crowded place|crowd chatter|many voices",
        "traffic": "traffic|cars driving by|road noise|a busy street",
        "rumble": "rumble|low rumbling|deep rumbling",
        "train": "train|a train going by|train on the tracks|railway",
        "water drip": "dripping water|water drops|a dripping tap|drops falling in a cave",
        "explosion": "explosion|a bomb exploding|blast|a loud explosion|something blowing up|boom",
        "a footstep": "a step|footstep|a single footstep",
        "laser": "laser|a laser shot|sci-fi gun shot|ray gun|a blaster shot|laser zap",
        "gunshot": "gunshot|gun shot|a gun firing|a shot being fired|gunfire",
        "machine gun": "machine gun|automatic gunfire|machine gun fire|a burst of gunfire",
        "gun reload": "gun reload|loading a weapon|a gun being cocked|gun reloading",
        "rocket": "rocket|rocket launch|missile launch|a missile being fired",
        "a dog barking": "dog|dog bark|dog barking|a barking dog|woof",
        "a cat meowing": "cat|cat meow|meowing cat|a cat",
        "a cow mooing": "cow|cow moo|cow mooing|a cow on a farm|cattle mooing",
        "a sheep bleating": "sheep|sheep baa|sheep bleating|a bleating sheep",
        "a goat bleating": "goat|goat bleating|a goat",
        "a horse neighing": "horse|horse neigh|horse whinnying|a horse whinny",
        "horse hooves trotting": "horse hooves|horse trotting|clip clop of hooves|a horse walking",
        "a pig grunting": "pig|pig oinking|pig grunt|oink",
        "chickens clucking": "chickens|hens clucking|chicken|clucking chicken",
        "a rooster crowing": "rooster|rooster crow|cock-a-doodle-doo|a cock crowing",
        "a wolf howling": "wolf|wolf howl|howling wolf",
        "a door opening": "door opening|a door opens|door",
        "a door closing": "door closing|a door shuts|door shut|door",
        "glass break": "glass shattering|broken glass|a window breaking|smashing glass|a bottle breaking",
        "swords clashing": "sword fight|swords|clashing blades|metal blades hitting|sword clash",
        "whoosh": "whoosh|swoosh|a fast swoosh|something swinging through the air|air whoosh",
        "a metal clang": "metal clang|metallic hit|metal impact|clanging metal|something hitting metal",
        "a hammer hitting metal": "anvil|hammering on metal|a blacksmith at work|hammer on an anvil",
        "chopping wood with an axe": "wood chopping|axe hitting wood|chopping a tree|an axe chop",
        "sawing wood": "hand saw|sawing|a saw cutting wood",
        "a user interface button click": "click|button click|ui click|menu click|a short click",
        "beep": "beep|notification|notification sound|message alert|electronic chime",
        "alarm": "alarm|alarm ringing|warning alarm|an alert signal",
        "phone": "phone ringing|telephone|phone ring",
        "horn": "horn|ship horn|fog horn|a deep horn",
        "a splash in water": "splash|water splash|something falling into water|splashing water",
        "bounce": "bounce|something bouncing|bouncing object",
        "aircraft": "airplane|plane flying over|aircraft flyby|a plane in the sky",
        "engine": "engine|motor running|engine sound|a motor",
        "a car engine revving": "car engine|revving engine|car revving|a car accelerating",
        "a ride cymbal hit": "cymbal|ride cymbal|cymbal hit",
        "a cymbal crash": "cymbal|crash cymbal|cymbal crash",
        "a kick drum hit": "kick drum|bass drum|bass drum hit|kick",
        "a snare drum hit": "snare|snare drum|snare hit|drum hit",
        "a tom drum hit": "tom drum|tom|tom hit|drum hit",
        "hi-hat": "hi-hat|hi-hat cymbal|hihat",
        "electric": "electricity|electric buzz|electrical sparks",
        "crash": "crash|something crashing down|debris falling|rubble collapsing",
        "scream": "scream|a scream|someone screaming|cry of pain",
        "laugh": "laughter|laughing|someone laughing",
        "rustling leaves and plants": "leaves|rustling leaves|rustling grass|bushes rustling",
        "flame burst": "flames|a burst of fire|fire whoosh|flamethrower",
    }.items()
}  # fmt: skip
PLURALS = {
    "a dog barking": "dog barks", "a cow mooing": "cow moos", "a sheep bleating": "sheep bleats",
    "a goat bleating": "goat bleats", "a cat meowing": "cat meows", "a pig grunting": "pig grunts",
    "a horse neighing": "horse neighs", "a crow cawing": "crow caws", "a duck quacking": "duck quacks",
    "a goose honking": "goose honks", "an owl hooting": "owl hoots", "a splash in water": "water splashes",
    "a whoosh passing by": "whooshes", "chopping wood with an axe": "axe chops on wood",
    "a pickaxe hitting metal": "pickaxe hits on metal", "hammering on wood": "hammer knocks on wood",
    "a hammer hitting metal": "hammer hits on metal", "chiselling stone": "chisel hits on stone",
    "swords clashing": "sword clashes", "a bullet ricochet": "bullet ricochets", "a wet squishing splat": "wet splats",
    "a machine gun firing a burst": "machine gun bursts", "an arrow shot from a bow": "arrow shots from a bow",
    "an object bouncing": "bounces", "a door closing": "door slams", "a person coughing": "coughs",
    "a person sneezing": "sneezes", "a telephone ringing": "telephone rings", "a bell ringing": "bell rings",
}  # fmt: skip
# Nouns of single events: "a pistol shot" becomes "pistol shots", "a footstep on gravel" "footsteps on gravel".
COUNTABLE = re.compile(
    r"^an? ((?:[\w-]+ )*?(?:hit|shot|blast|explosion|footstep|clap|snap|clang|thud|thrust|swing|click|beep|chime|zap"
    r"|pop|boom|stroke))((?: on| in| weapon)\b.*)?$"
)


def plural(caption: str) -> str | None:
    """Return the caption of several such events without an article ("footsteps on gravel"), if it has a plural."""
    match = COUNTABLE.match(caption)
    return PLURALS.get(caption) or (f"{match[1]}s{match[2] or ''}" if match else None)


def other_words() -> dict[str, str]:
    """What else people call a sound, and the caption that it has here."""
    with OTHER_WORDS.open(newline="", encoding="utf-8") as file:
        return {row["words"]: row["caption"] for row in csv.DictReader(file)}


def paraphrase(caption: str, category: str, rng: Generator) -> str:
    """Return a recorded sound's own caption (40 %) or another one that fits it."""
    if rng.random() < 0.4:
        return caption
    phrases = PHRASES.get(caption) or PHRASES.get(category)
    if phrases and rng.random() < 0.75:
        return phrases[int(rng.integers(len(phrases)))]
    bare = re.sub(r"^an? ", "", caption)
    return f"the sound of {caption}" if rng.random() < 0.25 else bare


def with_adjective(caption: str, adjective: str, rng: Generator) -> str:
    """Add "distant" or a pitch to a caption: before its noun, or after a comma where that would not be English."""
    if adjective == "distant" and rng.random() < 0.4:
        return f"{caption} in the distance"
    article = re.match(r"an? ", caption)
    if article:
        return f"a {adjective} {caption[article.end() :]}"
    is_bare = not caption.startswith(("the ", *NUMBERS, "slow ", "rapid "))
    return f"{adjective} {caption}" if is_bare else f"{caption}, {adjective}"
