"""What a server may send on a media stream: `media`, `mark` and `clear`, with exactly their fields."""

import base64
import binascii
import json

from .dialect import Dialect

MAX_MESSAGE = 64 * 1024
_FIELDS = {
    "media": {"event", "media"},
    "mark": {"event", "mark"},
    "clear": {"event"},
}
_CONTAINERS = (b"RIFF", b".snd", b"ID3", b"OggS")


class Refused(Exception):
    """The message is not legal; the text starts with the carrier's error code."""


class _InvalidMedia(Exception):
    pass


class _Malformed(Exception):
    pass


def read(text: str, stream_sid: str, dialect: Dialect) -> tuple[str, bytes | str | None]:
    """The event with its audio (media), name (mark) or None (clear)."""
    try:
        return _read(text, stream_sid, dialect)
    except _Malformed as wrong:
        raise Refused(f"{dialect.malformed} {wrong}") from wrong
    except _InvalidMedia as wrong:
        raise Refused(f"{dialect.invalid_media} {wrong}") from wrong


def _read(text: str, stream_sid: str, dialect: Dialect) -> tuple[str, bytes | str | None]:
    if len(text) > MAX_MESSAGE:
        raise _Malformed(f"message of {len(text)} characters")
    try:
        message = json.loads(text)
    except ValueError as error:
        raise _Malformed(f"not JSON: {text[:60]!r}") from error
    if not isinstance(message, dict):
        raise _Malformed("not a JSON object")
    event = message.get("event")
    if not isinstance(event, str) or event not in _FIELDS:
        raise _Malformed(f"unknown event {event!r}")
    name = dialect.stream_id
    _same_fields(event, message, _FIELDS[event] | ({name} if dialect.names_stream else set()))
    if message.get(name, stream_sid) != stream_sid:
        raise _Malformed(f"{event} with {name} {message[name]!r}")
    if event == "media":
        return event, _audio(message["media"], dialect)
    if event == "mark":
        return event, _mark_name(message["mark"])
    return event, None


def _same_fields(what: str, value: object, expected: set[str]) -> None:
    if not isinstance(value, dict):
        raise _Malformed(f"{what} is not an object")
    for name in value.keys() - expected:
        raise _Malformed(f"{what} has an extra field {name}")
    for name in expected - value.keys():
        raise _Malformed(f"{what} misses the field {name}")


def _audio(media: dict, dialect: Dialect) -> bytes:
    _same_fields("media.media", media, {"payload"})
    payload = media["payload"]
    if not isinstance(payload, str):
        raise _InvalidMedia("payload is not a string")
    try:
        audio = base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise _InvalidMedia(f"payload is not base64: {error}") from error
    if not audio:
        raise _InvalidMedia("payload is empty")
    least, most = dialect.audio_bytes
    if not least <= len(audio) <= most:
        raise _InvalidMedia(f"payload of {len(audio)} bytes")
    if audio.startswith(_CONTAINERS):
        raise _InvalidMedia("payload carries a file header")
    return audio


def _mark_name(mark: dict) -> str:
    _same_fields("mark.mark", mark, {"name"})
    if not isinstance(mark["name"], str) or not mark["name"]:
        raise _Malformed("mark without a name")
    return mark["name"]
