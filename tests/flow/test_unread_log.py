"""Who reads the logs hangs: pipes run full, and calls go on. The lines that nobody took are counted, and once somebody
reads again a line says how many they were."""

import fcntl
import json
import os

import pytest

from flow.cast import GREETING, Cast, Case, line
from flow.fleet import Program
from flow.servers import eventually
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

F_SETPIPE_SZ = 1031
TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two")]
WORDS = [GREETING, *(text for one in TURNS for text in (one.caller, one.replies[0].say))]


class Pipe:
    """Of the smallest size, so that a few lines fill it."""

    def __init__(self, program: Program) -> None:
        self.reading, program.log_to = os.pipe()
        fcntl.fcntl(self.reading, F_SETPIPE_SZ, 4096)
        os.set_blocking(self.reading, False)
        self.program = program
        self.text = ""

    def lost(self) -> float:
        return self.program.metrics()["ringfleet_log_lines_lost_total"]

    def read(self) -> list[dict]:
        """What has come so far, as the lines that it must be."""
        try:
            while data := os.read(self.reading, 65536):
                self.text += data.decode()
        except BlockingIOError:
            pass
        assert not self.text or self.text.endswith("\n")
        return [json.loads(one) for one in self.text.splitlines()]


def test_nobody_reads_the_logs():
    with Cast(workers=1, env={"RINGFLEET_LOG_LEVEL": "debug"}) as cast:
        programs = cast.fleet.programs()
        pipes = [Pipe(one) for one in programs]
        for program in programs:
            cast.fleet.restart(program)
            os.close(program.log_to)
        for i in range(20):
            plays = cast.play(*(Case(f"{i}.{k}", line(*TURNS)) for k in range(3)))
            assert [one.words() for one in plays] == [WORDS] * 3
            if all(pipe.lost() > 0 for pipe in pipes):
                break
        counts = [pipe.lost() for pipe in pipes]
        assert all(counts), counts
        for pipe in pipes:
            pipe.read()
        cast.play(Case("somebody reads", line(*TURNS)))
        for pipe in pipes:
            eventually("the line that tells", lambda: any("lines lost" in one["msg"] for one in pipe.read()))
            told = sum(one["lines"] for one in pipe.read() if "lines lost" in one["msg"])
            assert told >= counts[pipes.index(pipe)]
            os.close(pipe.reading)
