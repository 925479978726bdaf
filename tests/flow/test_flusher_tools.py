"""The flusher's hand tools: what they show, what they hide, what they change."""

import json
import os
import shlex
import subprocess

import pytest

from .fleet import bin_directory
from .flusher_rig import DEAD, ENDED, TESTS, FlusherRig
from .redis_functions import named
from .servers import end_process, eventually

CALLER = {"from": "+14155550123", "to": "+14155550199", "lead_full_name": "Dana Levy", "lead_first_name": "Dana",
          "lead_phone": "+14155550123", "greeting": "Hello Dana, this is Harbour Dental."}  # fmt: skip


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def rig(servers):
    servers.reset()
    yield servers
    assert not servers.stop_all()


def said(done) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def as_json(done) -> object:
    return json.loads(said(done))


def in_postgres(rig, sid: str) -> list[str]:
    """What is said of each entry of the journal."""
    return [row["in_postgres"] for row in as_json(rig.command("show", sid, "--json"))["journal"]]


def refused_call(rig, sid: str = "CA1"):
    """Two turns and one that Postgres refuses."""
    call = rig.call(sid).open(**CALLER).claim()
    call.turn("one")
    call.append("turn", speaker="robot", message="Dana here, my number is 415-555-0123")
    call.turn("two")
    return call.end()


# ---- calls, show, pending ----


def test_calls(rig):
    rig.call("CA-live").open(**CALLER).claim()
    rig.call("CA-lapsed").open(lease_ms=-100_000).claim(lease_ms=-100_000)
    rig.call("CA-ended").open().claim().end()
    rows = {row["call"]: row for row in as_json(rig.command("calls", "--json"))}
    assert {sid: row["state"] for sid, row in rows.items()} == {
        "CA-live": "live",
        "CA-lapsed": "stuck",
        "CA-ended": "ended",
    }
    assert (rows["CA-live"]["from"], rows["CA-live"]["worker"]) == ("+141***23", "worker")
    assert rows["CA-ended"]["entries"] == 2 and 0 <= rows["CA-ended"]["age_ms"] < 60_000
    lines = said(rig.command("calls", "stuck")).splitlines()
    assert lines[0].split() == ["CALL", "STATE", "SINCE", "FROM", "TO", "WORKER", "ENTRIES", "WHY"]
    assert len(lines) == 2 and lines[1].startswith("CA-lapsed") and "lease has lapsed" in lines[1]
    (row,) = as_json(rig.command("calls", "live", "--json", "--unmask"))
    assert row["from"] == "+14155550123"


def test_show_masks_what_is_known_of_the_caller(rig):
    call = rig.call("CA1").open(**CALLER).claim()
    call.turn("Hi, Dana Levy here, or DANA for short; call 415 555 0123 or dana@example.test")
    call.append("lead_update", lead_id="", field="full_name", value="Jane Miller")
    call.turn("Jane Miller it is, on 2026-11-26 at 10:00, and Danas are many", "assistant")
    call.end()
    call.status("completed", 1, final=True)
    for words in (["show", "CA1"], ["show", "CA1", "--json"]):
        text = said(rig.command(*words))
        for secret in ("Levy", "Dana ", "Dana,", "DANA", "Miller", "5550123", "555 0123", "dana@", "+14155550199"):
            assert secret not in text, (secret, text)
        for fact in ("D***", "J***", "+141***23", "2026-11-26", "Danas are many", "Harbour Dental", "no", "completed"):
            assert fact in text, (fact, text)
    open_text = said(rig.command("show", "CA1", "--unmask"))
    assert "Dana Levy here" in open_text and "+14155550123" in open_text


def test_show_tells_what_is_in_postgres(rig):
    call = rig.call("CA1").open().claim()
    call.turn("hello")
    call.end()
    assert {row["in_postgres"] for row in as_json(rig.command("show", "CA1", "--json"))["journal"]} == {"no"}
    rig.start()
    rig.wait_flushed()
    rig.stop_all()
    call.event("recording", recording_sid="RE1", url="https://x.test", duration="3")
    shown = as_json(rig.command("show", "CA1", "--json"))
    assert [(row["type"], row["in_postgres"]) for row in shown["journal"]] == [
        ("callsession_update", "yes"),
        ("turn", "yes"),
        ("call_end", "yes"),
        ("recording", "no"),
    ]
    assert shown["session"]["token:0"] == "***"
    assert shown["ledger"]["writes"] == "1-3" and shown["session"]["phase"] == "ended"
    assert shown["journal"][1]["text"] == "caller: hello"
    # Postgres, restored to a time before the call, is believed; without it there is only what Redis knows
    rig.sql("delete from call_flush")
    assert set(in_postgres(rig, "CA1")) == {"no"}
    nowhere = rig.command("show", "CA1", "--json", database_url="postgresql://127.0.0.1:1/none")
    shown = as_json(nowhere)
    assert shown["ledger"] is None and shown["journal"][2]["in_postgres"] == "yes"


@pytest.mark.parametrize("words", [["show"], ["show", "no/name"], ["calls", "stuk"], ["calls", "a", "b"], ["dead", "eat"], ["dead", "show"], ["what"]])
def test_mistyped(rig, words):
    done = rig.command(*words)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_what_a_caller_says_does_not_reach_the_terminal(rig):
    call = rig.call("CA1").open().claim()
    call.turn("\x1b[2Jgone\r\nCA9  live")
    text = said(rig.command("show", "CA1"))
    assert "\x1b" not in text and "\r" not in text and "[2Jgone  CA9" in text


def test_the_plain_lines_of_the_readme(rig):
    """Each is what it says it is, and the last one does no harm."""
    text = (TESTS.parent / "README.md").read_text()
    lines = [shlex.split(line, comments=True) for line in text.splitlines() if line.startswith("redis-cli ")]
    call = rig.call("CA123").open(business_name="Harbour Dental").claim()
    call.turn("what was said")
    call.end()
    call.status("completed", 3, final=True)
    rig.redis.xgroup_create(ENDED, "flusher", id="0")
    rig.redis.xreadgroup("flusher", "somebody", {ENDED: ">"})
    said = []
    for line in lines:
        words = ["50" if word == "0" and before == "block" else word for before, word in zip(line, line[1:])]
        done = subprocess.run(
            ["redis-cli", "-p", str(rig.redis_server.port), *words], capture_output=True, text=True, timeout=10
        )
        assert done.returncode == 0 and "ERR" not in done.stdout, (line, done)
        said.append(done.stdout)
    everything = "".join(said)
    for wanted in ("rf:{p0}:call:CA123:session", "Harbour Dental", "what was said", "completed", "somebody"):
        assert wanted in everything
    rig.start(claim_idle_ms=100)
    rig.wait_flushed()
    assert rig.turns("CA123") == ["what was said"]


def test_pending(rig):
    assert as_json(rig.command("pending", "--json")) == []
    rig.call("CA1").open().claim().end()
    rig.call("CA2").open().claim().end()
    rig.redis.xgroup_create(ENDED, "flusher", id="0")
    rig.redis.xreadgroup("flusher", "somebody", {ENDED: ">"}, count=1)
    (row,) = as_json(rig.command("pending", "--json"))
    assert (row["call"], row["consumer"], row["attempts"]) == ("CA1", "somebody", 1)
    assert 0 <= row["held_ms"] < 60_000
    lines = said(rig.command("pending")).splitlines()
    assert len(lines) == 2 and "somebody" in lines[1]


def test_looking_changes_nothing(rig):
    refused_call(rig)
    before = {key: rig.redis.dump(key) for key in rig.redis.keys()}
    functions = rig.redis.function_list()
    for words in (["calls"], ["show", "CA1"], ["pending"], ["dead"], ["check"]):
        rig.command(*words)
    assert {key: rig.redis.dump(key) for key in rig.redis.keys()} == before
    assert rig.redis.function_list() == functions


def test_tail_of_one_call_and_of_all(rig):
    first = rig.call("CA1").open(**CALLER).claim()
    first.turn("before")
    env = {**os.environ, **rig.environment()}
    flusher = str(bin_directory() / "flusher")
    log = rig.directory / "tail.log"
    with open(log, "w") as out:
        tails = [
            subprocess.Popen([flusher, "tail", *words], env=env, stdout=out, stderr=out, text=True)
            for words in (["CA1", "--json"], [])
        ]
    try:
        eventually("the past of the one call", lambda: '"before"' in log.read_text() or "caller: before" in log.read_text())
        eventually("both to wait", lambda: rig.redis.info("clients")["blocked_clients"] == 2)
        first.turn("this is Dana")
        second = rig.call("CA2").open().claim()
        second.turn("a second call")
        text = lambda: log.read_text()  # noqa: E731
        eventually("new entries in both", lambda: text().count("this is D***") == 2)
        eventually("a call that is new", lambda: "a second call" in text())
        assert text().count("before") == 1 and "Dana" not in text()
        for line in text().splitlines():
            if line.startswith("{"):
                assert json.loads(line)["call"] == "CA1"
    finally:
        for tail in tails:
            end_process(tail)


def test_tail_of_more_calls_than_it_can_follow(rig):
    """None is told twice, those it has no place for are owned up to, and one that begins when another has ended is told
    from its beginning."""
    calls = [rig.call(f"CA{n}").open().claim() for n in range(256)]
    for call in calls:
        call.turn("from before")
    log, errors = rig.directory / "tail.log", rig.directory / "tail.err"
    with open(log, "w") as out, open(errors, "w") as err:
        tail = subprocess.Popen(
            [str(bin_directory() / "flusher"), "tail"], env={**os.environ, **rig.environment()}, stdout=out, stderr=err
        )
    try:
        eventually("it to wait", lambda: rig.redis.info("clients")["blocked_clients"] == 1)
        late = rig.call("CA-late").open(lease_ms=1).claim(lease_ms=1)
        late.turn("of the late one")
        eventually("word of calls without a place", lambda: "256" in errors.read_text())
        calls[7].turn("goes on")
        eventually("what is followed to go on", lambda: "goes on" in log.read_text())
        assert "late" not in log.read_text() and "from before" not in log.read_text()
        calls[3].end()
        eventually("the late one in the place of one that ended", lambda: "of the late one" in log.read_text())
        assert "from before" not in log.read_text() and errors.read_text().count("256") == 1
    finally:
        end_process(tail)


# ---- dead letters ----


def test_dead_letters_are_listed_and_shown(rig):
    refused_call(rig)
    rig.start()
    rig.wait_flushed()
    (row,) = as_json(rig.command("dead", "--json"))
    assert (row["call"], row["stream"], row["entry_id"], row["sqlstate"]) == ("CA1", "writes", "1-3", "23514")
    assert row["entry"]["message"] == "D*** here, my number is 415-***23"
    lines = said(rig.command("dead")).splitlines()
    assert len(lines) == 2 and "23514" in lines[1] and "Dana" not in lines[1]
    shown = said(rig.command("dead", "show", "CA1"))
    assert "robot" in shown and "Dana" not in shown and "D*** here" in shown
    assert "Dana here" in said(rig.command("dead", "show", row["id"], "--unmask"))
    assert rig.command("dead", "show", "1-1").returncode == 1
    assert in_postgres(rig, "CA1") == ["yes", "yes", "refused", "yes", "yes"]


def test_a_refused_entry_is_replayed_once(rig):
    refused_call(rig)
    rig.start()
    rig.wait_flushed()
    (letter,) = rig.redis.xrange("rf:{p0}:dead")
    refused = rig.command("dead", "replay", "all")
    assert refused.returncode == 1 and "23514" in refused.stdout
    assert len(rig.dead()) == 1
    rig.sql("alter table conversation_turn drop constraint conversation_turn_speaker_check")
    assert rig.command("dead", "replay", letter[0]).returncode == 0
    assert rig.dead() == []
    assert in_postgres(rig, "CA1") == 5 * ["yes"]
    rows = rig.sql("select seq, journal_seq, speaker from conversation_turn order by seq")
    assert [tuple(row.values()) for row in rows] == [(1, 2, "caller"), (2, 4, "caller"), (3, 3, "robot")]
    # a replay that died between its commit and the letter's removal
    rig.redis.xadd("rf:{p0}:dead", letter[1])
    assert rig.command("dead", "replay", "CA1").returncode == 0
    assert rig.dead() == [] and rig.one("select count(*) as n from conversation_turn")["n"] == 3


def parked_call(rig, sid: str = "CA1"):
    """A call that Postgres failed on again and again, as the flusher leaves it."""
    call = rig.call(sid).open().claim()
    call.turn("what was said")
    call.end()
    ((entry, _),) = rig.redis.xrange(ENDED)
    letter = ("call", entry, "", "XX000", "internal error", "{}")
    assert rig.redis.fcall(named("rf_dead"), 2, call.session, DEAD, sid, *letter) == ["DEAD", 1]
    rig.redis.xdel(ENDED, entry)
    return call


def test_a_parked_call_is_replayed_by_a_version_that_redis_does_not_know_yet(rig):
    call = parked_call(rig)
    rig.redis.function_flush()
    assert "to be flushed again" in said(rig.command("dead", "replay", "CA1"))
    ((entry, fields),) = rig.redis.xrange(ENDED)
    assert fields == {"call_sid": "CA1", "why": "replay"}
    assert rig.redis.hget(call.session, "indexed") == entry
    assert rig.dead() == [] and rig.command("dead", "replay", "CA1").returncode == 1
    rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["what was said"]


def test_a_replay_in_a_full_redis_loses_no_call(rig):
    parked_call(rig)
    rig.redis.config_set("maxmemory", 1)
    try:
        rig.command("dead", "replay", "CA1")
    finally:
        rig.redis.config_set("maxmemory", 0)
    rig.command("dead", "replay", "CA1")
    rig.start()
    rig.wait_flushed()
    assert rig.turns("CA1") == ["what was said"] and rig.dead() == []


def test_a_letter_is_discarded(rig):
    refused_call(rig, "CA1")
    refused_call(rig, "CA2")
    rig.start()
    rig.wait_flushed()
    assert "discarded" in said(rig.command("dead", "discard", "CA1"))
    assert in_postgres(rig, "CA1")[2] == "refused"
    assert [entry["call_sid"] for entry in rig.dead()] == ["CA2"]
    assert rig.redis.exists(rig.call("CA1").writes)


def test_every_letter_is_meant_however_many_there_are(rig):
    pipe = rig.redis.pipeline()
    for n in range(1200):
        sid = "CA-even" if n % 2 == 0 else "CA-odd"
        pipe.xadd("rf:{p0}:dead", {"call_sid": sid, "stream": "writes", "entry_id": f"1-{n + 1}", "type": "turn"})
    pipe.execute()
    assert len(as_json(rig.command("dead", "--json"))) == 1200
    assert said(rig.command("dead", "discard", "CA-odd")).count("discarded") == 600
    assert {entry["call_sid"] for entry in rig.dead()} == {"CA-even"} and len(rig.dead()) == 600
    last = rig.redis.xrevrange("rf:{p0}:dead", count=1)[0][0]
    assert last in said(rig.command("dead", "show", last))
    assert said(rig.command("dead", "discard", "all")).count("discarded") == 600
    assert rig.dead() == []


def test_a_list_that_is_cut_says_so(rig):
    pipe = rig.redis.pipeline()
    for n in range(1001):
        pipe.zadd("rf:{p0}:live", {f"CA{n}": 1})
        pipe.xadd("rf:{p0}:ended", {"call_sid": f"CA{n}", "why": "hangup"})
    pipe.xgroup_create("rf:{p0}:ended", "flusher", id="0")
    pipe.execute()
    rig.redis.xreadgroup("flusher", "somebody", {ENDED: ">"}, count=1000)
    done = rig.command("pending", "--json")
    assert len(as_json(done)) == 1000 and not done.stderr
    rig.redis.xreadgroup("flusher", "somebody", {ENDED: ">"})
    for word, kinds in (("pending", 1), ("calls", 2)):
        done = rig.command(word, "--json")
        assert len(as_json(done)) == 1000 * kinds and done.stderr.count("more than 1000") == kinds, (word, done.stderr)


def test_a_list_of_jobs_that_is_cut_says_so(rig):
    def add(first: int, last: int) -> None:
        rig.sql(
            "insert into after_call_job (kind, subject, call_sid) "
            "select 'hook', 'CA' || n, 'CA' || n from generate_series(%s::int, %s::int) as n", first, last,
        )  # fmt: skip

    add(1, 1000)
    done = rig.command("jobs", "list", "--json")
    assert len(as_json(done)) == 1000 and not done.stderr
    add(1001, 1001)
    done = rig.command("jobs", "list", "--json")
    assert len(as_json(done)) == 1000 and "more than 1000" in done.stderr


# ---- check ----


def test_check(rig, tmp_path):
    for words in (["check"], ["--check"]):
        text = said(rig.command(*words))
        assert "FAILS" not in text and "apply_turn.sql" in text and "ledger_take.sql" in text
    tmp_path.chmod(0o755)
    (tmp_path / "apply_turn.sql").write_text("insert into said select * from unnest($1::text[])")
    (tmp_path / "apply_turns.sql").write_text("select 1")
    (tmp_path / "apply_recording.sql").write_text("select $1::text[], $7::text")
    rig.sql("alter table call_session rename to elsewhere")
    done = rig.command("check", sql_dir=tmp_path)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILS")]
    assert done.returncode == 1
    assert len(failed) == 6, failed
    wanted = {
        "apply_turn.sql (your own)": "said",
        "apply_turns.sql": "never read",
        "apply_recording.sql (your own)": "takes 7 parameters instead of 6",
        "apply_callsession_update.sql": "call_session",
        "apply_call_end.sql": "call_session",
        "apply_stream_error.sql": "call_session",
    }
    for name, why in wanted.items():
        assert [line for line in failed if name in line and why in line], (name, failed)
    nowhere = rig.command("check", database_url="postgresql://127.0.0.1:1/none", redis_url="redis://127.0.0.1:1")
    assert nowhere.returncode == 1
    assert [line.split()[:2] for line in nowhere.stdout.splitlines()[:2]] == [["FAILS", "Redis:"], ["FAILS", "Postgres:"]]
    assert "migrate" in done.stdout and "migrate" not in nowhere.stdout  # servers that are away want no migration
