"""A call's place in Redis is reserved while the database is asked: what is left when its warmer dies in between, when two
warmers get the same webhook, when Redis falls silent half-way."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Iterator

import pytest

from flow.fleet import Fleet, Program
from flow.redis_functions import named
from flow.servers import eventually
from flow.warmer_rig import (
    APOLOGY,
    DEADLINE_MS,
    SLACK_MS,
    Answer,
    call_row,
    events,
    form_of,
    frozen_database,
    metric,
    new_sid,
    post,
    ring,
    wait_database,
    whole_context,
    without_workers,
)

pytestmark = pytest.mark.usefixtures("programs")


class TwoWarmers(Fleet):
    """The second one is asked by `ring_other`."""

    def __enter__(self) -> "TwoWarmers":
        super().__enter__()
        wait_database(self)
        self.first_sessions = [row["pid"] for row in self.warmers_sessions()]
        self.other = self._program("warmer", "warmer-2")
        self.other.start()
        self.other.wait_ready()
        eventually("its connections", lambda: self.other.metrics()["ringfleet_database_connections_up"] == 2)
        return self

    def programs(self) -> list[Program]:
        return [*super().programs(), *([self.other] if hasattr(self, "other") else [])]

    def warmers_sessions(self) -> list[dict]:
        return self.sql("select pid from pg_stat_activity where application_name = 'warmer'")

    @contextmanager
    def first_frozen(self) -> Iterator[None]:
        """The database of the first warmer alone stands still."""
        for pid in self.first_sessions:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in self.first_sessions:
                os.kill(pid, signal.SIGCONT)

    def ring_other(self, sid: str) -> Answer:
        return ring(SimpleNamespace(warmer=self.other), sid)


@pytest.fixture
def fleet():
    with without_workers() as one:
        wait_database(one)
        yield one


def reserve(fleet: Fleet, sid: str, token: str = "first", lease_ms: int = 120_000) -> None:
    """As a warmer that died before it had the context."""
    keys = [fleet.key(sid), fleet.key(sid, ":session"), "rf:{p0}:live"]
    assert fleet.redis().fcall(named("rf_open"), 3, *keys, sid, token, 86400, lease_ms, 60_000) == ["OPENED", token]


def wait_reserved(fleet: Fleet, sid: str) -> str:
    """The place is there, the context is not."""
    token = eventually("the call to be reserved", lambda: fleet.session(sid).get("token:0"))
    assert "source" not in fleet.context(sid)
    assert 0 < fleet.redis().ttl(fleet.key(sid)) <= 86400
    return token


def test_who_finds_a_call_without_a_context_brings_its_own(fleet):
    reserve(fleet, sid := new_sid())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ring(fleet, sid), range(4)))
    assert {answer.connect()[2] for answer in answers} == {"first"}
    assert whole_context(fleet, sid)["business_name"] == "Harbour Dental"
    assert call_row(fleet, sid) and events(fleet, sid) == []


def test_the_same_while_the_database_is_away(fleet):
    reserve(fleet, sid := new_sid())
    fleet.postgres.stop()
    wait_database(fleet, 0)
    assert ring(fleet, sid).connect()[2] == ring(fleet, sid).connect()[2] == "first"
    assert fleet.context(sid)["source"] == "minimal"
    assert [entry["type"] for entry in events(fleet, sid)] == ["call_open"]
    fleet.postgres.start()


def test_a_warmer_that_dies_half_way_leaves_a_call_to_go_on_with(fleet):
    sid = new_sid()
    with ThreadPoolExecutor(1) as pool, frozen_database(fleet):
        answer = pool.submit(ring, fleet, sid)
        token = wait_reserved(fleet, sid)
        fleet.warmer.signal(signal.SIGKILL)
        assert isinstance(answer.exception(20), OSError)
        assert fleet.warmer.process.wait(20) == -signal.SIGKILL
    fleet.warmer.start()
    fleet.warmer.wait_ready()
    wait_database(fleet)
    assert ring(fleet, sid).connect()[2] == token
    assert whole_context(fleet, sid)
    assert call_row(fleet, sid)


def test_redis_falls_silent_between_place_and_context():
    with without_workers(RINGFLEET_WARM_DEADLINE_MS="2000") as fleet:
        wait_database(fleet)
        sid, client = new_sid(), fleet.redis()
        with ThreadPoolExecutor(1) as pool:
            with frozen_database(fleet):
                answer = pool.submit(ring, fleet, sid)
                token = wait_reserved(fleet, sid)
                client.execute_command("CLIENT", "PAUSE", "3000", "WRITE")
            assert APOLOGY in answer.result().words()
        client.execute_command("CLIENT", "UNPAUSE")
        assert ring(fleet, sid).connect()[2] == token
        eventually("its context", lambda: fleet.context(sid).get("source") == "database")


def test_a_reservation_that_was_not_undone_becomes_no_call(fleet):
    """The flusher's sweep ends it; Postgres hears of no call that was refused."""
    reserve(fleet, sid := new_sid(), lease_ms=1)
    eventually("the sweep", lambda: fleet.session(sid).get("reason") == "never_connected")
    eventually("nothing to be left to flush", lambda: fleet.redis().xlen("rf:{p0}:ended") == 0)
    for table in ("call_log", "call_session", "call_flush"):
        assert fleet.sql(f"select 1 from {table} where call_sid = %s", sid) == []


def test_a_status_that_comes_before_the_refusal_is_kept(fleet):
    sid, unknown = new_sid(), "+14155550000"
    assert post(fleet, "/voice/status", form_of(sid, "completed", To=unknown, SequenceNumber="3")).status == 204
    ring(fleet, sid, To=unknown)
    eventually("the place to go", lambda: fleet.session(sid)["phase"] == "ended" and "token:0" not in fleet.session(sid))
    assert fleet.context(sid) == {} and fleet.redis().zscore("rf:{p0}:live", sid) is None
    fleet.wait_flushed(sid)
    assert call_row(fleet, sid)["status"] == "completed"


def test_two_warmers_make_one_call():
    with TwoWarmers(ai_url="ws://127.0.0.1:1", workers=0) as fleet:
        for _ in range(5):
            sid = new_sid()
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(lambda i: (ring(fleet, sid) if i % 2 else fleet.ring_other(sid)), range(8)))
            assert len({answer.body for answer in answers}) == 1
            assert answers[0].connect()[2] == fleet.session(sid)["token:0"]
            assert whole_context(fleet, sid) and events(fleet, sid) == []


def test_a_context_that_comes_second_does_not_replace_a_better_one():
    """The first warmer has the place and no database, the second one the database."""
    with TwoWarmers(ai_url="ws://127.0.0.1:1", workers=0, env={"RINGFLEET_WARM_DEADLINE_MS": "1500"}) as fleet:
        sid = new_sid()
        with ThreadPoolExecutor(1) as pool, fleet.first_frozen():
            first = pool.submit(ring, fleet, sid)
            token = wait_reserved(fleet, sid)
            assert fleet.ring_other(sid).connect()[2] == token
            before = whole_context(fleet, sid)
            assert not first.done()
            assert first.result().connect()[2] == token and first.result().ms < 1500 + SLACK_MS
        after = fleet.context(sid)
        assert {name: after[name] for name in ("source", "business_name", "greeting")}.items() <= before.items()
        assert metric(fleet, "load_late_total") == 1
        assert [entry["type"] for entry in events(fleet, sid)] == ["call_open"]


def test_redis_that_answers_late_costs_one_deadline():
    """It is asked together with the database, not after it."""
    with without_workers() as fleet:
        wait_database(fleet)
        fleet.redis().execute_command("CLIENT", "PAUSE", "2000", "ALL")
        with frozen_database(fleet):
            answer = ring(fleet, new_sid())
        assert APOLOGY in answer.words() and answer.ms < DEADLINE_MS + SLACK_MS
