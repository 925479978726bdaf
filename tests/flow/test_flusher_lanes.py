"""The lanes of one flusher: threads that share nothing. Also run under ThreadSanitizer (tests/run)."""

import signal
import threading

import pytest

from .flusher_rig import FlusherRig
from .servers import eventually

LANES, CALLS, BATCH = 4, 600, 7


@pytest.fixture
def rig(programs):
    with FlusherRig() as rig:
        rig.reset()
        yield rig
        words = rig.report()
        problems = rig.stop_all()
        assert not problems, "\n".join(problems) + words


def ended_calls(rig, first: int, last: int) -> None:
    for i in range(first, last):
        call = rig.call(f"CA{i}").open().claim()
        call.turn(f"CA{i} 0")
        call.turn(f"CA{i} 1")
        if i % 50 == 0:
            call.turn("nobody said it", speaker="robot")
        call.end()


def test_lanes_share_the_work_while_they_are_watched(rig):
    """Servers that go, entries that are refused, metrics that are read: all lanes are in it at once."""
    flusher = rig.start(flush_threads=LANES, batch_calls=BATCH, claim_idle_ms=200)
    watched, done = [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            watched.append(flusher.metrics()["ringfleet_calls_flushed_total"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ended_calls(rig, 0, CALLS // 2)
        rig.redis_server.stop(signal.SIGKILL)
        rig.redis_server.start()
        rig.postgres.stop()
        ended_calls(rig, CALLS // 2, CALLS)
        rig.postgres.start()
        rig.wait_flushed(60)
    finally:
        done.set()
        watcher.join()
    rows = rig.sql("select call_sid, array_agg(message order by seq) as said from conversation_turn group by 1")
    assert {row["call_sid"]: row["said"] for row in rows} == {
        f"CA{i}": [f"CA{i} 0", f"CA{i} 1"] for i in range(CALLS)
    }
    assert len(rig.dead()) == CALLS // 50
    # those whose Redis died between doing what it was told and saying so are not counted
    counted = CALLS - LANES * BATCH
    eventually("every call counted", lambda: flusher.metrics()["ringfleet_calls_flushed_total"] >= counted)
    assert watched == sorted(watched)
    ended_calls(rig, CALLS, CALLS + 100)
    flusher.signal(signal.SIGTERM)
    assert flusher.process.wait(20) == 0
    left = rig.redis.xinfo_consumers("rf:{p0}:ended", "flusher")
    assert all(one["pending"] > 0 for one in left), "a lane that held nothing did not say goodbye"
