"""The AI voice provider: a WebSocket server that speaks OpenAI's Realtime protocol (GA shape).

    provider = Provider(scenario, api_key="sk-test")
    await provider.start()
    ... point the worker at provider.url ...
    provider.check()

Not simulated: semantic VAD beyond its settings, idle timeouts, out-of-band responses, MCP.
"""

import asyncio
import ssl
from dataclasses import dataclass
from typing import Callable

from aiohttp import web

from .clock import now_ms
from .realtime_rules import MODELS
from .realtime_session import Session, Violation
from .scenario import Conversation, Scenario

PATH = "/v1/realtime"
MAX_MESSAGE = 16 * 1024 * 1024


@dataclass
class Faults:
    """Counters are used up; the times hold until they are changed."""

    reject_session_updates: int = 0
    fail_responses: int = 0
    fail_transcriptions: int = 0
    refuse_upgrades: int = 0  # HTTP 503 instead of 101
    upgrade_delay_s: float = 0


class Provider:
    def __init__(
        self,
        scenario: Scenario | Callable[[Session], Conversation],
        *,
        api_key: str = "sk-test",
        benign: frozenset[str] = frozenset(),
        faults: Faults | None = None,
        on_event: Callable[[Session, str, dict], None] | None = None,
    ) -> None:
        self.api_key = api_key
        self.benign = benign
        self.faults = faults or Faults()
        self.on_event = on_event
        self.audio_speed = 5.0  # times real time
        self.first_audio_s = 0.15
        self.transcription_s = 0.4
        self.sessions: list[Session] = []
        self.violations: list[Violation] = []
        self.play(scenario)
        self._runner: web.AppRunner | None = None
        self._address = ("127.0.0.1", 0)
        self._secure = False

    def play(self, scenario: Scenario | Callable[[Session], Conversation]) -> None:
        """What sessions that have not begun a conversation yet will talk about."""
        if isinstance(scenario, Scenario):
            conversation = Conversation(scenario)
            self.conversation_for = lambda session: conversation
        else:
            self.conversation_for = scenario

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        app = web.Application()
        app.router.add_get(PATH, self._serve)
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
        return f"{scheme}://{host}:{self.port}{PATH}"

    def open(self) -> list[Session]:
        return [session for session in self.sessions if session.closed_ms is None]

    def talking(self) -> list[Session]:
        """Sessions that a call has used, in the order they were opened."""
        return [session for session in self.sessions if session.instructions]

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

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.faults.refuse_upgrades > 0:
            self.faults.refuse_upgrades -= 1
            error = {"message": "overloaded", "type": "server_error", "code": None, "param": None}
            return web.json_response({"error": error}, status=503)
        await asyncio.sleep(self.faults.upgrade_delay_s)
        # autoping off: the session answers pings itself and sees the pongs to its own.
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_MESSAGE)
        await socket.prepare(request)
        model = request.query.get("model", "")
        session = Session(self, socket, request.transport, model)
        problem = self._problem(request, model)
        if problem is not None:
            code, text, close_code = problem
            self.violate(code, text)
            await session.refuse(code, text, close_code)
            return socket
        self.sessions.append(session)
        await session.run()
        return socket

    def _problem(self, request: web.Request, model: str) -> tuple[str, str, int] | None:
        """Checked after the 101, as the service does."""
        if "OpenAI-Beta" in request.headers:
            return "beta_api_shape_disabled", "the beta API shape is disabled", 4000
        if request.headers.get("Authorization") != f"Bearer {self.api_key}":
            return "invalid_api_key", "incorrect API key provided", 3000
        if not model:
            return "missing_model", "you must provide a model", 4000
        if model not in MODELS:
            return "invalid_model", f"no such model {model!r}", 4000
        return None
