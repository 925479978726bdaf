"""One session of the AI provider: client events in, server events out, voice detection, records."""

import asyncio
import base64
import binascii
import copy
import uuid
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from aiohttp import web

from . import realtime_rules as rules
from .clock import now_ms
from .realtime_config import default_config, merge
from .realtime_response import Response
from .realtime_rules import Refused
from .vad import Started, VoiceDetector
from .voice_server import VoiceSession

if TYPE_CHECKING:
    from .realtime import Faults, Provider

PING_SECONDS = 20.3
PONG_SECONDS = 10
MAX_APPEND = 15 * 1024 * 1024
MIN_COMMIT_MS = 100
SERVER_ERROR = {"type": "server_error", "code": None, "message": "failed", "param": None}
# How the energy detector behaves when the client asked for semantic detection.
_SEMANTIC_TIMING = {"threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 800}


class Instructions(NamedTuple):
    ms: float  # in force since
    text: str


class Truncation(NamedTuple):
    ms: float
    item_id: str
    audio_end_ms: int
    sent_ms: int


def new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


class Session(VoiceSession):
    def __init__(
        self,
        provider: "Provider",
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        model: str,
    ) -> None:
        super().__init__(provider, socket, transport)
        self.id = new_id("sess")
        self.model = model
        self.config = default_config(self.id, model, provider.session_s)
        self.items: dict[str, dict] = {}
        self.audio_ms: dict[str, int] = {}  # assistant items: audio sent
        self.updates: list[dict] = []  # accepted session.update bodies
        self.instructions: list[Instructions] = []
        self.asked: str = ""  # the first instructions that were sent, accepted or not
        self.truncations: list[Truncation] = []
        self._detector = VoiceDetector()
        self._uncommitted_ms = 0
        self._user_item = ""
        self._open_calls: set[str] = set()
        self._answered_calls: set[str] = set()
        self._response: Response | None = None
        self._ponged = asyncio.Event()

    # ---- what the tests ask ----

    @property
    def faults(self) -> "Faults":
        return self.conversation.faults or self.provider.faults

    def instructions_at(self, ms: float) -> str:
        """The instructions in force at a moment of the common clock."""
        return next((one.text for one in reversed(self.instructions) if one.ms <= ms), "")

    def idle(self) -> bool:
        """No response is being spoken, and the script owes none."""
        return self._response is None and self.conversation.answered()

    # ---- faults ----

    async def expire(self) -> None:
        await self._say_refused("session_expired", "Your session hit the maximum duration.")
        self.close_soon(1001, "invalid_request_error.session_expired")

    async def _expire_later(self) -> None:
        await asyncio.sleep(self.provider.session_s)
        await self.expire()

    # ---- the socket ----

    async def run(self) -> None:
        await self.send("session.created", session=self.config)
        self.spawn(self._expire_later())
        pinger = asyncio.create_task(self._ping())
        try:
            async for message in self._socket:
                await self._on_message(message)
        finally:
            pinger.cancel()
            await self.end_tasks()
            await asyncio.gather(pinger, return_exceptions=True)

    async def send(self, kind: str, **fields: object) -> None:
        await self.send_event({"type": kind, "event_id": new_id("event"), **fields})

    async def refuse(self, code: str, text: str, close_code: int) -> None:
        await self._say_refused(code, text)
        await self.close(close_code, f"invalid_request_error.{code}")

    async def _say_refused(self, code: str, text: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": text}
        await self.send("error", error={**error, "param": None, "event_id": None})

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            self._ponged.clear()
            try:
                await self._socket.ping(b"ping")
                await asyncio.wait_for(self._ponged.wait(), PONG_SECONDS)
            except asyncio.TimeoutError:
                if self.vanished:
                    return
                self.provider.violate("no_pong", f"no pong within {PONG_SECONDS} s")
            except ConnectionError:
                return

    async def _on_message(self, message: aiohttp.WSMessage) -> None:
        if message.type == aiohttp.WSMsgType.PONG:
            self._ponged.set()
        elif message.type == aiohttp.WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type == aiohttp.WSMsgType.ERROR:
            if isinstance(message.data, aiohttp.WebSocketError):
                self.provider.violate("protocol_error", str(message.data))
        elif message.type == aiohttp.WSMsgType.BINARY:
            await self._answer(None, Refused("invalid_event", "binary message"))
        else:
            await self._on_text(message.data)

    async def _on_text(self, text: str) -> None:
        event = None
        try:
            event = rules.read(text)
            rules.check(event, self.model)
            self.record("in", event)
            await self._HANDLERS[event["type"]](self, event)
        except Refused as refusal:
            await self._answer(event, refusal)

    async def _answer(self, event: dict | None, refusal: Refused) -> None:
        self.provider.violate(refusal.code, f"{(event or {}).get('type')}: {refusal}")
        error = {
            "type": "invalid_request_error",
            "code": refusal.code,
            "message": refusal.message,
            "param": refusal.param,
            "event_id": (event or {}).get("event_id"),
        }
        await self.send("error", error=error)

    def shown(self, event: dict) -> dict:
        shown = dict(event)
        audio_field = {"input_audio_buffer.append": "audio", "response.output_audio.delta": "delta"}
        field = audio_field.get(event["type"])
        if field is not None and isinstance(shown.get(field), str):
            shown[field] = len(shown[field]) * 3 // 4
        elif "session" in shown or "item" in shown:
            shown = copy.deepcopy(shown)  # what it was then, not what it became
        return shown

    # ---- client events ----

    async def _on_session_update(self, event: dict) -> None:
        update = event["session"]
        self.asked = self.asked or update.get("instructions", "")
        if self.faults.ignore_session_updates > 0:
            self.faults.ignore_session_updates -= 1
            return
        if self.faults.reject_session_updates > 0:
            self.faults.reject_session_updates -= 1
            error = {"type": "invalid_request_error", "code": "invalid_value", "param": "session"}
            error |= {"message": "rejected on purpose", "event_id": event.get("event_id")}
            await self.send("error", error=error)
            return
        if self.faults.fail_session_updates > 0:
            self.faults.fail_session_updates -= 1
            await self.send("error", error=SERVER_ERROR | {"event_id": event.get("event_id")})
            return
        voice = update.get("audio", {}).get("output", {}).get("voice")
        if self.audio_ms and voice not in (None, self.config["audio"]["output"]["voice"]):
            raise Refused("cannot_update_voice", "the assistant has spoken already")
        merge(self.config, update)
        self.updates.append(update)
        if "instructions" in update:
            self.instructions.append(Instructions(now_ms(), update["instructions"]))
            self.begun_ms = self.instructions[0].ms
        await self.send("session.updated", session=self.config)

    async def _on_append(self, event: dict) -> None:
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise Refused("missing_required_parameter", "append without audio", "audio")
        if len(audio) > MAX_APPEND:
            raise Refused("string_above_max_length", "append above 15 MiB", "audio")
        try:
            data = base64.b64decode(audio, validate=True)
        except binascii.Error as error:
            raise Refused("invalid_value", "audio is not base64", "audio") from error
        source = self.config["audio"]["input"]
        if source["format"]["type"] != "audio/pcmu":
            text = "caller audio arrived before the session was set to audio/pcmu"
            self.provider.violate("audio_before_format", text)
            return
        self.heard += data
        self._uncommitted_ms += len(data) // 8
        detection = source["turn_detection"]
        if detection is None:
            return
        timing = detection if detection["type"] == "server_vad" else _SEMANTIC_TIMING
        for change in self._detector.feed(data, timing):
            if isinstance(change, Started):
                await self._speech_started(change.audio_start_ms, detection)
            else:
                await self._speech_stopped(change.audio_end_ms, detection)

    async def _speech_started(self, audio_start_ms: int, detection: dict) -> None:
        self._user_item = new_id("item")
        await self.send(
            "input_audio_buffer.speech_started",
            audio_start_ms=audio_start_ms,
            item_id=self._user_item,
        )
        if detection["interrupt_response"] and self._response is not None:
            await self._response.cancel("turn_detected")

    async def _speech_stopped(self, audio_end_ms: int, detection: dict) -> None:
        await self.send(
            "input_audio_buffer.speech_stopped", audio_end_ms=audio_end_ms, item_id=self._user_item
        )
        await self._commit(self._user_item)
        if detection["create_response"] and self._response is None:
            self._respond({})

    async def _on_commit(self, event: dict) -> None:
        if self._uncommitted_ms < MIN_COMMIT_MS:
            raise Refused("input_audio_buffer_commit_empty", "less than 100 ms in the buffer")
        await self._commit(new_id("item"))

    async def _commit(self, item_id: str) -> None:
        self._uncommitted_ms = 0
        transcript = self.conversation.caller_spoke()
        await self.send(
            "input_audio_buffer.committed", item_id=item_id, previous_item_id=self._last_item()
        )
        content = [{"type": "input_audio", "transcript": None}]
        await self.add_item({"id": item_id, "type": "message", "role": "user", "content": content})
        await self.item_done(item_id)
        if self.config["audio"]["input"]["transcription"] is not None:
            self.spawn(self._transcribe(item_id, transcript))

    async def _transcribe(self, item_id: str, transcript: str) -> None:
        delays = self.faults.transcription_s
        await asyncio.sleep(delays.pop(0) if delays else self.provider.transcription_s)
        prefix = "conversation.item.input_audio_transcription."
        place = {"item_id": item_id, "content_index": 0}
        if self.faults.fail_transcriptions > 0:
            self.faults.fail_transcriptions -= 1
            await self.send(prefix + "failed", **place, error=SERVER_ERROR)
            return
        for word in transcript.split(" "):
            await self.send(prefix + "delta", **place, delta=word + " ", obfuscation="aqTx")
        self.items[item_id]["content"][0]["transcript"] = transcript
        usage = {"type": "duration", "seconds": 1}
        await self.send(prefix + "completed", **place, transcript=transcript, usage=usage)

    async def _on_buffer_clear(self, event: dict) -> None:
        self._uncommitted_ms = 0
        self._detector = VoiceDetector()
        await self.send("input_audio_buffer.cleared")

    async def _on_item_create(self, event: dict) -> None:
        item = copy.deepcopy(event["item"])
        previous = event.get("previous_item_id")
        if previous not in (None, "root") and previous not in self.items:
            raise Refused("invalid_value", f"no item {previous}", "previous_item_id")
        item.setdefault("id", new_id("item"))
        if item["id"] in self.items:
            raise Refused("invalid_value", f"item {item['id']} exists already", "item.id")
        if item.get("role") == "assistant":
            self.conversation.greeted = True  # it knows that something was said
        if item["type"] == "function_call":
            self._open_calls.add(item.get("call_id", ""))
        elif item["type"] == "function_call_output":
            self._close_call(item)
        await self.add_item(item, previous)
        await self.item_done(item["id"])

    def _close_call(self, item: dict) -> None:
        call_id = item["call_id"]
        if call_id in self._answered_calls:
            raise Refused("invalid_value", f"{call_id} was answered before", "item.call_id")
        if call_id not in self._open_calls:
            raise Refused("invalid_value", f"no function call {call_id}", "item.call_id")
        self._open_calls.remove(call_id)
        self._answered_calls.add(call_id)
        self.tool_outputs.append(item)

    async def _on_item_retrieve(self, event: dict) -> None:
        item = self._find(event, "item_retrieve_invalid_item_id")
        await self.send("conversation.item.retrieved", item=item)

    async def _on_item_delete(self, event: dict) -> None:
        item = self._find(event, "item_delete_invalid_item_id")
        del self.items[item["id"]]
        await self.send("conversation.item.deleted", item_id=item["id"])

    async def _on_item_truncate(self, event: dict) -> None:
        item = self._find(event, "item_truncate_invalid_item_id")
        end_ms = event["audio_end_ms"]
        sent_ms = self.audio_ms.get(item["id"])
        if sent_ms is None or item.get("role") != "assistant":
            raise Refused("unsupported_content_type", "the item has no audio", "item_id")
        if event["content_index"] != 0:
            raise Refused("invalid_value", "no such content part", "content_index")
        if end_ms < 0:
            raise Refused("integer_below_min_value", "below 0", "audio_end_ms")
        if end_ms > sent_ms:
            text = f"Audio content of {sent_ms}ms is already shorter than {end_ms}ms"
            raise Refused("invalid_value", text, "audio_end_ms")
        self.audio_ms[item["id"]] = end_ms
        self.truncations.append(Truncation(now_ms(), item["id"], end_ms, sent_ms))
        for part in item["content"]:
            part["transcript"] = None
        place = {"item_id": item["id"], "content_index": 0, "audio_end_ms": end_ms}
        await self.send("conversation.item.truncated", **place)

    async def _on_response_create(self, event: dict) -> None:
        if self._response is not None:
            text = f"Conversation already has an active response {self._response.id}"
            raise Refused("conversation_already_has_active_response", text)
        options = event.get("response") or {}
        if options.get("conversation") == "none":
            raise Refused("not_simulated", "out-of-band responses are not simulated")
        self._respond(options)

    async def _on_response_cancel(self, event: dict) -> None:
        wanted = event.get("response_id")
        if self._response is None or wanted not in (None, self._response.id):
            raise Refused("response_cancel_not_active", "no active response found")
        await self._response.cancel("client_cancelled")

    async def _on_output_clear(self, event: dict) -> None:
        raise Refused("invalid_value", "only for WebRTC and SIP", "type")

    _HANDLERS = {
        "session.update": _on_session_update,
        "input_audio_buffer.append": _on_append,
        "input_audio_buffer.commit": _on_commit,
        "input_audio_buffer.clear": _on_buffer_clear,
        "conversation.item.create": _on_item_create,
        "conversation.item.retrieve": _on_item_retrieve,
        "conversation.item.delete": _on_item_delete,
        "conversation.item.truncate": _on_item_truncate,
        "response.create": _on_response_create,
        "response.cancel": _on_response_cancel,
        "output_audio_buffer.clear": _on_output_clear,
    }

    def _find(self, event: dict, code: str) -> dict:
        item = self.items.get(event["item_id"])
        if item is None:
            raise Refused(code, f"no item {event['item_id']}", "item_id")
        return item

    # ---- items and responses ----

    def _last_item(self) -> str | None:
        return next(reversed(self.items), None)

    async def add_item(self, item: dict, previous: str | None = None) -> None:
        after = previous if previous is not None else self._last_item()
        item.setdefault("object", "realtime.item")
        item["status"] = item.get("status", "completed")
        self.items[item["id"]] = item
        shown = None if after == "root" else after
        await self.send("conversation.item.added", item=item, previous_item_id=shown)

    async def item_done(self, item_id: str) -> None:
        ids = list(self.items)
        index = ids.index(item_id)
        previous = ids[index - 1] if index else None
        item = self.items[item_id]
        await self.send("conversation.item.done", item=item, previous_item_id=previous)

    def open_call(self, call_id: str) -> None:
        self._open_calls.add(call_id)

    def _respond(self, options: dict) -> None:
        if self.config["audio"]["output"]["format"]["type"] != "audio/pcmu":
            text = "a response was asked for before the session was set to audio/pcmu"
            self.provider.violate("audio_before_format", text)
        self._response = Response(self, options)
        self.spawn(self._run_response(self._response))

    async def _run_response(self, response: Response) -> None:
        try:
            await response.run()
        finally:
            self.response_over(response)
            response.over.set()

    def response_over(self, response: Response) -> None:
        """From here on the client may ask for the next one."""
        if self._response is response:
            self._response = None
