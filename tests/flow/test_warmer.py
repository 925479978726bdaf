"""The warmer alone between its carrier, Redis and Postgres: what it answers in good and bad weather."""

import json
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timezone

import pytest

from flow.fleet import AUTH_TOKEN, MEDIA_URL, PUBLIC_URL, TESTS, Fleet
from flow.servers import eventually
from flow.warmer_rig import (
    APOLOGY,
    BUSINESS,
    CALLER,
    CONNECTIONS_MAX,
    DEADLINE_MS,
    REFUSAL,
    SLACK_MS,
    Answer,
    after,
    form_of,
    call_row,
    frozen_database,
    leave_snapshot,
    metric,
    new_sid,
    post,
    report,
    ring,
    send,
    wait_database,
    wait_redis,
    whole_context,
    without_workers,
)
from standins.webhook import signature

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module")
def shared():
    with without_workers() as fleet:
        yield fleet


@pytest.fixture
def fleet(shared):
    wait_database(shared)
    return shared


# ---- a call rings ----


def test_incoming_connects_the_call(fleet):
    sid = new_sid()
    action, url, token = ring(fleet, sid).connect()
    assert action == f"{PUBLIC_URL}/voice/after/0"
    assert url == MEDIA_URL
    assert fleet.session(sid) | {"opened_ms": "", "until:0": ""} == {
        "v": "1", "phase": "ringing", "epoch": "0", "token:0": token, "opened_ms": "", "until:0": "",
    }
    context = whole_context(fleet, sid)
    expected = {
        "call_sid": sid, "from": CALLER, "to": BUSINESS, "direction": "inbound", "source": "database",
        "business_name": "Harbour Dental", "voice": "marin", "language": "en", "business_timezone": "UTC",
        "lead_notes": "Called last year about whitening.",
        "greeting": "Thank you for calling Harbour Dental. May I have your name, please?",
        "prompt_compact": "You answer the phone of Harbour Dental. Be brief and friendly.",
    }
    assert {name: context.get(name) for name in expected} == expected
    assert "You do not know the caller yet" in context["prompt_full"]
    assert not [name for name in context if name.startswith("template_")]
    assert 0 < fleet.redis().ttl(fleet.key(sid)) <= 86400
    assert fleet.redis().zscore("rf:{p0}:live", sid) is not None
    row = call_row(fleet, sid)
    assert (row["status"], row["direction"], row["provider_call_sid"]) == ("ringing", "inbound", sid)
    assert row["business_id"] == int(context["business_id"])
    assert row["lead_id"] == int(context["lead_id"])


def test_the_log_tells_and_masks(fleet):
    sid = new_sid()
    ring(fleet, sid)
    (line,) = eventually("the line, which the caller does not wait for", lambda: fleet.logged("call opened", sid))
    assert line["source"] == "database"
    assert 0 <= line["load_ms"] <= line["total_ms"] < DEADLINE_MS
    assert CALLER not in fleet.warmer.text()


def test_overlapping_duplicates_are_one_call(fleet):
    sid = new_sid()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ring(fleet, sid), range(8)))
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].connect()[2] == fleet.session(sid)["token:0"]
    assert call_row(fleet, sid)
    eventually("all lines", lambda: len(fleet.logged("call opened again", sid)) == 7)
    assert len(fleet.logged("call opened", sid)) == 1


def test_unknown_caller_becomes_a_lead_once(fleet):
    number = "+14155559001"
    sids = [new_sid() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda sid: ring(fleet, sid, From=number), sids))
    (lead,) = fleet.sql("select id from lead where phone_number = %s", number)
    for sid in sids:
        assert whole_context(fleet, sid)["lead_id"] == str(lead["id"])
        row = call_row(fleet, sid)
        assert row["lead_id"] == lead["id"]


def test_who_calls_back_is_the_driver_that_was_called(fleet):
    number, sid = "+14155558107", new_sid()
    fleet.sql(
        """with callee as (insert into lead (business_id, phone_number) select id, %s from business returning id, business_id)
        insert into call_log (call_sid, driver, business_id, lead_id, direction)
        select 'EL_d7_1', 'd7', business_id, id, 'outbound' from callee""",
        number,
    )
    ring(fleet, sid, From=number).connect()
    assert call_row(fleet, sid)["driver"] == "d7"


@pytest.mark.parametrize("number", ["anonymous", "+266696687", "Restricted"])
def test_withheld_number_is_served_and_no_lead(fleet, number):
    """Also where it looks like a number: the keys of ANONYMOUS. Two such callers are not one person."""
    sid = new_sid()
    ring(fleet, sid, From=number).connect()
    context = whole_context(fleet, sid)
    assert "lead_id" not in context and context["from"] == "anonymous"
    assert fleet.sql("select 1 from lead where phone_number in ('anonymous', %s)", number) == []


def test_names_and_appointments_reach_the_context(fleet):
    number, sid = "+14155559002", new_sid()
    fleet.sql(
        "insert into lead (business_id, phone_number, full_name)"
        " select id, %s, 'ד״ר דנה לוי' from business where phone_number = %s", number, BUSINESS,
    )
    fleet.sql(
        "insert into appointment (business_id, lead_id, starts_at, ends_at)"
        " select business_id, id, date_trunc('day', now()) + interval '2 days 9 hours',"
        " date_trunc('day', now()) + interval '2 days 10 hours' from lead where phone_number = %s", number,
    )
    (row,) = fleet.sql("select starts_at from appointment")
    starts_at = row["starts_at"].astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    ring(fleet, sid, From=number)
    context = whole_context(fleet, sid)
    assert context["lead_first_name"] == "דנה"
    assert "Nice to hear from you, דנה." in context["greeting"]
    (slot,) = json.loads(context["booked_slots"])
    assert slot["start"] == starts_at and slot["end"] > starts_at
    assert context["lead_appointments"] == context["booked_slots"]
    ring(fleet, other := new_sid())
    context = whole_context(fleet, other)
    assert "lead_appointments" not in context and "booked_slots" in context


def test_which_times_are_booked(fleet):
    """Under way or to begin within two weeks, soonest first; not past ones, cancelled ones, or another's."""
    number = "+14155559004"
    fleet.sql("insert into business (name, phone_number) values ('Busy Ltd', %s)", number)
    rows = (("-2 hours", "-1 hours", "booked"), ("-1 hours", "1 hours", "booked"), ("9 days", "9 days 1 hour", "booked"),
            ("2 days", "2 days 1 hour", "booked"), ("3 days", "3 days 1 hour", "cancelled"),
            ("15 days", "15 days 1 hour", "booked"))
    for begin, end, status in rows:
        fleet.sql(
            "insert into appointment (business_id, starts_at, ends_at, status)"
            " select id, now() + %s::interval, now() + %s::interval, %s from business where phone_number = %s",
            begin, end, status, number,
        )
    ring(fleet, sid := new_sid(), To=number)
    slots = json.loads(whole_context(fleet, sid)["booked_slots"])
    want = fleet.sql(
        "select to_char(starts_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') as start from appointment"
        " join business on business.id = business_id where phone_number = %s and status = 'booked'"
        " and ends_at > now() and starts_at < now() + interval '14 days' order by starts_at", number,
    )
    assert [slot["start"] for slot in slots] == [row["start"] for row in want] and len(slots) == 3
    ring(fleet, other := new_sid())
    assert slots[0] not in json.loads(whole_context(fleet, other).get("booked_slots", "[]"))


def test_booked_times_are_found_by_their_index(fleet):
    """The one of the exclusion constraint would do, at several times the cost."""
    fleet.sql(
        "with many as (insert into business (name, phone_number)"
        " select 'Many', '+1416000' || n from generate_series(1000, 1400) n returning id)"
        " insert into appointment (business_id, starts_at, ends_at)"
        " select id, now() + n * interval '1 day', now() + n * interval '1 day' + interval '1 hour'"
        " from many, generate_series(0, 9) n"
    )
    fleet.sql("analyze appointment")
    text = (TESTS.parent / "warmer" / "sql" / "load_booked_times.sql").read_text().replace(";", "")
    fleet.sql(f"prepare load_booked (text, text, text, text) as {text}")
    plan = fleet.sql(f"explain execute load_booked ('CA1', '{CALLER}', '+14160001001', 'inbound')")
    assert "appointment_booked_idx" in "".join(row["QUERY PLAN"] for row in plan)
    fleet.sql("deallocate load_booked")


def test_unknown_number_is_refused(fleet):
    refused, sid = metric(fleet, "calls_refused_total"), new_sid()
    assert REFUSAL in ring(fleet, sid, To="+14155550000").words()
    eventually("its place to go again", lambda: fleet.redis().keys(f"*{sid}*") == [])
    assert fleet.redis().zscore("rf:{p0}:live", sid) is None
    assert metric(fleet, "calls_refused_total") == refused + 1


def test_broken_template_falls_back(fleet):
    number, sid = "+14155559003", new_sid()
    fleet.sql("insert into business (name, phone_number) values ('Broken Ltd', %s)", number)
    fleet.sql(
        "insert into business_settings (business_id, prompt_compact, greeting_inbound)"
        " select id, E'one\\n{{#lead_id}}', 'Welcome to {{business_name}}.' from business where phone_number = %s",
        number,
    )
    ring(fleet, sid, To=number).connect()
    context = fleet.context(sid)
    assert context["greeting"] == "Welcome to Broken Ltd."
    assert context["prompt_compact"].startswith("You are the voice assistant of Broken Ltd")
    (line,) = fleet.logged("template is broken, using the next one", sid)
    assert (line["template"], line["line"]) == ("prompt_compact", 2)


# ---- what does not get in ----


@pytest.mark.parametrize("path", ["/voice/incoming", "/voice/after/0", "/voice/status"])
@pytest.mark.parametrize("token", ["another token", None])
def test_forged_webhooks_change_nothing(fleet, path, token):
    sid, before = new_sid(), metric(fleet, 'requests_refused_total{reason="signature"}')
    keys = set(fleet.redis().keys())
    answer = post(fleet, path, form_of(sid, "completed"), token)
    assert (answer.status, answer.body) == (403, b"")
    assert metric(fleet, 'requests_refused_total{reason="signature"}') == before + 1
    assert set(fleet.redis().keys()) == keys
    assert fleet.sql("select 1 from call_log where call_sid = %s", sid) == []


def test_a_refusal_logs_names_and_no_values(fleet):
    sid = new_sid()

    def refused():
        post(fleet, "/voice/incoming", form_of(sid), "another token")
        return [line for line in fleet.logged("webhook refused") if "FromCity" in line["parameters"]]

    lines = eventually("a line of the limited log", refused)
    assert lines[0]["parameters"].split()[0] == "CallSid"
    assert sid not in fleet.warmer.text() and "PAULO" not in fleet.warmer.text()


@pytest.mark.parametrize(
    "change",
    [{"CallSid": ""}, {"CallSid": "CA}{*"}, {"CallSid": "C" * 129}, {"To": ""}, {"From": "x" * 256}],
)
def test_malformed_calls_are_refused(fleet, change):
    keys = set(fleet.redis().keys())
    answer = post(fleet, "/voice/incoming", list((dict(form_of(new_sid())) | change).items()))
    assert answer.status == 400
    assert set(fleet.redis().keys()) == keys


@pytest.mark.parametrize("body", [b"CallSid=%", b"CallSid=%00", b"a&" * 257])
def test_malformed_forms_are_refused(fleet, body):
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "x"}
    assert send(fleet, "POST", "/voice/incoming", body, headers).status == 400


def test_routes_and_bounds(fleet):
    for path in ("/voice/incoming", "/voice/after/0", "/voice/status"):
        for method in ("GET", "PUT", "OPTIONS"):
            answer = send(fleet, method, path, b"", {})
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    for path in ("/", "/voice", "/voice/after/", "/voice/after/x", "/voice/after/1x", "/voice/after/12345"):
        assert send(fleet, "POST", path, b"", {}).status == 404
    assert post(fleet, "/voice/status", form_of(new_sid(), X="y" * 70000)).status == 413
    big = {"X-Long": "y" * 20000}
    assert send(fleet, "POST", "/voice/status", b"", big).status == 400


def test_a_signed_json_body_is_no_call(fleet):
    """Its signature is good, but it names no call: refused as malformed, not as forged."""
    body = b"{}"
    path = "/voice/status?bodySHA256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    headers = {
        "Content-Type": "application/json",
        "X-Twilio-Signature": signature(AUTH_TOKEN, PUBLIC_URL + path, []),
    }
    assert send(fleet, "POST", path, body, headers).status == 400
    assert send(fleet, "POST", path, b"[]", headers).status == 403


# ---- a stream has ended ----


def test_lost_worker_gets_another_stream(fleet):
    sid = new_sid()
    first = ring(fleet, sid).connect()[2]
    action, url, second = after(fleet, sid, 0).connect()
    assert (action, url) == (f"{PUBLIC_URL}/voice/after/1", MEDIA_URL)
    assert second != first and second == fleet.session(sid)["token:1"]
    assert after(fleet, sid, 0).connect()[2] == second  # asked twice
    (_, connect) = after(fleet, sid, 1).document().verbs
    assert connect.children[0].children[0].attributes["value"] == fleet.session(sid)["token:2"]
    assert [line["n"] for line in fleet.logged("call resumed", sid)] == [1, 1, 2]


def test_verdicts_become_twiml(fleet):
    sid = new_sid()
    ring(fleet, sid)
    session = fleet.key(sid, ":session")
    fleet.redis().hset(session, "verdict", "hangup")
    assert after(fleet, sid, 0).names() == ["Hangup"]
    fleet.redis().hset(session, "verdict", "transfer:+14155550111")
    (dial,) = after(fleet, sid, 0).document().verbs
    assert dial.name == "Dial" and dial.children[0].text == "+14155550111"
    fleet.redis().hset(session, "verdict", "transfer:<Hangup/>")
    assert after(fleet, sid, 0).names() == ["Hangup"]


def test_a_call_that_is_over_gets_nothing(fleet):
    sid = new_sid()
    ring(fleet, sid)
    assert after(fleet, sid, 0, "completed").names() == []
    assert "token:1" not in fleet.session(sid)
    assert report(fleet, sid, "completed").status == 204
    assert after(fleet, sid, 0).names() == []


def test_unknown_call_hears_an_apology(fleet):
    assert APOLOGY in after(fleet, new_sid(), 0).words()


# ---- status ----


def statuses(fleet: Fleet, sid: str) -> list[tuple[str, str]]:
    return [(entry["status"], entry["sequence"]) for _, entry in fleet.journal(sid, "events")]


def test_status_out_of_order(fleet):
    sid = new_sid()
    ring(fleet, sid)
    steps = (("in-progress", "2"), ("ringing", "1"), ("completed", "3"), ("in-progress", "2"))
    for status, sequence in steps:
        more = {"CallDuration": "7", "Duration": "1"} if status == "completed" else {}
        answer = report(fleet, sid, status, SequenceNumber=sequence, **more)
        assert (answer.status, answer.body) == (204, b"")
    session = fleet.session(sid)
    assert (session["status"], session["status_seq"], session["final"]) == ("completed", "3", "1")
    assert statuses(fleet, sid) == [("in-progress", "2"), ("ringing", "1"), ("completed", "3")]
    entry = fleet.journal(sid, "events")[2][1]
    assert entry | {"at": ""} == {
        "id": "status:3:completed", "type": "call_status", "by": "warmer", "at": "",
        "status": "completed", "duration": "7", "sequence": "3",
    }


def test_only_status_callback_has_number_zero(fleet):
    sid = new_sid()
    ring(fleet, sid)
    assert report(fleet, sid, "no-answer", SequenceNumber="0").status == 204
    assert fleet.session(sid)["final"] == "1"


@pytest.mark.parametrize(
    "change",
    [{"CallStatus": ""}, {"CallStatus": "x y"}, {"SequenceNumber": "-1"}, {"CallDuration": "1s"}],
)
def test_malformed_status_is_refused(fleet, change):
    sid = new_sid()
    assert post(fleet, "/voice/status", list((dict(form_of(sid)) | change).items())).status == 400
    assert fleet.session(sid) == {}


# ---- database weather ----


def test_slow_database_costs_the_deadline_and_fills_in_later(fleet):
    leave_snapshot(fleet)
    sid = new_sid()
    with frozen_database(fleet):
        answer = ring(fleet, sid)
        answer.connect()
        assert answer.ms < DEADLINE_MS + SLACK_MS
        context = fleet.context(sid)
        assert context["source"] == "snapshot" and context["from"] == CALLER
        assert context["greeting"] == "Thank you for calling Harbour Dental. May I have your name, please?"
        assert "Harbour Dental" in context["prompt_full"]
        assert not [name for name in context if name.startswith(("lead_", "template_"))]
        assert metric(fleet, "database_away") == 1
    eventually("the late context", lambda: fleet.context(sid)["source"] == "database")
    assert fleet.context(sid)["lead_notes"] == "Called last year about whitening."
    assert call_row(fleet, sid)
    ring(fleet, new_sid())
    assert metric(fleet, "database_away") == 0


def test_silent_database_connections_are_replaced(fleet):
    sid, failed = new_sid(), metric(fleet, "load_failures_total")
    with frozen_database(fleet):
        ring(fleet, sid)
        ring(fleet, new_sid())
        eventually("the loss to be noticed", lambda: metric(fleet, "load_failures_total") >= failed + 2)
        wait_database(fleet)
        ring(fleet, again := new_sid())
        assert whole_context(fleet, again)
    assert fleet.context(sid)["source"] == "snapshot"


def test_schema_change_costs_one_call_its_context(fleet):
    """Prepared statements refuse a result whose type has changed; the connection prepares anew."""
    fleet.sql("alter table business_settings alter column voice type varchar")
    sources = []

    def served_again():
        ring(fleet, sid := new_sid()).connect()
        (line,) = eventually("its line", lambda: fleet.logged("call opened", sid))
        sources.append(line["source"])
        return sources[-3:] == ["database"] * 3

    eventually("loads to work again", served_again)
    assert "snapshot" in sources
    wait_database(fleet)
    assert "0A000" in [line["sqlstate"] for line in fleet.logged("statement failed")]


def test_database_away_and_back():
    with without_workers() as fleet:
        wait_database(fleet)
        fleet.postgres.stop()
        wait_database(fleet, 0)
        answer = ring(fleet, sid := new_sid())
        answer.connect()
        assert answer.ms < SLACK_MS
        assert fleet.context(sid)["source"] == "minimal"
        assert fleet.warmer.get("/readyz")[0] == 200
        fleet.postgres.start()
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        assert whole_context(fleet, sid)


# ---- Redis weather ----


def test_redis_silent_or_away_is_an_apology_and_a_retry():
    with without_workers() as fleet:
        wait_database(fleet)
        sid = new_sid()
        ring(fleet, sid)
        fleet.redis_server.stop(signal.SIGKILL)
        wait_redis(fleet, 0)
        assert fleet.warmer.get("/readyz")[0] == 200  # else nobody would be sent here, and hear it
        assert APOLOGY in ring(fleet, new_sid()).words()
        assert after(fleet, sid, 0).names() == ["Pause", "Redirect"]
        assert report(fleet, sid, "completed").status == 503
        fleet.redis_server.start()
        wait_redis(fleet)
        assert report(fleet, sid, "completed").status == 204
        assert fleet.session(sid)["final"] == "1"
        assert after(fleet, sid, 0).names() == []

        client = fleet.redis()
        client.execute_command("CLIENT", "PAUSE", "3000", "ALL")
        for answer in (ring(fleet, new_sid()), after(fleet, sid, 0)):
            assert answer.names() in (["Say", "Hangup"], ["Pause", "Redirect"])
            assert answer.ms < 2 * DEADLINE_MS + SLACK_MS
        assert report(fleet, sid, "completed").status == 503


def test_a_warmer_that_never_reached_redis_is_not_ready():
    """What is newly rolled out with a wrong address takes nobody's place."""
    with without_workers() as fleet:
        fleet.warmer.stop()
        fleet.redis_server.stop(signal.SIGKILL)
        fleet.warmer.start()
        eventually("its admin port", lambda: fleet.warmer.get("/healthz")[0] == 200)
        assert fleet.warmer.get("/readyz") == (503, "redis was not reached yet\n")
        fleet.redis_server.start()
        fleet.warmer.wait_ready()


# ---- bounds ----


def test_connections_are_bounded_and_come_back(fleet):
    host, port = fleet.warmer.listen.split(":")
    held = [socket.create_connection((host, int(port)), timeout=20) for _ in range(CONNECTIONS_MAX)]
    try:
        eventually("the bound", lambda: metric(fleet, "http_connections") == CONNECTIONS_MAX)
        pauses = metric(fleet, "accept_pauses_total")
        assert pauses >= 1
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(ring, fleet, new_sid())  # in the kernel's queue
            held.pop().close()
            waiting.result(20).connect()
        assert metric(fleet, "http_connections") <= CONNECTIONS_MAX
    finally:
        for one in held:
            one.close()
    eventually("the connections to be let go", lambda: metric(fleet, "http_connections") < 10)
    ring(fleet, new_sid()).connect()


# ---- settings and life ----


def test_sql_can_be_brought_along(tmp_path):
    (tmp_path / "load_call_context.sql").write_text(
        "select 77 as business_id, 'Own Schema' as business_name, upper($4) as shouted_direction,"
        " '{{business_name}}: {{shouted_direction}} {{vip}}' as template_greeting_inbound, null::text as nothing,"
        " true as vip where $1 <> '' and $2 <> '' and $3 <> '+0'"
    )
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        context = fleet.context(sid)
        assert (context["business_id"], context["shouted_direction"]) == ("77", "INBOUND")
        assert context["greeting"] == "Own Schema: INBOUND t"
        assert "nothing" not in context
        assert REFUSAL in ring(fleet, new_sid(), To="+0").words()


@pytest.mark.parametrize(
    "sql, why",
    [
        ("select 1 as business_id where $1 = ''", "takes 1 parameters instead of 4"),
        ("select 1 as other where $1||$2||$3||$4 = ''", "has no result column business_id"),
        ("select 1 as business_id, now() + '1 s' where $1||$2||$3||$4 = ''", "result column 2 needs a name"),
        ("select nothing from nowhere", "cannot be prepared"),
    ],
)
def test_unfit_sql_is_told_and_calls_are_still_answered(tmp_path, sql, why):
    (tmp_path / "load_call_context.sql").write_text(sql)
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        lost = "postgres connection lost"
        eventually("the reason", lambda: any(why in line["why"] for line in fleet.logged(lost)))
        ring(fleet, sid := new_sid()).connect()
        assert fleet.context(sid)["source"] == "minimal"


def test_failing_open_does_not_take_the_load_with_it(tmp_path):
    (tmp_path / "open_call.sql").write_text("select 1 / length(left($1 || $2 || $3 || $4, 0)) as x")
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        assert fleet.context(sid)["business_name"] == "Harbour Dental"
        eventually("the failure, for which no caller waits", lambda: metric(fleet, "open_call_failures_total") == 1)


def test_failing_load_does_not_take_the_open_with_it(tmp_path):
    (tmp_path / "load_call_context.sql").write_text("select 1 / length(left($1 || $2 || $3 || $4, 0)) as business_id")
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        assert fleet.context(sid)["source"] == "minimal"
        assert call_row(fleet, sid)["status"] == "ringing"
        assert metric(fleet, "open_call_failures_total") == 0


def test_a_stop_answers_what_is_under_way():
    with without_workers(RINGFLEET_WARM_DEADLINE_MS="1500") as fleet:
        wait_database(fleet)
        answers: list[Answer] = []
        sid = new_sid()
        with frozen_database(fleet):
            caller = threading.Thread(target=lambda: answers.append(ring(fleet, sid)))
            caller.start()
            eventually("the call to wait for the database", lambda: metric(fleet, "http_requests") == 1)
            fleet.warmer.signal(signal.SIGTERM)
            caller.join(20)
            assert fleet.warmer.process.wait(20) == 0
        (answer,) = answers
        answer.connect()
        assert answer.headers["Connection"] == "close"
        assert fleet.context(sid)["source"] == "minimal"
