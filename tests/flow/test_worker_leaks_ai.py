"""What calls leave behind in a worker whose AI fails them in every way it can: nothing."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.bad_ai import MODES, BadAi
from flow.chat import NUMBERS, fleet_of
from flow.leaks import check_nothing_left, wait_all_over
from flow.raw_peer import RawPeer, offer

pytestmark = pytest.mark.usefixtures("programs")

FAILS = [mode for mode in MODES if not mode.startswith("endless")]  # those are about the size of buffers
ROUND = 20  # calls at once
WARM_UP, ROUNDS = 2, 4
GROWTH_KB = 512  # of 80 calls


def one_call(stage, listen: str, n: int) -> None:
    """Its caller leaves while the AI is tried, or in the silence after it failed."""
    with RawPeer(listen) as peer:
        peer.upgrade()
        peer.start(offer(stage.fleet, *NUMBERS))
        peer.talk(0.1 * (n % 6))
        if n % 2:
            peer.reset()
        else:
            peer.say({"event": "stop", "streamSid": "MZ", "stop": {}})


def test_calls_without_an_ai_leave_nothing_behind():
    with (
        BadAi(lambda: 1) as door,
        fleet_of(1, RINGFLEET_AI_URL=door.url, RINGFLEET_THREADS="2", RINGFLEET_MAX_CALLS=str(2 * ROUND)) as stage,
        ThreadPoolExecutor(ROUND) as pool,
    ):
        door.always = [*FAILS, "tcp only", "hangs up"]
        (worker,) = stage.fleet.workers

        def play(rounds: int) -> None:
            for _ in range(rounds):
                for one in [pool.submit(one_call, stage, worker.listen, n) for n in range(ROUND)]:
                    one.result()
            wait_all_over(worker)

        check_nothing_left([worker], play, warm_up=WARM_UP, rounds=ROUNDS, growth_kb=GROWTH_KB)
        assert set(door.served) == set(door.always)
