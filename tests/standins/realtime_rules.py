"""Which client events the AI provider accepts, and with which error it refuses the others.

Three layers: keys no schema definition knows are refused, then the vendor's own JSON schema, then
the rules the schema does not express. What depends on the state of a session is in realtime.py.
"""

import json
import re
from functools import cache
from pathlib import Path

import jsonschema

SCHEMA = json.loads(Path(__file__).with_name("openai-realtime.schema.json").read_text())
MODELS = {
    "gpt-realtime",
    "gpt-realtime-mini",
    "gpt-realtime-1.5",
    "gpt-realtime-2",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
}
VOICES = set("alloy ash ballad coral echo sage shimmer verse marin cedar".split())
TRANSCRIBERS = set(
    "whisper-1 gpt-transcribe gpt-live-transcribe gpt-4o-transcribe gpt-4o-mini-transcribe"
    " gpt-4o-mini-transcribe-2025-12-15 gpt-4o-transcribe-diarize gpt-realtime-whisper".split()
)
MAX_ID = 32
NULLABLE = set(
    "tracing prompt include transcription noise_reduction turn_detection idle_timeout_ms"
    " previous_item_id metadata response".split()
)
_CODES = {
    "required": "missing_required_parameter",
    "type": "invalid_type",
    "minimum": "integer_below_min_value",
    "maxLength": "string_above_max_length",
}


class Refused(Exception):
    """The whole event is rejected with an `error` event; the session goes on."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(f"{code}: {message}" + (f" ({param})" if param else ""))
        self.code = code
        self.message = message
        self.param = param


def read(text: str) -> dict:
    try:
        event = json.loads(text)
    except ValueError as error:
        raise Refused("invalid_json", f"not JSON: {text[:60]!r}") from error
    if not isinstance(event, dict):
        raise Refused("invalid_event", "not a JSON object")
    return event


def check(event: dict, model: str) -> None:
    """Refuses what is wrong whatever the state of the session."""
    if "type" not in event:
        raise Refused("missing_required_parameter", "event without a type", "type")
    reference = SCHEMA["x-client-events"].get(event["type"])
    if reference is None:
        raise Refused("invalid_value", f"unknown event type {event['type']!r}", "type")
    _refuse_nulls(event, "")
    session = event.get("session")
    if isinstance(session, dict) and "type" not in session:
        raise Refused("missing_required_parameter", "the session has no type", "session.type")
    unknown = _unknown_key(reference, event, "")
    if unknown is not None:
        raise Refused("unknown_parameter", f"Unknown parameter: '{unknown}'.", unknown)
    if event["type"] != "input_audio_buffer.append":  # 50 a second: checked by hand
        _validate(reference, event)
    if isinstance(session, dict):
        _check_session(session, model)
    if "response" in event and event["response"] is not None:
        _check_response(event["response"], model)
    if "item" in event:
        _check_item(event["item"], "item")


def validate_server_event(event: dict) -> None:
    """The stand-in holds its own events against the schema too."""
    body = {key: value for key, value in event.items() if key != "obfuscation"}
    _validate(SCHEMA["x-server-events"][event["type"]], body)


def without_nulls(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value]
    return value


@cache
def _validator(reference: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": reference, "$defs": SCHEMA["$defs"]})


def _validate(reference: dict, event: dict) -> None:
    error = next(_validator(reference["$ref"]).iter_errors(without_nulls(event)), None)
    if error is None:
        return
    while error.context:
        error = _meant_error(error.context)
    param = ".".join(str(part) for part in error.absolute_path)
    raise Refused(_CODES.get(error.validator, "invalid_value"), error.message[:200], param)


def _meant_error(errors: list) -> jsonschema.ValidationError:
    """Of the complaints of all alternatives, one of the alternative that was meant."""
    branches: dict[int, list] = {}
    for error in errors:
        branches.setdefault(error.relative_schema_path[0], []).append(error)
    for branch in branches.values():
        if not any(
            error.validator in ("enum", "const")
            and error.path
            and error.path[-1] in ("type", "role")
            for error in branch
        ):
            return branch[0]
    return errors[0]


def _refuse_nulls(value: object, path: str) -> None:
    if isinstance(value, list):
        for index, one in enumerate(value):
            _refuse_nulls(one, f"{path}[{index}]")
    if isinstance(value, dict):
        for key, one in value.items():
            where = f"{path}.{key}" if path else key
            if one is None and key not in NULLABLE:
                raise Refused("invalid_type", f"{where} must not be null", where)
            _refuse_nulls(one, where)


def _branches(schema: dict) -> list[dict]:
    """The alternatives of a schema, references resolved."""
    if "$ref" in schema:
        return _branches(SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]])
    alternatives = schema.get("anyOf", []) + schema.get("oneOf", []) + schema.get("allOf", [])
    if alternatives:
        return [branch for one in alternatives for branch in _branches(one)]
    return [schema]


def _is_meant(branch: dict, value: dict) -> bool:
    """Whether the fixed members of a branch (`type`, `role`) are those of the value."""
    if branch.get("type") != "object":
        return False
    for name, member in branch.get("properties", {}).items():
        fixed = member.get("enum") or ([member["const"]] if "const" in member else None)
        if name in ("type", "role") and fixed and value.get(name) not in fixed:
            return False
    return True


def _unknown_key(schema: dict, value: object, path: str) -> str | None:
    if isinstance(value, list):
        for index, one in enumerate(value):
            for branch in _branches(schema):
                found = _unknown_key(branch.get("items", {}), one, f"{path}[{index}]")
                if found is not None:
                    return found
        return None
    if not isinstance(value, dict):
        return None
    found = [
        _unknown_in(branch, value, path) for branch in _branches(schema) if _is_meant(branch, value)
    ]
    return found[0] if found and None not in found else None


def _unknown_in(branch: dict, value: dict, path: str) -> str | None:
    known = branch.get("properties", {})
    if not known:  # a free-form object, such as the parameters of a tool
        return None
    for key, one in value.items():
        where = f"{path}.{key}" if path else key
        if key not in known:
            return where
        found = _unknown_key(known[key], one, where)
        if found is not None:
            return found
    return None


def _check_session(session: dict, model: str) -> None:
    if session["type"] != "realtime":
        raise Refused("invalid_value", "not a realtime session", "session.type")
    if session.get("model", model) != model:
        raise Refused("invalid_value", "the model cannot change", "session.model")
    audio = session.get("audio", {})
    _check_generation(session, audio, model, "session")
    source = audio.get("input", {})
    transcription = source.get("transcription")
    if transcription and transcription.get("model") not in TRANSCRIBERS:
        where = "session.audio.input.transcription.model"
        raise Refused("invalid_value", "unknown transcription model", where)
    language = (transcription or {}).get("language", "en")
    if not re.fullmatch("[a-z]{2}", language):
        where = "session.audio.input.transcription.language"
        raise Refused("invalid_value", f"{language!r} is no ISO 639-1 code", where)
    detection = source.get("turn_detection") or {}
    if not 0 <= detection.get("threshold", 0.5) <= 1:
        where = "session.audio.input.turn_detection.threshold"
        raise Refused("invalid_value", "threshold is between 0 and 1", where)


def _check_response(response: dict, model: str) -> None:
    _check_generation(response, response.get("audio", {}), model, "response")
    for index, item in enumerate(response.get("input", [])):
        _check_item(item, f"response.input[{index}]")


def _check_generation(body: dict, audio: dict, model: str, path: str) -> None:
    """What a session and a single response have in common."""
    if len(body.get("output_modalities", ["audio"])) != 1:
        raise Refused("invalid_value", "one output modality", f"{path}.output_modalities")
    voice = audio.get("output", {}).get("voice")
    if isinstance(voice, str) and voice not in VOICES:
        raise Refused("invalid_value", f"unknown voice {voice!r}", f"{path}.audio.output.voice")
    tokens = body.get("max_output_tokens", "inf")
    if tokens != "inf" and not 1 <= tokens <= 4096:
        raise Refused("invalid_value", "1 to 4096 or inf", f"{path}.max_output_tokens")
    for name in ("reasoning", "parallel_tool_calls"):
        if name in body and not model.startswith("gpt-realtime-2"):
            raise Refused("unknown_parameter", f"{model} does not know {name}", f"{path}.{name}")
    for index, tool in enumerate(body.get("tools", [])):
        if tool.get("type") == "function" and not tool.get("name"):
            where = f"{path}.tools[{index}].name"
            raise Refused("missing_required_parameter", "a tool without a name", where)


def _check_item(item: dict, path: str) -> None:
    for name in ("id", "call_id"):
        if len(item.get(name, "")) > MAX_ID:
            raise Refused("string_above_max_length", f"at most {MAX_ID}", f"{path}.{name}")
    if item["type"] != "message":
        return
    if not item["content"]:
        raise Refused("invalid_value", "a message without content", f"{path}.content")
    for index, part in enumerate(item["content"]):
        where = f"{path}.content[{index}]"
        if "type" not in part:
            raise Refused("missing_required_parameter", "a part without type", f"{where}.type")
        if part["type"] in ("input_text", "output_text", "output_audio") and "text" not in part:
            raise Refused("missing_required_parameter", "text is missing", f"{where}.text")
        if part["type"] == "input_audio" and "audio" not in part:
            raise Refused("missing_required_parameter", "audio is missing", f"{where}.audio")
