"""The wall clock jumps, forth and back, of all programs or of one alone, while a call is on the line: nobody notices."""

import struct
import subprocess
from pathlib import Path
from typing import Sequence

import pytest

from flow.cast import GREETING, Cast, Case, line
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

HOUR = 3600
KINDS = ("worker", "warmer", "flusher")
SHIM = Path(__file__).with_name("jumping_clock.c")
TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two", "three")]
AGAIN = "Where were we?"
WORDS = [GREETING, *(text for one in TURNS for text in (one.caller, one.replies[0].say))]


@pytest.fixture(scope="module")
def clock(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clock")
    library = directory / "jumping_clock.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SHIM), "-ldl"], check=True
    )
    for kind in KINDS:
        (directory / kind).write_bytes(struct.pack("l", 0))
    return directory


@pytest.fixture(scope="module")
def cast(clock):
    env = {"LD_PRELOAD": str(clock / "jumping_clock.so"), "TEST_CLOCK_DIR": str(clock)}
    with Cast(env={**env, "RINGFLEET_RESUME_WAIT_SECONDS": "2"}) as one:
        yield one


def jump(clock: Path, seconds: int, kinds: Sequence[str] = KINDS) -> None:
    for kind in KINDS:
        with open(clock / kind, "r+b") as file:  # in place: the programs have it mapped
            file.write(struct.pack("l", seconds if kind in kinds else 0))


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


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
@pytest.mark.parametrize("kind", KINDS)
def test_one_program_is_an_hour_off(cast, clock, kind, seconds):
    """A call that begins then, loses its stream and is flushed."""

    async def script(play) -> None:
        await play.quiet()
        await play.say(TURNS[0].caller)
        await play.quiet()
        play.call.stream.abort()
        await play.until("another stream", lambda: len(play.call.data("start")) == 2)
        for asked in TURNS[1:]:
            await play.say(asked.caller)
            await play.quiet()
        play.call.hang_up()

    jump(clock, seconds, [kind])
    try:
        (play,) = cast.play(Case(f"{kind} {seconds}", line(*TURNS, unscripted=AGAIN), script), strict=False)
        assert [one for one in play.words() if one != AGAIN] == WORDS
        play.journal()
    finally:
        jump(clock, 0)
