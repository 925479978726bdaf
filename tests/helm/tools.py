"""The tools that `tests/setup charts` installs (with install-tools); a test that lacks one is skipped with the reason."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "build" / "tools"


@cache
def _program(name: str) -> str | None:
    own = TOOLS / "bin" / name
    return str(own) if own.exists() else shutil.which(name)


def program(name: str) -> str:
    path = _program(name)
    if path is None:
        pytest.skip(f"{name} is not installed: run tests/helm/install-tools")
    return path


@cache
def _modules() -> dict[str, str]:
    try:
        return json.loads((TOOLS / "modules.json").read_text())
    except FileNotFoundError:
        return {}


def module(path: str) -> Path:
    """Directory of a Go module's source."""
    directory = _modules().get(path)
    if directory is None or not Path(directory).is_dir():
        pytest.skip(f"Go module {path} is not downloaded: run tests/helm/install-tools")
    return Path(directory)


def run(
    *command: str, environment: dict[str, str] | None = None, **more
) -> subprocess.CompletedProcess:
    more.setdefault("timeout", 120)
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, capture_output=True, text=True, env=env, **more)
