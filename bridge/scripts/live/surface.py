# Part of DC-LDM Plugin; put here, and taken away again, by its own "dcldm" program.
"""What Live sees: a control surface that listens on 127.0.0.1, works between two frames, and has a heartbeat.

There are no threads: Live's objects may be touched on its own thread only. Whatever goes wrong ends up in
Live's log; an error that escaped would stop the timer.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
import zlib
from typing import Any

import Live

from . import osc, placing

HOST = "127.0.0.1"
TICK_MILLISECONDS = 20
BEAT_SECONDS = 2.0
MAX_DATAGRAMS = 64  # in one tick: Live must not stutter
MAX_BYTES = 16 * 1024 * 1024


class Surface:
    """One for each set that is open."""

    def __init__(self, c_instance: Any) -> None:
        self._c_instance = c_instance
        self._token = uuid.uuid4().hex[:8]  # of a set that is not saved yet
        self._tokens: set[str] = set()  # that this set has had
        self._socket: socket.socket | None = None
        self._done: dict[str, Live.Clip.Clip] = {}  # what this set was given, by path
        self._beaten = 0.0
        self._busy = False
        self._app: tuple[str, int] = (HOST, 0)
        self._spool = ""
        self._port = 0
        self._timer: Any = None
        self._guarded(self._begin)

    def _begin(self) -> None:
        config = _read_config()
        self._spool = os.path.realpath(config["spool"])
        self._app = (HOST, int(config["port"]))
        self._port = int(config["live_port"])
        timer = getattr(Live.Base, "Timer", None)
        if timer is not None:  # else `update_display`, ten times a second
            self._timer = timer(self.tick, TICK_MILLISECONDS, True)
            self._timer.start()
        self._c_instance.show_message("DC-LDM is here: " + ", ".join(placing.capabilities()))

    def tick(self) -> None:
        """Between two frames: handle what came, and let the program know that we are here."""
        if self._busy or not self._spool:
            return
        self._busy = True
        try:
            self._guarded(self._work)
        finally:
            self._busy = False

    def disconnect(self) -> None:
        """Another set is opened, or Live ends."""
        if self._timer is not None:
            self._timer.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # What Live asks of every control surface

    def update_display(self) -> None:
        self.tick()

    def build_midi_map(self, midi_map_handle: Any) -> None:
        return

    def receive_midi(self, midi_bytes: Any) -> None:
        return

    def refresh_state(self) -> None:
        return

    def connect_script_instances(self, instances: Any) -> None:
        return

    def can_lock_to_devices(self) -> bool:
        return False

    def suggest_input_port(self) -> str:
        return ""

    def suggest_output_port(self) -> str:
        return ""

    # Behind the scenes

    def _work(self) -> None:
        now = time.time()
        if self._socket is None:
            if abs(now - self._beaten) < BEAT_SECONDS:
                return
            self._beaten = now
            self._socket = self._listen()
        for datagram in self._received():
            self._guarded(self._handle, datagram)
        if abs(now - self._beaten) >= BEAT_SECONDS:
            self._beaten = now
            self._hello()

    def _listen(self) -> socket.socket | None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.setblocking(False)
        try:
            listening.bind((HOST, self._port))
        except OSError as error:
            listening.close()
            self._c_instance.show_message(f"DC-LDM can't listen on port {self._port} ({error}).")
            return None
        self._beaten = 0.0
        return listening

    def _received(self) -> list[bytes]:
        datagrams: list[bytes] = []
        while self._socket is not None and len(datagrams) < MAX_DATAGRAMS:
            try:
                datagrams.append(self._socket.recv(65535))
            except ConnectionResetError:  # Windows: nobody listened to what we sent
                continue
            except OSError:  # nothing more
                break
        return datagrams

    def _send(self, address: str, *arguments: osc.Value) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(osc.encode(address, *arguments), self._app)
        except OSError as error:
            self._log(str(error))

    def _handle(self, datagram: bytes) -> None:
        try:
            address, arguments = osc.decode(datagram)
        except ValueError:
            return  # somebody else's
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        if address == "/dcldm/place":
            self._place(self._job(text))
        elif address == "/dcldm/locators":
            self._write_locators()
        elif address == "/dcldm/news":
            self._c_instance.show_message(text[:200])
            if arguments[1:] == ["error"]:  # the status bar forgets it
                self._log(text)
        elif address == "/dcldm/ping":
            self._hello()

    def _job(self, path: str) -> dict[str, Any]:
        """A job from the program's own folder; no other file is looked at. Nothing, if the word of it came too late."""
        if os.path.dirname(os.path.realpath(path)) != self._spool:
            return {}
        try:
            if os.path.getsize(path) > MAX_BYTES:
                return {}
            with open(path, encoding="utf-8") as file:
                job = json.load(file)
        except FileNotFoundError:
            return {}
        return job if isinstance(job, dict) else {}

    def _place(self, job: dict[str, Any]) -> None:
        if not job or not self._is_ours(job["project"]):
            return
        first = job["groups"][0]["job"]
        try:
            placed = placing.place(self._song(), job, self._done)
        except placing.Refused as error:
            self._send("/dcldm/failed", "live", first, str(error))
            return
        except Exception as error:
            self._log(f"placing failed: {error!r}")
            self._send("/dcldm/failed", "live", first, f"Live could not place the clips: {error}")
            return
        for job_id, clip, item, track, position in placed:
            self._send("/dcldm/placed", "live", job_id, clip, item, track, position)

    def _hello(self) -> None:
        song = self._song()
        track = song.view.selected_track
        item, path, clip = self._selected(song)
        start, length = _range(song, clip)
        self._send(
            "/dcldm/hello",
            "live",
            self._project()[0],
            placing.SAMPLE_RATE,
            self._version(),
            self._folder(),
            track.name,
            _samples(song, song.current_song_time),
            item,
            path,
            start,
            length,
        )

    def _selected(self, song: Live.Song.Song) -> tuple[str, str, Live.Clip.Clip | None]:
        """What is selected and the file that it plays: a slot in the session; in the arrangement a clip, and it."""
        view = Live.Application.get_application().view
        if view.focused_document_view == "Session":
            slot = song.view.highlighted_clip_slot
            tracks = list(song.tracks)
            if slot is None or slot.canonical_parent not in tracks:
                return "", "", None
            track = slot.canonical_parent
            scene = list(track.clip_slots).index(slot)
            path = slot.clip.file_path if slot.has_clip and slot.clip.is_audio_clip else ""
            return f"slot {tracks.index(track)} {scene}", path, None
        clip = song.view.detail_clip
        if clip is None or not clip.is_audio_clip or not clip.is_arrangement_clip:
            return "", "", None
        return placing.item_of(clip), clip.file_path, clip

    def _write_locators(self) -> None:
        """The set's locators as a cue sheet, under its name when it is complete."""
        song = self._song()
        rows = ["time,prompt"]
        for cue in sorted(song.cue_points, key=lambda one: one.time):
            words = " ".join(cue.name.split()).replace('"', '""')
            rows.append(f'{cue.time * 60.0 / song.tempo:.9f},"{words}"')
        path = os.path.join(self._spool, "locators.csv")
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write("\n".join(rows) + "\n")
        os.replace(path + ".part", path)

    def _song(self) -> Live.Song.Song:
        song: Live.Song.Song = self._c_instance.song()
        return song

    def _project(self) -> tuple[str, str]:
        """The set's name with a mark, by which it is known also after it was saved; and the mark."""
        path = getattr(self._song(), "file_path", "")
        token = "%08x" % (zlib.crc32(path.encode("utf-8")) & 0xFFFFFFFF) if path else self._token
        self._tokens.add(token)
        name = os.path.splitext(os.path.basename(path))[0] if path else "unsaved"
        return f"{name} [{token}]", token

    def _is_ours(self, project: str) -> bool:
        name, _ = self._project()
        return project in ("", name) or any(project.endswith(f"[{token}]") for token in self._tokens)

    def _folder(self) -> str:
        """Where Live itself keeps what is imported into this project, once it is saved."""
        path = getattr(self._song(), "file_path", "")
        if not path:
            return ""
        folder = os.path.join(os.path.dirname(path), "Samples", "Imported")
        return folder if os.path.isdir(folder) else ""

    def _version(self) -> str:
        application = Live.Application.get_application()
        numbers = (
            application.get_major_version(),
            application.get_minor_version(),
            application.get_bugfix_version(),
        )
        return "Live " + ".".join(str(number) for number in numbers)

    def _guarded(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:  # one that escaped would stop the timer
            self._log("{}: {!r}".format(getattr(function, "__name__", ""), error))

    def _log(self, text: str) -> None:
        self._c_instance.log_message("DC-LDM: " + text)


def _samples(song: Live.Song.Song, beats: float) -> int:
    return round(beats * 60.0 / song.tempo * placing.SAMPLE_RATE)


def _range(song: Live.Song.Song, clip: Live.Clip.Clip | None) -> tuple[int, int]:
    """Where the selected clip of the arrangement lies, else the loop, if it is on: Live tells no selected time."""
    if clip is not None:
        start, end = clip.start_time, clip.end_time
    elif song.loop:
        start, end = song.loop_start, song.loop_start + song.loop_length
    else:
        return 0, 0
    return _samples(song, start), _samples(song, end) - _samples(song, start)


def _read_config() -> dict[str, str]:
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dcldm.conf")
    with open(path, encoding="utf-8") as file:
        pairs = [line.rstrip("\r\n").partition("=") for line in file]
    return {name: value for name, _, value in pairs}
