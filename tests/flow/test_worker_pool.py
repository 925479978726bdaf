"""AI sessions that are opened ahead: taken, refilled, renewed, and never a storm."""

import signal
import time

import pytest

from flow.cast import Cast, Case, line
from flow.servers import eventually
from standins.realtime import Faults
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

SIZE, AGE_S = 3, 10
TALK = line(turn("What time is it?", "It is noon."))


def wait_ready(cast, count: int) -> None:
    eventually("the pool to be full", lambda: cast.metric("ai_pool_ready") == count)


@pytest.fixture(scope="module")
def cast():
    env = {"RINGFLEET_AI_POOL_SIZE": str(SIZE), "RINGFLEET_AI_POOL_AGE_SECONDS": str(AGE_S)}
    with Cast(env=env) as cast:
        yield cast


def test_sessions_are_opened_ahead_and_taken_by_calls(cast):
    """Two or three seconds are lost where the AI's socket is opened when the stream starts."""
    wait_ready(cast, SIZE)
    opened = [one.id for one in cast.provider.sessions]
    plays = cast.play(Case("one", TALK), Case("two", TALK))
    assert {play.session.id for play in plays} <= set(opened)
    for play in plays:
        assert play.session.opened_ms < play.call.began_ms
    assert cast.metric("ai_pool_taken_total") == 2
    wait_ready(cast, SIZE)


def test_a_session_that_does_not_answer_speaks_for_the_others(cast):
    """They stood open for as long, over the same firewall: the next one is dialled."""
    wait_ready(cast, SIZE)
    (play,) = cast.play(Case("mute", TALK, None, Faults(ignore_session_updates=1)))
    first, second = play.sessions
    assert first.opened_ms < play.call.began_ms < second.opened_ms


def test_unused_sessions_are_renewed_before_they_expire(cast):
    """A session's life counts from its opening, whether anybody uses it or not."""
    wait_ready(cast, SIZE)
    first = {one.id for one in cast.provider.open()}

    def renewed() -> bool:
        now = {one.id for one in cast.provider.open()}
        return len(now) == SIZE and not now & first

    eventually("all to be renewed", renewed, AGE_S + 15)
    closed = [one for one in cast.provider.sessions if one.id in first]
    assert all(one.closed_ms - one.opened_ms < (AGE_S + 5) * 1000 for one in closed)
    assert len(cast.provider.sessions) < 20


def test_a_worker_that_stops_lets_go_of_them(cast):
    wait_ready(cast, SIZE)
    (worker,) = cast.fleet.workers
    worker.signal(signal.SIGTERM)
    worker.process.wait(30)
    eventually("the sessions' end", lambda: cast.provider.open() == [])
    assert worker.process.returncode == 0


def test_no_pool_and_no_session_without_a_call():
    with Cast(env={"RINGFLEET_AI_POOL_SIZE": "0"}) as cast:
        (play,) = cast.play(Case("one", TALK))
        assert [one.id for one in cast.provider.sessions] == [play.session.id]
        assert play.session.opened_ms > play.call.began_ms


async def drop_all(provider) -> None:
    for session in provider.open():
        session.drop()


def test_an_account_without_access_is_not_tried_again_and_again():
    """Some accounts and regions are refused before the upgrade, with a status of HTTP."""
    with Cast(env={"RINGFLEET_AI_POOL_SIZE": "2"}) as cast:
        faults = cast.provider.faults
        wait_ready(cast, 2)
        faults.refuse_status, faults.refuse_upgrades = 403, 1_000_000
        cast.stage.run(drop_all(cast.provider))
        eventually("the pool to be empty", lambda: cast.metric("ai_pool_ready") == 0)

        async def waits(play) -> None:
            await play.stay(10)

        (play,) = cast.play(Case("one", TALK, waits), strict=False)
        assert (play.ended["reason"], play.ended["verdict"]) == ("ai_refused", "apology")
        time.sleep(5)  # long enough for a storm
        assert 2 <= 1_000_000 - faults.refuse_upgrades <= 4


def test_a_wrong_key_is_not_tried_again_and_again():
    """Authentication errors never loop; a caller hears words of our own."""
    with Cast(env={"RINGFLEET_AI_POOL_SIZE": "2", "RINGFLEET_OPENAI_API_KEY": "sk-wrong"}) as cast:

        async def waits(play) -> None:
            await play.stay(10)

        (play,) = cast.play(Case("one", TALK, waits), strict=False)
        assert (play.ended["reason"], play.ended["verdict"]) == ("ai_refused", "apology")
        assert play.call.data("say")
        time.sleep(5)  # long enough for a storm
        refused = [one for one in cast.provider.violations if one.code == "invalid_api_key"]
        assert 2 <= len(refused) <= 4, refused
