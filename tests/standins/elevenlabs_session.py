"""One conversation of an agent: it speaks first, unless its first message is empty, listens by itself, decides what
interrupts it."""

import asyncio
import base64
import uuid
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from . import elevenlabs_rules as rules
from .clock import now_ms
from .elevenlabs_rules import Refused
from .scenario import Reply, Tool
from .vad import Started, VoiceDetector
from .voice_server import VoiceSession, spoken

if TYPE_CHECKING:
    from .elevenlabs import Agents

PING_SECONDS = 1.0
INITIATION_SECONDS = 3
TOOL_SECONDS = 20
_LISTENING = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}


class _Speech:
    """What the agent says at the moment, and how much of it the agent believes was heard."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.cancelled = asyncio.Event()
        self.over = asyncio.Event()  # all of it was sent, or it was cancelled
        self.sent_ms = 0.0
        self.total_ms = 0.0
        self.began_ms: float | None = None

    def played_ms(self) -> float:
        return 0.0 if self.began_ms is None else min(self.sent_ms, now_ms() - self.began_ms)

    def audible(self) -> bool:
        """Still being sent, or still playing by the agent's own clock."""
        return not self.over.is_set() or self.played_ms() < self.sent_ms

    def heard(self) -> str:
        words = self.text.split(" ")
        share = self.played_ms() / self.total_ms if self.total_ms else 0.0
        return " ".join(words[: int(len(words) * share)])


class Session(VoiceSession):
    provider: "Agents"

    def __init__(
        self,
        provider: "Agents",
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
    ) -> None:
        super().__init__(provider, socket, transport)
        self.id = "conv_" + uuid.uuid4().hex[:24]
        self.overrides: dict[str, object] = {}
        self.user_id = ""
        self.corrections: list[tuple[str, str]] = []  # what was to be said, what was heard of it
        self._begun = asyncio.Event()
        self._speech: _Speech | None = None
        self._turn: asyncio.Task | None = None  # the agent's: thinking, speaking, tools
        self._event_id = 0
        self._pings: dict[int, float] = {}
        self._tools: dict[str, asyncio.Future] = {}
        self._answered: set[str] = set()
        self._detector = VoiceDetector()

    def idle(self) -> bool:
        return (self._turn is None or self._turn.done()) and self.conversation.answered()

    def shown(self, event: dict) -> dict:
        shown = dict(event)
        if event["type"] == rules.AUDIO:
            shown[rules.AUDIO] = len(event[rules.AUDIO]) * 3 // 4
        elif event["type"] == "audio":
            size = len(event["audio_event"]["audio_base_64"]) * 3 // 4
            shown["audio_event"] = {**event["audio_event"], "audio_base_64": size}
        return shown

    # ---- the socket ----

    async def run(self) -> None:
        self.spawn(self._expect_initiation())
        try:
            async for message in self._socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    await self._on_text(message.data)
                elif message.type == aiohttp.WSMsgType.BINARY:
                    await self._refuse(Refused("invalid_message", "binary message"))
                elif isinstance(message.data, aiohttp.WebSocketError):
                    self.provider.violate("protocol_error", str(message.data))
        finally:
            await self.end_tasks()

    async def _expect_initiation(self) -> None:
        try:
            await asyncio.wait_for(self._begun.wait(), INITIATION_SECONDS)
        except asyncio.TimeoutError:
            self.provider.violate("missing_fields", "no initiation data")
            self.close_soon(1008, "no initiation data")

    async def _on_text(self, text: str) -> None:
        try:
            message = rules.read(text)
            self.record("in", message)
            if (message["type"] == "conversation_initiation_client_data") == self.begun():
                raise Refused("invalid_message", "initiation data comes first, and once")
            await self._HANDLERS[message["type"]](self, message)
        except Refused as refusal:
            await self._refuse(refusal)

    async def _refuse(self, refusal: Refused) -> None:
        self.provider.violate(refusal.code, str(refusal))
        await self.refuse(refusal.code, str(refusal))

    async def refuse(self, code: str, text: str) -> None:
        await self.send("error", "error_event", code=1008, error_type=code, message=text)
        await self.close(1008, text[:100])

    async def send(self, kind: str, body: str, **fields: object) -> None:
        await self.send_event({"type": kind, body: fields})

    def _next_id(self) -> int:
        self._event_id += 1
        return self._event_id

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            event_id = self._next_id()
            self._pings[event_id] = now_ms()
            await self.send("ping", "ping_event", event_id=event_id, ping_ms=None)
            late = now_ms() - self.provider.pong_s * 1000
            for missing in [one for one, sent_ms in self._pings.items() if sent_ms < late]:
                del self._pings[missing]
                self.provider.violate("no_pong", f"no pong for {missing}")

    # ---- client messages ----

    async def _on_initiation(self, message: dict) -> None:
        provider = self.provider
        found = rules.initiation(message, provider.allowed_overrides, provider.dynamic_variables)
        self.overrides = found
        self.user_id = message.get("user_id", "")
        self.begun_ms = now_ms()
        self._begun.set()
        await self.send(
            "conversation_initiation_metadata",
            "conversation_initiation_metadata_event",
            conversation_id=self.id,
            agent_output_audio_format=provider.output_format,
            user_input_audio_format=provider.input_format,
        )
        self.spawn(self._ping())
        first = str(found.get("agent.first_message", "Hello, this is the agent's own greeting."))
        self.conversation.greeted = True
        if first:
            self._turn = self.spawn(self._say(first))

    async def _on_audio(self, message: dict) -> None:
        data = rules.audio(message)
        self.heard += data
        for change in self._detector.feed(data, _LISTENING):
            if isinstance(change, Started):
                await self._speech_started()
            else:
                self._turn = self.spawn(self._speech_stopped())

    async def _on_pong(self, message: dict) -> None:
        if self._pings.pop(message["event_id"], None) is None:
            raise Refused("invalid_message", f"pong for {message['event_id']}, which nobody sent")

    async def _on_tool_result(self, message: dict) -> None:
        call_id = message["tool_call_id"]
        if call_id in self._answered:
            raise Refused("invalid_message", f"{call_id} was answered before")
        waiting = self._tools.pop(call_id, None)
        if waiting is None:
            raise Refused("invalid_message", f"no tool call {call_id}")
        self._answered.add(call_id)
        self.tool_outputs.append({"call_id": call_id, "output": message["result"]})
        if not waiting.done():
            waiting.set_result(message)

    async def _on_user_message(self, message: dict) -> None:
        self._turn = self.spawn(self._answer())

    async def _on_nothing(self, message: dict) -> None:
        pass

    _HANDLERS = {
        "conversation_initiation_client_data": _on_initiation,
        rules.AUDIO: _on_audio,
        "pong": _on_pong,
        "client_tool_result": _on_tool_result,
        "user_message": _on_user_message,
        "contextual_update": _on_nothing,
        "user_activity": _on_nothing,
        "feedback": _on_nothing,
        "mcp_tool_approval_result": _on_nothing,
    }

    # ---- listening ----

    async def _speech_started(self) -> None:
        speech = self._speech
        if speech is not None and speech.audible():
            await self._interrupt(speech)
        await self.send(
            "tentative_user_transcript",
            "tentative_user_transcription_event",
            user_transcript="",
            event_id=self._next_id(),
        )

    async def _interrupt(self, speech: _Speech) -> None:
        heard, old = speech.heard(), self._event_id
        speech.cancelled.set()
        if self._turn is not None:
            self._turn.cancel()
        self._speech = None
        await self.send("interruption", "interruption_event", event_id=self._next_id())
        # What was on its way: to be dropped by its id.
        await self._send_audio(b"\x2a" * 800, old)
        if self.provider.corrections:
            self.corrections.append((speech.text, heard))
            await self.send(
                "agent_response_correction",
                "agent_response_correction_event",
                original_agent_response=speech.text,
                corrected_agent_response=heard,
                event_id=self._event_id,
            )

    async def _speech_stopped(self) -> None:
        transcript = self.conversation.caller_spoke()
        await asyncio.sleep(self.provider.transcription_s)
        await self.send(
            "user_transcript",
            "user_transcription_event",
            user_transcript=transcript,
            event_id=self._next_id(),
        )
        await self._answer()

    # ---- speaking ----

    async def _answer(self) -> None:
        """All the script has for what was said: an agent goes on by itself after its tools."""
        while True:
            reply = self.conversation.next_reply()
            await asyncio.sleep(self.provider.first_audio_s)
            await self._reply(reply)
            if self.conversation.answered():
                return

    async def _reply(self, reply: Reply) -> None:
        if reply.say:
            await self._say(reply.say)
        for call in reply.calls:
            await self._call(call)

    async def _say(self, text: str) -> None:
        self.will_say(text)
        speech = self._speech = _Speech(text)
        try:
            if not self.provider.words_last:
                await self._send_words(text)
            speed = self.provider.audio_speed
            async for start, chunk, length in spoken(text, speed, speech.cancelled):
                speech.total_ms = length / 8
                if speech.began_ms is None:
                    speech.began_ms = now_ms()
                speech.sent_ms = (start + len(chunk)) / 8
                await self._send_audio(chunk, self._next_id())
            if self.provider.words_last and not speech.cancelled.is_set():
                await self._send_words(text)
        finally:
            speech.over.set()

    async def _send_words(self, text: str) -> None:
        await self.send(
            "agent_response",
            "agent_response_event",
            agent_response=text,
            event_id=self._next_id(),
        )

    async def _send_audio(self, chunk: bytes, event_id: int) -> None:
        payload = base64.b64encode(chunk).decode()
        alignment = {"chars": ["a"], "char_start_times_ms": [0], "char_durations_ms": [100]}
        await self.send(
            "audio",
            "audio_event",
            audio_base_64=payload,
            event_id=event_id,
            alignment=alignment,
        )

    async def _call(self, call: Tool) -> None:
        call_id = "tc_" + uuid.uuid4().hex[:16]
        if call.name == "end_call" and self.provider.hangs_up:
            await self._hang_up(call_id)
            return
        waiting = asyncio.get_running_loop().create_future()
        self._tools[call_id] = waiting
        await self.send(
            "client_tool_call",
            "client_tool_call",
            tool_name=call.name,
            tool_call_id=call_id,
            parameters=call.arguments,
            event_id=self._next_id(),
        )
        if call.name == "end_call":
            return  # the client hangs up; there is nobody to be told the result
        try:
            await asyncio.wait_for(waiting, TOOL_SECONDS)
        except asyncio.TimeoutError:
            self.provider.violate("tool_timeout", f"{call.name} was not answered")

    async def _hang_up(self, call_id: str) -> None:
        await self.send(
            "agent_tool_response",
            "agent_tool_response",
            tool_name="end_call",
            tool_call_id=call_id,
            tool_type="system",
            is_error=False,
            is_called=True,
            event_id=self._next_id(),
        )
        self._turn = None
        self.close_soon(1000, "the agent ended the call")
