"""A strict reader of TwiML: what the carrier's XML schema would warn about is a violation here.

Codes are the carrier's own: 11750 body too large, 12100 document parse failure, 12200 schema
warning, 12300 content type, 31922 stream URL not wss.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from urllib.parse import urlsplit

MAX_BODY = 64 * 1024
MAX_PARAMETER = 500
_METHODS = ("GET", "POST")
_URL_ATTRIBUTES = {"action", "statusCallback", "recordingStatusCallback"}


@dataclass(frozen=True)
class _Rule:
    attributes: frozenset[str]
    children: frozenset[str] = frozenset()
    text: bool = False


def _rule(attributes: str = "", children: str = "", text: bool = False) -> _Rule:
    return _Rule(frozenset(attributes.split()), frozenset(children.split()), text)


_RULES = {
    "Response": _rule(children="Say Pause Play Hangup Reject Redirect Connect Start Dial Record"),
    "Say": _rule("voice language loop", text=True),
    "Pause": _rule("length"),
    "Play": _rule("loop digits", text=True),
    "Hangup": _rule(),
    "Reject": _rule("reason"),
    "Redirect": _rule("method", text=True),
    "Connect": _rule("action method", "Stream"),
    "Start": _rule("action method", "Recording Stream"),
    "Stream": _rule("url name track statusCallback statusCallbackMethod", "Parameter"),
    "Parameter": _rule("name value"),
    "Recording": _rule(
        "channels trim track recordingStatusCallback recordingStatusCallbackMethod"
        " recordingStatusCallbackEvent"
    ),
    "Dial": _rule(
        "action method timeout timeLimit callerId answerOnBridge hangupOnStar record trim ringTone"
        " recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent",
        "Number Sip",
        text=True,
    ),
    "Number": _rule(
        "sendDigits statusCallback statusCallbackEvent statusCallbackMethod", text=True
    ),
    "Sip": _rule("username password", text=True),
    "Record": _rule(
        "action method timeout maxLength finishOnKey playBeep trim recordingStatusCallback"
        " recordingStatusCallbackMethod recordingStatusCallbackEvent"
    ),
}


@dataclass
class Verb:
    name: str
    attributes: dict[str, str]
    text: str
    children: list["Verb"]


@dataclass
class Document:
    verbs: list[Verb] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


def parse(content_type: str, body: bytes, insecure: bool = False) -> Document:
    """`insecure` also allows http and ws URLs, for tests that serve no public names."""
    document = Document()
    complain = document.violations.append
    if content_type.split(";")[0].strip() != "text/xml":
        complain(f"12300 content type {content_type!r} instead of text/xml")
    if len(body) > MAX_BODY:
        complain(f"11750 body of {len(body)} bytes")
        return document
    if not body.startswith(b"<?xml "):
        complain("12100 the body does not begin with <?xml")
    if b"<!DOCTYPE" in body:
        complain("12100 DOCTYPE")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        complain(f"12100 {error}")
        return document
    if root.tag != "Response":
        complain(f"12200 root element {root.tag}")
        return document
    document.verbs = _read(root, complain, insecure).children
    for index, verb in enumerate(document.verbs):
        if verb.name == "Reject" and index > 0:
            complain("12200 Reject is not the first verb")
    return document


def _read(element: ElementTree.Element, complain, insecure: bool) -> Verb:
    name = element.tag
    rule = _RULES[name]
    for attribute, value in element.attrib.items():
        if attribute not in rule.attributes:
            complain(f"12200 {name} has no attribute {attribute}")
        _check_value(name, attribute, value, complain, insecure)
    text = element.text or ""
    loose = text.strip() if not rule.text else ""
    if loose or any((child.tail or "").strip() for child in element):
        complain(f"12200 text is not allowed inside {name}")
    verb = Verb(name, dict(element.attrib), text.strip(), [])
    for child in element:
        if child.tag not in rule.children:
            complain(f"12200 {child.tag} is not allowed inside {name}")
        elif child.tag in _RULES:
            verb.children.append(_read(child, complain, insecure))
    _check_verb(verb, complain, insecure)
    return verb


def _check_value(name: str, attribute: str, value: str, complain, insecure: bool) -> None:
    if attribute in _URL_ATTRIBUTES:
        _check_url(f"{name} {attribute}", value, "https", "http", complain, insecure)
    if attribute.lower().endswith("method") and value not in _METHODS:
        complain(f"12200 {name} {attribute} is {value!r}")
    if attribute in ("length", "timeout", "timeLimit", "maxLength", "loop"):
        if not re.fullmatch(r"[0-9]+", value):
            complain(f"12200 {name} {attribute} is {value!r}")


def _check_url(
    what: str, url: str, scheme: str, insecure_scheme: str, complain, insecure: bool
) -> None:
    parts = urlsplit(url)
    allowed = (scheme, insecure_scheme) if insecure else (scheme,)
    if parts.scheme not in allowed or not parts.hostname:
        complain(
            f"{'31922' if scheme == 'wss' else '12200'} {what} is not absolute {scheme}: {url}"
        )


def _check_verb(verb: Verb, complain, insecure: bool) -> None:
    if verb.name == "Stream":
        _check_stream(verb, complain, insecure)
    elif verb.name == "Redirect":
        _check_url("Redirect", verb.text, "https", "http", complain, insecure)
    elif verb.name == "Connect" and len(verb.children) != 1:
        complain("12200 Connect needs exactly one noun")
    elif verb.name == "Start" and not verb.children:
        complain("12200 Start needs a noun")
    elif verb.name == "Reject" and verb.attributes.get("reason", "rejected") not in (
        "rejected",
        "busy",
    ):
        complain(f"12200 Reject reason {verb.attributes['reason']!r}")
    elif verb.name in ("Say", "Play", "Number") and not verb.text:
        complain(f"12200 {verb.name} is empty")


def _check_stream(verb: Verb, complain, insecure: bool) -> None:
    url = verb.attributes.get("url", "")
    _check_url("Stream url", url, "wss", "ws", complain, insecure)
    if "?" in url or "#" in url:
        complain("31920 Stream url carries a query or a fragment")
    if "track" in verb.attributes and verb.attributes["track"] != "inbound_track":
        complain("31941 Stream track")
    seen: set[str] = set()
    for parameter in verb.children:
        name = parameter.attributes.get("name")
        value = parameter.attributes.get("value")
        if not name or value is None:
            complain("12200 Parameter without name or value")
            continue
        if name in seen:
            complain(f"12200 Parameter {name} occurs twice")
        seen.add(name)
        if len(name) + len(value) >= MAX_PARAMETER:
            complain(f"12200 Parameter {name} is {len(name) + len(value)} characters long")
