"""Calls that we dial: from POST /calls over the carrier's API to the row in Postgres, and what may go wrong."""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from flow.fleet import TESTS, bin_directory
from flow.outbound_rig import BUSINESS, SHORT, OutboundStage, jobs, new_number, outbound_key
from flow.servers import eventually
from flow.warmer_rig import metric, post
from standins import caller
from standins.carrier import Faults
from standins.carrier_api import UNKNOWN_NUMBER

pytestmark = pytest.mark.usefixtures("programs")

SID = re.compile(r"EL_([\w.:+-]+)_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")


@pytest.fixture(scope="module")
def shared():
    with OutboundStage(workers=1) as stage:
        yield stage
        stage.api.check()


@pytest.fixture
def stage(shared):
    shared.api.faults.clear()
    shared.api.hide_calls = False
    yield shared
    eventually("an empty queue", lambda: not shared.fleet.redis().zcard(outbound_key("queue")))


def talk(stage):
    """Somebody who picks up and follows the scenario."""
    return caller.follow(SHORT, lambda _: stage.provider.idle())


def test_a_whole_call(stage):
    number = stage.meet(new_number(), script=talk(stage))
    (result,) = stage.call({"driver_id": "d7", "to": number, "purpose": "check-up", "context": {"visit": "2026"}})
    sid = result["call_sid"]
    assert (result["driver_id"], result["status"]) == ("d7", "queued")
    assert SID.fullmatch(sid)[1] == "d7"
    (call,) = stage.dialled(number)
    assert call.form["Url"][0].startswith(f"https://phone.example.test/voice/outbound/{sid}#")
    assert call.form["From"] == [BUSINESS]
    assert set(call.form["StatusCallbackEvent"]) == {"initiated", "ringing", "answered", "completed"}
    assert (call.form["MachineDetection"], call.form["AsyncAmd"]) == (["Enable"], ["true"])
    stage.finish(call)
    stage.check(call)
    row = stage.row(sid, status="completed")
    stage.fleet.wait_flushed(sid)
    assert (row["driver"], row["direction"], row["from_number"], row["to_number"]) == ("d7", "outbound", BUSINESS, number)
    assert row["provider_call_sid"] == call.sid
    context = stage.fleet.context(sid)
    assert (context["direction"], context["job_purpose"], context["answered_by"]) == ("outbound", "check-up", "human")
    assert json.loads(context["job_context"]) == {"visit": "2026"}
    assert context["call_log_id"] == str(row["id"])
    turns = stage.fleet.sql("select message from conversation_turn where call_sid = %s order by seq", sid)
    assert [one["message"] for one in turns][-2:] == ["What time is it?", "It is noon."]
    # Nothing was kept under the carrier's own name, but the way from it to ours.
    assert stage.fleet.session(call.sid) == {}
    assert stage.fleet.redis().get(f"rf:{{p0}}:alias:{call.sid}") == sid
    statuses = [entry["status"] for _, entry in stage.fleet.journal(sid, "events") if entry["type"] == "call_status"]
    assert statuses == ["initiated", "ringing", "in-progress", "completed"]
    assert jobs(stage.fleet) == {} and not stage.fleet.redis().exists(outbound_key("busy"), outbound_key("active"))


def test_the_row_is_there_before_the_provider_is_asked(stage):
    number = stage.meet(new_number(), outcome="busy")
    stage.api.faults.append("late")
    stage.run(clear(stage.api.release))
    (result,) = stage.call({"driver_id": 42, "to": number})
    stage.dialled(number)
    row = stage.row(result["call_sid"])
    assert (row["driver"], row["conversation_id"], row["direction"]) == ("42", None, "outbound")
    stage.run(set_event(stage.api.release))
    stage.row(result["call_sid"], status="busy")


async def clear(event):
    event.clear()


async def set_event(event):
    event.set()


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed"])
def test_nobody_picks_up(stage, outcome):
    number = stage.meet(new_number(), outcome=outcome)
    (result,) = stage.call({"to": number})
    assert SID.fullmatch(result["call_sid"])[1] == "UNKNOWN"
    row = stage.row(result["call_sid"], status=outcome)
    assert row["ended_at"] is not None
    eventually("its place", lambda: not stage.fleet.redis().exists(outbound_key("busy"), outbound_key("active")))


@pytest.mark.parametrize("how, times", [("async", 1), ("async", 2), ("enable", 0)])
def test_a_machine_picks_up(stage, how, times):
    """And the carrier says so while it is greeted, or before."""
    number = stage.meet(new_number(), answered_by="machine_start", judged_times=times)
    in_settings(stage, json.dumps({"machine_detection": how}))
    try:
        (result,) = stage.call({"to": number})
        row = stage.row(result["call_sid"], status="completed", end_reason="voicemail")
    finally:
        in_settings(stage, "{}")
    assert stage.fleet.context(row["call_sid"])["answered_by"] == "machine_start"
    (call,) = stage.dialled(number)
    assert ("AsyncAmd" in call.form) == (how == "async")


def test_a_machine_gets_its_message_behind_its_own_words(stage):
    in_settings(stage, json.dumps({"voicemail_message": "Please call us back."}))
    try:
        number = stage.meet(new_number(), answered_by="machine_end_beep", judged_s=2)
        (result,) = stage.call({"to": number})
        stage.row(result["call_sid"], status="completed", end_reason="voicemail")
    finally:
        in_settings(stage, "{}")
    (call,) = stage.dialled(number)
    assert call.form["MachineDetection"] == ["DetectMessageEnd"]
    stage.finish(call)
    said = [json.dumps(one.event) for session in stage.provider.sessions for one in session.received("response.create")]
    assert any("Please call us back." in one for one in said)


def test_who_picked_up_is_said_by_the_carrier_only(stage):
    number = stage.meet(new_number(), script=talk(stage))
    (result,) = stage.call({"to": number})
    sid = result["call_sid"]
    (call,) = stage.dialled(number)
    form = [("CallSid", call.sid), ("AccountSid", call.account_sid), ("AnsweredBy", "machine_start")]
    assert post(stage.fleet, f"/voice/machine/{sid}", form, token="another").status == 403
    assert post(stage.fleet, f"/voice/machine/{sid}", form[:2] + [("AnsweredBy", "Robot 9")]).status == 400
    assert post(stage.fleet, "/voice/machine/EL_nobody_2026", form).status == 204
    stage.finish(call)
    stage.row(sid, status="completed")
    assert stage.fleet.context(sid)["answered_by"] == "human"


def test_two_attempts_at_a_driver_in_the_same_second(stage):
    number = stage.meet(new_number(), outcome="busy")
    results = stage.call(*[{"driver_id": "twice", "to": number}] * 2)
    sids = [one["call_sid"] for one in results]
    assert len(set(sids)) == 2
    for sid in sids:
        stage.row(sid, status="busy")
    assert len(stage.dialled(number, 2)) == 2


def test_a_batch_with_a_bad_driver(stage):
    numbers = [stage.meet(new_number(), outcome="busy") for _ in range(12)]
    callees = [{"driver_id": f"b{i}", "to": number} for i, number in enumerate(numbers)]
    callees[3] = {"driver_id": "b3", "to": "not a number"}
    callees[5] = {"driver_id": "b5", "lead_id": 999999}
    callees[7] = {"driver_id": "b 7", "to": numbers[7]}
    callees[9] = {"driver_id": "b9"}
    results = stage.call(*callees)
    assert [one.get("driver_id") for one in results] == [f"b{i}" if i != 7 else "b 7" for i in range(12)]
    refused = {i: one["error"] for i, one in enumerate(results) if one["status"] == "refused"}
    assert refused.keys() == {3, 5, 7, 9}
    assert "+14155550123" in refused[3] and "lead" in refused[5] and "driver_id" in refused[7]
    row = stage.row(results[5]["call_sid"], status="failed")
    assert row["end_reason"] == refused[5]
    for i in set(range(12)) - refused.keys():
        stage.row(results[i]["call_sid"], status="busy")


def test_a_lead_is_called_by_its_id(stage):
    number = stage.meet(new_number(), outcome="busy")
    (lead,) = stage.fleet.sql(
        "insert into lead (business_id, phone_number, full_name) select id, %s, 'Ana Sol' from business"
        " where phone_number = %s returning id, business_id", number, BUSINESS,
    )
    answer = stage.request({"business": lead["business_id"], "callees": [{"lead_id": lead["id"]}]})
    (result,) = json.loads(answer.body)["calls"]
    assert SID.fullmatch(result["call_sid"])[1] == str(lead["id"])
    assert stage.row(result["call_sid"], status="busy")["lead_id"] == lead["id"]
    assert stage.fleet.context(result["call_sid"])["lead_first_name"] == "Ana"


# ---- the provider does not want, or does not say ----


def test_the_api_refuses(stage):
    (result,) = stage.call({"to": UNKNOWN_NUMBER})
    row = stage.row(result["call_sid"], status="failed")
    assert row["end_reason"].startswith("twilio 400 21211: The 'To' number")
    assert row["conversation_id"] is None and row["provider_call_sid"] is None
    assert jobs(stage.fleet) == {}


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_not_taken_is_sent_again(stage, status):
    number = stage.meet(new_number(), outcome="busy")
    stage.api.faults.append(status)
    asked = len(stage.api.requests)
    (result,) = stage.call({"to": number})
    stage.row(result["call_sid"], status="busy")
    assert len(stage.api.requests) == asked + 2
    assert len(stage.api.calls(number)) == 1


def test_nobody_listens_at_the_api(stage):
    number = stage.meet(new_number(), outcome="busy")
    stage.run(stage.api.stop())
    (result,) = stage.call({"to": number})
    eventually("a try", lambda: stage.fleet.logged("call put back", result["call_sid"]))
    stage.run(stage.api.start())
    stage.row(result["call_sid"], status="busy")
    assert len(stage.api.calls(number)) == 1


@pytest.mark.parametrize("fault", ["lost", 500])
def test_an_answer_that_was_lost_dials_nobody_twice(stage, fault):
    """With "lost" the call was made; its webhooks tell so, or the list. With 500 it was not."""
    number = stage.meet(new_number(), outcome="busy")
    stage.api.faults.append(fault)
    (result,) = stage.call({"to": number})
    row = stage.row(result["call_sid"], status="busy", timeout=60)
    (call,) = stage.api.calls(number)
    assert row["provider_call_sid"] == call.sid


def test_a_call_that_only_the_list_knows(stage):
    """Its webhooks cannot reach us, and the answer was lost."""
    number = stage.meet(new_number(), outcome="busy")
    other = stage.meet(number, outcome="busy")
    (first,) = stage.call({"to": other})
    stage.row(first["call_sid"], status="busy")
    stage.carrier.resolve, resolve = {}, stage.carrier.resolve
    stage.api.faults.append("lost")
    try:
        (result,) = stage.call({"to": number})
        eventually("the link", lambda: stage.fleet.session(result["call_sid"]).get("provider_call_sid"), 30)
    finally:
        stage.carrier.resolve = resolve
    calls = stage.dialled(number, 2)
    assert stage.fleet.session(result["call_sid"])["provider_call_sid"] == calls[0].sid
    assert metric(stage.fleet, "dials_found_total") >= 1
    # Nothing will be heard of it: its state is asked for.
    stage.fleet.redis().zadd(outbound_key("active"), {result["call_sid"]: 1})
    stage.row(result["call_sid"], status="busy")


def test_the_webhook_comes_before_the_answer(stage):
    number = stage.meet(new_number(), script=talk(stage))
    stage.run(clear(stage.api.release))
    stage.api.faults.append("late")
    (result,) = stage.call({"to": number})
    (call,) = stage.dialled(number)
    stage.finish(call)
    stage.run(set_event(stage.api.release))
    stage.row(result["call_sid"], status="completed", provider_call_sid=call.sid)
    eventually("the answer", lambda: metric(stage.fleet, "dials_under_way") == 0)
    assert jobs(stage.fleet) == {}
    links = [entry for _, entry in stage.fleet.journal(result["call_sid"], "events") if entry["type"] == "call_link"]
    assert len(links) == 1


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_warmer_that_ends_while_it_dials_dials_nobody_twice(stage, how):
    """None is dialled by one that stops, and the next one looks before it dials."""
    number = stage.meet(new_number(), outcome="busy")
    stage.run(clear(stage.api.release))
    stage.api.faults.append("late")
    stage.carrier.resolve, resolve = {}, stage.carrier.resolve  # no webhook will tell
    try:
        (result,) = stage.call({"to": number})
        sid = result["call_sid"]
        (call,) = stage.dialled(number)
        (waits,) = stage.call({"to": (other := stage.meet(new_number(), outcome="busy"))}, schedule_at=soon(3600))
        stage.fleet.warmer.process.send_signal(how)
        stage.fleet.redis().zadd(outbound_key("queue"), {waits["call_sid"]: 1})
        if how == signal.SIGTERM:
            stage.run(set_event(stage.api.release))
        stage.fleet.restart(stage.fleet.warmer, how)
        if how == signal.SIGKILL:
            stage.run(set_event(stage.api.release))
            stage.fleet.redis().zadd(outbound_key("queue"), {sid: 1}, xx=True)  # as if its lease had run out
        eventually("the link", lambda: stage.fleet.session(sid).get("provider_call_sid") == call.sid, 30)
    finally:
        stage.carrier.resolve = resolve
    stage.fleet.redis().zadd(outbound_key("active"), {sid: 1})
    stage.row(sid, status="busy")
    eventually("the one that waited", lambda: stage.api.calls(other))
    assert len(stage.api.calls(number)) == 1


def soon(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_without_the_database_nobody_is_called_and_the_same_request_makes_up_for_it(stage):
    numbers = [stage.meet(new_number(), outcome="busy") for _ in range(3)]
    body = {"business": BUSINESS, "callees": [{"driver_id": f"u{i}", "to": number} for i, number in enumerate(numbers)]}
    stage.fleet.postgres.stop()
    try:
        answer = stage.request(body, "key-3")
        results = json.loads(answer.body)["calls"]
        assert answer.status == 503 and [one["status"] for one in results] == ["unavailable"] * 3
        assert all("same request" in one["error"] for one in results)
    finally:
        stage.fleet.postgres.start()
    answer = eventually("the database", lambda: (found := stage.request(body, "key-3")).status == 202 and found)
    again = json.loads(answer.body)["calls"]
    assert [one["call_sid"] for one in again] == [one["call_sid"] for one in results]
    for one, number in zip(again, numbers):
        stage.row(one["call_sid"], status="busy")
        assert len(stage.api.calls(number)) == 1


# ---- asking again ----


def test_the_same_request_again_gets_the_same_answer(stage):
    number = stage.meet(new_number(), outcome="busy")
    body = {"business": BUSINESS, "callees": [{"driver_id": "again", "to": number}]}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: stage.request(body, "key-1"), range(4)))
    assert {one.status for one in answers} <= {202, 409}
    again = stage.request(body, "key-1")
    assert (again.status, again.body) == (202, next(one.body for one in answers if one.status == 202))
    stage.row(json.loads(again.body)["calls"][0]["call_sid"], status="busy")
    assert len(stage.api.calls(number)) == 1
    other = stage.request({**body, "agent": None}, "key-1")
    assert other.status == 409 and "Idempotency-Key" in json.loads(other.body)["error"]


def lose_answer(stage, driver: str) -> None:
    """As if the warmer had died after its work on a request."""
    (key,) = [
        one for one in stage.fleet.redis().scan_iter(outbound_key("key:*"))
        if driver in (stage.fleet.redis().hget(one, "answer") or "")
    ]
    stage.fleet.redis().hdel(key, "answer", "code")


def test_an_answer_that_was_never_given_is_made_again(stage):
    """The same call_sids, nobody dialled twice; also when the call has left Redis since."""
    number = stage.meet(new_number(), outcome="busy")
    body = {"business": BUSINESS, "callees": [{"driver_id": "lost", "to": number}]}
    first = stage.request(body, "key-2")
    sid = json.loads(first.body)["calls"][0]["call_sid"]
    stage.row(sid, status="busy")
    for gone in (False, True):
        if gone:
            forget(stage, sid)
        lose_answer(stage, "lost")
        again = stage.request(body, "key-2")
        assert (again.status, again.body) == (202, first.body)
        eventually("its end", lambda: sid not in jobs(stage.fleet))
        assert len(stage.api.calls(number)) == 1


def test_what_was_queued_is_not_refused_when_it_is_asked_for_again(stage):
    """Nor is what was called said to have failed: the hours are of those that are still missing."""
    number = stage.meet(new_number(), outcome="busy")
    body = {
        "business": BUSINESS,
        "callees": [{"driver_id": "late1", "to": number}, {"driver_id": "late2", "lead_id": 999999}],
        "outside_hours": "refuse",
    }
    first = stage.request(body, "key-4")
    sid = json.loads(first.body)["calls"][0]["call_sid"]
    stage.row(sid, status="busy")
    lose_answer(stage, "late1")
    hour = (time.gmtime().tm_hour + 2) % 24
    in_settings(stage, json.dumps({"calling_hours": f"{hour:02d}:00-{hour:02d}:30"}))
    try:
        again = stage.request(body, "key-4")
    finally:
        in_settings(stage, "{}")
    assert (again.status, again.body) == (202, first.body)


def test_a_scheduled_call_keeps_its_time_when_it_is_asked_for_again(stage):
    body = {"business": BUSINESS, "callees": [{"driver_id": "later", "to": new_number()}], "schedule_at": soon(3600)}
    first = stage.request(body, "key-5")
    (waits,) = json.loads(first.body)["calls"]
    lose_answer(stage, "later")
    again = stage.request(body, "key-5")
    assert (waits["status"], waits["dial_at"]) == ("scheduled", body["schedule_at"])
    assert (again.status, again.body) == (202, first.body)
    stage.fleet.redis().delete(outbound_key("queue"), outbound_key("jobs"))


def test_the_same_request_again_when_its_time_is_past(stage):
    """It came in time: as if an hour had gone since. Under another key it would call everybody once more."""
    body = {"business": BUSINESS, "callees": [{"to": new_number()}], "schedule_at": soon(-1800)}
    assert stage.request(body).status == 400
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in ("key-6", json.dumps(body))]
    first = {"digest": digests[1], "stamp": time.time_ns(), "until": 0, "code": 202, "answer": '{"calls":[]}'}
    stage.fleet.redis().hset(outbound_key(f"key:{digests[0]}"), mapping=first)
    again = stage.request(body, "key-6")
    assert (again.status, again.body) == (202, b'{"calls":[]}')


@pytest.mark.parametrize("context_bytes", [500, 8000])
def test_as_many_callees_as_a_request_may_have(stage, context_bytes):
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    callees = [{"driver_id": f"d{n}", "to": new_number(), "context": {"notes": "x" * context_bytes}} for n in range(200)]
    results = stage.call(*callees, schedule_at=at)
    assert [(one["driver_id"], one["status"]) for one in results] == [(one["driver_id"], "scheduled") for one in callees]
    stage.fleet.redis().delete(outbound_key("queue"), outbound_key("jobs"))


@pytest.mark.parametrize(
    "body, said",
    [
        ([], "no JSON object"),
        ({"callees": [{"to": "+14155550123"}]}, "business is missing"),
        ({"business": BUSINESS}, "callees is missing"),
        ({"business": BUSINESS, "callees": []}, "callees is missing"),
        ({"business": BUSINESS, "callees": [{}] * 201}, "more than 200"),
        ({"business": BUSINESS, "callees": [{}], "agent": 7}, "agent is no name"),
        ({"business": BUSINESS, "callees": [{}], "schedule_at": "soon"}, "schedule_at is no time"),
        ({"business": BUSINESS, "callees": [{}], "schedule_at": "2020-01-01T00:00:00Z"}, "schedule_at is past"),
        ({"business": BUSINESS, "callees": [{}], "outside_hours": "yes"}, "outside_hours"),
    ],
)
def test_a_request_that_cannot_be_understood(stage, body, said):
    answer = stage.request(body)
    assert answer.status == 400 and said in json.loads(answer.body)["error"]


def test_who_may_ask(stage):
    body = {"business": BUSINESS, "callees": [{"to": "+14155550123"}]}
    assert stage.request(body, bearer="no").status == 401
    answer = stage.request(body, key="")
    assert answer.status == 400 and "Idempotency-Key" in json.loads(answer.body)["error"]


def test_a_business_that_is_not_there(stage):
    answer = stage.request({"business": "+19995550000", "callees": [{"to": "+14155550123"}]})
    (result,) = json.loads(answer.body)["calls"]
    assert (answer.status, result["status"]) == (422, "refused") and "no business" in result["error"]
    answer = stage.request({"business": BUSINESS, "agent": "nobody", "callees": [{"to": "+14155550123"}]})
    (result,) = json.loads(answer.body)["calls"]
    assert "no agent of this name" in result["error"]
    stage.row(result["call_sid"], status="failed", end_reason=result["error"])


# ---- what became of it ----


def test_the_state_of_a_call(stage):
    number = stage.meet(new_number(), script=talk(stage), ring_s=1)
    stage.fleet.redis().hset(outbound_key("rate"), "twilio", "9" * 13)  # its account may not dial yet
    (result,) = stage.call({"to": number})
    sid = result["call_sid"]
    waits = stage.state(sid)
    assert (waits["state"], waits["dial_at"], waits["status"]) == ("accepted", None, None)
    stage.fleet.redis().hdel(outbound_key("rate"), "twilio")
    ringing = stage.wait_state(sid, "dialling")
    assert (ringing["code"], ringing["direction"], ringing["source"]) == (200, "outbound", "redis")
    talking = stage.wait_state(sid, "in-progress")
    (call,) = stage.dialled(number)
    assert (talking["status"], talking["provider_call_sid"]) == ("in-progress", call.sid)
    stage.finish(call)
    ended = stage.wait_state(sid, "ended")
    assert (ended["status"], ended["conversation_id"], ended["dial_at"]) == ("completed", None, None)
    assert ":" in sid and stage.state(quote(sid, safe="")) == ended
    forget(stage, sid)
    kept = stage.state(sid)
    assert (kept["code"], kept["source"], kept["state"]) == (200, "postgres", "ended")
    same = ("call_sid", "status", "reason", "provider_call_sid", "conversation_id", "direction")
    assert {name: kept[name] for name in same} == {name: ended[name] for name in same}


def forget(stage, sid: str) -> None:
    """As if the retention had passed."""
    stage.fleet.wait_flushed(sid)
    stage.fleet.redis().delete(*[f"rf:{{p0}}:call:{sid}{part}" for part in ("", ":session", ":writes", ":events")])


@pytest.mark.parametrize("number, status, reason", [(UNKNOWN_NUMBER, "failed", "twilio 400 21211"), (None, "busy", None)])
def test_the_state_of_a_call_that_failed(stage, number, status, reason):
    (result,) = stage.call({"to": number or stage.meet(new_number(), outcome="busy")})
    sid = result["call_sid"]
    for _ in range(2):
        failed = stage.wait_state(sid, "failed")
        assert failed["status"] == status and (failed["reason"] or "").startswith(reason or "")
        forget(stage, sid)
    assert failed["source"] == "postgres"


def test_the_state_of_a_call_that_waits(stage):
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    (result,) = stage.call({"to": new_number()}, schedule_at=at)
    sid = result["call_sid"]
    waits = stage.state(sid)
    assert (waits["state"], waits["dial_at"], waits["status"]) == ("accepted", at, None)
    stage.fleet.redis().delete(outbound_key("queue"), outbound_key("jobs"))
    assert (stage.state(sid)["state"], stage.state(sid)["source"]) == ("accepted", "postgres")


def test_the_state_of_no_call(stage):
    unknown = stage.state("EL_nobody_2026")
    assert unknown["code"] == 404 and "no call has this call_sid" in unknown["error"]
    assert stage.state("EL_nobody_2026", bearer="no")["code"] == 401
    for none in ("not%20a%20sid", "EL%", "EL%00", "EL_nobody_2026%00", "EL_" + 200 * "%3A"):
        assert stage.state(none) == {"code": 404}
    os.kill(stage.fleet.redis_server._process.pid, signal.SIGSTOP)
    try:
        assert stage.state("EL_nobody_2026")["code"] == 503
    finally:
        os.kill(stage.fleet.redis_server._process.pid, signal.SIGCONT)
    eventually("Redis", lambda: stage.state("EL_nobody_2026")["code"] == 404)


# ---- when ----


def in_settings(stage, settings: str) -> None:
    stage.fleet.sql("update business_settings set settings = %s::jsonb", settings)


def test_scheduled_calls_outlive_the_warmer(stage):
    number = stage.meet(new_number(), outcome="busy")
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
    (result,) = stage.call({"to": number}, schedule_at=at)
    assert (result["status"], result["dial_at"]) == ("scheduled", at)
    stage.fleet.restart(stage.fleet.warmer, signal.SIGKILL)
    stage.row(result["call_sid"], status="busy")
    (call,) = stage.api.calls(number)
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(call.date_created)) >= at


def lead_in(stage, zone: str) -> int:
    number = stage.meet(new_number(), outcome="busy")
    (lead,) = stage.fleet.sql(
        "insert into lead (business_id, phone_number, custom) select id, %s, jsonb_build_object('timezone', %s::text)"
        " from business where phone_number = %s returning id", number, zone, BUSINESS,
    )
    return lead["id"]


def test_quiet_hours_are_those_of_the_callee(stage):
    """Where it is known what the clock says there."""
    hour = time.gmtime().tm_hour
    begins, ends = max(hour - 1, 0), min(hour + 2, 24)
    in_settings(stage, json.dumps({"calling_hours": f"{begins:02d}:00-{ends:02d}:00"}))
    try:
        (here,) = stage.call({"lead_id": lead_in(stage, "Etc/UTC")})
        assert here["status"] == "queued"
        stage.row(here["call_sid"], status="busy")
        (there,) = stage.call({"lead_id": lead_in(stage, "Etc/GMT-6")})  # six hours ahead
        assert there["status"] == "scheduled" and f"T{(begins - 6) % 24:02d}:00:00Z" in there["dial_at"]
        stage.fleet.redis().zadd(outbound_key("queue"), {there["call_sid"]: 1})
        eventually("a look at the clock", lambda: stage.fleet.logged("call waits for the calling hours", there["call_sid"]))
        (odd,) = stage.call({"lead_id": lead_in(stage, "Moon/Tranquility")})  # as if none had been said
        assert odd["status"] == "queued"
        stage.row(odd["call_sid"], status="busy")
    finally:
        in_settings(stage, "{}")
        stage.fleet.redis().delete(*[outbound_key(kind) for kind in ("queue", "jobs", "active", "busy")])


def test_quiet_hours(stage):
    number = stage.meet(new_number(), outcome="busy")
    hour = (time.gmtime().tm_hour + 2) % 24
    in_settings(stage, json.dumps({"calling_hours": f"{hour:02d}:00-{hour:02d}:30"}))
    try:
        answer = stage.request({"business": BUSINESS, "callees": [{"to": number}], "outside_hours": "refuse"})
        (refused,) = json.loads(answer.body)["calls"]
        assert answer.status == 422 and "calling hours" in refused["error"]
        stage.row(refused["call_sid"], status="failed", end_reason=refused["error"])
        (waits,) = stage.call({"to": number})
        assert waits["status"] == "scheduled" and f"T{hour:02d}:00:00Z" in waits["dial_at"]
        # Even one that comes due by mistake is not made.
        stage.fleet.redis().zadd(outbound_key("queue"), {waits["call_sid"]: 1})
        eventually("a look at the clock", lambda: stage.fleet.logged("call waits for the calling hours", waits["call_sid"]))
        assert stage.api.calls(number) == []
    finally:
        in_settings(stage, "{}")
        stage.fleet.redis().delete(*[outbound_key(kind) for kind in ("queue", "jobs", "active", "busy")])


def test_hours_that_are_not_understood_are_refused_at_start(stage):
    program = stage.fleet.warmer
    env = {**os.environ, **program._env, "RINGFLEET_CALLING_HOURS": "21:00-08:00"}
    done = subprocess.run([str(bin_directory() / "warmer")], env=env, capture_output=True, text=True, timeout=20)
    assert done.returncode != 0 and "RINGFLEET_CALLING_HOURS is not right" in done.stderr


@pytest.mark.parametrize("said, kept", [("1,000", "1000"), ("3 at once", "1000"), ("-1", "1000"), (3, "3"), (" 3", "3")])
def test_places_that_are_no_number_are_the_usual_ones(stage, said, kept):
    """1000 is what the stage sets."""
    number = stage.meet(new_number(), outcome="busy")
    in_settings(stage, json.dumps({"max_calls": said}))
    try:
        (waits,) = stage.call({"to": new_number()}, schedule_at=soon(3600))
        assert jobs(stage.fleet)[waits["call_sid"]]["max_calls"] == kept
        stage.fleet.redis().delete(outbound_key("queue"), outbound_key("jobs"))
        (result,) = stage.call({"to": number})
        stage.row(result["call_sid"], status="busy")
    finally:
        in_settings(stage, "{}")


def test_a_job_that_nobody_understands_fails_its_call(stage):
    (waits,) = stage.call({"to": new_number()}, schedule_at=soon(3600))
    sid = waits["call_sid"]
    stage.fleet.redis().hset(outbound_key("jobs"), sid, "{")
    stage.fleet.redis().zadd(outbound_key("queue"), {sid: 1})
    stage.row(sid, status="failed", end_reason="its job in the queue is not understood")
    assert jobs(stage.fleet) == {}


def test_a_row_that_names_no_business_is_refused(tmp_path):
    """Places are counted by business. The statement may be somebody's own."""
    builtin = (TESTS.parent / "warmer/sql/open_outbound_call.sql").read_text()
    own = builtin.replace("business_id::text as business_id", "null::text as business_id")
    assert own != builtin
    (tmp_path / "open_outbound_call.sql").write_text(own)
    with OutboundStage(RINGFLEET_SQL_DIR=str(tmp_path)) as stage:
        answer = stage.request({"business": BUSINESS, "callees": [{"to": new_number()}]})
        (result,) = json.loads(answer.body)["calls"]
        assert (answer.status, result["status"]) == (422, "refused")
        assert "no business_id" in result["error"]
        stage.row(result["call_sid"], status="failed", end_reason=result["error"])
        assert jobs(stage.fleet) == {}


@pytest.mark.parametrize("lost, streams", [("/voice/after/0", [0, 1]), ("/voice/after/1", [0, 1, 2])])
def test_a_call_whose_worker_and_next_document_are_lost_goes_on_where_it_broke(lost, streams):
    """The carrier asks the call's fallback then, which is where the call began."""

    async def stays(call) -> None:
        await call.wait_for(lambda: len(call.times("stream-started")) == len(streams), 60, "the last stream")
        call.hang_up()

    with OutboundStage(workers=3, RINGFLEET_RECORD_CALLS="1") as stage:
        stage.carrier.faults = Faults(lost_webhook=lost)
        number = stage.meet(new_number(), script=stays)
        (result,) = stage.call({"to": number})
        (call,) = stage.dialled(number)
        for n in streams[1:]:
            eventually("the stream", lambda: len(call.times("stream-started")) == n)
            eventually("its worker", lambda: stage.fleet.session(result["call_sid"]).get("claimed_n") == str(n - 1))
            alive = [one for one in stage.fleet.workers if one.process.poll() is None]
            carries = lambda: [one for one in alive if one.metrics()["ringfleet_calls_active"] == 1]
            (worker,) = eventually("its count", carries)
            worker.signal(signal.SIGKILL)
            worker.process.wait()
            stage.route()
        stage.finish(call)
        call.check()
        stage.row(result["call_sid"], status="completed")
        assert [stream_of(one) for one in call.data("connect")] == streams
        assert sum(one["body"].count("<Recording") for one in call.data("twiml")) == 1
        assert metric(stage.fleet, "fallbacks_total") == 1


def stream_of(connect: dict[str, str]) -> int:
    return int(re.search(r"/voice/after/(\d+)#", connect["action"])[1])


def test_rate_and_places():
    with OutboundStage(RINGFLEET_CALLS_PER_SECOND="4", RINGFLEET_MAX_BUSINESS_CALLS="2") as stage:
        numbers = [stage.meet(new_number(), outcome="no-answer", ring_s=1.5) for _ in range(6)]
        results = stage.call(*[{"to": number} for number in numbers])
        most = 0
        for number in numbers:
            while not stage.api.calls(number):
                most = max(most, sum(not one.task.done() for one in stage.carrier.calls))
                time.sleep(0.02)
        for one in results:
            stage.row(one["call_sid"], status="no-answer")
        began = stage.api.request_s
        assert most == 2
        assert min(b - a for a, b in zip(began, began[1:])) > 0.2
        stage.api.check()
