"""Redis comes back with nothing of what it had, as one without its append-only file does."""

import pytest

from flow.chat import NUMBERS, fleet_of, underway
from flow.servers import eventually

pytestmark = pytest.mark.usefixtures("programs")


def turns_of(stage, call) -> list[str]:
    return [entry["message"] for _, entry in stage.fleet.journal(call.sid) if entry["type"] == "turn"]


async def _hang_up(call) -> None:
    call.hang_up()


def test_redis_that_comes_back_empty_serves_the_next_call():
    """A restart that empties Redis used to leave a fleet without its functions, its groups and its live workers until
    somebody restarted the programs. Who was in a call then is not left in silence."""
    with fleet_of(1) as stage:
        cut_short = stage.start_call(*NUMBERS, silent=True)
        underway(stage, cut_short, 2)
        stage.fleet.redis_server.start_empty()
        stage.finish(cut_short)
        (apology,) = cut_short.data("say")
        assert apology.startswith("We are sorry") and cut_short.data("ended") == ["completed"]
        for program in stage.fleet.programs():
            program.wait_ready()
        call = stage.start_call(*NUMBERS, silent=True)
        eventually("the greeting in its journal", lambda: turns_of(stage, call))
        assert stage.fleet.redis().hget("rf:worker:worker-1", "active") == "1"
        stage.run(_hang_up(call))
        stage.finish(call)
        stage.fleet.wait_flushed(call.sid)
        rows = stage.fleet.sql("select message from conversation_turn where call_sid = %s order by seq", call.sid)
        assert [row["message"] for row in rows] == turns_of(stage, call) != []
