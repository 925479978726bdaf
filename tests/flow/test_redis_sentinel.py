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


def list_calls(stage: Stage, url: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(bin_directory() / "flusher"), "calls", "--json"],
        env={**stage.fleet.flusher.environment(), "RINGFLEET_REDIS_URL": url},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_primary_dies_under_calls():
    with Stage(CHAT, redis=RedisWithSentinels, env={"RINGFLEET_AI_POOL_SIZE": "0"}) as stage:
        stage.provider.play(Own)
        calls = [talk(stage) for _ in range(3)]
        for call in calls:
            underway(stage, call)
        sentinels = stage.fleet.redis_server
        sentinels.fail_over()
        sentinels.kill_sentinel()  # the first that everybody asks
        for program in stage.fleet.programs():
            eventually("the other primary to be found", lambda: program.metrics()["ringfleet_redis_up"] == 1)
        listed = list_calls(stage, sentinels.url_of("flusher"))
        assert {row["call"] for row in json.loads(listed.stdout)} == {call.sid for call in calls}
        misnamed = list_calls(stage, sentinels.url_of("flusher") + "-2")
        assert misnamed.returncode == 1 and "Sentinel knows no master called ringfleet-2" in misnamed.stderr
        for call in calls:
            check_whole(stage, call, streams=1)
            assert check_gapless(stage, call) == [1]


def test_a_primary_that_slept_and_thinks_that_it_still_is_one():
    """What it acknowledges is lost: the programs leave it when the Sentinels say so, not when it knows itself."""
    with Stage(CHAT, redis=RedisWithSentinels, env={"RINGFLEET_AI_POOL_SIZE": "0"}) as stage:
        stage.provider.play(Own)
        calls = [talk(stage) for _ in range(3)]
        for call in calls:
            underway(stage, call)
        before = stage.fleet.redis_server.replaced_asleep()
        for program in stage.fleet.programs():
            eventually(f"{program.name} to leave it", lambda: any(
                line.get("why") == "the Sentinels name another primary" for line in program.log()
            ))  # fmt: skip
            assert before.client().role()[0] in (b"master", "master")
            eventually("the other primary to be found", lambda: program.metrics()["ringfleet_redis_up"] == 1)
        for call in calls:
            check_whole(stage, call, streams=1)
            assert check_gapless(stage, call) == [1]
