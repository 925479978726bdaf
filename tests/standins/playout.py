"""The carrier's playback queue: audio in arrival order, marks at byte positions."""

from collections import deque

from . import g711


class Playout:
    """Counts bytes since the stream began; nothing here knows about time or sockets."""

    def __init__(self) -> None:
        self.queue = bytearray()
        self.played = 0
        self._queued = 0
        self._marks: deque[tuple[int, str]] = deque()

    def add(self, audio: bytes) -> None:
        self.queue += audio
        self._queued += len(audio)

    def mark(self, name: str) -> list[str]:
        """The marks to echo at once: this one, if nothing is left to play before it."""
        self._marks.append((self._queued, name))
        return self._reached()

    def clear(self) -> tuple[int, list[str]]:
        """Drops the queue; returns the bytes dropped and every pending mark."""
        dropped = len(self.queue)
        self.queue.clear()
        self._queued = self.played
        names = [name for _, name in self._marks]
        self._marks.clear()
        return dropped, names

    def play(self, count: int = g711.FRAME_BYTES) -> tuple[bytes, list[str]]:
        """The next `count` bytes, or what is left of them, and the marks reached by that."""
        frame = bytes(self.queue[:count])
        del self.queue[:count]
        self.played += len(frame)
        return frame, self._reached()

    def _reached(self) -> list[str]:
        names = []
        while self._marks and self._marks[0][0] <= self.played:
            names.append(self._marks.popleft()[1])
        return names
