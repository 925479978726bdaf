"""The configuration of an AI session: what it starts with, and how an update changes it."""

import copy
import time

_DETECTION = {
    "server_vad": {
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {"eagerness": "auto", "create_response": True, "interrupt_response": True},
}


def default_config(session_id: str, model: str, life_s: float) -> dict:
    """What `session.created` shows before anything was set."""
    pcm = {"type": "audio/pcm", "rate": 24000}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": session_id,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": "You are a helpful assistant.",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "expires_at": int(time.time() + life_s),
        "audio": {
            "input": {
                "format": dict(pcm),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    **_DETECTION["server_vad"],
                    "silence_duration_ms": 200,
                },
            },
            "output": {"format": dict(pcm), "voice": "alloy", "speed": 1.0},
        },
    }


def merge(config: dict, update: dict) -> None:
    """Only present members change; whole values are replaced below `audio.input` and `.output`."""
    audio = update.get("audio", {})
    for side in ("input", "output"):
        config["audio"][side].update(copy.deepcopy(audio.get(side, {})))
    for key, value in update.items():
        if key != "audio":
            config[key] = copy.deepcopy(value)
    detection = config["audio"]["input"]["turn_detection"]
    if detection is not None:
        filled = {**_DETECTION[detection["type"]], **detection}
        config["audio"]["input"]["turn_detection"] = filled
