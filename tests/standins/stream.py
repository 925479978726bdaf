"""One media stream of a call: the carrier's end of the WebSocket."""

import asyncio
import base64
import json
from typing import TYPE_CHECKING

import aiohttp

from . import g711, media_rules
from .dialect import Dialect
from .playout import Playout

if TYPE_CHECKING:
    from .call import Call

MAX_QUEUE_BYTES = 10 * 60 * 8000  # a carrier refuses about ten minutes of queued audio
CLOSE_SECONDS = 5


class MediaStream:
    def __init__(
        self, call: "Call", socket: aiohttp.ClientWebSocketResponse, sid: str, dialect: Dialect
    ) -> None:
        self.sid = sid
        self.dialect = dialect
        self.playout = Playout()
        self.close_code: int | None = None  # from the server's close frame; None: it sent none
        self.stalled = False  # fault hook: the socket stays open, no media flows
        self.withheld = False  # fault hook: the caller's audio is lost, what is played goes on
        self._call = call
        self._socket = socket
        self._sequence = 0
        self._chunk = 0
        self._ticks = 0
        self._overtaken: dict | None = None
        self._hang_up = asyncio.Event()

    async def run(self, parameters: dict[str, str]) -> str:
        """Talks until the stream ends; returns who ended it: `caller` or `server`."""
        reader = asyncio.create_task(self._read())
        ender = asyncio.create_task(self._hang_up.wait())
        await self._send_raw(self.dialect.connected)
        # Whatever comes before `start` names no stream: give the server a chance to do it wrong.
        await asyncio.sleep(g711.FRAME_MS / 1000)
        await self._send("start", {"start": self.dialect.start(self._call, self.sid, parameters)})
        self._call.stream_started(self)
        ticker = asyncio.create_task(self._tick())
        await asyncio.wait({reader, ender, ticker}, return_when=asyncio.FIRST_COMPLETED)
        by = "caller" if self._hang_up.is_set() else "server"
        ticker.cancel()
        ender.cancel()
        if by == "caller" and not self._socket.closed:
            await self._stop()
        for result in await asyncio.gather(reader, ticker, ender, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        self._call.note("socket-closed", {"by": by, "code": self.close_code})
        return by

    def hang_up(self) -> None:
        self._hang_up.set()

    def abort(self) -> None:
        """The connection is gone without a word: no `stop`, no close frame."""
        self._call.note("abort", None)
        connection = self._socket._response.connection
        if connection and connection.transport:
            connection.transport.abort()

    async def press(self, digit: str) -> None:
        await self._send("dtmf", self.dialect.dtmf(digit))

    async def _stop(self) -> None:
        await self._send("stop", {"stop": self.dialect.stop(self._call)})
        self._call.note("stop", None)
        try:
            await asyncio.wait_for(self._socket.close(), CLOSE_SECONDS)
        except asyncio.TimeoutError:
            self._call.violate(f"the close was not answered within {CLOSE_SECONDS} s")

    async def _tick(self) -> None:
        """Every 20 ms by an absolute schedule: one frame from the caller, one frame played."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self._socket.closed:
            due += g711.FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._ticks += 1
            if self.stalled:
                continue
            said = self._call.next_frame() or self._call.background
            if not self.withheld:
                await self._send_frame(said)
            heard, marks = self.playout.play()
            await self._echo(marks)
            self._call.frame_passed(said, heard)

    async def _send_frame(self, said: bytes) -> None:
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._ticks * g711.FRAME_MS),
            "payload": base64.b64encode(said).decode(),
        }
        if self.dialect.delayed(self._chunk):
            self._overtaken = media
            return
        await self._send("media", {"media": media})
        if self._overtaken is not None:
            await self._send("media", {"media": self._overtaken})
            self._overtaken = None

    async def _read(self) -> None:
        while True:
            message = await self._socket.receive()
            if message.type == aiohttp.WSMsgType.TEXT:
                await self._on_text(message.data)
            elif message.type == aiohttp.WSMsgType.BINARY:
                await self._refuse(f"{self.dialect.binary} binary message")
            elif message.type == aiohttp.WSMsgType.CLOSE:
                self.close_code = message.data
                return
            elif message.type == aiohttp.WSMsgType.ERROR:
                if isinstance(message.data, aiohttp.WebSocketError):
                    code = self.dialect.protocol_error
                    self._call.violate(f"{code} protocol error: {message.data}")
                return
            else:
                return

    async def _on_text(self, text: str) -> None:
        try:
            if self._sequence == 0:
                code = self.dialect.malformed
                raise media_rules.Refused(f"{code} sent before start: {text[:60]}")
            event, value = media_rules.read(text, self.sid, self.dialect)
        except media_rules.Refused as refusal:
            await self._refuse(str(refusal))
            return
        if event == "media":
            await self._on_media(value)
        elif event == "mark":
            self._call.note("mark", value)
            await self._echo(self.playout.mark(value))
        else:
            dropped, marks = self.playout.clear()
            heard_ms = self._call.heard_ms()
            self._call.note("clear", {"dropped_ms": dropped // 8, "heard_ms": heard_ms})
            await self._echo(marks)

    async def _refuse(self, text: str) -> None:
        self._call.violate(text)
        complaint = self.dialect.complaint(text)
        if complaint is not None:
            await self._send("error", complaint)

    async def _on_media(self, audio: bytes) -> None:
        self._call.note("media", len(audio))
        self._call.received += audio
        if len(self.playout.queue) + len(audio) > MAX_QUEUE_BYTES:
            await self._refuse(f"{self.dialect.queue_full} more than ten minutes of audio queued")
            return
        self.playout.add(audio)

    async def _echo(self, names: list[str]) -> None:
        for name in names:
            self._call.note("mark-echo", name)
            await self._send("mark", {"mark": {"name": name}})

    async def _send(self, event: str, fields: dict) -> None:
        self._sequence += 1
        message = {"event": event, self.dialect.sequence: str(self._sequence), **fields}
        await self._send_raw({**message, self.dialect.stream_id: self.sid})

    async def _send_raw(self, message: dict) -> None:
        if self._socket.closed:
            return
        try:
            await self._socket.send_str(json.dumps(message, separators=(",", ":")))
        except ConnectionError:
            pass  # the reader sees the same end and decides what it means
