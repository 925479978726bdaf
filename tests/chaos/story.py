"""The calls of a chaos run: what each caller does, and what the assistant says and is told.

Everything said carries a number of its own, so that a loss, a double or a wrong order shows. The
sounds are noise, cheap to make and never alike: whether an utterance was heard to its end is found in
the bytes that the carrier played.
"""

import asyncio
import json
import random
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import NamedTuple

from standins import g711
from standins.call import Call
from standins.clock import now_ms
from standins.realtime_session import Session
from standins.scenario import Reply, Tool, tool

LONG = "is a long answer that goes on and on, of many words, until somebody says something..."
BUSINESS_NUMBER = "+14155550199"
CALLERS = 500
FRAME = g711.FRAME_BYTES
_LOUD = bytes(code for code in range(256) if 2000 < abs(g711.LINEAR[code]) < 9000)
_MARKER = re.compile(r"Line (\+1[0-9]+)\.")

SEED_SQL = f"""
insert into business (name, phone_number, timezone, language)
values ('Chaos', '{BUSINESS_NUMBER}', 'UTC', 'en');
insert into business_settings (business_id, voice, greeting_inbound, prompt_compact, prompt_full)
select id, 'marin', 'Welcome, line {{{{from}}}}.', 'Line {{{{from}}}}. Be brief.',
    'Line {{{{from}}}}. Be brief and kind.'
from business where phone_number = '{BUSINESS_NUMBER}';
"""


def number_of(index: int) -> str:
    return f"+1415556{index:04d}"


def greeting_of(index: int) -> str:
    return f"Welcome, line {number_of(index)}."


@cache
def noise(text: str, ms: int) -> bytes:
    """A loud sound of this length, the same for the same text."""
    return bytes(random.Random(text).choices(_LOUD, k=ms // g711.FRAME_MS * FRAME))


def sound(text: str, _voice: str = "") -> bytes:
    """How the assistant says something; what ends with dots is long-winded."""
    return noise(text, 4000 if text.endswith("...") else 800)


class Told(NamedTuple):
    ms: float
    tool: str
    arguments: dict
    ok: bool


class Transcript(NamedTuple):
    ms: float
    text: str
    session: Session


@dataclass(frozen=True)
class Plan:
    """What one caller will do; made from the seed."""

    index: int
    lines: int
    name_at: int | None  # line after which the assistant stores the name
    book_at: int | None
    long_at: int | None  # a long answer, and the next line interrupts it
    ending: str  # `ai`: end_call; `caller`: hangs up; `mid`: hangs up in mid-sentence

    @property
    def name(self) -> str:
        return f"Name Number{self.index}"

    @property
    def starts_at(self) -> datetime:
        midnight = datetime.now(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=7, minutes=30 * self.index)

    @staticmethod
    def draw(rng: random.Random, index: int) -> "Plan":
        lines = rng.randint(2, 5)
        return Plan(
            index=index,
            lines=lines,
            name_at=rng.randrange(lines) if rng.random() < 0.8 else None,
            book_at=rng.randrange(lines) if rng.random() < 0.7 else None,
            long_at=rng.randrange(lines - 1) if rng.random() < 0.4 else None,
            ending=rng.choices(["ai", "caller", "mid"], [5, 4, 1])[0],
        )


@dataclass
class Story:
    """One call: the plan, the assistant's part (it is the stand-in's `Conversation`), the records."""

    plan: Plan
    call: Call | None = None
    lost: list[dict] = field(default_factory=list)  # what was acknowledged, and gone with its primary
    line: int = -1  # what the caller says, or has said last
    heard_lines: set[int] = field(default_factory=set)  # committed by some AI session
    transcripts: list[Transcript] = field(default_factory=list)
    planned: list[str] = field(default_factory=list)  # transcripts, on their way
    said: list[tuple[float, str]] = field(default_factory=list)  # by the assistant
    told: list[Told] = field(default_factory=list)
    faults: None = None  # of the AI: none of this call's own
    greetings_asked: int = 0
    asked_ms: float | None = None  # response.create without an answer so far
    settling_ms: float = 0  # settings without an answer so far
    asks: list[float] = field(default_factory=list)
    settling: list[tuple[float, float]] = field(default_factory=list)  # settings came, were taken
    thinking: list[tuple[float, float]] = field(default_factory=list)  # asked, first audio
    finished: bool = False  # the caller's script ran to its end
    repeats: int = 0
    checked: bool = False  # by the oracle; its journal has left Redis
    _tools: dict[str, tuple[str, dict]] = field(default_factory=dict)
    _answered_line: int = -1
    _greeting_due: bool = False

    # ---- the stand-in's Conversation ----

    def caller_spoke(self) -> str:
        self.heard_lines.add(self.line)
        text = f"C{self.plan.index}.{len(self.planned)} line {self.line}"
        self.planned.append(text)
        return text

    def next_reply(self) -> Reply:
        if self._greeting_due:
            self._greeting_due = False
            return Reply(greeting_of(self.plan.index))
        plan, heard = self.plan, max(self.heard_lines, default=-1)
        if plan.name_at == heard and not self._was_told("set_customer_name"):
            return Reply(calls=(tool("set_customer_name", name=plan.name),))
        if plan.book_at == heard and not self._was_told("book_appointment"):
            return Reply(calls=(self._booking(),))
        fresh, self._answered_line = heard > self._answered_line, heard
        if heard == plan.lines - 1 and plan.ending == "ai":
            return Reply(self._speech(), calls=(tool("end_call", reason="done"),))
        return Reply(self._speech(fresh and plan.long_at == heard))

    def answered(self) -> bool:
        return True

    def _booking(self) -> Tool:
        starts_at = self.plan.starts_at.isoformat()
        return tool("book_appointment", starts_at=starts_at, duration_minutes=30, title="Chaos")

    def _was_told(self, name: str) -> bool:
        """Asked three times at most: an assistant that is refused gives up."""
        answers = [one.ok for one in self.told if one.tool == name]
        return any(answers) or len(answers) >= 3

    def _speech(self, long: bool = False) -> str:
        text = f"A{self.plan.index}.{len(self.said)} " + (LONG if long else "answer")
        self.said.append((now_ms(), text))
        return text

    # ---- what the AI's stand-in saw ----

    def on_event(self, session: Session, direction: str, event: dict) -> None:
        kind = event["type"]
        if direction == "in" and kind == "response.create":
            self.asked_ms = now_ms()
            self.asks.append(self.asked_ms)
            wanted = (event.get("response") or {}).get("instructions", "")
            if wanted.startswith("Greet the caller"):
                self._greeting_due = True
                self.greetings_asked += 1
        elif direction == "in" and kind == "conversation.item.create":
            self._on_item(event["item"])
        elif direction == "in" and kind == "session.update":
            self.settling_ms = now_ms()
        elif kind == "session.updated":
            self.settling.append((self.settling_ms, now_ms()))
        elif kind == "response.output_audio.delta" and self.asked_ms is not None:
            self.thinking.append((self.asked_ms, now_ms()))
            self.asked_ms = None
        elif kind == "response.function_call_arguments.done":
            self._tools[event["call_id"]] = (event["name"], json.loads(event["arguments"]))
        elif kind == "conversation.item.input_audio_transcription.completed":
            self.transcripts.append(Transcript(now_ms(), event["transcript"], session))

    def _on_item(self, item: dict) -> None:
        if item["type"] != "function_call_output":
            return
        name, arguments = self._tools.get(item["call_id"], ("?", {}))
        ok = bool(json.loads(item["output"]).get("ok"))
        self.told.append(Told(now_ms(), name, arguments, ok))

    # ---- the caller ----

    async def act(self, call: Call) -> None:
        self.call = call
        await self._listen(20)
        for line in range(self.plan.lines):
            await self._say(line)
            if line == self.plan.long_at:
                await self._until(lambda: call.heard_ms() >= 600, 12)
            elif self.plan.ending == "mid" and line == self.plan.lines - 1:
                await self._until(lambda: call.heard_ms() >= 300, 12)
            else:
                await self._listen(12)
        self.finished = True
        if self.plan.ending != "ai":
            call.hang_up()
            return
        for _ in range(4):  # the goodbye may have to be asked for again
            if await self._until(call._over.is_set, 15):
                return
            await self._say(self.plan.lines - 1)
        self.finished = False
        raise TimeoutError("the assistant does not end the call")

    async def _say(self, line: int) -> None:
        """Until the AI has it; a person who gets no answer says it again."""
        for attempt in range(6):
            self.line = line
            self.repeats += attempt > 0
            before = len(self.planned)
            await self.call.say(noise("a caller", 700), f"line {line}")
            if await self._until(lambda: len(self.planned) > before, 5):
                return
        raise TimeoutError(f"nobody hears line {line}")

    async def _listen(self, timeout: float) -> bool:
        """Until the assistant has answered and is quiet; not for ever, as no caller would."""
        return await self._until(lambda: self.call.quiet_ms() >= 350, timeout)

    async def _until(self, condition, timeout: float) -> bool:
        """Also while there is no media stream, so that no frame of the call wakes us."""
        deadline = now_ms() + timeout * 1000
        while not condition():
            if self.call._over.is_set():
                return condition()
            if now_ms() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True


class Cast:
    """All calls of a run, found by the line that an AI session was instructed for."""

    def __init__(self) -> None:
        self.stories: dict[str, Story] = {}
        self._of: dict[Session, Story] = {}

    def add(self, plan: Plan) -> Story:
        story = Story(plan)
        self.stories[number_of(plan.index)] = story
        return story

    def of(self, session: Session) -> Story | None:
        return self._of.get(session)

    def on_event(self, session: Session, direction: str, event: dict) -> None:
        if direction == "in" and event["type"] == "session.update" and session not in self._of:
            found = _MARKER.search(event["session"].get("instructions", ""))
            if found and found.group(1) in self.stories:
                self._of[session] = self.stories[found.group(1)]
        story = self._of.get(session)
        if story is not None and direction != "plan":
            story.on_event(session, direction, event)
