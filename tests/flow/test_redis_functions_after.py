"""The atomic steps of a call that is over, or whose worker is gone: reaped, taken back, late entries, flushed, purged;
and a server in trouble."""

import json
import signal
from typing import Iterator

import pytest
import redis

from flow.redis_functions_rig import MINUTE, PAST, Call, call, db, server  # noqa: F401


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


@pytest.mark.parametrize("made, ends", [(-MINUTE, 0), (MINUTE, MINUTE)], ids=["before", "after"])
def test_a_late_end_is_not_later_than_it_was(call, made, ends):
    """The call was reaped fifteen minutes ago, and went on until its last entry was made, if that was later; how long
    the disk was away does not count."""
    call.open()
    owned(call)
    call.db.zadd(call.live, {call.sid: PAST})
    call.reap(lease="-1")
    reaped_ms = int(call.field("ended_ms")) - 15 * MINUTE
    call.db.hset(call.session, "ended_ms", reaped_ms)
    call.late(("1-2", "a", reaped_ms + made), leaving="end", end="1-3", reason="hangup")
    _, entry = call.db.xrange(call.writes)[-1]
    assert (entry["type"], int(entry["at"])) == ("call_end", reaped_ms + ends)
    assert int(call.field("ended_ms")) == reaped_ms + ends


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


def test_a_parked_call_is_put_back_once(ended):
    parked = ended.take()
    ended.dead_entries(("call", parked, "", "XX000", "internal error", "{}"), ("writes", "1-1", "turn", "22P02", "", "{}"))
    ended.db.delete(ended.ended)
    letters = [id for id, _ in ended.db.xrange(ended.dead)]
    assert ended.replay(letters[0], parked) == ["REPLAYED"]
    assert ended.replay(letters[0], parked) == ["GONE"]
    assert ended.index() == ["replay"] and ended.field("indexed") == ended.last(ended.ended)
    assert [id for id, _ in ended.db.xrange(ended.dead)] == letters[1:]
    assert ended.field(f"dead:call:{parked}") is None and ended.field("dead:writes:1-1") == "1"


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
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        db.set("x", "y")


def test_a_full_server_still_ends_and_drains(full):
    call, lost, fresh = Call(full), Call(full), Call(full)
    for one in (call, lost):
        one.open()
        one.claim()
    full.zadd(lost.live, {lost.sid: 1})
    fill_up(full)
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        fresh.open()
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        call.turn("1-2")
    assert call.end(verdict="transfer:+15550100") == ["ENDED"]
    assert call.after() == ["VERDICT", "transfer:+15550100"]
    assert call.event("s", status="completed", sequence=1, final=1) == ["ADDED"]
    assert lost.reap("1") == ["REAPED", "worker_lost"]
    events = call.last(call.events)
    first, second = call.take(), call.take()
    assert call.dead_entries(("call", "1-1", "", "XX000", "bad", "{}")) == ["DEAD", 1]
    assert call.replay(call.last(call.dead), "1-1") == ["REPLAYED"]
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
