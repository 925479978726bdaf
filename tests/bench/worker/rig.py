"""A private Redis, the media servers to compare, and the load on them, each on a core of its own.

Server on one core; load, AI provider and Redis on the other. Nothing here knows what is measured.
"""

import base64
import hashlib
import hmac
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Iterator

from flow.fleet import Program, bin_directory
from flow.ports import free_port
from flow.redis_functions import library, named
from flow.servers import RedisServer, end_process, eventually
from standins.tls import Authority

HERE = Path(__file__).resolve().parent
BUILD = bin_directory().parent
SERVER_CORE, LOAD_CORE = 0, 1
SECRET = "a secret of the bench"
TOKEN_SECONDS = 3600
MARK_MS = 2000  # what the worker comes to while an answer plays

# What a call of the demo's business gets: prompts of the built-in templates' size, and a calendar.
CONTEXT = {
    "source": "database",
    "business_id": "1",
    "lead_id": "7",
    "language": "en",
    "greeting": "Thank you for calling Harbour Dental. May I have your name, please?",
    "prompt_compact": "You answer the phone of Harbour Dental. " + "Be friendly, brief and precise. " * 8,
    "prompt_full": "You answer the phone of Harbour Dental. " + "Offer free times, note the caller's wishes. " * 36,
    "working_hours": '{"mon": [["09:00", "18:00"]], "tue": [["09:00", "18:00"]]}',
    "business_timezone": "Europe/Berlin",
    "booked_slots": "[]",
}


class Skipped(Exception):
    """A rival that cannot be had here, and why."""


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Programs started in here, and their threads, stay on that core. At no better priority than the kernel's thread for
    packets has (ksoftirqd): that waited for up to 64 ms beside a full server that went before it."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & cores or cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def before_all() -> Iterator[None]:
    """What is started in here does not wait for the load: a Redis would have its own machine."""
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def mint(sid: str) -> str:
    """A token as the warmer mints it (common/base/token.h)."""
    expires_ms, nonce = int(time.time() + TOKEN_SECONDS) * 1000, "0" * 18
    digest = hmac.new(SECRET.encode(), f"{sid}|0|{expires_ms}|{nonce}".encode(), hashlib.sha256).digest()
    return f"0.{expires_ms}.{nonce}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


class Rig:
    def __init__(self, fsync: str = "everysec") -> None:
        self._fsync = fsync
        self._numbers = itertools.count()

    def __enter__(self) -> "Rig":
        self.directory = Path(tempfile.mkdtemp(prefix="ringfleet-bench-"))
        self.authority = Authority(self.directory)
        # rewriting its file would take the load's core, in the middle of a measurement
        self.redis_server = RedisServer(self.directory / "redis", self._fsync, {"auto-aof-rewrite-percentage": 0})
        with on_core(LOAD_CORE), before_all():
            self.redis_server.start()
        self.redis = self.redis_server.client()
        self.redis.function_load(library(), replace=True)
        return self

    def __exit__(self, *_) -> None:
        self.redis_server.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def open_calls(self, count: int) -> Path:
        """Calls that are ringing, as the warmer leaves them; a file of their names and tokens."""
        lines, pipe = [], self.redis.pipeline(transaction=False)
        good_for = TOKEN_SECONDS * 1000
        pairs = [part for pair in {"v": "1", **CONTEXT}.items() for part in pair]
        for _ in range(count):
            sid = f"CA{next(self._numbers):032x}"
            token = mint(sid)
            keys = [f"rf:{{p0}}:call:{sid}", f"rf:{{p0}}:call:{sid}:session", "rf:{p0}:live"]
            pipe.fcall(named("rf_open"), 3, *keys, sid, token, 86400, good_for, good_for, *pairs)
            lines.append(f"{sid} {token}\n")
            if len(lines) % 500 == 0:
                pipe.execute()
        pipe.execute()
        path = self.directory / "calls"
        path.write_text("".join(lines))
        return path

    def forget_calls(self) -> None:
        """The greeting cache stays."""
        for key in self.redis.scan_iter("rf:{p0}:*", count=1000):
            self.redis.unlink(key)


class Server:
    """One media server. `updates`: session.update messages it sends before its AI may speak."""

    name = ""
    updates = 1
    needs_calls = False

    def __init__(self, tls: bool = False) -> None:
        self.tls = tls
        self.port = free_port()
        self.provider_port = free_port()

    @property
    def ai_url(self) -> str:
        return f"{'wss' if self.tls else 'ws'}://localhost:{self.provider_port}/v1/realtime"

    def start(self, rig: Rig) -> None:
        self._log = open(rig.directory / f"{self.name}.log", "ab")
        words, env = self.command(rig)
        with on_core(SERVER_CORE):
            self.process = subprocess.Popen(words, env={**os.environ, **env}, stdout=self._log, stderr=self._log, cwd=HERE)
        eventually(f"{self.name} to listen", self._listens)

    def command(self, rig: Rig) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended:\n{Path(self._log.name).read_text()[-2000:]}")
        hex_port = f":{self.port:04X} "
        return any(hex_port in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines())

    def stop(self) -> None:
        end_process(self.process)
        self._log.close()


class Worker(Server):
    name = "worker"
    updates = 2  # the second one is the prompt upgrade
    needs_calls = True

    def __init__(self, tls: bool = False, threads: int = 1) -> None:
        super().__init__(tls)
        self.threads = threads

    def start(self, rig: Rig) -> None:
        self.program = Program("worker", "worker", rig.directory, {
            "RINGFLEET_REDIS_URL": rig.redis_server.url_of("worker"),
            "RINGFLEET_STREAM_SECRET": SECRET,
            "RINGFLEET_AI_URL": self.ai_url,
            "RINGFLEET_AI_CA_FILE": rig.authority.certificate if self.tls else "",
            "RINGFLEET_OPENAI_API_KEY": "sk-test",
            "RINGFLEET_MAX_CALLS": "20000",
            "RINGFLEET_THREADS": str(self.threads),
            "RINGFLEET_DRAIN_SECONDS": "0",
        })  # fmt: skip
        with on_core(SERVER_CORE) if self.threads == 1 else nullcontext():
            self.program.start()
        self.program.wait_ready()
        self.process, self.port = self.program.process, int(self.program.listen.rsplit(":", 1)[1])

    def stop(self) -> None:
        end_process(self.process, seconds=40)

    def metrics(self) -> dict[str, float]:
        return self.program.metrics()


class Floor(Server):
    name = "floor"
    updates = 0

    def __init__(self, tls: bool = False, mark_ms: int = MARK_MS) -> None:
        super().__init__(tls)
        self.mark_ms = mark_ms

    def command(self, rig: Rig) -> tuple[list[str], dict[str, str]]:
        words = [str(BUILD / "tests" / "bench_floor"), str(self.port), str(self.provider_port), str(self.mark_ms)]
        return words + ([rig.authority.certificate] if self.tls else []), {}


class Rival(Server):
    """equal: the work of the worker, no more; else as the public samples stand."""

    def __init__(self, equal: bool) -> None:
        super().__init__()
        self.equal = equal

    def environment(self) -> dict[str, str]:
        own = {"PORT": str(self.port), "AI_URL": self.ai_url}
        return {**own, "MARK_MS": str(MARK_MS), "QUIET": "1"} if self.equal else own


class Node(Rival):
    name = "node"

    def command(self, rig: Rig) -> tuple[list[str], dict[str, str]]:
        place = install(BUILD / "bench" / "node", "node_modules", ["bridge.js", "package.json"],
                        [["npm", "install", "--no-audit", "--no-fund"]])  # fmt: skip
        return ["node", str(place / "bridge.js")], self.environment()


class Python(Rival):
    name = "python"

    def command(self, rig: Rig) -> tuple[list[str], dict[str, str]]:
        place = install(BUILD / "bench" / "python", "bin/uvicorn", ["bridge.py", "requirements.txt"],
                        [["python3", "-m", "venv", "."], ["bin/pip", "install", "-q", "-r", "requirements.txt"]])  # fmt: skip
        words = [str(place / "bin" / "python"), "-m", "uvicorn", "bridge:app", "--app-dir", str(place), "--port", str(self.port)]
        return words + ["--no-access-log", "--log-level", "warning"], self.environment()


def install(place: Path, proof: str, files: list[str], commands: list[list[str]]) -> Path:
    """A rival and its packages, below the build directory; the packages only once."""
    place.mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copy(HERE / "rivals" / name, place / name)
    if (place / proof).exists():
        return place
    for words in commands:
        if shutil.which(words[0]) is None and not (place / words[0]).exists():
            raise Skipped(f"{words[0]} is not installed (tests/setup bench)")
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise Skipped(f"{' '.join(words)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return place


def plain_calls(rig: Rig, count: int) -> Path:
    path = rig.directory / "calls"
    path.write_text("".join(f"CA{number:032x} none\n" for number in range(count)))
    return path


class Load:
    """The load on a server, on a core of its own.

    with Load(rig, server, calls, "--steps", "200:600:100") as load:
        for figures in load.steps(): ...
    """

    def __init__(self, rig: Rig, server: Server, calls: int, *options: object, core: int = LOAD_CORE, second: bool = False) -> None:
        """`calls`: how many may begin in all. second: another load has started the server, and ends it."""
        file = rig.open_calls(calls) if server.needs_calls else plain_calls(rig, calls)
        self._words = [str(BUILD / "tests" / "bench_load"), "--provider", str(server.provider_port), "--calls", str(file)]
        self._words += ["--updates", str(server.updates), *map(str, options)]
        if server.tls:
            self._words += ["--tls", f"{rig.authority.server_certificate},{rig.authority.server_key}"]
        self._rig, self._server, self._core, self._second = rig, server, core, second

    def __enter__(self) -> "Load":
        with on_core(self._core):
            self.process = subprocess.Popen(self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "listening\n", self.process.stderr.read()
        try:
            if not self._second:
                self._server.start(self._rig)
        except BaseException:
            end_process(self.process)
            raise
        self.process.stdin.write(f"{self._server.port} {self._server.process.pid}\n")
        self.process.stdin.flush()
        return self

    def steps(self) -> Iterator[dict[str, float]]:
        for line in self.process.stdout:
            words = line.split()
            yield {name: float(value) for name, value in zip(words[::2], words[1::2])}

    def said(self) -> str:
        """What the load had to complain about; after the last step."""
        return self.process.stderr.read().strip()

    def __exit__(self, *_) -> None:
        end_process(self.process)
        if self._second:
            return
        self._server.stop()
        if self._server.needs_calls:
            self._rig.forget_calls()
