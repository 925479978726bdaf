"""A call that the carrier was asked to make, and the person who is called."""

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Awaitable, Callable

from .call import Call, rfc2822

if TYPE_CHECKING:
    from .carrier import Carrier


@dataclass
class Person:
    """What happens at a number."""

    outcome: str = "answer"  # or the carrier's word: busy, no-answer, failed
    script: Callable[[Call], Awaitable[None]] | None = None
    answered_by: str = "human"
    ring_s: float = 0.05
    judged_s: float = 0.3  # how long it takes to tell who answered, where the call does not wait for it
    judged_times: int = 1


class DialledCall(Call):
    def __init__(self, carrier: "Carrier", form: dict[str, list[str]], person: Person) -> None:
        super().__init__(carrier, form["From"][0], form["To"][0])
        self.direction = "outbound-api"
        self.status = "queued"
        self.form = form
        self.person = person
        self.status_url = form.get("StatusCallback", [""])[0]
        self.fallback_url = form.get("FallbackUrl", [""])[0]
        self.events_wanted = form.get("StatusCallbackEvent", ["completed"])
        self.date_created = time.time()

    async def run(self) -> None:
        try:
            await self._progress("initiated", "initiated")
            await self._progress("ringing", "ringing")
            await asyncio.sleep(self.person.ring_s)
            if self.person.outcome == "answer":
                await self._answered()
            else:
                self.status = self.person.outcome
            await self._finish()
        finally:
            self._over.set()
            self.note("done", self.status)
            self._pulse()

    async def _answered(self) -> None:
        self._answered_ms = self._elapsed()
        await self._progress("answered", "in-progress")
        late = "AsyncAmdStatusCallback" in self.form
        waits = "MachineDetection" in self.form and not late
        extra = [("AnsweredBy", self.person.answered_by)] if waits else []
        if late:
            self._judging = asyncio.create_task(self._judge())
        await self._obey(await self._document(self.form["Url"][0], "in-progress", extra))

    async def _judge(self) -> None:
        await asyncio.sleep(self.person.judged_s)
        form = [
            ("CallSid", self.sid),
            ("AccountSid", self.account_sid),
            ("AnsweredBy", self.person.answered_by),
            ("MachineDetectionDuration", str(int(self.person.judged_s * 1000))),
        ]
        for _ in range(self.person.judged_times):
            await self._carrier.callback(self, self.form["AsyncAmdStatusCallback"][0], form)

    async def _progress(self, event: str, status: str) -> None:
        self.status = status
        if event in self.events_wanted and self.status_url:
            form = self._form(status) + [
                ("SequenceNumber", str(self._sequence)),
                ("Timestamp", rfc2822(time.time())),
                ("CallbackSource", "call-progress-events"),
            ]
            self._sequence += 1
            await self._carrier.callback(self, self.status_url, form)

    def resource(self) -> dict:
        """The call as the REST API shows it; it never says initiated."""
        status = "queued" if self.status == "initiated" else self.status
        return {
            "sid": self.sid,
            "account_sid": self.account_sid,
            "to": self.called,
            "from": self.caller,
            "status": status,
            "direction": "outbound-api",
            "duration": "1" if status == "completed" else None,
            "start_time": None,
            "date_created": rfc2822(self.date_created),
            "answered_by": None,
            "api_version": "2010-04-01",
        }
