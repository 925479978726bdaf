"""Plays one call against a running fleet as the carrier would: `helm test`. Python's standard
library only, because nothing can be installed into the pod.

The webhook, signed; the TwiML's stream, at a worker; the greeting, or the apology where the AI
provider is not expected to answer; hangup and the final status.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import sys
import time
import urllib.request
from html import unescape
from urllib.parse import urlencode, urlsplit

FRAME = base64.b64encode(b"\xff" * 160).decode()  # 20 ms of mu-law silence
DEADLINE = time.monotonic() + float(os.environ.get("TIMEOUT", "60"))


def secret(name: str) -> str:
    with open(os.environ[name + "_FILE"], encoding="utf-8") as file:
        return file.read().strip()


def ask(url: str, form: dict[str, str]) -> str:
    """POSTs to the warmer what the carrier would send to this public address."""
    text = url + "".join(name + form[name] for name in sorted(form))
    token = secret("AUTH_TOKEN").split(",")[0]
    digest = hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()
    public = urlsplit(os.environ["PUBLIC_URL"].rstrip("/"))
    path = url[len(os.environ["PUBLIC_URL"].rstrip("/")) :]
    request = urllib.request.Request(
        os.environ["WARMER"] + path,
        urlencode(form).encode(),
        {"X-Twilio-Signature": base64.b64encode(digest).decode(), "Host": public.netloc},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


class Media:
    """The carrier's side of a media stream: a WebSocket client of the size of this test."""

    def __init__(self, address: str, path: str) -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._receive("the worker's answer to the upgrade")
        head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            sys.exit(f"the worker refused the stream: {head.decode(errors='replace')}")

    def _receive(self, what: str) -> None:
        self._socket.settimeout(max(0.1, DEADLINE - time.monotonic()))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            sys.exit(f"waited in vain for {what}")
        if not data:
            raise EOFError
        self._buffer += data

    def send(self, message: dict, opcode: int = 1) -> None:
        data = json.dumps(message).encode() if message else b"\x03\xe8"
        mask = os.urandom(4)
        size = len(data)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        self._socket.sendall(bytes([0x80 | opcode]) + length + mask + body)

    def next(self, what: str) -> dict | None:
        """The next message; None when the worker has closed the stream."""
        while True:
            frame = self._frame()
            if frame is None:
                try:
                    self._receive(what)
                except EOFError:
                    return None
                continue
            opcode, data = frame
            if opcode == 8:
                return None
            if opcode == 1:
                return json.loads(data)

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, at = buffer[1] & 127, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            if len(buffer) < at:
                return None
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + size:
            return None
        self._buffer = buffer[at + size :]
        return buffer[0] & 15, buffer[at : at + size]


def listen(media: Media, sid: str, token: str) -> int:
    """Starts the stream and counts the bytes of speech, until a second of it was heard."""
    stream = "MZ" + os.urandom(16).hex()
    media.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    start = {
        "accountSid": "AC" + "0" * 32,
        "streamSid": stream,
        "callSid": sid,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    media.send({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": stream})
    audio = {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": FRAME}
    media.send({"event": "media", "sequenceNumber": "2", "media": audio, "streamSid": stream})
    heard = 0
    while heard < 8000:
        message = media.next("the greeting")
        if message is None:
            return heard
        if message["event"] == "media":
            heard += len(base64.b64decode(message["media"]["payload"]))
    stop = {"accountSid": start["accountSid"], "callSid": sid}
    media.send({"event": "stop", "sequenceNumber": "3", "stop": stop, "streamSid": stream})
    media.send({}, opcode=8)
    return heard


def main() -> None:
    public = os.environ["PUBLIC_URL"].rstrip("/")
    sid = "CA" + os.urandom(16).hex()
    call = {
        "CallSid": sid,
        "AccountSid": "AC" + "0" * 32,
        "From": os.environ["CALLER"],
        "To": os.environ["CALLED"] or "+15005550001",
        "Direction": "inbound",
        "CallStatus": "ringing",
        "ApiVersion": "2010-04-01",
    }
    twiml = ask(public + "/voice/incoming", call)
    stream = re.search(r'<Stream [^>]*url="([^"]+)"', twiml)
    if not os.environ["CALLED"]:
        if stream or "<Response" not in twiml:
            sys.exit(f"a number that nobody has was not refused: {twiml}")
        print("the call to an unknown number was refused politely")
        return
    token = re.search(r'<Parameter name="token" value="([^"]+)"', twiml)
    action = re.search(r'<Connect [^>]*action="([^"]+)"', twiml)
    if not (stream and token and action):
        sys.exit(f"no stream was offered: {twiml}")
    print("the webhook was answered with a stream")
    media = Media(os.environ["WORKER"], urlsplit(unescape(stream[1])).path)
    heard = listen(media, sid, unescape(token[1]))
    print(f"heard {heard / 8000:.1f} s of the assistant")
    after = ask(unescape(action[1]).split("#")[0], {**call, "CallStatus": "in-progress"})
    ask(public + "/voice/status", {**call, "CallStatus": "completed", "CallDuration": "1", "SequenceNumber": "3"})
    if heard < 8000 and os.environ.get("EXPECT_GREETING") == "true":
        sys.exit(f"the assistant did not speak; the fleet then said: {after}")
    if heard < 8000 and "<Say" not in after:
        sys.exit(f"neither a greeting nor an apology: {after}")
    print("the call was played to its end")


if __name__ == "__main__":
    main()
