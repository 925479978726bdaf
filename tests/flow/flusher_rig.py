"""The flusher alone, between a private Redis and Postgres, with calls made by hand.

The calls go through the same Redis functions as those of the warmer and the worker.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Callable, Sequence

import redis

from .fleet import Program, bin_directory
from .redis_functions import library, named
from .servers import PostgresServer, RedisServer, eventually

TESTS = Path(__file__).resolve().parent.parent
ENDED, LIVE, DEAD, FLUSHED = (f"rf:{{p0}}:{name}" for name in ("ended", "live", "dead", "flushed"))


def now_ms() -> int:
    return int(time.time() * 1000)


class HandMadeCall:
    """One call as worker and warmer would write it."""

    def __init__(self, client: redis.Redis, sid: str) -> None:
        self.sid = sid
        self.epoch = 0
        self.seq = 0
        self.events = 0
        self._redis = client
        self.context = f"rf:{{p0}}:call:{sid}"
        self.session, self.writes, self.event_stream = (
            f"{self.context}:{part}" for part in ("session", "writes", "events")
        )

    def open(self, lease_ms: int = 60_000, **context: str) -> "HandMadeCall":
        keys = [self.context, self.session, LIVE]
        pairs = [part for pair in {"v": "1", **context}.items() for part in pair]
        answer = self._redis.fcall(named("rf_open"), 3, *keys, self.sid, "t0", 86400, lease_ms, 60_000, *pairs)
        assert answer[0] == "OPENED", answer
        return self

    def claim(self, n: int = 0, lease_ms: int = 60_000) -> "HandMadeCall":
        keys = [self.context, self.session, self.writes, LIVE]
        data = json.dumps({"stream": n})
        answer = self._redis.fcall(
            named("rf_claim"), 4, *keys, self.sid, n, f"t{n}", "worker", "MZ", lease_ms, data
        )
        assert answer[0] == "CLAIMED", answer
        self.epoch, self.seq = int(answer[1]), int(answer[2])
        return self

    def reclaim(self) -> "HandMadeCall":
        """The worker was only cut off: it takes back the call that was ended for it."""
        keys = [self.session, self.writes, LIVE]
        answer = self._redis.fcall(named("rf_reclaim"), 3, *keys, self.sid, self.epoch, "worker", "MZ", 60_000)
        assert answer[0] == "RECLAIMED", answer
        self.epoch, self.seq = int(answer[1]), int(answer[2])
        return self

    def append(self, type: str, **fields: object) -> str:
        self.seq += 1
        entry = {"type": type, "by": "worker", "at": now_ms(), **fields}
        return self._redis.xadd(self.writes, entry, id=f"{self.epoch}-{self.seq}")

    def turn(self, message: str, speaker: str = "caller") -> str:
        return self.append("turn", speaker=speaker, message=message)

    def end(self, reason: str = "hangup", metrics: dict | None = None) -> "HandMadeCall":
        keys = [self.session, self.writes, LIVE, ENDED]
        metrics_text = json.dumps(metrics or {})
        answer = self._redis.fcall(
            named("rf_end"), 4, *keys, self.sid, self.epoch, self.seq + 1, reason, "hangup", metrics_text
        )
        assert answer == ["ENDED"], answer
        self.seq += 1
        return self

    def event(self, type: str, final: bool = False, **fields: object) -> None:
        self.events += 1
        keys = [self.session, self.event_stream, LIVE, ENDED]
        pairs = [part for pair in {"type": type, "by": "warmer", **fields}.items() for part in pair]
        answer = self._redis.fcall(
            named("rf_event"), 4, *keys, self.sid, f"{type}-{self.events}-{now_ms()}", int(final),
            fields.get("status", ""), fields.get("sequence", 0), *pairs,
        )  # fmt: skip
        assert answer == ["ADDED"], answer

    def status(self, status: str, sequence: int, final: bool = False, duration: object = "") -> None:
        self.event("call_status", final, status=status, sequence=sequence, duration=duration)

    def index(self) -> str:
        return self._redis.xadd(ENDED, {"call_sid": self.sid, "why": "test"})


class FlusherRig:
    def __init__(self, postgres: Callable = PostgresServer) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ringfleet-flusher-"))
        self.directory.chmod(0o711)  # postgres may run as another user
        self.redis_server = RedisServer(self.directory / "redis")
        self.postgres = postgres(self.directory / "postgres")
        self.flushers: list[Program] = []

    def __enter__(self) -> "FlusherRig":
        self.redis_server.start()
        self.postgres.start()
        self.redis = self.redis_server.client()
        return self

    def __exit__(self, *_) -> None:
        self.stop_all()
        self.postgres.stop()
        self.redis_server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def reset(self) -> None:
        """An empty Redis and an empty schema, for the next test."""
        self.redis.flushall()
        self.redis.function_load(library(), replace=True)
        self.sql("drop schema public cascade; create schema public")
        assert self.migrate().returncode == 0

    def migrate(self, *words: str, wait: bool = True) -> subprocess.CompletedProcess | subprocess.Popen:
        command = [str(bin_directory() / "flusher"), "migrate", *words]
        command += ["--database-url", self.postgres.url("migrate")]
        if not wait:
            return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def environment(self, **settings: object) -> dict[str, str]:
        env = {
            "RINGFLEET_REDIS_URL": self.redis_server.url,
            "RINGFLEET_DATABASE_URL": self.postgres.url("flusher"),
        }
        return env | {f"RINGFLEET_{name.upper()}": str(value) for name, value in settings.items()}

    def command(self, *words: str, **settings: object) -> subprocess.CompletedProcess:
        """`flusher WORDS`, to its end."""
        return subprocess.run(
            [str(bin_directory() / "flusher"), *words],
            env={**os.environ, **self.environment(**settings)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, wait: bool = True, words: Sequence[str] = (), **settings: object) -> Program:
        """A flusher; settings are those of its configuration, retention_seconds=0 and so on."""
        env = self.environment(**settings)
        name = f"flusher-{len(self.flushers)}"
        flusher = Program("flusher", name, self.directory, env, words=words)
        self.flushers.append(flusher)
        flusher.start()
        if wait:
            flusher.wait_ready()
        return flusher

    def stop_all(self) -> list[str]:
        problems = [problem for flusher in self.flushers for problem in flusher.stop()]
        for flusher in self.flushers:
            (self.directory / f"{flusher.name}.log").unlink(missing_ok=True)
        self.flushers.clear()
        return problems

    def report(self) -> str:
        return "\n".join(f"==== {one.name} ====\n{one.text()[-6000:]}" for one in self.flushers)

    def call(self, sid: str) -> HandMadeCall:
        return HandMadeCall(self.redis, sid)

    def sql(self, query: str, *parameters: object) -> list[dict]:
        return self.postgres.sql(query, *parameters)

    def one(self, query: str, *parameters: object) -> dict:
        rows = self.sql(query, *parameters)
        assert len(rows) == 1, rows
        return rows[0]

    def turns(self, sid: str) -> list[str]:
        rows = self.sql("select message from conversation_turn where call_sid = %s order by seq", sid)
        return [row["message"] for row in rows]

    def dead(self) -> list[dict]:
        return [fields for _, fields in self.redis.xrange(DEAD)]

    def wait_flushed(self, timeout: float = 20) -> None:
        """Until nothing is left on the index."""
        eventually("the ended calls to be flushed", lambda: self.redis.xlen(ENDED) == 0, timeout)
