"""A business is told of each of its calls: signed, at least once, under one id, after the flush was committed; and
nothing of ours can be reached through the address it gives."""

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from standins.hook_receiver import HookReceiver

from .after_call import QUICK, in_turn, job, served, wait_job
from .flusher_rig import FlusherRig
from .servers import eventually

KILLS = int(os.environ.get("RINGFLEET_TEST_KILLS", "12"))


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def receiver():
    yield from served(HookReceiver())


@pytest.fixture
def rig(servers, receiver):
    yield from in_turn(servers)


@pytest.fixture
def settings(receiver) -> dict:
    return QUICK | {
        "after_call_hook": 1,
        "after_call_url": f"{receiver.url}/calls",
        "after_call_secret": receiver.secret,
        "after_call_allow_private": 1,
    }


def ended_call(rig, sid: str, final: bool = True):
    call = rig.call(sid).open().claim()
    call.turn("Hello, grüß Gott", "caller")
    call.turn("Good morning", "assistant")
    call.end("caller_hangup")
    if final:
        call.status("completed", 3, final=True, duration=31)
    return call


def test_what_is_told(rig, receiver, settings):
    business = rig.one(
        "insert into business (name, phone_number) values ('B', '+14155550199') returning id"
    )["id"]
    rig.sql(
        "insert into call_log (call_sid, business_id, direction, from_number, to_number) "
        "values ('CA1', %s, 'inbound', '+14155550123', '+14155550199')",
        business,
    )
    rig.start(**settings)
    ended_call(rig, "CA1")
    wait_job(rig, "hook", "CA1")
    (told,) = receiver.told
    body = told.body
    assert told.id == "call_ended_CA1"
    assert (body["call_sid"], body["business_id"], body["status"]) == ("CA1", business, "completed")
    assert (body["from"], body["end_reason"], body["duration_seconds"]) == ("+14155550123", "caller_hangup", 31)
    assert [(turn["speaker"], turn["text"]) for turn in body["turns"]] == [
        ("caller", "Hello, grüß Gott"),
        ("assistant", "Good morning"),
    ]


def test_a_summary_of_ones_own(rig, receiver, settings, tmp_path):
    """Ready may be a text; a call without a row is given up with a reason that tells."""
    own = (Path(__file__).parents[2] / "flusher" / "sql" / "jobs" / "after_call_summary.sql").read_text()
    rows = f"select ready::text, url, secret, body from ({own}) as summary where $1::text <> 'CA2'"
    (tmp_path / "after_call_summary.sql").write_text(rows)
    rig.start(**settings | {"sql_dir": tmp_path, "job_attempts": 2})
    ended_call(rig, "CA1")
    ended_call(rig, "CA2")
    wait_job(rig, "hook", "CA1")
    assert [told.id for told in receiver.told] == ["call_ended_CA1"]
    wait_job(rig, "hook", "CA2", "dead")
    assert job(rig, "hook", "CA2")["error"] == "after_call_summary.sql has not one row for this call"


def test_the_last_word_of_the_carrier_is_waited_for(rig, receiver, settings):
    rig.start(**settings)
    call = ended_call(rig, "CA1", final=False)
    rig.wait_flushed()
    eventually("it to have been looked at", lambda: job(rig, "hook", "CA1")["error"])
    assert receiver.told == [] and job(rig, "hook", "CA1")["attempts"] == 0
    call.status("completed", 3, final=True, duration=31)
    wait_job(rig, "hook", "CA1")
    assert receiver.told[0].body["status"] == "completed"


def test_a_word_that_never_comes_is_not_waited_for_for_ever(rig, receiver, settings):
    rig.start(**settings)
    ended_call(rig, "CA1", final=False)
    rig.wait_flushed()
    rig.sql("update after_call_job set created_at = created_at - interval '2 minutes'")
    wait_job(rig, "hook", "CA1")
    assert receiver.told[0].body["status"] is None


def lost_call(rig, sid: str):
    """Its worker said nothing for so long that the call was ended for it."""
    call = rig.call(sid).open().claim(lease_ms=-100_000)
    call.turn("Hello", "caller")
    eventually("the call to be given up", lambda: rig.redis.hget(call.session, "reason") == "worker_lost")
    rig.wait_flushed()
    return call


def let_job_age(rig, sid: str, by: str) -> None:
    rig.sql("update after_call_job set created_at = created_at - %s::interval, error = null where subject = %s", by, sid)


def test_a_call_whose_worker_comes_back_is_told_once_it_is_over(rig, receiver, settings):
    rig.start(**settings | {"reap_grace_ms": 0})
    call = lost_call(rig, "CA1").reclaim()
    let_job_age(rig, "CA1", "2 minutes")
    eventually("it to have been looked at again", lambda: job(rig, "hook", "CA1")["error"])
    assert receiver.told == []
    call.turn("As I said", "caller")
    call.end("caller_hangup")
    call.status("completed", 3, final=True, duration=31)
    wait_job(rig, "hook", "CA1")
    (told,) = receiver.told
    assert [turn["text"] for turn in told.body["turns"]] == ["Hello", "As I said"]
    assert told.body["end_reason"] == "caller_hangup"


def test_a_call_that_died_with_its_worker_and_the_carriers_word_is_told_in_the_end(rig, receiver, settings):
    rig.start(**settings | {"reap_grace_ms": 0})
    lost_call(rig, "CA1")
    let_job_age(rig, "CA1", "25 hours")
    wait_job(rig, "hook", "CA1")
    assert receiver.told[0].body["end_reason"] == "worker_lost"


def test_a_business_has_an_address_of_its_own(rig, receiver, settings):
    own = HookReceiver()
    business = rig.one(
        "insert into business (name, phone_number) values ('B', '+14155550199') returning id"
    )["id"]
    rig.sql(
        "insert into business_settings (business_id, settings) values (%s, %s)",
        business,
        json.dumps({"after_call_url": own.url, "after_call_secret": own.secret}),
    )
    rig.sql("insert into call_log (call_sid, business_id) values ('CA1', %s)", business)
    rig.start(**settings)
    ended_call(rig, "CA1")
    ended_call(rig, "CA2")
    wait_job(rig, "hook", "CA1")
    wait_job(rig, "hook", "CA2")
    own.stop()
    own.check()
    assert [told.id for told in own.told] == ["call_ended_CA1"]
    assert [told.id for told in receiver.told] == ["call_ended_CA2"]


def test_nobody_to_tell(rig, receiver, settings):
    rig.start(**settings | {"after_call_url": ""})
    ended_call(rig, "CA1")
    assert wait_job(rig, "hook", "CA1")["result"] == "nobody wants to be told"


def test_a_receiver_with_trouble_is_told_again_under_the_same_id(rig, receiver, settings):
    receiver.faults.extend([500, 404, 302])
    flusher = rig.start(**settings)
    ended_call(rig, "CA1")
    wait_job(rig, "hook", "CA1")
    assert [told.answer for told in receiver.told] == [500, 404, 302, 200]
    assert {told.id for told in receiver.told} == {"call_ended_CA1"}
    assert flusher.metrics()['ringfleet_job_failures_total{kind="hook"}'] == 3


def test_a_receiver_that_stays_away_is_given_up(rig, receiver, settings):
    rig.start(**settings | {"after_call_url": "http://127.0.0.1:1/calls", "job_attempts": 3})
    ended_call(rig, "CA1")
    dead = wait_job(rig, "hook", "CA1", "dead")
    assert dead["attempts"] == 3 and "receiver" in dead["error"]
    assert rig.command("jobs", "discard", "all", **settings).returncode == 0
    assert job(rig, "hook", "CA1")["result"] == "discarded"


def test_who_says_gone_is_left_alone(rig, receiver, settings):
    receiver.faults.append(410)
    rig.start(**settings)
    ended_call(rig, "CA1")
    assert wait_job(rig, "hook", "CA1", "dead")["attempts"] == 1


@pytest.mark.parametrize(
    "url, why",
    [
        ("https://127.0.0.1:1/", "not of the public internet"),
        ("https://localhost:1/", "not of the public internet"),
        ("http://shop.example/", "https://"),
    ],
)
def test_private_addresses_are_not_asked(rig, receiver, settings, url, why):
    rig.start(**settings | {"after_call_allow_private": 0, "after_call_url": url})
    ended_call(rig, "CA1")
    assert why in wait_job(rig, "hook", "CA1", "dead")["error"]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "a plain word", "whsec_!!!"])
def test_nothing_is_sent_unsigned(rig, receiver, settings, secret):
    rig.start(**settings | {"after_call_secret": secret})
    ended_call(rig, "CA1")
    assert "whsec_" in wait_job(rig, "hook", "CA1", "dead")["error"]
    assert receiver.told == []


def test_a_flusher_that_is_killed_while_it_tells(rig, receiver, settings):
    receiver.held = True
    first = rig.start(**settings)
    ended_call(rig, "CA1")
    receiver.wait_held()
    first.signal(signal.SIGKILL)
    receiver.held = False
    rig.start(**settings)
    wait_job(rig, "hook", "CA1")
    assert [told.id for told in receiver.told] == 2 * ["call_ended_CA1"]


def test_a_flusher_that_stops_finishes_what_it_is_telling(rig, receiver, settings):
    receiver.held = True
    first = rig.start(**settings)
    ended_call(rig, "CA1")
    receiver.wait_held()
    first.signal(signal.SIGTERM)
    eventually("it to stop", lambda: "stopping" in first.text())
    receiver.release.set()
    first.process.wait(20)
    assert first.process.returncode == 0
    assert job(rig, "hook", "CA1")["state"] == "done" and len(receiver.told) == 1


def test_no_call_is_lost_however_often_flushers_are_killed(rig, receiver, settings):
    chance = random.Random(7)
    receiver.faults.extend(chance.choice([200, 200, 500]) for _ in range(40))
    sids = [f"CA{n}" for n in range(60)]
    for sid in sids:
        ended_call(rig, sid)
    for _ in range(KILLS):
        flusher = rig.start(wait=False, **settings | {"batch_calls": 5, "claim_idle_ms": 100, "job_attempts": 100})
        moment = chance.random() * 0.8
        try:
            flusher.process.wait(moment)
        except subprocess.TimeoutExpired:
            flusher.signal(signal.SIGKILL)
            flusher.process.wait()
    rig.start(**settings | {"claim_idle_ms": 100, "job_attempts": 100})
    rig.wait_flushed()
    for sid in sids:
        wait_job(rig, "hook", sid, timeout=60)
    told = {one.body["call_sid"] for one in receiver.told if one.answer == 200}
    assert told == set(sids)
    assert rig.one("select count(*) as n from after_call_job")["n"] == len(sids)
    assert all(len(rig.turns(sid)) == 2 for sid in sids)
