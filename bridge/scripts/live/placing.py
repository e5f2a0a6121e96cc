# Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
"""Clips into the set: on an arrangement track with alternates in take lanes or on tracks beneath, or into slots.

Nothing of the user's is written over: where something lies already, a track of its own is made. In place of a
clip means on its own track where Live has take lanes and the clip can be put into one as it is; else beneath. A
clip is known again by its file, whose name is unique, so that asking twice places once.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Any, Iterator, NamedTuple

import Live

SAMPLE_RATE = 48000  # Hz; Live does not tell its own, so positions are counted in this one
LAST_BEAT = 1576800.0
LANE = "DC-LDM "


class Refused(Exception):
    """A sentence for the user: why something can't be placed, and what to do."""


class Found(NamedTuple):
    """Where a clip is."""

    clip: Live.Clip.Clip
    track: Live.Track.Track
    item: str


def capabilities() -> list[str]:
    """What this version of Live lets scripts do."""
    caps = []
    if hasattr(Live.Track.Track, "create_audio_clip"):
        caps.append("arrangement")
    if hasattr(Live.ClipSlot.ClipSlot, "create_audio_clip"):
        caps.append("session")
    if hasattr(Live.Track.Track, "create_take_lane"):
        caps.append("lanes")
    return caps


def item_of(clip: Live.Clip.Clip) -> str:
    """The name by which an arrangement clip is found again."""
    return f"clip {clip.start_time:.6f} {clip.file_path}"


def place(
    song: Live.Song.Song, job: dict[str, Any], done: dict[str, Live.Clip.Clip]
) -> list[tuple[str, str, str, str, int]]:
    """Place what is missing, as one undo step. Returns (job, clip, item, track, position) of every clip.

    `done` holds what this set was given so far, by path: Live may spell a path in its own way. Raises `Refused`
    for what can't be done; what was placed before that stays and is known again.
    """
    if "arrangement" not in capabilities():
        raise Refused("This version of Live can't be given clips; update it to 11.3.25, 12.0.5 or newer.")
    known = _known(song, [clip["path"] for group in job["groups"] for clip in group["clips"]], done)
    missing = [clip for group in job["groups"] for clip in group["clips"] if clip["path"] not in known]
    if missing:
        song.begin_undo_step()
        try:
            for group in job["groups"]:
                _place_group(song, group, known)
        finally:
            song.end_undo_step()
            done.update({path: found.clip for path, found in known.items()})
    placed = []
    for group in job["groups"]:
        for clip in group["clips"]:
            found = known[clip["path"]]
            at = found.clip.start_time if found.item.startswith("clip") else 0.0
            position = round(at * 60.0 / song.tempo * SAMPLE_RATE)
            placed.append((group["job"], clip["id"], found.item, found.track.name, position))
    return placed


def _known(song: Live.Song.Song, paths: list[str], done: dict[str, Live.Clip.Clip]) -> dict[str, Found]:
    """Which of these files are in the set already, by the path that was asked for."""
    there = list(_all_clips(song))
    by_file = {_spelt(found.clip.file_path): found for found in there}
    known = {}
    for path in paths:
        found = by_file.get(_spelt(path)) or next((one for one in there if one.clip == done.get(path)), None)
        if found is not None:
            known[path] = found
    return known


def _spelt(path: str) -> str:
    """A path as it is compared: macOS takes letters apart, and Windows does not tell large from small."""
    return unicodedata.normalize("NFC", os.path.normcase(os.path.normpath(path)))


def _place_group(song: Live.Song.Song, group: dict[str, Any], known: dict[str, Found]) -> None:
    slot = _slot(song, group["item"])
    if slot is not None:
        _into_slots(song, slot, group, known)
        return
    old = find_clip(song, group["item"])
    if old is not None:
        (_in_place if _can_be_kept(song, old, group) else _beneath)(song, old, group, known)
        return
    heard: Live.Track.Track | None = None
    for number, clip in enumerate(group["clips"], 1):
        if clip["path"] in known:
            heard = heard or known[clip["path"]].track
            continue
        span = _span(song, clip)
        if heard is None:
            heard = _track_for(song, group["track"], group["title"], span)
            known[clip["path"]] = _create(heard, clip, span[0])
        else:
            known[clip["path"]] = _alternate(song, heard, clip, number, span)


def _can_be_kept(song: Live.Song.Song, old: Found, group: dict[str, Any]) -> bool:
    """Whether a clip can be made again in a take lane as it is, and others in its place harm nothing behind it.

    All of a clip can be made again but warp markers, envelopes and fades. Live tells no script of fades, so theirs
    are the only ones that are lost; undo brings them back. New clips come in full length, and are trimmed then.
    """
    clip = old.clip
    plain = not (clip.warping or clip.looping or clip.has_envelopes or clip.loop_start > 1e-6)
    if "lanes" not in capabilities() or not plain or not _takes_audio(old.track):
        return False
    seconds = [one["seconds"] for one in group["clips"]]
    span = (clip.start_time, clip.start_time + _beats(song, max(seconds)))
    return _free([one for one in old.track.arrangement_clips if one != clip], span)


def _in_place(song: Live.Song.Song, old: Found, group: dict[str, Any], known: dict[str, Found]) -> None:
    """In place of a clip, on its track: the first takes its position, length and gain; it is kept in a take lane."""
    start = old.clip.start_time

    def span(seconds: float) -> tuple[float, float]:
        return start, start + _beats(song, seconds)

    for number, clip in enumerate(group["clips"], 1):
        if clip["path"] in known:
            continue
        if number == 1:
            if not old.clip.is_take_lane_clip:  # else Live went away in the middle of this
                whole = old.clip.sample_length / old.clip.sample_rate
                kept = _into_lane(old.track, LANE + "before", old.clip.file_path, span(whole))
                _resemble(kept, old.clip)
                kept.name = old.clip.name
                old.track.delete_clip(old.clip)
                old = Found(kept, old.track, old.item)
            try:
                found = _create(old.track, clip, start)
            except Refused:  # the place must not stay empty
                _resemble(old.track.create_audio_clip(old.clip.file_path, start), old.clip)
                raise
        else:
            found = _alternate(song, old.track, clip, number, span(clip["seconds"]))
        _resemble(found.clip, old.clip)
        known[clip["path"]] = found


def _resemble(clip: Live.Clip.Clip, old: Live.Clip.Clip) -> None:
    """Give a new clip the gain, pitch and length of another that is not warped: its end is in seconds."""
    clip.looping = False
    clip.warping = False
    clip.gain = old.gain
    clip.pitch_coarse, clip.pitch_fine = old.pitch_coarse, old.pitch_fine
    clip.loop_end = old.loop_end  # Live holds it to the end of the file


def _beneath(song: Live.Song.Song, old: Found, group: dict[str, Any], known: dict[str, Found]) -> None:
    """Beneath a clip that has to stay as it is, but muted: at its time and as loud, on a track of its own."""
    heard: Live.Track.Track | None = None
    shift = old.clip.start_time - _beats(song, group["clips"][0]["at"])
    for number, clip in enumerate(group["clips"], 1):
        if clip["path"] in known:
            heard = heard or known[clip["path"]].track
            continue
        start, end = _span(song, clip)
        span = (max(0.0, start + shift), end + shift)
        if heard is None:
            heard = _named_track(song, old.track.name + " takes", span, after=old.track)
            found = _create(heard, clip, span[0])
            old.clip.muted = True
        else:
            found = _alternate(song, heard, clip, number, span)
        found.clip.gain = old.clip.gain
        known[clip["path"]] = found


def _alternate(
    song: Live.Song.Song,
    heard: Live.Track.Track,
    clip: dict[str, Any],
    number: int,
    span: tuple[float, float],
) -> Found:
    """The others of a job: in take lanes where Live has them, else muted on tracks beneath."""
    if "lanes" not in capabilities():
        track = _named_track(song, f"{heard.name} alt {number}", span, after=heard)
        found = _create(track, clip, span[0])
        found.clip.muted = True
        return found
    made = _made(clip, lambda path: _into_lane(heard, LANE + str(number), path, span))
    return Found(made, heard, item_of(made))


def _into_lane(track: Live.Track.Track, name: str, path: str, span: tuple[float, float]) -> Live.Clip.Clip:
    """A file into the take lane of this name, or into a new one where something lies there already."""
    lane = next((one for one in track.take_lanes if one.name == name and _free(one.arrangement_clips, span)), None)
    if lane is None:
        lane = track.create_take_lane()
        lane.name = name
    return lane.create_audio_clip(path, span[0])


def _into_slots(song: Live.Song.Song, slot: tuple[int, int], group: dict[str, Any], known: dict[str, Found]) -> None:
    """Into this slot and the next empty ones below it."""
    track_index, scene_index = slot
    track = song.tracks[track_index]
    if not _takes_audio(track):
        track = _new_track(song, group["title"], track_index + 1)
        track_index += 1
    for clip in group["clips"]:
        if clip["path"] in known:
            continue
        while scene_index < len(track.clip_slots) and track.clip_slots[scene_index].has_clip:
            scene_index += 1
        if scene_index >= len(track.clip_slots):
            song.create_scene(-1)
        made = _made(clip, track.clip_slots[scene_index].create_audio_clip)
        known[clip["path"]] = Found(made, track, f"slot {track_index} {scene_index}")


def _create(track: Live.Track.Track, clip: dict[str, Any], beat: float) -> Found:
    made = _made(clip, lambda path: track.create_audio_clip(path, beat))
    return Found(made, track, item_of(made))


def _made(clip: dict[str, Any], create: Any) -> Live.Clip.Clip:
    """A clip that plays the file as it is: not warped, not looped."""
    try:
        made: Live.Clip.Clip = create(clip["path"])
    except (RuntimeError, TypeError, ValueError) as error:
        path = clip["path"]
        raise Refused(f"Live can't take {path} ({error}); check that the file is there.") from error
    made.name = clip["name"]
    made.looping = False
    made.warping = False
    if clip["start"] < clip["at"]:  # its beginning would lie before the arrangement's; seconds, as it is not warped
        made.start_marker = clip["at"] - clip["start"]
    return made


# Where things are


def find_clip(song: Live.Song.Song, item: str) -> Found | None:
    """The arrangement clip of this name."""
    if not item.startswith("clip "):
        return None
    start, _, path = item[5:].partition(" ")
    try:
        beat = float(start)
    except ValueError:
        return None
    for found in _all_clips(song):
        if found.clip.file_path == path and found.item.startswith("clip") and abs(found.clip.start_time - beat) < 1e-3:
            return found
    return None


def _slot(song: Live.Song.Song, item: str) -> tuple[int, int] | None:
    words = item.split(" ")
    if len(words) != 3 or words[0] != "slot" or not (words[1].isdigit() and words[2].isdigit()):
        return None
    track, scene = int(words[1]), int(words[2])
    return (track, scene) if track < len(song.tracks) else None


def _all_clips(song: Live.Song.Song) -> Iterator[Found]:
    for index, track in enumerate(song.tracks):
        lanes = [lane.arrangement_clips for lane in track.take_lanes] if "lanes" in capabilities() else []
        for clips in [track.arrangement_clips, *lanes]:
            for clip in clips:
                if clip.is_audio_clip:
                    yield Found(clip, track, item_of(clip))
        for scene, slot in enumerate(track.clip_slots):
            if slot.has_clip and slot.clip.is_audio_clip:
                yield Found(slot.clip, track, f"slot {index} {scene}")


def _beats(song: Live.Song.Song, seconds: float) -> float:
    return seconds * song.tempo / 60.0


def _span(song: Live.Song.Song, clip: dict[str, Any]) -> tuple[float, float]:
    """Where a clip begins and ends, in beats. The tempo is taken for constant."""
    start, end = _beats(song, clip["at"]), _beats(song, clip["start"] + clip["seconds"])
    if start > LAST_BEAT:
        raise Refused("The position is beyond the end of Live's arrangement; choose an earlier one.")
    return start, max(start, end)


def _free(clips: Any, span: tuple[float, float]) -> bool:
    return all(clip.end_time <= span[0] + 1e-6 or clip.start_time >= span[1] - 1e-6 for clip in clips)


def _takes_audio(track: Live.Track.Track) -> bool:
    return bool(track.has_audio_input and not track.is_foldable and not track.is_frozen)


def _track_for(song: Live.Song.Song, name: str, title: str, span: tuple[float, float]) -> Live.Track.Track:
    """The track of this name, if nothing would be written over there; else a new one beneath it."""
    named = [one for one in song.tracks if name and one.name == name]
    selected = song.view.selected_track
    wanted: Live.Track.Track | None = selected if selected in named else next(iter(named), None)
    if wanted is None:
        return _named_track(song, name or title, span)
    if _takes_audio(wanted) and _free(wanted.arrangement_clips, span):
        if song.record_mode and wanted.can_be_armed and wanted.arm:
            raise Refused(f"Live is recording into the track {name}; stop that and place the clips again.")
        return wanted
    return _named_track(song, title, span, after=wanted)


def _named_track(
    song: Live.Song.Song, name: str, span: tuple[float, float], after: Live.Track.Track | None = None
) -> Live.Track.Track:
    """A track of this name that is free there, or a new one."""
    track: Live.Track.Track
    for track in song.tracks:
        if track.name == name and _takes_audio(track) and _free(track.arrangement_clips, span):
            return track
    return _new_track(song, name, -1 if after is None else list(song.tracks).index(after) + 1)


def _new_track(song: Live.Song.Song, name: str, index: int) -> Live.Track.Track:
    track = song.create_audio_track(index)
    track.name = name
    return track
