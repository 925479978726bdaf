"""Prints what happens in a call as it happens, in order of time, one aligned line each."""

import heapq
import itertools
import json
import sys
import time
from datetime import datetime

from flow.fleet import Fleet
from standins.call import Call, Event
from standins.clock import now_ms
from standins.realtime_session import Session

# Logs are read in steps: a line is held back for so long, so that an earlier one can still pass it.
SETTLE_S = 0.35
WIDTH = 76


class Timeline:
    def __init__(self) -> None:
        self._began: float | None = None  # wall clock of the first ring
        self._began_ms = 0.0
        self._lines: list[tuple[float, int, str, str]] = []
        self._order = itertools.count()
        self._seen: dict[str, int] = {}
        self._plain = not sys.stdout.isatty()

    # ---- sources; called from the thread of the stand-ins ----

    def on_call_event(self, call: Call, event: Event) -> None:
        if self._began is None:
            self._began, self._began_ms = call.began_wall, call.began_ms
        text = _CALL_EVENTS.get(event.kind)
        if text is not None:
            line = text(event.data)
            if line:
                self._add(call.wall(event.ms), *line)

    def on_ai_event(self, session: Session, direction: str, event: dict) -> None:
        if self._began is None:
            return
        kind = event["type"]
        if direction == "plan":
            self._say(">>", event["text"])
        elif direction == "out" and kind == "response.function_call_arguments.done":
            arguments = json.loads(event["arguments"]).items()
            shown = ", ".join(f"{name}={value!r}" for name, value in arguments)
            self._say("..", f"{event['name']}({shown})")
        elif direction == "in" and kind == "conversation.item.truncate":
            seconds = event["audio_end_ms"] / 1000
            self._say("", f"the AI forgets what came after the first {seconds:.1f} s")

    def _say(self, mark: str, text: str) -> None:
        self._add(self._began + (now_ms() - self._began_ms) / 1000, mark, text)

    # ---- called from the main thread ----

    def read_logs(self, fleet: Fleet) -> None:
        for program in fleet.programs():
            lines = program.log()
            for line in lines[self._seen.get(program.name, 0) :]:
                self._on_log(line)
            self._seen[program.name] = len(lines)

    def _on_log(self, line: dict) -> None:
        describe = _LOG_LINES.get(line.get("msg", ""))
        if describe is None or self._began is None:
            return
        at = datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()
        self._add(at, "", describe(line))

    def print_due(self, everything: bool = False) -> None:
        limit = time.time() - SETTLE_S
        while self._lines and (everything or self._lines[0][0] <= limit):
            at, _, mark, text = heapq.heappop(self._lines)
            self._print(max(0.0, at - self._began), mark, text)

    def _add(self, at: float, mark: str, text: str) -> None:
        heapq.heappush(self._lines, (at, next(self._order), mark, text))

    def _print(self, seconds: float, mark: str, text: str) -> None:
        for index, part in enumerate(wrap(text, WIDTH)):
            when = f"{seconds:7.2f}" if index == 0 else " " * 7
            print(self._colour(mark, f"{when}  {mark if index == 0 else '':2}  {part}"), flush=True)

    def _colour(self, mark: str, line: str) -> str:
        code = {">>": "36", "<<": "33", "..": "35"}.get(mark)
        return line if self._plain or code is None else f"\033[{code}m{line}\033[0m"


def wrap(text: str, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split(" "):
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _webhook(data: dict) -> tuple[str, str] | None:
    if "/incoming" in data["url"]:
        return "", f"webhook answered with TwiML in {data['ms']:.0f} ms"
    return "", f"the carrier asks what comes next, answer in {data['ms']:.0f} ms"


# What an event of the carrier looks like on the timeline: mark and text.
_CALL_EVENTS = {
    "twiml": _webhook,
    "start": lambda data: ("", "the media stream is open"),
    "say-begin": lambda text: ("<<", text),
    "clear": lambda data: (
        "",
        f"playback cleared: {data['heard_ms']} ms heard, {data['dropped_ms']} ms never played",
    ),
    "socket-closed": lambda data: (
        "",
        f"{'the worker' if data['by'] == 'server' else 'the caller'} closed the media stream",
    ),
    "status": lambda status: ("", f"status callback: {status}"),
}

# The same for lines of the programs' logs.
_LOG_LINES = {
    "call opened": lambda line: (
        f"context in Redis: from the {line.get('source')} in {line.get('load_ms')} ms"
    ),
    "call started": lambda line: f"a worker claimed the call; AI ready in {line.get('ai_ms')} ms",
    "greeting first audio": lambda line: (
        f"first audio of the greeting, {line.get('after_start_ms')} ms after the stream began"
    ),
    "prompt upgraded": lambda line: (
        f"full prompt in force, {float(line.get('seconds', 0)) * 1000:.2f} ms"
    ),
    "barge-in": lambda line: (
        f"barge-in: {line.get('heard_ms')} of {line.get('sent_ms')} ms were heard"
    ),
    "customer name set": lambda line: "the caller's name is noted",
    "appointment held": lambda line: f"slot held: {line.get('starts_at')}",
    "call ended": lambda line: f"hangup: {line.get('reason')}, {line.get('turns')} turns",
    "call flushed": lambda line: (
        f"flushed to Postgres: {line.get('entries')} of its journal's entries, {line.get('ms')} ms"
    ),
}
