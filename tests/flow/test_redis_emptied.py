"""Redis comes back with nothing of what it had, as one without its append-only file does."""

import json

import pytest

from flow.chat import NUMBERS, fleet_of, underway
from flow.servers import eventually

pytestmark = pytest.mark.usefixtures("programs")


def turns_of(stage, call) -> list[str]:
    return [entry["message"] for _, entry in stage.fleet.journal(call.sid) if entry["type"] == "turn"]


def letters(stage) -> list[str]:
    return [json.dumps(fields) for _, fields in stage.fleet.redis().xrange("rf:{p0}:dead")]


async def _hang_up(call) -> None:
    call.hang_up()


def test_redis_that_comes_back_empty_serves_the_next_call(tmp_path):
    """The programs bring back their functions, groups and live workers by themselves. Who was in a call then is not left
    in silence, and what was said last is with the person on call."""
    with fleet_of(1, RINGFLEET_SPOOL_DIR=str(tmp_path / "spool")) as stage:
        cut_short = stage.start_call(*NUMBERS, silent=True)
        said = eventually("the greeting in its journal", lambda: turns_of(stage, cut_short))
        stage.fleet.redis_server.start_empty()
        stage.finish(cut_short)
        (apology,) = cut_short.data("say")
        assert apology.startswith("We are sorry") and cut_short.data("ended") == ["completed"]
        for program in stage.fleet.programs():
            program.wait_ready()
        eventually("the dead letters", lambda: all(any(one in letter for letter in letters(stage)) for one in said))
        call = stage.start_call(*NUMBERS, silent=True)
        underway(stage, call, 2)
        eventually("the worker's entry", lambda: stage.fleet.redis().hget("rf:worker:worker-1", "active") == "1")
        stage.run(_hang_up(call))
        stage.finish(call)
        stage.fleet.wait_flushed(call.sid)
        (row,) = stage.fleet.sql("select status, end_reason from call_log where call_sid = %s", call.sid)
        assert (row["status"], row["end_reason"]) == ("completed", "carrier_stop")
