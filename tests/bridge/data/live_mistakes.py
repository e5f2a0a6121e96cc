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


def mistakes_with_clips(track: Live.Track.Track, clip: Live.Clip.Clip) -> None:
    clip.loop_end = 2.0
    track.delete_clip(clip)
    clip.start_time = 4.0  # a clip can't be moved
    clip.fade_in_length = 0.1  # fades are not told
    track.delete_clip("clip 4.0")  # by itself, not by a name
