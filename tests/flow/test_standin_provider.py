"""The stand-in for the AI provider is strict: each violation is committed once and must be noticed."""

import asyncio
import base64
import json

import aiohttp
import pytest

from flow.bridge import session_config
from standins import realtime_session, speech
from standins.realtime import Provider
from standins.scenario import Reply, Scenario, tool, turn
from standins.vad import Started, Stopped, VoiceDetector


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
        [
            update(
                audio={"input": {"turn_detection": {"type": "server_vad", "create_response": None}}}
            )
        ],
        "invalid_type",
    ),
    "threshold out of range": (
        [update(audio={"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}})],
        "invalid_value",
    ),
    "idle timeout too short": (
        [
            update(
                audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 10}}}
            )
        ],
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
        [
            create(
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "input_text", "text": "x"}],
                }
            )
        ],
        "invalid_value",
    ),
    "assistant audio without text": (
        [create({"type": "message", "role": "assistant", "content": [{"type": "output_audio"}]})],
        "missing_required_parameter",
    ),
    "system audio": (
        [
            create(
                {
                    "type": "message",
                    "role": "system",
                    "content": [{"type": "input_audio", "audio": ""}],
                }
            )
        ],
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
    "commit of nothing": (
        [{"type": "input_audio_buffer.commit"}],
        "input_audio_buffer_commit_empty",
    ),
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
    "wrong key": (
        {"Authorization": "Bearer x"},
        "?model=gpt-realtime-2.1",
        "invalid_api_key",
        3000,
    ),
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


def test_sessions_are_told_apart_by_when_a_call_took_them():
    """Workers open some ahead, several in one millisecond: which is taken first is not which was opened first."""

    @talk()
    async def provider(later, provider):
        headers = {"Authorization": "Bearer sk-test"}
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(f"{provider.url}?model=gpt-realtime-2.1", headers=headers) as socket:
                sooner = Client(socket)
                await sooner.until("session.created")
                await later.until("session.created")
                assert provider.talking() == []
                first, second = provider.sessions
                await sooner.configure()
                assert provider.talking() == [second]
                await later.configure()
                assert provider.talking() == [second, first]

    provider.check()
