"""One response of the AI provider: speech and function calls, in the order the service sends them."""

import asyncio
import base64
import uuid
from typing import TYPE_CHECKING

from .scenario import Reply, Tool
from .voice_server import CHUNK_BYTES, spoken, wait

if TYPE_CHECKING:
    from .realtime_session import Session


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


class Response:
    def __init__(self, session: "Session", options: dict) -> None:
        self.id = _new_id("resp")
        self.over = asyncio.Event()
        self._session = session
        self._options = options
        self._output: list[dict] = []
        self._cancelled = asyncio.Event()
        self._reason = ""

    async def cancel(self, reason: str) -> None:
        """Returns when `response.done` was sent."""
        self._reason = reason
        self._cancelled.set()
        await self.over.wait()

    async def run(self) -> None:
        await self._session.send("response.created", response=self._body("in_progress", None))
        faults = self._session.faults
        if faults.fail_responses > 0:
            faults.fail_responses -= 1
            await self._finish("failed")
            return
        if faults.empty_responses > 0:
            faults.empty_responses -= 1
            await self._finish("incomplete")
            return
        if faults.hang_responses > 0:
            faults.hang_responses -= 1
            await asyncio.Event().wait()  # until the session's end
        reply = self._session.conversation.next_reply()
        await wait(self._cancelled, self._session.provider.first_audio_s)
        if reply.say and not self._cancelled.is_set():
            await self._speak(reply)
        for call in reply.calls:
            if not self._cancelled.is_set():
                await self._call(call)
        await self._finish("cancelled" if self._cancelled.is_set() else "completed")

    async def _speak(self, reply: Reply) -> None:
        session = self._session
        session.will_say(reply.say)
        item = {"id": _new_id("item"), "object": "realtime.item", "type": "message"}
        item |= {"role": "assistant", "status": "in_progress", "content": []}
        await self._item_added(item)
        place = self._place(item) | {"content_index": 0}
        part = {"type": "audio", "transcript": ""}
        await session.send("response.content_part.added", **place, part=part)
        transcript = await self._stream(item, place, reply.say)
        await session.send("response.output_audio.done", **place)
        await session.send("response.output_audio_transcript.done", **place, transcript=transcript)
        part = {"type": "audio", "transcript": transcript}
        await session.send("response.content_part.done", **place, part=part)
        item["content"] = [{"type": "output_audio", "transcript": transcript}]
        await self._item_done(item)

    async def _stream(self, item: dict, place: dict, text: str) -> str:
        """Audio and transcript deltas until the end or the cancellation; the transcript sent."""
        session = self._session
        words = text.split(" ")
        shown = 0
        session.audio_ms[item["id"]] = 0
        speed = session.provider.audio_speed
        late = session.faults.late_deltas
        voice = session.provider.voice
        async for start, chunk, length in spoken(text, speed, self._cancelled, late, voice):
            # Words run a little ahead of their sound, and are complete with the last of it.
            until = max(1, len(words) * (start + 2 * CHUNK_BYTES) // length)
            if start + CHUNK_BYTES >= length:
                until = len(words)
            until = min(until, len(words))
            for index in range(shown, until):
                delta = words[index] + (" " if index + 1 < len(words) else "")
                await session.send(
                    "response.output_audio_transcript.delta",
                    **place,
                    delta=delta,
                    obfuscation="Ys1V",
                )
            shown = max(shown, until)
            session.audio_ms[item["id"]] += len(chunk) // 8
            payload = base64.b64encode(chunk).decode()
            await session.send("response.output_audio.delta", **place, delta=payload)
        return " ".join(words[:shown])

    async def _call(self, call: Tool) -> None:
        session = self._session
        call_id = "call_" + uuid.uuid4().hex[:16]
        item = {"id": _new_id("item"), "object": "realtime.item", "type": "function_call"}
        item |= {"status": "in_progress", "name": call.name, "call_id": call_id, "arguments": ""}
        await self._item_added(item)
        place = self._place(item) | {"call_id": call_id}
        item["arguments"] = await self._stream_arguments(place, call.arguments_json())
        await session.send(
            "response.function_call_arguments.done", **place, name=call.name, arguments=item["arguments"]
        )
        if not self._cancelled.is_set():
            session.open_call(call_id)
        await self._item_done(item)

    async def _stream_arguments(self, place: dict, arguments: str) -> str:
        """Deltas until the end or the cancellation; what was sent."""
        session, half, sent = self._session, len(arguments) // 2, ""
        for delta in (arguments[:half], arguments[half:]):
            if self._cancelled.is_set():
                break
            await session.send(
                "response.function_call_arguments.delta", **place, delta=delta, obfuscation="kM"
            )
            sent += delta
            await wait(self._cancelled, session.faults.arguments_s / 2)
        return sent

    def _place(self, item: dict) -> dict:
        index = len(self._output) - 1
        return {"response_id": self.id, "item_id": item["id"], "output_index": index}

    async def _item_added(self, item: dict) -> None:
        self._output.append(item)
        await self._session.send(
            "response.output_item.added",
            response_id=self.id,
            output_index=len(self._output) - 1,
            item=item,
        )
        await self._session.add_item(item)

    async def _item_done(self, item: dict) -> None:
        item["status"] = "incomplete" if self._cancelled.is_set() else "completed"
        await self._session.item_done(item["id"])
        twice = item["type"] == "function_call" and self._session.faults.repeat_tool_calls
        for _ in range(1 + twice):
            await self._session.send(
                "response.output_item.done",
                response_id=self.id,
                output_index=len(self._output) - 1,
                item=item,
            )

    async def _finish(self, status: str) -> None:
        details: dict | None = None
        if status == "cancelled":
            details = {"type": "cancelled", "reason": self._reason}
        elif status == "failed":
            error = {"type": "requests", "code": "rate_limit_exceeded", "message": "slow down"}
            details = {"type": "failed", "error": error}
        elif status == "incomplete":
            details = {"type": "incomplete", "reason": "content_filter"}
        self._session.response_over(self)
        await self._session.send("response.done", response=self._body(status, details))
        limits = [{"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}]
        await self._session.send("rate_limits.updated", rate_limits=limits)

    def _body(self, status: str, details: dict | None) -> dict:
        config = self._session.config
        done = status != "in_progress"
        usage = {
            "total_tokens": 120,
            "input_tokens": 100,
            "output_tokens": 20,
            "input_token_details": {"text_tokens": 80, "audio_tokens": 20, "cached_tokens": 64},
            "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
        }
        output = config["audio"]["output"]
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": [dict(item) for item in self._output],
            "conversation_id": "conv_" + self._session.id[5:],
            "output_modalities": config["output_modalities"],
            "max_output_tokens": self._options.get("max_output_tokens", "inf"),
            "audio": {"output": {"format": output["format"], "voice": output["voice"]}},
            "usage": usage if done else None,
            "metadata": self._options.get("metadata"),
        }
