"""The AI voice provider: a WebSocket server that speaks OpenAI's Realtime protocol (GA shape).

    provider = Provider(scenario, api_key="sk-test")
    await provider.start()
    ... point the worker at provider.url ...
    provider.check()

Not simulated: semantic VAD beyond its settings, idle timeouts, out-of-band responses, MCP.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Callable

from aiohttp import web

from .realtime_rules import MODELS
from .realtime_session import Session
from .scenario import Conversation, Scenario
from .voice_server import MAX_MESSAGE, VoiceServer


@dataclass
class Faults:
    """Counters are used up; the others hold until they are changed. Those of the provider as a whole;
    the first group may also be a single call's (Conversation.faults)."""

    reject_session_updates: int = 0
    fail_session_updates: int = 0  # a server's error, which passes
    ignore_session_updates: int = 0  # no answer at all
    fail_responses: int = 0
    empty_responses: int = 0  # incomplete, without a word
    hang_responses: int = 0  # begun, and never heard of again
    late_deltas: int = 0  # audio that is still sent after an interruption, 100 ms each
    arguments_s: float = 0.05  # that those of a function call take to come
    repeat_tool_calls: bool = False  # the event that completes a call comes twice
    fail_transcriptions: int = 0
    transcription_s: list[float] = field(default_factory=list)  # delays of the next ones

    refuse_upgrades: int = 0  # with refuse_status instead of 101
    refuse_status: int = 503
    upgrade_delay_s: float = 0


class Provider(VoiceServer):
    path = "/v1/realtime"

    def __init__(
        self,
        scenario: Scenario | Callable[[Session], Conversation],
        *,
        api_key: str = "sk-test",
        benign: frozenset[str] = frozenset(),
        faults: Faults | None = None,
        on_event: Callable[[Session, str, dict], None] | None = None,
    ) -> None:
        super().__init__(scenario, api_key=api_key, benign=benign, on_event=on_event)
        self.faults = faults or Faults()
        self.session_s: float = 3600  # the life of the sessions to come; then they expire

    def routes(self, app: web.Application) -> None:
        app.router.add_get(self.path, self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.faults.refuse_upgrades > 0:
            self.faults.refuse_upgrades -= 1
            error = {"message": "overloaded", "type": "server_error", "code": None, "param": None}
            return web.json_response({"error": error}, status=self.faults.refuse_status)
        await asyncio.sleep(self.faults.upgrade_delay_s)
        # autoping off: the session answers pings itself and sees the pongs to its own.
        socket = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=MAX_MESSAGE)
        await socket.prepare(request)
        model = request.query.get("model", "")
        session = Session(self, socket, request.transport, model)
        session.host = request.host
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
