"""No memory is left: new calls and requests are refused, those under way go on, and everything is as before when
there is some again."""

import re
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from flow.cast import GREETING, Cast, Case, line
from flow.fleet import Program
from flow.flusher_rig import FlusherRig
from flow.servers import eventually
from flow.warmer_rig import after, new_sid, ring, without_workers
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two", "three")]
WORDS = [GREETING, *(text for one in TURNS for text in (one.caller, one.replies[0].say))]


@contextmanager
def limited(program: Program, spare: int = 0):
    """It may have what it has, and little more."""
    pid = program.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_DATA)
    used = int(re.search(r"VmData:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024
    resource.prlimit(pid, resource.RLIMIT_DATA, (used + spare, before[1]))
    try:
        yield
        assert program.process.poll() is None
    finally:
        resource.prlimit(pid, resource.RLIMIT_DATA, before)


@contextmanager
def short_of_memory(program: Program):
    with limited(program):
        eventually("it to notice", lambda: program.metrics()["ringfleet_memory_short"] == 1)
        status, text = program.get("/readyz")
        assert status == 503 and "memory is short" in text
        yield
    eventually("it to be ready again", lambda: program.get("/readyz")[0] == 200)
    assert [one["msg"] for one in program.log() if one["msg"].startswith("memory is")] == [
        "memory is short: nothing new is taken, what is under way goes on",
        "memory is there again",
    ]


def test_the_worker():
    with Cast(workers=1) as cast:
        (worker,) = cast.fleet.workers
        under_way = [cast.start(Case(f"under way {i}", line(*TURNS))) for i in range(3)]
        eventually("calls", lambda: cast.metric("calls_active") == 3)
        with short_of_memory(worker):
            new = cast.start(Case("new", line(*TURNS)))
            eventually("a refusal", lambda: cast.metric("streams_refused_total") > 0)
            for one in under_way:
                assert cast.finish(one).words() == WORDS
            assert cast.metric("calls_active") == 0
        assert cast.finish(new).words() == WORDS


def test_the_flusher():
    """It has no reserve: what it cannot flush now it flushes when it can, whatever becomes of it meanwhile."""
    calls = [f"CA{i}" for i in range(20)]
    with FlusherRig() as rig:
        rig.reset()
        flusher = Program("flusher", "flusher-0", rig.directory, rig.environment())
        rig.flushers.append(flusher)
        flusher.start()
        flusher.wait_ready()
        with limited(flusher, spare=1 << 20):
            for sid in calls:
                call = rig.call(sid).open().claim()
                for n in range(100):
                    call.turn(f"{n} " + "x" * 30000)
                call.end()
            eventually("a line that tells", lambda: "ut of memory" in flusher.text(), 30)
        rig.wait_flushed(60)
        for sid in calls:
            assert [text.split()[0] for text in rig.turns(sid)] == [str(n) for n in range(100)]
        assert rig.dead() == []
        assert rig.stop_all() == []


def test_the_warmer():
    with without_workers() as fleet:
        sid = new_sid()
        ring(fleet, sid).connect()
        with short_of_memory(fleet.warmer):
            assert ring(fleet, new_sid()).status == 503
            after(fleet, sid, 0).connect()
        ring(fleet, new_sid()).connect()
