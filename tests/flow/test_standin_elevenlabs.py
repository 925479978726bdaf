"""The stand-in for ElevenLabs is strict: each violation is committed once and must be noticed; and a good
conversation has none."""

import asyncio
import base64
import json

import aiohttp
import pytest

from standins import speech
from standins.elevenlabs import Agents
from standins.scenario import Reply, Scenario, tool, turn

SCENARIO = Scenario(
    "an agent",
    "Good morning.",
    (
        turn("My name is Ann.", Reply("One moment.", (tool("note", name="Ann"),)), "Noted, Ann."),
        turn("Thank you.", "There is a lot more to say about that, so please listen to it all."),
        turn("Stop.", "Of course.", interrupts_after_ms=500),
    ),
)
FRAME = 160
AUDIO = {"user_audio_chunk": base64.b64encode(b"\xff" * FRAME).decode()}
INITIATION = {
    "type": "conversation_initiation_client_data",
    "user_id": "CA1",
    "dynamic_variables": {"call_sid": "CA1"},
    "conversation_config_override": {"agent": {"first_message": "Good morning."}},
}


def initiation(**fields: object) -> dict:
    return {**INITIATION, **fields}


def override(**fields: object) -> dict:
    return initiation(conversation_config_override=fields)


async def signed_url(provider: Agents, session: aiohttp.ClientSession, key: str = "xi-test") -> str:
    url = provider.url.replace("ws://", "http://") + "/get-signed-url"
    async with session.get(
        url, params={"agent_id": provider.agent_id}, headers={"xi-api-key": key}
    ) as answer:
        return (await answer.json()).get("signed_url", "")


async def client(provider: Agents, talk, url: str = "") -> int | None:
    """Opens a conversation and leaves it to `talk`; the code the provider closed with."""
    await provider.start()
    try:
        async with aiohttp.ClientSession() as session:
            url = url or await signed_url(provider, session)
            async with session.ws_connect(url, max_msg_size=0) as socket:
                await talk(socket)
                return socket.close_code
    finally:
        await provider.stop()


BEFORE = {  # sent first
    "not json": ("hello", "invalid_message"),
    "a list": ("[1]", "invalid_message"),
    "binary": (b"\0", "invalid_message"),
    "audio first": (AUDIO, "invalid_message"),
    "no call_sid": (initiation(dynamic_variables={}), "missing_dynamic_variable"),
    "null variable": (initiation(dynamic_variables={"call_sid": None}), "invalid_message"),
    "system variable": (
        initiation(dynamic_variables={"call_sid": "x", "system__time_utc": "y"}),
        "invalid_message",
    ),
    "unknown field": (initiation(agent="x"), "invalid_message"),
    "empty override": (override(agent={"language": ""}), "override_error"),
    "language of a country": (override(agent={"language": "de-AT"}), "override_error"),
    "null override": (override(tts={"voice_id": None}), "override_error"),
    "unknown override": (override(agent={"voice": "x"}), "override_error"),
    "override of a number": (override(agent="x"), "override_error"),
    "override not allowed": (override(agent={"prompt": {"llm": "x"}}), "override_error"),
}
AFTER = {  # sent in a conversation
    "initiation again": (INITIATION, "invalid_message"),
    "unknown type": ({"type": "session.update"}, "invalid_message"),
    "no type": ({"event_id": 1}, "invalid_message"),
    "audio with a type": ({"type": "user_audio_chunk", **AUDIO}, "invalid_message"),
    "audio with more": ({**AUDIO, "sample_rate": 8000}, "invalid_message"),
    "audio not base64": ({"user_audio_chunk": "/*8="}, "invalid_message"),
    "audio empty": ({"user_audio_chunk": ""}, "invalid_message"),
    "audio a number": ({"user_audio_chunk": 1}, "invalid_message"),
    "pong unasked": ({"type": "pong", "event_id": 999}, "invalid_message"),
    "pong without id": ({"type": "pong"}, "missing_fields"),
    "pong with text": ({"type": "pong", "event_id": "1"}, "invalid_message"),
    "result unasked": (
        {"type": "client_tool_result", "tool_call_id": "x", "result": "", "is_error": False},
        "invalid_message",
    ),
    "result an object": (
        {"type": "client_tool_result", "tool_call_id": "x", "result": {}, "is_error": False},
        "invalid_message",
    ),
    "result without is_error": (
        {"type": "client_tool_result", "tool_call_id": "x", "result": ""},
        "missing_fields",
    ),
    "message without text": ({"type": "user_message"}, "missing_fields"),
}


async def put(socket, made: object) -> None:
    if isinstance(made, bytes):
        await socket.send_bytes(made)
    else:
        await socket.send_str(made if isinstance(made, str) else json.dumps(made))


@pytest.mark.parametrize("name", [*BEFORE, *AFTER])
def test_a_bad_message_is_noticed(name):
    made, code = {**BEFORE, **AFTER}[name]
    errors = []

    async def talk(socket):
        if name in AFTER:
            await put(socket, INITIATION)
        await put(socket, made)
        async for frame in socket:
            event = json.loads(frame.data)
            if event["type"] == "error":
                errors.append(event["error_event"])

    provider = Agents(SCENARIO)
    assert asyncio.run(client(provider, talk)) == 1008
    assert [one.code for one in provider.violations] == [code], provider.violations
    assert errors[0]["code"] == 1008 and errors[0]["error_type"] == code
    with pytest.raises(AssertionError, match="AI provider would complain"):
        provider.check()


async def listen(socket):
    async for _ in socket:
        pass


@pytest.mark.parametrize(
    "query, code",
    [
        ("?agent_id=agent_test", "unauthorized"),
        ("?agent_id=agent_test&conversation_signature=x", "unauthorized"),
        ("?agent_id=other", "agent_not_found"),
        ("", "agent_not_found"),
    ],
)
def test_an_address_that_is_not_signed_is_refused(query, code):
    provider = Agents(SCENARIO)

    async def run() -> int | None:
        await provider.start()
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(provider.url + query) as socket:
                await listen(socket)
                closed = socket.close_code
        await provider.stop()
        return closed

    assert asyncio.run(run()) == 1008
    assert [one.code for one in provider.violations] == [code]


def test_a_signed_address_grows_old(monkeypatch):
    monkeypatch.setattr("standins.elevenlabs.SIGNED_MS", -1)
    provider = Agents(SCENARIO)
    assert asyncio.run(client(provider, listen)) == 1008
    assert "older than 15 minutes" in provider.violations[0].text


def test_signing_with_another_key_is_noticed():
    provider = Agents(SCENARIO)

    async def run() -> str:
        await provider.start()
        async with aiohttp.ClientSession() as session:
            url = await signed_url(provider, session, "wrong")
        await provider.stop()
        return url

    assert asyncio.run(run()) == ""
    assert [one.code for one in provider.violations] == ["invalid_api_key"]


def test_missing_initiation_is_noticed(monkeypatch):
    monkeypatch.setattr("standins.elevenlabs_session.INITIATION_SECONDS", 0.1)
    provider = Agents(SCENARIO)
    assert asyncio.run(client(provider, listen)) == 1008
    assert [one.code for one in provider.violations] == ["missing_fields"]


def test_a_missing_pong_is_noticed(monkeypatch):
    monkeypatch.setattr("standins.elevenlabs_session.PING_SECONDS", 0.05)
    provider = Agents(SCENARIO)
    provider.pong_s = 0.1

    async def talk(socket):
        await put(socket, INITIATION)
        async for _ in socket:
            if provider.violations:
                return

    asyncio.run(client(provider, talk))
    assert provider.violations[0].code == "no_pong"


class Client:
    """A good client, as far as a conversation without a phone needs one."""

    def __init__(self, answers_twice: bool = False, answers: bool = True) -> None:
        self.events: list[dict] = []
        self._answers_twice = answers_twice
        self._answers = answers
        self._spoken = asyncio.Event()

    async def talk(self, socket) -> None:
        await put(socket, INITIATION)
        reader = asyncio.create_task(self._read(socket))
        await self._after("agent_response", 1)
        await self._say(socket, "My name is Ann.")
        await self._after("agent_response", 3)
        await self._say(socket, "Thank you.")
        await self._after("agent_response", 4)
        await self._say(socket, "Stop.")
        await self._after("agent_response", 5)
        await socket.close()
        await reader

    async def _read(self, socket) -> None:
        async for frame in socket:
            event = json.loads(frame.data)
            self.events.append(event)
            if event["type"] == "ping":
                await put(socket, {"type": "pong", "event_id": event["ping_event"]["event_id"]})
            elif event["type"] == "client_tool_call":
                call_id = event["client_tool_call"]["tool_call_id"]
                result = {"type": "client_tool_result", "tool_call_id": call_id}
                for _ in range(2 if self._answers_twice else 1):
                    await put(socket, {**result, "result": "{}", "is_error": False})

    def of(self, kind: str) -> list[dict]:
        return [one for one in self.events if one["type"] == kind]

    async def _after(self, kind: str, count: int) -> None:
        while len(self.of(kind)) < count:
            await asyncio.sleep(0.02)

    @staticmethod
    async def _say(socket, text: str) -> None:
        """Faster than real time: only the amount of audio counts."""
        audio = speech.speak(text, speech.CALLER) + b"\xff" * 8000
        for start in range(0, len(audio), FRAME):
            chunk = base64.b64encode(audio[start : start + FRAME]).decode()
            await put(socket, {"user_audio_chunk": chunk})


def test_a_good_conversation_has_no_violations():
    provider = Agents(SCENARIO)
    provider.transcription_s = 0.05
    one = Client()
    asyncio.run(asyncio.wait_for(client(provider, one.talk), 30))
    provider.check()
    kinds = [event["type"] for event in one.events]
    assert kinds[0] == "conversation_initiation_metadata"
    said = [event["agent_response_event"]["agent_response"] for event in one.of("agent_response")]
    assert said == [
        "Good morning.",
        "One moment.",
        "Noted, Ann.",
        "There is a lot more to say about that, so please listen to it all.",
        "Of course.",
    ]
    heard = [e["user_transcription_event"]["user_transcript"] for e in one.of("user_transcript")]
    assert heard == ["My name is Ann.", "Thank you.", "Stop."]
    assert provider.sessions[0].tool_outputs[0]["output"] == "{}"


def test_an_interruption_names_what_is_late_and_what_was_heard():
    provider = Agents(SCENARIO)
    provider.transcription_s = 0.05
    one = Client()
    asyncio.run(asyncio.wait_for(client(provider, one.talk), 30))
    last = one.of("interruption")[-1]
    place = one.events.index(last)
    limit = last["interruption_event"]["event_id"]
    after = [event for event in one.events[place:] if event["type"] == "audio"]
    assert after[0]["audio_event"]["event_id"] < limit  # was on its way
    assert all(event["audio_event"]["event_id"] > limit for event in after[1:])
    correction = one.of("agent_response_correction")[-1]["agent_response_correction_event"]
    original, heard = (
        correction["original_agent_response"],
        correction["corrected_agent_response"],
    )
    assert original.startswith(heard) and heard != original


def test_a_tool_answered_twice_is_noticed():
    provider = Agents(SCENARIO)
    one = Client(answers_twice=True)

    async def talk(socket):
        try:
            await asyncio.wait_for(one.talk(socket), 5)
        except (asyncio.TimeoutError, ConnectionError):
            pass

    asyncio.run(client(provider, talk))
    assert "answered before" in provider.violations[0].text


def test_the_agent_can_hang_up():
    provider = Agents(
        Scenario("bye", "Hi.", (turn("Goodbye.", Reply("Bye.", (tool("end_call"),))),))
    )
    provider.hangs_up = True
    provider.transcription_s = 0.05
    one = Client()

    async def talk(socket):
        await put(socket, INITIATION)
        reader = asyncio.create_task(one._read(socket))
        await one._after("agent_response", 1)
        await one._say(socket, "Goodbye.")
        await reader

    assert asyncio.run(asyncio.wait_for(client(provider, talk), 20)) == 1000
    assert one.events[-1]["type"] == "agent_tool_response"
    provider.check()
