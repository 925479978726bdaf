"""A carrier's socket by hand, for what a correct client would never send; and the ticket it needs."""

import base64
import json
import os
import socket
import struct
import time
import urllib.request
import uuid
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from urllib.parse import urlencode

from standins.webhook import signature

from .fleet import AUTH_TOKEN, PUBLIC_URL, Fleet

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
SILENCE = base64.b64encode(b"\xff" * 160).decode()
REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: media.example.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@dataclass(frozen=True)
class Offer:
    """What the warmer's TwiML gives a stream to identify itself with."""

    sid: str
    token: str


def offer(fleet: Fleet, caller: str, called: str) -> Offer:
    """A ringing call: the webhook, and the token of its answer."""
    sid = "CA" + uuid.uuid4().hex
    form = [("AccountSid", "AC1"), ("CallSid", sid), ("CallStatus", "ringing"), ("Direction", "inbound")]
    form += [("From", caller), ("To", called)]
    request = urllib.request.Request(
        f"http://{fleet.warmer.listen}/voice/incoming",
        urlencode(form).encode(),
        {
            "Host": PUBLIC_URL.removeprefix("https://"),
            "X-Twilio-Signature": signature(AUTH_TOKEN, f"{PUBLIC_URL}/voice/incoming", form),
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        document = ElementTree.fromstring(answer.read())
    return Offer(sid, document.find(".//Parameter[@name='token']").attrib["value"])


class RawPeer:
    """Blocking; each wait ends after `timeout` seconds with what socket raises."""

    def __init__(self, listen: str, *, timeout: float = 20, receive_bytes: int = 0) -> None:
        host, port = listen.rsplit(":", 1)
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout)
        self.socket.connect((host, int(port)))
        self._read = b""
        self._chunk = 0

    def __enter__(self) -> "RawPeer":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """What the other side does not want any more is not this side's error."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def request(self, text: str) -> int:
        """The status of the answer; 0: closed without one."""
        self.send(text.encode())
        return self.status()

    def status(self) -> int:
        head = self._until(b"\r\n\r\n")
        return int(head.split()[1]) if head else 0

    def upgrade(self, path: str = "/media") -> "RawPeer":
        status = self.request(REQUEST.format(path=path))
        assert status == 101, status
        return self

    def start(self, ticket: Offer) -> None:
        details = {
            "accountSid": "AC1",
            "streamSid": "MZ" + uuid.uuid4().hex,
            "callSid": ticket.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"token": ticket.token},
        }
        self.say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        self.say({"event": "start", "streamSid": details["streamSid"], "start": details})

    def say(self, message: dict) -> None:
        self.frame(TEXT, json.dumps(message).encode())

    def media_text(self, payload: str = SILENCE) -> bytes:
        self._chunk += 1
        media = {"track": "inbound", "chunk": str(self._chunk), "timestamp": str(20 * self._chunk)}
        return json.dumps({"event": "media", "media": {**media, "payload": payload}}).encode()

    def media(self, payload: str = SILENCE) -> bytes:
        """One frame of audio, ready to be sent."""
        return encode(TEXT, self.media_text(payload))

    def frame(self, opcode: int, payload: bytes = b"", **options) -> None:
        self.send(encode(opcode, payload, **options))

    def talk(self, seconds: float) -> None:
        """Silence at the pace of a phone."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.send(self.media())
            time.sleep(0.02)

    def message(self) -> tuple[int, bytes] | None:
        """The next frame as (opcode, payload); None when the connection is over."""
        head = self._take(2)
        if head is None:
            return None
        size = head[1]
        if size >= 126:
            extended = self._take(2 if size == 126 else 8)
            if extended is None:
                return None
            size = int.from_bytes(extended, "big")
        payload = self._take(size)
        return None if payload is None else (head[0] & 15, payload)

    def texts(self) -> list[dict]:
        """What was said until the connection ended."""
        said = []
        while (got := self.message()) is not None:
            if got[0] == TEXT:
                said.append(json.loads(got[1]))
        return said

    def close_code(self) -> int:
        """Of the close frame; 0 if the connection ended without one."""
        while (got := self.message()) is not None:
            if got[0] == CLOSE:
                return struct.unpack(">H", got[1][:2])[0] if got[1] else 1005
        return 0

    def reset(self) -> None:
        """RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self) -> bool:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self._read += data
        return bool(data)

    def _take(self, size: int) -> bytes | None:
        while len(self._read) < size:
            if not self._more():
                return None
        taken, self._read = self._read[:size], self._read[size:]
        return taken

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            if not self._more():
                return b""
        head, self._read = self._read.split(mark, 1)
        return head


def encode(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, size: int | None = None) -> bytes:
    """A frame; `size` is what its head claims, if not the truth."""
    size = len(payload) if size is None else size
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack(">BB", opcode | (0x80 if fin else 0), bit | size)
    elif size < 65536:
        head = struct.pack(">BBH", opcode | (0x80 if fin else 0), bit | 126, size)
    else:
        head = struct.pack(">BBQ", opcode | (0x80 if fin else 0), bit | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    long_mask = mask * (len(payload) // 4 + 1)
    return head + mask + bytes(a ^ b for a, b in zip(payload, long_mask))
