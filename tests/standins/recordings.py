"""Twilio's recordings, as they are downloaded: 404 before they are ready, ranges, and everything that goes wrong on
the way."""

import base64
import re
import ssl
from dataclasses import dataclass, field

from .vendor import Handler, Vendor

PATH = re.compile(r"/2010-04-01/Accounts/(AC\w{32})/Recordings/(RE\w+)\.(wav|mp3)")
RANGE = re.compile(r"bytes=(\d+)-$")


@dataclass
class Media:
    content: bytes
    etag: str = '"one"'
    not_ready: int = 0  # so many requests get 404
    cut_at: list[int] = field(default_factory=list)  # the next answers end after so many bytes of their body
    held_at: int | None = None  # an answer stops there until it is released
    says: int | None = None  # a wrong Content-Length
    requests: list[tuple[int, int]] = field(default_factory=list)  # status, first byte


class MediaHandler(Handler):
    def do_GET(self) -> None:
        vendor, path = self.vendor, PATH.fullmatch(self.path)
        if self.path.startswith("/cdn/"):
            self._redirected()
            return
        if not path or path[1] != vendor.account:
            vendor.violations.append(f"no address of a recording: {self.path}")
            self.answer(404)
        elif self.headers.get("Authorization") != vendor.authorization:
            vendor.refused += 1
            self.answer(401, b'{"code": 20003, "message": "Authenticate"}')
        elif vendor.faults:
            self.answer(vendor.faults.popleft())
        elif vendor.cdn:
            self.answer(307, Location=f"http://localhost:{vendor.port}/cdn/{path[2]}")
        else:
            self._media(vendor.media.get(path[2]))

    def _redirected(self) -> None:
        if self.headers.get("Authorization"):
            self.vendor.violations.append("the account's password was sent to another host")
        self._media(self.vendor.media.get(self.path.removeprefix("/cdn/")))

    def _media(self, media: Media | None) -> None:
        if media is None or media.not_ready > 0:
            if media:
                media.not_ready -= 1
                media.requests.append((404, 0))
            self.answer(404, b'{"code": 20404}')
            return
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") is None:
            self.vendor.violations.append("a range of a file that may have changed (no If-Range)")
        whole = not wanted or self.headers["If-Range"] != media.etag
        first = 0 if whole else int(RANGE.match(wanted)[1])
        if first >= len(media.content):
            media.requests.append((416, first))
            self.answer(416, Content_Range=f"bytes */{len(media.content)}")
            return
        media.requests.append((200 if whole else 206, first))
        self._send(media, first, whole)

    def _send(self, media: Media, first: int, whole: bool) -> None:
        body = media.content[first:]
        self.send_response(200 if whole else 206)
        self.send_header("ETag", media.etag)
        if not whole:
            last = len(media.content) - 1
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(media.content)}")
        self.send_header("Content-Length", str(media.says or len(body)))
        self.end_headers()
        if media.held_at is not None:
            self.wfile.write(body[: media.held_at])
            self.wfile.flush()
            self.vendor.hold()
            self.wfile.write(body[media.held_at :])
        elif media.cut_at:
            self.wfile.write(body[: media.cut_at.pop(0)])
            self.cut()
        else:
            self.wfile.write(body)


class Recordings(Vendor):
    """faults: statuses."""

    handler = MediaHandler

    def __init__(
        self,
        account: str = "AC" + 32 * "0",
        token: str = "token",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.account = account
        self.authorization = "Basic " + base64.b64encode(f"{account}:{token}".encode()).decode()
        self.media: dict[str, Media] = {}
        self.cdn = False  # answers with a redirect to another host
        self.refused = 0
        super().__init__(tls)

    def url_of(self, recording_sid: str) -> str:
        """RecordingUrl of the callback."""
        return f"{self.url}/2010-04-01/Accounts/{self.account}/Recordings/{recording_sid}"
