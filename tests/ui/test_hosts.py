from __future__ import annotations

from dataclasses import asdict

from bridge.host import Hello
from dcldm_plugin.types import TimelineTarget
from ui.hosts import state_of


def test_the_window_follows_the_selected_track_and_slot_of_live() -> None:
    def state(item: str) -> tuple[TimelineTarget, str]:
        hello = Hello("Film [12]", 48_000, "Live 12.3.6", track="FX", position=96_000, item=item)
        found = state_of("live", {"connected": True, "sessions": {"Film [12]": asdict(hello)}})
        return found.target(), found.words

    target, words = state("slot 2 4")
    assert target == TimelineTarget("live", "Film [12]", "FX", 96_000, 48_000, "slot 2 4")
    assert words == "Film [12]  ·  FX  ·  slot 5"
    target, words = state("clip 4.000000 /a/b.wav")  # what is new does not go in place of it
    assert target.item == "" and words == "Film [12]  ·  FX  ·  0:02.000"
