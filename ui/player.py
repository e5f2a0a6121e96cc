"""Playing a clip: one voice at a time, no clicks, and a clear word when no device will do it.

PortAudio is looked for when something is to be heard first, so that everything else works without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dcldm_plugin.errors import DcldmError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

FADE_SECONDS = 0.006  # long enough to be no click, too short to be heard as a fade


class Voice:
    """One clip while it is heard. `fill` is called on the audio thread, everything else on another."""

    def __init__(self, samples: Samples, sample_rate: int, *, start: int = 0, gain: float = 1.0) -> None:
        """`samples` [time, channels] at `sample_rate` Hz."""
        self._samples = samples
        self._fade = max(1, round(FADE_SECONDS * sample_rate))
        self._level = 0.0  # of the fade, 0 … 1; moves by at most 1 / fade a sample
        self._gain, self._wanted_gain = gain, gain
        self._jump: int | None = None
        self._stopping = False
        self.loop: tuple[int, int] | None = None  # samples: from, to
        self.position = min(max(0, start), len(samples))
        self.over = False

    def stop(self) -> None:
        """Fade out, then be over."""
        self._stopping = True

    def seek(self, position: int) -> None:
        """Go on elsewhere: fade out, jump, fade in."""
        self._jump = min(max(0, position), len(self._samples))

    def set_gain(self, gain: float) -> None:
        self._wanted_gain = gain

    def fill(self, out: Samples) -> None:
        """Write the next samples into `out` [time, channels]; silence after the end."""
        out[:] = 0.0
        done = 0
        while done < len(out) and not self.over:
            done += self._piece(out[done:])

    def _piece(self, out: Samples) -> int:
        """Write up to the next event: the end of a fade, of the loop or of the clip. Returns how many samples."""
        import numpy as np

        falling = self._stopping or self._jump is not None
        if falling and self._level <= 0.0:
            self.over = self._stopping
            self.position, self._jump = self.position if self._jump is None else self._jump, None
            return 0
        first, end = self.loop or (0, len(self._samples))
        whole = (first, end) == (0, len(self._samples))  # a clip's own ends are made to meet, or to fade
        left = end - self.position
        if left <= 0:
            self.over = self.loop is None
            self.position, self._level = first, self._level if whole else 0.0
            return 0
        count = min(left, len(out))
        if falling:
            count = min(count, max(1, round(self._level * self._fade)))
        steps = np.arange(1, count + 1) / self._fade
        ramp = np.clip(self._level + (-steps if falling else steps), 0.0, 1.0)
        shape = ramp if whole else np.minimum(ramp, (left - np.arange(1, count + 1)) / self._fade)
        gain = self._gain + (self._wanted_gain - self._gain) * np.minimum(1.0, steps)
        out[:count] = self._samples[self.position : self.position + count] * (shape * gain)[:, None]
        self.position += count
        self._level, self._gain = float(ramp[-1]), float(gain[-1])
        return count


@dataclass(frozen=True, slots=True)
class Device:
    """An output of this machine, by PortAudio's number."""

    number: int
    name: str


def devices() -> list[Device]:
    """The outputs that there are. Raises `DcldmError` where there is no PortAudio."""
    sounddevice = _sounddevice()
    hosts = [host["name"] for host in sounddevice.query_hostapis()]
    found = enumerate(sounddevice.query_devices())
    return [
        Device(number, f"{device['name']} ({hosts[device['hostapi']]})")
        for number, device in found
        if device["max_output_channels"] > 0
    ]


class Player:
    """Plays one clip at a time on one device. `ended` is called, on another thread, when it is over."""

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._lock = threading.Lock()
        self._stream: Any = None
        self._format: tuple[int, int, str] | None = None
        self._voice: Voice | None = None
        self._next: Voice | None = None
        self.device = ""  # the name of one of `devices()`; empty: the system's own

    def play(self, voice: Voice, sample_rate: int, channels: int) -> None:
        """Hear a voice from now on; the one before fades out. Raises `DcldmError` if no device plays it."""
        wanted = (sample_rate, channels, self.device)
        if self._stream is None or self._format != wanted or not self._stream.active:
            self.close()
            self._stream = self._open(sample_rate, channels)
            self._format = wanted
            with self._lock:
                self._voice, self._next = voice, None
            self._stream.start()
            return
        with self._lock:
            if self._voice is None or self._voice.over:
                self._voice = voice
            else:
                self._voice.stop()
                self._next = voice

    def stop(self) -> None:
        with self._lock:
            self._next = None
            if self._voice is not None:
                self._voice.stop()

    @property
    def voice(self) -> Voice | None:
        """What is heard, or is going to be at once."""
        with self._lock:
            voice = self._next or self._voice
            return None if voice is None or voice.over else voice

    def close(self) -> None:
        """Give the device back."""
        stream, self._stream = self._stream, None
        with self._lock:
            self._voice = self._next = None
        if stream is not None:
            stream.close()

    def _open(self, sample_rate: int, channels: int) -> Any:
        sounddevice = _sounddevice()
        number = next((one.number for one in devices() if one.name == self.device), None) if self.device else None
        if self.device and number is None:
            raise DcldmError(f"The output {self.device} is not there; connect it or choose another one in Settings.")
        try:
            return sounddevice.OutputStream(
                samplerate=sample_rate,
                channels=channels,
                dtype="float32",
                device=number,
                callback=self._fill,
                latency="low",
            )
        except (sounddevice.PortAudioError, ValueError) as error:
            name = self.device or "The system's output"
            raise DcldmError(
                f"{name} can't be opened ({_reason(error)}): perhaps the DAW has it to itself; "
                "choose another output in Settings, or hear the clip in the DAW."
            ) from error

    def _fill(self, out: Samples, frames: int, time: Any, status: Any) -> None:
        ended = False
        with self._lock:
            voice = self._voice
            if voice is None:
                out[:] = 0.0
                return
            was_over = voice.over
            voice.fill(out)
            if voice.over and self._next is not None:
                self._voice, self._next = self._next, None
            else:
                ended = voice.over and not was_over
        if ended:
            self._ended()


def _sounddevice() -> Any:
    try:
        import sounddevice
    except OSError as error:  # what it raises at import where the library is missing
        raise DcldmError("PortAudio is not there; install libportaudio2 to hear clips in the window.") from error
    return sounddevice


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else error).split("[")[0].strip().rstrip(".:")
