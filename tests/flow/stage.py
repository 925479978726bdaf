"""The fleet between its two stand-ins.

The stand-ins run on an event loop in a thread of their own, so that tests are plain functions that
may wait for databases without disturbing the pace of a call.
"""

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Callable, Coroutine

from standins import caller
from standins.call import Call
from standins.carrier import Carrier, Faults, Script
from standins.realtime import Provider
from standins.realtime_session import Session
from standins.scenario import Conversation, Scenario
from standins.tls import Authority
from standins.voice_server import VoiceServer

from .fleet import API_KEY, AUTH_TOKEN, MEDIA_URL, PUBLIC_URL, Fleet, Program
from .servers import RedisServer

# Codes a correct client cannot avoid: they report a race that the provider has won.
RACES = frozenset({"response_cancel_not_active", "conversation_already_has_active_response"})


class Stage:
    def __init__(
        self,
        scenario: Scenario | Callable[[Session], Conversation],
        *,
        provider: VoiceServer | None = None,
        tls_directory: Path | None = None,
        workers: int = 1,
        redis: Callable = RedisServer,
        env: dict[str, str] | None = None,
        on_call_event: Callable | None = None,
        on_ai_event: Callable | None = None,
    ) -> None:
        self.scenario = scenario
        self.provider = provider or Provider(
            scenario, api_key=API_KEY, benign=RACES, on_event=on_ai_event
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stand-ins")
        self._authority = Authority(tls_directory) if tls_directory else None
        self._workers = workers
        self._redis = redis
        self._env = env
        self._on_call_event = on_call_event
        self.fleet: Fleet
        self.carrier: Carrier

    def __enter__(self) -> "Stage":
        self._thread.start()
        try:
            tls: ssl.SSLContext | None = None
            if self._authority:
                tls = self._authority.server_context()
            self.run(self.provider.start(tls=tls))
            self.fleet = Fleet(
                ai_url=self.provider.url,
                ai_ca_file=self._authority.certificate if self._authority else "",
                workers=self._workers,
                redis=self._redis,
                env=self._env,
            )
            self.fleet.__enter__()
        except BaseException:
            self._stop_loop()
            raise
        self.carrier = Carrier(
            AUTH_TOKEN,
            f"{PUBLIC_URL}/voice/incoming",
            f"{PUBLIC_URL}/voice/status",
            on_event=self._on_call_event,
        )
        self.route()
        self.run(self.carrier.__aenter__())
        return self

    def __exit__(self, *error) -> None:
        try:
            self.run(self.carrier.__aexit__(*error))
            self.fleet.__exit__(*error)
            self.run(self.provider.stop())
        finally:
            self._stop_loop()

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, coroutine: Coroutine, timeout: float = 180) -> object:
        """Runs a coroutine beside the stand-ins; for the test's own thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def route(self, without: Program | None = None) -> None:
        """Sends the carrier's requests to the programs that are there now."""
        media_base = MEDIA_URL.rsplit("/", 1)[0]
        workers = [worker for worker in self.fleet.workers if worker.process.poll() is None]
        workers = [worker for worker in workers if worker is not without]
        self.carrier.resolve = {
            PUBLIC_URL: f"http://{self.fleet.warmer.listen}",
            media_base: [f"ws://{worker.listen}" for worker in workers],
        }

    def start_call(
        self,
        caller_number: str,
        called_number: str,
        script: Script | None = None,
        faults: Faults | None = None,
        silent: bool = False,
    ) -> Call:
        """A call whose caller follows the stage's scenario, or a script of the test, or is silent."""
        self.carrier.faults = faults or Faults()
        if script is None and not silent:
            script = caller.follow(self.scenario, lambda _: self.provider.idle())

        async def place() -> Call:
            return self.carrier.place_call(caller_number, called_number, script)

        return self.run(place())

    def finish(self, call: Call, timeout: float = 120) -> Call:
        """Waits for the end of the call."""
        self.run(call.wait_ended(timeout), timeout + 5)
        return call

    def check(self, call: Call) -> None:
        """Neither stand-in has anything to complain about."""
        call.check()
        self.provider.check()
