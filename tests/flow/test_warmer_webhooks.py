"""The webhooks beside the first one, and what is done to those that do not behave."""

import http.client
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import pytest

from flow.fleet import AUTH_TOKEN, PUBLIC_URL
from flow.servers import eventually
from flow.warmer_rig import (
    APOLOGY,
    BUSINESS,
    CALLER,
    DEADLINE_MS,
    REFUSAL,
    SLACK_MS,
    dialled,
    events,
    after,
    form_of,
    call_row,
    frozen_database,
    metric,
    new_sid,
    post,
    report,
    ring,
    send,
    set_settings,
    wait_database,
    wait_redis,
    whole_context,
    without_workers,
)
from standins.webhook import signature

pytestmark = pytest.mark.usefixtures("programs")

KEY = "the key of the test fleet"
REQUEST_MAX_S = 10  # of warmer/server.c
LARGE_MAX = 8  # the same
ONCE_MORE = "#rt=3000&rc=2&rp=ct,rt,5xx"  # by itself the carrier does not repeat what was answered 503
FLOOD = 16 * 1024 * 1024  # what a kernel's buffers never hold


@pytest.fixture(scope="module")
def shared():
    with without_workers(RINGFLEET_API_KEY=KEY) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared):
    wait_database(shared)
    return shared


# ---- stream, recording ----


def tell(fleet, path, sid, **more):
    return post(fleet, path, [("CallSid", sid), ("AccountSid", "AC1"), *more.items()])


def test_a_stream_error_is_kept_once_and_counted(fleet):
    sid, before = new_sid(), metric(fleet, "stream_errors_total")
    ring(fleet, sid)
    said = {"StreamSid": "MZ1", "StreamEvent": "stream-error", "StreamError": "31920 – upgrade failed"}
    assert tell(fleet, "/voice/stream", sid, StreamSid="MZ1", StreamEvent="stream-started").status == 204
    for _ in range(2):
        answer = tell(fleet, "/voice/stream", sid, **said)
        assert (answer.status, answer.body) == (204, b"")
    (entry,) = events(fleet, sid)
    assert entry | {"at": ""} == {
        "id": "stream:MZ1", "type": "stream_error", "by": "warmer", "at": "",
        "stream_sid": "MZ1", "error": "31920 – upgrade failed",
    }
    assert metric(fleet, "stream_errors_total") == before + 2
    assert fleet.session(sid)["phase"] == "ringing"
    assert fleet.logged("stream error", sid)[0]["error"] == "31920 – upgrade failed"
    report(fleet, sid, "completed")
    fleet.wait_flushed(sid)
    (row,) = fleet.sql("select data -> 'stream_errors' as errors from call_session where call_sid = %s", sid)
    assert [(one["stream_sid"], one["error"]) for one in row["errors"]] == [("MZ1", "31920 – upgrade failed")]


def test_a_long_stream_error_is_cut_between_characters(fleet):
    sid = new_sid()
    ring(fleet, sid)
    tell(fleet, "/voice/stream", sid, StreamSid="MZ1", StreamEvent="stream-error", StreamError="é" * 4000)
    assert events(fleet, sid)[0]["error"] == "é" * 250


def test_recordings_are_known_by_their_sid(fleet):
    sid = new_sid()
    ring(fleet, sid)
    report(fleet, sid, "completed", SequenceNumber="3")
    fleet.wait_flushed(sid)
    url = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"
    done = {"RecordingSid": "RE1" + sid, "RecordingUrl": url, "RecordingStatus": "completed", "RecordingDuration": "7"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: tell(fleet, "/voice/recording", sid, **done), range(4)))
    assert {answer.status for answer in answers} == {204}
    (entry,) = [entry for entry in events(fleet, sid) if entry["type"] == "recording"]
    assert (entry["recording_sid"], entry["url"], entry["duration"]) == ("RE1" + sid, url, "7")
    fleet.wait_flushed(sid)
    (row,) = fleet.sql("select * from recording where call_sid = %s", sid)
    assert (row["url"], row["duration_seconds"]) == (url, 7)


def test_a_recording_that_was_not_made_is_counted(fleet):
    sid, before = new_sid(), metric(fleet, "recordings_absent_total")
    for status in ("in-progress", "absent", "failed"):
        assert tell(fleet, "/voice/recording", sid, RecordingSid="RE2", RecordingStatus=status).status == 204
    assert metric(fleet, "recordings_absent_total") == before + 2
    assert events(fleet, sid) == []


@pytest.mark.parametrize(
    "path, more",
    [
        ("/voice/stream", {"StreamSid": "MZ1"}),
        ("/voice/stream", {"StreamSid": "}{", "StreamEvent": "stream-error"}),
        ("/voice/recording", {"RecordingSid": "RE1"}),
        ("/voice/recording", {"RecordingSid": "RE1", "RecordingStatus": "completed", "RecordingUrl": "file:///x"}),
        ("/voice/recording", {"RecordingSid": "RE1", "RecordingStatus": "absent", "RecordingDuration": "-1"}),
    ],
)
def test_malformed_callbacks_are_refused(fleet, path, more):
    sid = new_sid()
    assert tell(fleet, path, sid, **more).status == 400
    assert fleet.session(sid) == {} and events(fleet, sid) == []


@pytest.mark.parametrize("path", ["/voice/stream", "/voice/recording", "/voice/fallback"])
@pytest.mark.parametrize("token", ["another token", None])
def test_forged_ones_change_nothing(fleet, path, token):
    sid = new_sid()
    assert post(fleet, path, form_of(sid, StreamEvent="stream-error", StreamSid="MZ1"), token).status == 403
    assert fleet.session(sid) == {} and events(fleet, sid) == []


# ---- the carrier's fallback ----


def rescue(fleet, sid, url="/voice/incoming", **more):
    return post(
        fleet, "/voice/fallback", form_of(sid, ErrorCode="11200", ErrorUrl=PUBLIC_URL + url + "#rc=2", **more)
    )


def test_a_call_that_was_never_answered_is_opened(fleet):
    sid = new_sid()
    action, _, token = rescue(fleet, sid).connect()
    assert action == f"{PUBLIC_URL}/voice/after/0" and token == fleet.session(sid)["token:0"]
    assert rescue(fleet, sid).connect()[2] == token
    assert ring(fleet, sid).connect()[2] == token
    assert call_row(fleet, sid)
    assert fleet.logged("carrier asked the fallback", sid)[0]["error_code"] == "11200"


def test_a_call_that_had_a_stream_goes_on_after_it(fleet):
    sid = new_sid()
    ring(fleet, sid)
    fleet.redis().hset(fleet.key(sid, ":session"), "claimed_n", "1")
    action, _, token = rescue(fleet, sid).connect()
    assert action == f"{PUBLIC_URL}/voice/after/2" and token == fleet.session(sid)["token:2"]
    action, _, token = rescue(fleet, sid, "/voice/after/2").connect()
    assert action == f"{PUBLIC_URL}/voice/after/3" and token == fleet.session(sid)["token:3"]
    fleet.redis().hset(fleet.key(sid, ":session"), "verdict", "hangup")
    assert rescue(fleet, sid, "/voice/after/2").names() == ["Hangup"]
    assert rescue(fleet, sid).names() == ["Hangup"]
    assert APOLOGY in rescue(fleet, new_sid(), "/voice/after/0").words()


def test_a_call_that_outlived_its_context_goes_on_too(fleet):
    sid = new_sid()
    ring(fleet, sid)
    fleet.redis().hset(fleet.key(sid, ":session"), "claimed_n", "0")
    fleet.redis().delete(fleet.key(sid))  # RINGFLEET_CONTEXT_TTL_SECONDS later
    action, _, token = rescue(fleet, sid).connect()
    assert action == f"{PUBLIC_URL}/voice/after/1" and token == fleet.session(sid)["token:1"]
    assert fleet.context(sid) == {}


# ---- verdicts, direction ----


def test_the_apology_verdict_says_the_business_own_words(fleet):
    sid = new_sid()
    ring(fleet, sid)
    fleet.redis().hset(fleet.key(sid, ":session"), "verdict", "apology")
    assert APOLOGY in after(fleet, sid, 0).words()
    set_settings(fleet, '{"apology_text": "Harbour Dental is busy. Please call again.", "fallback_number": "+1"}')
    try:
        ring(fleet, new_sid())
        assert after(fleet, sid, 0).words() == "Harbour Dental is busy. Please call again."
    finally:
        set_settings(fleet, "{}")
        ring(fleet, new_sid())


def test_an_outbound_call_is_about_the_other_number(fleet):
    sid = new_sid()
    swapped = {"From": BUSINESS, "To": CALLER, "Direction": "outbound-api", "AnsweredBy": "machine_start"}
    ring(fleet, sid, **swapped).connect()
    context = fleet.context(sid)
    assert (context["direction"], context["business_name"]) == ("outbound", "Harbour Dental")
    assert context["answered_by"] == "machine_start"
    assert context["lead_notes"] == "Called last year about whitening."
    assert context["greeting"].startswith("Hello, this is Harbour Dental calling")


def test_what_workers_look_for(fleet):
    hours = '{"mon": [["09:00", "18:00"]]}'
    fleet.sql("update business_settings set working_hours = %s::jsonb", hours)
    fleet.sql("update business set timezone = 'Mars/Olympus' where phone_number = %s", BUSINESS)
    set_settings(fleet, '{"transfer_number": "+14155550111", "tools": [{"name": "x"}]}')
    try:
        ring(fleet, sid := new_sid()).connect()
        context = whole_context(fleet, sid)  # a bad time zone does not fail the load
        assert context["business_timezone"] == "UTC" and context["local_time"]
        assert json.loads(context["working_hours"]) == json.loads(hours)
        assert (context["transfer_number"], json.loads(context["tools"])) == ("+14155550111", [{"name": "x"}])
        assert fleet.logged("unknown time zone, using UTC")[0]["timezone"] == "Mars/Olympus"
    finally:
        fleet.sql("update business set timezone = 'UTC' where phone_number = %s", BUSINESS)
        set_settings(fleet, "{}")


# ---- health, prompts ----


def test_health_on_the_public_port(fleet):
    answer = send(fleet, "GET", "/healthz", b"", {})
    assert (answer.status, answer.body) == (200, b"ok\n")
    assert send(fleet, "POST", "/healthz", b"", {}).status == 405


def ask_prompts(fleet, body, key=KEY):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    answer = send(fleet, "POST", "/prompts", json.dumps(body).encode() if not isinstance(body, bytes) else body, headers)
    return answer.status, json.loads(answer.body) if answer.body else None


def test_prompts_for_other_channels(fleet):
    set_settings(fleet, json.dumps({"channels": {"sms": {
        "prompt_full": "Texts of {{business_name}}{{#lead_notes}}, notes: {{lead_notes}}{{/lead_notes}}",
        "greeting_outbound": "Hi from {{business_name}} {{#broken}}",
    }}}))
    rows = len(fleet.sql("select 1 from call_log")), len(fleet.sql("select 1 from lead"))
    asked = {"business_number": BUSINESS, "lead_number": CALLER, "channel": "sms"}
    status, made = ask_prompts(fleet, asked)
    assert status == 200 and made["source"] == "database" and made["channel"] == "sms"
    assert made["prompt_full"] == "Texts of Harbour Dental, notes: Called last year about whitening."
    assert made["prompt_compact"] == "You answer the phone of Harbour Dental. Be brief and friendly."
    status, made = ask_prompts(fleet, asked | {"direction": "outbound"})
    assert made["greeting"] == "Hello, this is Harbour Dental."  # its own is broken
    (line,) = [line for line in fleet.logged("template is broken, using the next one") if line["of"] == "sms"]
    assert (line["template"], line["line"]) == ("greeting_outbound", 1)
    status, made = ask_prompts(fleet, {"business_number": BUSINESS, "lead_number": "+14155557777"})
    assert (status, made["channel"]) == (200, "voice") and made["prompt_full"].startswith("You answer the phone")
    assert (len(fleet.sql("select 1 from call_log")), len(fleet.sql("select 1 from lead"))) == rows
    assert ask_prompts(fleet, asked | {"business_number": "+1999"}) == (
        404, {"error": "no business has this number or id"},
    )
    set_settings(fleet, "{}")


def test_prompts_of_a_business_by_its_id(fleet):
    (row,) = fleet.sql("select id from business where phone_number = %s", BUSINESS)
    _, by_number = ask_prompts(fleet, {"business_number": BUSINESS, "lead_number": CALLER})
    for id_ in (row["id"], str(row["id"])):
        for direction in ("inbound", "outbound"):
            asked = {"lead_number": CALLER, "direction": direction}
            assert ask_prompts(fleet, asked | {"business_id": id_}) == ask_prompts(
                fleet, asked | {"business_number": BUSINESS}
            )
    assert by_number["prompt_full"]
    for unknown in (999999, "999999", "no-id", -1):
        assert ask_prompts(fleet, {"business_id": unknown})[0] == 404
    assert fleet.redis().exists(f"rf:number:{row['id']}") == 0
    refused = ring(fleet, new_sid(), To=str(row["id"]))  # no caller reaches a business by its id
    assert refused.names() == ["Say", "Hangup"] and REFUSAL in refused.words()


def test_prompts_come_from_the_snapshot_while_the_database_is_away():
    with without_workers(RINGFLEET_API_KEY=KEY) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        business_id = fleet.context(sid)["business_id"]
        eventually("the snapshot", lambda: fleet.redis().exists(f"rf:business:{business_id}"))
        fleet.postgres.stop()
        wait_database(fleet, 0)
        for asked in ({"business_id": business_id}, {"business_number": BUSINESS}):
            status, made = ask_prompts(fleet, asked)
            assert (status, made["source"]) == (200, "snapshot") and "Harbour Dental" in made["prompt_full"]
        for asked in ({"business_id": "999"}, {"business_number": "+14155558888"}):
            assert ask_prompts(fleet, asked) == (503, {"error": "the database cannot be asked now"})


@pytest.mark.parametrize(
    "body, error",
    [
        (b"{", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'"\xff"', "no JSON object"),
        ({}, "business_number"),
        ({"business_number": 7}, "business_number"),
        ({"business_number": BUSINESS, "business_id": 1}, "one of them"),
        ({"business_id": ""}, "business_id"),
        ({"business_id": 1.5}, "business_id"),
        ({"business_id": "1" * 256}, "business_id"),
        ({"business_number": BUSINESS, "channel": ""}, "channel"),
        ({"business_number": BUSINESS, "channel": "x" * 33}, "channel"),
        ({"business_number": BUSINESS, "direction": "sideways"}, "direction"),
    ],
)
def test_prompts_that_are_not_asked_for_well(fleet, body, error):
    status, said = ask_prompts(fleet, body)
    assert status == 400 and error in said["error"]


@pytest.mark.parametrize("key", [None, "", "another key", KEY + "x"])
def test_prompts_need_the_key(fleet, key):
    assert ask_prompts(fleet, {"business_number": BUSINESS}, key) == (401, None)


# ---- requests that do not behave ----


def raw(fleet, sid, path="/voice/incoming", **more):
    """A whole signed request as bytes."""
    form = form_of(sid, **more)
    body = urlencode(form).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"X-Twilio-Signature: {signature(AUTH_TOKEN, PUBLIC_URL + path, form)}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def open_socket(fleet):
    host, port = fleet.warmer.listen.split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_name_in_another_encoding_costs_no_call(fleet):
    headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "x"}
    assert send(fleet, "POST", "/voice/incoming", b"CallSid=CA1&FromCity=%FF", headers).status == 403
    before = metric(fleet, "texts_mended_total")
    ring(fleet, new_sid(), CallerName="Ren\udce9", SipHeader_X="\udcff").connect()
    assert metric(fleet, "texts_mended_total") == before + 1


def test_pipelined_requests_are_answered_in_order(fleet):
    sids = [new_sid() for _ in range(20)]
    with open_socket(fleet) as connection:
        connection.sendall(b"".join(raw(fleet, sid) for sid in sids))
        text = b""
        while text.count(b"</Response>") < len(sids):
            text += connection.recv(65536)
    tokens = [part.split(b'value="')[1].split(b'"')[0].decode() for part in text.split(b"</Response>")[:-1]]
    assert tokens == [fleet.session(sid)["token:0"] for sid in sids]


def chunked(request):
    head, body = request.split(b"\r\n\r\n", 1)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join(lines) + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def with_header(line):
    return lambda request: request.replace(b"Host: x\r\n", b"Host: x\r\n" + line + b"\r\n")


def as_old(request):
    return request.replace(b"HTTP/1.1", b"HTTP/1.0")


@pytest.mark.parametrize(
    ("how", "stays"),
    [
        (lambda request: request, True),
        (chunked, True),
        (with_header(b"Connection: keep-alive"), True),
        (with_header(b"Expect: 100-continue"), True),
        (with_header(b"Connection: close"), False),
        (as_old, False),
        (lambda request: as_old(with_header(b"Connection: keep-alive")(request)), True),
    ],
    ids=["plain", "chunked", "keep-alive", "expect", "close", "old", "old-keep-alive"],
)
def test_a_connection_stays_if_its_client_wants_it(fleet, how, stays):
    """Each answer is whole for http.client, and nothing lies between it and the next one."""
    with open_socket(fleet) as connection:
        for _ in range(2 if stays else 1):
            sid = new_sid()
            connection.sendall(how(raw(fleet, sid)))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            text = answer.read().decode()
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/xml; charset=utf-8")
            assert f'value="{fleet.session(sid)["token:0"]}"' in text and text.endswith("</Response>")
            assert parsedate_to_datetime(answer.headers["Date"]).timestamp() > time.time() - 60
        assert stays or connection.recv(1) == b""


def flood(connection, text, most):
    """Sends until nothing more is taken for a while, or it was the most; how much it was."""
    connection.setblocking(False)
    sent, deadline = 0, time.monotonic() + 0.2
    while time.monotonic() < deadline and sent < most:
        try:
            sent += connection.send(text)
            deadline = time.monotonic() + 0.2
        except BlockingIOError:
            time.sleep(0.01)
    return sent


def test_reading_ahead_is_bounded(fleet):
    """Behind a request that waits there is room for little; then the sender has to wait."""
    with frozen_database(fleet), open_socket(fleet) as connection:
        connection.sendall(raw(fleet, new_sid()))
        eventually("the call to wait", lambda: metric(fleet, "calls_opening") == 1)
        assert flood(connection, b"x" * 65536, FLOOD) < FLOOD
        resident = int(next(
            line for line in open(f"/proc/{fleet.warmer.process.pid}/status") if line.startswith("VmRSS")
        ).split()[1])
        assert resident < 300 * 1024
    wait_database(fleet)


def test_reading_ahead_of_answers_nobody_takes_is_bounded(fleet):
    """Who asks and asks, and reads no answer, has to wait; then all goes on where it was."""
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with open_socket(fleet) as connection:
        assert flood(connection, health * 1000, 2 * FLOOD) < 2 * FLOOD
        connection.setblocking(True)
        text = b""
        while text.count(b"\r\n\r\nok\n") < 100_000:
            text += connection.recv(1 << 20)


def test_large_requests_wait_for_each_other_and_nobody_for_them(fleet):
    """Anybody may send some, and the warmer's memory is for calls: one that waits is not read, so its sender waits."""
    body = b"x" * 2_000_000
    head = f"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    waits = metric(fleet, "large_request_waits_total")
    with ExitStack() as stack:
        *held, last = (stack.enter_context(open_socket(fleet)) for _ in range(LARGE_MAX + 1))
        for connection in (*held, last):  # little of a request is in the kernel
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        for connection in held:
            connection.sendall(head + body[:-1])
        last.sendall(head)
        sent = flood(last, b"x" * 1000, len(body))
        assert sent < len(body)
        assert metric(fleet, "large_request_waits_total") == waits + 1
        ring(fleet, new_sid()).connect()
        for connection in held:
            connection.sendall(body[-1:])
        last.settimeout(20)
        last.sendall(body[sent:])
        for connection in (*held, last):
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 401


def test_a_large_request_that_waits_too_long_is_ended(fleet):
    head = b"POST /calls HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
    refused = metric(fleet, 'requests_refused_total{reason="slow"}')
    with ExitStack() as stack:
        held = [stack.enter_context(open_socket(fleet)) for _ in range(LARGE_MAX + 1)]
        for connection in held:
            connection.sendall(head + b"x" * 500_000)
        for connection in held:
            assert read_all(connection).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert metric(fleet, 'requests_refused_total{reason="slow"}') == refused + LARGE_MAX + 1
    eventually("the places", lambda: send(fleet, "POST", "/calls", b"x" * 100_000, {}).status == 401)


@pytest.mark.parametrize(("path", "size", "status"), [
    ("/calls", 2_048_000, 401), ("/calls", 2_048_001, 413), ("/prompts", 65_537, 413), ("/nowhere", 65_537, 404),
])
def test_the_size_of_a_request_is_bounded(fleet, path, size, status):
    with open_socket(fleet) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        if size <= 2_048_000:
            connection.sendall(b"x" * size)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status


@pytest.mark.parametrize(("path", "size", "status"), [("/calls", 200_000, 401), ("/prompts", 65_537, 413)])
def test_a_size_that_is_not_said_is_bounded_too(fleet, path, size, status):
    request = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + b"x" * size
    with open_socket(fleet) as connection:
        for _ in range(LARGE_MAX + 2):  # each gives its place back
            connection.sendall(chunked(request))
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            answer.read()
            assert answer.status == status


def test_a_truncated_request_changes_nothing(fleet):
    sid = new_sid()
    with open_socket(fleet) as connection:
        connection.sendall(raw(fleet, sid)[:-5])
        connection.shutdown(socket.SHUT_WR)
        assert b"200 OK" not in read_all(connection)
    assert fleet.session(sid) == {}


@pytest.mark.parametrize("part", ["head", "body"])
def test_a_request_that_drips_is_ended_in_time(fleet, part):
    """Each byte comes well within any timeout that begins anew; the whole does not."""
    sid, refused = new_sid(), metric(fleet, 'requests_refused_total{reason="slow"}')
    text = raw(fleet, sid)
    sent = 30 if part == "head" else len(text) - 60
    began = time.monotonic()
    with open_socket(fleet) as connection:
        connection.sendall(text[:sent])
        connection.settimeout(0.5)
        answer = None
        while answer is None and time.monotonic() - began < 2 * REQUEST_MAX_S:
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                connection.sendall(text[sent : sent + 1])
                sent += 1
    assert answer is not None and answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert REQUEST_MAX_S - 0.5 < time.monotonic() - began < REQUEST_MAX_S + 2
    assert metric(fleet, 'requests_refused_total{reason="slow"}') == refused + 1
    assert fleet.session(sid) == {}


# ---- too many, and nobody to serve them ----


def test_overload_is_answered_at_once():
    with without_workers(RINGFLEET_MAX_OPENING="2", RINGFLEET_WARM_DEADLINE_MS="3000") as fleet:
        wait_database(fleet)
        ring(fleet, new_sid()).connect()
        with frozen_database(fleet), ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(ring, fleet, new_sid()) for _ in range(2)]
            eventually("both to wait", lambda: metric(fleet, "calls_opening") == 2)
            answer = ring(fleet, sid := new_sid())
            assert APOLOGY in answer.words() and answer.ms < SLACK_MS
            for one in waiting:
                one.result(20).connect()
        assert fleet.session(sid) == {}
        assert metric(fleet, 'apologies_total{reason="overload"}') == 1
        assert metric(fleet, "calls_opening") == 0


def test_in_a_rush_the_loop_interrupts_nobody():
    with without_workers(RINGFLEET_WARM_DEADLINE_MS="3000") as fleet:
        wait_database(fleet)
        pid, many = fleet.warmer.process.pid, 8
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER
        with frozen_database(fleet), ThreadPoolExecutor(many) as pool:
            waiting = [pool.submit(ring, fleet, new_sid()) for _ in range(many)]
            eventually("the rush", lambda: os.sched_getscheduler(pid) == os.SCHED_BATCH)
            for one in waiting:
                one.result(20).connect()
        assert os.sched_getscheduler(pid) == os.SCHED_OTHER


def test_a_recording_begins_with_the_first_stream():
    with without_workers(RINGFLEET_RECORD_CALLS="1") as fleet:
        wait_database(fleet)
        start, connect = ring(fleet, sid := new_sid()).document().verbs
        assert (start.name, connect.name) == ("Start", "Connect")
        (recording,) = start.children
        assert recording.attributes == {
            "channels": "dual",
            "trim": "do-not-trim",
            "recordingStatusCallback": f"{PUBLIC_URL}/voice/recording{ONCE_MORE}",
            "recordingStatusCallbackEvent": "completed absent",
        }
        (stream,) = connect.children
        assert stream.attributes["statusCallback"] == f"{PUBLIC_URL}/voice/stream{ONCE_MORE}"
        assert after(fleet, sid, 0).names() == ["Connect"]  # it goes on over all streams


def test_a_fallback_number_takes_the_calls():
    with without_workers(RINGFLEET_FALLBACK_NUMBER="+14155550100") as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        fleet.redis_server.stop()
        wait_redis(fleet, 0)
        assert dialled(ring(fleet, new_sid())) == "+14155550100"
        assert after(fleet, sid, 0).names() == ["Pause", "Redirect"]  # it may come back
        assert dialled(post(fleet, "/voice/after/0/20", form_of(sid, "in-progress"))) == "+14155550100"
        assert send(fleet, "GET", "/healthz", b"", {}).status == 200
        fleet.redis_server.start()
        wait_redis(fleet)
        set_settings(fleet, '{"fallback_number": "+14155550101"}')
        ring(fleet, new_sid())
        fleet.redis_server.stop()
        wait_redis(fleet, 0)
        assert dialled(ring(fleet, new_sid())) == "+14155550101"
        fleet.redis_server.start()
        wait_redis(fleet)


def test_an_attempt_that_failed_half_way_is_the_same_call():
    """The row was written, Redis fell silent; the carrier asks again."""
    with without_workers() as fleet:
        wait_database(fleet)
        sid = new_sid()
        client = fleet.redis()
        client.execute_command("CLIENT", "PAUSE", str(4 * DEADLINE_MS), "ALL")
        assert APOLOGY in ring(fleet, sid).words()
        eventually("redis to go on", lambda: client.ping())
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: ring(fleet, sid), range(4)))
        assert len({answer.body for answer in answers}) == 1
        assert answers[0].connect()[2] == fleet.session(sid)["token:0"]
        assert call_row(fleet, sid)
        assert events(fleet, sid) == []
