"""What the stand-ins for AI voice providers share, whatever protocol they speak: a WebSocket server that
keeps its sessions, and a list of what the real service would have refused."""

import asyncio
import ctypes
import json
import ssl
import struct
from socket import SOL_SOCKET
from typing import AsyncIterator, Callable, Coroutine, NamedTuple

from aiohttp import web

from . import speech
from .clock import now_ms
from .scenario import Conversation, Scenario

MAX_MESSAGE = 16 * 1024 * 1024
CHUNK_BYTES = 800  # 100 ms of mu-law
SO_ATTACH_FILTER, BPF_RET = 26, 0x06  # linux/filter.h, asm-generic/socket.h


class Violation(NamedTuple):
    ms: float
    code: str
    text: str


class Logged(NamedTuple):
    ms: float
    direction: str  # `in` from the client, `out` to it
    event: dict  # audio is replaced by its size in bytes


class VoiceServer:
    path: str

    def __init__(
        self,
        scenario: "Scenario | Callable[[VoiceSession], Conversation]",
        *,
        api_key: str,
        benign: frozenset[str] = frozenset(),
        on_event: "Callable[[VoiceSession, str, dict], None] | None" = None,
    ) -> None:
        self.api_key = api_key
        self.benign = benign
        self.on_event = on_event
        self.voice: Callable[[str, str], bytes] = speech.speak
        self.audio_speed = 5.0  # times real time
        self.first_audio_s = 0.15
        self.transcription_s = 0.4
        self.sessions: list = []
        self.violations: list[Violation] = []
        self.play(scenario)
        self._runner: web.AppRunner | None = None
        self._address = ("127.0.0.1", 0)
        self._secure = False

    def play(self, scenario: "Scenario | Callable[[VoiceSession], Conversation]") -> None:
        """What sessions that have not begun a conversation yet will talk about."""
        if isinstance(scenario, Scenario):
            conversation = Conversation(scenario)
            self.conversation_for = lambda session: conversation
        else:
            self.conversation_for = scenario

    def routes(self, app: web.Application) -> None:
        raise NotImplementedError

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        app = web.Application()
        self.routes(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, ssl_context=tls).start()
        self._address = (host, self._runner.addresses[0][1])
        self._secure = tls is not None

    async def stop(self) -> None:
        await asyncio.gather(*(session.close(1001, "going away") for session in self.open()))
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        return self._address[1]

    @property
    def url(self) -> str:
        scheme = "wss" if self._secure else "ws"
        host = "localhost" if self._secure else self._address[0]
        return f"{scheme}://{host}:{self.port}{self.path}"

    def open(self) -> list:
        return [session for session in self.sessions if session.closed_ms is None]

    def talking(self) -> list:
        """Sessions that a call has used, in the order in which calls came to use them: one that was opened
        ahead may have waited while later ones were taken."""
        return sorted((one for one in self.sessions if one.begun()), key=lambda one: one.begun_ms)

    def idle(self) -> bool:
        """Every session in a call has said what its script has for it so far."""
        return all(session.idle() for session in self.talking() if session.closed_ms is None)

    def violate(self, code: str, text: str) -> None:
        """`code` is the vendor's error code, or a word of our own for what it would not notice."""
        if code not in self.benign:
            self.violations.append(Violation(now_ms(), code, text))

    def check(self) -> None:
        if self.violations:
            lines = [f"{violation.code}: {violation.text}" for violation in self.violations]
            raise AssertionError("the AI provider would complain:\n  " + "\n  ".join(lines))


class VoiceSession:
    def __init__(
        self,
        provider: VoiceServer,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport | None,
    ) -> None:
        self.provider = provider
        self.log: list[Logged] = []
        self.host = ""  # as the client named the server
        self.tool_outputs: list[dict] = []
        self.heard = bytearray()  # caller audio as it came
        self.opened_ms = now_ms()
        self.begun_ms: float | None = None  # a call has told it what to do
        self.closed_ms: float | None = None
        self.vanished = False
        self._socket = socket
        self._transport = transport
        self._conversation: Conversation | None = None
        self._tasks: set[asyncio.Task] = set()
        self._closing: asyncio.Task | None = None

    @property
    def conversation(self) -> Conversation:
        if self._conversation is None:
            self._conversation = self.provider.conversation_for(self)
        return self._conversation

    def begun(self) -> bool:
        return self.begun_ms is not None

    def idle(self) -> bool:
        raise NotImplementedError

    def age_ms(self) -> float:
        return now_ms() - self.opened_ms

    def received(self, kind: str) -> list[Logged]:
        return [one for one in self.log if one.direction == "in" and one.event["type"] == kind]

    def sent(self, kind: str) -> list[Logged]:
        return [one for one in self.log if one.direction == "out" and one.event["type"] == kind]

    def drop(self) -> None:
        """The network fails: no close frame."""
        if self._transport is not None:
            self._transport.abort()

    def vanish(self) -> None:
        """A firewall has forgotten the connection: nothing of what the client sends arrives, nor is it acknowledged; and
        nobody tells it. A filter on the socket that takes no byte of any packet does the same here."""
        self.vanished = True
        refuse = struct.pack("HBBI", BPF_RET, 0, 0, 0)
        program = ctypes.create_string_buffer(refuse, len(refuse))
        filter_ = struct.pack("HL", 1, ctypes.addressof(program))
        self._transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, filter_)

    async def close(self, code: int, reason: str) -> None:
        await self._socket.close(code=code, message=reason.encode())

    def close_soon(self, code: int, reason: str) -> None:
        """For tasks of the session, which end with it."""
        self._closing = asyncio.create_task(self.close(code, reason))

    async def send_event(self, event: dict) -> None:
        if self._socket.closed:
            return
        self.record("out", event)
        try:
            await self._socket.send_str(json.dumps(event))
        except ConnectionError:
            pass  # the reader sees the end of the socket

    def shown(self, event: dict) -> dict:
        """An event as the log keeps it."""
        return event

    def record(self, direction: str, event: dict) -> None:
        shown = self.shown(event)
        self.log.append(Logged(now_ms(), direction, shown))
        if self.provider.on_event:
            self.provider.on_event(self, direction, shown)

    def will_say(self, text: str) -> None:
        """For those who look on: not on the wire."""
        if self.provider.on_event:
            self.provider.on_event(self, "plan", {"type": "speech", "text": text})

    def spawn(self, coroutine: Coroutine) -> asyncio.Task:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.provider.violate("stand_in_failed", repr(task.exception()))

    async def end_tasks(self) -> None:
        self.closed_ms = now_ms()
        if self._closing is not None:
            await self._closing
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event, or for so long."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        pass


async def spoken(
    text: str,
    speed: float,
    cancelled: asyncio.Event,
    late: int = 0,
    voice: Callable[[str, str], bytes] = speech.speak,
) -> AsyncIterator[tuple[int, bytes, int]]:
    """(start, chunk, length of all) of the assistant's speech at so many times real time, until it is
    cancelled, and `late` chunks more."""
    audio = await asyncio.to_thread(voice, text, speech.ASSISTANT)
    loop = asyncio.get_running_loop()
    due = loop.time()
    for start in range(0, len(audio), CHUNK_BYTES):
        chunk = audio[start : start + CHUNK_BYTES]
        yield start, chunk, len(audio)
        due += len(chunk) / 8000 / speed
        await wait(cancelled, max(0.0, due - loop.time()))
        if cancelled.is_set():
            if late == 0:
                return
            late -= 1
