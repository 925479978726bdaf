"""A rehearsal without a cluster: the pods of the chart as processes in network namespaces, under the
rendered environment, secrets, Redis users, policies, probes and ends, with calls on the line."""

import os
import shutil

import pytest

from flow import chat
from flow.fleet import MEDIA_URL
from flow.servers import eventually
from flow.stage import Stage
from standins import speech

from .cluster import Cluster, Pod
from .network import Network

CALLS = int(os.environ.get("RINGFLEET_REHEARSAL_CALLS", "50"))

pytestmark = pytest.mark.usefixtures("programs")


class Answering(chat.Own):
    """Told of a question that has no answer yet, because its call was handed over just then, it gives it."""

    def _catch_up(self) -> None:
        told = self._caught_up
        super()._catch_up()
        spoken = [item for key, item in self._session.items.items() if key.startswith("past_")]
        if not told and spoken and spoken[-1]["role"] == "user":
            self._due = list(chat.CHAT.turns[self.turns_taken - 1].replies)


@pytest.fixture
def stage(tmp_path, monkeypatch):
    if os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"):
        pytest.skip("network namespaces need root, iproute2 and nftables")
    for speaker, text in [*chat.SPOKEN, ("assistant", chat.CHAT.unscripted)]:
        # made once, not by many calls at the same moment
        speech.speak(text, speech.CALLER if speaker == "caller" else speech.ASSISTANT)
    with Network() as network:
        monkeypatch.setattr(Cluster, "network", network, raising=False)
        monkeypatch.setattr("flow.stage.Fleet", Cluster)
        monkeypatch.setenv("RINGFLEET_TEST_ACL", str(tmp_path))
        with Stage(chat.CHAT, workers=2) as one:
            one.provider.play(Answering)
            yield one


class Service(list):
    """Endpoints in turn: each connection begins with the next one."""

    _next = 0

    def __iter__(self):
        self._next += 1
        at = self._next % max(1, len(self))
        return iter(self[at:] + self[:at])


def route(stage: Stage) -> list[Pod]:
    """The endpoints of the worker Service, as the carrier's streams find them."""
    ready = stage.fleet.endpoints()
    stage.carrier.resolve[MEDIA_URL.rsplit("/", 1)[0]] = Service(
        f"ws://{pod.listen}" for pod in ready
    )
    return ready


def calls_on(pod: Pod) -> float:
    return pod.metrics()["ringfleet_calls_active"]


def scale(stage: Stage, replicas: int) -> list[Pod]:
    """Returns the pods that have to go: the emptiest, as their deletion cost says."""
    staying = [pod for pod in stage.fleet.workers if not pod.terminating]
    for pod in [stage.fleet.start_worker(wait=False) for _ in range(replicas - len(staying))]:
        pod.wait_ready()
    going = sorted(staying, key=calls_on)[: max(0, len(staying) - replicas)]
    for pod in going:
        pod.terminate()
    route(stage)
    return going


def check_nothing_lost(stage: Stage, call) -> int:
    """Every word of the caller is there, once and in order, what is in Postgres is what the workers wrote,
    and no more of the assistant's lines were cut off than there were hand-overs, whose number it returns."""
    stage.finish(call)
    stage.fleet.wait_flushed(call.sid)
    chat.check_gapless(stage, call)
    found = chat.all_turns(stage, call)
    journal = [entry for _, entry in stage.fleet.journal(call.sid) if entry["type"] == "turn"]
    assert found == [(one["speaker"], one["message"].strip()) for one in journal]
    callers = [line for line in found if line[0] == "caller"]
    assert callers == [line for line in chat.SPOKEN if line[0] == "caller"]
    handed_over = len(stage.fleet.logged("call resumed", call.sid))
    spoken = [line for line in found if line in chat.SPOKEN]
    assert spoken == [line for line in chat.SPOKEN if line in spoken], found
    assert len(spoken) >= len(chat.SPOKEN) - handed_over, found
    assert len(call.data("socket-closed")) == 1 + handed_over
    assert call.data("ended") == ["completed"]
    call.check()
    return handed_over


def test_policies_hold(stage):
    network, fleet = stage.fleet.network, stage.fleet
    redis, postgres = network.servers["redis"], network.servers["postgres"]
    reach = {
        kind: {
            "redis": network.reaches(pod.namespace, redis, 6379),
            "postgres": network.reaches(pod.namespace, postgres, 5432),
            "ai": network.reaches(pod.namespace, network.outside, 443),
        }
        for kind, pod in (("warmer", fleet.warmer), ("worker", fleet.workers[0]), ("flusher", fleet.flusher))
    }
    database = {"redis": True, "postgres": True, "ai": False}
    assert reach == {
        "warmer": database,
        "flusher": database,
        "worker": {"redis": True, "postgres": False, "ai": True},
    }
    # Nor by the other's port, nor in from the side of another pod's admin port's neighbour.
    worker = fleet.workers[0]
    assert not network.reaches(worker.namespace, postgres, 6379)
    assert not network.reaches(worker.namespace, fleet.warmer.admin.split(":")[0], 9100)


def test_scaled_out_and_in_and_rolled_under_calls_nothing_is_lost(stage):
    fleet = stage.fleet
    calls = [chat.talk(stage) for _ in range(CALLS // 2)]
    eventually("the first calls", lambda: sum(map(calls_on, fleet.workers)) == len(calls))

    assert scale(stage, 5) == []
    calls += [chat.talk(stage) for _ in range(CALLS - len(calls))]
    eventually("all calls", lambda: sum(map(calls_on, fleet.workers)) == CALLS)
    assert [pod.name for pod in fleet.workers if calls_on(pod) > 0][2:], "new workers got no calls"

    going = scale(stage, 1)
    assert len(going) == 4
    for pod in going:
        pod.wait_gone()

    # The next version: its first pod is ready before the last old one goes.
    (old,) = route(stage)
    fleet.upgrade(worker={"preStopSeconds": 2, "drainSeconds": 3, "settings": fleet.worker_settings})
    new = fleet.start_worker()
    assert route(stage) == [old, new]
    old.terminate()
    assert route(stage) == [new]
    last = chat.talk(stage)
    old.wait_gone()

    handed_over = [check_nothing_lost(stage, call) for call in [*calls, last]]
    assert any(handed_over), "nothing was handed over"
    for pod in [*going, old]:
        assert not pod.killed and pod.process.returncode == 0, pod.name
    for pod in fleet.workers:
        assert [line for line in pod.log() if line.get("level") == "error"] == []
    assert stage.provider.violations == []
    rows = fleet.sql("select count(*) as n, count(*) filter (where status = 'completed') as ok from call_log")
    assert rows == [{"n": CALLS + 1, "ok": CALLS + 1}]
