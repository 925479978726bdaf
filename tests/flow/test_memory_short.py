"""No memory is left: new calls and requests are refused, those under way go on, and everything is as before when
there is some again."""

import os
import resource
from contextlib import contextmanager

import pytest

from flow.cast import GREETING, Cast, Case, line
from flow.fleet import Program
from flow.servers import eventually
from flow.warmer_rig import after, new_sid, ring, without_workers
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two", "three")]
WORDS = [GREETING, *(text for one in TURNS for text in (one.caller, one.replies[0].say))]


@contextmanager
def short_of_memory(program: Program):
    """It may have what it has, and no more."""
    pid = program.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    pages = int(open(f"/proc/{pid}/statm").read().split()[0])
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGESIZE"), before[1]))
    try:
        eventually("it to notice", lambda: program.metrics()["ringfleet_memory_short"] == 1)
        status, text = program.get("/readyz")
        assert status == 503 and "memory is short" in text
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, before)
    eventually("it to be ready again", lambda: program.get("/readyz")[0] == 200)
    assert program.process.poll() is None
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


def test_the_warmer():
    with without_workers() as fleet:
        sid = new_sid()
        ring(fleet, sid).connect()
        with short_of_memory(fleet.warmer):
            assert ring(fleet, new_sid()).status == 503
            after(fleet, sid, 0).connect()
        ring(fleet, new_sid()).connect()
