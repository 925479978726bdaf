"""The flusher's promise: what a journal holds is in Postgres once, whatever dies, and what Postgres
refuses is kept with the reason."""

import json
import os
import random
import signal
import time

import pytest
import redis

from .flusher_rig import ENDED, FLUSHED, LIVE, FlusherRig
from .redis_functions import named
from .servers import eventually

KILLS = 40


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


@pytest.fixture
def business(rig) -> int:
    return rig.one(
        "insert into business (name, phone_number) values ('Harbour Dental', '+14155550199') returning id"
    )["id"]


def ended_call(rig, sid: str, turns: int = 2):
    call = rig.call(sid).open().claim()
    for i in range(turns):
        call.turn(f"{sid} {i}", "assistant" if i % 2 else "caller")
    return call.end()


def ready(flusher) -> bool:
    return flusher.get("/readyz")[0] == 200


# ---- what is written ----


def test_a_call_with_everything(rig, business):
    rig.sql(
        "insert into call_log (call_sid, business_id, direction, from_number, to_number) "
        "values ('CA1', %s, 'inbound', '+14155550123', '+14155550199')",
        business,
    )
    call = rig.call("CA1").open().claim()
    call.append(
        "turn", speaker="caller", message="Hello, grüß Gott", confidence="0.5",
        started_ms="1795184887000", ended_ms="1795184888250", interrupted="1",
    )  # fmt: skip
    call.append("lead_update", lead_id="", field="full_name", value="Dana van Dyk")
    call.append("lead_update", lead_id="", field="email", value="old@example.test")
    call.append("lead_update", lead_id="", field="email", value="dana@example.test")
    call.append("callsession_update", data='{"language": "de", "a": {"b": 1}}')
    call.append("callsession_update", data='{"language": "en"}')
    call.append(
        "appointment_create", business_id=business, lead_id="", starts_at="2030-05-01T10:00:00Z",
        ends_at="2030-05-01T10:30:00Z", title="Check-up", notes="",
    )  # fmt: skip
    call.end("caller_hangup", {"turns": 1})
    call.event("call_link", conversation_id="conv_1", provider_call_sid="")
    call.event("recording", recording_sid="RE1", url="https://x.test/RE1", duration="31")
    call.status("completed", 3, final=True, duration=31)
    flusher = rig.start()
    rig.wait_flushed()

    turn = rig.one("select * from conversation_turn")
    assert (turn["call_sid"], turn["speaker"]) == ("CA1", "caller")
    assert (turn["seq"], turn["journal_seq"]) == (1, 2)
    assert turn["message"] == "Hello, grüß Gott"
    assert (turn["confidence"], turn["interrupted"]) == (0.5, True)
    assert (turn["ended_at"] - turn["started_at"]).total_seconds() == 1.25
    lead = rig.one("select * from lead")
    assert (lead["phone_number"], lead["full_name"]) == ("+14155550123", "Dana van Dyk")
    assert (lead["first_name"], lead["last_name"]) == ("Dana", "van Dyk")
    assert (lead["email"], lead["name_source"]) == ("dana@example.test", "caller")
    session = rig.one("select * from call_session")
    assert session["data"] == {"stream": 0, "language": "en", "a": {"b": 1}}
    assert session["metrics"] == {"turns": 1}
    appointment = rig.one("select * from appointment")
    assert (appointment["business_id"], appointment["status"]) == (business, "booked")
    log = rig.one("select * from call_log")
    assert (log["status"], log["status_sequence"], log["duration_seconds"]) == ("completed", 3, 31)
    assert (log["end_reason"], log["conversation_id"]) == ("caller_hangup", "conv_1")
    assert log["provider_call_sid"] is None and log["business_id"] == business
    assert rig.one("select * from recording")["duration_seconds"] == 31
    assert rig.dead() == []

    lines = [line for line in flusher.log() if line.get("msg") == "call flushed"]
    assert sum(line["entries"] for line in lines) == 12
    assert sum(line["turns"] for line in lines) == 1
    assert flusher.metrics()["ringfleet_journal_entries_applied_total"] == 12


def test_a_call_that_the_warmer_could_not_record(rig, business):
    """Its row is made with the flush: business, lead and driver are those of its numbers."""
    rig.sql("insert into lead (business_id, phone_number) values (%s, '+14155550123')", business)
    lead_id = rig.one("select id from lead")["id"]
    rig.sql("insert into call_log (call_sid, driver, lead_id) values ('EL_d7_1', 'd7', %s)", lead_id)
    numbers = {"CA1": "+14155550123", "CA2": "+14155550124"}
    for sid, number in numbers.items():
        call = rig.call(sid).open().claim()
        call.end()
        call.event("call_open", **{"from": number, "to": "+14155550199", "direction": "inbound", "started_ms": ""})
    rig.start()
    rig.wait_flushed()
    rows = rig.sql("select call_sid, driver, business_id, lead_id from call_log where direction = 'inbound' order by 1")
    other = rig.one("select id from lead where phone_number = '+14155550124'")["id"]
    assert [tuple(row.values()) for row in rows] == [("CA1", "d7", business, lead_id), ("CA2", None, business, other)]


def test_a_name_fills_only_what_is_empty(rig, business):
    rig.sql(
        "insert into lead (business_id, phone_number, first_name) values (%s, '+14155550123', 'Dee')",
        business,
    )
    lead_id = rig.one("select id from lead")["id"]
    call = rig.call("CA1").open().claim()
    call.append("lead_update", lead_id=lead_id, field="full_name", value="Dana Levy")
    call.end()
    rig.start()
    rig.wait_flushed()
    lead = rig.one("select * from lead")
    assert (lead["first_name"], lead["last_name"], lead["full_name"]) == ("Dee", "Levy", "Dana Levy")


def test_two_appointments_at_one_time(rig, business):
    rig.sql("insert into business (name, phone_number) values ('Other', '+14155550111')")
    other = rig.one("select id from business where name = 'Other'")["id"]
    for sid, where, minute in (("CA1", business, "00"), ("CA2", business, "15"), ("CA3", other, "00")):
        call = rig.call(sid).open().claim()
        call.append(
            "appointment_create", business_id=where, lead_id="", title="Check-up", notes="",
            starts_at=f"2030-05-01T10:{minute}:00Z", ends_at=f"2030-05-01T10:{minute[0]}9:00Z",
        )  # fmt: skip
        if sid == "CA2":
            call.append(
                "appointment_create", business_id=where, lead_id="", title="Long", notes="",
                starts_at="2030-05-01T09:00:00Z", ends_at="2030-05-01T12:00:00Z",
            )  # fmt: skip
        call.end()
    flusher = rig.start()
    rig.wait_flushed()
    rows = rig.sql("select call_sid, title, status from appointment order by call_sid, seq")
    assert [tuple(row.values()) for row in rows] == [
        ("CA1", "Check-up", "booked"),
        ("CA2", "Check-up", "booked"),
        ("CA2", "Long", "conflict"),
        ("CA3", "Check-up", "booked"),
    ]
    assert [line["call"] for line in flusher.log() if line.get("msg") == "remark on an entry"] == ["CA2"]
    assert rig.dead() == []


def test_status_moves_forward_only(rig):
    def status_of(sid):
        row = rig.one("select status, status_sequence, duration_seconds from call_log where call_sid = %s", sid)
        return tuple(row.values())

    # in one batch, out of order
    call = ended_call(rig, "CA1")
    call.status("in-progress", 2)
    call.status("ringing", 1)
    # a terminal one is final, also against a higher sequence
    late = ended_call(rig, "CA2")
    late.status("completed", 4, final=True, duration=12)
    rig.start()
    rig.wait_flushed()
    assert status_of("CA1") == ("in-progress", 2, None)
    assert status_of("CA2") == ("completed", 4, 12)
    # later, each in a flush of its own
    late.status("in-progress", 9)
    call.status("initiated", 0)
    rig.wait_flushed()
    assert status_of("CA1") == ("in-progress", 2, None)
    assert status_of("CA2") == ("completed", 9, 12)
    call.status("busy", 1, final=True)
    rig.wait_flushed()
    assert status_of("CA1")[0] == "busy"


def test_turns_of_a_provider_come_as_events(rig):
    call = rig.call("CA1").open()
    for i in range(3):
        call.event("turn", speaker="caller", message=f"heard {i}")
    call.status("completed", 1, final=True)
    rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["heard 0", "heard 1", "heard 2"]


def test_a_late_event_is_a_second_small_flush(rig):
    call = ended_call(rig, "CA1", turns=3)
    flusher = rig.start()
    rig.wait_flushed()
    call.event("recording", recording_sid="RE1", url="https://x.test", duration="3")
    rig.wait_flushed()
    lines = [line for line in flusher.log() if line.get("msg") == "call flushed"]
    assert [(line["turns"], line["entries"]) for line in lines] == [(3, 5), (0, 1)]
    assert rig.turns("CA1") == ["CA1 0", "CA1 1", "CA1 2"]
    assert rig.one("select call_sid from recording")["call_sid"] == "CA1"


def test_turns_are_counted_without_gaps(rig):
    """Over other entries, refused turns, a lost worker and another flush."""
    call = rig.call("CA1").open().claim(lease_ms=1)
    call.turn("one")
    call.append("callsession_update", data="{}")
    call.turn("refused", speaker="robot")
    call.turn("two")
    rig.start(reap_grace_ms=0)
    eventually("the first flush", lambda: rig.turns("CA1") == ["one", "two"])
    answer = rig.redis.fcall(named("rf_after"), 2, call.session, LIVE, "CA1", 1, "t1", 60_000, 60_000)
    assert answer == ["RESUME", "t1", "1", "0"]
    call.claim(1)
    call.turn("three")
    call.append("callsession_update", data="{}")
    call.turn("four")
    call.end()
    rig.wait_flushed()
    rows = rig.sql("select seq, message, journal_seq from conversation_turn order by seq")
    assert [(row["seq"], row["message"]) for row in rows] == list(enumerate(("one", "two", "three", "four"), 1))
    assert [row["journal_seq"] for row in rows] == [2, 5, 8, 10]


def test_a_journal_of_several_pages(rig):
    ended_call(rig, "CA1", turns=2100)
    ended_call(rig, "CA2", turns=3)
    rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == [f"CA1 {i}" for i in range(2100)]
    assert rig.one("select max(seq) as n from conversation_turn where call_sid = 'CA1'")["n"] == 2100
    assert len(rig.turns("CA2")) == 3


# ---- what is refused ----


def test_refused_entries_are_kept_and_the_rest_is_applied(rig):
    call = rig.call("CA1").open().claim()
    call.turn("before")
    call.turn("said by nobody known", speaker="robot")
    call.append("turn", speaker="caller", message="zero \0 byte")
    call.append("turn", speaker="caller", message="not a number", confidence="much")
    call.append("callsession_update", data="[1]")
    call.append("lead_update", lead_id="77", field="first_name", value="Dana")
    call.turn("between")
    call.append("surprise", what="a type of the future")
    call.append("call_status", status="completed", sequence="9", duration="1")
    call._redis.xadd(call.writes, {"type": "turn", "message": "no time"}, id=f"1-{call.seq + 1}")
    call.seq += 1
    call.turn("after")
    call.end()
    ended_call(rig, "CA2")
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["before", "between", "after"]
    assert rig.turns("CA2") == ["CA2 0", "CA2 1"]
    dead = {entry["entry_id"]: entry for entry in rig.dead()}
    assert {sid: (entry["type"], entry["sqlstate"]) for sid, entry in dead.items()} == {
        "1-3": ("turn", "23514"),
        "1-4": ("turn", "22021"),
        "1-5": ("turn", "22P02"),
        "1-6": ("callsession_update", "22023"),
        "1-7": ("lead_update", "P0001"),
        "1-9": ("surprise", ""),
        "1-10": ("call_status", ""),
        "1-11": ("turn", ""),
    }
    assert all(entry["message"] and entry["call_sid"] == "CA1" for entry in dead.values())
    assert json.loads(dead["1-9"]["entry"])["what"] == "a type of the future"
    assert json.loads(dead["1-4"]["entry"])["message"] == "zero \0 byte"
    assert rig.sql("select status from call_log where call_sid = 'CA1'") == [{"status": None}]
    assert flusher.metrics()["ringfleet_journal_entries_dead_total"] == 8


def test_a_call_may_not_write_any_field_of_a_lead(rig, business):
    rig.sql("insert into lead (business_id, phone_number) values (%s, '+14155550123')", business)
    lead_id = rig.one("select id from lead")["id"]
    call = rig.call("CA1").open().claim()
    call.append("lead_update", lead_id=lead_id, field="business_id", value="2")
    call.append("lead_update", lead_id=lead_id, field="notes", value="fine")
    call.end()
    rig.start()
    rig.wait_flushed()
    assert rig.one("select notes, business_id from lead") == {"notes": "fine", "business_id": business}
    assert [entry["sqlstate"] for entry in rig.dead()] == ["P0001"]


def test_notes_are_added_to_those_of_people(rig, business):
    rig.sql(
        "insert into lead (business_id, phone_number, notes)"
        " values (%s, '+14155550123', 'Has a dog.')",
        business,
    )
    lead_id = rig.one("select id from lead")["id"]
    for sid, notes in (("CA1", ("Likes tea.", "Comes on Monday.")), ("CA2", ("Comes on Tuesday.",))):
        call = rig.call(sid).open().claim()
        for note in notes:
            call.append("lead_update", lead_id=lead_id, field="notes", value=note)
        call.append("lead_update", lead_id=lead_id, field="email", value=f"{sid}@example.test")
        call.end()
    rig.start()
    rig.wait_flushed()
    lead = rig.one("select notes, email from lead")
    lines = lead["notes"].splitlines()
    assert lines[0] == "Has a dog." and sorted(lines) == sorted(
        ["Has a dog.", "Likes tea.", "Comes on Monday.", "Comes on Tuesday."]
    )
    assert lines.index("Likes tea.") < lines.index("Comes on Monday.")
    assert lead["email"] in ("CA1@example.test", "CA2@example.test")


def test_a_deferred_constraint_blames_only_its_entry(rig):
    rig.sql(
        "alter table conversation_turn add constraint polite "
        "unique (message) deferrable initially deferred"
    )
    ended = ended_call(rig, "CA1", turns=3)
    call = rig.call("CA2").open().claim()
    call.turn("CA1 1")
    call.turn("my own words")
    call.end()
    rig.start()
    rig.wait_flushed()
    assert rig.turns(ended.sid) == ["CA1 0", "CA1 1", "CA1 2"]
    assert rig.turns("CA2") == ["my own words"]
    assert [entry["sqlstate"] for entry in rig.dead()] == ["23505"]


def test_a_deferred_constraint_may_wait_for_the_last_entry(rig):
    """Turns whose session's row comes after them, in a batch that has a bad entry."""
    rig.sql(
        "alter table conversation_turn add constraint of_a_session foreign key (call_sid)"
        " references call_session deferrable initially deferred"
    )
    ended_call(rig, "CA1")
    ended_call(rig, "CA2")
    call = rig.call("CA3").open().claim()
    call.turn("before")
    call.turn("said by nobody known", speaker="robot")
    call.turn("after")
    call.end()
    rig.start()
    rig.wait_flushed()
    assert [(entry["call_sid"], entry["sqlstate"]) for entry in rig.dead()] == [("CA3", "23514")]
    assert [len(rig.turns(sid)) for sid in ("CA1", "CA2")] == [2, 2]
    assert rig.turns("CA3") == ["before", "after"]


def test_a_gap_in_the_journal_is_told(rig):
    call = rig.call("CA1").open().claim()
    call.turn("one")
    call.seq += 1
    call.turn("three")
    call.end()
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["one", "three"]
    assert flusher.metrics()["ringfleet_journal_gaps_total"] == 1
    gap = [line for line in flusher.log() if line.get("msg") == "the journal lacks entries"]
    assert [(line["expected"], line["found"]) for line in gap] == [(3, 4)]


def test_a_live_call_is_not_flushed(rig):
    call = rig.call("CA1").open().claim()
    call.turn("still talking")
    call.index()
    flusher = rig.start()
    rig.wait_flushed()
    eventually("the refusal", lambda: flusher.metrics()["ringfleet_db_write_refused_live_call_total"] == 1)
    assert rig.sql("select * from call_flush") == []
    call.end()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["still talking"]


def test_nonsense_on_the_index_is_removed(rig):
    rig.redis.xadd(ENDED, {"call_sid": "no such/name"})
    rig.redis.xadd(ENDED, {"hello": "world"})
    rig.call("CA-without-journal").index()
    ended_call(rig, "CA1")
    flusher = rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["CA1 0", "CA1 1"]
    told = [line for line in flusher.log() if line.get("msg") == "no call on the index; removed"]
    assert [line["call_sid"] for line in told] == ["no such/name", ""]


def test_another_number_of_partitions_loses_nothing(rig):
    for i in range(8):
        ended_call(rig, f"CA{i}")
    mistaken = rig.start(wait=False, partitions=4)
    eventually("the mistake to be told", lambda: "another RINGFLEET_PARTITIONS" in mistaken.text())
    mistaken.signal(signal.SIGTERM)
    assert mistaken.process.wait(10) == 0
    rig.redis.delete("rf:{p0}:partitions")  # which it had recorded: nobody was there before it
    rig.start(claim_idle_ms=100)
    rig.wait_flushed()
    assert rig.one("select count(*) as n from conversation_turn")["n"] == 16


# ---- who dies ----


def test_kill_9_again_and_again(rig):
    seed = int(os.environ.get("RINGFLEET_SEED", random.randrange(1 << 30)))
    print("RINGFLEET_SEED", seed)
    rng = random.Random(seed)
    settings = {"claim_idle_ms": 100, "batch_calls": 5, "retention_seconds": 3600}
    expected: dict[str, list[str]] = {}
    poisoned = 0
    caught_at_work = 0
    stable = rig.start(**settings) if rng.random() < 0.5 else None  # sometimes next to one that lives
    for kill in range(KILLS):
        victim = rig.start(wait=False, **settings)
        if rng.random() < 0.9:  # the others are killed while they start
            eventually("it to be at work", lambda: "Postgres connected" in victim.text())
        calls = rng.randint(5, 40)
        last = rng.randrange(calls)
        for i in range(calls):
            sid = f"CA{kill}-{i}"
            call = rig.call(sid).open().claim()
            expected[sid] = [f"{sid} {n}" for n in range(rng.randint(0, 6))]
            for message in expected[sid]:
                call.turn(message)
            if rng.random() < 0.1:
                call.turn("poison", speaker="robot")
                poisoned += 1
            call.end()
            if rng.random() < 0.3:
                call.event("call_link", conversation_id=f"conv {sid}", provider_call_sid="")
            if i == last:
                time.sleep(rng.uniform(0, 0.004))  # not to wait: to hit another instruction
                victim.signal(signal.SIGKILL)
                victim.process.wait()
                if rig.redis.exists(ENDED) and rig.redis.xinfo_groups(ENDED):
                    caught_at_work += rig.redis.xpending(ENDED, "flusher")["pending"] > 0
    if not stable:
        rig.start(**settings)
    rig.wait_flushed(60)
    assert caught_at_work > 0
    print("caught at work", caught_at_work)
    rows = rig.sql(
        "select call_sid, array_agg(message order by journal_seq) as said, array_agg(seq order by journal_seq) "
        "as numbers from conversation_turn group by 1"
    )
    assert {row["call_sid"]: row["said"] for row in rows} == {
        sid: said for sid, said in expected.items() if said
    }
    assert all(row["numbers"] == list(range(1, len(row["said"]) + 1)) for row in rows)
    assert rig.one("select count(*) as n from call_flush")["n"] == len(expected)
    dead = [(entry["call_sid"], entry["entry_id"]) for entry in rig.dead()]
    assert len(dead) == len(set(dead)) == poisoned
    assert rig.redis.xpending(ENDED, "flusher")["pending"] == 0


def test_two_flushers_share_the_work(rig):
    rig.start(batch_calls=3)
    rig.start(batch_calls=3)
    for i in range(300):
        ended_call(rig, f"CA{i}")
    rig.wait_flushed()
    assert rig.one("select count(*) as n from conversation_turn")["n"] == 600
    done = [one.metrics()["ringfleet_calls_flushed_total"] for one in rig.flushers]
    assert sum(done) == 300 and min(done) > 0


def test_postgres_goes_and_comes_back(rig):
    flusher = rig.start(batch_calls=10)
    ended_call(rig, "CA0")
    rig.wait_flushed()
    rig.postgres.stop()
    try:
        for i in range(1, 30):
            ended_call(rig, f"CA{i}")
        eventually("the flusher to notice", lambda: not ready(flusher))
        assert flusher.metrics()["ringfleet_postgres_up"] == 0
        assert rig.redis.xlen(ENDED) == 29
    finally:
        rig.postgres.start()
    rig.wait_flushed(40)
    assert ready(flusher)
    assert rig.one("select count(*) as n from conversation_turn")["n"] == 60
    assert rig.dead() == []


def test_a_schema_that_does_not_fit_keeps_everything_waiting(rig):
    flusher = rig.start()
    rig.sql("alter table conversation_turn rename to elsewhere")
    ended_call(rig, "CA1")
    eventually("the flusher to be unready", lambda: not ready(flusher))
    assert rig.redis.xlen(ENDED) == 1 and rig.dead() == []
    rig.sql("alter table elsewhere rename to conversation_turn")
    rig.wait_flushed()
    assert rig.turns("CA1") == ["CA1 0", "CA1 1"]


def test_redis_goes_and_comes_back(rig):
    flusher = rig.start()
    ended_call(rig, "CA1")
    rig.wait_flushed()
    rig.redis_server.stop(signal.SIGKILL)
    eventually("the flusher to notice", lambda: not ready(flusher))
    rig.redis_server.start()
    eventually("the flusher to be back", lambda: ready(flusher))
    ended_call(rig, "CA2")
    rig.wait_flushed()
    assert rig.turns("CA2") == ["CA2 0", "CA2 1"]
    assert rig.one("select count(*) as n from conversation_turn")["n"] == 4


def test_a_lost_group_is_made_again_and_counted(rig):
    flusher = rig.start()
    ended_call(rig, "CA1")
    rig.wait_flushed()
    made = flusher.metrics()["ringfleet_groups_made_total"]
    rig.redis.delete(ENDED)
    ended_call(rig, "CA2")
    rig.wait_flushed()
    assert rig.turns("CA2") == ["CA2 0", "CA2 1"]
    assert flusher.metrics()["ringfleet_groups_made_total"] == made + 1


def test_what_is_at_risk_with_redis_is_measured(rig):
    flusher = rig.start()
    eventually("a look at Redis", lambda: flusher.metrics()["ringfleet_redis_up"] == 1)
    assert flusher.metrics()["ringfleet_redis_memory_percent"] == 0  # it has no maxmemory
    assert flusher.metrics()["ringfleet_redis_at_risk"] == 0
    used = rig.redis.info("memory")["used_memory"]
    rig.redis.config_set("maxmemory", used * 2)
    rig.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        eventually("the next look", lambda: flusher.metrics()["ringfleet_redis_at_risk"] == 1, 30)
        assert 40 <= flusher.metrics()["ringfleet_redis_memory_percent"] <= 60
    finally:
        rig.redis.config_set("maxmemory-policy", "noeviction")
        rig.redis.config_set("maxmemory", 0)


def test_a_full_redis_is_drained(rig):
    for i in range(20):
        ended_call(rig, f"CA{i}")
        rig.call(f"CA{i}").status("completed", 9, final=True)
    rig.redis.xgroup_create(ENDED, "flusher", id="0")
    rig.redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            rig.redis.set("more", "x")
        rig.start(retention_seconds=0)
        rig.wait_flushed()
        eventually("the journals to leave", lambda: not rig.redis.keys("rf:{p0}:call:*"))
    finally:
        rig.redis.config_set("maxmemory", 0)
    assert rig.one("select count(*) as n from conversation_turn")["n"] == 40


def test_sigterm_finishes_and_leaves_with_0(rig):
    flusher = rig.start(batch_calls=1)
    for i in range(200):
        ended_call(rig, f"CA{i}")
    flusher.signal(signal.SIGTERM)
    assert flusher.process.wait(10) == 0
    assert [line["msg"] for line in flusher.log()][-1] == "stopped"
    flushed = rig.one("select count(*) as n from call_flush")["n"]
    assert rig.redis.xlen(ENDED) == 200 - flushed, "a commit without its acknowledgement, or the reverse"


def test_what_dead_flushers_left(rig):
    """Half-done removals of the index, as a kill can leave them, with this consumer and another."""
    ended_call(rig, "CA1")
    rig.redis.xgroup_create(ENDED, "flusher", id="0")
    for consumer in ("me", "gone"):
        lost = rig.call(f"CA-{consumer}").index()
        ended_call(rig, f"CA-{consumer}-2")
        rig.redis.xreadgroup("flusher", consumer, {ENDED: ">"})
        rig.redis.xdel(ENDED, lost)
    flusher = rig.start(consumer="me", claim_idle_ms=100)
    rig.wait_flushed()
    eventually("nothing to be pending", lambda: rig.redis.xpending(ENDED, "flusher")["pending"] == 0)
    assert [len(rig.turns(sid)) for sid in ("CA1", "CA-me-2", "CA-gone-2")] == [2, 2, 2]
    assert flusher.metrics()["ringfleet_redeliveries_total"] == 1


# ---- sweeping ----


def test_a_call_without_a_worker_is_ended(rig):
    call = rig.call("CA1").open().claim(lease_ms=1)
    call.turn("then the worker died")
    flusher = rig.start(reap_grace_ms=0)
    rig.call("CA2").open(lease_ms=1)
    eventually("both to be reaped", lambda: rig.redis.zcard(LIVE) == 0)
    rig.wait_flushed()
    assert rig.turns("CA1") == ["then the worker died"]
    assert rig.one("select end_reason from call_log")["end_reason"] == "worker_lost"
    assert flusher.metrics()["ringfleet_calls_reaped_total"] == 2
    with pytest.raises(redis.ResponseError, match="equal or smaller"):
        call.turn("said the worker that was only asleep")
    assert rig.redis.hget(rig.call("CA2").session, "reason") == "never_connected"


def test_the_last_end_of_a_call_counts_until_the_carrier_has_said_it(rig):
    def ended(call) -> tuple:
        row = rig.one("select end_reason, (extract(epoch from ended_at) * 1000)::bigint as at from call_log")
        last = {stream: rig.redis.xrevrange(stream, count=1) for stream in (call.writes, call.event_stream)}
        times = {stream: int(entries[0][1]["at"]) for stream, entries in last.items() if entries}
        return row["end_reason"], [stream for stream, at in times.items() if at == row["at"]]

    call = rig.call("CA1").open().claim(lease_ms=1)
    rig.start(reap_grace_ms=0)
    eventually("it to be reaped", lambda: rig.redis.zcard(LIVE) == 0)
    rig.wait_flushed()
    assert ended(call) == ("worker_lost", [call.writes])
    call.reclaim().turn("its worker had only been cut off")
    call.end()
    rig.wait_flushed()
    assert ended(call) == ("hangup", [call.writes])
    call.status("completed", 3, final=True, duration=12)
    rig.wait_flushed()
    assert ended(call) == ("hangup", [call.event_stream])
    call.reclaim().end("late_hangup")
    rig.wait_flushed()
    assert ended(call) == ("late_hangup", [call.event_stream])


def test_the_grace_is_waited_for(rig):
    rig.call("CA1").open().claim(lease_ms=1)
    flusher = rig.start(reap_grace_ms=60_000)
    ended_call(rig, "CA2")
    rig.wait_flushed()
    eventually("a sweep since then", lambda: flusher.metrics()["ringfleet_ended_backlog"] == 0)
    assert rig.redis.zscore(LIVE, "CA1") is not None


def test_journals_leave_after_the_retention(rig):
    final = ended_call(rig, "CA1")
    final.status("completed", 3, final=True)
    ended_call(rig, "CA2")  # no final status yet: it is waited for
    flusher = rig.start(retention_seconds=0)
    rig.wait_flushed()
    eventually("the purge", lambda: not rig.redis.keys("rf:{p0}:call:CA1*"))
    assert flusher.metrics()["ringfleet_calls_purged_total"] == 1
    assert rig.redis.exists(rig.call("CA2").writes)
    assert rig.redis.zscore(FLUSHED, "CA2") > time.time() * 1000 + 80_000_000
    # what comes after that is added to what is there
    final.event("recording", recording_sid="RE1", url="https://x.test", duration="3")
    eventually("the recording", lambda: rig.sql("select * from recording"))
    assert rig.turns("CA1") == ["CA1 0", "CA1 1"]


def test_statements_of_ones_own(rig, tmp_path):
    tmp_path.chmod(0o755)
    rig.sql("create table said (call text, words text)")
    (tmp_path / "apply_turn.sql").write_text(
        "insert into said select c, m from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], "
        "$5::text[], $6::text[], $7::text[], $8::text[], $9::text[]) as e (c, s, a, w, m)"
    )
    ended_call(rig, "CA1")
    rig.start(sql_dir=tmp_path)
    rig.wait_flushed()
    assert [row["words"] for row in rig.sql("select words from said")] == ["CA1 0", "CA1 1"]
    assert rig.turns("CA1") == []
