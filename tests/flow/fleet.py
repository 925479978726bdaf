"""The real programs with a private Redis and Postgres around them.

    with Fleet(ai_url=provider.url) as fleet:
        fleet.sql("select ...")

Nothing here knows the stand-ins; flow/stage.py puts both together.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable, Sequence

import redis

from .ports import free_port
from .servers import PostgresServer, RedisServer, end_process, eventually

TESTS = Path(__file__).resolve().parent.parent
PUBLIC_URL = "https://phone.example.test"
MEDIA_URL = "wss://media.example.test/media"
AUTH_TOKEN = "12345"
API_KEY = "sk-test"
READY_SECONDS = 30
STOP_SECONDS = 30

running: list["Fleet"] = []
last_words: list[str] = []  # of fleets that ended during a test, for its report if it fails


def bin_directory() -> Path:
    return Path(os.environ.get("RINGFLEET_BIN") or TESTS.parent / "build" / "bin").resolve()


def key_of_call(sid: str, suffix: str, partitions: int) -> str:
    """Its partition is the FNV-1a of its id."""
    digest = 2166136261
    for byte in sid.encode():
        digest = (digest ^ byte) * 16777619 % 2**32
    return f"rf:{{p{digest % partitions}}}:call:{sid}{suffix}"


class Program:
    """One process: its ports, its log, its metrics."""

    def __init__(
        self, kind: str, name: str, directory: Path, env: dict[str, str], words: Sequence[str] = ()
    ) -> None:
        self.kind = kind
        self.words = words  # of its command line
        self.name = name
        self.admin = f"127.0.0.1:{free_port()}"
        self.listen = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen | None = None
        self.binaries: Path | None = None  # of another version, from the next start on
        self.expect_death = False  # the test ended it on purpose
        self.log_to: int | None = None  # a descriptor to log to from the next start on, in place of its file
        self._log = directory / f"{name}.log"
        self._env = env

    def start(self) -> None:
        env = {**self.environment(), "RINGFLEET_ADMIN_LISTEN": self.admin}
        if self.kind != "flusher":
            env["RINGFLEET_LISTEN"] = self.listen
        self.expect_death = False
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [str((self.binaries or bin_directory()) / self.kind), *self.words],
                env=env,
                stdout=log,
                stderr=log if self.log_to is None else self.log_to,
                cwd="/",
            )

    def wait_ready(self) -> None:
        eventually(f"{self.name} to be ready", self._ready, READY_SECONDS)

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.text()}")
        return self.get("/readyz")[0] == 200

    def get(self, path: str) -> tuple[int, str]:
        """An admin page: status and text; status 0 if nobody listens."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def metrics(self) -> dict[str, float]:
        """Prometheus samples by name with labels, as printed."""
        status, text = self.get("/metrics")
        if status != 200:
            raise RuntimeError(f"{self.name} /metrics answered {status}")
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def resident_kb(self) -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def sanitized(self) -> bool:
        """Such a program keeps freed memory on purpose."""
        return re.search("lib[at]san", Path(f"/proc/{self.process.pid}/maps").read_text()) is not None

    def text(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def log(self) -> list[dict]:
        """The log lines; a line that is no JSON object is kept under `raw`."""
        lines = []
        for line in self.text().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            lines.append(entry if isinstance(entry, dict) else {"raw": line})
        return lines

    def environment(self) -> dict[str, str]:
        """For a command of its kind beside it."""
        return {**os.environ, **self._env}

    def signal(self, number: int) -> None:
        self.expect_death = True
        self.process.send_signal(number)

    def stop(self) -> list[str]:
        """Ends the process; what was wrong with its life and its end."""
        if self.process is None:
            return []
        problems = []
        if not self.expect_death and self.process.poll() is not None:
            problems.append(f"{self.name} ended by itself")
        if not end_process(self.process, signal.SIGTERM, STOP_SECONDS):
            problems.append(f"{self.name} did not stop within {STOP_SECONDS} s of SIGTERM")
        if not self.expect_death and self.process.returncode != 0:
            problems.append(f"{self.name} left with {self.process.returncode}")
        words = self.text()
        if said := re.search(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:", words):
            problems.append(f"a sanitizer spoke up in {self.name}:\n{words[max(0, said.start() - 200) :][:6000]}")
        return problems


class Fleet:
    def __init__(
        self,
        *,
        ai_url: str,
        ai_ca_file: str = "",
        workers: int = 1,
        seed: Path = TESTS / "demo_seed.sql",
        redis: Callable = RedisServer,
        postgres: Callable = PostgresServer,
        env: dict[str, str] | None = None,
    ) -> None:
        """`env` is added to the environment of every program; `redis` and `postgres` make the servers, each in
        a directory."""
        self.workers: list[Program] = []
        self._directory = Path(tempfile.mkdtemp(prefix="ringfleet-"))
        self._directory.chmod(0o711)  # postgres may run as another user
        self._worker_count = workers
        self._seed = seed
        self.redis_server = redis(self._directory / "redis")
        self.partitions = int((env or {}).get("RINGFLEET_PARTITIONS", 1))
        self.postgres = postgres(self._directory / "postgres")
        self._env = {
            "RINGFLEET_PUBLIC_URL": PUBLIC_URL,
            "RINGFLEET_MEDIA_URL": MEDIA_URL,
            "RINGFLEET_TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "RINGFLEET_STREAM_SECRET": "a secret of the test fleet",
            "RINGFLEET_AI_URL": ai_url,
            "RINGFLEET_AI_CA_FILE": ai_ca_file,
            "RINGFLEET_OPENAI_API_KEY": API_KEY,
            "RINGFLEET_DRAIN_SECONDS": "5",
            "RINGFLEET_LEASE_SECONDS": "5",
            "RINGFLEET_REAP_GRACE_MS": "1000",
            **(env or {}),
        }
        self.warmer = self._program("warmer", "warmer")
        self.flusher = self._program("flusher", "flusher")

    def _program(self, kind: str, name: str) -> Program:
        env = {"RINGFLEET_REDIS_URL": self.redis_server.url_of(kind), **self._env}
        if kind != "worker":
            env["RINGFLEET_DATABASE_URL"] = self.postgres.url(name)
        else:
            env["RINGFLEET_WORKER_ID"] = name
        return Program(kind, name, self._directory, env)

    # ---- life ----

    def __enter__(self) -> "Fleet":
        running.append(self)
        try:
            self.redis_server.start()
            self.postgres.start()
            self.migrate()
            self.postgres.sql(self._seed.read_text())
            for program in (self.warmer, self.flusher):
                program.start()
            for _ in range(self._worker_count):
                self.start_worker(wait=False)
            for program in self.programs():
                program.wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, *_) -> None:
        problems = self._end()
        if problems and kind is None:
            raise AssertionError("\n".join(problems))

    def _end(self) -> list[str]:
        problems = [problem for program in self.programs() for problem in program.stop()]
        self.postgres.stop()
        self.redis_server.stop()
        last_words.append(self.report())
        running.remove(self)
        if not os.environ.get("RINGFLEET_KEEP"):
            shutil.rmtree(self._directory, ignore_errors=True)
        return problems

    def migrate(self) -> None:
        program = self._program("flusher", "migrate")
        done = subprocess.run(
            [str(bin_directory() / "flusher"), "migrate"],
            env=program.environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(f"flusher migrate failed:\n{done.stdout}{done.stderr}")

    def start_worker(self, wait: bool = True) -> Program:
        worker = self._program("worker", f"worker-{len(self.workers) + 1}")
        self.workers.append(worker)
        worker.start()
        if wait:
            worker.wait_ready()
        return worker

    def programs(self) -> list[Program]:
        """In the order in which they are ended: nobody loses what the next one needs."""
        return [*self.workers, self.warmer, self.flusher]

    def restart(self, program: Program, how: int = signal.SIGTERM) -> None:
        program.signal(how)
        program.process.wait(STOP_SECONDS)
        program.start()
        program.wait_ready()

    # ---- looking in ----

    def redis(self) -> redis.Redis:
        return self.redis_server.client()

    def sql(self, query: str, *parameters: object) -> list[dict]:
        return self.postgres.sql(query, *parameters)

    def key(self, sid: str, suffix: str = "") -> str:
        return key_of_call(sid, suffix, self.partitions)

    def context(self, sid: str) -> dict[str, str]:
        return self.redis().hgetall(self.key(sid))

    def session(self, sid: str) -> dict[str, str]:
        return self.redis().hgetall(self.key(sid, ":session"))

    def journal(self, sid: str, stream: str = "writes") -> list[tuple[str, dict[str, str]]]:
        return self.redis().xrange(self.key(sid, ":" + stream))

    def wait_flushed(self, sid: str, timeout: float = 20) -> dict:
        """The call's ledger row, once everything both journals hold is in Postgres."""

        def caught_up() -> dict | None:
            rows = self.sql("select * from call_flush where call_sid = %s", sid)
            if not rows:
                return None
            row = rows[0]
            done = {
                "writes": f"{row['writes_epoch']}-{row['writes_seq']}",
                "events": f"{row['events_ms']}-{row['events_n']}",
            }
            for stream, last in done.items():
                entries = self.journal(sid, stream)
                if entries and entries[-1][0] != last:
                    return None
            return row

        return eventually(f"the flush of {sid}", caught_up, timeout)

    def logged(self, msg: str, sid: str | None = None) -> list[dict]:
        """Log lines with this message, of all programs, in order of time."""
        lines = [line for program in self.programs() for line in program.log()]
        found = [
            line for line in lines if line.get("msg") == msg and sid in (None, line.get("call"))
        ]
        return sorted(found, key=lambda line: line["ts"])

    def statements_between(self, begin: float, end: float) -> list[str]:
        return self.postgres.statements_between(begin, end)

    def report(self) -> str:
        """What the programs said, for a failed test."""
        parts = [f"==== {one.name} ====\n{one.text()[-6000:]}" for one in self.programs()]
        return "\n".join(parts)
