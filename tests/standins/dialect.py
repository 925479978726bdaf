"""How a carrier's media stream is spelled: Twilio's messages, and Telnyx's.

What a stream does (pace, queue, marks) is the same for both and lives in stream.py.
"""

import base64
import uuid
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .call import Call


class Twilio:
    """Codes: 31924 protocol error, 31931 queue full, 31950 undecodable, 31951 not conformant."""

    protocol_error = "31924"
    binary = "31950"
    malformed = "31951"
    invalid_media = "31951"
    queue_full = "31931"
    stream_id = "streamSid"
    sequence = "sequenceNumber"
    names_stream = True  # messages to the carrier carry the stream's id
    audio_bytes = (1, 64 * 1024)  # of one message to the carrier
    connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}

    @staticmethod
    def new_stream_id() -> str:
        return "MZ" + uuid.uuid4().hex

    def start(self, call: "Call", sid: str, parameters: dict[str, str]) -> dict:
        return {
            "accountSid": call.account_sid,
            "streamSid": sid,
            "callSid": call.sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }

    def stop(self, call: "Call") -> dict:
        return {"accountSid": call.account_sid, "callSid": call.sid}

    def dtmf(self, digit: str) -> dict:
        return {"dtmf": {"track": "inbound_track", "digit": digit}}

    def delayed(self, chunk: int) -> bool:
        """Whether a frame of the caller is overtaken by the one after it."""
        return False

    def complaint(self, text: str) -> dict | None:
        """What the server is told about a message that was refused."""
        return None


class Telnyx:
    """Codes: 100003 malformed_frame, 100004 invalid_media, 100005 rate_limit_reached.

    The webhooks around such a stream stay the other carrier's, and the stream's end moves the call on
    as it does there; with the real service the call would stay up.
    """

    protocol_error = "100003"
    binary = "100003"
    malformed = "100003"
    invalid_media = "100004"
    queue_full = "100005"
    stream_id = "stream_id"
    sequence = "sequence_number"
    names_stream = False
    audio_bytes = (160, 240_000)  # 20 ms to 30 s
    connected = {"event": "connected", "version": "1.0.0"}

    @staticmethod
    def new_stream_id() -> str:
        return str(uuid.uuid4()).upper()

    def start(self, call: "Call", sid: str, parameters: dict[str, str]) -> dict:
        state = base64.b64encode(parameters.get("token", "").encode()).decode()
        return {
            "user_id": call.account_sid,
            "call_control_id": call.sid,
            "call_session_id": str(uuid.uuid4()),
            "from": call.caller,
            "to": call.called,
            "client_state": state,
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        }

    def stop(self, call: "Call") -> dict:
        return {"user_id": call.account_sid, "call_control_id": call.sid}

    def dtmf(self, digit: str) -> dict:
        return {"occurred_at": "2026-11-20T12:00:00.000000Z", "dtmf": {"digit": digit}}

    def delayed(self, chunk: int) -> bool:
        return chunk % 7 == 0  # order is not promised

    def complaint(self, text: str) -> dict | None:
        code, detail = text.split(" ", 1)
        titles = {"100003": "malformed_frame", "100004": "invalid_media"}
        title = titles.get(code, "rate_limit_reached")
        return {"payload": {"code": int(code), "title": title, "detail": detail}}


Dialect = Twilio | Telnyx


def of_url(url: str) -> Dialect:
    """The media URL tells: a server serves each carrier at a path of its own."""
    return Telnyx() if urlsplit(url).path.endswith("/telnyx") else Twilio()
