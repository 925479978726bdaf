"""mu-law (ITU-T G.711): 8,000 bytes a second, 8 bytes a millisecond, silence is 0xFF."""

import struct
import wave
from pathlib import Path

SILENCE = b"\xff"
FRAME_BYTES = 160
FRAME_MS = 20


def _decode_byte(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


LINEAR = [_decode_byte(code) for code in range(256)]
_SQUARE = [sample * sample for sample in LINEAR]


def rms(audio: bytes) -> float:
    """Loudness on the 16-bit scale; 0 for no audio."""
    if not audio:
        return 0.0
    return (sum(map(_SQUARE.__getitem__, audio)) / len(audio)) ** 0.5


def milliseconds(audio: bytes) -> int:
    return len(audio) // 8


def save_wav(path: str | Path, left: bytes, right: bytes) -> None:
    """Two mu-law channels as one 16-bit stereo file at 8 kHz; the shorter one is padded."""
    length = max(len(left), len(right))
    channels = [
        [LINEAR[code] for code in channel.ljust(length, SILENCE)] for channel in (left, right)
    ]
    samples = [sample for pair in zip(*channels) for sample in pair]
    with wave.open(str(path), "wb") as out:
        out.setnchannels(2)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))
