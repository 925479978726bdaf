"""A door in front of the AI stand-in that can misbehave: for each connection that arrives, the next of
`modes`; when there is none, everything passes."""

import base64
import hashlib
import socket
import struct
import threading
import time
from collections import Counter
from typing import Callable

TEXT, CONTINUATION = 1, 0


class BadAi:
    """`provider_port` is asked for when a connection passes: the provider may start later."""

    def __init__(self, provider_port: Callable[[], int]) -> None:
        self.modes: list[str] = []
        self.always: list[str] = []  # used in turns, once `modes` is empty
        self.served: Counter[str] = Counter()
        self._provider_port = provider_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"ws://127.0.0.1:{self._listener.getsockname()[1]}/v1/realtime"
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "BadAi":
        return self

    def __exit__(self, *_) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            mode = self._next_mode()
            self.served[mode] += 1
            threading.Thread(target=self._serve, args=(client, mode), daemon=True).start()

    def _next_mode(self) -> str:
        if self.modes:
            return self.modes.pop(0)
        if self.always:
            self.always.append(self.always.pop(0))
            return self.always[-1]
        return "pass"

    def _serve(self, client: socket.socket, mode: str) -> None:
        with client:
            try:
                if mode in ("pass", "cut"):
                    self._pass(client, cut_after=20000 if mode == "cut" else None)
                elif mode == "tcp only":
                    self._over.wait(30)
                elif mode == "hangs up":
                    pass
                else:
                    key = _read_head(client)
                    MODES[mode](client, key)
            except OSError:
                pass  # the worker let go: that is what it should do

    def _pass(self, client: socket.socket, cut_after: int | None) -> None:
        with socket.create_connection(("127.0.0.1", self._provider_port())) as provider:
            up = threading.Thread(target=_pump, args=(client, provider, None), daemon=True)
            up.start()
            _pump(provider, client, cut_after)
            if cut_after is not None:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    passed = 0
    try:
        while data := source.recv(65536 if limit is None else min(4096, limit - passed)):
            sink.sendall(data)
            passed += len(data)
            if passed == limit:
                return
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def _read_head(client: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            raise ConnectionError
        head += data
    (key,) = [line for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key:")]
    return key.split(":", 1)[1].strip()


def _switch(client: socket.socket, key: str) -> None:
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    accept = base64.b64encode(digest).decode()
    client.sendall(
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )


def _frame(opcode: int, payload: bytes, fin: bool = True) -> bytes:
    first = opcode | (0x80 if fin else 0)
    if len(payload) < 126:
        return struct.pack(">BB", first, len(payload)) + payload
    return struct.pack(">BBH", first, 126, len(payload)) + payload


def _never_answers(client: socket.socket, key: str) -> None:
    client.settimeout(30)
    client.recv(1)


def _wrong_accept(client: socket.socket, key: str) -> None:
    _switch(client, "another key")
    client.settimeout(30)
    client.recv(1)


def _garbage(client: socket.socket, key: str) -> None:
    client.sendall(bytes(range(256)) * 16)
    client.settimeout(30)
    client.recv(1)


def _garbage_text(client: socket.socket, key: str) -> None:
    _switch(client, key)
    for text in (b'{"type":', b"[]", b"null", b'{"type":7}', b'{"type":"response.output_audio.delta"}'):
        client.sendall(_frame(TEXT, text))
    client.settimeout(30)
    while client.recv(65536):
        pass


def _giant(client: socket.socket, key: str) -> None:
    _switch(client, key)
    client.sendall(struct.pack(">BBQ", 0x81, 127, 1 << 40))
    client.settimeout(30)
    while client.recv(65536):
        pass


def _endless_message(client: socket.socket, key: str) -> None:
    _switch(client, key)
    client.sendall(_frame(TEXT, b'{"type":"', fin=False))
    while True:
        client.sendall(_frame(CONTINUATION, b"x" * 60000, fin=False))


def _endless_text(client: socket.socket, key: str) -> None:
    _switch(client, key)
    many = _frame(TEXT, b'{"type":"rate_limits.updated"}') * 2000
    while True:
        client.sendall(many)


def _mid_frame(client: socket.socket, key: str) -> None:
    _switch(client, key)
    client.sendall(_frame(TEXT, b'{"type":"session.created","session":{}}')[:20])
    time.sleep(0.1)


def _drip(client: socket.socket, key: str) -> None:
    """The head of an answer, a byte at a time, for ever."""
    client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Waste: ")
    while True:
        client.sendall(b"x")
        time.sleep(0.2)


MODES: dict[str, Callable[[socket.socket, str], None]] = {
    "never answers": _never_answers,
    "wrong accept": _wrong_accept,
    "garbage": _garbage,
    "garbage text": _garbage_text,
    "giant frame": _giant,
    "endless message": _endless_message,
    "endless text": _endless_text,
    "gone in mid frame": _mid_frame,
    "drip": _drip,
}
