"""What Redis acknowledged, read off the wire between a program and its server.

A journal entry counts as kept from the moment the server's answer has passed here. Only what the
oracle needs is understood: XADD of journal entries, and the functions that write some.
"""

from collections import deque
from typing import Callable

from standins.clock import now_ms

_NO_VALUE = object()


class Parser:
    """RESP2, as it comes: feed() returns the values that are complete."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list:
        self._data += data
        values = []
        at = 0
        while True:
            value, after = self._value(at)
            if value is _NO_VALUE:
                break
            values.append(value)
            at = after
        del self._data[:at]
        return values

    def _line(self, at: int) -> tuple[bytes | None, int]:
        end = self._data.find(b"\r\n", at)
        return (None, at) if end < 0 else (bytes(self._data[at:end]), end + 2)

    def _value(self, at: int) -> tuple[object, int]:
        line, after = self._line(at)
        if line is None or not line:
            return _NO_VALUE, at
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None, after
            if len(self._data) < after + size + 2:
                return _NO_VALUE, at
            return bytes(self._data[after : after + size]), after + size + 2
        if kind == b"*":
            if int(rest) < 0:
                return None, after
            items = []
            for _ in range(int(rest)):
                item, after = self._value(after)
                if item is _NO_VALUE:
                    return _NO_VALUE, at
                items.append(item)
            return items, after
        if kind == b":":
            return int(rest), after
        if kind == b"-":
            return RuntimeError(rest.decode()), after
        return rest, after


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _pairs(items: list[str]) -> dict[str, str]:
    return dict(zip(items[::2], items[1::2]))


def _function(words: list[str]) -> tuple[str, list[str]]:
    """Name without its version, and arguments without the keys."""
    return words[1].rsplit("_", 1)[0], words[3 + int(words[2]) :]


def _kept(command: list[str], reply: object) -> dict | None:
    """The journal entry that this answer makes a fact."""
    if command[0] == "XADD" and command[1].endswith(":writes") and isinstance(reply, bytes):
        sid = command[1].rsplit(":", 2)[1]
        return {"call": sid, "stream": "writes", "id": _text(reply), **_pairs(command[4:])}
    if command[0] != "FCALL" or not isinstance(reply, list) or not reply:
        return None
    name, args = _function(command)
    word = _text(reply[0])
    if (name, word) == ("rf_claim", "CLAIMED"):
        entry = {"call": args[0], "stream": "writes", "type": "callsession_update"}
        return {**entry, "id": f"{_text(reply[1])}-{_text(reply[2])}", "data": args[6]}
    if (name, word) == ("rf_end", "ENDED"):
        entry = {"call": args[0], "stream": "writes", "type": "call_end"}
        return {**entry, "id": f"{args[1]}-{args[2]}", "reason": args[3]}
    if (name, word) == ("rf_open", "OPENED"):
        return {"call": args[0], "stream": "none"}
    if (name, word) == ("rf_event", "ADDED"):
        return {"call": args[0], "stream": "events", "event": args[1], **_pairs(args[5:])}
    return None


class Tap:
    """One connection; tells `keep` of every entry that was acknowledged on it."""

    def __init__(self, route: str, keep: Callable[[dict], None]) -> None:
        self.replicates = False  # what follows is what a replica gets, and no answers
        self._route = route
        self._keep = keep
        self._commands, self._replies = Parser(), Parser()
        self._waiting: deque[list[str]] = deque()

    def sent(self, data: bytes) -> None:
        if self.replicates:
            return
        for command in self._commands.feed(data):
            words = command if isinstance(command, list) else [command]
            self.replicates = self.replicates or words[:1] == [b"PSYNC"]
            interesting = words and words[0] in (b"XADD", b"FCALL")
            self._waiting.append([_text(word) for word in words] if interesting else [""])

    def answered(self, data: bytes) -> None:
        if self.replicates:
            return
        for reply in self._replies.feed(data):
            if self._waiting:
                entry = _kept(self._waiting.popleft(), reply)
                if entry is not None:
                    self._keep({**entry, "_by": self._route, "_ms": now_ms()})
