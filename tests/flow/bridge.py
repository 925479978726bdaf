"""A minimal warmer and worker in Python: just enough for the stand-ins to be tried on each other.

It is no model for the real programs: no store, no retries, one call at a time.
"""

import asyncio
import base64
import json
import ssl

import aiohttp
from aiohttp import web

from standins.carrier import Carrier

PUBLIC = "https://phone.example.test"
MEDIA = "wss://media.example.test"
HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n'
CONNECT = (
    HEADER + '<Response><Start><Recording trim="do-not-trim" recordingStatusCallback='
    f'"{PUBLIC}/voice/recording"/></Start><Connect action="{PUBLIC}/voice/after/0#rc=2&amp;rp=all">'
    f'<Stream url="{MEDIA}/media"><Parameter name="token" value="abc"/></Stream>'
    "</Connect></Response>"
)
HANGUP = HEADER + "<Response><Hangup/></Response>"
EMPTY = HEADER + "<Response/>"
TOOLS = ("set_customer_name", "book_appointment", "end_call")


class FakeWarmer:
    """Answers the webhooks with fixed documents and passes the media socket to `media`."""

    def __init__(self, media=None, incoming: str = CONNECT) -> None:
        self.media = media
        self.incoming = incoming
        self.after = HANGUP
        self.callback = EMPTY
        self.content_type = "text/xml; charset=utf-8"
        self.failures: list[int] = []  # statuses to answer first, in order
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "FakeWarmer":
        app = web.Application()
        app.router.add_post("/voice/{tail:.*}", self._voice)
        app.router.add_get("/media{carrier:(/telnyx)?}", self._socket)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_) -> None:
        await self._runner.cleanup()

    def carrier(self, **options) -> Carrier:
        resolve = {PUBLIC: f"http://{self.url}", MEDIA: f"ws://{self.url}"}
        urls = (f"{PUBLIC}/voice/incoming", f"{PUBLIC}/voice/status")
        return Carrier("12345", *urls, resolve=resolve, **options)

    async def _voice(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        self.requests.append((request.path, form, dict(request.headers)))
        if self.failures:
            return web.Response(status=self.failures.pop(0))
        documents = {"incoming": self.incoming, "after/0": self.after}
        text = documents.get(request.match_info["tail"], self.callback)
        return web.Response(body=text.encode(), headers={"Content-Type": self.content_type})

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if self.media is None:
            return web.Response(status=404)
        self.requests.append((request.path, {}, dict(request.headers)))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await self.media(socket)
        await socket.close()
        return socket


class Bridge:
    """Carries one call between the carrier's media socket and the AI provider."""

    def __init__(self, ai_url: str, tls: ssl.SSLContext | None = None) -> None:
        self.tool_calls: list[tuple[str, dict]] = []
        self.transcripts: list[str] = []
        self._url = ai_url + "?model=gpt-realtime-2.1"
        self._tls = tls
        self._caller: web.WebSocketResponse | None = None
        self._ai: aiohttp.ClientWebSocketResponse | None = None
        self._sid = ""
        self._generation = 0
        self._item = ""
        self._sent_ms = 0
        self._played_ms = 0
        self._dropped = ""  # the response whose late audio is not wanted any more
        self._response = ""
        self._calls: list[dict] = []
        self._ending = False
        self._configured = asyncio.Event()

    async def serve(self, caller: web.WebSocketResponse) -> None:
        self._caller = caller
        headers = {"Authorization": "Bearer sk-test"}
        options = {"ssl": self._tls} if self._tls else {}
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(self._url, headers=headers, **options) as ai:
                self._ai = ai
                pump = asyncio.create_task(self._from_ai())
                try:
                    await self._from_caller()
                finally:
                    pump.cancel()
                    await asyncio.gather(pump, return_exceptions=True)

    async def _from_caller(self) -> None:
        async for frame in self._caller:
            message = json.loads(frame.data)
            if message["event"] == "start":
                self._sid = message["streamSid"]
                await self._to_ai("session.update", session=session_config("compact"))
            elif message["event"] == "media" and self._sid:
                audio = message["media"]["payload"]
                if self._configured.is_set():
                    await self._to_ai("input_audio_buffer.append", audio=audio)
            elif message["event"] == "mark":
                await self._on_mark(message["mark"]["name"])
            elif message["event"] == "stop":
                return

    async def _on_mark(self, name: str) -> None:
        generation, sent_ms = name.split(".")
        if int(generation) != self._generation:
            return
        self._played_ms = int(sent_ms)
        if self._ending and self._played_ms == self._sent_ms:
            await self._caller.close()

    async def _from_ai(self) -> None:
        async for frame in self._ai:
            event = json.loads(frame.data)
            kind = event["type"]
            if kind == "session.updated" and not self._configured.is_set():
                self._configured.set()
                await self._to_ai("response.create", response={"instructions": "greet"})
            elif kind == "response.output_audio.delta":
                await self._on_audio(event)
            elif kind == "input_audio_buffer.speech_started":
                await self._on_barge_in()
            elif kind == "response.output_item.done":
                if event["item"]["type"] == "function_call":
                    self._calls.append(event["item"])
            elif kind == "response.done":
                await self._on_done()
            elif kind.endswith("input_audio_transcription.completed"):
                self.transcripts.append(event["transcript"])

    async def _on_audio(self, event: dict) -> None:
        if event["response_id"] == self._dropped:
            return
        if event["item_id"] != self._item:
            self._item, self._sent_ms, self._played_ms = event["item_id"], 0, 0
            self._generation += 1
        self._response = event["response_id"]
        self._sent_ms += len(base64.b64decode(event["delta"])) // 8
        await self._to_caller("media", {"payload": event["delta"]})
        await self._to_caller("mark", {"name": f"{self._generation}.{self._sent_ms}"})

    async def _on_barge_in(self) -> None:
        if self._played_ms >= self._sent_ms:
            return
        self._generation += 1
        self._dropped = self._response
        await self._caller.send_json({"event": "clear", "streamSid": self._sid})
        heard = {"item_id": self._item, "content_index": 0, "audio_end_ms": self._played_ms}
        await self._to_ai("conversation.item.truncate", **heard)
        self._sent_ms = self._played_ms

    async def _on_done(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            self.tool_calls.append((call["name"], json.loads(call["arguments"])))
            if call["name"] == "end_call":
                self._ending = True
                return
            item = {"type": "function_call_output", "call_id": call["call_id"]}
            await self._to_ai("conversation.item.create", item={**item, "output": '{"ok":true}'})
        if calls:
            await self._to_ai("response.create")

    async def _to_ai(self, kind: str, **fields: object) -> None:
        await self._ai.send_str(json.dumps({"type": kind, **fields}))

    async def _to_caller(self, event: str, body: dict) -> None:
        message = {"event": event, "streamSid": self._sid, event: body}
        await self._caller.send_str(json.dumps(message))


def session_config(instructions: str) -> dict:
    pcmu = {"type": "audio/pcmu"}
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": instructions,
        "audio": {
            "input": {
                "format": pcmu,
                "noise_reduction": None,
                "transcription": {"model": "gpt-4o-mini-transcribe", "language": "en"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                },
            },
            "output": {"format": pcmu, "voice": "marin"},
        },
        "tools": [
            {
                "type": "function",
                "name": name,
                "description": name,
                "parameters": {"type": "object"},
            }
            for name in TOOLS
        ],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
    }
