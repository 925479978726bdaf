"""Text to 8 kHz mu-law speech through espeak-ng and sox, cached on disk.

Silence at the ends is cut off and pauses inside a clip are kept under MAX_PAUSE_MS: a full stop in a
caller's line must not look like the end of the turn to the voice detection of the AI.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from . import g711

CALLER = "en-us+f3"
ASSISTANT = "en-gb"
MAX_PAUSE_MS = 240
_QUIET_RMS = 120.0
_RECIPE = "3"  # part of the cache key: raise it when the way a clip is made changes


def cache_dir() -> Path:
    configured = os.environ.get("RINGFLEET_SPEECH_CACHE")
    if configured:
        path = Path(configured)
    else:
        path = Path(tempfile.gettempdir()) / f"ringfleet-speech-{os.getuid()}"
    path.mkdir(parents=True, exist_ok=True)
    return path


def speak(text: str, voice: str = CALLER) -> bytes:
    text = text.replace("\0", "").encode(errors="ignore").decode()  # what is no character is not said
    key = hashlib.sha256(f"{_RECIPE}\0{voice}\0{text}".encode()).hexdigest()[:32]
    cached = cache_dir() / f"{key}.ulaw"
    if not cached.exists():
        clip = _tighten(_synthesise(text, voice))
        partial = cached.with_suffix(f".{os.getpid()}")
        partial.write_bytes(clip)
        partial.rename(cached)
    return cached.read_bytes()


def _synthesise(text: str, voice: str) -> bytes:
    wav = subprocess.run(
        ["espeak-ng", "--stdout", "-v", voice, "-s", "165", "--", text],
        check=True,
        capture_output=True,
    ).stdout
    sox = ["sox", "-D", "-t", "wav", "-", "-r", "8000", "-c", "1"]
    sox += ["-t", "raw", "-e", "mu-law", "-b", "8", "-", "norm", "-3"]
    return subprocess.run(sox, input=wav, check=True, capture_output=True).stdout


def _tighten(audio: bytes) -> bytes:
    out = bytearray()
    pause = bytearray()
    for start in range(0, len(audio), g711.FRAME_BYTES):
        frame = audio[start : start + g711.FRAME_BYTES]
        if g711.rms(frame) < _QUIET_RMS:
            if g711.milliseconds(pause) < MAX_PAUSE_MS:
                pause += frame
            continue
        if out:
            out += pause
        pause.clear()
        out += frame
    return bytes(out)
