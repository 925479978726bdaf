"""The queue of calls to be dialled: who is next, and who waits for what."""

import json

import pytest

from flow.redis_functions import named
from flow.redis_functions_rig import db, server  # noqa: F401

KINDS = ("queue", "jobs", "active", "busy", "rate")
REQUEST = "rf:{outbound}:key:ab"
LEASE_MS, INTERVAL_MS, TTL_S = 60_000, 0, 86_400


class Queue:
    def __init__(self, db) -> None:
        self.db = db
        self.keys = [f"rf:{{outbound}}:{kind}" for kind in KINDS]

    def add(self, sid: str, business: str, max_calls: int = 1, due_ms: int = 0, carrier: str = "twilio") -> None:
        job = {"business_id": business, "max_calls": str(max_calls), "carrier": carrier}
        assert self.enqueue(sid, due_ms, json.dumps(job)) == ["QUEUED"]

    def enqueue(self, sid: str, due_ms: int, job: str) -> list:
        return self.db.fcall(named("rf_enqueue"), 3, *self.keys[:2], REQUEST, sid, due_ms, job, TTL_S)

    def once(self, lock_ms: int = 0, stamp: str = "17") -> list:
        return self.db.fcall(named("rf_once"), 1, REQUEST, "digest", lock_ms, TTL_S, stamp)

    def job(self, sid: str) -> list:
        return self.db.fcall_ro(named("rf_job"), 2, *self.keys[:2], sid)

    def now_ms(self) -> int:
        seconds, us = self.db.time()
        return seconds * 1000 + us // 1000

    def wait_ms(self) -> None:
        """Until the server's clock shows another time."""
        now = self.now_ms()
        while self.now_ms() == now:
            pass

    def put(self, sid: str, text: str) -> None:
        """A job as it is, due at once and ahead of all others."""
        self.db.hset(self.keys[1], sid, text)
        self.db.zadd(self.keys[0], {sid: 1})

    def over(self, sid: str) -> list:
        return self.db.fcall(named("rf_over"), 4, *self.keys[:4], sid)

    def take(self, interval_ms: int = INTERVAL_MS) -> list:
        return self.db.fcall(named("rf_take"), 5, *self.keys, LEASE_MS, interval_ms)


@pytest.fixture
def queue(db):
    return Queue(db)


def test_a_call_is_handed_out_once(queue):
    queue.add("EL_1", "1")
    assert queue.take()[:2] == ["DIAL", "EL_1"]
    assert queue.take()[0] == "LATER"


def test_a_business_dials_as_many_as_it_has_places(queue):
    for n in range(3):
        queue.add(f"EL_{n}", "1", max_calls=2)
    assert [queue.take()[0] for _ in range(3)] == ["DIAL", "DIAL", "LATER"]


def test_calls_that_are_to_be_dialled_now_keep_their_order(queue):
    queue.add("EL_z", "1", max_calls=10)
    queue.wait_ms()
    queue.add("EL_a", "1", max_calls=10)
    assert [queue.take()[1] for _ in range(2)] == ["EL_z", "EL_a"]


def test_a_call_that_is_due_is_not_overtaken(queue):
    """Neither one whose time had come, nor one that was put back."""
    queue.add("EL_z_scheduled", "1", max_calls=10, due_ms=queue.now_ms())
    queue.add("EL_y_back", "1", max_calls=10, due_ms=queue.now_ms() - 1000)
    sid, asked = queue.take()[1], '{"asked": null}'
    assert queue.db.fcall(named("rf_back"), 4, *queue.keys[:4], sid, 0, asked, "0") == ["BACK"]
    queue.wait_ms()
    queue.add("EL_a_now", "1", max_calls=10)
    assert [queue.take()[1] for _ in range(3)][-1] == "EL_a_now"


def test_only_a_call_that_was_dialled_is_not_waiting_any_more(queue):
    queue.add("EL_1", "1")
    word, due_ms, _ = queue.job("EL_1")
    assert word == "JOB" and 0 < int(due_ms) <= queue.now_ms()
    queue.take()
    assert queue.db.fcall(named("rf_settle"), 3, *queue.keys[:3], "EL_1", "CA1", "", LEASE_MS) == ["SETTLED"]
    assert queue.job("EL_1")[:2] == ["JOB", "0"]
    assert queue.job("EL_2") == ["NONE"]


def test_a_call_is_queued_once_also_when_it_is_long_over(queue):
    assert queue.once() == ["NEW", "17"]
    queue.add("EL_1", "1")
    queue.add("EL_2", "1", due_ms=7)
    for sid in ("EL_1", "EL_2"):
        assert queue.over(sid) == ["OVER", 1]
    word, stamp, *queued = queue.once()
    assert (word, stamp, dict(zip(queued[::2], queued[1::2]))) == ("AGAIN", "17", {"EL_1": "0", "EL_2": "7"})
    assert queue.enqueue("EL_1", 0, "{}") == ["EXISTS"]
    assert queue.take()[0] == "LATER"


def test_a_request_that_must_not_be_the_first_leaves_nothing(queue):
    assert queue.once(stamp="") == ["NONE"]
    assert not queue.db.exists(REQUEST)
    assert queue.once() == ["NEW", "17"]
    assert queue.once(stamp="") == ["AGAIN", "17"]


def test_what_a_request_queued_is_forgotten_with_it(queue):
    """Also where its key was lost in between."""
    queue.once()
    queue.add("EL_1", "1")
    queue.db.delete(REQUEST)
    queue.add("EL_2", "1")
    assert 0 < queue.db.ttl(REQUEST) <= TTL_S
    assert queue.once()[0] == "NEW"


@pytest.mark.parametrize("ahead", [10, 500])
def test_a_business_that_is_busy_keeps_no_other_waiting(queue, ahead):
    """A campaign of thousands, of a business with one place: whoever is due behind it need not wait for it."""
    for n in range(1 + ahead):
        queue.add(f"EL_a{n:04}", "1", due_ms=n + 1)
    queue.add("EL_b", "2", due_ms=ahead + 2)
    assert queue.take()[:2] == ["DIAL", "EL_a0000"]
    waited_ms = 0
    while (answer := queue.take())[0] == "LATER":
        waited_ms += int(answer[1])
        assert waited_ms <= 500
    assert answer[:2] == ["DIAL", "EL_b"]


def test_calls_that_wait_for_a_place_keep_their_order(queue):
    waiting = [f"EL_{name}" for name in "cab"]
    for due_ms, sid in enumerate(["EL_first", *waiting], 1):
        queue.put(sid, '{"business_id": "1", "max_calls": "1", "carrier": "twilio"}')
        queue.db.zadd(queue.keys[0], {sid: due_ms})
    assert queue.take()[:2] == ["DIAL", "EL_first"]
    dialled = ["EL_first"]
    while len(dialled) <= len(waiting):
        assert queue.take()[0] == "LATER"
        queue.over(dialled[-1])
        while (answer := queue.take())[0] == "LATER":
            assert int(answer[1]) > 0
        dialled.append(answer[1])
    assert dialled[1:] == waiting


def test_one_take_puts_no_more_than_a_few_calls_back(queue):
    """Redis does nothing else meanwhile, and live calls wait."""
    for n in range(1 + 500):
        queue.add(f"EL_a{n:04}", "1", due_ms=n + 1)
    assert queue.take()[0] == "DIAL"
    now_ms = queue.now_ms()
    assert queue.take()[0] == "LATER"
    assert queue.db.zcount(queue.keys[0], 0, now_ms) == 500 - 50


@pytest.mark.parametrize("ahead", [10, 50, 200])
def test_an_account_that_may_not_dial_yet_keeps_no_other_waiting(queue, ahead):
    """Nor does it lose its turn: the calls behind it are only looked at."""
    for n in range(1 + ahead):
        queue.add(f"EL_a{n:04}", "1", max_calls=10_000, due_ms=n + 1)
    queue.add("EL_b", "1", max_calls=10_000, due_ms=ahead + 2, carrier="elevenlabs")
    hour_ms = 3_600_000
    assert queue.take(hour_ms)[:2] == ["DIAL", "EL_a0000"]
    assert queue.take(hour_ms)[:2] == ["DIAL", "EL_b"]
    assert queue.take(hour_ms)[0] == "LATER"
    queue.db.delete(queue.keys[KINDS.index("rate")])
    assert queue.take(hour_ms)[:2] == ["DIAL", "EL_a0001"]


@pytest.mark.parametrize(
    "text",
    [
        '{"business_id": "1", "max_calls": "1,000", "carrier": "twilio"}',
        '{"business_id": "1", "max_calls": null, "carrier": "twilio"}',
        '{"business_id": null, "max_calls": "3", "carrier": null}',
        "{}",
        "[]",
        "null",
        "7",
        "{",
        "",
    ],
)
def test_a_job_that_is_not_as_it_should_be_stops_nobody_elses(queue, text):
    """It is handed out too, once: its warmer says what becomes of it."""
    queue.put("EL_odd", text)
    queue.add("EL_b", "2", due_ms=2)
    assert queue.take() == ["DIAL", "EL_odd", text]
    assert queue.take()[:2] == ["DIAL", "EL_b"]
    assert queue.take()[0] == "LATER"
    assert queue.over("EL_odd") == ["OVER", 1]
    assert queue.db.hgetall(queue.keys[KINDS.index("busy")]) == {"2": "1"}


def test_a_job_without_a_number_of_places_has_one(queue):
    for n in range(2):
        queue.put(f"EL_{n}", '{"business_id": "1", "max_calls": "many", "carrier": "twilio"}')
    assert [queue.take()[0] for _ in range(2)] == ["DIAL", "LATER"]


def test_a_dialled_call_whose_job_was_spoilt_is_looked_at(queue):
    queue.add("EL_1", "1")
    queue.take()
    queue.db.zrem(queue.keys[0], "EL_1")
    queue.db.hset(queue.keys[1], "EL_1", "{")
    queue.db.zadd(queue.keys[KINDS.index("active")], {"EL_1": 1})
    assert queue.take() == ["LOOK", "EL_1", "{"]
    assert queue.over("EL_1") == ["OVER", 1]


@pytest.mark.parametrize("text", ["{", None])
def test_a_call_whose_job_was_spoilt_or_lost_gives_its_place_back(queue, text):
    """And no other's."""
    jobs, busy = (queue.keys[KINDS.index(kind)] for kind in ("jobs", "busy"))
    for n in range(3):
        queue.add(f"EL_{n}", "1", max_calls=2)
    queue.add("EL_b", "2")
    assert [queue.take()[1] for _ in range(3)] == ["EL_0", "EL_1", "EL_b"]
    queue.db.fcall(named("rf_watch"), 2, jobs, queue.keys[KINDS.index("active")], "CA_watched", LEASE_MS, "{}")
    assert queue.db.hgetall(busy) == {"1": "2", "2": "1"}
    if text:
        queue.db.hset(jobs, "EL_0", text)
    else:
        queue.db.hdel(jobs, "EL_0")
    queue.over("EL_0")
    assert queue.db.hgetall(busy) == {"1": "1", "2": "1"}
