"""Recordings of conversations, as ElevenLabs' API hands them out: MP3, whole, to the account's key only."""

import re

from .recordings import MediaHandler, Recordings

PATH = re.compile(r"/v1/convai/conversations/(\w+)/audio")


class AudioHandler(MediaHandler):
    def do_GET(self) -> None:
        vendor, path = self.vendor, PATH.fullmatch(self.path)
        if self.headers.get("Authorization"):
            vendor.violations.append("somebody else's password was sent")
        if not path:
            vendor.violations.append(f"no address of a recording: {self.path}")
            self.answer(404)
        elif self.headers.get("xi-api-key") != vendor.api_key:
            vendor.refused += 1
            self.answer(401, b'{"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}')
        elif vendor.faults:
            self.answer(vendor.faults.popleft())
        else:
            self._media(vendor.media.get(path[1]))


class ConversationAudio(Recordings):
    """faults: statuses."""

    handler = AudioHandler

    def __init__(self, api_key: str = "xi-test") -> None:
        self.api_key = api_key
        super().__init__()

    def url_of(self, conversation: str) -> str:
        return f"{self.url}/v1/convai/conversations/{conversation}/audio"
