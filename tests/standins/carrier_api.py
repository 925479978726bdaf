"""The phone company's REST API, as far as calls are made through it. What it refuses is answered with the vendor's
error, and noted: a client that is right is never refused, unless a test asked for it (`faults`)."""

import asyncio
import base64
import re
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from .carrier import Carrier
from .dialled import DialledCall, Person

_PARAMETERS = frozenset(
    "To From Url Twiml ApplicationSid Method FallbackUrl FallbackMethod StatusCallback StatusCallbackMethod"
    " StatusCallbackEvent Timeout TimeLimit MachineDetection MachineDetectionTimeout AsyncAmd"
    " AsyncAmdStatusCallback Record RecordingChannels RecordingTrack RecordingStatusCallback"
    " RecordingStatusCallbackEvent Trim SendDigits CallerId CallReason CallToken Byoc".split()
)
_EVENTS = {"initiated", "ringing", "answered", "completed"}
_NUMBER = re.compile(r"\+[1-9][0-9]{4,14}")
UNKNOWN_NUMBER = "+15005550001"  # which the vendor's test account refuses, too


class CarrierApi:
    """`faults` are taken one for each request to make a call:
    an HTTP status: refused with it, nobody is dialled
    "lost": dialled, and the connection is cut without an answer
    "silent": dialled, and no answer comes
    "late": dialled, and answered when `release` is set"""

    def __init__(self, carrier: Carrier, port: int) -> None:
        self.carrier = carrier
        self.people: dict[str, Person] = {}
        self.faults: list[int | str] = []
        self.violations: list[str] = []
        self.requests: list[dict[str, list[str]]] = []  # to make a call, the refused ones too
        self.request_s: list[float] = []  # when they came
        self.lists_asked = 0
        self.hide_calls = False  # the list lags behind
        self.release = asyncio.Event()
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> "CarrierApi":
        app = web.Application()
        base = "/2010-04-01/Accounts/{account}"
        app.router.add_post(base + "/Calls.json", self._create)
        app.router.add_get(base + "/Calls.json", self._list)
        app.router.add_get(base + "/Calls/{sid}.json", self._get)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def stop(self) -> None:
        await self._runner.cleanup()

    def calls(self, to: str) -> list[DialledCall]:
        """Newest first."""
        return [
            call
            for call in reversed(self.carrier.calls)
            if isinstance(call, DialledCall) and call.called == to
        ]

    def check(self) -> None:
        if self.violations:
            raise AssertionError("the carrier's API would complain:\n  " + "\n  ".join(self.violations))

    # ---- requests ----

    async def _create(self, request: web.Request) -> web.StreamResponse:
        refused = self._authorized(request)
        if refused:
            return refused
        if request.content_type != "application/x-www-form-urlencoded":
            return self._refuse(400, 21201, f"content type {request.content_type}")
        form = parse_qs(await request.text(), keep_blank_values=True, strict_parsing=True)
        self.requests.append(form)
        self.request_s.append(asyncio.get_running_loop().time())
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            return self._error(fault, 20429 if fault == 429 else 20500, "as the test wants it")
        wrong = self._wrong(form)
        if wrong:
            return self._refuse(400, *wrong)
        if form["To"][0] == UNKNOWN_NUMBER:
            return self._error(400, 21211, f"The 'To' number {UNKNOWN_NUMBER} is not a valid phone number.")
        person = self.people.get(form["To"][0], Person())
        call = DialledCall(self.carrier, form, person)
        answer = web.json_response(call.resource(), status=201)
        self.carrier.begin(call, person.script if person.outcome == "answer" else None)
        if fault == "lost":
            request.transport.close()
        elif fault == "silent":
            await asyncio.sleep(60)
        elif fault == "late":
            await self.release.wait()
        return answer

    async def _list(self, request: web.Request) -> web.Response:
        refused = self._authorized(request)
        if refused:
            return refused
        self.lists_asked += 1
        unknown = set(request.query) - {"To", "From", "Status", "PageSize", "Page"}
        if unknown:
            return self._refuse(400, 20001, f"unknown filter {unknown}")
        found = [] if self.hide_calls else self.calls(request.query["To"])
        found = [call for call in found if call.caller == request.query["From"]]
        size = int(request.query.get("PageSize", "50"))
        return web.json_response({"calls": [call.resource() for call in found[:size]], "page": 0})

    async def _get(self, request: web.Request) -> web.Response:
        refused = self._authorized(request)
        if refused:
            return refused
        for call in self.carrier.calls:
            if call.sid == request.match_info["sid"] and isinstance(call, DialledCall):
                return web.json_response(call.resource())
        return self._refuse(404, 20404, "The requested resource was not found")

    # ---- rules ----

    def _authorized(self, request: web.Request) -> web.Response | None:
        pair = f"{self.carrier.account_sid}:{self.carrier.auth_token}".encode()
        given = request.headers.get("Authorization", "")
        if given != "Basic " + base64.b64encode(pair).decode():
            return self._refuse(401, 20003, "Authenticate")
        if request.match_info["account"] != self.carrier.account_sid:
            return self._refuse(404, 20404, "no such account")
        return None

    def _wrong(self, form: dict[str, list[str]]) -> tuple[int, str] | None:
        unknown = set(form) - _PARAMETERS
        if unknown:
            return 20001, f"unknown parameters {sorted(unknown)}"
        for name, values in form.items():
            if len(values) > 1 and not name.endswith("Event"):
                return 20001, f"{name} came {len(values)} times"
            if values[0] == "":
                return 20001, f"{name} is empty"
        for name, code in (("To", 21201), ("From", 21213)):
            if not _NUMBER.fullmatch(form.get(name, [""])[0]):
                return code, f"{name} is {form.get(name)}"
        if sum(name in form for name in ("Url", "Twiml", "ApplicationSid")) != 1:
            return 21205, "not one of Url, Twiml and ApplicationSid"
        for name in ("Url", "FallbackUrl", "StatusCallback", "AsyncAmdStatusCallback"):
            parts = urlsplit(form.get(name, ["https://a.example"])[0])
            if parts.scheme != "https" or not parts.hostname or "_" in parts.hostname or parts.query:
                return 21205, f"{name} is {form[name]}"
        if not set(form.get("StatusCallbackEvent", [])) <= _EVENTS:
            return 21626, f"StatusCallbackEvent {form['StatusCallbackEvent']}"
        if not 5 <= int(form.get("Timeout", ["60"])[0]) <= 600:
            return 21220, f"Timeout {form['Timeout']}"
        if form.get("MachineDetection", ["Enable"])[0] not in ("Enable", "DetectMessageEnd"):
            return 21240, f"MachineDetection {form['MachineDetection']}"
        if form.get("AsyncAmd", ["false"])[0] not in ("true", "false"):
            return 21240, f"AsyncAmd {form['AsyncAmd']}"
        late = form.get("AsyncAmd") == ["true"]
        if late != ("AsyncAmdStatusCallback" in form) or (late and "MachineDetection" not in form):
            return 21240, "AsyncAmd without MachineDetection or AsyncAmdStatusCallback, or the other way round"
        return None

    def _refuse(self, status: int, code: int, message: str) -> web.Response:
        self.violations.append(f"{code} {message}")
        return self._error(status, code, message)

    @staticmethod
    def _error(status: int, code: int, message: str) -> web.Response:
        body = {"code": code, "message": message, "status": status}
        body["more_info"] = f"https://www.twilio.com/docs/errors/{code}"
        return web.json_response(body, status=status)
