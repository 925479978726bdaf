"""The atomic steps of a call's life in Redis, walked one by one against a real server: opened, claimed, ended, and what
webhooks say of it. How it leaves again is in test_redis_functions_after.py."""

import pytest
import redis

from flow.redis_functions import named
from flow.redis_functions_rig import MINUTE, PAST, as_dict, call, db, server, word  # noqa: F401


# ---- open, fill, refuse ----


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
    assert call.open() == ["OPENED", "t0"]
    assert call.fill(recorded=False, **fields) == ["FILLED", 4]
    assert call.fill(recorded=False, **fields) == ["FILLED", 4]
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
    assert call.fill(source="partial") == ["FILLED", 1]
    assert call.fill(prompt_full="Everything.", source="database") == ["FILLED", 2]
    written = {"v": "1", "prompt_full": "Everything.", "source": "database"}
    assert call.db.hgetall(call.context) == written
    assert 0 < call.db.ttl(call.context) <= 100


@pytest.mark.parametrize(
    "there, comes",
    [("database", "partial"), ("database", "minimal"), ("partial", "snapshot"), ("snapshot", "minimal")],
)
def test_fill_does_not_replace_a_better_context(call, there, comes):
    call.open()
    assert call.fill(source=there, greeting="Good day.") == ["FILLED", 2]
    assert call.fill(recorded=False, source=comes, greeting="Hello.") == ["BETTER"]
    assert call.db.hgetall(call.context) == {"v": "1", "source": there, "greeting": "Good day."}
    assert len(call.db.xrange(call.events)) == 1  # the row may be missing all the same
    assert call.fill(source=there, lead_id="7") == ["FILLED", 2]  # what completes it
    assert call.fill(answered_by="human") == ["FILLED", 1]


def test_a_call_that_is_only_reserved_has_no_context_yet(call):
    assert call.open(to="+1") == ["OPENED", "t0"]
    assert call.open(token="other") == ["EXISTS", "t0", "", ""]
    assert call.fill(source="minimal") == ["FILLED", 1]
    assert call.open(token="other") == ["EXISTS", "t0", "minimal", ""]


def test_a_refused_call_leaves_nothing(call):
    call.open()
    assert call.refuse() == ["REFUSED"]
    assert (call.keys(), call.lease(), call.index()) == (0, "", [])
    assert call.refuse() == ["KEPT"]


@pytest.mark.parametrize("status, final", [("ringing", 0), ("completed", 1)])
def test_what_was_reported_of_a_refused_call_is_flushed(call, status, final):
    call.open()
    call.event(status=status, sequence=1, final=final)
    assert call.refuse() == ["REFUSED"]
    assert (call.index(), call.lease(), call.field("phase")) == (["event"], "", "ended")
    assert call.db.exists(call.context) == 0
    assert len(call.db.xrange(call.events)) == 1
    assert call.claim() == ["BADTOKEN"]


def test_only_who_reserved_a_call_refuses_it_and_only_before_it_is_served(call):
    call.open()
    assert call.refuse(token="other") == ["KEPT"]
    call.fill(source="minimal")
    assert call.refuse() == ["KEPT"]
    assert word(call.claim()) == "CLAIMED"


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


def test_a_token_expires_by_the_clock_of_redis(call):
    """Counted from when its place was offered first."""
    call.open(token_ttl=PAST)
    assert call.open(token_ttl=MINUTE) == ["EXISTS", "t0", "", ""]
    assert call.claim() == ["EXPIRED"]
    call.after(token_ttl=PAST)
    call.after(token_ttl=MINUTE)
    assert call.claim(n=1, token="t1") == ["EXPIRED"]
    assert call.field("phase") == "ringing" and not call.db.exists(call.writes)
    call.after(n=2, token="t2")
    assert word(call.claim(n=2, token="t2")) == "CLAIMED"


@pytest.mark.parametrize("expires_ms, answer", [(1, "EXPIRED"), (4 * 10**12, "CLAIMED")])
def test_a_token_of_an_older_warmer_says_itself_when_it_expires(call, expires_ms, answer):
    token = f"0.{expires_ms}.nonce.mac"
    call.open(token=token)
    call.db.hdel(call.session, "until:0")  # which it knew nothing of
    assert word(call.claim(token=token)) == answer


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


def test_an_owner_whose_claim_was_lost_takes_the_call_again(call):
    """A primary died before its replica had the claim at epoch 2; the worker before is no owner any more."""
    call.open()
    call.claim(worker="w1")
    call.after()
    answer, epoch, seq, kept = call.reclaim(epoch=2, worker="w2", stream="MZ2")
    assert (answer, epoch, seq, kept) == ("RECLAIMED", "2", "2", "1")
    assert call.field("worker") == "w2" and call.field("stream_sid") == "MZ2"
    assert call.reclaim(epoch=1, worker="w1") == ["FENCED", "2"]
    assert call.claim(n=1, token="t1", worker="thief") == ["REPLAYED"]


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
