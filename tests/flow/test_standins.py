"""The stand-ins are strict: each violation is committed once and must be noticed; and they are fair:
a good conversation has none."""

import asyncio
import base64
import json
import ssl
import subprocess
import wave
from urllib.parse import parse_qsl

import aiohttp
import pytest

from flow.bridge import CONNECT, EMPTY, HANGUP, HEADER, MEDIA, PUBLIC
from flow.bridge import Bridge, FakeWarmer, session_config
from scenarios import harbour_dental
from standins import caller, g711, realtime_rules, realtime_session, speech, webhook
from standins.carrier import Faults
from standins.playout import Playout
from standins.realtime import Provider
from standins.scenario import Reply, Scenario, tool, turn
from standins.tls import Authority
from standins.vad import Started, Stopped, VoiceDetector

CALLER, CALLED = "+14155550123", "+14155550199"
SECOND = speech.speak("One two three four five six seven.", speech.ASSISTANT)[:8000]


def message(event: str, sid: str, **fields: object) -> str:
    return json.dumps({"event": event, "streamSid": sid, **fields})


def media(sid: str, audio: bytes) -> str:
    return message("media", sid, media={"payload": base64.b64encode(audio).decode()})


async def until_start(socket) -> str:
    async for frame in socket:
        event = json.loads(frame.data)
        if event["event"] == "start":
            return event["streamSid"]
    raise AssertionError("no start")


# ---- signatures (test vectors of the vendor's SDK and documentation) ----

P = "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212"
VECTORS = [
    ("https://mycompany.com/myapp.php?foo=1&bar=2", P, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", P, "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    (
        "https://mycompany.com/myapp.php?foo=1&bar=2",
        "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234",
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
    ),
    (
        "https://w.example.com/voice/incoming#rc=2",
        "CallSid=CA00000000000000000000000000000001&From=%2B551150000000&FromCity=S%C3%83O+PAULO"
        "&CallerName=",
        "tsXPLJ78ihhRgBwyrHbjSXBtg+I=",
    ),
    ("wss://media.example.com/twilio", "", "0p9HGYJybIvZY5ER6AdY/msz2PI="),
]


@pytest.mark.parametrize("url, body, expected", VECTORS)
def test_signature_vectors(url, body, expected):
    form = parse_qsl(body, keep_blank_values=True)
    assert webhook.signature("12345", url, form) == expected


def test_https_signatures_drop_the_port():
    assert webhook.signed_url("https://a.example:8443/x") == "https://a.example/x"
    assert webhook.signed_url("http://a.example:8080/x") == "http://a.example:8080/x"


# ---- carrier: media stream ----

MEDIA_VIOLATIONS = {
    "not json": (lambda sid: "hello", "31951 not JSON"),
    "not an object": (lambda sid: "[1]", "31951 not a JSON object"),
    "unknown event": (lambda sid: message("connected", sid), "31951 unknown event"),
    "missing event": (lambda sid: json.dumps({"streamSid": sid}), "31951 unknown event None"),
    "wrong streamSid": (lambda sid: media("MZ0", SECOND), "31951 media with streamSid"),
    "no streamSid": (lambda sid: json.dumps({"event": "clear"}), "misses the field streamSid"),
    "extra field": (lambda sid: message("clear", sid, sequenceNumber="1"), "extra field seq"),
    "extra media field": (
        lambda sid: message("media", sid, media={"payload": "//8=", "track": "outbound"}),
        "extra field track",
    ),
    "media without payload": (lambda sid: message("media", sid, media={}), "misses the field pay"),
    "media is a string": (lambda sid: message("media", sid, media="//8="), "is not an object"),
    "payload not base64": (
        lambda sid: message("media", sid, media={"payload": "/*8="}),
        "payload is not base64",
    ),
    "payload bad padding": (
        lambda sid: message("media", sid, media={"payload": "//8"}),
        "payload is not base64",
    ),
    "payload empty": (lambda sid: media(sid, b""), "payload is empty"),
    "payload a number": (lambda sid: message("media", sid, media={"payload": 1}), "not a string"),
    "wav header": (lambda sid: media(sid, b"RIFF\0\0\0\0WAVE"), "file header"),
    "mark without name": (lambda sid: message("mark", sid, mark={}), "misses the field name"),
    "mark with empty name": (lambda sid: message("mark", sid, mark={"name": ""}), "without a name"),
    "huge message": (lambda sid: media(sid, b"\x7f" * 50_000), "31951 message of"),
    "binary": (lambda sid: b"\x00\x01", "31950 binary message"),
    "ten minutes queued": (
        lambda sid: [media(sid, b"\x7f" * 40_000)] * 121,
        "31931 more than ten minutes",
    ),
}


@pytest.mark.parametrize("name", MEDIA_VIOLATIONS)
def test_carrier_notices_a_bad_message(name):
    make, expected = MEDIA_VIOLATIONS[name]

    async def commit(socket):
        sid = await until_start(socket)
        made = make(sid)
        for one in made if isinstance(made, list) else [made]:
            await (socket.send_bytes(one) if isinstance(one, bytes) else socket.send_str(one))
        await socket.send_str(message("clear", sid))
        await socket.send_str(message("mark", sid, mark={"name": "all was read"}))
        async for frame in socket:  # a socket that is closed too early loses what was sent
            if json.loads(frame.data)["event"] == "mark":
                return

    call = asyncio.run(one_call(commit))
    assert len(call.violations) == 1 and expected in call.violations[0], call.violations
    with pytest.raises(AssertionError, match="carrier would complain"):
        call.check()


def test_carrier_notices_a_message_before_start():
    async def commit(socket):
        await socket.receive()  # connected
        await socket.send_str(json.dumps({"event": "clear", "streamSid": "MZ0"}))
        await until_start(socket)

    call = asyncio.run(one_call(commit))
    assert "31951 sent before start" in call.violations[0]


def test_carrier_notices_a_broken_frame():
    async def commit(socket):
        await until_start(socket)
        transport = socket._req.transport
        transport.write(b"\x89\x7e\x00\xff" + b"x" * 255)  # a ping above 125 bytes
        async for _ in socket:  # until the carrier hangs up on that
            pass

    call = asyncio.run(one_call(commit))
    assert "31924 protocol error" in call.violations[0]


async def one_call(media_handler, incoming: str = CONNECT, script=None, **options):
    async with FakeWarmer(media_handler, incoming) as warmer:
        for name in ("after", "callback", "content_type", "failures"):
            if name in options:
                setattr(warmer, name, options.pop(name))
        async with warmer.carrier(**options) as carrier:
            call = carrier.place_call(CALLER, CALLED, script)
            await call.wait_ended(20)
            call.requests = warmer.requests
            return call


# ---- carrier: TwiML ----


def stream(url: str = f"{MEDIA}/media", attributes: str = "", children: str = "") -> str:
    return f'<Connect><Stream url="{url}" {attributes}>{children}</Stream></Connect>'


TWIML_VIOLATIONS = {
    "blank before the declaration": (" " + EMPTY, "12100 the body does not begin"),
    "byte order mark": ("\ufeff" + EMPTY, "12100 the body does not begin"),
    "no declaration": ("<Response/>", "12100 the body does not begin"),
    "not xml": (HEADER + "<Response>", "12100"),
    "unescaped ampersand": (HEADER + "<Response><Say>a & b</Say></Response>", "12100"),
    "control byte": (HEADER + "<Response><Say>a\x01b</Say></Response>", "12100"),
    "wrong root": (HEADER + "<TwiML/>", "12200 root element"),
    "too large": (HEADER + "<!--" + "x" * 66_000 + "--><Response/>", "11750"),
}
RESPONSE_VIOLATIONS = {
    "unknown verb": ("<Speak>hi</Speak>", "12200 Speak is not allowed"),
    "wrong case": ("<hangup/>", "12200 hangup is not allowed"),
    "unknown attribute": ('<Say lang="en">hi</Say>', "12200 Say has no attribute lang"),
    "hangup with attribute": ('<Hangup reason="x"/>', "12200 Hangup has no attribute"),
    "wrong nesting": ("<Stream/>", "12200 Stream is not allowed inside Response"),
    "loose text": ("hello", "12200 text is not allowed"),
    "empty say": ("<Say></Say>", "12200 Say is empty"),
    "late reject": ("<Say>hi</Say><Reject/>", "12200 Reject is not the first verb"),
    "reject reason": ('<Reject reason="bored"/>', "12200 Reject reason"),
    "pause length": ('<Pause length="1s"/>', "12200 Pause length"),
    "method": ('<Redirect method="PUT">https://a.example/x</Redirect>', "12200 Redirect method"),
    "relative redirect": ("<Redirect>/x</Redirect>", "12200 Redirect is not absolute"),
    "relative action": (f'<Dial action="/x">{CALLER}</Dial>', "12200 Dial action is not"),
    "empty connect": ("<Connect/>", "12200 Connect needs exactly one noun"),
    "stream over https": (stream("https://a.example/media"), "31922 Stream url"),
    "stream over ws": (stream("ws://a.example/media"), "31922 Stream url"),
    "stream with query": (stream("wss://a.example/media?t=1"), "31920 Stream url"),
    "stream track": (stream(attributes='track="both_tracks"'), "31941"),
    "parameter without value": (stream(children='<Parameter name="a"/>'), "12200 Parameter without"),
    "parameter twice": (
        stream(children='<Parameter name="a" value="1"/>' * 2),
        "12200 Parameter a occurs twice",
    ),
    "long parameter": (
        stream(children=f'<Parameter name="a" value="{"x" * 499}"/>'),
        "12200 Parameter a is 500",
    ),
}


def twiml_cases():
    yield from TWIML_VIOLATIONS.items()
    for name, (verbs, expected) in RESPONSE_VIOLATIONS.items():
        yield name, (f"{HEADER}<Response>{verbs}</Response>", expected)


@pytest.mark.parametrize("name, case", twiml_cases(), ids=lambda value: str(value)[:30])
def test_carrier_notices_bad_twiml(name, case):
    body, expected = case
    call = asyncio.run(one_call(None, incoming=body))
    assert any(expected in violation for violation in call.violations), call.violations


def test_carrier_notices_the_content_type():
    call = asyncio.run(one_call(None, incoming=HANGUP, content_type="application/json"))
    assert "12300 content type" in call.violations[0]


def test_carrier_notices_a_callback_answered_with_verbs():
    call = asyncio.run(one_call(None, incoming=HANGUP, callback=HANGUP))
    assert "12200" in call.violations[0] and "/voice/status" in call.violations[0]


def test_carrier_notices_a_server_error_and_does_not_retry_it_by_default():
    call = asyncio.run(one_call(None, incoming=HANGUP, failures=[500]))
    assert "11200 HTTP 500" in call.violations[0]
    assert [path for path, _, _ in call.requests] == ["/voice/incoming", "/voice/status"]


def test_carrier_obeys_retries_from_the_url_fragment():
    async def run():
        async with FakeWarmer(incoming=HANGUP) as warmer:
            warmer.failures = [503, 503]
            async with warmer.carrier() as carrier:
                carrier.incoming_url += "#rc=2&rp=ct,5xx"
                call = carrier.place_call(CALLER, CALLED)
                await call.wait_ended()
                return call, warmer.requests

    call, requests = asyncio.run(run())
    call.check()
    tries = [headers for path, _, headers in requests if path == "/voice/incoming"]
    assert len(tries) == 3
    assert len({headers["I-Twilio-Idempotency-Token"] for headers in tries}) == 1


def test_carrier_webhook_looks_like_the_real_one():
    call = asyncio.run(one_call(None, incoming=HANGUP))
    path, form, headers = call.requests[0]
    assert (path, form["CallStatus"], form["Direction"]) == ("/voice/incoming", "ringing", "inbound")
    assert form["ToZip"] == "" and form["FromCity"] == "SÃO PAULO"
    assert headers["Host"] == "phone.example.test"
    expected = webhook.signature("12345", f"{PUBLIC}/voice/incoming", list(form.items()))
    assert headers["X-Twilio-Signature"] == expected
    path, form, headers = call.requests[-1]
    assert (path, form["CallStatus"], form["SequenceNumber"]) == ("/voice/status", "completed", "0")
    assert form["Timestamp"].endswith("+0000")


def test_carrier_reject_is_never_answered():
    call = asyncio.run(one_call(None, incoming=f'{HEADER}<Response><Reject reason="busy"/></Response>'))
    call.check()
    assert call.requests[-1][1]["CallStatus"] == "busy"
    assert call.requests[-1][1]["CallDuration"] == "0"


def test_carrier_follows_redirect_dial_and_falls_through_connect():
    body = f"{HEADER}<Response><Say>hello</Say>{stream()}<Redirect>{PUBLIC}/voice/after/0</Redirect></Response>"
    after = (
        f'{HEADER}<Response><Dial action="{PUBLIC}/voice/dialled">{CALLER}</Dial>'
        "<Say>never reached</Say></Response>"
    )
    call = asyncio.run(one_call(None, incoming=body, after=after))
    call.check()
    paths = [path for path, _, _ in call.requests]
    assert paths == ["/voice/incoming", "/voice/after/0", "/voice/dialled", "/voice/status"]
    assert call.data("stream-error") and call.data("dial-number") == [CALLER]
    assert call.requests[2][1]["DialCallStatus"] == "completed"


def test_carrier_forges_and_doubles_on_request():
    faults = Faults(forge_signature=True, duplicate_incoming=True, status_copies=2)
    call = asyncio.run(one_call(None, incoming=HANGUP, faults=faults))
    paths = [path for path, _, _ in call.requests]
    assert paths == ["/voice/incoming"] * 2 + ["/voice/status"] * 2
    _, form, headers = call.requests[0]
    real = webhook.signature("12345", f"{PUBLIC}/voice/incoming", list(form.items()))
    assert headers["X-Twilio-Signature"] != real


# ---- carrier: playback ----


def test_playout_echoes_marks_where_they_stand():
    playout = Playout()
    assert playout.mark("now") == ["now"]
    playout.add(b"a" * 200)
    assert playout.mark("end") == []
    assert playout.play(160) == (b"a" * 160, [])
    assert playout.play(160) == (b"a" * 40, ["end"])
    playout.add(b"b" * 500)
    playout.mark("x")
    playout.add(b"c" * 500)
    playout.mark("y")
    assert playout.clear() == (1000, ["x", "y"])
    assert playout.mark("after clear") == ["after clear"]


def test_marks_come_back_in_real_time_and_clear_returns_the_rest_at_once():
    async def server(socket):
        sid = await until_start(socket)
        for name in ("one", "two", "three"):
            await socket.send_str(media(sid, SECOND))
            await socket.send_str(message("mark", sid, mark={"name": name}))
        async for frame in socket:
            event = json.loads(frame.data)
            if event["event"] == "mark" and event["mark"]["name"] == "one":
                await socket.send_str(message("clear", sid))
            if event["event"] == "mark" and event["mark"]["name"] == "three":
                return

    call = asyncio.run(one_call(server))
    call.check()
    echoes = {event.data: event.ms for event in call.events if event.kind == "mark-echo"}
    assert list(echoes) == ["one", "two", "three"]
    begin = call.times("media")[0]
    assert 980 <= echoes["one"] - begin <= 1500
    assert echoes["three"] - echoes["one"] < 400  # it had two seconds to play
    assert 1800 <= call.data("clear")[0]["dropped_ms"] <= 2000


def test_caller_frames_keep_the_pace_and_count():
    frames = []

    async def server(socket):
        async for frame in socket:
            frames.append(json.loads(frame.data))
            if len(frames) == 52:
                return

    call = asyncio.run(one_call(server))
    call.check()
    assert [frame["event"] for frame in frames[:2]] == ["connected", "start"]
    assert "sequenceNumber" not in frames[0]
    assert frames[1]["start"]["customParameters"] == {"token": "abc"}
    assert frames[1]["start"]["mediaFormat"]["sampleRate"] == 8000
    medias = frames[2:]
    assert [frame["sequenceNumber"] for frame in frames[1:]] == [str(n) for n in range(1, 52)]
    assert [frame["media"]["chunk"] for frame in medias] == [str(n) for n in range(1, 51)]
    assert base64.b64decode(medias[0]["media"]["payload"]) == b"\xff" * 160
    elapsed = call.times("socket-closed")[0] - call.times("start")[0]
    assert 950 <= elapsed <= 1500


def test_caller_presses_hangs_up_and_the_call_is_reported(tmp_path):
    seen = []

    async def server(socket):
        sid = await until_start(socket)
        await socket.send_str(media(sid, SECOND))
        async for frame in socket:
            event = json.loads(frame.data)
            if event["event"] != "media":
                seen.append(event)

    async def script(call):
        await call.hear(300)
        await call.press("7")
        await call.wait_assistant_quiet(100)
        await call.say(SECOND)
        call.hang_up()

    call = asyncio.run(one_call(server, script=script))
    call.check()
    assert [event["event"] for event in seen] == ["dtmf", "stop"]
    assert seen[0]["dtmf"] == {"track": "inbound_track", "digit": "7"}
    paths = [path for path, _, _ in call.requests]
    assert paths == ["/voice/incoming", "/media", "/voice/status", "/voice/recording"]
    assert call.requests[1][2]["x-twilio-signature"] == webhook.signature("12345", f"{MEDIA}/media", [])
    assert "Origin" not in call.requests[1][2]
    assert call.requests[2][1]["CallDuration"] == "3"
    call.save_wav(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as recording:
        assert (recording.getnchannels(), recording.getframerate()) == (2, 8000)
        assert 2.0 < recording.getnframes() / 8000 < 3.0


def test_abort_leaves_no_stop_and_the_action_is_asked():
    seen = []

    async def server(socket):
        async for frame in socket:
            seen.append(json.loads(frame.data)["event"])

    async def script(call):
        await call.wait_for(lambda: len(seen) > 5, 5, "some frames")
        call.stream.abort()

    call = asyncio.run(one_call(server, script=script))
    call.check()
    assert "stop" not in seen
    assert [path for path, _, _ in call.requests][2] == "/voice/after/0"


def test_a_lost_caller_fails_the_test():
    async def server(socket):
        await until_start(socket)

    async def script(call):
        await call.hear(100)

    with pytest.raises(Exception, match="the call ended while the caller waited"):
        asyncio.run(one_call(server, script=script))


# ---- AI provider ----


class Client:
    """A client of the provider that sends what it is told."""

    def __init__(self, socket) -> None:
        self._socket = socket

    async def send(self, event: dict | str) -> None:
        await self._socket.send_str(event if isinstance(event, str) else json.dumps(event))

    async def send_bytes(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def until(self, kind: str) -> dict:
        while True:
            frame = await asyncio.wait_for(self._socket.receive(), 5)
            assert frame.type == aiohttp.WSMsgType.TEXT, frame
            event = json.loads(frame.data)
            if event["type"] == kind:
                return event

    async def configure(self) -> None:
        await self.send({"type": "session.update", "session": session_config("hello")})
        await self.until("session.updated")


def talk(scenario: Scenario | None = None, **options):
    """Runs a coroutine function against a fresh provider; returns the provider."""
    scenario = scenario or Scenario("short", "Hello there.", ())

    def decorate(function) -> Provider:
        async def run() -> Provider:
            provider = Provider(scenario, **options)
            await provider.start()
            headers = {"Authorization": "Bearer sk-test"}
            async with aiohttp.ClientSession() as session:
                url = provider.url + "?model=gpt-realtime-2.1"
                async with session.ws_connect(url, headers=headers) as socket:
                    await function(Client(socket), provider)
            await provider.stop()
            return provider

        return asyncio.run(run())

    return decorate


def create(item: dict) -> dict:
    return {"type": "conversation.item.create", "item": item}


def update(**session: object) -> dict:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def user_text(**fields: object) -> dict:
    content = [{"type": "input_text", "text": "hi"}]
    return create({"type": "message", "role": "user", "content": content, **fields})


CALL = {"type": "function_call", "call_id": "c1", "name": "lookup", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "{}"}
PCM16 = {"type": "audio/pcm", "rate": 16000}
TRUNCATE = {"type": "conversation.item.truncate", "item_id": "x", "content_index": 0}
EVENT_VIOLATIONS = {
    "not json": (["{"], "invalid_json"),
    "array": (["[]"], "invalid_event"),
    "no type": ([{}], "missing_required_parameter"),
    "unknown type": ([{"type": "session.create"}], "invalid_value"),
    "unknown top-level key": ([{"type": "response.cancel", "why": 1}], "unknown_parameter"),
    "no session type": ([{"type": "session.update", "session": {}}], "missing_required_parameter"),
    "transcription session": (
        [{"type": "session.update", "session": {"type": "transcription"}}],
        "invalid_value",
    ),
    "beta voice key": ([update(voice="marin")], "unknown_parameter"),
    "beta temperature": ([update(temperature=0.8)], "unknown_parameter"),
    "unknown nested key": (
        [update(audio={"input": {"turn_detection": {"type": "server_vad", "mode": 1}}})],
        "unknown_parameter",
    ),
    "rate on pcmu": (
        [update(audio={"output": {"format": {"type": "audio/pcmu", "rate": 8000}}})],
        "unknown_parameter",
    ),
    "pcm at 16 kHz": ([update(audio={"output": {"format": PCM16}})], "invalid_value"),
    "unknown format": (
        [update(audio={"output": {"format": {"type": "g711_ulaw"}}})],
        "invalid_value",
    ),
    "unknown voice": ([update(audio={"output": {"voice": "onyx"}})], "invalid_value"),
    "speed too high": ([update(audio={"output": {"speed": 2}})], "invalid_value"),
    "unknown transcriber": (
        [update(audio={"input": {"transcription": {"model": "whisper-9"}}})],
        "invalid_value",
    ),
    "instructions a number": ([update(instructions=1)], "invalid_type"),
    "boolean null": (
        [update(audio={"input": {"turn_detection": {"type": "server_vad", "create_response": None}}})],
        "invalid_type",
    ),
    "threshold out of range": (
        [update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}})],
        "invalid_value",
    ),
    "idle timeout too short": (
        [update(audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 10}}})],
        "integer_below_min_value",
    ),
    "two modalities": ([update(output_modalities=["text", "audio"])], "invalid_value"),
    "too many tokens": ([update(max_output_tokens=5000)], "invalid_value"),
    "other model": ([update(model="gpt-realtime")], "invalid_value"),
    "nested tool": (
        [update(tools=[{"type": "function", "function": {"name": "x"}}])],
        "unknown_parameter",
    ),
    "tool with extra key": (
        [update(tools=[{"type": "function", "name": "x", "strict": True}])],
        "unknown_parameter",
    ),
    "tool without name": ([update(tools=[{"type": "function"}])], "missing_required_parameter"),
    "long item id": ([user_text(id="i" * 33)], "string_above_max_length"),
    "same item id twice": ([user_text(id="a"), user_text(id="a")], "invalid_value"),
    "long event id": (
        [{"type": "response.create", "event_id": "e" * 513}],
        "string_above_max_length",
    ),
    "unknown previous item": ([user_text() | {"previous_item_id": "nope"}], "invalid_value"),
    "assistant input_text": (
        [create({"type": "message", "role": "assistant", "content": [{"type": "input_text", "text": "x"}]})],
        "invalid_value",
    ),
    "assistant audio without text": (
        [create({"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]})],
        "missing_required_parameter",
    ),
    "system audio": (
        [create({"type": "message", "role": "system", "content": [{"type": "input_audio", "audio": ""}]})],
        "invalid_value",
    ),
    "output for no call": ([create(OUTPUT)], "invalid_value"),
    "output twice": ([create(CALL), create(OUTPUT), create(OUTPUT)], "invalid_value"),
    "output an object": ([create(CALL), create(OUTPUT | {"output": {"ok": 1}})], "invalid_type"),
    "call without arguments": (
        [create({"type": "function_call", "call_id": "c1", "name": "x"})],
        "missing_required_parameter",
    ),
    "truncate unknown item": ([TRUNCATE | {"audio_end_ms": 1}], "item_truncate_invalid_item_id"),
    "truncate text item": (
        [user_text(id="x"), TRUNCATE | {"audio_end_ms": 1}],
        "unsupported_content_type",
    ),
    "truncate at a fraction": ([TRUNCATE | {"audio_end_ms": 1.5}], "invalid_type"),
    "truncate without end": ([TRUNCATE], "missing_required_parameter"),
    "cancel when idle": ([{"type": "response.cancel"}], "response_cancel_not_active"),
    "two responses": (
        [{"type": "response.create"}] * 2,
        "conversation_already_has_active_response",
    ),
    "commit of nothing": ([{"type": "input_audio_buffer.commit"}], "input_audio_buffer_commit_empty"),
    "append without audio": ([{"type": "input_audio_buffer.append"}], "missing_required_parameter"),
    "append not base64": (
        [{"type": "input_audio_buffer.append", "audio": "*"}],
        "invalid_value",
    ),
    "delete unknown item": (
        [{"type": "conversation.item.delete", "item_id": "x"}],
        "item_delete_invalid_item_id",
    ),
    "retrieve unknown item": (
        [{"type": "conversation.item.retrieve", "item_id": "x"}],
        "item_retrieve_invalid_item_id",
    ),
    "webrtc event": ([{"type": "output_audio_buffer.clear"}], "invalid_value"),
}


@pytest.mark.parametrize("name", EVENT_VIOLATIONS)
def test_provider_refuses(name):
    events, code = EVENT_VIOLATIONS[name]

    @talk()
    async def provider(client, provider):
        await client.configure()
        for event in events:
            await client.send(event)
        error = (await client.until("error"))["error"]
        assert error["code"] == code, error

    assert [violation.code for violation in provider.violations] == [code]
    with pytest.raises(AssertionError, match="AI provider would complain"):
        provider.check()


def test_provider_refuses_binary_messages():
    @talk()
    async def provider(client, provider):
        await client.send_bytes(b"{}")
        assert (await client.until("error"))["error"]["code"] == "invalid_event"

    assert [violation.code for violation in provider.violations] == ["invalid_event"]


def test_a_declared_code_is_benign():
    @talk(benign=frozenset({"response_cancel_not_active"}))
    async def provider(client, provider):
        await client.send({"type": "response.cancel", "event_id": "mine"})
        assert (await client.until("error"))["error"]["event_id"] == "mine"

    provider.check()


@pytest.mark.parametrize("kind", ["audio", "response"])
def test_provider_notices_that_the_format_was_not_set(kind):
    @talk()
    async def provider(client, provider):
        if kind == "audio":
            audio = base64.b64encode(b"\xff" * 160).decode()
            await client.send({"type": "input_audio_buffer.append", "audio": audio})
            await client.send({"type": "input_audio_buffer.clear"})
            await client.until("input_audio_buffer.cleared")
        else:
            await client.send({"type": "response.create"})
            await client.until("response.created")

    assert [violation.code for violation in provider.violations] == ["audio_before_format"]


def test_provider_notices_a_late_voice_and_a_wrong_truncation():
    @talk(benign=frozenset({"cannot_update_voice"}))
    async def provider(client, provider):
        await client.configure()
        await client.send({"type": "response.create", "response": {"instructions": "greet"}})
        done = await client.until("response.done")
        item = done["response"]["output"][0]["id"]
        await client.send(update(audio={"output": {"voice": "cedar"}}))
        assert (await client.until("error"))["error"]["code"] == "cannot_update_voice"
        end = {"item_id": item, "content_index": 0}
        await client.send({"type": "conversation.item.truncate", **end, "audio_end_ms": 60_000})
        assert "already shorter" in (await client.until("error"))["error"]["message"]
        await client.send({"type": "conversation.item.truncate", **end, "audio_end_ms": 100})
        assert (await client.until("conversation.item.truncated"))["audio_end_ms"] == 100
        assert [cut.audio_end_ms for cut in provider.sessions[0].truncations] == [100]

    assert [violation.code for violation in provider.violations] == ["invalid_value"]


CONNECTIONS = {
    "no key": ({}, "?model=gpt-realtime-2.1", "invalid_api_key", 3000),
    "wrong key": ({"Authorization": "Bearer x"}, "?model=gpt-realtime-2.1", "invalid_api_key", 3000),
    "no model": ({"Authorization": "Bearer sk-test"}, "", "missing_model", 4000),
    "bad model": ({"Authorization": "Bearer sk-test"}, "?model=gpt-9", "invalid_model", 4000),
    "beta header": (
        {"Authorization": "Bearer sk-test", "OpenAI-Beta": "realtime=v1"},
        "?model=gpt-realtime-2.1",
        "beta_api_shape_disabled",
        4000,
    ),
}


@pytest.mark.parametrize("name", CONNECTIONS)
def test_provider_refuses_the_connection_after_the_upgrade(name):
    headers, query, code, close_code = CONNECTIONS[name]

    async def run() -> Provider:
        provider = Provider(Scenario("short", "Hello.", ()))
        await provider.start()
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(provider.url + query, headers=headers) as socket:
                assert json.loads((await socket.receive()).data)["error"]["code"] == code
                assert (await socket.receive()).data == close_code
        await provider.stop()
        return provider

    provider = asyncio.run(run())
    assert [violation.code for violation in provider.violations] == [code]
    assert provider.sessions == []


@pytest.mark.parametrize("answers", [True, False])
def test_provider_notices_a_missing_pong(monkeypatch, answers):
    monkeypatch.setattr(realtime_session, "PING_SECONDS", 0.05)
    monkeypatch.setattr(realtime_session, "PONG_SECONDS", 0.1)

    @talk()
    async def provider(client, provider):
        if answers:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.until("nothing"), 0.4)
        else:
            await asyncio.sleep(0.4)

    codes = {violation.code for violation in provider.violations}
    assert codes == (set() if answers else {"no_pong"})


def test_provider_fails_transcriptions_and_connections_on_request():
    scenario = Scenario("one turn", "Hello.", (turn("Hi there.", "Yes?"),))

    @talk(scenario)
    async def provider(client, provider):
        provider.faults.fail_transcriptions = 1
        await client.configure()
        audio = base64.b64encode(speech.speak("Hi there.") + b"\xff" * 8000).decode()
        await client.send({"type": "input_audio_buffer.append", "audio": audio})
        await client.until("conversation.item.input_audio_transcription.failed")
        provider.faults.refuse_upgrades = 1
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(provider.url)
        assert refused.value.status == 503
        provider.sessions[0].drop()
        with pytest.raises(AssertionError, match="CLOSE"):
            await client.until("nothing")

    provider.check()


def test_provider_faults():
    @talk()
    async def provider(client, provider):
        provider.faults.reject_session_updates = 1
        provider.faults.fail_responses = 1
        await client.send(update(instructions="x"))
        assert (await client.until("error"))["error"]["code"] == "invalid_value"
        await client.configure()
        await client.send({"type": "response.create"})
        response = (await client.until("response.done"))["response"]
        assert response["status"] == "failed"
        assert response["status_details"]["error"]["code"] == "rate_limit_exceeded"
        await client.send({"type": "response.create"})
        assert (await client.until("response.done"))["response"]["status"] == "completed"
        await provider.sessions[0].expire()
        assert (await client.until("error"))["error"]["code"] == "session_expired"

    provider.check()


def test_voice_detection_counts_appended_audio():
    detector = VoiceDetector()
    config = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
    assert detector.feed(b"\xff" * 8000, config) == []
    loud = bytes([0x90, 0x10]) * 4000
    assert detector.feed(loud, config) == [Started(700)]
    assert detector.feed(b"\xff" * 3840, config) == []
    assert detector.feed(b"\xff" * 240, config) == [Stopped(2500)]


def test_speech_has_two_voices_without_long_pauses():
    one = speech.speak("Hello. This is a test.", speech.CALLER)
    assert one != speech.speak("Hello. This is a test.", speech.ASSISTANT)
    assert 500 < g711.milliseconds(one) < 4000 and g711.rms(one) > 500
    frames = [g711.rms(one[at : at + 160]) for at in range(0, len(one), 160)]
    assert frames[0] > 100 and frames[-1] > 100
    longest = max(len(run) for run in "".join("q" if f < 100 else "." for f in frames).split("."))
    assert longest * 20 <= speech.MAX_PAUSE_MS


# ---- the two of them together ----


def converse(scenario: Scenario, authority: Authority | None = None):
    async def run():
        unknown: list[str] = []

        def on_event(session, direction, event):
            if direction == "out":
                event = event | ({"delta": ""} if isinstance(event.get("delta"), int) else {})
                try:
                    realtime_rules.validate_server_event(event)
                except realtime_rules.Refused as refusal:
                    unknown.append(f"{event['type']}: {refusal}")

        provider = Provider(scenario, on_event=on_event)
        await provider.start(tls=authority.server_context() if authority else None)
        trust = ssl.create_default_context(cafile=authority.certificate) if authority else None
        bridge = Bridge(provider.url, trust)
        async with FakeWarmer(bridge.serve) as warmer, warmer.carrier() as carrier:
            script = caller.follow(scenario, provider.idle)
            call = carrier.place_call(CALLER, CALLED, script)
            await call.wait_ended(90)
        await provider.stop()
        call.check()
        provider.check()
        assert unknown == []
        return call, provider, bridge

    return asyncio.run(run())


LAST_TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.done",
    "rate_limits.updated",
]


def test_a_whole_conversation_has_no_violations():
    scenario = harbour_dental.scenario()
    call, provider, bridge = converse(scenario)
    (session,) = provider.sessions
    assert [name for name, _ in bridge.tool_calls] == [
        "set_customer_name",
        "book_appointment",
        "end_call",
    ]
    assert bridge.transcripts[:2] == [one.caller for one in scenario.turns][:2]
    assert len(session.tool_outputs) == 2
    # Barge-in: the queue was cleared, the memory of the AI cut to what was heard.
    (clear,) = call.data("clear")
    assert clear["dropped_ms"] > 1000
    (cut,) = session.truncations
    assert 1900 <= cut.audio_end_ms <= 3500 and cut.audio_end_ms < cut.sent_ms
    # One turn from its first sound to its last event, as the vendor documents it.
    kinds = [entry.event["type"] for entry in session.log if entry.direction == "out"]
    begin = len(kinds) - 1 - kinds[::-1].index("input_audio_buffer.speech_started")
    once = [kind for kind in dict.fromkeys(kinds[begin:]) if "transcription" not in kind]
    assert once == LAST_TURN
    # The transcription of a turn arrives after its response has begun.
    transcribed = session.sent("conversation.item.input_audio_transcription.completed")
    created = session.sent("response.created")
    assert created[1].ms < transcribed[0].ms
    assert call.status == "completed"


def test_interrupting_a_response_that_is_still_generated_cancels_it():
    long = "This is a rather long answer. " * 12
    scenario = Scenario(
        "cancel", "Hello.", (turn("Hi.", long), turn("Stop.", "Yes?", interrupts_after_ms=400)),
        caller_hangs_up=True,
    )
    call, provider, _ = converse(scenario)
    done = [entry.event["response"] for entry in provider.sessions[0].sent("response.done")]
    assert [response["status"] for response in done] == ["completed", "cancelled", "completed"]
    assert done[1]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done[1]["output"][0]["status"] == "incomplete"
    assert "stop" in [event.kind for event in call.events]


def test_function_calls_wait_for_their_outputs():
    scenario = Scenario(
        "tools",
        "Hello.",
        (turn("Hi.", Reply("Wait.", (tool("a", x=1), tool("b"))), "Done.", "Never asked for."),),
        caller_hangs_up=True,
    )

    @talk(scenario)
    async def provider(client, provider):
        await client.configure()
        audio = base64.b64encode(speech.speak("Hello hello.") + b"\xff" * 8000).decode()
        await client.send({"type": "input_audio_buffer.append", "audio": audio})
        output = (await client.until("response.done"))["response"]["output"]
        assert [item["type"] for item in output] == ["message", "function_call", "function_call"]
        assert json.loads(output[1]["arguments"]) == {"x": 1}
        for item in output[1:]:
            made = {"type": "function_call_output", "call_id": item["call_id"], "output": "{}"}
            await client.send(create(made))
        await client.send({"type": "response.create"})
        text = await client.until("response.output_audio_transcript.done")
        assert text["transcript"] == "Done."
        assert not provider.sessions[0].idle()
        await client.until("response.done")
        assert not provider.sessions[0].idle()  # one reply is still due

    provider.check()


def test_conversation_over_tls(tmp_path):
    authority = Authority(tmp_path)
    scenario = Scenario("tls", "Hello.", (turn("Goodbye.", "Goodbye."),), caller_hangs_up=True)
    call, _, _ = converse(scenario, authority)
    assert call.heard_ms() > 300
    shown = subprocess.run(
        ["openssl", "verify", "-CAfile", authority.certificate, authority.server_certificate],
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
