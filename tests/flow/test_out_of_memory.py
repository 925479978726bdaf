"""Allocations fail for a while, in one program after the other: what was asked for then is refused or done later,
nothing is lost, and the process lives."""

import http.client
import struct
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from flow.cast import GREETING, Cast, Case, line
from flow.fleet import Program
from flow.flusher_rig import FlusherRig
from flow.servers import eventually
from flow.warmer_rig import REFUSAL, after, new_sid, report, ring, wait_database, without_workers
from standins.call import CallEnded
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

SHIM = Path(__file__).with_name("failing_malloc.c")
TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two")]
WORDS = [GREETING, *(text for one in TURNS for text in (one.caller, one.replies[0].say))]


class Memory:
    """The switch of the preloaded library, for a program of each kind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        library = directory / "failing_malloc.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM)], check=True)
        for kind in ("worker", "warmer", "flusher"):
            (directory / kind).write_bytes(struct.pack("lll", 0, 0, 0))
        self.env = {"LD_PRELOAD": str(library), "TEST_MALLOC_DIR": str(directory)}

    def failed(self, kind: str) -> int:
        return struct.unpack("lll", (self.directory / kind).read_bytes())[2]

    def _switch(self, kind: str, one_in: int, seed: int) -> None:
        with open(self.directory / kind, "r+b") as file:  # in place: the programs have it mapped
            file.write(struct.pack("ll", one_in, seed))

    @contextmanager
    def scarce(self, program: Program, one_in: int, seed: int):
        before = self.failed(program.kind)
        self._switch(program.kind, one_in, seed)
        try:
            yield
        finally:
            self._switch(program.kind, 0, 0)
        assert program.process.poll() is None, program.text()[-3000:]
        assert self.failed(program.kind) > before, "nothing failed"


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    return Memory(tmp_path_factory.mktemp("memory"))


@pytest.mark.parametrize("seed", range(1, 4))
def test_the_flusher(memory, seed):
    calls = [f"CA{seed}{i:02}" for i in range(40)]
    with FlusherRig() as rig:
        rig.reset()
        flusher = start(rig, memory)
        failed = memory.failed("flusher")
        with memory.scarce(flusher, 20, seed):
            for sid in calls:
                call = rig.call(sid).open().claim()
                for word in ("one", "two", "three"):
                    call.turn(f"{sid} {word}")
                call.end()
            eventually("failures", lambda: memory.failed("flusher") >= failed + 5, 30)
        rig.wait_flushed(60)
        for sid in calls:
            assert rig.turns(sid) == [f"{sid} {word}" for word in ("one", "two", "three")]
        assert rig.dead() == []
        assert rig.stop_all() == []


def start(rig: FlusherRig, memory: Memory) -> Program:
    flusher = Program("flusher", "flusher-0", rig.directory, rig.environment() | memory.env)
    rig.flushers.append(flusher)
    flusher.start()
    flusher.wait_ready()
    return flusher


def test_the_warmer(memory):
    """Each call gets TwiML or is left to the carrier's fallback, and none the answer to another's question. What cannot
    be judged is not judged: no good request is called a forged one, or a wrong one."""
    env = {**memory.env, "TEST_MALLOC_ALSO": "libpq libcrypto"}
    with without_workers(**env) as fleet:
        answers, reports, lost = [], [], 0
        for seed in range(1, 4):
            with memory.scarce(fleet.warmer, 25, seed):
                for _ in range(60):
                    sid = new_sid()
                    try:
                        answers += [ring(fleet, sid), after(fleet, sid, 0)]
                        reports.append(report(fleet, sid, "completed", SequenceNumber="1"))
                    except (OSError, http.client.HTTPException):
                        lost += 1  # the carrier asks again
            wait_database(fleet)
            ring(fleet, new_sid()).connect()
        assert {one.status for one in answers} <= {200, 503} and {one.status for one in reports} <= {204, 503}
        assert {one.status for one in answers + reports} > {200, 204}, "nothing was refused"
        assert any(entry["msg"] == "webhook not served" for entry in fleet.warmer.log())
        served = [one.document() for one in answers if one.status == 200]
        assert len(served) > len(answers) / 2 > lost
        said = [verb.text for document in served for verb in document.verbs if verb.name == "Say"]
        assert not [text for text in said if REFUSAL in text], "a number that is known was refused"


def test_the_worker(memory):
    with Cast(workers=1, env={**memory.env, "RINGFLEET_AI_POOL_SIZE": "1"}) as cast:
        (worker,) = cast.fleet.workers
        for seed in range(1, 4):
            plays = [cast.start(Case(f"{seed}.{i}", line(*TURNS))) for i in range(3)]
            with memory.scarce(worker, 25, seed):
                plays += [cast.start(Case(f"{seed}.{i}", line(*TURNS))) for i in range(3, 6)]
                failed = memory.failed("worker")
                eventually("failures", lambda: memory.failed("worker") >= failed + 5, 30)
            for one in plays:
                with suppress(CallEnded, TimeoutError):  # of its script
                    cast.stage.finish(one.call, 60)
                assert one.call.task.done(), "a call does not end"
        (play,) = cast.play(Case("afterwards", line(*TURNS)))
        assert play.words() == WORDS
