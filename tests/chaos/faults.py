"""What goes wrong, and when: a schedule that follows from the seed alone.

Each fault has a beginning and an end, so that what it did can be told apart from what it left behind.
"""

import os
import random
import signal
import subprocess
from dataclasses import dataclass
from typing import Callable, Iterator

from standins.clock import now_ms

from .rig import Rig
from .store import SHAPES

# kind -> (action, shortest, longest) in seconds
ACTIONS: dict[str, list[tuple[str, float, float]]] = {
    "worker": [("kill", 0.05, 2), ("kill", 0.05, 2), ("term", 0.05, 1), ("freeze", 0.3, 10)],
    "warmer": [("kill", 0.05, 2), ("freeze", 0.3, 4)],
    "flusher": [("kill", 0.05, 2), ("kill", 0.05, 1), ("freeze", 0.3, 6)],
    "redis": [],  # those of its shape
    "postgres": [
        ("crash", 0.1, 6),
        ("backend", 0.1, 0.5),
        ("readonly", 0.5, 5),
        ("mute", 1, 3),
        ("lose", 1, 3),
    ],
    "socket": [("cut", 0, 0.01), ("stall", 0.2, 3), ("close", 0.2, 2), ("lag", 1, 4)],
}
KINDS = tuple(ACTIONS)
LAGS = (0.005, 0.05, 0.15)
BALANCER_NOTICES = 4.0  # a worker that is silent for so long loses its callers' sockets
QUIET = 1.0  # between two faults of one target


@dataclass
class Fault:
    at: float  # seconds after the start of the faults
    kind: str
    action: str
    target: str  # a program, `redis`, `postgres`, or a route of the proxies
    seconds: float
    lag: float = 0
    pick: float = 0  # from 0 to below 1: which of several
    begun_ms: float = 0
    ended_ms: float = 0
    victim: str = ""  # of the servers of a Redis, the one that was replaced: the route to it

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  {self.action} {self.target} for {self.seconds:.2f} s"


def _routes(names: dict[str, list[str]], redis: str) -> list[str]:
    programs = [name for kind in ("worker", "warmer", "flusher") for name in names[kind]]
    found = [f"{what}-{name}" for name in names["worker"] for what in ("media", "ai")]
    found += [f"pg-{name}" for kind in ("warmer", "flusher") for name in names[kind]]
    return found + SHAPES[redis].routes(programs)


def _targets(kind: str, action: str, names: dict[str, list[str]], redis: str) -> list[str]:
    if kind == "socket":
        return _routes(names, redis)
    if action in ("mute", "lose"):
        return [f"pg-{name}" for name in names["flusher"]]
    return names.get(kind, [kind])


def _fits(fault: Fault, others: list[Fault], names: dict[str, list[str]]) -> bool:
    """Never everything of a kind at once: who has no worker left is another test's matter."""
    end = fault.at + fault.seconds + QUIET
    beside = [one for one in others if one.at + one.seconds + QUIET > fault.at and one.at < end]
    if any(one.target == fault.target for one in beside):
        return False
    peers = names.get(fault.kind)
    if peers is None or len(peers) == 1:
        return True
    return len({one.target for one in beside if one.kind == fault.kind}) < len(peers) - 1


def draw(
    rng: random.Random,
    seconds: float,
    every: float,
    kinds: list[str],
    names: dict[str, list[str]],
    redis: str = "single",
) -> list[Fault]:
    faults: list[Fault] = []
    at = 0.0
    while (at := at + rng.expovariate(1 / every)) < seconds:
        kind, _, only = rng.choice(kinds).partition(":")
        possible = SHAPES[redis].actions if kind == "redis" else ACTIONS[kind]
        actions = [one for one in possible if only in ("", one[0])]
        action, shortest, longest = rng.choice(actions)
        target = rng.choice(_targets(kind, action, names, redis))
        length = shortest + (longest - shortest) * rng.random() ** 2  # mostly short ones
        fault = Fault(at, kind, action, target, length, rng.choice(LAGS), rng.random())
        if _fits(fault, faults, names):
            faults.append(fault)
    return faults


# ---- doing it ----


def steps(fault: Fault, rig: Rig) -> Iterator[tuple[float, Callable[[], None]]]:
    """Offsets from the fault's beginning, and what happens then."""
    begin, end = _DOINGS[fault.kind](fault, rig)

    def noted_begin() -> bool:
        if begin() is False:
            return False
        fault.begun_ms = now_ms()
        return True

    def noted_end() -> bool:
        if not fault.begun_ms or now_ms() < fault.begun_ms + 1000 * fault.seconds or end() is False:
            return False
        fault.ended_ms = now_ms()
        return True

    yield 0, noted_begin
    if fault.kind == "worker" and fault.action == "freeze" and fault.seconds > BALANCER_NOTICES:
        yield BALANCER_NOTICES, lambda: _drop_callers(fault.target, rig)
    yield fault.seconds, noted_end


def _drop_callers(worker: str, rig: Rig) -> None:
    rig.proxies.cut(f"media-{worker}")


def _program(fault: Fault, rig: Rig) -> tuple[Callable, Callable]:
    program = rig.program(fault.target)
    how = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "freeze": signal.SIGSTOP}[fault.action]

    hit: list[subprocess.Popen] = []  # a slow end may overlap the next fault of the same program

    def begin() -> None:
        hit.append(program.process)
        program.signal(how)

    def end() -> bool:
        (process,) = hit
        if fault.action == "freeze":
            process.send_signal(signal.SIGCONT)
        elif process.poll() is None:
            return False  # it is still handing its calls over
        elif program.process is process:
            program.start()
        return True

    return begin, end


def _redis(fault: Fault, rig: Rig) -> tuple[Callable, Callable]:
    return lambda: rig.store.begin(fault), lambda: rig.store.end(fault)


def _refuse_writes(rig: Rig, refuse: bool) -> None:
    rig.sql("set default_transaction_read_only = off")  # for ourselves
    rig.sql(f"alter system set default_transaction_read_only = {'on' if refuse else 'off'}")
    rig.sql("select pg_reload_conf()")


def _postgres(fault: Fault, rig: Rig) -> tuple[Callable, Callable]:
    if fault.action == "readonly":
        return lambda: _refuse_writes(rig, True), lambda: _refuse_writes(rig, False)
    if fault.action in ("mute", "lose"):
        return lambda: rig.proxies.trap(fault.target, "commit", fault.action), lambda: None

    def begin() -> None:
        if fault.action == "crash":
            rig.postgres.stop(signal.SIGQUIT)
            return
        query = "select pid from pg_stat_activity where application_name like 'flusher-%%'"
        rows = rig.sql(query)
        if rows:
            os.kill(rows[0]["pid"], signal.SIGKILL)  # the server ends all others and recovers
        rig.postgres.forget_connection()

    def end() -> None:
        if fault.action == "crash":
            rig.postgres.start()

    return begin, end


def _socket(fault: Fault, rig: Rig) -> tuple[Callable, Callable]:
    proxies, name = rig.proxies, fault.target
    return {
        "cut": (lambda: proxies.cut(name), lambda: None),
        "stall": (lambda: proxies.stall(name, True), lambda: proxies.stall(name, False)),
        "close": (lambda: proxies.close(name, True), lambda: proxies.close(name, False)),
        "lag": (lambda: proxies.lag(name, fault.lag), lambda: proxies.lag(name, 0)),
    }[fault.action]


_DOINGS: dict[str, Callable[[Fault, Rig], tuple[Callable, Callable]]] = {
    "worker": _program,
    "warmer": _program,
    "flusher": _program,
    "redis": _redis,
    "postgres": _postgres,
    "socket": _socket,
}
