"""A caller who follows a scenario."""

from typing import Awaitable, Callable

from . import speech
from .call import Call
from .scenario import Scenario

POLITE_PAUSE_MS = 500


def follow(scenario: Scenario, idle: Callable[[Call], bool]) -> Callable[[Call], Awaitable[None]]:
    """A script for Carrier.place_call. `idle` tells whether the assistant has nothing more to say to
    this call: a pause between two replies is not yet the caller's turn."""
    lines = [speech.speak(turn.caller, speech.CALLER) for turn in scenario.turns]

    async def script(call: Call) -> None:
        async def assistant_done() -> None:
            await call.wait_for(
                lambda: call.quiet_ms() >= POLITE_PAUSE_MS and idle(call), 60, "the assistant's answer"
            )

        for turn, clip in zip(scenario.turns, lines):
            if turn.interrupts_after_ms is None:
                await assistant_done()
            else:
                await call.hear(turn.interrupts_after_ms)
            await call.say(clip, turn.caller)
        if scenario.caller_hangs_up:
            await assistant_done()
            call.hang_up()

    return script
