"""A fleet whose Redis is named by Sentinels: the primary dies under calls, and the programs find the other."""

import json
import subprocess

import pytest

from flow.chat import CHAT, Own, check_gapless, check_whole, talk, underway
from flow.fleet import bin_directory
from flow.redis_many import RedisWithSentinels
from flow.servers import eventually
from flow.stage import Stage

pytestmark = pytest.mark.usefixtures("programs")


def test_the_primary_dies_under_calls():
    with Stage(CHAT, redis=RedisWithSentinels, env={"RINGFLEET_AI_POOL_SIZE": "0"}) as stage:
        stage.provider.play(Own)
        calls = [talk(stage) for _ in range(3)]
        for call in calls:
            underway(stage, call)
        stage.fleet.redis_server.fail_over()
        for program in stage.fleet.programs():
            eventually("the other primary to be found", lambda: program.metrics()["ringfleet_redis_up"] == 1)
        done = subprocess.run(
            [str(bin_directory() / "flusher"), "calls", "--json"],
            env=stage.fleet.flusher.environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert {row["call"] for row in json.loads(done.stdout)} == {call.sid for call in calls}
        for call in calls:
            check_whole(stage, call, streams=1)
            assert check_gapless(stage, call) == [1]
