"""Redis away in the middle of a call, or only for its worker: the conversation goes on, and what was said
lands once and in order."""

import signal
import time

import pytest
from redis import ResponseError

from flow.chat import NUMBERS, check_gapless, check_whole, fleet_of, talk, underway
from flow.servers import RedisServer, eventually

pytestmark = pytest.mark.usefixtures("programs")


def test_redis_asleep_in_mid_call():
    """Longer than a lease: the conversation goes on, the journal catches up, nothing is doubled; and nobody kills
    the process for it, with all its calls."""
    with fleet_of(1, RINGFLEET_THREADS="2") as stage:
        call = talk(stage)
        underway(stage, call, 2)
        redis_process = stage.fleet.redis_server._process
        redis_process.send_signal(signal.SIGSTOP)
        try:
            eventually("the worker to notice", lambda: stage.fleet.workers[0].metrics()["ringfleet_redis_up"] == 0)
            assert stage.fleet.workers[0].get("/readyz")[0] == 503
            assert stage.fleet.workers[0].get("/healthz")[0] == 200
            time.sleep(7)  # the lease of 5 s and the reaper's grace pass
        finally:
            redis_process.send_signal(signal.SIGCONT)
        eventually("the lease", lambda: stage.fleet.redis().zscore("rf:{p0}:live", call.sid))
        check_whole(stage, call, streams=1)
        check_gapless(stage, call)
        assert stage.fleet.workers[0].metrics()["ringfleet_journal_refused_total"] == 0


def test_redis_restarted_in_mid_call():
    """A restart that empties the set of live calls, or of workers, for good."""
    with fleet_of(1) as stage:
        call = talk(stage)
        underway(stage, call)
        for _ in range(2):
            stage.fleet.redis_server.stop(signal.SIGKILL)
            time.sleep(2)
            stage.fleet.redis_server.start()
            eventually("the worker to be back", lambda: stage.fleet.workers[0].get("/readyz")[0] == 200)
        # the set of live calls is what leases make it: it came back with the append-only file
        eventually("the lease", lambda: stage.fleet.redis().zscore("rf:{p0}:live", call.sid) > time.time() * 1000)
        eventually("the worker's entry", lambda: stage.fleet.redis().hget("rf:worker:worker-1", "active") == "1")
        check_whole(stage, call, streams=1)
        assert check_gapless(stage, call) == [1]


def test_redis_whose_disk_fails_in_mid_call():
    """It refuses every write (MISCONF), and answers everything else; meanwhile a new call is not accepted."""
    with fleet_of(1, redis=lambda at: RedisServer(at, settings={"enable-protected-configs": "yes"})) as stage:
        (worker,) = stage.fleet.workers
        call = talk(stage)
        underway(stage, call)
        redis = stage.fleet.redis()
        redis.config_set("save", "3600 1")
        redis.config_set("dir", "/proc/self")  # nobody can write there
        redis.bgsave()
        eventually("the failure", lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
        written = len(stage.fleet.journal(call.sid))
        with pytest.raises(ResponseError, match="MISCONF"):
            redis.set("x", 1)
        eventually("the worker to notice", lambda: "MISCONF" in worker.text())
        refused = stage.start_call(*NUMBERS, silent=True)
        stage.finish(refused)
        assert "<Stream" not in refused.data("twiml")[0]["body"]
        assert len(stage.fleet.journal(call.sid)) == written
        redis.config_set("stop-writes-on-bgsave-error", "no")  # as if there was room again
        check_whole(stage, call, streams=1)
        assert check_gapless(stage, call) == [1]
        assert worker.metrics()["ringfleet_journal_refused_total"] == 0


def test_a_call_that_was_ended_for_a_worker_believed_dead_is_taken_back():
    """Only the worker is cut off: the reaper ends its call, and is corrected; the caller hears nothing of it."""
    with fleet_of(1) as stage:
        call = talk(stage)
        underway(stage, call)
        redis = stage.fleet.redis()

        def reaped() -> list[dict]:
            """A lease that lapsed long ago, until the reaper was faster than its renewal."""
            swept = stage.fleet.logged("call swept", call.sid)
            if not swept:
                redis.zadd("rf:{p0}:live", {call.sid: 1}, xx=True)
            return swept

        eventually("the reaper", reaped)
        eventually("the worker to notice", lambda: stage.fleet.logged("call taken back", call.sid))
        assert stage.fleet.session(call.sid)["phase"] == "live"
        check_whole(stage, call, streams=1)
        ends = [entry["reason"] for _, entry in stage.fleet.journal(call.sid) if entry["type"] == "call_end"]
        reaps = len(ends) - 1
        assert ends == ["worker_lost"] * reaps + ["carrier_stop"] and reaps >= 1
        assert check_gapless(stage, call) == list(range(1, 2 * reaps + 2))
        (row,) = stage.fleet.sql("select end_reason from call_log where call_sid = %s", call.sid)
        assert row["end_reason"] == "carrier_stop"
