"""A fleet that dials: the carrier's REST API beside the stage, and POST /calls as a client sends it."""

import asyncio
import json
import uuid

from standins.carrier import account_sid
from standins.carrier_api import CarrierApi
from standins.dialled import DialledCall, Person
from standins.scenario import Scenario, turn

from .fleet import AUTH_TOKEN, Fleet
from .ports import free_port
from .servers import eventually
from .stage import Stage
from .warmer_rig import Answer, send

KEY = "the key of the test fleet"
BUSINESS = "+14155550199"  # of the seed
SHORT = Scenario(
    "short",
    "Hello, this is Harbour Dental.",
    (turn("What time is it?", "It is noon."),),
    caller_hangs_up=True,
)
_numbers = iter(range(10_000))


def new_number() -> str:
    """Of somebody nobody has called yet."""
    return f"+1415557{next(_numbers):04d}"


class OutboundStage(Stage):
    def __init__(self, *, workers: int = 0, **env: str) -> None:
        self.port = free_port()
        settings = {
            "RINGFLEET_API_KEY": KEY,
            "RINGFLEET_TWILIO_ACCOUNT_SID": account_sid(AUTH_TOKEN),
            "RINGFLEET_TWILIO_API_URL": f"http://127.0.0.1:{self.port}",
            "RINGFLEET_CALLS_PER_SECOND": "100",
            "RINGFLEET_MAX_BUSINESS_CALLS": "1000",
            "RINGFLEET_CALLING_HOURS": "00:00-24:00",
        }
        super().__init__(SHORT, workers=workers, env=settings | env)
        self.api: CarrierApi

    def __enter__(self) -> "OutboundStage":
        super().__enter__()
        self.api = self.run(self._start_api())
        eventually("the database of the calls to be dialled", lambda: self.state("CAnobody")["code"] == 404)
        return self

    async def _start_api(self) -> CarrierApi:
        return await CarrierApi(self.carrier, self.port).start()

    def __exit__(self, *error) -> None:
        self.run(self.api.stop())
        super().__exit__(*error)

    # ---- the client ----

    def request(self, body: object, key: str | None = None, bearer: str = KEY) -> Answer:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {bearer}",
            "Idempotency-Key": key if key is not None else uuid.uuid4().hex,
        }
        return send(self.fleet, "POST", "/calls", json.dumps(body).encode(), headers)

    def call(self, *callees: dict, key: str | None = None, **more: object) -> list[dict]:
        """Results of a request that must be taken."""
        answer = self.request({"business": BUSINESS, "callees": list(callees), **more}, key)
        assert answer.status == 202, (answer.status, answer.body)
        return json.loads(answer.body)["calls"]

    def state(self, sid: str, bearer: str = KEY) -> dict:
        """GET /calls/{call_sid}, and the status as `code`."""
        answer = send(self.fleet, "GET", f"/calls/{sid}", b"", {"Authorization": f"Bearer {bearer}"})
        return {"code": answer.status, **json.loads(answer.body or b"{}")}

    def wait_state(self, sid: str, state: str) -> dict:
        return eventually(f"{sid} to be {state}", lambda: (found := self.state(sid)).get("state") == state and found)

    def meet(self, number: str, **person: object) -> str:
        """Somebody at that number, who behaves so."""
        self.api.people[number] = Person(**person)
        return number

    # ---- what became of it ----

    def dialled(self, number: str, count: int = 1, timeout: float = 20) -> list[DialledCall]:
        return eventually(
            f"{count} calls to {number}",
            lambda: (found := self.api.calls(number)) and len(found) == count and found,
            timeout,
        )

    def row(self, sid: str, timeout: float = 30, **want: object) -> dict:
        """The call's row, once it says so."""

        def found() -> dict | None:
            rows = self.fleet.sql("select * from call_log where call_sid = %s", sid)
            good = rows and all(rows[0][name] == value for name, value in want.items())
            return rows[0] if good else None

        return eventually(f"the row of {sid} with {want}", found, timeout)

    def finish_all(self) -> None:
        for call in self.carrier.calls:
            self.run(asyncio.wait_for(asyncio.shield(call.task), 60))


def outbound_key(kind: str) -> str:
    return f"rf:{{outbound}}:{kind}"


def jobs(fleet: Fleet) -> dict[str, dict]:
    found = fleet.redis().hgetall(outbound_key("jobs"))
    return {sid: json.loads(text) for sid, text in found.items()}
