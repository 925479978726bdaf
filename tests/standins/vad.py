"""Server-side voice detection over appended mu-law audio: energy per 20 ms frame.

Time is the amount of audio appended, as with the real service: withheld frames shift it.
"""

from typing import NamedTuple

from . import g711

_ONSET_FRAMES = 3
_FULL_SCALE_RMS = 1000.0  # `threshold` 0..1 is a share of this


class Started(NamedTuple):
    audio_start_ms: int


class Stopped(NamedTuple):
    audio_end_ms: int


class VoiceDetector:
    def __init__(self) -> None:
        self.appended_ms = 0
        self.speaking = False
        self._partial = bytearray()
        self._loud_frames = 0
        self._silent_ms = 0

    def feed(self, audio: bytes, config: dict) -> list[Started | Stopped]:
        events: list[Started | Stopped] = []
        self._partial += audio
        while len(self._partial) >= g711.FRAME_BYTES:
            frame = bytes(self._partial[: g711.FRAME_BYTES])
            del self._partial[: g711.FRAME_BYTES]
            self.appended_ms += g711.FRAME_MS
            event = self._frame(g711.rms(frame) > config["threshold"] * _FULL_SCALE_RMS, config)
            if event is not None:
                events.append(event)
        return events

    def _frame(self, loud: bool, config: dict) -> Started | Stopped | None:
        if not self.speaking:
            self._loud_frames = self._loud_frames + 1 if loud else 0
            if self._loud_frames < _ONSET_FRAMES:
                return None
            self.speaking = True
            self._silent_ms = 0
            onset = self.appended_ms - _ONSET_FRAMES * g711.FRAME_MS
            return Started(max(0, onset - config["prefix_padding_ms"]))
        self._silent_ms = 0 if loud else self._silent_ms + g711.FRAME_MS
        if self._silent_ms < config["silence_duration_ms"]:
            return None
        self.speaking = False
        self._loud_frames = 0
        return Stopped(self.appended_ms)
