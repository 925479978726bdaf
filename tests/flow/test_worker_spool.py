"""Redis away for longer than a call: what its worker could not append waits on disk, and lands once and in order, whoever
is killed in between."""

import contextlib
import random
import signal
import subprocess
import time

import pytest

from flow.chat import CHAT, SPOKEN, Own, all_turns, check_gapless, fleet_of, talk, underway
from flow.fleet import bin_directory
from flow.redis_many import RedisCluster
from flow.servers import eventually
from flow.stage import Stage

pytestmark = pytest.mark.usefixtures("programs")


@contextlib.contextmanager
def fleet_with_spool(directory, **env: str):
    with fleet_of(1, RINGFLEET_SPOOL_DIR=str(directory / "spool"), **env) as stage:
        yield stage


def spooled(directory) -> list:
    return list((directory / "spool").glob("*.spool"))


def talk_without_redis(stage, directory, calls: int = 1) -> list:
    """Calls that are under way when Redis goes, and over before it is back."""
    every = [talk(stage) for _ in range(calls)]
    for call in every:
        underway(stage, call)
    stage.fleet.redis_server.stop(signal.SIGKILL)
    for call in every:
        stage.finish(call)
    worker = stage.fleet.workers[0]
    eventually("the worker to give up", lambda: worker.metrics()["ringfleet_calls_active"] == 0, 30)
    eventually("the spool", lambda: len(spooled(directory)) == calls, 60)
    return every


def listed(directory) -> str:
    """What the person on call sees of the disk."""
    done = subprocess.run(
        [str(bin_directory() / "worker"), "spool", str(directory / "spool")],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout


def check_landed(stage, call) -> None:
    stage.fleet.wait_flushed(call.sid)
    assert all_turns(stage, call) == SPOKEN
    check_gapless(stage, call)
    ends = [entry["reason"] for _, entry in stage.fleet.journal(call.sid) if entry["type"] == "call_end"]
    assert ends[-1] == "carrier_stop"
    (row,) = stage.fleet.sql("select end_reason from call_log where call_sid = %s", call.sid)
    assert row["end_reason"] == "carrier_stop"


def test_a_call_that_is_over_before_redis_is_back(tmp_path):
    with fleet_with_spool(tmp_path) as stage:
        (call,) = talk_without_redis(stage, tmp_path)
        worker = stage.fleet.workers[0]
        assert worker.metrics()["ringfleet_spool_written_total"] > 0
        assert spooled(tmp_path)[0].stat().st_mode & 0o777 == 0o600
        assert call.sid not in spooled(tmp_path)[0].name
        eventually("its end on the list", lambda: " ended " in listed(tmp_path))
        (row,) = [line.split() for line in listed(tmp_path).splitlines() if call.sid in line]
        assert (row[0], row[2]) == (spooled(tmp_path)[0].name, "worker-1") and int(row[3]) >= 6
        assert row[6:] == ["ended", "its", "worker", "lives"]
        stage.fleet.redis_server.start()
        eventually("the disk to be empty", lambda: not spooled(tmp_path), 60)
        check_landed(stage, call)
        metrics = worker.metrics()
        assert metrics["ringfleet_spool_files"] == metrics["ringfleet_spool_bytes"] == 0
        assert metrics["ringfleet_journal_refused_total"] == 0


def test_a_worker_killed_with_calls_on_its_disk_and_again_while_they_are_brought_back(tmp_path):
    rng = random.Random(5)
    with fleet_with_spool(tmp_path) as stage:
        calls = talk_without_redis(stage, tmp_path, calls=4)
        (worker,) = stage.fleet.workers
        worker.signal(signal.SIGKILL)
        worker.process.wait(10)
        assert listed(tmp_path).count("waits for a worker") == 4
        stage.fleet.redis_server.start()
        for _ in range(6):
            worker.start()
            time.sleep(rng.uniform(0.01, 0.06))  # the moment is what is tried
            worker.signal(signal.SIGKILL)
            worker.process.wait(10)
        worker.start()
        worker.wait_ready()
        eventually("the disk to be empty", lambda: not spooled(tmp_path), 60)
        for call in calls:
            check_landed(stage, call)


def test_a_worker_that_stops_while_redis_is_away(tmp_path):
    """Another worker on the same volume brings back what it left."""
    with fleet_with_spool(tmp_path) as stage:
        call = talk(stage)
        underway(stage, call)
        stage.fleet.redis_server.stop(signal.SIGKILL)
        stage.finish(call)
        first = stage.fleet.workers[0]
        first.signal(signal.SIGTERM)
        first.process.wait(40)
        assert first.process.returncode == 0 and len(spooled(tmp_path)) == 1
        stage.fleet.redis_server.start()
        stage.fleet.start_worker()
        eventually("the disk to be empty", lambda: not spooled(tmp_path), 60)
        check_landed(stage, call)


def test_a_call_that_has_left_redis_is_for_the_person_on_call(tmp_path):
    """Flushed and forgotten before its last words came: they are in the dead stream, and land from there, once."""
    keep_nothing = {"RINGFLEET_RETENTION_SECONDS": "1", "RINGFLEET_FINAL_WAIT_SECONDS": "1"}
    with fleet_with_spool(tmp_path, **keep_nothing) as stage:
        (call,) = talk_without_redis(stage, tmp_path)
        (worker,) = stage.fleet.workers
        worker.signal(signal.SIGKILL)
        worker.process.wait(10)
        stage.fleet.redis_server.start()
        eventually("the call to leave Redis", lambda: not stage.fleet.redis().exists(stage.fleet.key(call.sid, ":session")), 40)
        heard = all_turns(stage, call)
        assert 0 < len(heard) < len(SPOKEN)
        worker.start()
        eventually("the letters", lambda: stage.fleet.redis().xlen("rf:{p0}:dead") > 0)
        eventually("the disk to be empty", lambda: not spooled(tmp_path), 60)
        for _, letter in stage.fleet.redis().xrange("rf:{p0}:dead"):
            stage.fleet.redis().xadd("rf:{p0}:dead", letter)  # as after an answer that was lost
        done = subprocess.run(
            [str(bin_directory() / "flusher"), "dead", "replay", call.sid],
            env=stage.fleet.flusher.environment(), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert all_turns(stage, call) == SPOKEN
        assert stage.fleet.redis().xlen("rf:{p0}:dead") == 0


def test_a_cluster_that_was_away(tmp_path):
    """Each call's entries find the node that has its partition."""
    env = {"RINGFLEET_AI_POOL_SIZE": "0", "RINGFLEET_PARTITIONS": "16", "RINGFLEET_SPOOL_DIR": str(tmp_path / "spool")}
    with Stage(CHAT, redis=RedisCluster, env=env) as stage:
        stage.provider.play(Own)
        calls = talk_without_redis(stage, tmp_path, calls=4)
        for node in stage.fleet.redis_server.nodes:
            node.start()
        eventually("the disk to be empty", lambda: not spooled(tmp_path), 60)
        for call in calls:
            check_landed(stage, call)
