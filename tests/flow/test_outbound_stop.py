"""A warmer that is asked to stop dials nobody any more, as it takes no callers any more."""

import signal
import time

import pytest

from flow.outbound_rig import OutboundStage, new_number, outbound_key
from flow.servers import eventually

pytestmark = pytest.mark.usefixtures("programs")


async def hold_back(stage) -> None:
    """The carrier's answers, until it lets go."""
    stage.api.faults.append("late")
    stage.api.release.clear()


async def let_go(stage) -> None:
    stage.api.release.set()


def test_a_warmer_that_stops_dials_nobody_else():
    """A drain that holds incoming calls off and goes on dialling begins calls that its end cuts short."""
    with OutboundStage() as stage:
        asked, waits = (stage.meet(new_number(), outcome="busy") for _ in range(2))
        stage.run(hold_back(stage))
        stage.call({"to": asked})
        stage.dialled(asked)
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        (waiting,) = stage.call({"to": waits}, schedule_at=later)
        warmer = stage.fleet.warmer
        warmer.signal(signal.SIGTERM)
        eventually("the stop", lambda: warmer.get("/readyz") == (503, "stopping\n"))
        stage.fleet.redis().zadd(outbound_key("queue"), {waiting["call_sid"]: 1})  # its time has come
        time.sleep(1.5)  # it looks once a second: that nothing happens cannot be awaited
        assert stage.api.calls(waits) == []
        stage.run(let_go(stage))
        warmer.process.wait(20)
        assert warmer.process.returncode == 0 and stage.api.calls(waits) == []
        warmer.start()
        warmer.wait_ready()
        stage.dialled(waits)
        assert len(stage.api.calls(asked)) == 1
