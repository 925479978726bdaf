"""What hundreds of calls leave behind in a warmer and a flusher: nothing. Leaks like to sit where calls do not go well,
so most of these do not. (The worker's are in test_worker_leaks.py.)"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.leaks import check_nothing_left
from flow.raw_peer import RawPeer
from flow.servers import eventually
from flow.warmer_rig import AUTH_TOKEN, after, form_of, metric, new_sid, post, report, ring, wait_database, without_workers

pytestmark = pytest.mark.usefixtures("programs")

WARM_UP, ROUNDS = 480, 960  # until pools and buffers have their size; and then
GROWTH_KB = 2048  # of 960 rounds: how many connections are open at once is not always the same


def whole(fleet, n: int) -> None:
    """Of a caller whom nobody knows."""
    ring(fleet, sid := new_sid(), From=f"+1415556{n:04d}").connect()
    for status in ("in-progress", "completed"):
        assert report(fleet, sid, status, SequenceNumber="1", CallDuration="3").status == 204
    assert after(fleet, sid, 0, "completed").names() == []


def resumed(fleet, n: int) -> None:
    ring(fleet, sid := new_sid())
    ring(fleet, sid).connect()
    fleet.redis().hset(fleet.key(sid, ":session"), "claimed_n", "0")
    after(fleet, sid, 0).connect()
    report(fleet, sid, "busy")


def refused(fleet, n: int) -> None:
    ring(fleet, sid := new_sid(), To=f"+1999555{n:04d}").words()
    after(fleet, new_sid(), 0).words()
    assert report(fleet, sid, "completed").status == 204


def not_understood(fleet, n: int) -> None:
    assert post(fleet, "/voice/incoming", form_of(new_sid()), "another token").status == 403
    assert ring(fleet, "}{").status == 400
    assert post(fleet, "/voice/elsewhere", form_of(new_sid()), AUTH_TOKEN).status == 404


def told(fleet, n: int) -> None:
    """What Postgres does not take is in it, too."""
    ring(fleet, sid := new_sid())
    form = form_of(sid, StreamSid="MZ1", StreamEvent="stream-error", StreamError="31920")
    assert post(fleet, "/voice/stream", form).status == 204
    made = {"RecordingSid": f"RE{sid}", "RecordingStatus": "completed", "RecordingUrl": "https://x.test/RE"}
    assert post(fleet, "/voice/recording", form_of(sid, RecordingDuration="7", **made)).status == 204
    fleet.redis().xadd(fleet.key(sid, ":events"), {"type": "nonsense", "by": "warmer", "at": "1"})
    report(fleet, sid, "completed")


def gone(fleet, n: int) -> None:
    """Before the whole request has come, or before its answer."""
    for head in (b"POST /voice/incoming HTTP/1.1\r\nContent-Length: 90\r\n\r\nCallSid=", b"GET /healthz HTTP/1.1\r\n\r\n"):
        with RawPeer(fleet.warmer.listen) as peer:
            peer.send(head)
            peer.reset()


KINDS = [whole, resumed, refused, not_understood, told, gone]


def test_calls_leave_nothing_behind():
    with without_workers() as fleet, ThreadPoolExecutor(4) as pool:
        wait_database(fleet)

        def play(rounds: int) -> None:
            for _ in pool.map(lambda n: KINDS[n % len(KINDS)](fleet, n), range(rounds)):
                pass
            eventually("all connections to be closed", lambda: metric(fleet, "http_connections") == 0)
            eventually("all calls to be flushed", lambda: fleet.redis().xlen("rf:{p0}:ended") == 0)

        programs = (fleet.warmer, fleet.flusher)
        check_nothing_left(programs, play, warm_up=WARM_UP, rounds=ROUNDS, growth_kb=GROWTH_KB)
        assert fleet.redis().xlen("rf:{p0}:dead") == (WARM_UP + ROUNDS) // len(KINDS)
