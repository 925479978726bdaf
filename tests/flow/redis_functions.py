"""The Redis function library as the build stamps it (common/CMakeLists.txt), for tests that call it
without a program of ours."""

import hashlib
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "common" / "redis" / "ringfleet.lua"
VERSION = hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:8]


def library(version: str = VERSION) -> str:
    return _SOURCE.read_text().replace("@FUNCTIONS_VERSION@", version)


def named(function: str, version: str = VERSION) -> str:
    """rf_open -> its full name."""
    return f"{function}_{version}"
