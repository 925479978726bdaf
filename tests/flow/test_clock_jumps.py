"""The wall clock of all programs jumps, forth and back, while a call is on the line: nobody notices."""

import struct
import subprocess
from pathlib import Path

import pytest

from flow.cast import GREETING, Cast, Case, line
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

HOUR = 3600
SHIM = Path(__file__).with_name("jumping_clock.c")
TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two", "three")]
WORDS = [GREETING, *(text for one in TURNS for text in (one.caller, one.replies[0].say))]


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clock")
    library = directory / "jumping_clock.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True
    )
    (directory / "offset").write_bytes(struct.pack("l", 0))
    return directory


@pytest.fixture(scope="module")
def cast(clock):
    env = {"LD_PRELOAD": str(clock / "jumping_clock.so"), "TEST_CLOCK_OFFSET": str(clock / "offset")}
    with Cast(env=env) as one:
        yield one


def jump(clock: Path, seconds: int) -> None:
    with open(clock / "offset", "r+b") as file:  # in place: the programs have it mapped
        file.write(struct.pack("l", seconds))


def test_a_call_lives_through_a_clock_that_jumps(cast, clock):
    async def script(play) -> None:
        await play.quiet()
        for asked, seconds in zip(TURNS, (HOUR, -HOUR, 0)):
            jump(clock, seconds)
            await play.say(asked.caller)
            await play.quiet()
        play.call.hang_up()

    (play,) = cast.play(Case("jumps", line(*TURNS), script))
    assert play.words() == WORDS
    assert play.ended["reason"] == "carrier_stop" and len(play.call.data("start")) == 1
    stamps = [int(entry["at"]) for entry in play.journal()]
    assert max(stamps) - min(stamps) > HOUR * 1000, "the clock did not jump"


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_calls_that_begin_after_a_jump(cast, clock, seconds):
    jump(clock, seconds)
    (play,) = cast.play(Case(f"after {seconds}", line(*TURNS)))
    assert play.words() == WORDS
