"""A phone call as a script for both sides: what the caller says, what the assistant answers."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .realtime import Faults


@dataclass(frozen=True)
class Tool:
    """A function call of the assistant."""

    name: str
    arguments: dict

    def arguments_json(self) -> str:
        return json.dumps(self.arguments)


def tool(name: str, /, **arguments: object) -> Tool:
    return Tool(name, arguments)


@dataclass(frozen=True)
class Reply:
    """One response: spoken text, then function calls. Their outputs lead to the next reply."""

    say: str = ""
    calls: tuple[Tool, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One thing the caller says, and the replies to it.

    interrupts_after_ms: None waits until the assistant is quiet; a number talks over the assistant
    once that much of the current speech was heard.
    """

    caller: str
    replies: tuple[Reply, ...]
    interrupts_after_ms: int | None = None
    heard_as: str = ""  # the transcript, where it differs from what is said


@dataclass(frozen=True)
class Scenario:
    name: str
    greeting: str
    turns: tuple[Turn, ...]
    caller_hangs_up: bool = False  # otherwise the assistant ends the call
    unscripted: str = "Are you still there?"  # spoken when nothing in the script is due


def turn(
    caller: str, *replies: Reply | str, interrupts_after_ms: int | None = None, heard_as: str = ""
) -> Turn:
    spoken = tuple(Reply(reply) if isinstance(reply, str) else reply for reply in replies)
    return Turn(caller, spoken, interrupts_after_ms, heard_as)


@dataclass
class Conversation:
    """Where a scenario stands. It belongs to a call, not to a session: a second session that
    resumes the call goes on in the same place."""

    scenario: Scenario
    faults: "Faults | None" = None  # of this call alone; otherwise the provider's
    greeted: bool = False
    turns_taken: int = 0
    _due: list[Reply] = field(default_factory=list)

    def caller_spoke(self) -> str:
        """A turn of the caller is over; what is still due for earlier ones is dropped.
        Returns the transcript."""
        self.greeted = True
        self.turns_taken += 1
        if self.turns_taken > len(self.scenario.turns):
            self._due = []
            return "(not in the script)"
        current = self.scenario.turns[self.turns_taken - 1]
        self._due = list(current.replies)
        return current.heard_as or current.caller

    def next_reply(self) -> Reply:
        if self._due:
            return self._due.pop(0)
        if not self.greeted:
            self.greeted = True
            return Reply(self.scenario.greeting)
        return Reply(self.scenario.unscripted)

    def answered(self) -> bool:
        """Nothing more is due for what the caller has said so far."""
        return not self._due
