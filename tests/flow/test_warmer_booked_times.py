"""The booked times travel behind the load and ahead of the call's row, and no caller waits for them: what is answered before
them, what completes it, and what is left when they do not come."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.fleet import Fleet
from flow.servers import eventually
from flow.warmer_rig import (
    BUSINESS,
    CALLER,
    DEADLINE_MS,
    SLACK_MS,
    after,
    call_row,
    events,
    frozen_database,
    leave_snapshot,
    locked,
    metric,
    new_sid,
    report,
    ring,
    send,
    wait_database,
    waiting_statements,
    whole_context,
    without_workers,
)

pytestmark = pytest.mark.usefixtures("programs")

FAILS = "select $1 || $2 || $3 || (1 / length(left($4, 0))) as booked_slots"


@pytest.fixture
def fleet():
    with without_workers() as one:
        wait_database(one)
        yield one


def book(fleet: Fleet) -> None:
    fleet.sql(
        "insert into appointment (business_id, lead_id, starts_at, ends_at)"
        " select business.id, lead.id, now() + interval '1 day', now() + interval '25 hours'"
        " from business left join lead on lead.business_id = business.id and lead.phone_number = %s"
        " where business.phone_number = %s",
        CALLER, BUSINESS,
    )


def assert_partial(context: dict[str, str]) -> None:
    """All that the first seconds need."""
    assert (context["source"], context["business_name"], context["from"]) == ("partial", "Harbour Dental", CALLER)
    assert "Harbour Dental" in context["greeting"] and "Harbour Dental" in context["prompt_compact"]
    assert context["lead_notes"] and context["opened_ms"]
    missing = ("prompt_full", "booked_slots", "lead_appointments", "booked_slots_missing")
    assert not [name for name in context if name.startswith("template_") or name in missing]


def test_a_slow_calendar_does_not_delay_the_ring(fleet):
    book(fleet)
    with locked(fleet, "appointment", "access exclusive"):
        answer = ring(fleet, sid := new_sid())
        answer.connect()
        assert answer.ms < SLACK_MS
        assert_partial(before := fleet.context(sid))
        eventually("the booked times to wait", lambda: waiting_statements(fleet) == 1)
        assert (metric(fleet, "database_away"), metric(fleet, 'calls_opened_total{source="database"}')) == (0, 1)
    after = whole_context(fleet, sid)
    assert (before | {"source": "database"}).items() <= after.items()
    assert json.loads(after["booked_slots"]) and after["lead_appointments"] == after["booked_slots"]
    assert "Harbour Dental" in after["prompt_full"]
    assert set(after) - set(before) == {"prompt_full", "booked_slots", "lead_appointments"}
    assert call_row(fleet, sid) and events(fleet, sid) == []
    assert [line["source"] for line in fleet.logged("call opened", sid)] == ["database"]


def test_what_comes_after_the_deadline_is_late_and_what_comes_before_is_not(fleet):
    ring(fleet, quick := new_sid())
    assert whole_context(fleet, quick)
    with locked(fleet, "appointment", "access exclusive"):
        ring(fleet, slow := new_sid())
        eventually("the deadline", lambda: metric(fleet, "load_late_total") == 1)
    assert whole_context(fleet, slow)
    eventually("it to be counted", lambda: metric(fleet, "contexts_filled_late_total") == 1)
    assert fleet.logged("call context late", quick) == []
    (line,) = fleet.logged("call context late", slow)
    assert line["load_ms"] >= DEADLINE_MS


def test_calls_that_come_together_wait_for_all_of_it():
    """One write each: how many are being opened is seen when they begin."""
    with without_workers(RINGFLEET_WARM_DEADLINE_MS="5000") as fleet:
        wait_database(fleet)
        sids = [new_sid() for _ in range(6)]
        with ThreadPoolExecutor(len(sids)) as pool:
            with frozen_database(fleet):
                answers = []
                for count, sid in enumerate(sids, 1):
                    answers.append(pool.submit(ring, fleet, sid))
                    eventually("it to be opened", lambda count=count: metric(fleet, "calls_opening") == count)
            for sid, answer in list(zip(sids, answers))[3:]:
                answer.result().connect()
                assert fleet.context(sid)["source"] == "database" and fleet.context(sid)["prompt_full"]
        for sid in sids:
            assert whole_context(fleet, sid)


def test_booked_times_that_fail_take_nothing_with_them(tmp_path):
    """The prompt is there, workers know that they know nothing, the row is written, and the snapshot keeps what it has."""
    (tmp_path / "load_booked_times.sql").write_text(FAILS)
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        wait_database(fleet)
        for caller in (CALLER, "+14155558010"):
            ring(fleet, sid := new_sid(), From=caller).connect()
            context = whole_context(fleet, sid)
            assert context["booked_slots_missing"] == "1" and "booked_slots" not in context
            assert "Harbour Dental" in context["prompt_full"] and context["lead_id"]
            assert call_row(fleet, sid) and events(fleet, sid) == []
        assert metric(fleet, "load_booked_times_failures_total") == 2
        assert metric(fleet, "load_failures_total") == metric(fleet, "open_call_failures_total") == 0
        assert {line["statement"] for line in fleet.logged("statement failed")} == {"load_booked_times"}
        assert fleet.redis().exists(f"rf:number:{BUSINESS}") == 0


def test_columns_of_the_booked_times_complete_and_replace_those_of_the_load(tmp_path):
    (tmp_path / "load_call_context.sql").write_text(
        "select 77 as business_id, 'old' as plan, '[]' as booked_slots, 7 as lead_id,"
        " '{{plan}}' as template_greeting_inbound, '{{plan}} {{seats}}' as template_prompt_full where $1||$2||$3||$4 <> ''"
    )
    (tmp_path / "load_booked_times.sql").write_text(
        "select 'new' as plan, 3 as seats, 'mine' as source, null as booked_slots where $1||$2||$3||$4 <> ''"
    )
    with without_workers(RINGFLEET_SQL_DIR=str(tmp_path)) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        context = whole_context(fleet, sid)
        assert (context["greeting"], context["prompt_full"], context["plan"]) == ("old", "new 3", "new")
        assert context["booked_slots"] == "[]"


@pytest.mark.parametrize("caller", [CALLER, "+14155558011"], ids=["known", "a stranger"])
def test_the_connection_is_lost_between_load_and_booked_times(fleet, caller):
    leave_snapshot(fleet)
    with locked(fleet, "appointment", "access exclusive"):
        ring(fleet, sid := new_sid(), From=caller).connect()
        assert fleet.context(sid)["source"] == "partial"
        eventually("the booked times to wait", lambda: waiting_statements(fleet) == 1)
        fleet.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'warmer'")
        context = whole_context(fleet, sid)
    assert context["booked_slots_missing"] == "1" and "Harbour Dental" in context["prompt_full"]
    (entry,) = eventually("the row to be left to the flusher", lambda: events(fleet, sid))
    assert (entry["type"], entry["from"]) == ("call_open", caller)
    assert report(fleet, sid, "completed", SequenceNumber="3", CallDuration="7").status == 204
    fleet.wait_flushed(sid)
    assert call_row(fleet, sid)["status"] == "completed"


def test_a_stop_waits_for_what_completes_a_call(fleet):
    with locked(fleet, "appointment", "access exclusive"):
        ring(fleet, sid := new_sid()).connect()
        fleet.warmer.signal(signal.SIGTERM)
        eventually("the stop", lambda: fleet.logged("stopping"))
        eventually("the deadline, long after it could have stopped", lambda: metric(fleet, "load_late_total") == 1)
        assert fleet.context(sid)["source"] == "partial"
    assert fleet.warmer.process.wait(20) == 0
    assert (context := fleet.context(sid))["source"] == "database" and context["prompt_full"]


def test_a_warmer_killed_in_between_leaves_a_call_that_goes_on(fleet):
    """With what it has; the same webhook again completes it."""
    with locked(fleet, "appointment", "access exclusive"):
        answer = ring(fleet, sid := new_sid())
        fleet.warmer.signal(signal.SIGKILL)
        assert fleet.warmer.process.wait(20) == -signal.SIGKILL
    fleet.warmer.start()
    fleet.warmer.wait_ready()
    wait_database(fleet)
    assert_partial(fleet.context(sid))
    assert after(fleet, sid, 0).connect()
    assert ring(fleet, sid).body == answer.body
    assert whole_context(fleet, sid)["prompt_full"]
    assert fleet.logged("call context late", sid) == [] and call_row(fleet, sid)


def test_a_webhook_that_comes_again_before_the_booked_times(fleet):
    with locked(fleet, "appointment", "access exclusive"):
        first, again = ring(fleet, sid := new_sid()), ring(fleet, sid)
        assert first.body == again.body and fleet.context(sid)["source"] == "partial"
    context = whole_context(fleet, sid)
    assert context["prompt_full"] and len(fleet.logged("call opened", sid)) == 1


def test_a_context_that_is_gone_is_not_brought_back(fleet):
    with locked(fleet, "appointment", "access exclusive"):
        ring(fleet, sid := new_sid()).connect()
        fleet.redis().delete(fleet.key(sid))
    eventually("the booked times to be loaded", lambda: fleet.redis().exists(f"rf:number:{BUSINESS}"))
    ring(fleet, next_one := new_sid()).connect()
    assert whole_context(fleet, next_one)  # written behind them
    assert fleet.redis().exists(fleet.key(sid)) == 0


def test_prompts_over_http_wait_for_the_booked_times_until_the_deadline():
    with without_workers(RINGFLEET_API_KEY="key") as fleet:
        wait_database(fleet)
        book(fleet)

        def ask() -> dict:
            body = json.dumps({"business_number": BUSINESS, "lead_number": CALLER}).encode()
            return json.loads(send(fleet, "POST", "/prompts", body, {"Authorization": "Bearer key"}).body)

        fleet.sql("update business_settings set prompt_full = '{{business_name}}: {{lead_appointments}}'")
        made = ask()
        assert made["source"] == "database" and '"start"' in made["prompt_full"]
        with locked(fleet, "appointment", "access exclusive"):
            made = ask()
            assert (made["source"], made["prompt_full"]) == ("partial", "Harbour Dental:")
