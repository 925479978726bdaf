"""An HTTP service of somebody else's, on a thread of its own: keeps what it was asked, and what it would have refused.

A subclass answers with do_GET and the like of its handler class. `held` requests wait until they are released, so
that a test can end the one who asks in the middle of it.
"""

import ssl
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    @property
    def vendor(self):
        return self.server.vendor

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self, held: bool = False) -> bytes | None:
        """What was sent; None if the sender went away in the middle of it. `held`: it waits after the first bytes."""
        length = self.headers.get("Content-Length")
        if length is None:
            self.vendor.violations.append(f"{self.command} {self.path}: no Content-Length")
            self.close_connection = True
            return None
        parts, left = [], int(length)
        while left > 0 and (part := self.rfile.read1(min(left, 65536))):
            parts.append(part)
            left -= len(part)
            if held:
                self.vendor.hold()
                held = False
        if left > 0:
            self.close_connection = True
        return b"".join(parts) if left == 0 else None

    def cut(self) -> None:
        """The connection is lost."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address) -> None:
        """Who asked has died, as it was told to."""


class Vendor:
    handler = Handler

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.violations: list[str] = []
        self.faults: deque = deque()  # what the next requests get instead of an answer; see the subclass
        self.asked = threading.Semaphore(0)  # counts requests that were held
        self.release = threading.Event()
        self._server = Server(("127.0.0.1", 0), self.handler)
        self._server.vendor = self
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        if tls:
            self.url = f"https://localhost:{self.port}"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self) -> None:
        """In a handler: waits for the test."""
        self.asked.release()
        self.release.wait(30)

    def wait_held(self) -> None:
        assert self.asked.acquire(timeout=20), "nobody asked"

    def check(self) -> None:
        assert not self.violations, self.violations
