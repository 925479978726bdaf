"""How many partitions a fleet has is recorded with its first start, and every program keeps to it."""

import os
import subprocess

import pytest

from .fleet import API_KEY, AUTH_TOKEN, MEDIA_URL, PUBLIC_URL, bin_directory
from .ports import free_port
from .servers import RedisServer

RECORD = "rf:{p0}:partitions"


@pytest.fixture(scope="module")
def server(programs, tmp_path_factory):
    one = RedisServer(tmp_path_factory.mktemp("redis") / "data")
    one.start()
    yield one
    one.stop()


def run(server: RedisServer, *words: str, **settings: object) -> subprocess.CompletedProcess:
    """A program that nobody serves but Redis, to its end."""
    nowhere = f"127.0.0.1:{free_port()}"
    environment = {
        "REDIS_URL": server.url,
        "DATABASE_URL": f"postgres://ringfleet@{nowhere}/ringfleet",
        "PUBLIC_URL": PUBLIC_URL,
        "MEDIA_URL": MEDIA_URL,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "STREAM_SECRET": "a secret of the test fleet",
        "AI_URL": f"ws://{nowhere}",
        "OPENAI_API_KEY": API_KEY,
        "ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
        "LISTEN": f"127.0.0.1:{free_port()}",
        **{name.upper(): str(value) for name, value in settings.items()},
    }
    if words[0] == "flusher":
        del environment["LISTEN"]
    return subprocess.run(
        [str(bin_directory() / words[0]), *words[1:]],
        env={**os.environ, **{f"RINGFLEET_{name}": value for name, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    "words",
    [["warmer"], ["worker"], ["flusher"], ["flusher", "calls"], ["flusher", "check"]],
    ids=" ".join,
)
def test_another_number_is_refused(server, words):
    server.client().set(RECORD, "16")
    done = run(server, *words, partitions=4)
    assert done.returncode == 1
    assert f"RINGFLEET_PARTITIONS is 4, but this fleet's Redis was set up with 16 ({RECORD})" in done.stdout + done.stderr
    assert server.client().get(RECORD) == "16"


def test_another_prefix_is_another_fleet(server):
    server.client().set(RECORD, "16")
    assert run(server, "flusher", "calls", partitions=4, key_prefix="other").returncode == 0
    assert server.client().get("other:{p0}:partitions") is None  # who only looks records nothing
