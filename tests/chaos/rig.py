"""A whole fleet with a proxy on every line between two programs.

    carrier --media-N--> worker-N --redis-worker-N--> Redis
                         worker-N --ai-N--> AI stand-in
            warmer-N / flusher-N --redis-<program>, pg-<program>--> Redis, Postgres
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading

from pathlib import Path
from typing import Coroutine

from flow import fleet
from flow.fleet import API_KEY, AUTH_TOKEN, MEDIA_URL, PUBLIC_URL, Program, bin_directory, key_of_call
from flow.servers import PostgresServer
from standins.call import Call
from standins.carrier import Carrier
from standins.realtime import Provider

from . import story
from .proxies import Proxies
from .stalls import Stalls
from .store import SHAPES, Single

# A worker that died between two events of a session leaves a race behind that the provider reports.
BENIGN = frozenset({"response_cancel_not_active", "conversation_already_has_active_response"})
MEDIA_BASE = MEDIA_URL.rsplit("/", 1)[0]
# How a number is set up with the carrier: try again, soon, whatever went wrong.
WEBHOOK_RULES = "#ct=1000&rt=3000&rc=5&rp=ct,rt,5xx"
LEASE_SECONDS = 5
GRACE_MS = 1000


class BalancedCarrier(Carrier):
    """Media goes round the workers; which one a stream got is noted."""

    _turn = 0

    def _targets(self, url: str) -> list[str]:
        targets = super()._targets(url)
        if url.startswith("wss://"):
            self._turn += 1
            first = self._turn % len(targets)
            targets = targets[first:] + targets[:first]
        return targets

    async def open_media(self, call: Call, url: str):
        socket = await super().open_media(call, url)
        if socket is not None:
            call.note("media-target", socket._response.url.port)
        return socket


class Rig:
    def __init__(
        self,
        *,
        workers: int = 3,
        warmers: int = 2,
        flushers: int = 2,
        redis: str = "single",
        env: dict[str, str] | None = None,
    ) -> None:
        self.cast = story.Cast()
        self.workers: list[Program] = []
        self.warmers: list[Program] = []
        self.flushers: list[Program] = []
        self._counts = {"worker": workers, "warmer": warmers, "flusher": flushers}
        self._shape = SHAPES[redis]
        self._env = env or {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-ins")
        self._directory = Path(tempfile.mkdtemp(prefix="ringfleet-chaos-"))
        self._directory.chmod(0o711)  # postgres may run as another user
        self.provider = Provider(
            self.cast.of, api_key=API_KEY, benign=BENIGN, on_event=self.cast.on_event
        )
        self.provider.voice = story.sound
        self._stalls = Stalls()
        self._spool = self._directory / "spool"  # a volume that all workers share
        self.proxies: Proxies
        self.store: Single
        self.postgres: PostgresServer
        self.carrier: BalancedCarrier
        self.media_ports: dict[int, str] = {}  # of the proxies, with the worker behind
        self.ai_hosts: dict[str, str] = {}  # the AI's address as a worker knows it, and that worker

    # ---- life ----

    def __enter__(self) -> "Rig":
        fleet.running.append(self)
        self._thread.start()
        self._watching = asyncio.run_coroutine_threadsafe(self._stalls.watch(), self._loop)
        self.proxies = Proxies()
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def _start(self) -> None:
        self.store = self._shape(self._directory / "redis", self.proxies)
        self.postgres = PostgresServer(self._directory / "postgres")
        self.store.start()
        self.postgres.start()
        self.run(self.provider.start())
        self._migrate()
        self.postgres.sql(story.SEED_SQL)
        for kind, programs in self._kinds().items():
            for index in range(self._counts[kind]):
                programs.append(self._program(kind, f"{kind}-{index + 1}"))
        for program in self.programs():
            program.start()
        for program in self.programs():
            program.wait_ready()
        self._open_carrier()

    def _open_carrier(self) -> None:
        for worker in self.workers:
            port = self.proxies.open(f"media-{worker.name}", int(worker.listen.split(":")[1]))
            self.media_ports[port] = worker.name
        self.carrier = BalancedCarrier(
            AUTH_TOKEN,
            f"{PUBLIC_URL}/voice/incoming{WEBHOOK_RULES}",
            f"{PUBLIC_URL}/voice/status{WEBHOOK_RULES}",
            resolve={
                PUBLIC_URL: [f"http://{warmer.listen}" for warmer in self.warmers],
                MEDIA_BASE: [f"ws://127.0.0.1:{port}" for port in self.media_ports],
            },
        )
        self.run(self.carrier.__aenter__())

    def __exit__(self, kind, *_) -> None:
        problems = self._end()
        if problems and kind is None:
            raise AssertionError("\n".join(problems))

    def _end(self) -> list[str]:
        problems: list[str] = []
        try:
            if hasattr(self, "carrier"):
                self.run(self.carrier.__aexit__())
            problems = [problem for program in self.programs() for problem in program.stop()]
            if self.provider._runner is not None:
                self.run(self.provider.stop())
        finally:
            self.proxies.stop()
            if hasattr(self, "postgres"):
                self.postgres.stop()
            self.store.stop()
            self._watching.cancel()
            self.run(asyncio.sleep(0.01))  # so that it hears of it
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            fleet.last_words.append(self.report())
            fleet.running.remove(self)
            if not os.environ.get("RINGFLEET_KEEP"):
                shutil.rmtree(self._directory, ignore_errors=True)
        return problems

    def _kinds(self) -> dict[str, list[Program]]:
        return {"worker": self.workers, "warmer": self.warmers, "flusher": self.flushers}

    def _settings(self, name: str) -> dict[str, str]:
        ai_port = self.proxies.open(f"ai-{name}", self.provider.port)
        self.ai_hosts[f"127.0.0.1:{ai_port}"] = name
        pg_port = self.proxies.open(f"pg-{name}", self.postgres.port)
        database = self.postgres.url(name).replace(f":{self.postgres.port}/", f":{pg_port}/")
        return {
            "RINGFLEET_REDIS_URL": self.store.url_of(name),
            "RINGFLEET_DATABASE_URL": database,
            "RINGFLEET_AI_URL": self.provider.url.replace(f":{self.provider.port}/", f":{ai_port}/"),
            "RINGFLEET_PUBLIC_URL": PUBLIC_URL,
            "RINGFLEET_MEDIA_URL": MEDIA_URL,
            "RINGFLEET_TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "RINGFLEET_STREAM_SECRET": "a secret of the chaos fleet",
            "RINGFLEET_OPENAI_API_KEY": API_KEY,
            "RINGFLEET_WORKER_ID": name,
            "RINGFLEET_CONSUMER": name,
            "RINGFLEET_DRAIN_SECONDS": "1",
            "RINGFLEET_LEASE_SECONDS": str(LEASE_SECONDS),
            "RINGFLEET_REAP_GRACE_MS": str(GRACE_MS),
            "RINGFLEET_CLAIM_IDLE_MS": "2000",
            "RINGFLEET_MAX_RESUMES": "40",
            "RINGFLEET_WARM_DEADLINE_MS": "2000",  # a machine that is slow is no fault of this suite
            "RINGFLEET_SILENCE_NUDGE_SECONDS": "60",
            "RINGFLEET_SPOOL_DIR": str(self._spool),
            **self.store.settings,
            **self._env,
        }

    def _program(self, kind: str, name: str) -> Program:
        return Program(kind, name, self._directory, self._settings(name))

    def _migrate(self) -> None:
        done = subprocess.run(
            [str(bin_directory() / "flusher"), "migrate"],
            env={**os.environ, "RINGFLEET_DATABASE_URL": self.postgres.url("migrate")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise RuntimeError(f"flusher migrate failed:\n{done.stdout}{done.stderr}")

    # ---- use ----

    def programs(self) -> list[Program]:
        return [*self.workers, *self.warmers, *self.flushers]

    def program(self, name: str) -> Program:
        return next(one for one in self.programs() if one.name == name)

    def run(self, coroutine: Coroutine, timeout: float = 180) -> object:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def place(self, plan: story.Plan) -> story.Story:
        one = self.cast.add(plan)

        async def place() -> None:
            number = story.number_of(plan.index)
            one.call = self.carrier.place_call(number, story.BUSINESS_NUMBER, one.act)

        self.run(place())
        return one

    def stalls(self) -> list[tuple[float, float]]:
        """When the stand-ins and the proxies were kept waiting by the machine; for the oracle, in order."""
        return sorted(self._stalls.found + self.proxies.stalls())

    def spooled(self) -> int:
        """Calls of which journal entries are on disk, also of workers that are gone."""
        return len(list(self._spool.glob("*.spool")))

    def redis(self):
        return self.store.client()

    def key(self, sid: str, suffix: str = "") -> str:
        return key_of_call(sid, suffix, self.store.partitions)

    def indexes(self, name: str) -> list[str]:
        """A key that each partition has."""
        return [f"rf:{{p{number}}}:{name}" for number in range(self.store.partitions)]

    def sql(self, query: str, *parameters: object) -> list[dict]:
        return self.postgres.sql(query, *parameters)

    def report(self) -> str:
        return "\n".join(f"==== {one.name} ====\n{one.text()[-4000:]}" for one in self.programs())
