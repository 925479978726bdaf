"""Calls whose media ElevenLabs carries: dialled through its API, asked about during the call, reported afterwards."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.outbound_rig import BUSINESS, OutboundStage, jobs, new_number, outbound_key
from flow.ports import free_port
from flow.servers import eventually
from flow.warmer_rig import Answer, call_row, frozen_database, metric, new_sid, send, set_settings, wait_database
from standins.elevenlabs_api import AgentsApi, signature

pytestmark = pytest.mark.usefixtures("programs")

SECRET = "wsec_ringfleet_test_vector"
TOOL_KEY = "the key of the agents' tools"
SETTINGS = {
    "tools": [{"name": "find_order", "headers": {"Authorization": "Bearer nobody's business"}}],
    "agents": {
        "sales": {"carrier": "elevenlabs", "ai_agent_id": "agent_1", "agent_phone_number_id": "phnum_1"},
        "lame": {"carrier": "elevenlabs", "ai_agent_id": "agent_1"},
    },
}


class AgentStage(OutboundStage):
    def __init__(self, **env: str) -> None:
        self.agents_port = free_port()
        self.intake = f"127.0.0.1:{free_port()}"
        super().__init__(
            RINGFLEET_ELEVENLABS_URL=f"http://127.0.0.1:{self.agents_port}",
            RINGFLEET_ELEVENLABS_API_KEY="xi-test",
            RINGFLEET_ELEVENLABS_TOOL_KEY=TOOL_KEY,
            RINGFLEET_ELEVENLABS_WEBHOOK_SECRET=SECRET,
            RINGFLEET_ELEVENLABS_LISTEN=self.intake,
            **env,
        )

    def __enter__(self) -> "AgentStage":
        super().__enter__()
        self.agents = AgentsApi(self.agents_port, "xi-test", {"phnum_1": BUSINESS}, {"agent_1"})
        self.run(self.agents.start())
        set_settings(self.fleet, json.dumps(SETTINGS))
        return self

    def __exit__(self, *error) -> None:
        self.run(self.agents.stop())
        super().__exit__(*error)

    def dial(self, driver: str = "d7"):
        """A call that was dialled: its sid and its conversation."""
        (result,) = self.call({"driver_id": driver, "to": new_number()}, agent="sales")
        sid = result["call_sid"]
        return sid, eventually("the conversation", lambda: self.agents.of(sid))

    def linked(self, sid: str) -> None:
        eventually("the link", lambda: self.fleet.session(sid).get("conversation_id"))

    def tool(self, path: str, body: object, key: str = TOOL_KEY) -> Answer:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        return send(self.fleet, "POST", f"/webhooks/elevenlabs/{path}", json.dumps(body).encode(), headers)

    def report(self, kind: str, data: dict, **more: object) -> int:
        body = json.dumps({"type": kind, "event_timestamp": int(time.time()), "data": data}).encode()
        return self.post(body, **more)

    def post(self, body: bytes, header: str | None = None, chunks: int = 0) -> int:
        connection = http.client.HTTPConnection(self.intake, timeout=60)
        headers = {"ElevenLabs-Signature": header or signature(SECRET, body), "Content-Type": "application/json"}
        pieces = (body[i : i + chunks] for i in range(0, len(body), chunks)) if chunks else body
        try:
            connection.request("POST", "/webhooks/elevenlabs/post-call", pieces, headers, encode_chunked=bool(chunks))
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("audio")
    with AgentStage(RINGFLEET_AUDIO_DIR=str(directory)) as stage:
        stage.audio = directory
        yield stage
        stage.agents.check()


@pytest.fixture
def stage(shared):
    shared.agents.faults.clear()
    return shared


def turns(stage, sid: str) -> list[tuple[int, str, str]]:
    rows = stage.fleet.sql("select seq, speaker, message from conversation_turn where call_sid = %s order by seq", sid)
    return [(row["seq"], row["speaker"], row["message"]) for row in rows]


def finish(conversation) -> dict:
    conversation.status = "done"
    conversation.duration = 61
    return conversation.data()


def test_a_whole_call(stage):
    sid, conversation = stage.dial()
    row = stage.row(sid)
    assert (row["status"], row["driver"]) == ("in-progress", "d7")
    variables = conversation.client_data["dynamic_variables"]
    assert (variables["call_sid"], variables["business_name"]) == (sid, "Harbour Dental")
    assert "nobody's business" not in json.dumps(conversation.request)
    stage.linked(sid)
    # During the call: lines of dialogue, under either name of the call, and what is known.
    lines = [("caller", "What time is it?"), ("agent", "It is noon.")]
    for n, (speaker, message) in enumerate(lines, 1):
        body = {"call_sid": (sid, conversation.call_sid)[n % 2], "speaker": speaker, "message": message, "id": f"l{n}"}
        for _ in range(2):
            answer = stage.tool("dialogue", body)
            assert (answer.status, json.loads(answer.body)) == (200, {"seq": n})
    known = json.loads(stage.tool("call", {"call_sid": sid}).body)
    assert (known["call_sid"], known["conversation_id"]) == (sid, conversation.id)
    assert known["context"]["business_name"] == "Harbour Dental" and "tools" not in known["context"]
    assert [one["message"] for one in known["turns"]] == ["What time is it?", "It is noon."]
    # Afterwards: its report, which repeats what was said.
    conversation.say("user", "What time is it?", 1)
    assert stage.report("post_call_transcription", finish(conversation)) == 200
    row = stage.row(sid, status="completed")
    assert (row["conversation_id"], row["provider_call_sid"]) == (conversation.id, conversation.call_sid)
    assert row["duration_seconds"] == 61 and row["end_reason"] == "Client ended the call – déjà"
    stage.fleet.wait_flushed(sid)
    assert turns(stage, sid) == [(1, "caller", "What time is it?"), (2, "assistant", "It is noon.")]
    (session,) = stage.fleet.sql("select data from call_session where call_sid = %s", sid)
    assert session["data"]["summary"] == "They spoke of the time."
    assert jobs(stage.fleet) == {}


def test_lines_that_come_at_once_are_counted_without_a_gap(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(
                lambda n: stage.tool("dialogue", {"call_sid": sid, "speaker": "caller", "message": f"line {n}"}), range(60)
            )
        )
    assert sorted(json.loads(one.body)["seq"] for one in answers) == list(range(1, 61))
    assert stage.report("post_call_transcription", finish(conversation)) == 200
    stage.row(sid, status="completed")
    stage.fleet.wait_flushed(sid)
    said = turns(stage, sid)
    assert [seq for seq, _, _ in said] == list(range(1, 61))
    assert {message for _, _, message in said} == {f"line {n}" for n in range(60)}


def test_a_report_brings_what_was_said_and_comes_twice(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    conversation.say("agent", "Hello – é!", 0)
    conversation.say("user", "Goodbye.", 2.5)
    conversation.say("agent", None, 3)
    data = finish(conversation)
    before = metric(stage.fleet, 'conversation_reports_total{result="again"}')
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(lambda _: stage.report("post_call_transcription", data), range(3))) == {200}
    stage.row(sid, status="completed")
    stage.fleet.wait_flushed(sid)
    assert turns(stage, sid) == [(1, "assistant", "Hello – é!"), (2, "caller", "Goodbye.")]
    assert metric(stage.fleet, 'conversation_reports_total{result="again"}') == before + 2


@pytest.mark.parametrize("during", [True, False], ids=["during the call", "afterwards"])
def test_halves_of_characters(stage, during):
    sid, conversation = stage.dial()
    stage.linked(sid)
    before = metric(stage.fleet, "texts_mended_total")
    conversation.say("user", "Hi \ude00 \ud83d\0!", 0)
    if during:
        line = {"call_sid": sid, "conversation_id": conversation.id, "speaker": "user", "message": "Hi \ude00 \ud83d\0!"}
        assert stage.tool("dialogue", line).status == 200
    assert stage.report("post_call_transcription", finish(conversation)) == 200
    assert metric(stage.fleet, "texts_mended_total") == before + 1 + during
    stage.row(sid, status="completed")
    stage.fleet.wait_flushed(sid)
    assert [message for _, _, message in turns(stage, sid)] == ["Hi \ufffd \ufffd\ufffd!"]


def test_a_report_that_comes_before_the_answer(stage):
    stage.agents.faults.append("silent")
    sid, conversation = stage.dial()
    assert stage.fleet.session(sid).get("conversation_id") is None
    # Tools name the conversation: that is enough.
    answer = stage.tool("dialogue", {"call_sid": sid, "conversation_id": conversation.id, "speaker": "user", "message": "Hi."})
    assert (answer.status, json.loads(answer.body)) == (200, {"seq": 1})
    assert stage.report("post_call_transcription", finish(conversation)) == 200
    stage.row(sid, status="completed", conversation_id=conversation.id)
    eventually("the end of the wait", lambda: metric(stage.fleet, "dials_under_way") == 0)
    assert jobs(stage.fleet) == {} and stage.agents.of(sid)


def test_a_report_that_never_comes_is_asked_for(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    conversation.say("user", "Nobody will tell of this.", 1)
    finish(conversation)
    eventually("the job", lambda: jobs(stage.fleet).get(sid, {}).get("conversation_id"))
    stage.fleet.redis().zadd(outbound_key("active"), {sid: 1})  # as if minutes had passed
    stage.row(sid, status="completed")
    stage.fleet.wait_flushed(sid)
    assert turns(stage, sid) == [(1, "caller", "Nobody will tell of this.")]
    assert jobs(stage.fleet) == {}


def looked_after(stage, sid: str) -> None:
    """And put back for minutes, which the lease of a look is not."""
    minutes_pass(stage, sid)
    eventually("a look", lambda: stage.fleet.redis().zscore(outbound_key("active"), sid) > (time.time() + 120) * 1000)


def change_job(stage, sid: str, **changes: str) -> None:
    stage.fleet.redis().hset(outbound_key("jobs"), sid, json.dumps(jobs(stage.fleet)[sid] | changes))


DAY_MS = 24 * 60 * 60 * 1000


@pytest.mark.parametrize("change, late_ms, reason", [
    ({}, 1000, "the provider does not know this call any more"),
    ({"carrier": "gone"}, 1000, "this carrier is not set up here any more"),
    ({"conversation_id": "is none"}, DAY_MS + 1000, "how it went is not known: the provider could not be asked"),
], ids=["unknown", "not set up", "cannot be asked"])
def test_a_call_of_which_nothing_will_be_heard_gives_its_place_back(stage, change, late_ms, reason):
    sid, conversation = stage.dial()
    stage.linked(sid)
    eventually("the job", lambda: jobs(stage.fleet).get(sid, {}).get("conversation_id"))
    stage.agents.conversations.remove(conversation)
    looked_after(stage, sid)  # too early to give it up
    places = places_taken(stage)
    change_job(stage, sid, give_up_ms=str(int(time.time() * 1000) - late_ms), **change)
    minutes_pass(stage, sid)
    stage.row(sid, status="failed", end_reason=reason)
    eventually("the end of the job", lambda: sid not in jobs(stage.fleet))
    assert stage.fleet.redis().zscore(outbound_key("active"), sid) is None and places_taken(stage) < places


# ---- the API does not want, or does not say ----


def test_the_api_refuses(stage):
    stage.agents.faults.append(422)
    (result,) = stage.call({"to": new_number()}, agent="sales")
    row = stage.row(result["call_sid"], status="failed")
    assert row["end_reason"] == "elevenlabs 422: as the test wants 422" and row["conversation_id"] is None
    answer = stage.tool("dialogue", {"call_sid": result["call_sid"], "speaker": "user", "message": "Hi."})
    assert answer.status == 400 and "has failed" in json.loads(answer.body)["error"]


def test_an_agent_without_a_number(stage):
    answer = stage.request({"business": BUSINESS, "agent": "lame", "callees": [{"to": new_number()}]})
    (result,) = json.loads(answer.body)["calls"]
    assert answer.status == 422 and "agent_phone_number_id" in result["error"]
    stage.row(result["call_sid"], status="failed", end_reason=result["error"])


@pytest.mark.parametrize("fault", [429, 500, "unsuccessful", "no ids"])
def test_nobody_is_dialled_twice(stage, fault):
    stage.agents.faults.append(fault)
    (result,) = stage.call({"to": new_number()}, agent="sales")
    sid = result["call_sid"]
    conversation = eventually("the conversation", lambda: stage.agents.of(sid), 60)
    if fault != "no ids":
        stage.linked(sid)
    assert stage.report("post_call_transcription", finish(conversation)) == 200
    stage.row(sid, status="completed", conversation_id=conversation.id)
    assert stage.agents.of(sid)


@pytest.mark.parametrize("why, status", [("busy", "busy"), ("no-answer", "no-answer"), ("unknown", "failed")])
def test_nobody_picks_up(stage, why, status):
    sid, conversation = stage.dial()
    stage.linked(sid)
    metadata = {"type": "twilio", "body": {"CallSid": conversation.call_sid, "CallStatus": why}}
    data = {"agent_id": "agent_1", "conversation_id": conversation.id, "failure_reason": why, "metadata": metadata}
    assert stage.report("call_initiation_failure", data) == 200
    row = stage.row(sid, status=status)
    assert row["end_reason"] == f"elevenlabs: {why}"
    assert jobs(stage.fleet) == {}


# ---- who may say what ----


def test_unknown_calls(stage):
    for path in ("dialogue", "call"):
        body = {"call_sid": "EL_nobody_2026", "conversation_id": "conv_1", "speaker": "user", "message": "Hi."}
        answer = stage.tool(path, body)
        assert answer.status == 400 and "unknown call_sid" in json.loads(answer.body)["error"]
        assert stage.fleet.session("EL_nobody_2026") == {}
        assert stage.tool(path, {"speaker": "user"}).status == 400
        assert stage.tool(path, body, key="no").status == 401
    sid, _ = stage.dial()
    stage.linked(sid)
    assert stage.tool("dialogue", {"call_sid": sid, "speaker": "nobody", "message": "Hi."}).status == 400
    data = {"conversation_id": "conv_x", "user_id": "EL_nobody_2026", "status": "done"}
    assert stage.report("post_call_transcription", data) == 200  # of another fleet: it would come for ever


def test_a_call_that_is_not_taken_yet(stage):
    stage.agents.faults.append("silent")
    sid, _ = stage.dial()
    answer = stage.tool("call", {"call_sid": sid})
    assert answer.status == 400 and "has not completed, or has failed" in json.loads(answer.body)["error"]


def test_forged_reports_change_nothing(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    body = json.dumps({"type": "post_call_transcription", "data": finish(conversation)}).encode()
    now = int(time.time())
    assert stage.post(body, signature("another", body)) == 401
    assert stage.post(body + b" ", signature(SECRET, body)) == 401
    assert stage.post(body, signature(SECRET, body, now - 1830)) == 401
    assert stage.post(body, "v0=" + "0" * 64) == 401
    assert stage.fleet.session(sid).get("final") is None
    good = signature(SECRET, body, now - 1770)
    assert stage.post(body, good.replace("v0=", f"v0={'0' * 64},v0=")) == 200
    stage.row(sid, status="completed")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"type":"post_call_transcription","data":{}}', b"\xff"])
def test_signed_nonsense(stage, body):
    assert stage.post(body) == 400


def test_what_is_no_webhook(stage):
    for line, status in [
        (b"GET /webhooks/elevenlabs/post-call HTTP/1.1\r\n\r\n", 405),
        (b"POST /elsewhere HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 404),
        (b"POST /webhooks/elevenlabs/post-call HTTP/1.1\r\n\r\n", 400),
        (b"POST /webhooks/elevenlabs/post-call HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", 413),
        (b"POST /webhooks/elevenlabs/post-call HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 413),
        (b"hello\r\n\r\n", 400),
        (b"x" * 20000, 400),
    ]:
        assert raw(stage, line) == status, line[:60]
    head = b"POST /webhooks/elevenlabs/post-call HTTP/1.1\r\nTransfer-Encoding: chunked\r\nElevenLabs-Signature: "
    assert raw(stage, head + signature(SECRET, b"").encode() + b"\r\n\r\nzz\r\n") == 400


def raw(stage, text: bytes) -> int:
    host, port = stage.intake.split(":")
    with socket.create_connection((host, int(port)), 10) as peer:
        peer.sendall(text)
        return int(peer.recv(100).split()[1])


def test_redis_away_is_500(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    data = finish(conversation)
    os.kill(stage.fleet.redis_server._process.pid, signal.SIGSTOP)
    try:
        line = {"call_sid": sid, "speaker": "user", "message": "Hi."}
        assert stage.tool("dialogue", line).status == 500
        assert stage.tool("call", {"call_sid": sid}).status == 500
        assert stage.report("post_call_transcription", data) == 500
    finally:
        os.kill(stage.fleet.redis_server._process.pid, signal.SIGCONT)
    eventually("the next try", lambda: stage.report("post_call_transcription", data) == 200)
    stage.row(sid, status="completed")


# ---- recordings ----


def resident_kb(stage) -> int:
    with open(f"/proc/{stage.fleet.warmer.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def sanitized(stage) -> bool:
    with open(f"/proc/{stage.fleet.warmer.process.pid}/maps") as maps:
        return re.search("lib[at]san", maps.read()) is not None


def audio_of(conversation_id: str, audio: bytes) -> bytes:
    """The webhook that brings it."""
    envelope = {"agent_id": "agent_1", "conversation_id": conversation_id, "full_audio": base64.b64encode(audio).decode()}
    return json.dumps({"type": "post_call_audio", "event_timestamp": 1, "data": envelope}).encode()


def recordings(stage, sid: str) -> list[tuple[str, str, str]]:
    rows = stage.fleet.sql("select recording_sid, status, location from recording where call_sid = %s", sid)
    return [(row["recording_sid"], row["status"], row["location"]) for row in rows]


@pytest.mark.parametrize("chunks", [0, 60000])
def test_a_large_recording_is_never_in_memory(stage, chunks):
    sid, conversation = stage.dial()
    audio = os.urandom(30_000_001)
    body = audio_of(conversation.id, audio)
    before = resident_kb(stage)
    assert stage.post(body, chunks=chunks) == 200
    if not sanitized(stage):  # those keep freed memory on purpose
        assert resident_kb(stage) - before < 6000
    assert (stage.audio / f"{conversation.id}.mp3").read_bytes() == audio
    assert stage.post(body[:-4] + b"A" + body[-3:], signature(SECRET, body)) in (400, 401)
    assert not list(stage.audio.glob(".*"))
    assert (stage.audio / f"{conversation.id}.mp3").read_bytes() == audio


@pytest.mark.parametrize("first", ["audio", "report"])
def test_a_recording_is_found_by_its_call(stage, first):
    """Also if it comes twice, and before the report that names the call."""
    sid, conversation = new_sid(), f"conv_{new_sid()}"
    wait_database(stage.fleet)
    assert personalization(stage, sid).status == 200
    eventually("the call", lambda: stage.fleet.session(sid))
    data = {"conversation_id": conversation, "status": "done", "has_audio": True,
            "metadata": {"phone_call": {"call_sid": sid}, "call_duration_secs": 3}}
    audio = audio_of(conversation, b"ID3" + os.urandom(5000))
    posts = [lambda: stage.post(audio), lambda: stage.report("post_call_transcription", data)]
    for post in posts if first == "audio" else reversed(posts):
        assert post() == 200 and post() == 200
    stage.row(sid, status="completed")
    stage.fleet.wait_flushed(sid)
    place = stage.audio / f"{conversation}.mp3"
    eventually("the row", lambda: recordings(stage, sid))
    assert recordings(stage, sid) == [(conversation, "stored", str(place))] and place.exists()
    noted = [one for _, one in stage.fleet.journal(sid, "events") if one["type"] == "recording"]
    assert len(noted) == 1


def test_a_recording_of_nobody(stage):
    before = stage.fleet.sql("select count(*) as n from recording")
    assert stage.post(audio_of("conv_of_nobody", b"ID3")) == 200  # it would not be known the next time either
    assert (stage.audio / "conv_of_nobody.mp3").exists()
    assert stage.fleet.sql("select count(*) as n from recording") == before


def test_a_recording_that_the_disk_does_not_take(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    (stage.audio / f"{conversation.id}.mp3").mkdir()  # rename fails
    try:
        assert stage.post(audio_of(conversation.id, b"ID3")) == 500
    finally:
        (stage.audio / f"{conversation.id}.mp3").rmdir()
    assert not list(stage.audio.glob(".*"))
    assert stage.post(audio_of(conversation.id, b"ID3")) == 200
    eventually("the entry", lambda: any(one["type"] == "recording" for _, one in stage.fleet.journal(sid, "events")))


def test_what_a_dead_warmer_has_left_is_removed(stage):
    old, young, other = (stage.audio / name for name in (".a.part", ".b.part", "notes.txt"))
    for path in (old, young, other):
        path.write_bytes(b"ID3")
    for path in (old, other):
        os.utime(path, (time.time() - 7200,) * 2)
    stage.fleet.restart(stage.fleet.warmer, signal.SIGTERM)
    assert not old.exists() and young.exists() and other.exists()
    young.unlink()
    other.unlink()


def test_without_a_directory_recordings_are_fetched(tmp_path):
    """By the flusher, with the report as with the webhook that would bring them."""
    with AgentStage(RINGFLEET_RECORDING_STORE=str(tmp_path / "store"), RINGFLEET_JOB_RETRY_MS="50") as stage:
        calls = [stage.dial() for _ in range(2)]
        for n, (sid, conversation) in enumerate(calls):
            stage.linked(sid)
            conversation.audio = b"ID3" + os.urandom(50_000)
            told = [lambda: stage.post(audio_of(conversation.id, b"ID3")),
                    lambda: stage.report("post_call_transcription", finish(conversation) | {"has_audio": n == 0})]
            for tell in told if n else told[1:]:
                assert tell() == 200
        for sid, conversation in calls:
            stage.row(sid, status="completed")
            ((_, _, place),) = eventually("the file", lambda: (found := recordings(stage, sid)) and found[0][1] == "stored" and found)
            assert open(place, "rb").read() == conversation.audio and place.endswith(f"_{conversation.id}.mp3")
        stage.agents.check()


# ---- what comes when Redis has forgotten the call ----


def forget(stage, *sids: str) -> None:
    """As if the retention had passed."""
    for sid in sids:
        stage.fleet.wait_flushed(sid)
        stage.fleet.redis().delete(*[f"rf:{{p0}}:call:{sid}{part}" for part in ("", ":session", ":writes", ":events")])
        stage.fleet.redis().zrem("rf:{p0}:flushed", sid)


def test_a_report_that_comes_late_comes_through_once(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    conversation.say("user", "Better late than never.", 1)
    data = finish(conversation) | {"has_audio": False}
    stage.fleet.redis().zadd("rf:{p0}:live", {sid: 1})  # its lease is over
    forget(stage, sid)
    for _ in range(2):
        assert stage.report("post_call_transcription", data) == 200
    row = stage.row(sid, status="completed")
    assert (row["conversation_id"], row["duration_seconds"]) == (conversation.id, 61)
    eventually("the turns", lambda: turns(stage, sid))
    forget(stage, sid)
    assert stage.report("post_call_transcription", data) == 200  # once more, to a call that is forgotten once more
    forget(stage, sid)
    assert turns(stage, sid) == [(1, "caller", "Better late than never.")]
    (session,) = stage.fleet.sql("select data from call_session where call_sid = %s", sid)
    assert session["data"]["summary"] == "They spoke of the time."


def test_a_late_report_waits_for_the_database(stage):
    sid, conversation = stage.dial()
    stage.linked(sid)
    stage.fleet.redis().zadd("rf:{p0}:live", {sid: 1})
    forget(stage, sid)
    stage.fleet.postgres.stop()
    try:
        assert stage.report("post_call_transcription", finish(conversation)) == 500
    finally:
        stage.fleet.postgres.start()
    eventually("the next try", lambda: stage.report("post_call_transcription", finish(conversation)) == 200)
    stage.row(sid, status="completed", conversation_id=conversation.id)


# ---- callers ----


def personalization(stage, sid: str, **more: str) -> Answer:
    body = {"caller_id": "+14155550123", "agent_id": "agent_1", "called_number": BUSINESS, "call_sid": sid}
    return stage.tool("personalization", body | more)


def test_a_caller_of_an_agents_own_number(stage):
    sid = new_sid()
    wait_database(stage.fleet)
    answer = personalization(stage, sid)
    said = json.loads(answer.body)
    assert (answer.status, said["type"]) == (200, "conversation_initiation_client_data")
    assert said["dynamic_variables"]["business_name"] == "Harbour Dental" and "tools" not in said["dynamic_variables"]
    assert call_row(stage.fleet, sid)["direction"] == "inbound"
    body = {"call_sid": sid, "conversation_id": "conv_of_" + sid, "speaker": "user", "message": "Hi."}
    eventually("the call", lambda: stage.tool("dialogue", body).status == 200)
    data = {"conversation_id": "conv_of_" + sid, "status": "done", "metadata": {"phone_call": {"call_sid": sid}, "call_duration_secs": 3.5}}
    assert stage.report("post_call_transcription", data) == 200
    row = stage.row(sid, status="completed")
    assert (row["conversation_id"], row["duration_seconds"]) == ("conv_of_" + sid, 3)
    stage.fleet.wait_flushed(sid)
    assert turns(stage, sid)[0] == (1, "caller", "Hi.")


def test_a_caller_who_comes_while_the_database_is_silent(stage):
    """It is there, and does not answer until it is given up: nobody else knows who has called whom."""
    sid = new_sid()
    wait_database(stage.fleet)
    failed = metric(stage.fleet, "load_failures_total")
    with frozen_database(stage.fleet):
        assert personalization(stage, sid).status == 200
        eventually("the loss to be noticed", lambda: metric(stage.fleet, "load_failures_total") > failed)
        data = {"conversation_id": "conv_of_" + sid, "status": "done", "metadata": {"phone_call": {"call_sid": sid}}}
        assert stage.report("post_call_transcription", data) == 200
        row = stage.row(sid, status="completed", direction="inbound", from_number="+14155550123", to_number=BUSINESS)
        assert row["business_id"] is not None and row["started_at"] is not None


def arrive(stage, **more: str):
    """A caller whose conversation is under way: its sid, and the conversation."""
    sid = new_sid()
    wait_database(stage.fleet)
    conversation = stage.agents.take_call(sid, json.loads(personalization(stage, sid, **more).body))
    eventually("the watch", lambda: sid in jobs(stage.fleet))
    return sid, conversation


def places_taken(stage) -> int:
    return sum(int(taken) for taken in stage.fleet.redis().hvals(outbound_key("busy")))


def minutes_pass(stage, sid: str) -> None:
    assert stage.fleet.redis().zadd(outbound_key("active"), {sid: 1}, xx=True, ch=True) == 1


@pytest.mark.parametrize("known", ["by its user", "by a tool"])
def test_a_callers_report_that_never_comes_is_asked_for(stage, known):
    places = places_taken(stage)  # by calls of the tests before
    sid, conversation = arrive(stage)
    if known == "by a tool":
        conversation.request["conversation_initiation_client_data"]["user_id"] = "not taken over"
        body = {"call_sid": sid, "conversation_id": conversation.id, "speaker": "user", "message": "Nobody will tell of this."}
        eventually("the call", lambda: stage.tool("dialogue", body).status == 200)
    minutes_pass(stage, sid)  # it goes on
    eventually("the conversation", lambda: jobs(stage.fleet)[sid].get("conversation_id") == conversation.id)
    assert stage.wait_state(sid, "in-progress" if known == "by a tool" else "ringing")["direction"] == "inbound"
    conversation.say("user", "Nobody will tell of this.", 1)
    finish(conversation)
    minutes_pass(stage, sid)
    row = stage.row(sid, status="completed", conversation_id=conversation.id)
    assert row["direction"] == "inbound"
    stage.fleet.wait_flushed(sid)
    assert turns(stage, sid) == [(1, "caller", "Nobody will tell of this.")]
    eventually("the end of the watch", lambda: sid not in jobs(stage.fleet))
    assert places_taken(stage) <= places, "who calls takes no place of those that are dialled"


def test_a_caller_who_hung_up_before_the_agent_was_there(stage):
    sid, conversation = arrive(stage)
    stage.agents.conversations.remove(conversation)
    looked_after(stage, sid)
    change_job(stage, sid, give_up_ms="1")  # an hour later
    minutes_pass(stage, sid)
    row = stage.row(sid, status="failed")
    assert row["end_reason"] == "the provider knows no conversation of this call"
    assert sid not in jobs(stage.fleet)


def test_a_caller_whose_report_comes_is_not_asked_for(stage):
    sid, conversation = arrive(stage)
    assert stage.report("post_call_transcription", finish(conversation)) == 200
    stage.row(sid, status="completed")
    eventually("the end of the watch", lambda: sid not in jobs(stage.fleet))


def test_a_caller_of_nobody(stage):
    assert personalization(stage, new_sid(), called_number="+19995550000").status == 404
    assert personalization(stage, "no sid").status == 400
