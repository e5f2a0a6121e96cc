"""What mypy must find in a script for Live, against the stubs of its API."""

from __future__ import annotations

import Live


def mistakes(song: Live.Song.Song, track: Live.Track.Track, slot: Live.ClipSlot.ClipSlot) -> None:
    track.create_audio_clip("/a.wav", 0.0)
    track.create_audio_clip(0.0, "/a.wav")  # swapped
    track.create_audio_clip(file_path="/a.wav", position=0.0)  # positional only
    slot.create_audio_clip("/a.wav", 0.0)  # a slot has no position
    song.create_audio_clip("/a.wav")  # invented
    song.file_path = "/a.als"  # read only
    track.create_take_lane().title = "x"  # it is called name
