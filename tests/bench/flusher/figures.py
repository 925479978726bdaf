#!/usr/bin/python3
"""What the flusher reaches of what Postgres can take: prints one table.

    tests/bench/flusher/figures.py                  about six minutes
    tests/bench/flusher/figures.py backlog hangup   only these parts
    tests/bench/flusher/figures.py --quick          few rounds, a short memory run and outage

Both sides run in turn against the same private Redis and Postgres; each ratio is the median of the ratios of the
rounds. COPY binary of the same rows, in one transaction, into the same tables is 1.00. Needs the release build.
It uses every core there is: on a busy machine run it again.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import redis

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import load  # noqa: E402
from flow.fleet import bin_directory  # noqa: E402
from flow.flusher_rig import FlusherRig  # noqa: E402
from flow.redis_functions import library  # noqa: E402
from flow.servers import PostgresServer, RedisServer, eventually  # noqa: E402
from table import row  # noqa: E402

CALLS, TURNS = 5000, 20
TABLES = ("conversation_turn", "call_session", "call_log", "call_flush")
POSTGRES = {"fsync": "on", "log_statement": "none", "shared_buffers": "512MB", "max_wal_size": "4GB"}
MEMORY_ENTRIES, MEMORY_CHUNK_CALLS = 1_000_000, 5000
OUTAGE_SECONDS, OUTAGE_CALLS_PER_SECOND = 60, 50


class Rig(FlusherRig):
    """With a Postgres that is as durable as a real one, and without a log of statements."""

    def __init__(self, fsync: str) -> None:
        super().__init__()
        self.redis_server = RedisServer(self.directory / "bench-redis", fsync)
        self.postgres = PostgresServer(self.directory / "bench-postgres", **POSTGRES)

    def empty(self) -> None:
        """So that each round finds the same."""
        self.redis.flushdb()
        self.redis.function_load(library(), replace=True)
        with contextlib.suppress(redis.ResponseError):  # a flusher that runs makes it too
            self.redis.xgroup_create(load.ENDED, "flusher", id="0", mkstream=True)
        self.sql(f"truncate {', '.join(TABLES)}")
        self.sql("checkpoint")

    def drain(self, flusher, calls: int, turns: int, whole: bool) -> float:
        """Seconds from a backlog on the index to an empty index."""
        load.fill(self.redis_server.port, f"{time.monotonic_ns():x}", calls, turns, whole)
        began = time.perf_counter()
        load.release(self.redis)
        while self.redis.xlen(load.ENDED):
            if flusher.process.poll() is not None:
                raise RuntimeError(f"the flusher ended:\n{flusher.text()[-2000:]}")
            time.sleep(0.005)
        return time.perf_counter() - began

    def copy_again(self, tables: tuple[str, ...]) -> tuple[int, float]:
        """Takes the rows out as binary COPY, and times their way back in. Returns how many, and seconds."""
        with psycopg.connect(self.postgres.url("bench")) as connection:
            blocks = {name: self._copy_out(connection, name) for name in tables}
            rows = sum(connection.execute(f"select count(*) from {name}").fetchone()[0] for name in tables)
        self.sql(f"truncate {', '.join(TABLES)}")
        self.sql("checkpoint")
        with psycopg.connect(self.postgres.url("bench")) as connection:
            connection.execute("select 1")
            connection.commit()
            began = time.perf_counter()
            for name, data in blocks.items():
                with connection.cursor().copy(f"copy {name} from stdin (format binary)") as copy:
                    for at in range(0, len(data), 1 << 18):
                        copy.write(data[at : at + (1 << 18)])
            connection.commit()
            return rows, time.perf_counter() - began

    @staticmethod
    def _copy_out(connection: psycopg.Connection, name: str) -> bytes:
        with connection.cursor().copy(f"copy {name} to stdout (format binary)") as copy:
            return b"".join(bytes(block) for block in copy)

    def bench(self, command: str, rate: float, calls: int, file: str) -> dict[str, float]:
        program = bin_directory().parent / "tests" / "bench_flusher"
        words = [program, command, self.postgres.url("bench"), self.redis_server.port, rate, calls, HERE / file]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"bench {command}: {done.stderr}")
        parts = done.stdout.split()
        return {name: float(value) for name, value in zip(parts[::2], parts[1::2])}


def backlog(rig: Rig, repeats: int, whole: bool) -> None:
    flusher = rig.start()
    rates, ratios, ceilings = [], [], []
    for _ in range(repeats):
        rig.empty()
        seconds = rig.drain(flusher, CALLS, TURNS, whole)
        rows, copied = rig.copy_again(TABLES if whole else TABLES[:1])
        rates.append(rows / seconds)
        ceilings.append(rows / copied)
        ratios.append(copied / seconds)
    rig.stop_all()
    what = "whole calls (23 entries)" if whole else "20 turns a call"
    row(f"COPY binary of the same rows, {what}, rows/s", f"{statistics.median(ceilings):,.0f}")
    ratio = statistics.median(ratios)
    target = ("", None) if whole else (">= 0.60", ratio >= 0.6)
    row(f"backlog of {what}, Redis to commit, rows/s", f"{statistics.median(rates):,.0f} = {ratio:.2f}", *target)


def postgres_half(rig: Rig, repeats: int) -> None:
    """One lane, so that nothing else runs while Postgres works."""
    flusher = rig.start(flush_threads=1)
    name = "ringfleet_flush_transaction_seconds_sum"
    ratios = []
    for _ in range(repeats):
        rig.empty()
        before = flusher.metrics()[name]
        rig.drain(flusher, CALLS, TURNS, False)
        spent = flusher.metrics()[name] - before
        ratios.append(rig.copy_again(TABLES[:1])[1] / spent)
    rig.stop_all()
    ratio = statistics.median(ratios)
    row("the Postgres half alone, of COPY", f"{ratio:.2f}", ">= 0.75", ratio >= 0.75)


def hangup(rig: Rig, repeats: int) -> None:
    """The ends in turn: some by hand with no flusher there, some with one."""
    gates, idle, busy = [], [], []
    for _ in range(repeats):
        rig.empty()
        gates.append(rig.bench("gate", 20, 120, "gate.sql"))
        rig.empty()
        rig.start()
        idle.append(rig.bench("hangup", 20, 120, "seen.sql"))
        busy.append(rig.bench("hangup", 50, 500, "seen.sql"))
        rig.stop_all()
    gate = statistics.median(run["p50"] for run in gates)
    p50 = statistics.median(run["p50"] for run in idle)
    p99 = statistics.median(run["p99"] for run in busy)
    row("by hand: end, index, journal, one gated statement, p50 ms", f"{gate / 1000:.2f}")
    row("hangup to committed, idle, p50 ms", f"{p50 / 1000:.2f} = {p50 / gate:.2f}x", "<= 2x", p50 <= 2 * gate)
    row("hangup to committed at 50 calls/s, p99 ms", f"{p99 / 1000:.2f}", "< 20", p99 < 20_000)


def resident_kb(flusher) -> int:
    status = Path(f"/proc/{flusher.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def memory(rig: Rig, entries: int) -> None:
    flusher = rig.start(log_level="warn")
    sizes = []
    for _ in range(entries // (MEMORY_CHUNK_CALLS * TURNS)):
        rig.empty()
        rig.drain(flusher, MEMORY_CHUNK_CALLS, TURNS, False)
        sizes.append(resident_kb(flusher))
    rig.stop_all()
    growth = max(sizes) / max(sizes[:2])
    row(f"resident KB after {2 * MEMORY_CHUNK_CALLS * TURNS:,} and {entries:,} entries", f"{sizes[1]:,} / {sizes[-1]:,}", "flat", growth < 1.1)


def journal_size(rig: Rig) -> None:
    """A journal of 40 turns of 250 bytes: what Redis says of one, and what it grows by over many."""
    rig.empty()
    load.fill(rig.redis_server.port, "warm", 200, 40)
    before = rig.redis.info("memory")["used_memory"]
    load.fill(rig.redis_server.port, "m", 2000, 40)
    grown = (rig.redis.info("memory")["used_memory"] - before) / 2000
    key = next(rig.redis.scan_iter("rf:{p0}:call:*m7:writes"))
    said = rig.redis.memory_usage(key, samples=0)
    row("Redis memory of a 40-turn journal, MEMORY USAGE / real bytes", f"{said:,} / {grown:,.0f}", "<= 14,336", said <= 14336)


def outage(rig: Rig, seconds: int) -> None:
    """Postgres is stopped while calls go on ending."""
    rig.empty()
    flusher = rig.start()
    stop = threading.Event()
    ended = 0

    def callers() -> None:
        nonlocal ended
        began = time.monotonic()
        while not stop.is_set():
            due = int((time.monotonic() - began) * OUTAGE_CALLS_PER_SECOND) - ended
            if due > 0:
                load.fill(rig.redis_server.port, f"o{ended}-", due, TURNS, True, index=load.ENDED)
                ended += due
            stop.wait(0.1)

    thread = threading.Thread(target=callers)
    thread.start()
    try:
        eventually("calls to be flushed", lambda: rig.sql("select 1 from call_flush limit 1"))
        rig.postgres.stop()
        time.sleep(seconds)
        waiting = rig.redis.xlen(load.ENDED)
        rig.postgres.start()
        began = time.perf_counter()
        eventually("it to catch up", lambda: rig.redis.xlen(load.ENDED) < OUTAGE_CALLS_PER_SECOND / 5, 120)
        caught_up = time.perf_counter() - began
    finally:
        stop.set()
        thread.join()
    rig.wait_flushed(60)
    there = rig.one("select count(*) as n, count(distinct call_sid) as calls from conversation_turn")
    rig.stop_all()
    complete = there == {"n": ended * TURNS, "calls": ended}
    row(f"Postgres away for {seconds} s at {OUTAGE_CALLS_PER_SECOND} calls/s: calls waiting", f"{waiting:,}")
    row("  seconds from its return until caught up; nothing lost or doubled", f"{caught_up:.1f}", "all there", complete)
    assert flusher.process.returncode == 0


PARTS = {
    "backlog": lambda rig, quick: backlog(rig, 3 if quick else 9, whole=False),
    "whole": lambda rig, quick: backlog(rig, 3 if quick else 9, whole=True),
    "postgres": lambda rig, quick: postgres_half(rig, 3 if quick else 9),
    "hangup": lambda rig, quick: hangup(rig, 1 if quick else 3),
    "journal": lambda rig, quick: journal_size(rig),
    "memory": lambda rig, quick: memory(rig, MEMORY_ENTRIES // (5 if quick else 1)),
    "outage": lambda rig, quick: outage(rig, OUTAGE_SECONDS // (6 if quick else 1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", choices=PARTS, default=list(PARTS), help=", ".join(PARTS) + "; by default all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fsync", choices=("always", "everysec"), default="always", help="of Redis' append-only file")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print(f"Redis appendfsync {options.fsync}; Postgres {', '.join(f'{k}={v}' for k, v in POSTGRES.items())}")
    with Rig(options.fsync) as rig:
        rig.reset()
        for name in options.parts:
            PARTS[name](rig, options.quick)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
