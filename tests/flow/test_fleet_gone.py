"""All workers gone in the middle of a call, as when a whole fleet is restarted at once: the caller is held and goes
on with the same conversation when one is back, or hears why not."""

import asyncio
import signal

import pytest

from flow.cast import GREETING, Cast, Case, line
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

ASKED = [turn("What time is it?", "It is noon."), turn("Thank you.", "You are welcome.")]
AGAIN = "Where were we?"
HOLD = "One moment, please."
AWAY_SECONDS = 10


@pytest.fixture(scope="module")
def cast():
    with Cast(workers=2, env={"RINGFLEET_AI_POOL_SIZE": "0"}) as one:
        yield one


def talk(name: str, script) -> Case:
    return Case(name, line(*ASKED, unscripted=AGAIN), script)


async def lose_all(play) -> None:
    await play.quiet()
    await play.say("What time is it?")
    await play.quiet()
    for worker in play.cast.fleet.workers:
        worker.signal(signal.SIGKILL)


async def they_come_back(play) -> None:
    await lose_all(play)
    spoken = len(play.call.times("assistant-begin"))
    await play.stay(AWAY_SECONDS)
    await asyncio.to_thread(play.cast.fleet.start_worker)  # a new one: its port is its own
    play.cast.stage.route()
    await play.until("the resume", lambda: len(play.call.times("assistant-begin")) > spoken)
    await play.quiet()
    await play.say("Thank you.")
    await play.quiet()
    play.call.hang_up()


def test_a_fleet_that_is_restarted_keeps_its_calls(cast):
    (play,) = cast.play(talk("restarted", they_come_back), strict=False)
    assert play.words() == [GREETING, "What time is it?", "It is noon.", AGAIN, "Thank you.", "You are welcome."]
    play.journal()
    assert set(play.call.data("say")) == {HOLD}
    assert play.ended["losses"] == "1"
    assert play.call.violations == []


def test_a_fleet_that_stays_away_says_so():
    async def nobody_comes(play) -> None:
        await lose_all(play)
        await play.stay(30)

    env = {"RINGFLEET_AI_POOL_SIZE": "0", "RINGFLEET_RESUME_WAIT_SECONDS": "3"}
    with Cast(workers=1, env=env) as cast:
        (play,) = cast.play(talk("stays away", nobody_comes), strict=False)
        *held, apology = play.call.data("say")
        assert held == [HOLD] and apology.startswith("We are sorry")
        assert play.call.status == "completed" and play.call.violations == []
        said = [one["message"] for one in play.journal() if one["type"] == "turn"]
        assert said == [GREETING, "What time is it?", "It is noon."]  # flushed when the lease has lapsed
