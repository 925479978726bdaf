#!/usr/bin/python3
"""What the warmer costs beside bare programs that do the least it could do: prints one table.

    tests/bench/warmer/figures.py                about five minutes
    tests/bench/warmer/figures.py --quick        one run of each, no memory
    tests/bench/warmer/figures.py --part 50 ..   only these: 50, 500, sustained, before, memory

Both sides run in turn against the same private Redis and Postgres; each figure is the median of several
runs. Needs the release build. It uses every core there is: on a busy machine run it again.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "bench"), str(TESTS)]

from flow.fleet import Fleet  # noqa: E402
from flow.ports import free_port  # noqa: E402
from flow.servers import eventually  # noqa: E402
from table import row  # noqa: E402

HERE = Path(__file__).resolve().parent
BIN = Path(os.environ.get("RINGFLEET_BIN") or TESTS.parent / "build" / "bin")
BENCH = BIN.parent / "tests" / "bench_warmer"
CALLS = {50: 350, 500: 3000}
SUSTAINED_CALLS, SUSTAINED_THREADS, PIPELINE_DEPTH = 8000, 32, 64
MEMORY_CALLS, MEMORY_CHUNKS = 100_000, 20


class Rig(Fleet):
    """Without the statement log, and without the flusher, which has nothing to do here."""

    def __init__(self, fsync: str) -> None:
        super().__init__(ai_url="ws://127.0.0.1:1", workers=0, seed=HERE / "seed.sql")
        self.fsync = fsync

    def migrate(self) -> None:
        self.sql("alter role ringfleet set log_statement = 'none'")
        super().migrate()

    def __enter__(self) -> "Rig":
        super().__enter__()
        self.flusher.signal(signal.SIGTERM)
        self.flusher.process.wait()
        self.set_fsync(self.fsync)
        eventually("the database", lambda: self.warmer.metrics()["ringfleet_database_connections_up"] == 2)
        return self

    def set_fsync(self, policy: str) -> None:
        self.redis().config_set("appendfsync", policy)

    def bench(self, command: str, *arguments: object) -> dict[str, float]:
        words = [str(BENCH), command, *map(str, arguments)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
        parts = done.stdout.split()
        return {name: float(value) for name, value in zip(parts[::2], parts[1::2])}

    def empty(self) -> None:
        """So that all runs find the same: journals of calls that never end would only fill Redis."""
        self.redis().flushall()

    # ---- what is measured ----

    def webhook(self, rate: int, calls: int, threads: int) -> dict[str, float]:
        return self.bench("webhook", self.warmer.listen, rate, calls, threads)

    def join(self, rate: int, calls: int) -> dict[str, float]:
        return self.bench("join", self.postgres.url("bench"), self.redis_server.port, rate, calls, HERE / "join.sql")

    def relay(self, rate: int, calls: int) -> dict[str, float]:
        """What the same client sees of the same two, without a warmer between them."""
        port = free_port()
        words = [BENCH, "relay", port, self.postgres.url("bench"), self.redis_server.port, HERE / "join.sql"]
        with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True) as relay:
            assert relay.stdout.readline() == "listening\n"
            return self.bench("webhook", f"127.0.0.1:{port}", rate, calls, 1)

    def queries(self, path: Path, calls: int) -> dict[str, float]:
        return self.bench("queries", self.postgres.url("bench"), 50, calls, path)

    def pipelined(self, calls: int) -> dict[str, float]:
        return self.bench("pipelined", self.postgres.url("bench"), PIPELINE_DEPTH, calls, HERE / "join.sql")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.warmer.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kb(self) -> int:
        status = Path(f"/proc/{self.warmer.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    def own_statements(self) -> Path:
        """The warmer's three, with the parameters in the order of bench.c; those that only read are one, so that what travels
        in one round trip takes two here, as ever."""
        path = self._directory / "now.sql"
        names = ("load_call_context", "load_booked_times", "open_call")
        texts = [(TESTS.parent / "warmer" / "sql" / f"{name}.sql").read_text() for name in names]
        load, booked, opens = (re.sub(r"(?m)^\s*--.*\n", "", text).rstrip().rstrip(";") for text in texts)
        text = f"select * from ({load}) one left join ({booked}) two on true\n--\n{opens}"
        for old, new in (("$4::text", "'inbound'"), ("$4", "'inbound'"), ("$3", "$THREE"), ("$1", "$3"), ("$THREE", "$1")):
            text = text.replace(old, new)
        path.write_text(text)
        return path


def median(runs: list[dict[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def at_50(rig: Rig, repeats: int) -> None:
    bare, relay, ours = [], [], []
    for _ in range(repeats):
        bare.append(rig.join(50, CALLS[50]))
        relay.append(rig.relay(50, CALLS[50]))
        ours.append(rig.webhook(50, CALLS[50], 1))
        rig.empty()
    join50, join99 = median(bare, "p50"), median(bare, "p99")

    def times(runs: list[dict[str, float]], name: str, join: float) -> tuple[float, str]:
        value = median(runs, name)
        return value / join, f"{value:.0f} = {value / join:.2f}x"

    row("JOIN + pipeline at 50/s, p50 / p99 us", f"{join50:.0f} / {join99:.0f}")
    row("the same behind a bare socket, p50 us", times(relay, "p50", join50)[1])
    ratio, text = times(ours, "p50", join50)
    row("webhook to TwiML at 50/s, p50 us", text, "<= 1.3x", ratio <= 1.3)
    ratio, text = times(ours, "p99", join99)
    row("webhook to TwiML at 50/s, p99 us", text, "<= 3x", ratio <= 3)


def at_500(rig: Rig, repeats: int) -> None:
    bare, ours = [], []
    for _ in range(repeats):
        bare.append(rig.join(500, CALLS[500]))
        ours.append(rig.webhook(500, CALLS[500], 16))
        rig.empty()
    row("JOIN + pipeline at 500/s, p50 / p99 us", f"{median(bare, 'p50'):.0f} / {median(bare, 'p99'):.0f}")
    p50, p99 = median(ours, "p50"), median(ours, "p99")
    single = " ".join(f"{run['p99']:.0f}" for run in ours)
    row("webhook to TwiML at 500/s, p50 / p99 us", f"{p50:.0f} / {p99:.0f}", "p99 < 5 ms", p99 < 5000)
    row("p99 of the single runs, us", single)


def sustained(rig: Rig, repeats: int) -> None:
    bare, ours, per_core = [], [], []
    for _ in range(repeats):
        bare.append(rig.pipelined(SUSTAINED_CALLS))
        cpu = rig.cpu_seconds()
        ours.append(rig.webhook(0, SUSTAINED_CALLS, SUSTAINED_THREADS))
        per_core.append(SUSTAINED_CALLS / (rig.cpu_seconds() - cpu))
        rig.empty()
    join = median(bare, "per_second")
    row("bare JOIN, pipelined, per second", f"{join:.0f}")
    row("webhooks per second, everything on this machine", f"{median(ours, 'per_second'):.0f}")
    rate = statistics.median(per_core)
    row("webhooks per second of one core of the warmer", f"{rate:.0f} = {rate / join:.2f}x", ">= 0.5x", rate >= join / 2)


def before(rig: Rig, repeats: int) -> None:
    """All by the same bare client, one round trip a statement; the warmer's travel in one."""
    start, call, ours = [], [], []
    own = rig.own_statements()
    for _ in range(repeats):
        start.append(rig.queries(HERE / "seven.sql", 250))
        call.append(rig.queries(HERE / "before.sql", 250))
        ours.append(rig.queries(own, 250))
    now, then = median(ours, "p50"), median(call, "p50")
    row("before: 7 queries at the start, p50 / p99 us", f"{median(start, 'p50'):.0f} / {median(start, 'p99'):.0f}")
    row("before: 17 queries and 4 commits over a call, p50 us", f"{then:.0f}")
    row("now: row written and context read, p50 us", f"{now:.0f}")
    row("database time of a live call saved", f"{100 * (1 - now / then):.0f} %")


def memory(rig: Rig, _: int) -> None:
    sizes = []
    for _ in range(MEMORY_CHUNKS):
        rig.webhook(0, MEMORY_CALLS // MEMORY_CHUNKS, SUSTAINED_THREADS)
        rig.empty()
        sizes.append(rig.resident_kb())
    growth = sizes[-1] - sizes[1]
    row(f"resident memory after 10,000 and {MEMORY_CALLS:,} calls, KB", f"{sizes[1]} / {sizes[-1]}", "flat", growth < 1024)


PARTS = {"50": at_50, "500": at_500, "sustained": sustained, "before": before, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of each, no memory")
    parser.add_argument("--part", choices=PARTS, nargs="+", help="measure these alone")
    parser.add_argument("--fsync", choices=("always", "everysec"), default="always", help="of Redis' append-only file")
    options = parser.parse_args()
    repeats = 1 if options.quick else 5
    parts = options.part or [part for part in PARTS if part != "memory" or not options.quick]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; Redis appendfsync {options.fsync}")
    with Rig(options.fsync) as rig:
        rig.webhook(0, 500, 4)  # plans and caches
        for part in parts:
            PARTS[part](rig, repeats)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
