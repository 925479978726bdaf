"""Calls of many kinds in one fleet, several at once: each case has a business of its own, by which both
stand-ins know it, and its own script for the caller."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Awaitable, Callable

from standins import caller, speech
from standins.call import Call, Event
from standins.realtime import Faults
from standins.realtime_session import Session
from standins.scenario import Conversation, Scenario

from .stage import Stage

CALLER_NUMBER = "+14155550123"  # known by number to nobody
GREETING = "Hello, how can I help?"


def line(*turns, greeting: str = GREETING, unscripted: str = "Are you still there?") -> Scenario:
    """A short conversation that the caller ends."""
    return Scenario("", greeting, turns, caller_hangs_up=True, unscripted=unscripted)


@dataclass
class Case:
    """One call. Without a script the caller follows the scenario."""

    name: str
    scenario: Scenario
    script: Callable[["Play"], Awaitable[None]] | None = None
    faults: Faults | None = None
    greeting: str | None = None  # of the business, where the AI says something else
    context: dict[str, str] = field(default_factory=dict)  # fields on top of the warmer's
    answer_ms: int = 90_000  # the call is over by then


def asked_ms(session: Session) -> float:
    """When a call took the session."""
    return session.received("session.update")[0].ms


class Play:
    """A call of a case: what the script needs while it runs, and the test afterwards."""

    def __init__(self, cast: "Cast", case: Case) -> None:
        self.case = case
        self.cast = cast
        self.call: Call
        self.conversation = Conversation(case.scenario, case.faults)

    # ---- for scripts ----

    @property
    def sessions(self) -> list[Session]:
        """The provider's sessions that were configured for this call, in that order: one that was
        opened ahead may have waited."""
        mark = self.cast.mark(self.case)
        every = self.cast.stage.provider.sessions
        mine = [one for one in every if mark in one.asked and one.conversation is self.conversation]
        return sorted(mine, key=asked_ms)

    @property
    def session(self) -> Session:
        return self.sessions[-1]

    def idle(self) -> bool:
        return all(one.idle() for one in self.sessions if one.closed_ms is None)

    async def say(self, text: str) -> None:
        await self.call.say(speech.speak(text, speech.CALLER), text)

    async def quiet(self, ms: int = 500) -> None:
        """Until the assistant has said what it has to say."""
        await self.call.wait_for(
            lambda: self.call.quiet_ms() >= ms and self.idle(), 60, "the assistant's answer"
        )

    async def until(self, what: str, condition: Callable[[], object], timeout: float = 30) -> None:
        await self.call.wait_for(lambda: bool(condition()), timeout, what)

    async def stay(self, seconds: float) -> None:
        """Says nothing for a while."""
        await asyncio.sleep(seconds)

    # ---- for checks ----

    @property
    def sid(self) -> str:
        return self.call.sid

    def turns(self) -> list[tuple[str, str, bool]]:
        """What is in Postgres, once the call is flushed."""
        fleet = self.cast.stage.fleet
        fleet.wait_flushed(self.sid)
        rows = fleet.sql(
            "select speaker, message, interrupted from conversation_turn where call_sid = %s"
            " order by seq",
            self.sid,
        )
        return [(row["speaker"], row["message"], row["interrupted"]) for row in rows]

    def words(self) -> list[str]:
        return [message for _, message, _ in self.turns()]

    def journal(self) -> list[dict[str, str]]:
        """The entries, whose ids must have no gap."""
        entries = self.cast.stage.fleet.journal(self.sid)
        numbers = [int(entry_id.split("-")[1]) for entry_id, _ in entries]
        assert numbers == list(range(1, len(numbers) + 1)), numbers
        return [fields for _, fields in entries]

    @property
    def ended(self) -> dict[str, str]:
        """The session hash after the call: reason, verdict."""
        return self.cast.stage.fleet.session(self.sid)

    def told(self, session: Session, role: str) -> list[str]:
        """Texts that a session was given, in order."""
        items = [one.event["item"] for one in session.received("conversation.item.create")]
        return [
            item["content"][0]["text"]
            for item in items
            if item["type"] == "message" and item["role"] == role
        ]

    def logged(self, msg: str) -> list[dict]:
        return self.cast.stage.fleet.logged(msg, self.sid)

    def first_audio_ms(self) -> float:
        """From the stream's start to the first audio message."""
        return self.call.times("media")[0] - self.call.times("start")[0]


class Cast:
    def __init__(self, *, workers: int = 1, env: dict[str, str] | None = None) -> None:
        self._places: dict[str, int] = {}
        self._plays: list[Play] = []
        self.stage = Stage(
            lambda session: self._conversation(session),
            workers=workers,
            env=env,
            on_call_event=self._on_call_event,
        )

    def __enter__(self) -> "Cast":
        self.stage.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.stage.__exit__(*error)

    @property
    def provider(self):
        return self.stage.provider

    @property
    def fleet(self):
        return self.stage.fleet

    def mark(self, case: Case) -> str:
        return f"[case {self._places[case.name]}]"

    def play(self, *cases: Case, strict: bool = True) -> list[Play]:
        """Plays the calls of these cases at once, to their end."""
        plays = [self.start(case) for case in cases]
        for one in plays:
            self.finish(one)
        if strict:
            for one in plays:
                one.call.check()
            self.provider.check()
        return plays

    def start(self, case: Case) -> Play:
        self._found(case)
        one = Play(self, case)
        self._plays.append(one)
        follow = caller.follow(case.scenario, lambda _: one.idle())

        async def script(call: Call) -> None:
            one.call = call
            await (case.script(one) if case.script else follow(call))

        one.call = self.stage.start_call(CALLER_NUMBER, self._number(case), script)
        return one

    def finish(self, one: Play) -> Play:
        self.stage.finish(one.call, one.case.answer_ms / 1000)
        return one

    def metric(self, name: str) -> float:
        """Of all workers that live."""
        living = [one for one in self.fleet.workers if one.process.poll() is None]
        return sum(one.metrics()["ringfleet_" + name] for one in living)

    def greeting_key(self, case: Case) -> str:
        text = "openai|gpt-realtime-2.1|marin|" + (case.greeting or case.scenario.greeting)
        return "rf:greeting:" + hashlib.sha256(text.encode()).hexdigest()

    # ---- inside ----

    def _number(self, case: Case) -> str:
        return f"+1415556{self._places[case.name]:04d}"

    def _found(self, case: Case) -> None:
        """The case's business, if it is not there yet."""
        if case.name in self._places:
            return
        self._places[case.name] = len(self._places)
        mark = self.mark(case)
        self.fleet.sql(
            "with new as (insert into business (name, phone_number, timezone, language)"
            " values (%s, %s, 'UTC', 'en-GB') returning id)"
            " insert into business_settings"
            " (business_id, voice, greeting_inbound, prompt_compact, prompt_full)"
            " select id, 'marin', %s, %s, %s from new",
            case.name,
            self._number(case),
            case.greeting or case.scenario.greeting,
            f"{mark} compact",
            f"{mark} full",
        )

    def _conversation(self, session: Session) -> Conversation:
        """The provider knows a call by its business: the newest call of that business."""
        for one in reversed(self._plays):
            if self.mark(one.case) in session.asked:
                return one.conversation
        raise LookupError(f"no case for {session.asked!r}")

    def _on_call_event(self, call: Call, event: Event) -> None:
        """Between the webhook's answer and the stream."""
        if event.kind != "twiml" or "/voice/incoming" not in event.data["url"]:
            return
        for one in self._plays:
            if self._number(one.case) == call.called and one.case.context:
                self.fleet.redis().hset(self.fleet.key(call.sid), mapping=one.case.context)


def audio(text: str) -> bytes:
    """The assistant's voice."""
    return speech.speak(text, speech.ASSISTANT)
