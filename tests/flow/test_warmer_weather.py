"""Postgres away for long: calls are served from snapshots, and their rows come afterwards."""

import pytest

from flow.fleet import Fleet
from flow.servers import eventually
from flow.warmer_rig import (
    BUSINESS,
    CALLER,
    DEADLINE_MS,
    SLACK_MS,
    events,
    call_row,
    frozen_database,
    leave_snapshot,
    locked,
    metric,
    new_sid,
    report,
    ring,
    wait_database,
    waiting_statements,
    whole_context,
    without_workers,
)

pytestmark = pytest.mark.usefixtures("programs")


def lead_of(fleet: Fleet, number: str) -> dict:
    (row,) = fleet.sql("select * from lead where phone_number = %s", number)
    return row


def assert_row_complete(fleet: Fleet, sid: str, caller: str) -> None:
    row, lead = call_row(fleet, sid), lead_of(fleet, caller)
    found = (row["from_number"], row["to_number"], row["direction"], row["provider_call_sid"], row["status"])
    assert found == (caller, BUSINESS, "inbound", sid, "completed")
    assert (row["lead_id"], row["business_id"]) == (lead["id"], lead["business_id"])
    assert row["started_at"] is not None and row["duration_seconds"] == 7


def finish(fleet: Fleet, sid: str) -> None:
    assert report(fleet, sid, "completed", SequenceNumber="3", CallDuration="7").status == 204


def test_a_snapshot_is_kept_for_the_other_callers():
    with without_workers() as fleet:
        wait_database(fleet)
        fleet.sql("update business_settings set working_hours = '{\"mon\": []}'")
        ring(fleet, sid := new_sid())
        business_id = whole_context(fleet, sid)["business_id"]
        redis = fleet.redis()
        eventually("the snapshot", lambda: redis.get(f"rf:number:{BUSINESS}") == business_id)
        kept = redis.hgetall(f"rf:business:{business_id}")
        assert kept.pop("kept_ms").isdigit()
        assert (kept["business_name"], kept["working_hours"]) == ("Harbour Dental", '{"mon": []}')
        assert "template_prompt_full" in kept
        personal = [name for name in kept if not name.startswith(("business_", "template_"))]
        assert sorted(personal) == ["language", "voice", "working_hours"]
        assert 0 < redis.ttl(f"rf:business:{business_id}") <= 7 * 86400
        assert 0 < redis.ttl(f"rf:number:{BUSINESS}") <= 7 * 86400


def test_postgres_away_while_calls_come_and_go():
    with without_workers() as fleet:
        wait_database(fleet)
        leave_snapshot(fleet)
        fleet.postgres.stop()
        wait_database(fleet, 0)
        assert metric(fleet, "database_away") == 1
        known, stranger, unmet = new_sid(), new_sid(), new_sid()
        for sid, more in ((known, {}), (stranger, {"From": "+14155558001"}), (unmet, {"To": "+14155558888"})):
            answer = ring(fleet, sid, **more)
            assert answer.ms < SLACK_MS and answer.connect()[2] == fleet.session(sid)["token:0"]
            assert ring(fleet, sid, **more).body == answer.body
            (entry,) = events(fleet, sid)
            assert entry["type"] == "call_open"
        assert fleet.context(known)["source"] == fleet.context(stranger)["source"] == "snapshot"
        assert fleet.context(unmet)["source"] == "minimal"
        assert "Harbour Dental" in fleet.context(stranger)["prompt_full"]
        assert fleet.context(stranger)["local_time"]
        assert fleet.warmer.get("/readyz")[0] == 200
        for sid in (known, stranger, unmet):
            finish(fleet, sid)
        fleet.postgres.start()
        wait_database(fleet)
        for sid in (known, stranger, unmet):
            fleet.wait_flushed(sid, 60)
        assert_row_complete(fleet, known, CALLER)
        assert_row_complete(fleet, stranger, "+14155558001")
        row = call_row(fleet, unmet)
        assert (row["business_id"], row["to_number"], row["status"]) == (None, "+14155558888", "completed")
        ring(fleet, new_sid())
        assert metric(fleet, "database_away") == 0


def test_an_open_that_was_committed_after_all_is_not_doubled():
    with without_workers() as fleet:
        wait_database(fleet)
        with frozen_database(fleet):
            ring(fleet, sid := new_sid(), From="+14155558002").connect()
        eventually("the late context", lambda: fleet.context(sid)["source"] == "database")
        before = call_row(fleet, sid)
        assert [entry["type"] for entry in events(fleet, sid)] == ["call_open"]
        finish(fleet, sid)
        fleet.wait_flushed(sid)
        assert_row_complete(fleet, sid, "+14155558002")
        row = call_row(fleet, sid)
        assert (row["id"], row["started_at"]) == (before["id"], before["started_at"])


def test_an_open_that_failed_alone_comes_later(tmp_path):
    (tmp_path / "open_call.sql").write_text("select 1 / length(left($1 || $2 || $3 || $4, 0)) as x")
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        assert whole_context(fleet, sid)
        finish(fleet, sid)
        fleet.wait_flushed(sid)
        assert_row_complete(fleet, sid, CALLER)


def test_the_same_webhook_again_brings_the_context_that_was_missing():
    with without_workers() as fleet:
        wait_database(fleet)
        failed = metric(fleet, "load_failures_total")
        with frozen_database(fleet):
            first = ring(fleet, sid := new_sid())
            assert fleet.context(sid)["source"] == "minimal"
            eventually("the loss to be noticed", lambda: metric(fleet, "load_failures_total") > failed)
            wait_database(fleet)
            assert ring(fleet, sid).body == first.body
        eventually("the context", lambda: fleet.context(sid)["source"] == "database")
        assert fleet.context(sid)["business_name"] == "Harbour Dental"


# ---- a database that is there, and does not answer in time ----


def test_a_load_behind_a_lock_costs_the_deadline_and_fills_in_later():
    with without_workers() as fleet:
        wait_database(fleet)
        leave_snapshot(fleet)
        late = metric(fleet, "load_late_total")
        with locked(fleet, "lead", "access exclusive"):
            answer = ring(fleet, sid := new_sid())
            assert waiting_statements(fleet) == 1
            assert metric(fleet, "load_late_total") == late + 1 and answer.ms < DEADLINE_MS + SLACK_MS
            token = answer.connect()[2]
            before = fleet.context(sid)
            assert before["source"] == "snapshot" and "lead_id" not in before
            assert ring(fleet, sid).connect()[2] == token  # the carrier asks again meanwhile
        eventually("the late context", lambda: fleet.context(sid)["source"] == "database")
        after = fleet.context(sid)
        assert after["lead_notes"] == "Called last year about whitening."
        assert {name: before[name] for name in ("call_sid", "from", "to", "business_name", "greeting")}.items() <= after.items()
        assert call_row(fleet, sid)
        assert metric(fleet, "load_late_total") == late + 2
        eventually("both to be filled in", lambda: metric(fleet, "contexts_filled_late_total") == 2)
        assert fleet.session(sid)["token:0"] == token


def test_a_row_that_cannot_be_written_keeps_nobody_waiting():
    """Not even a caller whose lead it makes."""
    with without_workers() as fleet:
        wait_database(fleet)
        leave_snapshot(fleet)
        with locked(fleet, "call_log", "exclusive"):
            ring(fleet, known := new_sid()).connect()
            assert whole_context(fleet, known)
            eventually("the row to wait", lambda: waiting_statements(fleet) == 1)
            ring(fleet, stranger := new_sid(), From="+14155558009").connect()
            before = fleet.context(stranger)
            assert (before["source"], before["business_name"]) == ("partial", "Harbour Dental")
            assert "lead_id" not in before and "prompt_full" not in before
        after, lead = whole_context(fleet, stranger), lead_of(fleet, "+14155558009")
        assert after["lead_id"] == str(lead["id"]) and after["prompt_full"]
        assert (before | {"source": "database"}).items() <= after.items()
        assert call_row(fleet, stranger)["lead_id"] == lead["id"] and call_row(fleet, known)
        kept = fleet.redis().hgetall(f"rf:business:{after['business_id']}")
        assert kept["business_name"] == "Harbour Dental"
