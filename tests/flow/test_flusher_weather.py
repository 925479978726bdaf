"""The flusher in bad weather: Postgres and Redis fail in all the ways they do, and people lend a hand."""

import time

import psycopg
import pytest

from .flusher_rig import DEAD, ENDED, FlusherRig
from .redis_functions import named
from .servers import eventually


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def rig(servers, request):
    servers.reset()
    yield servers
    words = servers.report()
    problems = servers.stop_all()
    assert not problems, "\n".join(problems) + words


def ended_calls(rig, count: int, turns: int = 2) -> None:
    for i in range(count):
        call = rig.call(f"CA{i}").open().claim()
        for n in range(turns):
            call.turn(f"CA{i} {n}")
        call.end()


def all_there(rig, count: int, turns: int = 2) -> bool:
    rows = rig.sql("select call_sid, array_agg(message order by seq) as said from conversation_turn group by 1")
    return {row["call_sid"]: row["said"] for row in rows} == {
        f"CA{i}": [f"CA{i} {n}" for n in range(turns)] for i in range(count)
    }


def ready(flusher) -> bool:
    return flusher.get("/readyz")[0] == 200


def storm(rig, sqlstate: str, times: int, only: str = "%", first: tuple[str, int] = ("", 0)) -> None:
    """The next transactions that write a turn fail so; the first ones, so many, otherwise."""
    rig.sql("create sequence storms")
    rig.sql(
        f"""create function storm() returns trigger language plpgsql as $$
        begin
            if new.message like '{only}' and nextval('storms') <= {times} then
                raise exception 'thunder' using errcode =
                    case when currval('storms') <= {first[1]} then '{first[0]}' else '{sqlstate}' end;
            end if;
            return new;
        end $$"""
    )
    rig.sql("create trigger storm before insert on conversation_turn for each row execute function storm()")


# ---- Postgres ----

PASSING = {
    "08006": "connection failure",
    "25006": "read-only",
    "40001": "serialization failure",
    "40P01": "deadlock",
    "53100": "disk full",
    "53200": "out of memory",
    "55P03": "lock not available",
    "57014": "statement timeout",
    "57P01": "shutdown",
    "58030": "i/o error",
    "XX000": "an internal error that passes",
}


@pytest.mark.parametrize("sqlstate", PASSING, ids=PASSING.values())
@pytest.mark.parametrize("calls", [3, 300], ids=["few", "many"])
def test_what_passes_is_waited_for(rig, sqlstate, calls):
    storm(rig, sqlstate, times=3)
    ended_calls(rig, calls)
    flusher = rig.start(claim_idle_ms=200)
    rig.wait_flushed(40)
    assert all_there(rig, calls) and rig.dead() == []
    assert rig.one("select count(*) as n from call_flush")["n"] == calls
    if sqlstate != "XX000":
        assert flusher.metrics()["ringfleet_flush_failures_total"] > 0


def with_options(rig, **options: object) -> str:
    """A URL whose session options are these, over the usual ones."""
    words = "%20".join(f"-c%20{name}%3D{value}" for name, value in options.items())
    return f"{rig.postgres.url('flusher')}&options={words}"


def flushed(rig) -> set[str]:
    return {row["call_sid"] for row in rig.sql("select call_sid from call_flush")}


def sleep_on_turns(rig, seconds: float, only: str = "%") -> None:
    rig.sql(
        f"""create function yawn() returns trigger language plpgsql as $$
        begin
            if new.message like '{only}' then
                perform pg_sleep({seconds});
            end if;
            return new;
        end $$"""
    )
    rig.sql("create trigger yawn before insert on conversation_turn for each row execute function yawn()")


def test_a_row_that_somebody_holds_keeps_only_its_call_waiting(rig):
    business = rig.one("insert into business (name, phone_number) values ('B', '+14155550199') returning id")["id"]
    lead = rig.one("insert into lead (business_id, phone_number) values (%s, '+14155550123') returning id", business)["id"]
    ended_calls(rig, 19)
    call = rig.call("CA19").open().claim()
    call.append("lead_update", lead_id=lead, field="notes", value="waited for")
    call.turn("CA19 0")
    call.turn("CA19 1")
    call.end()
    with psycopg.connect(rig.postgres.url("forgotten")) as connection:
        connection.execute("select from lead where id = %s for update", (lead,))
        flusher = rig.start(flush_threads=1, claim_idle_ms=200, database_url=with_options(rig, lock_timeout=200))
        eventually("all the others", lambda: flushed(rig) == {f"CA{i}" for i in range(19)})
        tried = flusher.metrics()["ringfleet_flush_failures_total"]
        eventually("more attempts than a strange error gets",
                   lambda: flusher.metrics()["ringfleet_flush_failures_total"] >= tried + 7)  # fmt: skip
        rig.call("later").open().claim().end()
        eventually("one that ended meanwhile", lambda: "later" in flushed(rig))
        assert "CA19" not in flushed(rig) and rig.redis.xlen(ENDED) == 1
    rig.wait_flushed()
    assert all_there(rig, 20) and rig.dead() == []
    assert rig.one("select notes from lead")["notes"] == "waited for"


@pytest.mark.parametrize("calls", [40, 300], ids=["statement", "copy"])
def test_a_batch_that_takes_too_long_comes_in_pieces(rig, calls):
    sleep_on_turns(rig, seconds=0.5 / calls)  # of two turns each: more than twice what is allowed
    ended_calls(rig, calls)
    flusher = rig.start(claim_idle_ms=2000, database_url=with_options(rig, statement_timeout=400))
    rig.wait_flushed(60)
    assert all_there(rig, calls) and rig.dead() == []
    assert flusher.metrics()["ringfleet_flush_failures_total"] > 0


def test_a_call_that_never_gets_through_does_not_keep_new_ones_waiting(rig):
    """Although each attempt at it takes longer than it may lie."""
    sleep_on_turns(rig, seconds=30, only="CA0 %")
    ended_calls(rig, 1)
    flusher = rig.start(flush_threads=1, claim_idle_ms=100, database_url=with_options(rig, statement_timeout=500))
    eventually("two attempts", lambda: flusher.metrics()["ringfleet_flush_failures_total"] >= 2)
    for i in range(1, 6):
        rig.call(f"CA{i}").open().claim().end()
    eventually("the new ones", lambda: flushed(rig) == {f"CA{i}" for i in range(1, 6)})
    assert rig.dead() == []


@pytest.mark.parametrize("calls", [20, 300], ids=["statement", "copy"])
def test_a_call_that_breaks_the_server_is_isolated_and_parked(rig, calls):
    storm(rig, "XX000", times=1_000_000, only="CA7 1")
    ended_calls(rig, calls)
    flusher = rig.start(claim_idle_ms=200)
    eventually("all the others", lambda: rig.one("select count(*) as n from call_flush")["n"] == calls - 1)
    rig.wait_flushed(30)
    (letter,) = rig.dead()
    assert (letter["call_sid"], letter["stream"], letter["sqlstate"]) == ("CA7", "call", "XX000")
    assert letter["message"] == "thunder"
    assert flusher.metrics()["ringfleet_calls_parked_total"] == 1
    assert rig.redis.xlen(rig.call("CA7").writes) == 4
    # it is not taken up again by itself ...
    rounds = flusher.metrics()["ringfleet_flush_seconds_count"]
    ended = rig.call("later").open().claim().end()
    rig.wait_flushed()
    assert flusher.metrics()["ringfleet_flush_seconds_count"] == rounds + 1 and ended
    # ... but when somebody has put the cause right
    rig.sql("drop trigger storm on conversation_turn")
    assert rig.command("dead", "replay", "CA7").returncode == 0
    rig.wait_flushed()
    assert all_there(rig, calls) and rig.dead() == []


def test_an_outage_does_not_use_up_the_patience_with_a_strange_error(rig):
    """However often the call was taken up in vain while the disk was full."""
    storm(rig, "XX000", times=9, first=("53100", 6))
    ended_calls(rig, 1)
    flusher = rig.start(claim_idle_ms=200)
    rig.wait_flushed(60)
    assert all_there(rig, 1) and rig.dead() == []
    metrics = flusher.metrics()
    assert metrics["ringfleet_flush_failures_total"] == 9 and metrics["ringfleet_calls_parked_total"] == 0


@pytest.mark.parametrize("calls", [3, 300], ids=["few", "many"])
def test_a_trigger_that_misses_something_for_one_call(rig, calls):
    """It looks like a schema that does not fit, but does so for all others."""
    storm(rig, "42883", times=1_000_000, only="CA1 0")
    ended_calls(rig, calls)
    flusher = rig.start(claim_idle_ms=200)
    eventually("all the others", lambda: flushed(rig) == {f"CA{i}" for i in range(calls)} - {"CA1"})
    eventually("the flusher to be ready", lambda: ready(flusher))
    assert rig.redis.xlen(ENDED) == 1 and rig.dead() == []
    words = next(line for line in flusher.log() if line.get("msg", "").startswith("the call waits"))
    assert (words["call"], words["sqlstate"]) == ("CA1", "42883") and "does not fit" in words["msg"]
    rig.sql("drop trigger storm on conversation_turn")
    rig.wait_flushed()
    assert all_there(rig, calls)


def test_a_bad_entry_in_a_large_batch(rig):
    """Turns come by COPY there: the entry is found all the same, and COPY is used again."""
    call = rig.call("CAbad").open().claim()
    call.turn("good")
    call.turn("bad", speaker="robot")
    call.turn("good again")
    call.end()
    odd = rig.call("CAodd").open().claim()
    odd.append("turn", speaker="caller", message="written by another hand", confidence="1e-1", interrupted="yes")
    odd.end()
    ended_calls(rig, 300)
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.turns("CAbad") == ["good", "good again"]
    rows = rig.sql("select seq, confidence, interrupted from conversation_turn where call_sid = 'CAodd'")
    assert [tuple(row.values()) for row in rows] == [(1, pytest.approx(0.1), True)]
    assert [entry["sqlstate"] for entry in rig.dead()] == ["23514"]
    assert "by COPY any more" not in flusher.text()


def test_a_table_that_copy_does_not_fit(rig):
    rig.sql("alter table conversation_turn alter column confidence type text")
    rig.sql("alter table conversation_turn alter column confidence type double precision using null")
    ended_calls(rig, 300, turns=3)
    call = rig.call("CAx").open().claim()
    call.append("turn", speaker="caller", message="sure", confidence="0.5")
    call.end()
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.one("select count(*) as n from conversation_turn")["n"] == 901
    assert rig.dead() == [] and "by COPY any more" in flusher.text()


def test_copy_and_statement_write_the_same(rig):
    """The same journal once in a large batch and once alone."""
    fields = [
        {"message": "plain"},
        {"message": "grüß Gott \\N \\ \t", "confidence": "0.25", "started_ms": "1795184887000", "ended_ms": "1795184888251"},
        {"message": "", "confidence": "1", "interrupted": "1"},
        {"message": "x", "interrupted": "0", "started_ms": "", "ended_ms": "0"},
    ]

    def journal(sid: str) -> None:
        call = rig.call(sid).open().claim()
        for one in fields:
            call.seq += 1
            entry = {"type": "turn", "by": "worker", "at": 1795184889123, "speaker": "caller", **one}
            rig.redis.xadd(call.writes, entry, id=f"1-{call.seq}")
        call.end()

    journal("CAmany")
    ended_calls(rig, 300)
    rig.start(flush_threads=1)
    rig.wait_flushed()
    journal("CAalone")
    rig.wait_flushed()
    columns = "seq, journal_seq, speaker, message, confidence, started_at, ended_at, interrupted"
    query = f"select {columns} from conversation_turn where call_sid = %s order by seq"
    assert rig.sql(query, "CAmany") == rig.sql(query, "CAalone")
    assert len(rig.sql(query, "CAmany")) == len(fields)


def test_a_server_that_takes_no_writes_is_away(rig):
    flusher = rig.start()
    rig.sql("alter database postgres set default_transaction_read_only = on")
    try:
        rig.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'flusher'")
        ended_calls(rig, 3)
        eventually("it to be told", lambda: "takes no writes" in flusher.text())
        eventually("unready", lambda: not ready(flusher))
        assert rig.redis.xlen(ENDED) == 3
    finally:
        with psycopg.connect(rig.postgres.url("x"), autocommit=True) as connection:
            connection.execute("set default_transaction_read_only = off")
            connection.execute("alter database postgres reset default_transaction_read_only")
    rig.wait_flushed(40)
    assert all_there(rig, 3) and ready(flusher)


def test_a_slow_answer_is_waited_for_and_told(rig):
    """Also by the lane that would tell of waiting calls: it is the one that waits."""
    flusher = rig.start(flush_threads=1)
    with psycopg.connect(rig.postgres.url("x")) as connection:
        connection.execute("lock table conversation_turn in access exclusive mode")
        ended_calls(rig, 3)
        eventually("the alarm", lambda: flusher.metrics()["ringfleet_flush_delay_seconds"] >= 2)
        assert rig.sql("select 1 from call_flush") == []
    rig.wait_flushed()
    assert all_there(rig, 3) and flusher.metrics()["ringfleet_flush_failures_total"] == 0
    eventually("the alarm to end", lambda: flusher.metrics()["ringfleet_flush_delay_seconds"] == 0)


def test_no_connection_to_be_had(rig):
    rig.sql("drop role if exists crowded")
    rig.sql("create role crowded login connection limit 0")
    rig.sql("grant all on schema public to crowded")
    rig.sql("grant all on all tables in schema public to crowded")
    rig.sql("grant all on all sequences in schema public to crowded")
    ended_calls(rig, 3)
    flusher = rig.start(wait=False, database_url=rig.postgres.url("flusher").replace("ringfleet@", "crowded@"))
    eventually("it to be told", lambda: "too many connections" in flusher.text())
    assert rig.redis.xlen(ENDED) == 3
    rig.sql("alter role crowded connection limit 10")
    rig.wait_flushed(40)
    assert all_there(rig, 3)
    rig.stop_all()
    rig.sql("drop owned by crowded")


def test_serializable_flushers_on_the_same_people(rig):
    """Transactions that cross each other are repeated; order per person stays."""
    business = rig.one("insert into business (name, phone_number) values ('B', '+14155550199') returning id")["id"]
    rig.sql("insert into lead (business_id, phone_number) select %s, '+1415555010' || i from generate_series(0, 4) as i", business)
    leads = [row["id"] for row in rig.sql("select id from lead order by id")]
    url = rig.postgres.url("flusher") + "&options=-c%20default_transaction_isolation%3Dserializable"
    for i in range(400):
        call = rig.call(f"CA{i}").open().claim()
        call.append("lead_update", lead_id=leads[i % 5], field="notes", value=f"note {i}")
        call.turn(f"CA{i} 0")
        call.end()
    for _ in range(2):
        rig.start(database_url=url, batch_calls=7)
    rig.wait_flushed(90)
    assert all_there(rig, 400, turns=1) and rig.dead() == []
    notes = rig.sql("select notes from lead order by id")
    assert all(row["notes"] for row in notes)


def test_a_flusher_killed_between_the_commit_and_its_acknowledgement(rig):
    """The instruction at which a kill would double everything: in Postgres for good, and in Redis still to be done."""
    rig.sql(
        """create function held() returns trigger language plpgsql as $$
        begin
            perform pg_advisory_xact_lock(1);
            return new;
        end $$"""
    )
    rig.sql("create trigger held before insert on conversation_turn for each row execute function held()")
    ended_calls(rig, 3)
    with psycopg.connect(rig.postgres.url("x")) as connection:
        connection.execute("select pg_advisory_xact_lock(1)")
        flusher = rig.start(flush_threads=1)
        eventually("the flush", lambda: rig.sql("select 1 from pg_locks where not granted"))
        rig.redis.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    eventually("the commit", lambda: all_there(rig, 3))
    flusher.signal(9)
    flusher.process.wait(10)
    rig.redis.execute_command("CLIENT", "UNPAUSE")
    assert rig.redis.xpending(ENDED, "flusher")["pending"] == rig.redis.xlen(ENDED) == 3
    rig.start(claim_idle_ms=100)
    rig.wait_flushed()
    assert all_there(rig, 3)
    assert rig.one("select count(*) as n from call_flush")["n"] == 3


def test_a_commit_that_a_failover_lost_is_made_again(rig):
    """A standby that had not seen it is promoted: the ledger went with the rows, so what Redis still has comes once
    more, and what the standby had does not come twice."""
    ended_calls(rig, 2)
    rig.start()
    rig.wait_flushed()
    seen = rig.sql("select writes_epoch, writes_seq, events_ms, events_n from call_flush where call_sid = 'CA1'")[0]
    rig.sql("delete from conversation_turn where call_sid = 'CA0' or message = 'CA1 1'")
    rig.sql("delete from call_flush where call_sid = 'CA0'")
    rig.sql("update call_flush set writes_seq = %s where call_sid = 'CA1'", seen["writes_seq"] - 2)  # turn and end
    for sid in ("CA0", "CA1"):
        rig.call(sid).index()
    rig.wait_flushed()
    assert all_there(rig, 2)


# ---- Redis ----


def consumers(rig) -> dict[str, int]:
    return {one["name"]: one["pending"] for one in rig.redis.xinfo_consumers(ENDED, "flusher")}


def test_names_of_consumers(rig):
    """A name goes with its flusher if nothing is pending, never before."""
    flusher = rig.start(consumer="pod-1")
    ended_calls(rig, 3)
    rig.wait_flushed()
    eventually("a lane in the group", lambda: "pod-1" in {name.split(".")[0] for name in consumers(rig)})
    rig.redis.xgroup_createconsumer(ENDED, "flusher", "gone-empty")
    flusher.signal(15)
    assert flusher.process.wait(10) == 0
    assert consumers(rig) == {"gone-empty": 0}
    rig.call("CAx").open().claim().end()
    rig.redis.xreadgroup("flusher", "gone-holding", {ENDED: ">"})
    rig.redis.fcall(named("rf_forget"), 1, ENDED, 0, "")
    assert consumers(rig) == {"gone-holding": 1}
    rig.start(consumer="pod-2", claim_idle_ms=100)
    rig.wait_flushed()
    assert rig.redis.xpending(ENDED, "flusher")["pending"] == 0


def test_calls_of_a_dead_flusher_behind_many_that_are_in_work(rig):
    """XAUTOCLAIM looks at a bounded number of pending entries: a page without any that is old enough is not the end."""
    ended_calls(rig, 30)
    rig.redis.xgroup_create(ENDED, "flusher", id="0")
    in_work = [entry_id for entry_id, _ in rig.redis.xreadgroup("flusher", "at work", {ENDED: ">"})[0][1]]
    call = rig.call("CA-left").open().claim()
    call.turn("left by a flusher that died")
    call.end()
    ((_, ((left, _),)),) = rig.redis.xreadgroup("flusher", "dead", {ENDED: ">"})
    rig.redis.xclaim(ENDED, "flusher", "dead", 0, [left], idle=3_600_000, justid=True)
    flusher = rig.start(batch_calls=1, flush_threads=1, claim_idle_ms=600_000)
    eventually("the one that was left", lambda: rig.turns("CA-left") == ["left by a flusher that died"])
    assert flusher.metrics()["ringfleet_redeliveries_total"] == 1
    assert consumers(rig)["at work"] == len(in_work) == 30


@pytest.mark.parametrize("how", ["trimmed", "deleted", "acknowledged by hand"])
def test_a_call_that_fell_off_the_index_is_found(rig, how):
    ended_calls(rig, 3)
    rig.redis.xgroup_create(ENDED, "flusher", id="0")
    if how == "trimmed":
        rig.redis.xtrim(ENDED, maxlen=0, approximate=False)
    elif how == "deleted":
        rig.redis.delete(ENDED)
    else:
        for entry_id, _ in rig.redis.xreadgroup("flusher", "hand", {ENDED: ">"})[0][1]:
            rig.redis.xack(ENDED, "flusher", entry_id)
            rig.redis.xdel(ENDED, entry_id)
    flusher = rig.start()
    eventually("all turns", lambda: all_there(rig, 3))
    rig.wait_flushed()
    assert flusher.metrics()["ringfleet_calls_found_total"] == 3


def test_what_is_flushed_or_parked_is_not_found_again(rig):
    storm(rig, "XX000", times=1_000_000, only="CA1 1")
    ended_calls(rig, 3)
    flusher = rig.start(claim_idle_ms=100)
    eventually("the bad one to be parked", lambda: len(rig.dead()) == 1)
    rig.wait_flushed()
    time.sleep(2.5)  # two sweeps: that nothing happens cannot be awaited
    assert flusher.metrics()["ringfleet_calls_found_total"] == 0
    assert len(rig.dead()) == 1 and rig.redis.xlen(ENDED) == 0


def test_an_entry_that_was_deleted_by_hand_does_not_loop(rig):
    call = rig.call("CA1").open().claim()
    call.turn("kept")
    last = call.turn("deleted by an operator")
    rig.redis.xdel(call.writes, last)
    call.end()
    rig.redis.xdel(call.writes, f"1-{call.seq}")
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["kept"]
    assert flusher.metrics()["ringfleet_calls_flushed_total"] == 1


def test_the_end_of_a_journal_that_was_deleted_is_missed(rig):
    """Redis still knows the id of the last entry; what was above the last one that is there is gone, and told."""
    call = rig.call("CA1").open().claim()
    call.turn("kept")
    call.turn("deleted by an operator")
    call.end()
    for seq in (call.seq - 1, call.seq):
        rig.redis.xdel(call.writes, f"1-{seq}")
    ended_calls(rig, 1)
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["kept"] and rig.turns("CA0") == ["CA0 0", "CA0 1"]
    assert flusher.metrics()["ringfleet_journal_gaps_total"] == 1
    gaps = [line for line in flusher.log() if line.get("msg") == "the journal lacks entries at its end"]
    assert [(line["call"], line["last"]) for line in gaps] == [("CA1", 2)]
    rig.redis.xadd(ENDED, {"call_sid": "CA1", "why": "again"})
    rig.wait_flushed()
    assert flusher.metrics()["ringfleet_journal_gaps_total"] == 1, "told twice"


def test_a_letter_is_counted_until_it_is_looked_after(rig):
    """Whoever wrote it (here a worker, from its disk), and also by a flusher that came later."""
    rig.redis.xadd(DEAD, {"call_sid": "CA1", "stream": "writes", "entry_id": "2-1", "type": "turn", "entry": "{}"})
    flusher = rig.start()
    eventually("the letter", lambda: flusher.metrics()["ringfleet_dead_letters"] == 1)
    assert rig.command("dead", "discard", "all").returncode == 0
    eventually("no letter", lambda: flusher.metrics()["ringfleet_dead_letters"] == 0)
    empty = rig.command("dead", "show", "all")
    assert (empty.returncode, empty.stderr) == (0, "flusher: the dead streams are empty\n")


def test_the_backlog_counts_what_is_there(rig):
    """The group's lag is wrong, or nil, once entries were deleted. (The call whose entry it was is put back.)"""
    rig.sql("alter table conversation_turn rename to elsewhere")
    ended_calls(rig, 4)
    rig.redis.xdel(ENDED, rig.redis.xrange(ENDED)[1][0])
    rig.call("CA9").index()
    flusher = rig.start(wait=False)
    eventually("the backlog", lambda: flusher.get("/metrics")[0] == 200 and flusher.metrics()["ringfleet_ended_backlog"] == 5)
    eventually("the alarm", lambda: flusher.metrics()["ringfleet_flush_delay_seconds"] >= 1)
    rig.sql("alter table elsewhere rename to conversation_turn")
    rig.wait_flushed(40)
    eventually("the alarm to end", lambda: flusher.metrics()["ringfleet_flush_delay_seconds"] == 0)
