"""A bridge between Twilio Media Streams and OpenAI Realtime as they are usually written for Python: FastAPI,
websockets, two tasks a call, json.loads and json.dumps a message, in the structure of Twilio's public sample.

    AI_URL=ws://... [MARK_MS=2000] [QUIET=1] python -m uvicorn bridge:app --port ...

As the samples do, it decodes and encodes the audio, marks every delta and logs events. MARK_MS (a mark after so
much audio) and QUIET make it do the work of the worker, and no more.
"""

import asyncio
import base64
import json
import os
import ssl

import websockets
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

AI_URL = os.environ["AI_URL"] + "?model=gpt-realtime"
MARK_BYTES = int(os.environ.get("MARK_MS", 0)) * 8
QUIET = bool(os.environ.get("QUIET"))
LOGGED = {
    "error",
    "rate_limits.updated",
    "response.done",
    "input_audio_buffer.committed",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "session.created",
}
SESSION = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "instructions": "You answer the phone of a dental practice. Be friendly and brief.",
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}, "turn_detection": {"type": "server_vad"}},
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
}

app = FastAPI()


def log(*what: object) -> None:
    if not QUIET:
        print(*what)


class Bridge:
    def __init__(self, stream: WebSocket, ai: "websockets.ClientConnection") -> None:
        self.stream = stream
        self.ai = ai
        self.stream_sid: str | None = None
        self.latest_timestamp = 0
        self.answer_start: int | None = None
        self.last_item: str | None = None
        self.marks: list[str] = []
        self.unmarked = 0

    async def run(self) -> None:
        await self.ai.send(json.dumps({"type": "session.update", "session": SESSION}))
        await asyncio.gather(self.from_carrier(), self.from_ai())

    async def from_carrier(self) -> None:
        try:
            async for text in self.stream.iter_text():
                message = json.loads(text)
                if message["event"] == "media":
                    self.latest_timestamp = int(message["media"]["timestamp"])
                    append = {"type": "input_audio_buffer.append", "audio": message["media"]["payload"]}
                    await self.ai.send(json.dumps(append))
                elif message["event"] == "start":
                    self.stream_sid = message["start"]["streamSid"]
                    log("stream started", self.stream_sid)
                elif message["event"] == "mark" and self.marks:
                    self.marks.pop(0)
                elif message["event"] == "stop":
                    await self.stream.close()
        except WebSocketDisconnect:
            pass
        await self.ai.close()

    async def from_ai(self) -> None:
        async for text in self.ai:
            event = json.loads(text)
            if event["type"] in LOGGED:
                log("AI event:", event["type"], event)
            if event["type"] == "response.output_audio.delta" and "delta" in event:
                await self.play(event)
            if event["type"] == "input_audio_buffer.speech_started":
                await self.interrupt()

    async def play(self, event: dict) -> None:
        audio = event["delta"] if QUIET else base64.b64encode(base64.b64decode(event["delta"])).decode()
        await self.stream.send_json({"event": "media", "streamSid": self.stream_sid, "media": {"payload": audio}})
        if self.answer_start is None:
            self.answer_start = self.latest_timestamp
        self.last_item = event.get("item_id") or self.last_item
        self.unmarked += len(audio) // 4 * 3
        if self.unmarked >= MARK_BYTES:
            self.unmarked = 0
            await self.stream.send_json({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": "part"}})
            self.marks.append("part")

    async def interrupt(self) -> None:
        if not self.marks or self.answer_start is None:
            return
        heard = self.latest_timestamp - self.answer_start
        truncate = {"type": "conversation.item.truncate", "item_id": self.last_item, "content_index": 0}
        await self.ai.send(json.dumps({**truncate, "audio_end_ms": heard}))
        await self.stream.send_json({"event": "clear", "streamSid": self.stream_sid})
        self.marks.clear()
        self.last_item = None
        self.answer_start = None


@app.websocket("/media")
async def media(stream: WebSocket) -> None:
    await stream.accept()
    tls = ssl.create_default_context() if AI_URL.startswith("wss") else None
    headers = {"Authorization": "Bearer sk-test"}
    async with websockets.connect(AI_URL, additional_headers=headers, ssl=tls) as ai:
        await Bridge(stream, ai).run()
