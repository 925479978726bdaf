"""The stand-in for the carrier is strict: each violation is committed once and must be noticed."""

import asyncio
import base64
import json
import wave
from urllib.parse import parse_qsl

import pytest

from flow.bridge import CONNECT, EMPTY, HANGUP, HEADER, MEDIA, PUBLIC, FakeWarmer
from standins import speech, webhook
from standins.carrier import Faults
from standins.playout import Playout

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
            return event.get("streamSid") or event["stream_id"]
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


TELNYX = CONNECT.replace(f"{MEDIA}/media", f"{MEDIA}/media/telnyx")


def bare(event: str, **fields: object) -> str:
    return json.dumps({"event": event, **fields})


def bare_media(audio: bytes) -> str:
    return bare("media", media={"payload": base64.b64encode(audio).decode()})


TELNYX_VIOLATIONS = {
    "a stream id": (message("clear", "X").replace("streamSid", "stream_id"), "100003 clear has an"),
    "not json": ("hello", "100003 not JSON"),
    "less than 20 ms": (bare_media(SECOND[:159]), "100004 payload of 159 bytes"),
    "more than 30 s": (bare_media(b"\x7f" * 240_001), "100003 message of"),
    "extra media field": (bare("media", media={"payload": "//8=", "track": "x"}), "100003 media.media has"),
    "mark without name": (bare("mark", mark={}), "misses the field name"),
    "binary": (b"\0", "100003 binary message"),
}


@pytest.mark.parametrize("name", TELNYX_VIOLATIONS)
def test_telnyx_notices_a_bad_message_and_says_so(name):
    made, expected = TELNYX_VIOLATIONS[name]
    told = []

    async def commit(socket):
        await until_start(socket)
        await (socket.send_bytes(made) if isinstance(made, bytes) else socket.send_str(made))
        async for frame in socket:
            event = json.loads(frame.data)
            if event["event"] == "error":
                told.append(event["payload"])
                return

    call = asyncio.run(one_call(commit, TELNYX))
    assert len(call.violations) == 1 and expected in call.violations[0], call.violations
    assert str(told[0]["code"]) in call.violations[0]


def test_telnyx_begins_and_speaks_as_documented():
    messages = []

    async def listen(socket):
        await socket.send_str("")  # too early: refused, whatever it is
        async for frame in socket:
            event = json.loads(frame.data)
            messages.append(event)
            if event["event"] == "start":
                await socket.send_str(bare_media(SECOND[:160]))
                await socket.send_str(bare("mark", mark={"name": "m"}))
            if event["event"] == "mark":
                return

    async def press(call):
        await call.press("5")

    call = asyncio.run(one_call(listen, TELNYX, press))
    assert messages[0] == {"event": "connected", "version": "1.0.0"}
    start = next(one for one in messages if one["event"] == "start")
    assert base64.b64decode(start["start"]["client_state"]) == b"abc"
    assert start["start"]["call_control_id"] == call.sid and start["stream_id"]
    assert "100003 sent before start" in call.violations[0] and len(call.violations) == 1


def test_telnyx_audio_is_not_in_order():
    chunks = []

    async def listen(socket):
        await until_start(socket)
        async for frame in socket:
            event = json.loads(frame.data)
            if event["event"] == "media":
                chunks.append(int(event["media"]["chunk"]))
                if len(chunks) == 15:
                    return

    call = asyncio.run(one_call(listen, TELNYX))
    call.check()
    assert chunks != sorted(chunks) and sorted(chunks) == list(range(1, 16))


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
    "parameter without value": (
        stream(children='<Parameter name="a"/>'),
        "12200 Parameter without",
    ),
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
    assert (path, form["CallStatus"], form["Direction"]) == (
        "/voice/incoming",
        "ringing",
        "inbound",
    )
    assert form["ToZip"] == "" and form["FromCity"] == "SÃO PAULO"
    assert headers["Host"] == "phone.example.test"
    expected = webhook.signature("12345", f"{PUBLIC}/voice/incoming", list(form.items()))
    assert headers["X-Twilio-Signature"] == expected
    path, form, headers = call.requests[-1]
    assert (path, form["CallStatus"], form["SequenceNumber"]) == ("/voice/status", "completed", "0")
    assert form["Timestamp"].endswith("+0000")


def test_carrier_reject_is_never_answered():
    call = asyncio.run(
        one_call(None, incoming=f'{HEADER}<Response><Reject reason="busy"/></Response>')
    )
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
    assert call.requests[1][2]["x-twilio-signature"] == webhook.signature(
        "12345", f"{MEDIA}/media", []
    )
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


def test_a_caller_talks_on_between_two_streams():
    words = [bytes([n]) * 160 for n in range(50)]
    heard = [], []
    streams = iter(heard)

    async def server(socket):
        part = next(streams)
        await until_start(socket)
        async for frame in socket:
            said = base64.b64decode(json.loads(frame.data)["media"]["payload"])
            if said in words:
                part.append(words.index(said))
            if part[-1:] == [10] or part[-1:] == [49]:
                return

    async def script(call):
        await call.wait_started()
        await call.say(b"".join(words))

    call = asyncio.run(one_call(server, script=script, after=f"{HEADER}<Response>{stream()}</Response>"))
    call.check()
    before, after = heard
    assert before == list(range(11))
    assert after == list(range(after[0], 50)), "the rest, in order"
    gap_ms = call.times("start")[-1] - call.times("socket-closed")[0]
    assert abs((after[0] - 11) * 20 - gap_ms) <= 40, "what was said between the streams is lost, and no more"


def test_a_lost_caller_fails_the_test():
    async def server(socket):
        await until_start(socket)

    async def script(call):
        await call.hear(100)

    with pytest.raises(Exception, match="the call ended while the caller waited"):
        asyncio.run(one_call(server, script=script))
