"""A worker that has a call before its booked times: it speaks with what it has, and does not think that all times are free."""

import asyncio
import json
import signal
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Callable

import pytest

from flow.stage import Stage
from flow.warmer_rig import locked, wait_database
from scenarios import harbour_dental
from standins import speech
from standins.scenario import Reply, Scenario, tool, turn

pytestmark = pytest.mark.usefixtures("programs")

TEN = harbour_dental.next_thursday_at_ten()
LOOK = tool("check_availability", **{"from": TEN.isoformat(), "to": (TEN + timedelta(hours=2)).isoformat()})
ASKS = Scenario("asks", "Hello.", (turn("When?", Reply(calls=(LOOK,)), "Done."),), caller_hangs_up=True)


def nothing() -> None:
    pass


def play(stage: Stage, greeted: Callable[[], None] = nothing, asked: Callable[[], None] = nothing):
    """Instructions, and what the tool answered. The two happen when the call has been greeted, and when the tool is asked."""

    async def script(call) -> None:
        await call.hear(300)
        await asyncio.to_thread(greeted)
        await call.wait_for(lambda: call.quiet_ms() >= 300, 10, "the greeting")
        text = ASKS.turns[0].caller
        await call.say(speech.speak(text, speech.CALLER), text)
        await call.wait_for(lambda: tools_asked(stage), 30, "the tool")
        await asyncio.to_thread(asked)
        await call.wait_for(lambda: call.quiet_ms() >= 500 and stage.provider.idle() and outputs(stage), 30, "the answer")
        call.hang_up()

    call = stage.finish(stage.start_call(harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER, script))
    stage.check(call)
    (session,) = stage.provider.talking()
    (answer,) = outputs(stage)
    return [one.text for one in session.instructions], answer


def outputs(stage: Stage) -> list[dict]:
    return [json.loads(item["output"]) for one in stage.provider.talking() for item in one.tool_outputs]


def tools_asked(stage: Stage) -> list:
    return [item for one in stage.provider.talking() for item in one.items.values() if item["type"] == "function_call"]


def book_ten(stage: Stage) -> None:
    stage.fleet.sql(
        "insert into appointment (business_id, starts_at, ends_at) select id, %s, %s from business",
        TEN, TEN + timedelta(minutes=60),
    )


def test_a_tool_waits_for_booked_times_that_are_about_to_come():
    with Stage(ASKS) as stage, ExitStack() as lock:
        wait_database(stage.fleet)
        book_ten(stage)
        lock.enter_context(locked(stage.fleet, "appointment", "access exclusive"))
        (compact, full), answer = play(stage, asked=lock.close)
        assert "Be brief" in compact and "set_customer_name" in full
        free = [(TEN + timedelta(minutes=minutes)).timestamp() for minutes in (60, 90)]
        assert [datetime.fromisoformat(one).timestamp() for one in answer["free_starts"]] == free


def test_a_warmer_that_died_leaves_a_call_without_a_calendar():
    with Stage(ASKS) as stage, ExitStack() as lock:
        fleet = stage.fleet

        def kill() -> None:
            fleet.warmer.signal(signal.SIGKILL)
            fleet.warmer.process.wait(20)
            lock.close()
            fleet.warmer.start()
            fleet.warmer.wait_ready()

        wait_database(fleet)
        lock.enter_context(locked(fleet, "appointment", "access exclusive"))
        (compact,), answer = play(stage, greeted=kill)
        assert "Be brief" in compact and "cannot be reached" in answer["error"]


def test_booked_times_that_failed_are_no_calendar_either(tmp_path):
    (tmp_path / "load_booked_times.sql").write_text("select $1 || $2 || $3 || (1 / length(left($4, 0))) as booked_slots")
    with Stage(ASKS, env={"RINGFLEET_SQL_DIR": str(tmp_path)}) as stage:
        wait_database(stage.fleet)
        (_, full), answer = play(stage)
        assert "set_customer_name" in full and "cannot be reached" in answer["error"]
