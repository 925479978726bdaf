"""What hundreds of short calls leave behind in a worker: nothing. Leaks like to sit where calls do not end
well, so most of these do not."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.chat import NUMBERS, fleet_of
from flow.leaks import check_nothing_left, wait_all_over
from flow.raw_peer import REQUEST, Offer, RawPeer, offer
from flow.servers import eventually

pytestmark = pytest.mark.usefixtures("programs")

ROUND = 20  # calls at once
WARM_UP = 5  # rounds until pools and buffers have their size
ROUNDS = 10
GROWTH_KB = 1024  # of 200 calls: an allocator's arenas move by some pages


def good(stage, listen: str) -> None:
    with RawPeer(listen) as peer:
        peer.upgrade()
        peer.start(offer(stage.fleet, *NUMBERS))
        peer.talk(0.4)
        peer.say({"event": "stop", "streamSid": "MZ", "stop": {}})
        assert peer.close_code() == 1000


def cut_off(stage, listen: str) -> None:
    with RawPeer(listen) as peer:
        peer.upgrade()
        peer.start(offer(stage.fleet, *NUMBERS))
        peer.talk(0.3)
        peer.send(peer.media()[:40])
        peer.reset()


def gone_at_once(stage, listen: str) -> None:
    """Before the claim is answered and the AI has been reached."""
    with RawPeer(listen) as peer:
        peer.upgrade()
        peer.start(offer(stage.fleet, *NUMBERS))
        peer.reset()


def no_right(stage, listen: str) -> None:
    with RawPeer(listen) as peer:
        peer.upgrade()
        peer.start(Offer("CA1", "0" * 40))
        assert peer.close_code() == 1008


def not_admitted(stage, listen: str) -> None:
    with RawPeer(listen) as peer:
        assert peer.request(REQUEST.format(path="/elsewhere")) == 404


def unfinished(stage, listen: str) -> None:
    with RawPeer(listen) as peer:
        peer.send(b"GET /media HTTP/1.1\r\n")


KINDS = [good, cut_off, gone_at_once, no_right, not_admitted, unfinished]


def test_short_calls_leave_nothing_behind():
    """No memory, no socket, no place: a place that leaks with each odd end is the end of a worker."""
    places = str(2 * ROUND)  # one leaked in each call would be too many before half of them are played
    with fleet_of(1, RINGFLEET_THREADS="2", RINGFLEET_MAX_CALLS=places) as stage, ThreadPoolExecutor(ROUND) as pool:
        (worker,) = stage.fleet.workers
        stage.fleet.redis().ping()

        def play(rounds: int) -> None:
            for _ in range(rounds):
                running = [pool.submit(KINDS[n % len(KINDS)], stage, worker.listen) for n in range(ROUND)]
                for one in running:
                    one.result()
            wait_all_over(worker)

        check_nothing_left([worker], play, warm_up=WARM_UP, rounds=ROUNDS, growth_kb=GROWTH_KB)
        metrics = worker.metrics()
        assert metrics["ringfleet_calls_claimed_total"] >= (WARM_UP + ROUNDS) * ROUND // 3
        assert metrics["ringfleet_connections_waiting"] == metrics["ringfleet_streams_waiting"] == 0
        eventually("no AI session", lambda: stage.provider.open() == [])
