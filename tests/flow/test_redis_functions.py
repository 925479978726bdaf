"""The atomic steps of a call's life in Redis, walked one by one against a real server."""

import itertools
import json
import signal
from typing import Iterator

import pytest
import redis

from flow.redis_functions import library, named
from flow.servers import RedisServer

MINUTE = 60_000
PAST = -1  # a lease that has lapsed when it is given

_sids = (f"CA{n:032x}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("functions") / "redis")
    one.start()
    one.client().function_load(library())
    yield one
    one.stop()


@pytest.fixture
def db(server) -> redis.Redis:
    client = server.client()
    client.flushall()
    client.xgroup_create("rf:{p0}:ended", "flusher", mkstream=True)
    return client


class Call:
    """One call's keys and the functions over them, each answering what Redis answered."""

    def __init__(self, db: redis.Redis) -> None:
        self.db = db
        self.sid = next(_sids)
        self.context = f"rf:{{p0}}:call:{self.sid}"
        self.session = self.context + ":session"
        self.writes = self.context + ":writes"
        self.events = self.context + ":events"
        self.live, self.ended, self.flushed, self.dead = (
            f"rf:{{p0}}:{name}" for name in ("live", "ended", "flushed", "dead")
        )

    def _do(self, function: str, keys: list[str], *args: object) -> list:
        return self.db.fcall(named(function), len(keys), *keys, *args)

    def open(self, token="t0", ttl=100, lease=MINUTE, recorded=True, **fields):
        pairs = itertools.chain.from_iterable(fields.items())
        keys = [self.context, self.session, self.live] + ([] if recorded else [self.events])
        return self._do("rf_open", keys, self.sid, token, ttl, lease, *pairs)

    def fill(self, **fields):
        return self._do("rf_fill", [self.context], *itertools.chain.from_iterable(fields.items()))

    def after(self, n=1, token="t1", lease=MINUTE):
        return self._do("rf_after", [self.session, self.live], self.sid, n, token, lease)

    def claim(self, n=0, token="t0", worker="w1", lease=MINUTE):
        keys = [self.context, self.session, self.writes, self.live]
        return self._do("rf_claim", keys, self.sid, n, token, worker, "MZ1", lease, '{"owner":1}')

    def reclaim(self, epoch=1, worker="w1", stream="MZ1", lease=MINUTE):
        keys = [self.session, self.writes, self.live]
        return self._do("rf_reclaim", keys, self.sid, epoch, worker, stream, lease)

    def late(self, *turns: tuple, stream="MZ1", leaving="", end="", reason="", verdict=""):
        """Turns that waited on a worker's disk: id and message, and when they were made (else long ago)."""
        keys = [self.session, self.writes, self.live, self.ended, self.dead]
        entries: list[object] = []
        for id, message, *made in turns:
            fields = ["type", "turn", "by", "worker", "at", 5, "message", message]
            entries += [id, *(made or [1]), len(fields), *fields]
        return self._do("rf_late", keys, self.sid, stream, leaving, end, reason, verdict, "{}", *entries)

    def turns(self) -> list[str]:
        """What is in the journal, whose ids have no gap."""
        entries = self.db.xrange(self.writes)
        assert [int(id.split("-")[1]) for id, _ in entries] == list(range(1, len(entries) + 1))
        return [entry["message"] for _, entry in entries if entry["type"] == "turn"]

    def turn(self, id: str, message="hello"):
        """A plain append, as the worker does it."""
        fields = {"type": "turn", "by": "worker", "at": 1, "message": message}
        return self.db.xadd(self.writes, fields, id=id, nomkstream=True)

    def end(self, epoch=1, seq=2, reason="hangup", verdict="hangup"):
        keys = [self.session, self.writes, self.live, self.ended]
        return self._do("rf_end", keys, self.sid, epoch, seq, reason, verdict, "{}")

    def event(self, id="e1", status="", sequence="", final=0, **fields):
        keys = [self.session, self.events, self.live, self.ended]
        fields = fields or {"type": "call_status", "by": "warmer", "status": status}
        pairs = itertools.chain.from_iterable(fields.items())
        return self._do("rf_event", keys, self.sid, id, final, status, sequence, *pairs)

    def reap(self, lease=None):
        keys = [self.session, self.writes, self.live, self.ended]
        return self._do("rf_reap", keys, self.sid, self.lease() if lease is None else lease)

    def dead_entries(self, *entries):
        fields = itertools.chain.from_iterable(entries)
        return self._do("rf_dead", [self.session, self.dead], self.sid, *fields)

    def done(self, entry: str, writes="0-0", events="0-0", retention=MINUTE, final_wait=MINUTE):
        keys = [self.ended, self.flushed, self.live, self.session, self.writes, self.events]
        return self._do("rf_done", keys, retention, final_wait, self.sid, entry, writes, events)

    def purge(self):
        keys = [self.context, self.session, self.writes, self.events, self.live, self.ended, self.flushed]
        return self._do("rf_purge", keys, self.sid)

    def lease(self) -> str:
        """The deadline as the reaper reads it: text, '' when there is none."""
        [score] = self.db.execute_command("ZMSCORE", self.live, self.sid)
        return "" if score is None else f"{float(score):.0f}"

    def field(self, name: str) -> str | None:
        return self.db.hget(self.session, name)

    def index(self) -> list[str]:
        """Why the call is on the index of ended calls, oldest first."""
        return [entry["why"] for _, entry in self.db.xrange(self.ended) if entry["call_sid"] == self.sid]

    def take(self) -> str:
        """The next entry of the index, taken as a flusher does."""
        [[_, [(entry_id, entry)]]] = self.db.xreadgroup("flusher", "f1", {self.ended: ">"}, count=1)
        assert entry["call_sid"] == self.sid
        return entry_id

    def last(self, stream: str) -> str:
        return self.db.xinfo_stream(stream)["last-generated-id"]

    def keys(self) -> int:
        return self.db.exists(self.context, self.session, self.writes, self.events)


@pytest.fixture
def call(db) -> Call:
    return Call(db)


def word(answer: list) -> str:
    return answer[0]


def as_dict(pairs: list[str]) -> dict[str, str]:
    return dict(zip(pairs[::2], pairs[1::2]))


# ---- open, fill ----


def test_open_writes_context_session_and_lease(call):
    assert call.open(lead_first_name="Dana", prompt_compact="Be brief.") == ["OPENED", "t0"]
    assert call.db.hgetall(call.context) == {
        "v": "1",
        "lead_first_name": "Dana",
        "prompt_compact": "Be brief.",
    }
    assert 0 < call.db.ttl(call.context) <= 100
    session = call.db.hgetall(call.session)
    assert (session["v"], session["phase"], session["epoch"], session["token:0"]) == ("1", "ringing", "0", "t0")
    assert call.db.ttl(call.session) == -1
    assert int(call.lease()) - int(session["opened_ms"]) == MINUTE


def test_the_same_webhook_again_changes_nothing(call):
    call.open(lead_first_name="Dana")
    before = call.db.hgetall(call.session), call.lease()
    assert call.open(token="other", lead_first_name="Eve", lease=5 * MINUTE) == ["EXISTS", "t0", "", ""]
    assert (call.db.hgetall(call.session), call.lease()) == before
    assert call.db.hgetall(call.context) == {"v": "1", "lead_first_name": "Dana"}


def test_the_same_webhook_again_learns_what_was_answered_with(call):
    call.open(source="minimal")
    assert call.open(source="database") == ["EXISTS", "t0", "minimal", ""]
    call.claim()
    assert call.open(source="database") == ["EXISTS", "t0", "minimal", "0"]


def test_a_call_that_postgres_may_not_know_leaves_one_entry(call):
    fields = {"from": "+1", "to": "+2", "direction": "inbound", "opened_ms": "1763647500123"}
    assert call.open(recorded=False, **fields) == ["OPENED", "t0"]
    assert call.open(recorded=False, **fields)[0] == "EXISTS"
    ((_, entry),) = call.db.xrange(call.events)
    assert entry | {"at": ""} == {
        "id": "open", "at": "", "type": "call_open", "by": "warmer",
        "from": "+1", "to": "+2", "direction": "inbound", "started_ms": "1763647500123",
    }
    assert call.event(status="completed", sequence=1, final=1) == ["ADDED"]
    assert len(call.db.xrange(call.events)) == 2


def test_a_status_that_overtakes_the_first_webhook_does_not_cost_the_call(call):
    call.event(status="ringing", sequence=0)
    assert call.open() == ["OPENED", "t0"]
    assert call.field("phase") == "ringing"
    assert word(call.claim()) == "CLAIMED"


def test_a_call_over_before_it_was_opened_cannot_be_claimed(call):
    call.event(status="completed", sequence=3, final=1)
    assert call.open() == ["OPENED", "t0"]
    assert call.claim() == ["OVER"]


def test_a_kept_snapshot_replaces_the_one_before(call):
    def keep(*pairs):
        return call.db.fcall(named("rf_keep"), 1, "rf:business:7", 60, *pairs)

    assert keep("business_name", "Acme", "voice", "marin") == ["KEPT"]
    assert keep("business_name", "Acme & Co") == ["KEPT"]
    kept = call.db.hgetall("rf:business:7")
    assert kept.pop("kept_ms").isdigit()
    assert kept == {"business_name": "Acme & Co"}
    assert 0 < call.db.ttl("rf:business:7") <= 60


def test_fill_replaces_what_was_answered_with(call):
    call.open(prompt_full="", source="snapshot")
    assert call.fill(prompt_full="Everything.", source="database") == ["FILLED", 2]
    written = {"v": "1", "prompt_full": "Everything.", "source": "database"}
    assert call.db.hgetall(call.context) == written
    assert 0 < call.db.ttl(call.context) <= 100


def test_fill_does_not_bring_a_context_back(call):
    assert call.fill(prompt_full="late") == ["GONE"]
    assert call.keys() == 0


# ---- claim ----


def test_claim(call):
    call.open(lead_first_name="Dana", lease=1000)
    answer, epoch, seq, now, context, journal = call.claim(lease=MINUTE)
    assert (answer, epoch, seq, journal) == ("CLAIMED", "1", "1", [])
    assert as_dict(context) == {"v": "1", "lead_first_name": "Dana"}
    [(entry_id, entry)] = call.db.xrange(call.writes)
    assert entry_id == "1-1"
    owner = {"type": "callsession_update", "by": "worker", "at": now, "v": "1"}
    assert entry == {**owner, "data": '{"owner":1}'}
    session = call.db.hgetall(call.session)
    assert session["phase"] == "live" and session["worker"] == "w1" and session["stream_sid"] == "MZ1"
    assert session["epoch"] == "1" and session["started_ms"] == session["seen_ms"] == now
    assert int(call.lease()) == int(now) + MINUTE


def test_claim_of_an_unknown_call_leaves_nothing(call):
    assert call.claim() == ["UNKNOWN"]
    assert call.keys() == 0 and call.lease() == ""


@pytest.mark.parametrize("n, token", [(0, "forged"), (1, "t0"), (0, "")])
def test_claim_with_a_bad_token(call, n, token):
    call.open()
    assert call.claim(n=n, token=token) == ["BADTOKEN"]
    assert call.field("phase") == "ringing" and not call.db.exists(call.writes)


def test_a_token_serves_once(call):
    call.open()
    call.claim()
    assert call.claim(worker="thief") == ["REPLAYED"]
    assert call.field("worker") == "w1" and call.field("epoch") == "1"


def test_an_older_token_is_worthless_after_a_resume(call):
    call.open()
    call.after()
    assert word(call.claim(n=1, token="t1")) == "CLAIMED"
    assert call.claim(n=0, token="t0") == ["REPLAYED"]


def test_resume_at_the_next_epoch_gets_the_journal(call):
    call.open()
    call.claim(worker="w1")
    started = call.field("started_ms")
    call.turn("1-2", "what the caller said")
    assert call.after(1, "t1") == ["RESUME", "t1", "1", "0"]
    answer, epoch, seq, _, _, journal = call.claim(n=1, token="t1", worker="w2")
    assert (answer, epoch, seq) == ("CLAIMED", "2", "3")
    assert [entry_id for entry_id, _ in journal] == ["1-1", "1-2"]
    assert as_dict(journal[1][1])["message"] == "what the caller said"
    assert call.last(call.writes) == "2-3"
    assert call.field("started_ms") == started and call.field("worker") == "w2"


def test_a_claim_fences_the_worker_before(call):
    call.open()
    call.claim()
    call.after()
    call.claim(n=1, token="t1", worker="w2")
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        call.turn("1-2")
    assert call.end(epoch=1, seq=2) == ["FENCED", "2"]
    assert call.field("phase") == "live" and call.index() == []
    assert call.turn("2-3") == "2-3"


@pytest.mark.parametrize("how", ["final", "verdict"])
def test_claim_of_a_call_that_is_over(call, how):
    call.open()
    call.claim()
    call.after()
    if how == "final":
        call.event(status="completed", sequence=4, final=1)
    else:
        call.end(verdict="hangup")
    assert call.claim(n=1, token="t1") == ["OVER"]


def test_plain_append_cannot_revive_a_purged_call(call):
    assert call.turn("1-2") is None
    assert call.keys() == 0


# ---- end ----


def test_end(call):
    call.open()
    call.claim()
    call.turn("1-2")
    assert call.end(seq=3, reason="goodbye", verdict="transfer:+15550100") == ["ENDED"]
    entry_id, entry = call.db.xrange(call.writes)[-1]
    assert entry_id == "1-3"
    assert (entry["type"], entry["reason"], entry["metrics"]) == ("call_end", "goodbye", "{}")
    assert call.field("phase") == "ended" and call.field("verdict") == "transfer:+15550100"
    assert call.lease() == "" and call.index() == ["end"]


def test_end_sent_again(call):
    call.open()
    call.claim()
    call.end()
    assert call.end() == ["AGAIN"]
    assert call.last(call.writes) == "1-2" and call.index() == ["end"]


@pytest.mark.parametrize("seq", [3, 9, 1])
def test_end_over_a_hole_names_the_last_entry(call, seq):
    call.open()
    call.claim()
    assert call.end(seq=seq) == ["HOLE", "1"]
    assert call.field("phase") == "live" and call.lease() != "" and call.index() == []


def test_end_of_an_unknown_call(call):
    assert call.end() == ["FENCED", ""]
    assert call.keys() == 0


def test_the_journal_fences_even_if_the_session_forgot(call):
    call.open()
    call.claim()
    call.after()
    call.claim(n=1, token="t1", worker="w2")
    call.db.hset(call.session, "epoch", 1)
    assert word(call.end(epoch=1, seq=3)) == "FENCED"
    assert call.last(call.writes) == "2-2"


# ---- hold, release ----


def slots(*minutes: int) -> list[str]:
    return [f"rf:slot:{{7}}:2026-11-24T10:{minute:02}:00Z" for minute in minutes]


def hold(db: redis.Redis, sid: str, *minutes: int) -> list:
    return db.fcall(named("rf_hold"), len(minutes), *slots(*minutes), sid, 60)


def test_hold_takes_all_of_a_time_or_nothing(db):
    assert hold(db, "CA1", 0, 5, 10) == ["HELD"]
    assert hold(db, "CA2", 10, 15, 20) == ["TAKEN"]
    assert db.mget(slots(0, 5, 10, 15, 20)) == ["CA1", "CA1", "CA1", None, None]
    assert hold(db, "CA2", 15, 20) == ["HELD"]
    assert all(0 < db.ttl(slot) <= 60 for slot in slots(0, 5, 10, 15, 20))


def test_hold_again_is_harmless(db):
    assert hold(db, "CA1", 0, 5) == hold(db, "CA1", 0, 5) == ["HELD"]


def test_hold_of_a_whole_day(db):
    day = [f"rf:slot:{{7}}:{n}" for n in range(289)]
    assert db.fcall(named("rf_hold"), len(day), *day, "CA1", 60) == ["HELD"]
    assert set(db.mget(day)) == {"CA1"}


def test_release_gives_back_what_is_ones_own(db):
    hold(db, "CA1", 0, 5)
    hold(db, "CA2", 10)
    assert db.fcall(named("rf_release"), 4, *slots(0, 5, 10, 15), "CA1") == ["RELEASED", 2]
    assert db.mget(slots(0, 5, 10)) == [None, None, "CA2"]


# ---- after ----


def test_after_an_unknown_call(call):
    assert call.after() == ["UNKNOWN"]
    assert call.keys() == 0


def test_after_gives_the_verdict(call):
    call.open()
    call.claim()
    call.end(verdict="transfer:+15550100")
    assert call.after() == ["VERDICT", "transfer:+15550100"]
    assert call.field("token:1") is None and call.lease() == ""


def test_after_a_final_status_nothing_more_is_offered(call):
    call.open()
    call.claim()
    call.end(verdict="transfer:+15550100")
    call.event(status="completed", sequence=4, final=1)
    assert call.after() == ["FINAL", "completed"]


def test_after_offers_one_token_per_stream(call):
    call.open(lease=1000)
    lease = int(call.lease())
    assert call.after(1, "t1") == ["RESUME", "t1", "0", "1"]
    renewed = int(call.lease())
    assert renewed > lease
    assert call.after(1, "another", lease=9 * MINUTE) == ["RESUME", "t1", "0", "1"]
    assert int(call.lease()) == renewed
    assert call.after(2, "t2") == ["RESUME", "t2", "0", "2"]  # nobody lost it, nobody came


def test_after_never_shortens_a_lease(call):
    call.open(lease=MINUTE)
    lease = call.lease()
    call.after(lease=1000)
    assert call.lease() == lease


def test_a_call_ended_without_a_verdict_is_resumed(call):
    call.open()
    call.claim()
    call.end(reason="drain", verdict="")
    assert call.after() == ["RESUME", "t1", "1", "0"]
    assert call.lease() != ""
    assert call.claim(n=1, token="t1")[:3] == ["CLAIMED", "2", "3"]
    assert call.field("phase") == "live"


# ---- event ----


def test_event_is_kept_with_its_id(call):
    call.open()
    assert call.event("s:0", type="call_link", by="warmer", conversation_id="c1") == ["ADDED"]
    [(_, entry)] = call.db.xrange(call.events)
    assert entry.pop("at").isdigit()
    assert entry == {"id": "s:0", "type": "call_link", "by": "warmer", "conversation_id": "c1"}


def test_event_that_comes_again(call):
    call.open()
    call.event("s:3", status="completed", sequence=3, final=1)
    call.event("r:1", type="recording")
    assert call.event("s:3", status="completed", sequence=3, final=1) == ["DUPLICATE"]
    assert call.event("r:1", type="recording") == ["DUPLICATE"]
    assert call.db.xlen(call.events) == 2 and call.index() == ["event", "event"]


def test_an_id_is_compared_with_ids_only(call):
    call.open()
    call.event("s:1", type="call_link", conversation_id="s:2")
    assert call.event("s:2", type="call_link") == ["ADDED"]


def test_statuses_move_forward_only(call):
    call.open()
    for id, status, sequence in (("a", "ringing", 0), ("c", "in-progress", 2), ("b", "answered", 1)):
        assert call.event(id, status=status, sequence=sequence) == ["ADDED"]
    assert (call.field("status"), call.field("status_seq"), call.field("final")) == ("in-progress", "2", "0")
    assert call.event("d", status="busy", sequence=10) == ["ADDED"]
    assert call.field("status") == "busy"  # 10 is above 2: numbers, not text
    assert call.db.xlen(call.events) == 4


def test_a_terminal_status_is_final(call):
    call.open()
    call.event("a", status="in-progress", sequence=5)
    call.event("b", status="completed", sequence=3, final=1)  # whatever its number
    call.event("c", status="in-progress", sequence=9)
    call.event("d", status="failed", sequence=10, final=1)
    assert (call.field("status"), call.field("final")) == ("completed", "1")
    assert call.db.xlen(call.events) == 4


def test_index_while_it_rings(call):
    call.open()
    call.event("a", status="ringing", sequence=0)
    call.event("b", type="call_link")
    assert call.index() == [] and call.field("phase") == "ringing" and call.lease() != ""
    call.event("c", status="no-answer", sequence=1, final=1)
    assert call.index() == ["event"] and call.field("phase") == "ended" and call.lease() == ""


def test_index_while_a_worker_carries_it(call):
    call.open()
    call.claim()
    call.event("a", status="in-progress", sequence=1)
    call.event("b", status="completed", sequence=2, final=1)
    assert call.index() == [] and call.field("phase") == "live" and call.lease() != ""
    assert call.end() == ["ENDED"]
    assert call.index() == ["end"]


def test_index_after_the_end(call):
    call.open()
    call.claim()
    call.end()
    call.event("a", type="recording")
    assert call.index() == ["end", "event"]


def test_a_caller_who_hangs_up_between_two_workers_is_reaped_without_delay(call):
    call.open()
    call.claim()
    lease = call.lease()
    call.event("e1", status="completed", sequence=0, final=1)
    assert call.lease() == lease  # its worker has it, and may have something to add
    call.db.hset(call.session, "final", 0)
    call.after(1, "t1", lease=9 * MINUTE)
    call.event("e2", status="completed", sequence=1, final=1)
    assert call.reap() == ["REAPED", "worker_lost"]


def test_event_of_a_call_nobody_knows_reaches_the_flusher(call):
    assert call.event("a", type="recording") == ["ADDED"]
    assert call.index() == ["event"] and call.field("phase") == "ended"


# ---- reap ----


def test_reap_leaves_a_lease_that_holds(call):
    call.open()
    call.claim()
    assert call.reap() == ["ALIVE"]
    assert call.field("phase") == "live" and call.index() == []


def test_reap_leaves_a_lease_renewed_since_the_reaper_looked(call):
    call.open()
    call.claim(lease=PAST)
    seen = call.lease()
    call.db.zadd(call.live, {call.sid: int(seen) - 1})  # also lapsed, but not what was seen
    assert call.reap(seen) == ["ALIVE"]
    assert call.field("phase") == "live" and call.last(call.writes) == "1-1"


def test_reap_of_a_call_that_left(call):
    call.open()
    call.claim(lease=PAST)
    seen = call.lease()
    call.end()
    assert call.reap(seen) == ["ALIVE"]
    assert call.index() == ["end"]


def test_reap_ends_the_call_of_a_lost_worker_and_fences_it(call):
    call.open()
    call.claim(lease=PAST)
    call.turn("1-2")
    assert call.reap() == ["REAPED", "worker_lost"]
    entry_id, entry = call.db.xrange(call.writes)[-1]
    assert entry_id == "2-3"
    assert (entry["type"], entry["by"], entry["reason"]) == ("call_end", "flusher", "worker_lost")
    assert call.field("phase") == "ended" and call.field("reason") == "worker_lost"
    assert call.lease() == "" and call.index() == ["reap"]
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        call.turn("1-3")
    assert call.end(epoch=1, seq=3) == ["FENCED", "2"]
    assert call.index() == ["reap"]


def test_two_reapers(call):
    call.open(lease=PAST)
    seen = call.lease()
    assert call.reap(seen) == ["REAPED", "never_connected"]
    assert call.reap(seen) == ["ALIVE"]
    assert call.index() == ["reap"]


def test_reap_of_a_call_that_never_streamed(call):
    call.open(lease=PAST)
    assert call.reap() == ["REAPED", "never_connected"]
    assert call.field("phase") == "ended" and not call.db.exists(call.writes)


def test_reap_of_a_resume_that_never_came_keeps_the_reason(call):
    call.open()
    call.claim()
    call.end(reason="drain", verdict="")
    call.after(lease=PAST)
    call.reap()
    assert call.field("reason") == "drain" and call.index() == ["end", "reap"]


def test_a_reaped_call_can_be_resumed(call):
    call.open()
    call.claim(lease=PAST)
    call.reap()
    assert call.after() == ["RESUME", "t1", "1", "0"]
    assert call.claim(n=1, token="t1")[:3] == ["CLAIMED", "3", "3"]
    assert call.turn("3-4") == "3-4"


def test_a_worker_that_was_only_cut_off_takes_its_call_back(call):
    call.open()
    call.claim(lease=PAST)
    call.turn("1-2")
    call.reap()
    assert call.reclaim() == ["RECLAIMED", "3", "4", "2"]
    assert call.field("phase") == "live" and call.field("epoch") == "3"
    assert call.field("reason") is None and call.field("ended_ms") is None
    assert int(call.lease()) > 0
    entry_id, entry = call.db.xrange(call.writes)[-1]
    assert (entry_id, entry["type"]) == ("3-4", "callsession_update")
    assert call.turn("3-5") == "3-5"
    assert call.end(epoch=3, seq=6) == ["ENDED"]
    assert call.index() == ["reap", "end"]


def test_the_answer_to_a_reclaim_may_be_lost(call):
    call.open()
    call.claim(lease=PAST)
    call.reap()
    assert call.reclaim() == ["RECLAIMED", "3", "3", "1"]
    assert call.reclaim() == ["RECLAIMED", "4", "4", "1"]
    assert call.turn("4-5") == "4-5"


@pytest.mark.parametrize("who", [{"worker": "w2"}, {"stream": "MZ2"}])
def test_a_call_that_another_worker_has_claimed_is_not_taken_back(call, who):
    call.open()
    call.claim(lease=PAST)
    call.reap()
    call.after()
    call.claim(n=1, token="t1")
    before = call.last(call.writes)
    assert call.reclaim(**who) == ["FENCED", "3"]
    assert call.last(call.writes) == before


def test_a_purged_call_is_not_born_again(call):
    assert call.reclaim() == ["FENCED", ""]
    assert call.keys() == 0


# ---- entries that waited on a worker's disk ----


def owned(call, stream="MZ1", **more):
    """Claimed by a stream whose name is in the owner's entry, as workers write it."""
    keys = [call.context, call.session, call.writes, call.live]
    owner = f'{{"worker":"w1","stream_sid":"{stream}"}}'
    n, token = more.get("n", 0), more.get("token", "t0")
    return call._do("rf_claim", keys, call.sid, n, token, more.get("worker", "w1"), stream, MINUTE, owner)


def test_late_entries_follow_what_is_there(call):
    call.open()
    owned(call)
    call.turn("1-2", "a")
    assert call.late(("1-3", "b"), ("1-4", "c")) == ["LATE", "2", "0", "0"]
    assert call.turns() == ["a", "b", "c"]
    last_id, last = call.db.xrange(call.writes)[-1]
    assert (last_id, last["spooled"], last["at"]) == ("2-4", "1-4", "5")
    assert (call.field("epoch"), call.field("phase"), call.index()) == ("2", "live", [])


def test_a_late_entry_comes_once(call):
    """Whether its append was carried out under its own id, or as a late one; in any mixture."""
    call.open()
    owned(call)
    call.turn("1-2", "a")
    late = [("1-2", "a"), ("1-3", "b"), ("1-4", "c")]
    assert call.late(*late[:2]) == ["LATE", "1", "1", "0"]
    assert call.late(*late) == ["LATE", "1", "2", "0"]
    assert call.late(*late) == ["LATE", "0", "3", "0"]
    assert call.turns() == ["a", "b", "c"]


def test_what_is_still_under_way_is_fenced_by_late_entries(call):
    """An append of the dead worker that was in Redis' socket: it was brought by then."""
    call.open()
    owned(call)
    call.late(("1-2", "a"))
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        call.turn("1-2", "a")
    assert call.end(epoch=1, seq=3) == ["FENCED", "2"]
    assert call.turns() == ["a"]


def test_the_owner_of_a_call_goes_on_behind_late_entries(call):
    """Those of the call's worker before: the present one takes its call back, and what it has written is known to it."""
    call.open()
    owned(call)
    call.after()
    owned(call, stream="MZ2", worker="w2", n=1, token="t1")
    call.turn("2-3", "mine")
    assert call.late(("1-2", "before")) == ["LATE", "1", "0", "0"]
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        call.turn("2-4", "mine too")
    assert call.reclaim(epoch=2, worker="w2", stream="MZ2") == ["RECLAIMED", "4", "5", "3"]
    call.turn("4-6", "mine too")
    assert call.turns() == ["mine", "before", "mine too"]


def test_what_was_made_for_a_call_that_had_moved_on_is_refused(call):
    call.open()
    owned(call)
    call.after()
    owned(call, stream="MZ2", worker="w2", n=1, token="t1")
    taken = int(call.db.xrange(call.writes)[-1][1]["at"])
    late = [("1-2", "heard", taken), ("1-3", "to nobody", taken + 1)]
    assert call.late(*late, leaving="end", end="1-4", reason="hangup", verdict="hangup") == ["LATE", "1", "0", "1"]
    assert call.turns() == ["heard"]
    assert (call.field("phase"), call.field("verdict"), call.index()) == ("live", None, [])
    assert call.lease() != ""


def test_a_late_end_is_the_calls_end_once(call):
    call.open()
    owned(call)
    for _ in range(2):
        call.late(("1-2", "a"), leaving="end", end="1-3", reason="hangup", verdict="transfer:+1")
    assert (call.field("phase"), call.field("verdict"), call.field("reason")) == ("ended", "transfer:+1", "hangup")
    assert (call.field("last_writes"), call.index(), call.lease()) == ("2-3", ["late"], "")
    assert [entry["type"] for _, entry in call.db.xrange(call.writes)][1:] == ["turn", "call_end"]


def test_a_late_end_that_was_in_time_after_all_changes_nothing(call):
    call.open()
    owned(call)
    call.turn("1-2", "a")
    call.end(epoch=1, seq=3)
    assert call.late(("1-2", "a"), leaving="end", end="1-3", reason="other") == ["LATE", "0", "1", "0"]
    assert (call.field("reason"), call.field("epoch"), call.index()) == ("hangup", "1", ["end"])


def test_late_entries_of_a_flushed_call_are_flushed_too(call):
    call.open()
    owned(call)
    call.db.zadd(call.live, {call.sid: PAST})
    call.reap(lease="-1")
    entry = call.take()
    assert call.done(entry, writes=call.last(call.writes)) == ["DONE"]
    call.late(("1-2", "a"))
    assert call.index() == ["late"]
    assert call.done(call.take(), writes=call.last(call.writes)) == ["DONE"]
    assert call.field("flushed_writes") == "3-3"


def test_a_call_handed_over_late_was_not_lost(call):
    call.open()
    owned(call)
    call.late(("1-2", "a"), leaving="left")
    assert call.after()[:3] == ["RESUME", "t1", "0"]


def test_late_entries_of_a_call_that_has_left_redis_are_for_people(call):
    assert call.late(("1-2", "a"), ("1-3", "b"), leaving="end", end="1-4") == ["BURIED", 2]
    letters = [letter for _, letter in call.db.xrange(call.dead)]
    assert [(one["call_sid"], one["stream"], one["entry_id"], one["type"]) for one in letters] == [
        (call.sid, "writes", "1-2", "turn"),
        (call.sid, "writes", "1-3", "turn"),
    ]
    assert json.loads(letters[0]["entry"]) == {"type": "turn", "by": "worker", "at": "5", "message": "a"}
    assert call.keys() == 0


def test_a_call_that_came_back_without_its_journal_has_left_redis_too(call):
    """A webhook that is very late opens the session anew; the numbers of a new journal would be taken for flushed ones."""
    call.event(status="completed", sequence=1, final=1)
    assert call.late(("1-2", "a")) == ["BURIED", 1]
    assert call.db.exists(call.writes) == 0


# ---- dead, done, purge ----


@pytest.fixture
def ended(call) -> Call:
    """A call of two writes and one final event, both of its index entries still there."""
    call.open(lead_first_name="Dana")
    call.claim()
    call.end()
    call.event("s:1", status="completed", sequence=1, final=1)
    return call


def test_dead_entries_are_kept_once(ended):
    first = ("writes", "1-1", "turn", "22P02", "not a number", '{"a":1}')
    second = ("events", "1-1", "recording", "23503", "no such call", "{}")
    assert ended.dead_entries(first) == ["DEAD", 1]
    assert ended.dead_entries(first, second) == ["DEAD", 1]
    rows = [entry for _, entry in ended.db.xrange(ended.dead)]
    assert rows[0] == {
        "call_sid": ended.sid,
        "stream": "writes",
        "entry_id": "1-1",
        "type": "turn",
        "sqlstate": "22P02",
        "message": "not a number",
        "entry": '{"a":1}',
    }
    assert [row["stream"] for row in rows] == ["writes", "events"]


def test_done(ended):
    events = ended.last(ended.events)
    assert ended.done(ended.take(), "1-2", events) == ["DONE"]
    assert ended.done(ended.take(), "1-2", events) == ["DONE"]
    assert ended.index() == [] and ended.db.xpending(ended.ended, "flusher")["pending"] == 0
    assert (ended.field("flushed_writes"), ended.field("flushed_events")) == ("1-2", events)
    assert ended.db.zscore(ended.flushed, ended.sid) > 0
    assert ended.keys() == 4  # kept for the retention


def test_done_twice_is_the_same(ended):
    entry, events = ended.take(), ended.last(ended.events)
    ended.done(entry, "1-2", events)
    before = ended.index()
    assert ended.done(entry, "1-2", events) == ["DONE"]
    assert ended.index() == before


@pytest.mark.parametrize("late", ["event", "turn"])
def test_what_came_during_the_flush_puts_the_call_back(ended, late):
    events = ended.last(ended.events)
    first, second = ended.take(), ended.take()
    if late == "event":
        ended.event("r:1", type="recording")
        ended.done(ended.take(), "1-2", events)  # a flusher that had read before it came
    else:
        ended.db.xadd(ended.writes, {"type": "turn"}, id="1-3")
    assert ended.done(first, "1-2", events) == ["MORE"]
    assert ended.db.zscore(ended.flushed, ended.sid) is None
    assert "more" in ended.index()
    ended.done(second, ended.last(ended.writes), ended.last(ended.events))
    assert ended.done(ended.take(), ended.last(ended.writes), ended.last(ended.events)) == ["DONE"]


def test_done_of_a_call_that_lives_again_leaves_it_to_its_end(call):
    call.open()
    call.claim()
    call.end(reason="drain", verdict="")
    entry = call.take()
    call.after()
    call.claim(n=1, token="t1")
    assert call.done(entry, "1-2") == ["MORE"]
    assert call.index() == [] and call.lease() != ""


def test_retention_is_longer_without_a_final_status(call):
    def due_in(final: int) -> float:
        one = Call(call.db)
        one.open()
        one.claim()
        one.end()
        entry = one.take()
        if final:
            one.event("s", status="completed", sequence=1, final=1)
            one.done(one.take(), "1-2", one.last(one.events), retention=1000, final_wait=9 * MINUTE)
        events = one.last(one.events) if final else "0-0"
        one.done(entry, "1-2", events, retention=1000, final_wait=9 * MINUTE)
        seconds, _ = one.db.time()
        return one.db.zscore(one.flushed, one.sid) - seconds * 1000

    assert due_in(final=1) < MINUTE < due_in(final=0)


def test_purge_takes_all_of_the_call_and_nothing_else(ended):
    other = Call(ended.db)
    other.open(x="y")
    events = ended.last(ended.events)
    ended.done(ended.take(), "1-2", events, retention=PAST)
    ended.done(ended.take(), "1-2", events, retention=PAST)
    assert ended.purge() == ["PURGED"]
    assert ended.keys() == 0 and ended.db.zscore(ended.flushed, ended.sid) is None
    assert other.keys() == 2
    assert ended.purge() == ["KEPT"]


def test_purge_waits_for_the_retention(ended):
    ended.done(ended.take(), "1-2", ended.last(ended.events), retention=MINUTE)
    assert ended.purge() == ["KEPT"]
    assert ended.keys() == 4 and ended.db.zscore(ended.flushed, ended.sid) > 0


def test_purge_keeps_what_is_not_flushed(ended):
    events = ended.last(ended.events)
    ended.done(ended.take(), "1-2", events, retention=PAST)
    ended.done(ended.take(), "1-2", events, retention=PAST)
    ended.event("r:1", type="recording")
    assert ended.purge() == ["KEPT"]
    assert ended.keys() == 4 and ended.index() == ["event", "more"]


def test_purge_keeps_a_live_call(call):
    call.open()
    call.claim()
    call.end(reason="drain", verdict="")
    call.done(call.take(), "1-2", final_wait=PAST)
    call.after()
    assert call.purge() == ["KEPT"]
    assert call.claim(n=1, token="t1")[:2] == ["CLAIMED", "2"]


def test_what_comes_after_the_purge_goes_the_same_way(call):
    """A recording of a call that has left: what it opens anew leaves again."""
    call.event("r:1", type="recording")
    assert call.index() == ["event"]
    assert call.done(call.take(), "0-0", call.last(call.events), final_wait=PAST) == ["DONE"]
    assert call.purge() == ["PURGED"]
    assert call.keys() == 0


# ---- what a provider says of a conversation ----


def told(call: Call, known="", conversation="conv_1"):
    keys = [call.session, call.events, call.live, call.ended]
    entries = '[["turn", "speaker", "caller", "message", "Hi."], ["callsession_update", "data", "{}"]]'
    return call._do("rf_told", keys, call.sid, conversation, "completed", "3", "", entries, known)


def types(call: Call) -> list[str]:
    return [entry["type"] for _, entry in call.db.xrange(call.events)]


def test_a_report_of_a_call_that_has_left(call):
    assert told(call) == ["UNKNOWN"] and call.keys() == 0
    assert told(call, "known") == ["KEPT"] and told(call, "known") == ["DUPLICATE"] and told(call) == ["DUPLICATE"]
    assert types(call) == ["turn", "callsession_update", "call_status"] and call.index() == ["event"]
    assert call.done(call.take(), "0-0", call.last(call.events), retention=PAST) == ["DONE"]
    assert call.purge() == ["PURGED"]
    assert told(call, "spoken") == ["KEPT"]
    assert types(call) == ["callsession_update", "call_status"]  # the rest may be said twice


# ---- the server in trouble ----


@pytest.fixture
def full(db) -> Iterator[redis.Redis]:
    yield db
    db.config_set("maxmemory", 0)


def fill_up(db: redis.Redis) -> None:
    db.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="OOM"):
        db.set("x", "y")


def test_a_full_server_still_ends_and_drains(full):
    call, lost, fresh = Call(full), Call(full), Call(full)
    for one in (call, lost):
        one.open()
        one.claim()
    full.zadd(lost.live, {lost.sid: 1})
    fill_up(full)
    with pytest.raises(redis.ResponseError, match="OOM"):
        fresh.open()
    with pytest.raises(redis.ResponseError, match="OOM"):
        call.turn("1-2")
    assert call.end(verdict="transfer:+15550100") == ["ENDED"]
    assert call.after() == ["VERDICT", "transfer:+15550100"]
    assert call.event("s", status="completed", sequence=1, final=1) == ["ADDED"]
    assert lost.reap("1") == ["REAPED", "worker_lost"]
    events = call.last(call.events)
    first, second = call.take(), call.take()
    assert call.dead_entries(("writes", "1-1", "turn", "22P02", "bad", "{}")) == ["DEAD", 1]
    assert call.done(first, "1-2", events, retention=PAST) == ["DONE"]
    assert call.done(second, "1-2", events, retention=PAST) == ["DONE"]
    assert call.purge() == ["PURGED"]


def test_everything_answered_survives_a_killed_server(server, db):
    call = Call(db)
    call.open(lead_first_name="Dana")
    call.claim()
    call.turn("1-2")
    lease = call.lease()
    server.stop(signal.SIGKILL)
    server.start()
    call.db = server.client()
    assert call.db.hget(call.context, "lead_first_name") == "Dana"
    assert call.lease() == lease and call.last(call.writes) == "1-2"
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        call.turn("1-2")
    assert call.end(seq=3) == ["ENDED"]  # the functions are in the append-only file too
    assert call.done(call.take(), "1-3") == ["DONE"]
