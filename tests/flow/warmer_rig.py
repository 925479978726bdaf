"""The warmer alone, without workers: its webhooks as the carrier sends them, and the weather around it."""

import http.client
import os
import signal
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator
from urllib.parse import urlencode

import psycopg

from standins import twiml
from standins.webhook import Form, signature

from .fleet import AUTH_TOKEN, PUBLIC_URL, Fleet
from .servers import eventually

BUSINESS = "+14155550199"  # of the seed
CALLER = "+14155550123"
DEADLINE_MS = 400
SLACK_MS = 600  # of a busy machine, above the deadlines
CONNECTIONS_MAX = 512  # of warmer/server.c
APOLOGY = "We are sorry"
REFUSAL = "not in service"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    ms: float

    def document(self) -> twiml.Document:
        assert self.status == 200
        document = twiml.parse(self.headers["Content-Type"], self.body)
        assert document.violations == []
        return document

    def names(self) -> list[str]:
        return [verb.name for verb in self.document().verbs]

    def connect(self) -> tuple[str, str, str]:
        """Action without the overrides, stream URL, token."""
        (verb,) = self.document().verbs
        assert verb.name == "Connect" and verb.attributes["method"] == "POST"
        (stream,) = verb.children
        (parameter,) = stream.children
        assert parameter.attributes["name"] == "token"
        action = verb.attributes["action"].split("#")[0]
        return action, stream.attributes["url"], parameter.attributes["value"]

    def words(self) -> str:
        say, hangup = self.document().verbs
        assert (say.name, hangup.name) == ("Say", "Hangup")
        return say.text


def send(fleet: Fleet, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
    began = time.monotonic()
    connection = http.client.HTTPConnection(fleet.warmer.listen, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    ms = (time.monotonic() - began) * 1000
    return Answer(response.status, dict(response.getheaders()), text, ms)


def post(fleet: Fleet, path: str, form: Form, token: str | None = AUTH_TOKEN) -> Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    if token is not None:
        headers["X-Twilio-Signature"] = signature(token, PUBLIC_URL + path, form)
    return send(fleet, "POST", path, urlencode(form, errors="surrogateescape").encode(), headers)


def new_sid() -> str:
    return "CA" + uuid.uuid4().hex


def form_of(sid: str, status: str = "ringing", **more: str) -> Form:
    values = {
        "CallSid": sid,
        "From": CALLER,
        "To": BUSINESS,
        "CallStatus": status,
        "Direction": "inbound",
        "FromCity": "SÃO PAULO",
        "ToCity": "",
    }
    return list((values | more).items())


def ring(fleet: Fleet, sid: str, **more: str) -> Answer:
    return post(fleet, "/voice/incoming", form_of(sid, **more))


def after(fleet: Fleet, sid: str, n: int, status: str = "in-progress") -> Answer:
    return post(fleet, f"/voice/after/{n}", form_of(sid, status))


def report(fleet: Fleet, sid: str, status: str, **more: str) -> Answer:
    return post(fleet, "/voice/status", form_of(sid, status, **more))


def metric(fleet: Fleet, name: str) -> float:
    return fleet.warmer.metrics()["ringfleet_" + name]


def wait_database(fleet: Fleet, connections: int = 2) -> None:
    eventually(
        "the warmer's connections",
        lambda: metric(fleet, "database_connections_up") == connections,
    )


def wait_redis(fleet: Fleet, up: int = 1) -> None:
    eventually("the warmer to notice", lambda: metric(fleet, "redis_up") == up)


@contextmanager
def frozen_database(fleet: Fleet):
    """The warmer's sessions stand still: nothing is refused, nothing is answered."""
    rows = fleet.sql("select pid from pg_stat_activity where application_name = 'warmer'")
    assert len(rows) == 2
    for row in rows:
        os.kill(row["pid"], signal.SIGSTOP)
    try:
        yield
    finally:
        for row in rows:
            os.kill(row["pid"], signal.SIGCONT)


@contextmanager
def locked(fleet: Fleet, table: str, mode: str) -> Iterator[None]:
    """As by a migration that stands in somebody's way. Shorter than after which connections count as lost."""
    with psycopg.connect(fleet.postgres.url("locker")) as locker:
        locker.execute(f"lock table {table} in {mode} mode")
        began = time.monotonic()
        yield
        assert time.monotonic() - began < 4
        locker.rollback()


def waiting_statements(fleet: Fleet) -> int:
    return len(fleet.sql("select 1 from pg_stat_activity where application_name = 'warmer' and wait_event_type = 'Lock'"))


def without_workers(**env: str) -> Fleet:
    return Fleet(ai_url="ws://127.0.0.1:1", workers=0, env=env)


def dialled(answer: Answer) -> str:
    """The number that the caller is sent to."""
    (verb,) = answer.document().verbs
    assert verb.name == "Dial"
    return verb.children[0].text


def events(fleet: Fleet, sid: str) -> list[dict[str, str]]:
    return [entry for _, entry in fleet.journal(sid, "events")]


def set_settings(fleet: Fleet, settings: str) -> None:
    """business_settings.settings of the seed's business."""
    fleet.sql(
        "update business_settings set settings = %s::jsonb from business"
        " where business.id = business_id and phone_number = %s", settings, BUSINESS,
    )


def call_row(fleet: Fleet, sid: str) -> dict:
    """The call's one row; it is written while the carrier already has its answer."""
    query = "select * from call_log where call_sid = %s"
    (row,) = eventually("the row of the call", lambda: fleet.sql(query, sid))
    return row


def whole_context(fleet: Fleet, sid: str) -> dict[str, str]:
    """With what the caller was not kept waiting for: the booked times, the full prompt, and a stranger's lead."""

    def whole() -> dict[str, str] | None:
        context = fleet.context(sid)
        return context if context.get("source") == "database" else None

    return eventually("the whole context", whole)


def leave_snapshot(fleet: Fleet, **more: str) -> None:
    ring(fleet, sid := new_sid(), **more).connect()
    assert whole_context(fleet, sid)
    eventually("the snapshot", lambda: fleet.redis().exists(f"rf:number:{BUSINESS}"))
