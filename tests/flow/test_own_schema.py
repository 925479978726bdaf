"""A database that is not ours: whole calls, and what `warmer --check` says of it."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from flow import stage as stages
from flow.fleet import TESTS, Fleet, bin_directory
from flow.servers import eventually
from flow.stage import Stage
from flow.warmer_rig import new_sid, ring, send, wait_database, whole_context
from scenarios import harbour_dental

pytestmark = pytest.mark.usefixtures("programs")

OWN = TESTS / "flow" / "own_schema"
LEDGER = TESTS.parent / "flusher" / "sql" / "migrations" / "0001_flush_ledger.sql"


class OwnFleet(Fleet):
    """Knows none of our tables but the ledger."""

    def __init__(self, **options) -> None:
        options["env"] = {"RINGFLEET_SQL_DIR": str(OWN), **(options.get("env") or {})}
        super().__init__(**options, seed=OWN / "schema.sql")

    def migrate(self) -> None:
        self.postgres.sql(LEDGER.read_text())


def check(fleet: Fleet, *arguments: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        [str(bin_directory() / "warmer"), "--check", *arguments],
        env={**os.environ, **fleet.warmer._env, **env}, capture_output=True, text=True, timeout=60,
    )
    return done.returncode, done.stdout


def test_a_whole_call(monkeypatch):
    monkeypatch.setattr(stages, "Fleet", OwnFleet)
    with Stage(harbour_dental.scenario()) as stage:
        call = stage.start_call(harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
        stage.finish(call)
        fleet = stage.fleet
        fleet.wait_flushed(call.sid)
        context = fleet.context(call.sid)
        assert context["source"] == "database"
        assert context["greeting"] == stage.scenario.greeting
        assert context["prompt_full"] == "You answer the phone of Harbour Dental, plan gold."
        assert context["business_timezone"] == "Europe/Berlin" and context["local_time"]
        (row,) = fleet.sql("select * from calls")
        assert (str(row["tenant_id"]), str(row["contact_id"])) == (context["business_id"], context["lead_id"])
        assert (row["sid"], row["caller"], row["state"]) == (call.sid, harbour_dental.CALLER_NUMBER, "completed")
        assert row["meta"]["end_reason"] and int(row["meta"]["seconds"]) > 0
        (contact,) = fleet.sql("select * from contacts")
        assert contact["profile"]["name"] == harbour_dental.CALLER_NAME
        (booking,) = fleet.sql("select *, lower(during) as starts_at from bookings")
        assert booking["starts_at"] == harbour_dental.next_thursday_at_ten()
        turns = [
            (entry["speaker"], entry["message"])
            for _, entry in fleet.journal(call.sid) if entry["type"] == "turn"
        ]
        messages = fleet.sql("select role, body from messages order by position")
        assert len(turns) >= 7 and [(one["role"], one["body"]) for one in messages] == turns
        assert fleet.redis().xlen("rf:{p0}:dead") == 0
        stage.check(call)


@pytest.fixture(scope="module")
def fleet():
    with OwnFleet(ai_url="ws://127.0.0.1:1", workers=0, env={"RINGFLEET_API_KEY": "key"}) as fleet:
        wait_database(fleet)
        yield fleet


def test_the_second_call_knows_the_name(fleet):
    ring(fleet, sid := new_sid())
    assert whole_context(fleet, sid)
    fleet.sql("update contacts set profile = '{\"name\": \"Levy, Dana\"}'")
    ring(fleet, sid := new_sid()).connect()
    context = whole_context(fleet, sid)
    assert (context["lead_first_name"], context["lead_name_source"]) == ("Dana", "full_name")
    assert "Nice to hear from you, Dana." in context["greeting"]


def test_who_withholds_the_number_is_no_contact(fleet):
    ring(fleet, sid := new_sid(), From="+266696687").connect()
    assert "lead_id" not in whole_context(fleet, sid)
    (row,) = eventually("the row", lambda: fleet.sql("select caller, contact_id, tenant_id from calls where sid = %s", sid))
    assert row["caller"] == "anonymous" and row["contact_id"] is None and row["tenant_id"]
    assert fleet.sql("select 1 from contacts where msisdn in ('anonymous', '+266696687')") == []


def test_booked_times_of_a_table_of_ones_own(fleet):
    fleet.sql(
        "insert into bookings (tenant_id, during)"
        " select id, tstzrange(now() + interval '1 day', now() + interval '25 hours') from tenants"
    )
    ring(fleet, sid := new_sid()).connect()
    (slot,) = json.loads(whole_context(fleet, sid)["booked_slots"])
    assert slot["start"] < slot["end"]
    fleet.sql("delete from bookings")


def test_prompts_of_a_tenant_by_its_uuid(fleet):
    (tenant,) = fleet.sql("select id from tenants")
    headers = {"Authorization": "Bearer key"}
    answer = send(fleet, "POST", "/prompts", json.dumps({"business_id": str(tenant["id"])}).encode(), headers)
    assert json.loads(answer.body)["prompt_full"] == "You answer the phone of Harbour Dental, plan gold."
    assert ring(fleet, new_sid(), To=str(tenant["id"])).names() == ["Say", "Hangup"]  # a call needs the number


def test_check_of_a_schema_that_fits(fleet):
    code, text = check(fleet)
    assert code == 0, text
    assert "ok    open_call.sql (overridden)" in text and "the contract is met" in text
    assert "      working_hours\n" in text
    assert "ok    load_booked_times.sql (overridden)" in text and "      booked_slots\n" in text
    none = "none  neither load_call_context.sql nor load_booked_times.sql has a result column transfer_number; workers do"
    assert none in text
    code, text = check(fleet, "--to", "+14155550199", "--from", "+14155550123")
    assert code == 0, text
    assert "a call from +14155550123 to +14155550199 gets:" in text
    assert "business_name                Harbour Dental\n" in text
    assert "greeting                     Thank you for calling Harbour Dental." in text


def test_check_of_a_role_that_may_not(fleet):
    fleet.sql("create role reader login in role pg_read_all_data")
    url = fleet.postgres.url("warmer").replace("ringfleet@", "reader@")
    code, text = check(fleet, RINGFLEET_DATABASE_URL=url)
    assert code == 1 and "BAD   open_call.sql: permission denied for table contacts: grant it to the role" in text, text
    assert text.count("BAD") == 1
    fleet.sql("grant insert, update on contacts, calls to reader")
    assert check(fleet, RINGFLEET_DATABASE_URL=url)[0] == 0
    fleet.sql("drop owned by reader; drop role reader")


def test_check_writes_nothing(fleet):
    before = fleet.sql("select count(*) as n from contacts"), fleet.sql("select count(*) as n from calls")
    check(fleet, "--to", "+14155550199", "--from", "+14155559999")
    assert (fleet.sql("select count(*) as n from contacts"), fleet.sql("select count(*) as n from calls")) == before


def test_check_of_a_number_that_nobody_has(fleet):
    code, text = check(fleet, "--to", "+1999")
    assert code == 1 and "no business has this number" in text


@pytest.mark.parametrize(
    "load, said",
    [
        (None, "open_call.sql cannot be prepared"),  # the default SQL on this schema
        ("select 1 as business_id where $1||$2||$3||$4 = ''", "has no result column booked_slots, which workers need"),
        ("select 1 as business_id where $1||$2||$3||$4 = ''", "goes with the built-in load_call_context.sql"),
        ("select 1 as other where $1||$2||$3||$4 = ''", "load_call_context.sql has no result column business_id"),
        ("select 1 as business_id where $1 = ''", "takes 1 parameters instead of 4"),
        ("select id, id from tenants where $1||$2||$3||$4 = ''", "result column 2 needs a name of its own"),
    ],
)
def test_check_of_a_schema_that_does_not_fit(fleet, tmp_path, load, said):
    if load:
        (tmp_path / "load_call_context.sql").write_text(load)
        (tmp_path / "open_call.sql").write_text((OWN / "open_call.sql").read_text())
    code, text = check(fleet, RINGFLEET_SQL_DIR=str(tmp_path))
    assert code == 1 and said in text and "things that are wrong: " in text


def test_check_of_who_calls_people(fleet, tmp_path):
    """Only there the statement that records such a call is needed."""
    dials = {"RINGFLEET_TWILIO_ACCOUNT_SID": "AC1"}
    code, text = check(fleet, **dials)
    assert code == 0 and "ok    open_outbound_call.sql (overridden)" in text, text
    assert "ok    find_call.sql (overridden)" in text
    code, text = check(fleet, RINGFLEET_ELEVENLABS_WEBHOOK_SECRET="wsec_1")
    assert code == 0 and "ok    find_call.sql (overridden)" in text and "open_outbound_call" not in text, text
    assert "open_outbound_call" not in check(fleet)[1]
    for name in ("open_call.sql", "load_call_context.sql", "load_booked_times.sql"):
        (tmp_path / name).write_text((OWN / name).read_text())
    code, text = check(fleet, RINGFLEET_SQL_DIR=str(tmp_path), **dials)
    assert code == 1 and "open_outbound_call.sql cannot be prepared" in text


def test_check_of_a_template_that_is_broken(fleet, tmp_path):
    for name in ("open_call.sql", "load_call_context.sql", "load_booked_times.sql"):
        text = (OWN / name).read_text().replace("tenant.config ->> 'prompt'", "E'fine\\n{{oops'")
        (tmp_path / name).write_text(text)
    code, text = check(fleet, "--to", "+14155550199", RINGFLEET_SQL_DIR=str(tmp_path))
    assert code == 1 and "things that are wrong: 1\n" in text


@pytest.mark.parametrize("booked", [None, " \n"], ids=["built in", "empty"])
def test_a_load_that_has_the_booked_times_itself(tmp_path, booked):
    """As before there was a statement of their own: no other one is sent."""
    shutil.copytree(OWN, sql := tmp_path / "sql")
    load = (OWN / "load_call_context.sql").read_text().replace("'gold' as plan", "'gold' as plan, '[]' as booked_slots")
    (sql / "load_call_context.sql").write_text(load)
    (sql / "load_booked_times.sql").unlink()
    if booked:
        (sql / "load_booked_times.sql").write_text(booked)
    with OwnFleet(ai_url="ws://127.0.0.1:1", workers=0, env={"RINGFLEET_SQL_DIR": str(sql)}) as fleet:
        wait_database(fleet)
        code, text = check(fleet)
        assert code == 0 and "none  load_booked_times.sql is not used" in text, text
        for _ in range(2):  # a stranger, and who is known
            ring(fleet, sid := new_sid()).connect()
            context = whole_context(fleet, sid)
            assert (context["booked_slots"], context["plan"]) == ("[]", "gold") and context["lead_id"]
            assert "booked_slots_missing" not in context


@pytest.mark.parametrize("name, old, new, said", [
    ("load_call_context", "tenant.config ->> 'opening'", "'mon to fri'", "BAD   working_hours is not {"),
    ("load_call_context", "'gold' as plan", "'gold' as plan, '{}' as tools", "BAD   tools is not ["),
    ("load_call_context", "tenant.config ->> 'timezone'", "'Berlin'", "BAD   business_timezone is not the name"),
    ("load_booked_times", "lower(booking.during)", "lower(booking.during) at time zone 'UTC'", "BAD   booked_slots is not ["),
    ("load_booked_times", "upper(booking.during)", "null", "BAD   booked_slots is not ["),
    ("load_booked_times", "", "", ""),
])
def test_check_of_values_that_workers_do_not_understand(fleet, tmp_path, name, old, new, said):
    shutil.copytree(OWN, sql := tmp_path / "sql")
    text = (OWN / f"{name}.sql").read_text()
    assert old in text
    (sql / f"{name}.sql").write_text(text.replace(old, new))
    fleet.sql(
        "insert into bookings (tenant_id, during)"
        " select id, tstzrange(now() + interval '1 day', now() + interval '25 hours') from tenants"
    )
    code, text = check(fleet, "--to", "+14155550199", RINGFLEET_SQL_DIR=str(sql))
    fleet.sql("delete from bookings")
    assert text.count("BAD") == (said != "") and said in text, text
    assert code == (said != "")


def test_check_of_a_file_that_is_misspelt(fleet, tmp_path):
    shutil.copytree(OWN, sql := tmp_path / "sql")
    (sql / "open_outbund_call.sql").write_text("select 1")
    code, text = check(fleet, RINGFLEET_SQL_DIR=str(sql))
    assert code == 1 and "BAD   there is no statement open_outbund_call.sql, so it is never read" in text, text
    assert text.count("BAD") == 1  # those of the flusher are not meant


def copies(own: Path, name: str, number: str) -> None:
    """The statement has two rows for who calls from this number."""
    text = f"select rows.* from ({(OWN / name).read_text()}) rows, generate_series(1, case $2::text when '{number}' then 2 else 1 end)"
    if name == "open_call.sql":
        text = (OWN / name).read_text() + f", generate_series(1, case $2::text when '{number}' then 2 else 1 end)"
    (own / name).write_text(text)


@pytest.mark.parametrize("name", ["load_call_context", "load_booked_times", "open_call"])
def test_two_rows_harm_one_call_and_are_told(tmp_path, name):
    shutil.copytree(OWN, sql := tmp_path / "sql")
    copies(sql, f"{name}.sql", "+14155559002")
    with OwnFleet(ai_url="ws://127.0.0.1:1", workers=0, env={"RINGFLEET_SQL_DIR": str(sql)}) as fleet:
        wait_database(fleet)
        ring(fleet, good := new_sid()).connect()
        assert whole_context(fleet, good)
        ring(fleet, sid := new_sid(), From="+14155559002").connect()
        (line,) = eventually("the log", lambda: fleet.logged("statement failed"))
        assert (line["call"], line["statement"], line["error"]) == (sid, name, "2 rows instead of one")
        rows = eventually("the rows", lambda: (rows := fleet.sql("select sid from calls")) and len(rows) == 2 and rows)
        assert {row["sid"] for row in rows} == {good, sid}


OPENS = """
select null as refused, id::text as business_id, phone as from_number, $6::text as to_number, 'twilio' as carrier
from tenants, generate_series(1, case $6::text when '+14155559000' then 0 when '+14155559002' then 2 else 1 end)
where coalesce($1::text, $2::text, $3::text, $4::text, $5::text, $7::text, $8::text, $9::text) is not null
  and case $6::text when '+14155559003' then ringfleet_refuse('nobody calls her') else true end
"""


def test_what_a_statement_that_opens_calls_may_answer(tmp_path):
    shutil.copytree(OWN, sql := tmp_path / "sql")
    (sql / "open_outbound_call.sql").write_text(OPENS)
    env = {"RINGFLEET_SQL_DIR": str(sql), "RINGFLEET_API_KEY": "key", "RINGFLEET_TWILIO_ACCOUNT_SID": "AC1",
           "RINGFLEET_TWILIO_API_URL": "http://127.0.0.1:1", "RINGFLEET_CALLING_HOURS": "00:00-24:00"}
    numbers = [f"+1415555900{n}" for n in range(4)]
    with OwnFleet(ai_url="ws://127.0.0.1:1", workers=0, env=env) as fleet:
        eventually("the other connection", lambda: len(fleet.warmer.log()) and [
            line for line in fleet.warmer.log() if line.get("msg") == "postgres connected"][2:])
        headers = {"Authorization": "Bearer key", "Idempotency-Key": "one"}
        later = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
        body = {"business": "b", "callees": [{"to": number} for number in numbers], "schedule_at": later}
        calls = json.loads(send(fleet, "POST", "/calls", json.dumps(body).encode(), headers).body)["calls"]
        assert [call["status"] for call in calls] == ["unavailable", "scheduled", "unavailable", "refused"], calls
        assert calls[3]["error"] == "nobody calls her"
        told = {line["call"]: line["error"] for line in fleet.logged("statement failed")}
        assert [told.get(call["call_sid"]) for call in calls] == [
            "0 rows instead of one", None, "2 rows instead of one", "nobody calls her"]


def test_check_without_a_database(fleet):
    code, text = check(fleet, RINGFLEET_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert code == 1 and text.startswith("BAD   cannot connect: ")
    code, text = check(fleet, RINGFLEET_SQL_DIR=str(Path("/nonexistent")))
    assert code == 1 and "the SQL cannot be read" in text
