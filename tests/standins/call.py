"""One phone call as the carrier runs it, and the verbs of the person who calls."""

import asyncio
import collections
import email.utils
import math
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Awaitable, Callable, NamedTuple
from urllib.parse import urldefrag

import aiohttp

from . import dialect, g711, twiml
from .clock import now_ms
from .stream import MediaStream
from .webhook import Form

if TYPE_CHECKING:
    from .carrier import Carrier

SPEECH_GAP_MS = 300  # a longer gap in what is played ends one speech of the assistant
MAX_DOCUMENTS = 50
_SAY_SECONDS = 0.05  # a spoken verb takes virtual time


class Event(NamedTuple):
    ms: float  # since the call began
    kind: str
    data: object


class CallEnded(Exception):
    """The caller was still waiting for something."""


class Call:
    def __init__(self, carrier: "Carrier", caller: str, called: str) -> None:
        self.sid = "CA" + uuid.uuid4().hex
        self.account_sid = carrier.account_sid
        self.caller = caller
        self.called = called
        self.violations: list[str] = []
        self.events: list[Event] = []
        self.answers: list[twiml.Document] = []
        self.task: asyncio.Task | None = None
        self.script_error: BaseException | None = None
        self.stream: MediaStream | None = None
        self.unplayed_ms = 0  # audio that was still queued when the last stream ended
        self.background = g711.SILENCE * g711.FRAME_BYTES  # what the line carries while nobody speaks
        self.received = bytearray()  # audio in the order it arrived, played or not
        self.status = "ringing"
        self.began_ms = now_ms()
        self.began_wall = time.time()
        self.direction = "inbound"
        self.status_url = carrier.status_url
        self.fallback_url = ""
        self._sequence = 0  # of the next status callback
        self._carrier = carrier
        self._answered_ms: float | None = None
        self._media_ms: float | None = None
        self._hung_up = False
        self._over = asyncio.Event()
        self._recordings: list[dict[str, str]] = []
        self._speech: collections.deque[bytes] = collections.deque()
        self._alone_ms: float | None = None  # when the last stream ended
        self._said = bytearray()
        self._heard = bytearray()
        self._heard_since_say = 0
        self._last_sound_ms: float | None = None
        self._waiters: list[asyncio.Future] = []

    # ---- what the tests ask ----

    def check(self) -> None:
        if self.violations:
            raise AssertionError("the carrier would complain:\n  " + "\n  ".join(self.violations))

    def times(self, kind: str) -> list[float]:
        return [event.ms for event in self.events if event.kind == kind]

    def data(self, kind: str) -> list:
        return [event.data for event in self.events if event.kind == kind]

    def wall(self, ms: float) -> float:
        """Seconds since 1970 of a moment of this call."""
        return self.began_wall + ms / 1000

    def heard_ms(self) -> int:
        """Assistant audio heard since the caller last spoke."""
        return self._heard_since_say // 8

    def quiet_ms(self) -> float:
        """Silence since the assistant answered; 0 while it has not."""
        if self._heard_since_say == 0 or self._last_sound_ms is None:
            return 0.0
        return self._elapsed() - self._last_sound_ms

    def save_wav(self, path: str | Path) -> None:
        """The recording: caller left, assistant right."""
        g711.save_wav(path, bytes(self._said), bytes(self._heard))

    # ---- the person on the phone ----

    async def wait_started(self, timeout: float = 20) -> None:
        await self.wait_for(lambda: self.stream is not None, timeout, "the media stream")

    async def hear(self, ms: int, timeout: float = 30) -> None:
        """Until the assistant was heard for that long since the caller last spoke."""
        await self.wait_for(lambda: self.heard_ms() >= ms, timeout, f"{ms} ms of speech")

    async def wait_assistant_quiet(self, ms: int = 500, timeout: float = 60) -> None:
        """Until the assistant has spoken since the caller last spoke, and then fell silent."""
        await self.wait_for(lambda: self.quiet_ms() >= ms, timeout, "the assistant to finish")

    async def say(self, clip: bytes, text: str = "") -> None:
        self.note("say-begin", text)
        for start in range(0, len(clip), g711.FRAME_BYTES):
            frame = clip[start : start + g711.FRAME_BYTES]
            self._speech.append(frame.ljust(g711.FRAME_BYTES, g711.SILENCE))
        spoken_s = g711.milliseconds(clip) / 1000
        await self.wait_for(lambda: not self._speech, spoken_s + 20, "the caller's own words")
        self._heard_since_say = 0
        self.note("say-end", text)

    async def press(self, digits: str) -> None:
        await self.wait_started()
        for digit in digits:
            self.note("dtmf", digit)
            await self.stream.press(digit)

    def hang_up(self) -> None:
        self.note("hang-up", None)
        self._hung_up = True
        if self.stream is not None:
            self.stream.hang_up()

    async def wait_ended(self, timeout: float = 60) -> None:
        """Until the last callback of the call was delivered; raises what went wrong in the
        caller's script. For tests: a script that wants to stay on the line just returns."""
        await asyncio.wait_for(asyncio.shield(self.task), timeout)
        if self.script_error is not None:
            raise self.script_error

    async def wait_for(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Looks again with every 20 ms frame of the call."""
        deadline = now_ms() + timeout * 1000
        while not condition():
            if self._over.is_set():
                raise CallEnded(f"the call ended while the caller waited for {what}")
            pulse = asyncio.get_running_loop().create_future()
            self._waiters.append(pulse)
            try:
                await asyncio.wait_for(pulse, max(0.0, deadline - now_ms()) / 1000)
            except asyncio.TimeoutError as error:
                raise TimeoutError(f"the caller waited {timeout} s for {what}") from error

    def _pulse(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # ---- what the stream reports ----

    def note(self, kind: str, data: object) -> None:
        event = Event(self._elapsed(), kind, data)
        self.events.append(event)
        if self._carrier.on_event:
            self._carrier.on_event(self, event)

    def violate(self, text: str) -> None:
        self.violations.append(f"{self._elapsed():.0f} ms: {text}")
        self.note("violation", text)

    def stream_started(self, stream: MediaStream) -> None:
        self.stream = stream
        if self._media_ms is None:
            self._media_ms = self._elapsed()
        if self._alone_ms is not None:
            self._spoke_to_nobody(self._elapsed() - self._alone_ms)
        # The gap between two streams belongs in the recording.
        missing = int(self._elapsed() - self._media_ms) * 8 - len(self._said)
        self._said += g711.SILENCE * missing
        self._heard += g711.SILENCE * missing
        self.note("start", stream.sid)
        if self._hung_up:
            stream.hang_up()
        self._pulse()

    def _spoke_to_nobody(self, ms: float) -> None:
        """A person does not notice that a stream has gone, and talks on: the words of that time are lost."""
        for _ in range(min(len(self._speech), round(ms / g711.FRAME_MS))):
            self._speech.popleft()

    def next_frame(self) -> bytes | None:
        return self._speech.popleft() if self._speech else None

    def frame_passed(self, said: bytes, heard: bytes) -> None:
        now = self._elapsed()
        if heard:
            if self._last_sound_ms is None or now - self._last_sound_ms > SPEECH_GAP_MS:
                self.note("assistant-begin", None)
            self._last_sound_ms = now
            self._heard_since_say += len(heard)
        self._said += said
        self._heard += heard.ljust(g711.FRAME_BYTES, g711.SILENCE)
        self._pulse()

    def _elapsed(self) -> float:
        return now_ms() - self.began_ms

    # ---- the carrier's side: documents, verbs, callbacks ----

    async def run(self) -> None:
        try:
            answer = await self._document(self._carrier.incoming_url, "ringing", [])
            if self._carrier.faults.duplicate_incoming:
                await self._document(self._carrier.incoming_url, "ringing", [])
            await self._obey(answer)
            await self._finish()
        finally:
            self._over.set()
            self.note("done", self.status)
            self._pulse()

    async def _obey(self, document: twiml.Document | None) -> None:
        for _ in range(MAX_DOCUMENTS):
            if document is None or self._hung_up:
                return
            if document.verbs and document.verbs[0].name == "Reject":
                reason = document.verbs[0].attributes.get("reason", "rejected")
                self.status = "busy" if reason == "busy" else "no-answer"
                self.note("reject", reason)
                return
            if self._answered_ms is None:
                self._answered_ms = self._elapsed()
            self.status = "in-progress"
            document = await self._verbs(document)
        self.violate(f"more than {MAX_DOCUMENTS} documents")

    async def _verbs(self, document: twiml.Document) -> twiml.Document | None:
        """Runs one document; the next one, if a verb asks for it."""
        for verb in document.verbs:
            if self._hung_up:
                return None
            self.note(verb.name.lower(), verb.text or verb.attributes)
            if verb.name == "Hangup":
                return None
            if verb.name == "Redirect":
                return await self._document(verb.text, "in-progress", [])
            if verb.name == "Pause":
                await asyncio.sleep(int(verb.attributes.get("length", "1")))
            elif verb.name in ("Say", "Play"):
                await asyncio.sleep(_SAY_SECONDS)
            elif verb.name == "Start":
                self._start(verb)
            elif verb.name in ("Connect", "Dial", "Record"):
                extra = await self._NOUNS[verb.name](self, verb)
                if self._hung_up and not self._carrier.faults.action_after_hangup:
                    return None
                if "action" in verb.attributes:
                    status = "completed" if self._hung_up else "in-progress"
                    return await self._document(verb.attributes["action"], status, extra)
        return None

    def _start(self, verb: twiml.Verb) -> None:
        for noun in verb.children:
            if noun.name == "Recording":
                self._recordings.append({**noun.attributes, "sid": "RE" + uuid.uuid4().hex})

    async def _connect(self, verb: twiml.Verb) -> Form:
        noun = verb.children[0]
        parameters = {
            child.attributes["name"]: child.attributes["value"] for child in noun.children
        }
        forged = self._carrier.faults.replace_token
        if forged is not None:
            parameters = {name: forged for name in parameters}
        spoken = dialect.of_url(noun.attributes["url"])
        sid = spoken.new_stream_id()
        socket = await self._carrier.open_media(self, noun.attributes["url"])
        if socket is None:
            await self._stream_event(noun, sid, "stream-error", "31920 upgrade failed")
            return []
        # The media does not wait for the callback's answer.
        told = asyncio.create_task(self._stream_event(noun, sid, "stream-started"))
        stream = MediaStream(self, socket, sid, spoken)
        try:
            await stream.run(parameters)
        finally:
            self.stream = None
            self.unplayed_ms = len(stream.playout.queue) // 8
            self._alone_ms = self._elapsed()
            await socket.close()
        await told
        await self._stream_event(noun, sid, "stream-stopped")
        return []

    async def _stream_event(self, noun: twiml.Verb, sid: str, event: str, error: str = "") -> None:
        self.note(event, sid)
        url = noun.attributes.get("statusCallback")
        if url is None:
            return
        form = [
            ("AccountSid", self.account_sid),
            ("CallSid", self.sid),
            ("StreamSid", sid),
            ("StreamName", noun.attributes.get("name", sid)),
            ("StreamEvent", event),
            ("Timestamp", datetime.now(timezone.utc).isoformat(timespec="milliseconds")),
        ]
        if error:
            form.append(("StreamError", error))
        await self._carrier.callback(self, url, form)

    async def _dial(self, verb: twiml.Verb) -> Form:
        self.note("dial-number", verb.text or verb.children[0].text)
        await asyncio.sleep(_SAY_SECONDS)
        sid = "CA" + uuid.uuid4().hex
        return [("DialCallSid", sid), ("DialCallStatus", "completed"), ("DialCallDuration", "1")]

    async def _record(self, verb: twiml.Verb) -> Form:
        await asyncio.sleep(_SAY_SECONDS)
        sid = "RE" + uuid.uuid4().hex
        return [("RecordingSid", sid), ("RecordingUrl", self._carrier.recording_url(sid))]

    _NOUNS: dict[str, Callable[["Call", twiml.Verb], Awaitable[Form]]] = {
        "Connect": _connect,
        "Dial": _dial,
        "Record": _record,
    }

    async def _document(self, url: str, status: str, extra: Form) -> twiml.Document | None:
        answer = await self._carrier.post(self, url, self._form(status) + extra)
        if answer is None and self.fallback_url:
            extra = extra + [("ErrorCode", "11200"), ("ErrorUrl", urldefrag(url).url)]
            url = self.fallback_url
            answer = await self._carrier.post(self, url, self._form(status) + extra)
        if answer is None:
            self.note("application-error", url)
            return None
        document = twiml.parse(answer.content_type, answer.body, self._carrier.insecure)
        for violation in document.violations:
            self.violate(violation)
        self.answers.append(document)
        self.note("twiml", {"url": url, "ms": answer.ms, "body": answer.body.decode("utf-8")})
        return None if document.violations else document

    async def _finish(self) -> None:
        answered = self._answered_ms is not None
        seconds = math.ceil((self._elapsed() - self._answered_ms) / 1000) if answered else 0
        if self.status in ("ringing", "in-progress"):
            self.status = "completed" if self.status == "in-progress" else "canceled"
        self.note("ended", self.status)
        faults = self._carrier.faults
        await asyncio.sleep(faults.status_delay_s)
        form = self._form(self.status) + [
            ("CallDuration", str(seconds)),
            ("Duration", str(math.ceil(seconds / 60))),
            ("SequenceNumber", str(self._sequence)),
            ("Timestamp", rfc2822(time.time())),
            ("CallbackSource", "call-progress-events"),
            ("SipResponseCode", "200" if answered else "487"),
        ]
        for _ in range(faults.status_copies):
            await self._carrier.callback(self, self.status_url, form)
            self.note("status", self.status)
        for recording in self._recordings:
            await self._recording_done(recording, seconds)

    async def _recording_done(self, recording: dict[str, str], seconds: int) -> None:
        url = recording.get("recordingStatusCallback")
        if url is None:
            return
        form = [
            ("AccountSid", self.account_sid),
            ("CallSid", self.sid),
            ("RecordingSid", recording["sid"]),
            ("RecordingUrl", self._carrier.recording_url(recording["sid"])),
            ("RecordingStatus", "completed"),
            ("RecordingDuration", str(seconds)),
            ("RecordingChannels", "2" if recording.get("channels", "dual") == "dual" else "1"),
            ("RecordingStartTime", rfc2822(self.began_wall)),
            ("RecordingSource", "StartCallRecordingTwiML"),
            ("RecordingTrack", "both"),
            ("ErrorCode", "0"),
        ]
        await self._carrier.callback(self, url, form)

    def _form(self, status: str) -> Form:
        form = [
            ("AccountSid", self.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", self.sid),
            ("CallStatus", status),
            (
                "CallToken",
                '{"parentCallInfoToken":"eyJhbGciOiJFUzI1NiJ9","identityHeaderTokens":[]}',
            ),
            ("Called", self.called),
            ("Caller", self.caller),
            ("Direction", self.direction),
            ("From", self.caller),
            ("StirVerstat", "TN-Validation-Passed-A"),
            ("To", self.called),
        ]
        for party in ("Called", "Caller", "From", "To"):
            place = {"City": "SÃO PAULO" if party in ("Caller", "From") else "", "State": ""}
            place |= {"Zip": "", "Country": "US"}
            form += [(party + name, value) for name, value in place.items()]
        return form


def rfc2822(seconds: float) -> str:
    return email.utils.format_datetime(datetime.fromtimestamp(seconds, timezone.utc))


def is_socket_error(error: BaseException) -> bool:
    return isinstance(error, (aiohttp.ClientError, ConnectionError, asyncio.TimeoutError))
