"""What a client may send to an agent: each message with its fields and nothing else.

Codes are the vendor's reasons for closing with 1008: `invalid_message`, `missing_fields`,
`override_error`, `missing_dynamic_variable`.
"""

import base64
import binascii
import json

AUDIO = "user_audio_chunk"  # the one message without a type
_FLAT = (str, int, float, bool)
# field: (type, required)
_MESSAGES: dict[str, dict[str, tuple[type, bool]]] = {
    "conversation_initiation_client_data": {
        "user_id": (str, False),
        "dynamic_variables": (dict, False),
        "conversation_config_override": (dict, False),
        "custom_llm_extra_body": (dict, False),
        "source_info": (dict, False),
        "branch_id": (str, False),
        "environment": (str, False),
        "starting_workflow_node_id": (str, False),
    },
    AUDIO: {AUDIO: (str, True)},
    "pong": {"event_id": (int, True)},
    "client_tool_result": {
        "tool_call_id": (str, True),
        "result": (str, True),
        "is_error": (bool, True),
    },
    "contextual_update": {"text": (str, True), "context_id": (str, False)},
    "user_message": {"text": (str, True)},
    "user_activity": {},
    "feedback": {"event_id": (int, True), "score": (str, True)},
    "mcp_tool_approval_result": {"tool_call_id": (str, True), "is_approved": (bool, True)},
}
# What may be overridden at all; an agent allows some of it.
_OVERRIDES = {
    "agent": {
        "first_message": str,
        "language": str,
        "prompt": {"prompt": str, "llm": str, "tool_ids": list, "knowledge_base": list},
        "max_conversation_duration_message": str,
    },
    "tts": {
        "voice_id": str,
        "model_id": str,
        "stability": float,
        "speed": float,
        "similarity_boost": float,
    },
    "asr": {"keywords": list},
    "conversation": {"text_only": bool, "client_events": list},
}


_LANGUAGES = frozenset(
    "en ja zh de hi fr ko pt pt-br it es id nl tr pl sv bg ro ar cs el fi ms da ta uk ru hu hr sk no vi tl af hy as az"
    " be bn bs ca et gl ka gu ha he is ga jv kn kk ky lv lt lb mk ml mr ne ps fa pa sr sd sl so sw te th ur cy".split()
)


class Refused(Exception):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def read(text: str) -> dict:
    """The message, with a type of its own if it is audio."""
    try:
        message = json.loads(text)
    except ValueError as error:
        raise Refused("invalid_message", f"not JSON: {text[:60]!r}") from error
    if not isinstance(message, dict):
        raise Refused("invalid_message", "not a JSON object")
    if AUDIO in message:
        message = {"type": AUDIO, **message}
        if text.count('"type"'):
            raise Refused("invalid_message", "audio has no type")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in _MESSAGES:
        raise Refused("invalid_message", f"unknown type {kind!r}")
    _fields(kind, message)
    return message


def _fields(kind: str, message: dict) -> None:
    fields = _MESSAGES[kind]
    for name, value in message.items():
        if name == "type":
            continue
        if name not in fields:
            raise Refused("invalid_message", f"{kind} has an extra field {name}")
        wanted = fields[name][0]
        if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
            raise Refused("invalid_message", f"{kind}: {name} is {value!r}")
    for name, (_, required) in fields.items():
        if required and name not in message:
            raise Refused("missing_fields", f"{kind} misses the field {name}")


def audio(message: dict) -> bytes:
    try:
        data = base64.b64decode(message[AUDIO], validate=True)
    except binascii.Error as error:
        raise Refused("invalid_message", "audio is not base64") from error
    if not data:
        raise Refused("invalid_message", "audio is empty")
    return data


def initiation(message: dict, allowed: set[str], needed: set[str]) -> dict[str, object]:
    """The overrides by path. `allowed`: paths the agent lets a client override. `needed`: dynamic
    variables it refers to."""
    variables = message.get("dynamic_variables", {})
    for name, value in variables.items():
        if not isinstance(value, _FLAT) or name.startswith("system__"):
            raise Refused("invalid_message", f"dynamic variable {name} is {value!r}")
    for name in needed - variables.keys():
        raise Refused("missing_dynamic_variable", f"no value for {name}")
    found: dict[str, object] = {}
    _walk("", message.get("conversation_config_override", {}), _OVERRIDES, found)
    for path in found.keys() - allowed:
        raise Refused("override_error", f"the agent does not allow to override {path}")
    return found


def _walk(path: str, value: object, rule: object, found: dict[str, object]) -> None:
    if isinstance(rule, dict):
        if not isinstance(value, dict):
            raise Refused("override_error", f"override {path or 'itself'} is {value!r}")
        for name, inner in value.items():
            if name not in rule:
                raise Refused("override_error", f"no such override: {path}{name}")
            deeper = f"{path}{name}." if isinstance(rule[name], dict) else f"{path}{name}"
            _walk(deeper, inner, rule[name], found)
        return
    waits = path == "agent.first_message" and value == ""  # for the caller: the one text that may be empty
    if not waits and (value in (None, "") or not isinstance(value, rule)):
        raise Refused("override_error", f"override {path} is {value!r}: leave it out")
    if path == "agent.language" and value not in _LANGUAGES:
        raise Refused("override_error", f"override {path} is {value!r}, which is no language")
    found[path] = value
