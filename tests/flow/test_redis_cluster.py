"""A fleet on a Redis Cluster of six nodes, with sixteen partitions: whole calls, slots that move and a primary that
dies under them. Nothing is lost and nothing doubled."""

import contextlib
import json
import subprocess
import threading

import pytest

from flow.chat import CHAT, Own, check_gapless, check_whole, talk, underway
from flow.fleet import bin_directory
from flow.redis_many import RedisCluster, slot_of
from flow.servers import eventually
from flow.stage import Stage

pytestmark = pytest.mark.usefixtures("programs")
PARTITIONS = 16
CALLS = 9


@pytest.fixture(scope="module")
def stage(programs):
    env = {"RINGFLEET_AI_POOL_SIZE": "0", "RINGFLEET_PARTITIONS": str(PARTITIONS)}
    with Stage(CHAT, workers=2, redis=RedisCluster, env=env) as one:
        one.provider.play(Own)
        yield one


@pytest.fixture
def cluster(stage) -> RedisCluster:
    return stage.fleet.redis_server


def place_calls(stage: Stage) -> list:
    calls = [talk(stage) for _ in range(CALLS)]
    for call in calls:
        underway(stage, call)
    return calls


def slot_of_call(stage: Stage, call) -> int:
    return slot_of(stage.fleet.key(call.sid))


def check_all(stage: Stage, calls: list) -> None:
    for call in calls:
        check_whole(stage, call, streams=1)
        check_gapless(stage, call)
    ends = stage.fleet.sql("select call_sid, count(*) from call_log group by 1 having count(*) > 1")
    assert ends == []
    nothing_left(stage)


def nothing_left(stage: Stage) -> None:
    client = stage.fleet.redis()
    for partition in range(PARTITIONS):
        eventually("the index to be empty", lambda: client.xlen(f"rf:{{p{partition}}}:ended") == 0)
        assert client.xlen(f"rf:{{p{partition}}}:dead") == 0
        assert client.zcard(f"rf:{{p{partition}}}:live") == 0


def redirects(stage: Stage) -> float:
    programs = [*stage.fleet.workers, stage.fleet.warmer]
    return sum(one.metrics()["ringfleet_redis_redirects_total"] for one in programs)


def flusher(stage: Stage, *words: str) -> str:
    """A hand tool, as an operator calls it."""
    done = subprocess.run(
        [str(bin_directory() / "flusher"), *words],
        env=stage.fleet.flusher.environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextlib.contextmanager
def following(stage: Stage, call):
    tail = subprocess.Popen(
        [str(bin_directory() / "flusher"), "tail", call.sid, "--json"],
        env=stage.fleet.flusher.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with tail:
        yield tail.stdout
        tail.kill()


def test_whole_calls_on_all_nodes(stage, cluster):
    calls = place_calls(stage)
    with following(stage, calls[1]) as lines:
        told = [json.loads(lines.readline()) for _ in range(4)]
        assert {one["call"] for one in told} == {calls[1].sid}
        assert "turn" in [one["type"] for one in told]
    listed = {row["call"] for row in json.loads(flusher(stage, "calls", "--json"))}
    assert listed == {call.sid for call in calls}
    shown = json.loads(flusher(stage, "show", calls[0].sid, "--json"))
    assert shown["session"]["phase"] == "live" and shown["journal"]
    check_all(stage, calls)
    assert redirects(stage) == 0  # the map of slots was right from the beginning
    for tool in (["pending"], ["dead"], ["calls"]):
        assert json.loads(flusher(stage, *tool, "--json")) == []
    owners = {cluster.owner(slot_of(f"{{p{partition}}}")).port for partition in range(PARTITIONS)}
    assert len(owners) == 3
    checked = flusher(stage, "check").splitlines()
    assert sorted(line for line in checked if "partitions" in line) == [
        f"ok     Redis, {count} of {PARTITIONS} partitions" for count in (4, 5, 7)
    ]
    for node in cluster.primaries():  # whoever came first has loaded them
        assert node.client().execute_command("FUNCTION LIST")


def test_slots_move_under_calls(stage, cluster):
    """Key by key, so that the calls meet all that a cluster says: ASK, TRYAGAIN, MOVED."""
    before = redirects(stage)
    calls = place_calls(stage)
    slots = sorted({slot_of_call(stage, call) for call in calls})[:4]
    moved = 0
    for slot in slots:
        there = cluster.owner(slot)
        to = next(node for node in cluster.primaries() if node is not there)
        moved += cluster.move_slot(slot, to, pause=0.1)
    assert moved >= 4 * len(slots)  # context, session, writes, live at least
    check_all(stage, calls)
    assert redirects(stage) > before
    for worker in stage.fleet.workers:
        assert worker.metrics()["ringfleet_journal_refused_total"] == 0


def test_a_primary_dies_under_calls(stage, cluster):
    """The calls of its partitions wait for the replica, the others notice nothing."""
    calls = place_calls(stage)
    owners = {call.sid: cluster.owner(slot_of_call(stage, call)) for call in calls}
    victim = max(cluster.primaries(), key=lambda node: sum(one is node for one in owners.values()))
    cluster.wait_copied()
    killer = threading.Thread(target=cluster.fail_over, args=(victim,))
    killer.start()
    for worker in stage.fleet.workers:
        eventually("the loss to show", lambda: worker.metrics()["ringfleet_redis_up"] == 0)
        assert worker.get("/readyz")[0] == 200  # it has calls to take on the other nodes
    killer.join()
    for program in stage.fleet.programs():
        eventually("all to be whole again", lambda: program.metrics()["ringfleet_redis_up"] == 1)
    check_all(stage, calls)
