"""Two versions of the programs on one Redis, as during every upgrade: each calls the functions it was built
with, and a call goes through the hands of both.

The other version is this one with another name for its functions: what programs of two builds share is the
data in Redis, and what would part them is the library.
"""

import asyncio
import signal
from pathlib import Path

import pytest

from flow.cast import GREETING, Cast, Case, line
from flow.fleet import bin_directory
from flow.redis_functions import VERSION, library, named
from standins.scenario import turn

pytestmark = pytest.mark.usefixtures("programs")

OTHER = "0123abcd"
TURNS = [turn(f"Question {word}?", f"Answer {word}.") for word in ("one", "two", "three", "four")]
AGAIN = "Where were we?"


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("other-version")
    for kind in ("warmer", "worker", "flusher"):
        code = (bin_directory() / kind).read_bytes()
        assert VERSION.encode() in code, "the tree has changed since the build"
        (directory / kind).write_bytes(code.replace(VERSION.encode(), OTHER.encode()))
        (directory / kind).chmod(0o755)
    return directory


@pytest.fixture(scope="module")
def cast():
    with Cast(workers=2, env={"RINGFLEET_AI_POOL_SIZE": "0"}) as one:
        yield one


def libraries(cast: Cast) -> dict[str, str]:
    every = cast.fleet.redis().function_list(withcode=True)
    rows = [dict(zip(row[::2], row[1::2])) for row in every]
    return {row["library_name"].removeprefix("ringfleet_"): row["library_code"] for row in rows}


def test_a_call_in_the_hands_of_both_versions(cast, other):
    """Its worker is killed after each turn, and the other version's goes on; warmer and flusher are upgraded under
    it. At last both have flushed calls."""
    fleet = cast.fleet
    for program in (fleet.workers[1], fleet.warmer, fleet.flusher):
        program.binaries = other
        fleet.restart(program)
    carried_by = []

    async def script(play) -> None:
        await play.quiet()
        for i, asked in enumerate(TURNS):
            await play.say(asked.caller)
            await play.quiet()
            worker = next(one for one in fleet.workers if one.name == play.ended["worker"])
            carried_by.append(OTHER if worker.binaries else VERSION)
            spoken = len(play.call.times("assistant-begin"))
            cast.stage.route(without=worker)
            worker.signal(signal.SIGKILL)
            await play.until("the resume", lambda: len(play.call.times("assistant-begin")) > spoken)
            worker.start()
            await asyncio.to_thread(worker.wait_ready)
            if i == 1:
                fleet.warmer.binaries = None
                await asyncio.to_thread(fleet.restart, fleet.warmer)
            await play.quiet()  # AGAIN to its end
        play.call.hang_up()

    (play,) = cast.play(Case("both", line(*TURNS, unscripted=AGAIN), script), strict=False)
    said = [text for asked in TURNS for text in (asked.caller, asked.replies[0].say)]
    assert [text for text in play.words() if text not in (GREETING, AGAIN)] == said
    play.journal()
    assert len(carried_by) == 4 and all(a != b for a, b in zip(carried_by, carried_by[1:]))
    fleet.flusher.binaries = None
    fleet.restart(fleet.flusher)
    cast.stage.route()
    (late,) = cast.play(Case("late", line(TURNS[0])))
    assert late.words() == [GREETING, TURNS[0].caller, TURNS[0].replies[0].say]
    assert libraries(cast) == {VERSION: library(), OTHER: library(OTHER)}


def test_a_call_of_a_newer_format_is_left_to_a_newer_worker(cast):
    """Nothing of it is touched: the stream ends without a verdict, and the carrier asks again."""
    fleet, sid = cast.fleet, "CAnewer"
    client = fleet.redis()
    there = {"v": "2", "token:0": "t", "phase": "ringing"}
    client.hset(fleet.key(sid, ":session"), mapping=there)
    keys = [fleet.key(sid, suffix) for suffix in ("", ":session", ":writes")] + ["rf:{p0}:live"]
    said = client.fcall(named("rf_claim"), 4, *keys, sid, 0, "t", "w", "MZ", 1000, "{}")
    assert said == ["NEWER", "2"]
    assert fleet.session(sid) == there and fleet.journal(sid) == []
