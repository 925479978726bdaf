"""What a server may send on a media stream: `media`, `mark` and `clear`, with exactly their fields.

Codes are the carrier's own: 31950 undecodable message, 31951 JSON that does not conform.
"""

import base64
import binascii
import json

MAX_MESSAGE = 64 * 1024
_FIELDS = {
    "media": {"event", "streamSid", "media"},
    "mark": {"event", "streamSid", "mark"},
    "clear": {"event", "streamSid"},
}
_CONTAINERS = (b"RIFF", b".snd", b"ID3", b"OggS")


class Refused(Exception):
    """The message is not legal; the text starts with the carrier's error code."""


def read(text: str, stream_sid: str) -> tuple[str, bytes | str | None]:
    """The event with its audio (media), name (mark) or None (clear)."""
    if len(text) > MAX_MESSAGE:
        raise Refused(f"31951 message of {len(text)} characters")
    try:
        message = json.loads(text)
    except ValueError as error:
        raise Refused(f"31951 not JSON: {text[:60]!r}") from error
    if not isinstance(message, dict):
        raise Refused("31951 not a JSON object")
    event = message.get("event")
    if not isinstance(event, str) or event not in _FIELDS:
        raise Refused(f"31951 unknown event {event!r}")
    _same_fields(event, message, _FIELDS[event])
    if message["streamSid"] != stream_sid:
        raise Refused(f"31951 {event} with streamSid {message['streamSid']!r}")
    if event == "media":
        return event, _audio(message["media"])
    if event == "mark":
        return event, _mark_name(message["mark"])
    return event, None


def _same_fields(what: str, value: object, expected: set[str]) -> None:
    if not isinstance(value, dict):
        raise Refused(f"31951 {what} is not an object")
    for name in value.keys() - expected:
        raise Refused(f"31951 {what} has an extra field {name}")
    for name in expected - value.keys():
        raise Refused(f"31951 {what} misses the field {name}")


def _audio(media: dict) -> bytes:
    _same_fields("media.media", media, {"payload"})
    payload = media["payload"]
    if not isinstance(payload, str):
        raise Refused("31951 payload is not a string")
    try:
        audio = base64.b64decode(payload, validate=True)
    except binascii.Error as error:
        raise Refused(f"31951 payload is not base64: {error}") from error
    if not audio:
        raise Refused("31951 payload is empty")
    if audio.startswith(_CONTAINERS):
        raise Refused("31951 payload carries a file header")
    return audio


def _mark_name(mark: dict) -> str:
    _same_fields("mark.mark", mark, {"name"})
    if not isinstance(mark["name"], str) or not mark["name"]:
        raise Refused("31951 mark without a name")
    return mark["name"]
