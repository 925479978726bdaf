"""ElevenLabs' REST API, as far as an agent of theirs is asked to dial, and its webhooks. What it refuses is answered
with the vendor's error, and noted."""

import asyncio
import hashlib
import hmac
import json
import re
import time
import uuid
from dataclasses import dataclass, field

from aiohttp import web

_BODY = {"agent_id": str, "agent_phone_number_id": str, "to_number": str}
_OPTIONAL = {
    "conversation_initiation_client_data": dict,
    "call_recording_enabled": bool,
    "telephony_call_config": dict,
}
_CLIENT_DATA = {"user_id", "dynamic_variables", "conversation_config_override", "custom_llm_extra_body", "source_info"}


def signature(secret: str, body: bytes, at: int | None = None) -> str:
    stamp = str(int(time.time()) if at is None else at)
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v0={digest}"


@dataclass
class Conversation:
    id: str
    call_sid: str
    request: dict
    status: str = "initiated"
    transcript: list[dict] = field(default_factory=list)
    duration: int = 0
    audio: bytes | None = None  # MP3
    direction: str = "outbound"

    @property
    def client_data(self) -> dict:
        return self.request["conversation_initiation_client_data"]

    @property
    def user_id(self) -> str:
        return self.client_data["user_id"]

    def say(self, role: str, message: str, at: float) -> None:
        self.transcript.append(
            {"role": role, "message": message, "time_in_call_secs": at, "interrupted": False, "tool_calls": []}
        )

    def data(self) -> dict:
        """GET conversations/{id}, and the data of a webhook."""
        return {
            "agent_id": self.request["agent_id"],
            "conversation_id": self.id,
            "user_id": self.user_id,
            "status": self.status,
            "transcript": self.transcript,
            "metadata": {
                "start_time_unix_secs": 1739537297,
                "call_duration_secs": self.duration,
                "cost": 296,
                "termination_reason": "Client ended the call – déjà",
                "error": None,
                "phone_call": {"type": "twilio", "direction": self.direction, "call_sid": self.call_sid},
            },
            "analysis": {
                "call_successful": "success",
                "transcript_summary": "They spoke of the time.",
                "data_collection_results": {},
            },
            "conversation_initiation_client_data": self.client_data,
            "has_audio": True,
        }


class AgentsApi:
    """`faults` are taken one for each request to dial: an HTTP status; "silent": dialled, and no answer comes;
    "no ids": success, but the ids are null; "unsuccessful": 200, and not dialled"""

    def __init__(self, port: int, api_key: str, numbers: dict[str, str], agents: set[str]) -> None:
        self.api_key = api_key
        self.numbers = numbers  # by id
        self.agents = agents
        self.faults: list[int | str] = []
        self.violations: list[str] = []
        self.conversations: list[Conversation] = []
        self.requests = 0
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> "AgentsApi":
        app = web.Application()
        app.router.add_post("/v1/convai/twilio/outbound-call", self._dial)
        app.router.add_get("/v1/convai/conversations", self._list)
        app.router.add_get("/v1/convai/conversations/{id}", self._get)
        app.router.add_get("/v1/convai/conversations/{id}/audio", self._audio)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def stop(self) -> None:
        await self._runner.cleanup()

    def check(self) -> None:
        if self.violations:
            raise AssertionError("ElevenLabs would complain:\n  " + "\n  ".join(self.violations))

    def of(self, user_id: str) -> Conversation | None:
        found = [one for one in self.conversations if one.user_id == user_id]
        assert len(found) <= 1, f"{user_id} was dialled {len(found)} times"
        return found[0] if found else None

    def take_call(self, call_sid: str, answer: dict, direction: str = "inbound") -> Conversation:
        """Somebody has called a number of the agents' own; `answer` is what personalization said."""
        if answer.get("type") != "conversation_initiation_client_data":
            self.violations.append("personalization without a type: the call would fail")
        data = {name: value for name, value in answer.items() if name != "type"}
        one = Conversation(
            f"conv_{uuid.uuid4().hex}",
            call_sid,
            {"agent_id": "agent_1", "conversation_initiation_client_data": data},
            direction=direction,
        )
        self.conversations.append(one)
        return one

    # ---- requests ----

    async def _dial(self, request: web.Request) -> web.Response:
        self.requests += 1
        refused = self._authorized(request)
        if refused:
            return refused
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            status = {429: "too_many_concurrent_requests", 422: "invalid"}.get(fault, "internal_error")
            detail = {"status": status, "message": f"as the test wants {fault}"}
            return web.json_response({"detail": detail}, status=fault)
        if request.content_type != "application/json":
            return self._invalid(["header"], f"content type {request.content_type}")
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            return self._invalid(["body"], str(error))
        wrong = self._wrong(body)
        if wrong:
            return self._invalid(*wrong)
        if fault == "unsuccessful":
            return web.json_response({"success": False, "message": "not now", "conversation_id": None, "callSid": None})
        one = Conversation(f"conv_{uuid.uuid4().hex}", "CA" + uuid.uuid4().hex, body)
        self.conversations.append(one)
        if fault == "silent":
            await asyncio.sleep(60)
        known = fault != "no ids"
        return web.json_response(
            {
                "success": True,
                "message": "Call initiated",
                "conversation_id": one.id if known else None,
                "callSid": one.call_sid if known else None,
            }
        )

    async def _list(self, request: web.Request) -> web.Response:
        refused = self._authorized(request)
        if refused:
            return refused
        unknown = set(request.query) - {"agent_id", "user_id", "cursor", "page_size"}
        if unknown:
            return self._invalid(["query"], f"unknown {unknown}")
        found = [one for one in self.conversations if one.user_id == request.query.get("user_id", one.user_id)]
        listed = [{"conversation_id": one.id, "agent_id": one.request["agent_id"], "status": one.status} for one in found]
        return web.json_response({"conversations": listed, "has_more": False, "next_cursor": None})

    async def _get(self, request: web.Request) -> web.Response:
        refused = self._authorized(request)
        if refused:
            return refused
        for one in self.conversations:
            if one.id == request.match_info["id"]:
                return web.json_response(one.data())
        return web.json_response({"detail": {"status": "not_found", "message": "no such conversation"}}, status=404)

    async def _audio(self, request: web.Request) -> web.Response:
        refused = self._authorized(request)
        if refused:
            return refused
        for one in self.conversations:
            if one.id == request.match_info["id"] and one.audio:
                return web.Response(body=one.audio, content_type="audio/mpeg")
        return web.json_response({"detail": {"status": "not_found", "message": "no audio"}}, status=404)

    # ---- rules ----

    def _authorized(self, request: web.Request) -> web.Response | None:
        if request.headers.get("xi-api-key") == self.api_key:
            return None
        self.violations.append("invalid_api_key")
        return web.json_response({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, status=401)

    def _wrong(self, body: object) -> tuple[list[str], str] | None:
        if not isinstance(body, dict):
            return ["body"], "no object"
        for name, kind in _BODY.items():
            if not isinstance(body.get(name), kind):
                return ["body", name], "Field required"
        for name, value in body.items():
            if name not in _BODY and not isinstance(value, _OPTIONAL.get(name, type(None))):
                return ["body", name], "unknown, or of another type"
        if body["agent_id"] not in self.agents or body["agent_phone_number_id"] not in self.numbers:
            return ["body", "agent_id"], "no such agent or number"
        if not re.fullmatch(r"\+[1-9][0-9]{4,14}", body["to_number"]):
            return ["body", "to_number"], f"{body['to_number']} is no number"
        data = body.get("conversation_initiation_client_data", {})
        if not set(data) <= _CLIENT_DATA:
            return ["body", "conversation_initiation_client_data"], f"unknown {set(data) - _CLIENT_DATA}"
        for name, value in data.get("dynamic_variables", {}).items():
            if name.startswith("system__") or not isinstance(value, (str, int, float, bool)):
                return ["body", "dynamic_variables", name], "reserved, or no flat value"
        if not set(body.get("telephony_call_config", {})) <= {"ringing_timeout_secs", "twilio_call_recording_enabled"}:
            return ["body", "telephony_call_config"], "unknown member"
        return None

    def _invalid(self, place: list[str], message: str) -> web.Response:
        self.violations.append(f"422 {place}: {message}")
        return web.json_response({"detail": [{"loc": place, "msg": message, "type": "value_error"}]}, status=422)
