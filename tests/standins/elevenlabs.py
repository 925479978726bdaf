"""ElevenLabs: the WebSocket of its agents, and the address that is signed for a private one.

    provider = Agents(scenario, api_key="xi-test", agent_id="agent_1")
    await provider.start()
    ... point the worker at provider.url ...
    provider.check()

Not simulated: server tools, feedback, text-only conversations, workflows.
"""

import uuid
from dataclasses import dataclass
from typing import Callable

from aiohttp import web

from .clock import now_ms
from .elevenlabs_session import Session
from .scenario import Conversation, Scenario
from .voice_server import MAX_MESSAGE, VoiceServer

SIGNED_MS = 15 * 60 * 1000
OVERRIDES = {"agent.first_message", "agent.language", "agent.prompt.prompt", "tts.voice_id"}


@dataclass
class Faults:
    """Counters are used up."""

    refuse_signing: int = 0  # HTTP status to answer with instead, until changed; 0: none
    refuse_upgrades: int = 0


class Agents(VoiceServer):
    path = "/v1/convai/conversation"

    def __init__(
        self,
        scenario: Scenario | Callable[[Session], Conversation],
        *,
        api_key: str = "xi-test",
        agent_id: str = "agent_test",
        benign: frozenset[str] = frozenset(),
        on_event: Callable[[Session, str, dict], None] | None = None,
    ) -> None:
        super().__init__(scenario, api_key=api_key, benign=benign, on_event=on_event)
        self.agent_id = agent_id
        self.private = True
        self.input_format = self.output_format = "ulaw_8000"
        self.allowed_overrides = set(OVERRIDES)
        self.dynamic_variables = {"call_sid"}
        self.corrections = True  # whether the agent is set to send agent_response_correction
        self.words_last = False  # agent_response comes behind the audio, as it may where that is one piece
        self.hangs_up = False  # with its own end_call, instead of asking the client
        self.pong_s = 2.0
        self.faults = Faults()
        self.signatures: dict[str, float] = {}

    def routes(self, app: web.Application) -> None:
        app.router.add_get(self.path, self._serve)
        app.router.add_get(f"{self.path}/get-signed-url", self._sign)

    async def _sign(self, request: web.Request) -> web.Response:
        if self.faults.refuse_signing:
            detail = {"status": "refused", "message": "refused on purpose"}
            return web.json_response({"detail": detail}, status=self.faults.refuse_signing)
        if request.headers.get("xi-api-key") != self.api_key:
            self.violate("invalid_api_key", "the signed URL was asked for with another key")
            detail = {"status": "invalid_api_key", "message": "Invalid API key"}
            return web.json_response({"detail": detail}, status=401)
        extra = request.query.keys() - {"agent_id"}
        if extra:
            self.violate("invalid_message", f"get-signed-url with {sorted(extra)}")
        if request.query.get("agent_id") != self.agent_id:
            self.violate("agent_not_found", f"no agent {request.query.get('agent_id')!r}")
            return web.json_response({"detail": {"status": "not_found", "message": ""}}, status=404)
        signature = f"cvtkn_{uuid.uuid4().hex}"
        self.signatures[signature] = now_ms()
        url = f"{self.url}?agent_id={self.agent_id}&conversation_signature={signature}"
        return web.json_response({"signed_url": url})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.faults.refuse_upgrades > 0:
            self.faults.refuse_upgrades -= 1
            detail = {"status": "system_busy", "message": "busy"}
            return web.json_response({"detail": detail}, status=503)
        socket = web.WebSocketResponse(autoping=True, compress=False, max_msg_size=MAX_MESSAGE)
        await socket.prepare(request)
        session = Session(self, socket, request.transport)
        problem = self._problem(request)
        if problem is not None:
            self.violate(*problem)
            await session.refuse(*problem)
            return socket
        self.sessions.append(session)
        await session.run()
        return socket

    def _problem(self, request: web.Request) -> tuple[str, str] | None:
        if request.query.get("agent_id") != self.agent_id:
            return "agent_not_found", f"no agent {request.query.get('agent_id')!r}"
        signed_ms = self.signatures.get(request.query.get("conversation_signature", ""))
        if self.private and signed_ms is None:
            return "unauthorized", "a private agent needs a signed URL"
        if self.private and now_ms() - signed_ms > SIGNED_MS:
            return "unauthorized", "the signed URL is older than 15 minutes"
        return None
