"""The phone company: numbers, signed webhooks, media sockets.

    carrier = Carrier("12345", "https://phone.example.test/voice/incoming",
                      "https://phone.example.test/voice/status",
                      resolve={"https://phone.example.test": "http://127.0.0.1:8080",
                               "wss://media.example.test": "ws://127.0.0.1:8081"})
    async with carrier:
        call = carrier.place_call("+14155550100", "+14155550199", script)
        await call.wait_ended()
    call.check()

TwiML keeps its public https and wss URLs, which is what signatures are computed over; `resolve` says
where they really lead. A target may be a list: a dead one is passed over, as a load balancer would.
"""

import asyncio
import uuid
from dataclasses import dataclass
from typing import Awaitable, Callable, Mapping
from urllib.parse import urldefrag, urlencode, urlsplit

import aiohttp

from .call import Call, Event, is_socket_error
from .clock import now_ms
from .webhook import Form, overrides, signature, signed_url

Script = Callable[[Call], Awaitable[None]]
MAX_INCOMING_MESSAGE = 16 * 1024 * 1024
UPGRADE_SECONDS = 10  # error 31901, whose time the vendor does not tell


def account_sid(auth_token: str) -> str:
    return "AC" + uuid.uuid5(uuid.NAMESPACE_DNS, auth_token).hex


@dataclass
class Faults:
    duplicate_incoming: bool = False
    forge_signature: bool = False  # on webhooks
    forge_media_signature: bool = False
    lost_webhook: str | None = None  # those whose URL ends so are never answered
    replace_token: str | None = None  # what every <Parameter> of the media stream says instead
    status_delay_s: float = 0
    status_copies: int = 1  # 0: the callback is lost
    action_after_hangup: bool = False  # not documented either way


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes
    ms: float


class Carrier:
    def __init__(
        self,
        auth_token: str,
        incoming_url: str,
        status_url: str,
        *,
        resolve: Mapping[str, str | list[str]] | None = None,
        insecure: bool = False,
        faults: Faults | None = None,
        on_event: Callable[[Call, Event], None] | None = None,
    ) -> None:
        self.account_sid = account_sid(auth_token)
        self.auth_token = auth_token
        self.incoming_url = incoming_url
        self.status_url = status_url
        self.resolve = dict(resolve or {})
        self.insecure = insecure
        self.faults = faults or Faults()
        self.on_event = on_event
        self.calls: list[Call] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Carrier":
        self._session = aiohttp.ClientSession(
            skip_auto_headers=["Accept", "Accept-Encoding", "User-Agent"],
            connector=aiohttp.TCPConnector(limit=0),
        )
        return self

    async def __aexit__(self, *_) -> None:
        for call in self.calls:
            call.task.cancel()
        await asyncio.gather(*(call.task for call in self.calls), return_exceptions=True)
        await self._session.close()

    def place_call(self, caller: str, called: str, script: Script | None = None) -> Call:
        """Starts a call; `script` is what the caller does once the media stream has begun."""
        return self.begin(Call(self, caller, called), script)

    def begin(self, call: Call, script: Script | None) -> Call:
        call.task = asyncio.create_task(self._run(call, script))
        self.calls.append(call)
        return call

    async def _run(self, call: Call, script: Script | None) -> None:
        acting = asyncio.create_task(self._act(call, script)) if script else None
        try:
            await call.run()
        except Exception as error:
            call.script_error = error
        finally:
            if acting is not None:
                await asyncio.wait({acting}, timeout=1)
                acting.cancel()

    @staticmethod
    async def _act(call: Call, script: Script) -> None:
        try:
            await call.wait_started()
            await script(call)
        except Exception as error:
            call.script_error = error
            call.hang_up()  # a caller who is lost does not stay on the line

    # ---- webhooks ----

    async def post(self, call: Call, url: str, form: Form) -> Answer | None:
        """One webhook with its documented retries; None when it failed, which is a violation
        unless the signature was forged on purpose."""
        rules = overrides(url)
        token = str(uuid.uuid4())
        began = now_ms()
        if self.faults.lost_webhook and urldefrag(url).url.endswith(self.faults.lost_webhook):
            call.note("lost", url)
            return None
        failure = "11205 no attempt"
        for attempt in range(rules.retries + 1):
            left_s = rules.total_ms / 1000 - (now_ms() - began) / 1000
            if left_s <= 0:
                failure = "11203 total timeout"
                break
            try:
                answer = await self._request(url, form, token, rules, left_s, attempt)
            except aiohttp.ClientConnectorError as error:
                kind, failure = "ct", f"11205 {error}"
            except (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError) as error:
                kind, failure = "rt", f"11200 {type(error).__name__} {error}"
            else:
                call.note("webhook", {"url": url, "status": answer.status, "ms": answer.ms})
                if answer.status < 300:
                    return answer
                kind = "5xx" if answer.status >= 500 else "4xx"
                failure = f"11200 HTTP {answer.status}"
            if not rules.retries_on(kind):
                break
        if not self.faults.forge_signature:
            call.violate(f"{failure} from {url}")
        return None

    async def callback(self, call: Call, url: str, form: Form) -> None:
        """A webhook whose answer must be empty TwiML or nothing at all."""
        answer = await self.post(call, url, form)
        if answer is not None and answer.status != 204:
            if b"<Response/>" not in answer.body and b"<Response></Response>" not in answer.body:
                call.violate(f"12200 {url} answered a callback with {answer.body[:80]!r}")

    async def _request(
        self, url: str, form: Form, token: str, rules, left_s: float, attempt: int
    ) -> Answer:
        signing_url = signed_url(url)
        key = "not " + self.auth_token if self.faults.forge_signature else self.auth_token
        headers = {
            "Host": urlsplit(url).netloc,
            "User-Agent": "TwilioProxy/1.1",
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "Accept": "*/*",
            "X-Twilio-Signature": signature(key, signing_url, form),
            "I-Twilio-Idempotency-Token": token,
        }
        timeout = aiohttp.ClientTimeout(
            total=left_s, sock_connect=rules.connect_ms / 1000, sock_read=rules.read_ms / 1000
        )
        targets = self._targets(urldefrag(url).url)
        began = now_ms()
        async with self._session.post(
            targets[attempt % len(targets)],
            data=urlencode(form).encode(),
            headers=headers,
            timeout=timeout,
        ) as response:
            body = await response.read()
            return Answer(
                response.status,
                response.headers.get("Content-Type", ""),
                body,
                now_ms() - began,
            )

    # ---- media ----

    async def open_media(self, call: Call, url: str) -> aiohttp.ClientWebSocketResponse | None:
        """The socket, or None after a failed handshake (31920)."""
        key = "not " + self.auth_token if self.faults.forge_media_signature else self.auth_token
        headers = {
            "Host": urlsplit(url).netloc,
            "User-Agent": "Twilio.TmeWs/1.0",
            "x-twilio-signature": signature(key, url, []),
        }
        failure = ""
        for target in self._targets(url):
            try:
                connecting = self._session.ws_connect(
                    target, headers=headers, max_msg_size=MAX_INCOMING_MESSAGE, compress=0
                )
                socket = await asyncio.wait_for(connecting, UPGRADE_SECONDS)
            except Exception as error:
                if not is_socket_error(error):
                    raise
                failure = str(error)
                continue
            self._check_upgrade(call, socket)
            return socket
        call.note("media-refused", failure)
        return None

    @staticmethod
    def _check_upgrade(call: Call, socket: aiohttp.ClientWebSocketResponse) -> None:
        for name in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"):
            if name in socket._response.headers:
                call.violate(f"31924 the upgrade was answered with {name}")

    def recording_url(self, sid: str) -> str:
        account = f"https://api.twilio.com/2010-04-01/Accounts/{self.account_sid}"
        return f"{account}/Recordings/{sid}"

    def _targets(self, url: str) -> list[str]:
        for base, target in self.resolve.items():
            if url == base or url.startswith(base + "/"):
                targets = [target] if isinstance(target, str) else target
                return [one + url[len(base) :] for one in targets]
        return [url]
