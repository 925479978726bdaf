"""POST /v1/audio/transcriptions of OpenAI, or of who is compatible. What was said is told by its loudest sample, so
that a test knows which side of a recording it was given."""

import email
import email.policy
import io
import json
import wave
from array import array
from dataclasses import dataclass

from .vendor import Handler, Vendor

BODY_MAX = 26_214_400
MODELS = {"gpt-transcribe", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "whisper-1"}
FIELDS = {"file", "model", "language", "response_format", "prompt", "temperature"}


@dataclass
class Heard:
    model: str
    language: str | None
    seconds: float
    peak: int


class TranscriptionHandler(Handler):
    def do_POST(self) -> None:
        held = self.vendor.hold_after
        body = self.body(held=held is not None and len(self.vendor.heard) >= held)
        if body is None:
            return
        if self.headers.get("Authorization") != f"Bearer {self.vendor.key}":
            self._refuse(401, "invalid_api_key", "Incorrect API key provided")
        elif self.path != "/v1/audio/transcriptions":
            self._refuse(404, "not_found", "no such path")
        elif len(body) > BODY_MAX:
            self._violate("body", 413, f"Maximum content size limit ({BODY_MAX}) exceeded")
        elif self.vendor.faults:
            self._refuse(*self.vendor.faults.popleft())
        else:
            self._transcribe(self._fields(body))

    def _fields(self, body: bytes) -> dict:
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
        fields = {}
        for part in form.iter_parts():
            name = part.get_param("name", header="content-disposition")
            if name not in FIELDS or name in fields:
                self.vendor.violations.append(f"field {name} is not known, or comes twice")
            fields[name] = part.get_payload(decode=True)
            if name == "file" and not (part.get_filename() or "").endswith(".wav"):
                self.vendor.violations.append(f"the file's name is {part.get_filename()!r}")
        return fields

    def _transcribe(self, fields: dict) -> None:
        try:
            sound = wave.open(io.BytesIO(fields.get("file", b"")))
        except (wave.Error, EOFError) as error:
            self._violate("unsupported_value", 400, f"file: {error}")
            return
        frames = sound.readframes(sound.getnframes())
        if (sound.getnchannels(), sound.getsampwidth()) != (1, 2) or len(frames) != 2 * sound.getnframes():
            self._violate("unsupported_value", 400, f"file: {sound.getparams()}, {len(frames)} bytes")
            return
        model, seconds = fields.get("model", b"").decode(), sound.getnframes() / sound.getframerate()
        if model not in MODELS or fields.get("response_format") != b"json":
            self._violate("invalid_request_error", 400, f"model {model}, {fields.get('response_format')}")
            return
        language = fields["language"].decode() if "language" in fields else None
        if language is not None and len(language) != 2:
            self._violate("invalid_request_error", 400, f"language {language}")
            return
        if seconds > self.vendor.seconds_max:
            self.vendor.too_long += 1
            self._refuse(400, "invalid_value", f"audio duration {seconds} seconds is longer than the model's limit")
            return
        samples = array("h", frames)
        heard = Heard(model, language, seconds, max(map(abs, samples)))
        self.vendor.heard.append(heard)
        answer = {"text": f"peak {heard.peak}", "usage": {"type": "duration", "seconds": round(seconds)}}
        self.answer(200, json.dumps(answer).encode(), Content_Type="application/json")

    def _violate(self, code: str, status: int, message: str) -> None:
        self.vendor.violations.append(message)
        self._refuse(status, code, message)

    def _refuse(self, status: int, code: str, message: str, **headers: str) -> None:
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
        self.answer(status, json.dumps({"error": error}).encode(), Content_Type="application/json", **headers)


class Transcription(Vendor):
    """faults: (status, code, message)."""

    handler = TranscriptionHandler

    def __init__(self, key: str = "sk-test") -> None:
        self.key = key
        self.heard: list[Heard] = []  # everything that was billed
        self.seconds_max = 1400.0
        self.too_long = 0
        self.hold_after: int | None = None  # so many answers; then requests are held
        super().__init__()
