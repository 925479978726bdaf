"""Workers that are stopped or killed in the middle of calls: the calls go on."""

import signal
import struct
import time

import pytest

from flow.chat import CHAT, NUMBERS, SPOKEN, all_turns, check_gapless, check_whole, fleet_of, talk, underway
from flow.raw_peer import CLOSE, REQUEST, RawPeer, offer
from flow.servers import eventually
from flow.stage import Stage

pytestmark = pytest.mark.usefixtures("programs")


def on_call(program) -> float:
    return program.metrics()["ringfleet_calls_active"]


def upgrade_status(program) -> int:
    with RawPeer(program.listen) as peer:
        status = peer.request(REQUEST.format(path="/media"))
        if status == 101:
            peer.frame(CLOSE, struct.pack(">H", 1000))
            peer.close_code()
        return status


def test_a_drained_worker_hands_its_calls_over_between_turns():
    """SIGTERM with live calls used to mean: calls dropped, state lost, the caller greeted again; or an old instance
    that goes on to take new calls."""
    with fleet_of(2, RINGFLEET_DRAIN_SECONDS="6", RINGFLEET_THREADS="2") as stage:
        first, second = stage.fleet.workers
        calls = [talk(stage) for _ in range(3)]
        eventually("three calls on the first worker", lambda: on_call(first) == 3)
        for call in calls:
            eventually("the greeting", lambda call=call: call.times("assistant-begin"))
        first.signal(signal.SIGTERM)
        first.signal(signal.SIGTERM)  # an impatient operator changes nothing
        eventually("the worker to refuse", lambda: first.get("/readyz") == (503, "draining: no new calls are taken\n"))
        assert upgrade_status(first) == 503
        assert stage.fleet.redis().hget("rf:worker:worker-1", "draining") == "1"
        for call in calls:
            check_whole(stage, call, streams=2)
            assert check_gapless(stage, call) == [1, 2]
            # nobody was cut off in mid sentence, and nothing is left of it to be heard
            assert call.unplayed_ms == 0
        first.process.wait(10)
        assert first.process.returncode == 0
        taken = second.metrics()
        assert taken["ringfleet_calls_resumed_total"] == 3
        assert taken["ringfleet_first_audio_seconds_count"] == 0  # nobody waited for a greeting
        assert [line["reason"] for line in first.log() if line["msg"] == "call ended"] == ["drained"] * 3
        assert stage.provider.violations == []


def test_hand_overs_are_spread():
    """All calls of a full worker at the same moment are a storm for the AI's front door, the warmer and the next
    worker: their callers would wait longest."""
    with fleet_of(2, RINGFLEET_DRAIN_SECONDS="0") as stage:
        first, second = stage.fleet.workers
        calls = [stage.start_call(*NUMBERS, silent=True) for _ in range(8)]
        eventually("eight calls on the first worker", lambda: on_call(first) == len(calls))
        for call in calls:
            eventually("the greeting's end", lambda call=call: call.quiet_ms() >= 500)
        first.signal(signal.SIGTERM)
        eventually("all to have gone on", lambda: on_call(second) == len(calls))
        went = sorted(call.wall(call.times("socket-closed")[0]) for call in calls)
        assert went[-1] - went[0] >= 0.05 * (len(calls) - 1), went
        for call in calls:
            stage.run(_hang_up(call))
            stage.finish(call)
        assert stage.provider.violations == []


def test_a_draining_worker_lets_calls_finish():
    """One call's end must not end the others, and a stream that had only just come is a call too."""
    with fleet_of(1, RINGFLEET_DRAIN_SECONDS="60") as stage:
        (worker,) = stage.fleet.workers
        staying = talk(stage)
        leaving = stage.start_call(*NUMBERS, silent=True)
        eventually("two calls", lambda: on_call(worker) == 2)
        with RawPeer(worker.listen) as newcomer:
            newcomer.upgrade()
            eventually("the third", lambda: worker.metrics()["ringfleet_streams_waiting"] == 1)
            worker.signal(signal.SIGTERM)
            eventually("draining", lambda: worker.get("/readyz")[0] == 503)
            newcomer.start(offer(stage.fleet, *NUMBERS))
            newcomer.talk(1)
            stage.run(_hang_up(leaving))
            stage.finish(leaving)
            eventually("the newcomer to be served", lambda: worker.metrics()["ringfleet_calls_claimed_total"] == 3)
            newcomer.talk(0.5)
            assert on_call(worker) == 2
        check_whole(stage, staying, streams=1)
        assert check_gapless(stage, staying) == [1]
        worker.process.wait(5)
        assert worker.process.returncode == 0


async def _hang_up(call) -> None:
    call.hang_up()


def test_an_idle_worker_stops_at_once():
    with fleet_of(1, RINGFLEET_DRAIN_SECONDS="60", RINGFLEET_AI_POOL_SIZE="2") as stage:
        (worker,) = stage.fleet.workers
        began = time.monotonic()
        worker.signal(signal.SIGTERM)
        worker.process.wait(5)
        assert worker.process.returncode == 0 and time.monotonic() - began < 3


def test_capacity_is_the_process_s():
    """Calls are what an autoscaler and a load balancer must see, not the processor's load."""
    with fleet_of(1, RINGFLEET_MAX_CALLS="3", RINGFLEET_THREADS="2") as stage:
        (worker,) = stage.fleet.workers
        peers = [RawPeer(worker.listen).upgrade() for _ in range(3)]
        late = RawPeer(worker.listen).upgrade()
        for peer in peers:
            peer.start(offer(stage.fleet, *NUMBERS))
        eventually("three calls", lambda: on_call(worker) == 3)
        assert upgrade_status(worker) == 503
        late.start(offer(stage.fleet, *NUMBERS))  # three were faster since its upgrade
        assert late.close_code() == 1013
        assert worker.metrics()['ringfleet_calls_ended_total{reason="full"}'] == 1
        for peer in peers:
            peer.talk(0.1)  # or the line would count as dead
        assert worker.get("/readyz") == (503, "full: as many calls as RINGFLEET_MAX_CALLS\n")
        metrics = worker.metrics()
        assert metrics["ringfleet_calls_active"] == metrics["ringfleet_calls_capacity"] == 3
        assert metrics["ringfleet_loops"] == 2
        eventually("the entry in Redis", lambda: stage.fleet.redis().hget("rf:worker:worker-1", "active") == "3")
        peers.pop().socket.close()
        eventually("a free place", lambda: worker.get("/readyz")[0] == 200)
        assert upgrade_status(worker) == 101
        late.socket.close()
        for peer in peers:
            peer.socket.close()


def test_a_killed_worker_s_call_goes_on_at_another():
    """A worker that dies used to leave its calls to nobody."""
    with fleet_of(2) as stage:
        call = talk(stage)
        underway(stage, call)
        stage.fleet.workers[0].signal(signal.SIGKILL)
        check_whole_but_one(stage, call)
        assert check_gapless(stage, call) == [1, 2]


def check_whole_but_one(stage: Stage, call) -> None:
    """Of what was in the air when the worker died a line may be missing; nothing else, and nothing twice."""
    stage.finish(call)
    stage.fleet.wait_flushed(call.sid)
    found = [line for line in all_turns(stage, call) if line[1] != CHAT.unscripted]
    assert len(found) == len(set(found)) and len(found) >= len(SPOKEN) - 2
    assert [one for one in SPOKEN if one in found] == [one for one in found if one in SPOKEN]
    assert found[0] == SPOKEN[0] and found[-1] == SPOKEN[-1]
    assert len(call.data("socket-closed")) == 2
    assert call.data("ended") == ["completed"]
