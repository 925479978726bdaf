"""The Redis function library as the build stamps it (common/CMakeLists.txt), for tests that call it
without a program of ours."""

import hashlib
from pathlib import Path

_PARTS = Path(__file__).parents[2] / "common" / "redis" / "functions"
_HEAD = _PARTS / "head.lua"
SOURCE = "".join(
    part.read_text() + "\n" for part in [_HEAD, *(one for one in sorted(_PARTS.glob("*.lua")) if one != _HEAD)]
)
VERSION = hashlib.sha256(SOURCE.encode()).hexdigest()[:8]


def library(version: str = VERSION) -> str:
    return SOURCE.replace("@FUNCTIONS_VERSION@", version)


def named(function: str, version: str = VERSION) -> str:
    """rf_open -> its full name."""
    return f"{function}_{version}"
