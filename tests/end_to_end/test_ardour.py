"""All that our scripts do inside Ardour, in one session of the real program, from the first prompt to the mixdown.

What counts is what Ardour saved and what its mixer plays, not what our own parts say. The tests follow one
another as a user's day would.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import soundfile

from dcldm_plugin.audio.clip_file import read_record

PROMPT = "heavy rain on a tin roof"
SECONDS, RATE = 2, 48_000
POSITION = 123_457  # samples; odd, so that no grid could have put it there
BUILTIN_POSITION = 1_000_003
TRACK, SESSION = "AI Clips", "sess"
LAG_SAMPLES = 20
GENERATE, VARY, SPOT = range(3)


def place(track: str, position: int, item: str = "", snap: str = "") -> tuple[str | int | None, ...]:
    """The last arguments of `/dcldm/generate`."""
    return ("ardour", track, position, RATE, SESSION, None, None, None, None, item, snap)


def vary(studio: Any, job_id: str, region: Any, control: str, *values: float) -> list[Any]:
    """What the dialog sends for a control, and the regions there then."""
    amount, start, end = (*values, 0.0, 0.0, 0.0)[:3]
    arguments = (job_id, region.path, control, amount, start, end, "", "", None, 1, 5, "")
    where = ("ardour", region.track, region.position, RATE, SESSION, None, None, region.id, "")
    assert studio.ask("/dcldm/vary", *arguments, *where)["status"] == "accepted"
    studio.finished(job_id)
    return list(studio.regions())


def at(found: list[Any], position: int) -> list[Any]:
    """The regions at a position, the topmost first."""
    return sorted((one for one in found if one.position == position), key=lambda one: -one.layer)


def best_lag(mix: np.ndarray[Any, Any], clip: np.ndarray[Any, Any]) -> tuple[int, float]:
    """By how many samples the clip lies off in the mixdown, and the correlation there. One channel each."""
    scores = {}
    for lag in range(-LAG_SAMPLES, LAG_SAMPLES + 1):
        start = LAG_SAMPLES + lag
        scores[lag] = float(np.corrcoef(mix[start : start + len(clip)], clip)[0, 1])
    best = max(scores, key=scores.__getitem__)
    return best, scores[best]


def test_the_program_knows_what_is_open(studio: Any) -> None:
    hello = studio.ask("/dcldm/ping")["hosts"]["ardour"]["sessions"][SESSION]
    assert hello["application"] == "Ardour 7" and hello["sample_rate"] == RATE
    assert Path(hello["folder"]) == studio.session_folder / "interchange" / SESSION / "audiofiles"
    assert "Ardour 7 answers: it works." in studio.install("--wait", "60")  # while it runs, since all is in place


def test_a_prompt_typed_at_the_playhead_lands_there_with_its_alternates(studio: Any) -> None:
    studio.send("/locate", POSITION, 0)
    studio.send("/strip/select", 2, 0)
    time.sleep(1.0)  # neither is confirmed
    before = len(studio.events.lines)
    studio.action(GENERATE, "Generate from prompt", PROMPT, str(SECONDS), "2")
    studio.send("/locate", 0, 0)  # the place was noted when the prompt was asked for
    job = studio.new_job(before)
    studio.window("^DC-LDM$")  # progress, while it renders
    studio.screenshot(studio.folder / "progress.png")
    studio.finished(job)
    first, second = at(studio.regions(), POSITION)
    assert {one.track for one in (first, second)} == {TRACK} and not first.muted and second.muted
    assert first.length == second.length == SECONDS * RATE
    assert [one["item"] for one in studio.placements(job)] == [first.id, second.id]
    for one, clip in zip((first, second), studio.clips(job), strict=True):
        assert one.path == clip["path"]  # the file itself, in the session's folder, which still says what it is
        assert Path(one.path).parent == studio.session_folder / "interchange" / SESSION / "audiofiles"
        assert read_record(Path(one.path))["request"]["prompt"]["text"] == PROMPT

    studio.ask("/dcldm/place", job)  # as the program does if a confirmation got lost
    time.sleep(1.0)
    assert len(at(studio.regions(), POSITION)) == 2

    assert studio.ask("/dcldm/choose", job, 1)["status"] == "accepted"
    chosen = [{one.id for one in studio.regions() if not one.muted} for _ in range(1)]
    for _ in range(20):
        chosen = [{one.id for one in studio.regions() if not one.muted}]
        if chosen == [{second.id}]:
            break
    assert chosen == [{second.id}]
    assert at(studio.regions(), POSITION)[0].id == second.id


def test_the_next_take_is_one_action_away(studio: Any) -> None:
    first, second = at(studio.regions(), POSITION)
    studio.select_region(first.id)
    studio.action(VARY, "Vary the selected region", place=(0.76, 0.66), choice=["Up"])  # where the list of controls is
    time.sleep(1.0)
    assert {one.id for one in studio.regions() if one.muted} == {first.id}
    assert second.id not in {one.id for one in studio.regions() if one.muted}


def test_a_region_is_regenerated_in_place(studio: Any) -> None:
    old = at(studio.regions(), POSITION)[0]
    studio.lua(
        f"""
        for route in Session:get_tracks ():iter () do
          local region = route:to_track ():playlist ():region_by_id (PBD.ID ("{old.id}"))
          if not region:isnil () then
            local audio = region:to_audioregion ()
            audio:set_scale_amplitude (0.5)
            audio:set_fade_in_shape (ARDOUR.FadeShape.FadeConstantPower)
            audio:set_fade_in_length (4800)
            audio:set_fade_out_shape (ARDOUR.FadeShape.FadeSlow)
            audio:set_fade_out_length (9600)
            region:trim_end (Temporal.timepos_t ({POSITION} + {RATE}))
          end
        end"""
    )
    old = next(one for one in studio.regions() if one.id == old.id)
    assert old.length == RATE + 1 or old.length == RATE
    studio.select_region(old.id)
    before = len(studio.events.lines)
    studio.action(VARY, "Vary the selected region")
    job = studio.new_job(before)
    studio.finished(job)
    found = at(studio.regions(), POSITION)
    new, kept = found[0], next(one for one in found if one.id == old.id)
    assert len(found) == 3 and kept.muted and not new.muted
    assert (new.position, new.length, new.start, new.gain) == (old.position, old.length, old.start, 0.5)
    assert new.fades == old.fades
    assert read_record(Path(new.path))["request"]["control"]["kind"] == "regenerate"


def test_a_prompt_fills_the_selected_range_or_takes_the_place_of_the_selected_region(studio: Any) -> None:
    start, end = 700_003, 760_001
    studio.select_range(start, end, "Dialogue")
    before = len(studio.events.lines)
    studio.action(GENERATE, "Generate from prompt", "a car passes")
    studio.finished(studio.new_job(before))
    first, *_ = at(studio.regions(), start)
    assert first.track == "Dialogue" and abs(first.length - (end - start)) <= RATE // 100  # the dialog has two digits
    studio.lua("Editor:access_action ('Editor', 'escape')")
    studio.select_region(first.id)
    before = len(studio.events.lines)
    studio.action(GENERATE, "Generate from prompt", "a train passes", place=(0.66, 0.53), choice=["Down"])
    studio.finished(studio.new_job(before))
    found = at(studio.regions(), start)
    assert read_record(Path(found[0].path))["request"]["prompt"]["text"] == "a train passes"
    assert found[0].length == first.length and {one.muted for one in found[1:]} == {True}


def test_a_region_is_retextured_repaired_and_made_again(studio: Any) -> None:
    position = 300_001
    assert studio.ask("/dcldm/generate", "real", PROMPT, 1.5, 1, 3, "builtin", *place(TRACK, position))
    studio.finished("real")
    (old,) = at(studio.regions(), position)
    new = at(vary(studio, "retexture", old, "retexture", 0.6), position)[0]
    assert (new.length, new.gain, new.fades) == (old.length, old.gain, old.fades)
    studio.select_range(position + RATE // 2, position + RATE, TRACK)
    log = len(studio.events.lines)
    studio.action(VARY, "Vary the selected region")  # which offers to repair the range
    studio.finished(studio.new_job(log))
    repaired = at(studio.regions(), position)[0]
    control = read_record(Path(repaired.path))["request"]["control"]
    assert (control["kind"], round(control["start"], 3), round(control["end"], 3)) == ("repair", 0.5, 1.0)
    before, after = (soundfile.read(one.path, dtype="int32", always_2d=True)[0] for one in (new, repaired))
    assert np.array_equal(before[: int(0.45 * RATE)], after[: int(0.45 * RATE)])
    assert not np.array_equal(before, after)
    arguments = ("again", old.path, "", "ardour", TRACK, position, RATE, SESSION, repaired.id, "")
    studio.ask("/dcldm/again", *arguments)
    studio.finished("again")
    again = at(studio.regions(), position)[0]
    assert again.path != old.path and read_record(Path(again.path))["sha256"] == read_record(Path(old.path))["sha256"]


def test_a_region_made_long_ago_is_known_by_its_file(studio: Any) -> None:
    """A file that came in by hand, under another name, and that no list of ours knows."""
    archive = studio.folder / "archive"
    archive.mkdir()
    file = archive / "of last year.wav"
    shutil.copy(at(studio.regions(), POSITION)[0].path, file)
    position = 500_001
    studio.lua(
        f"""
        local files = C.StringVector ()
        files:push_back ("{file}")
        Editor:do_embed (files, Editing.ImportDistinctFiles, Editing.ImportAsTrack, Temporal.timepos_t ({position}),
          ARDOUR.PluginInfo (), Session:route_by_name ("Dialogue"):to_track ())"""
    )
    (old,) = at(studio.regions(), position)
    studio.select_region(old.id)
    before = len(studio.events.lines)
    studio.action(VARY, "Vary the selected region", "thunder")
    job = studio.new_job(before)
    studio.finished(job)
    new, kept = at(studio.regions(), position)
    assert (new.track, new.length, kept.id, kept.muted) == ("Dialogue", old.length, old.id, True)
    made = read_record(Path(new.path))["request"]
    assert made["prompt"]["text"] == "thunder" and made["control"]["parents"][0]["request"]["prompt"]["text"] == PROMPT

    arguments = ("like", "a door creaks", 1.0, 1, 3, "builtin", "ardour", "", position, RATE, SESSION, str(file), 0.8)
    assert studio.ask("/dcldm/generate", *arguments)["status"] == "accepted"
    studio.finished("like")
    beside = [one for one in studio.regions() if one.track == "a door creaks"]
    assert [one.position for one in beside] == [position]


def test_a_prompt_typed_in_ardour_is_rendered_by_the_built_in_model(studio: Any) -> None:
    with studio.model("builtin"):
        studio.send("/locate", BUILTIN_POSITION, 0)
        studio.send("/strip/select", 2, 0)
        time.sleep(1.0)  # neither is confirmed
        before = len(studio.events.lines)
        studio.action(GENERATE, "Generate from prompt", "heavy rain on a roof", "2", "1")
        studio.finished(studio.new_job(before))
    (rain,) = at(studio.regions(), BUILTIN_POSITION)
    assert (rain.track, rain.length) == (TRACK, 2 * RATE)
    assert read_record(Path(rain.path))["request"]["model"] == "builtin"


def test_the_peak_falls_on_the_marker(studio: Any) -> None:
    position = 900_011
    assert studio.ask("/dcldm/generate", "hit", "a gun shot", 1.0, 1, 3, "", *place("Hits", position, snap="peak"))
    studio.finished("hit")
    (hit,) = (one for one in studio.regions() if one.track == "Hits")
    sound = np.abs(soundfile.read(hit.path, always_2d=True)[0]).max(axis=1)
    assert hit.position + int(sound.argmax()) == position
    assert hit.sync is None or hit.sync - hit.start == int(sound.argmax())
    # Where the peak would pull the beginning before the timeline's, that much is cut off.
    studio.ask("/dcldm/generate", "early", "a gun shot", 1.0, 1, 3, "", *place("Early", 10, snap="peak"))
    studio.finished("early")
    (early,) = (one for one in studio.regions() if one.track == "Early")
    assert early.position == 0 and early.start == max(0, int(sound.argmax()) - 10)
    studio.send("/undo")  # the clip, in one step
    studio.wait_until("the undone", lambda: not [one for one in studio.regions() if one.track == "Early"])
    studio.send("/redo")
    studio.wait_until("the redone", lambda: [one for one in studio.regions() if one.track == "Early"])


def test_markers_and_ranges_are_spotted_in_one_step(studio: Any) -> None:
    for name, position in (("sfx: wind howls", 1_200_007), ("chorus", 1_210_000), ("sfx: a bell rings", 1_300_003)):
        studio.send("/locate", position, 0)
        time.sleep(0.5)
        studio.send("/add_marker", name)
        time.sleep(0.3)
    studio.lua(
        """
        local first, last = Temporal.timepos_t (1400001), Temporal.timepos_t (1400001 + 72000)
        local range = Session:locations ():add_range (first, last)
        range:set_name ("sfx: fire crackles")"""
    )
    told = studio.ask("/dcldm/cues/check", "asked", "", "ardour", "", 0, "", "", "", 1.0, 1, "", "")  # as from outside
    rows = [(row["prompt"], row["seconds"]) for row in told["rows"]]
    assert rows == [("sfx: wind howls", 1), ("chorus", 1), ("sfx: a bell rings", 1), ("sfx: fire crackles", 1.5)]
    studio.window("^DC-LDM: Spot cues")
    studio.xdotool("key", "Escape")
    before = len(studio.events.lines)
    studio.action(SPOT, "Spot cues", "sfx: ", "1", "1")
    studio.window("^DC-LDM: Spot cues")  # what would be done
    studio.screenshot(studio.folder / "preview.png")
    studio.xdotool("key", "alt+o")
    jobs = {studio.new_job(before)}
    while len(jobs) < 3:
        jobs = {line["id"] for line in studio.events.lines[before:] if line["event"] == "job"}
        time.sleep(0.2)
    for job in jobs:
        studio.events.wait("its place", lambda line, job=job: line["event"] == "placement" and line["job"] == job)
    cues = sorted((one.position, one.length) for one in studio.regions() if one.position >= 1_200_000)
    assert cues == [(1_200_007, RATE), (1_300_003, RATE), (1_400_001, 72_000)]


def test_a_cue_sheet_is_spotted_and_its_errors_are_named(studio: Any) -> None:
    sheet = studio.folder / "reel.csv"
    sheet.write_text("TC,Description,Dur,Track\n00:00:40:01,steps,1,Foley\nsoon,a car,1,\n00:00:42:00,a dog,1,Foley\n")
    refused = studio.ask("/dcldm/cues", "reel", str(sheet), "ardour", "", 0, "25")
    assert refused["status"] == "error" and "Row 3" in refused["error"]
    accepted = studio.ask("/dcldm/cues", "reel", str(sheet), "ardour", "", 0, "25", *[None] * 6, 1)
    assert (accepted["status"], accepted["cues"]) == ("accepted", 2)
    for _ in range(600):
        status = studio.ask("/dcldm/status", "reel")
        if status["status"] != "progress":
            break
        time.sleep(0.3)
    assert (status["status"], status["done"], status["errors"][0]["row"]) == ("done", 2, 3)
    foley = sorted(one.position for one in studio.regions() if one.track == "Foley")
    assert foley == [40 * RATE + RATE // 25, 42 * RATE]


def test_a_button_makes_what_is_selected_anew(studio: Any) -> None:
    (old,) = (one for one in studio.regions() if one.track == "Hits")
    studio.select_region(old.id)

    def heard_of() -> bool:
        hello = studio.ask("/dcldm/ping")["hosts"]["ardour"]["sessions"][SESSION]
        where = (hello["range_start"], hello["range_length"])
        return bool((hello["item"], hello["file"], *where) == (old.id, old.path, old.position, old.length))

    studio.wait_until("the selection", heard_of)
    job = studio.ask("/dcldm/selected/regenerate", 1.0)["id"]  # as TouchOSC sends
    studio.finished(job)
    new, kept = at([one for one in studio.regions() if one.track == "Hits"], old.position)
    assert (kept.id, kept.muted, new.muted, new.length) == (old.id, True, False, old.length)


def test_a_program_that_dies_in_mid_placement_is_followed_by_one_that_goes_on(studio: Any) -> None:
    """The clips are placed by an Ardour that nobody hears; the last run then goes on from its dialog."""
    first = 2_000_003
    studio.lua(
        f"""
        local from, to = Temporal.timepos_t ({first}), Temporal.timepos_t ({first} + 48000)
        local range = Session:locations ():add_range (from, to)
        range:set_name ("die: hail")"""
    )
    before = len(studio.events.lines)
    studio.action(SPOT, "Spot cues", "die: ", "1", "2")
    studio.window("^DC-LDM: Spot cues")
    studio.xdotool("key", "alt+o")
    job = studio.new_job(before)
    os.kill(studio.daw.pid, signal.SIGSTOP)
    studio.wait_until("what is to be placed", (studio.home / "spool" / "ardour" / "place.txt").exists)
    studio.kill(studio.serve)
    os.kill(studio.daw.pid, signal.SIGCONT)
    studio.wait_until("the clips", lambda: len(at(studio.regions(), first)) == 2)
    studio.start_serve()
    studio.wait_until("Ardour", lambda: studio.ask("/dcldm/ping")["hosts"]["ardour"]["connected"])
    studio.action(SPOT, "Spot cues", place=(0.76, 0.46), choice=["Down", "Down", "Down"])
    studio.wait_until("their places", lambda: len(studio.placements(job)) == 2)
    heard, muted = at(studio.regions(), first)
    assert not heard.muted and muted.muted


def test_errors_come_up_inside_ardour(studio: Any) -> None:
    reply = studio.ask("/dcldm/generate", "never", "rain", 1e6, 1, "", "", *place(TRACK, 0))
    assert reply["status"] == "error"
    studio.window("^DC-LDM$")
    studio.screenshot(studio.folder / "error.png")
    studio.xdotool("key", "alt+c")


def test_each_step_has_a_name_and_the_mixer_plays_what_was_made(studio: Any) -> None:
    studio.save()
    history = ElementTree.parse(studio.session_folder / f"{SESSION}.history").getroot()
    steps = [step.attrib["name"] for step in history.iterfind("UndoTransaction") if step.find(".//Add") is not None]
    assert "Vary: a gun shot" in steps and "Generate: a gun shot" in steps  # it keeps the last 20
    assert "Spot: 3 cues" in steps and "Spot: 2 cues" in steps

    (hit,) = (one for one in studio.regions() if one.track == "Hits" and not one.muted)
    mixdown = studio.folder / "mix.wav"
    copy = studio.folder / "copy"
    shutil.copytree(studio.session_folder, copy / SESSION)
    studio.run("ardour7-export", "-b", "24", "-o", mixdown, copy / SESSION, SESSION)
    mix = soundfile.read(mixdown, always_2d=True, dtype="float32")[0]  # from the session's start, 0 by now
    (rain,) = at(studio.regions(), BUILTIN_POSITION)
    for one in (hit, rain):
        clip = soundfile.read(one.path, always_2d=True, dtype="float32")[0][:, 0]
        part = mix[one.position - LAG_SAMPLES : one.position + len(clip) + LAG_SAMPLES, 0]
        lag, score = best_lag(part, clip)
        assert lag == 0 and score > 0.99


def test_an_ardour_that_dies_is_given_its_clips_once_more(studio: Any) -> None:
    studio.save()
    studio.ask("/dcldm/generate", "lost", "a door", 1.0, 1, 3, "", *place("Lost", 3_000_000))
    studio.finished("lost")
    studio.kill(studio.daw)  # before anything of it was saved
    studio.wait_until("silence", lambda: not studio.ask("/dcldm/ping")["hosts"]["ardour"]["connected"])
    refused = studio.ask("/dcldm/choose", "lost", 0)
    assert refused["status"] == "error" and "open that session" in refused["error"]
    studio.start_ardour()
    assert [one for one in studio.regions() if one.track == "Lost"] == []
    for _ in range(2):
        studio.ask("/dcldm/place", "lost")
        studio.wait_until("its end", lambda: studio.ask("/dcldm/status", "lost")["status"] == "done")
    assert [one.position for one in studio.regions() if one.track == "Lost"] == [3_000_000]
