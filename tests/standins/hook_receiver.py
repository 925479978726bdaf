"""A business's own system that is told of calls: verifies each message as the Standard Webhooks specification says."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

import jsonschema

from .vendor import Handler, Vendor

SCHEMA = Path(__file__).resolve().parents[2] / "flusher" / "jobs" / "after_call.schema.json"
TOLERANCE_S = 300


@dataclass
class Told:
    id: str
    body: dict
    answer: int


class HookHandler(Handler):
    def do_POST(self) -> None:
        body, vendor = self.body(), self.vendor
        if body is None:
            return
        wrong = self._wrong(body)
        if wrong:
            vendor.violations.append(wrong)
            self.answer(400)
            return
        status = vendor.faults.popleft() if vendor.faults else 200
        vendor.told.append(Told(self.headers["webhook-id"], json.loads(body), status))
        if vendor.held:
            vendor.hold()
        self.answer(status)

    def _wrong(self, body: bytes) -> str | None:
        id, at = self.headers.get("webhook-id", ""), self.headers.get("webhook-timestamp", "")
        key = base64.b64decode(self.vendor.secret.removeprefix("whsec_"))
        digest = hmac.new(key, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
        right = "v1," + base64.b64encode(digest).decode()
        if not id or right not in self.headers.get("webhook-signature", "").split(" "):
            return f"signature {self.headers.get('webhook-signature')} of {id}"
        if abs(time.time() - int(at)) > TOLERANCE_S:
            return f"timestamp {at}"
        if self.headers.get("Content-Type") != "application/json":
            return f"Content-Type {self.headers.get('Content-Type')}"
        try:
            jsonschema.validate(json.loads(body), json.loads(SCHEMA.read_text()))
        except (ValueError, jsonschema.ValidationError) as error:
            return f"body: {error}"
        return None


class HookReceiver(Vendor):
    """faults: statuses."""

    handler = HookHandler

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.told: list[Told] = []
        self.held = False
        super().__init__()
