#!/usr/bin/python3
"""What a call costs on the worker, beside a relay that does the least and the usual bridges: prints one table.

    tests/bench/worker/figures.py                 every part, three rounds: over an hour
    tests/bench/worker/figures.py cpu --rounds 1  one part
    tests/bench/worker/figures.py --table         only the table of what was measured so far

Server on one core; load, AI provider and Redis on the other. In a round the servers take turns, in another order
each time; ratios are within a round, what is printed is the median of the rounds; limits are of all rounds together. Measurements are kept in
build/bench/worker.json, so that parts can run one by one; --fresh forgets those of the parts that are asked for.
Needs the release build, and the machine to itself.
"""

import argparse
import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import chart  # noqa: E402
from limits import limit_of  # noqa: E402
from rig import BUILD, SERVER_CORE, Floor, Load, Node, Python, Rig, Server, Skipped, Worker, on_core  # noqa: E402
from table import row  # noqa: E402

KEPT = BUILD / "bench" / "worker.json"
CALLS = (200, 500)
SERVERS: dict[str, Callable[[], Server]] = {
    "floor": Floor,
    "floor, TLS": lambda: Floor(tls=True),
    "worker": Worker,
    "worker, TLS": lambda: Worker(tls=True),
    "Node, equal work": lambda: Node(equal=True),
    "Node, as the sample": lambda: Node(equal=False),
    "Python, equal work": lambda: Python(equal=True),
    "Python, as the sample": lambda: Python(equal=False),
}
OURS = ("floor", "worker", "floor, TLS", "worker, TLS")
RIVALS = ("Node, equal work", "Node, as the sample", "Python, equal work", "Python, as the sample")
FEW = {"Node, equal work": (200,), "Node, as the sample": (200,), "Python, equal work": (50,), "Python, as the sample": (50,)}
# Where the search for the limit begins, and its steps.
SEARCH = {"Node, equal work": (100, 25), "Node, as the sample": (100, 25), "Python, equal work": (40, 5), "Python, as the sample": (40, 5)}
LIMIT_FAST_US, LIMIT_SLOW_US = 10_000, 25_000
LIMIT_WINDOWS = 2  # of a step, in each round
TRIES = 3
LOAD_FULL = 0.97  # of its core
SHORT_CALLS, SHORT_LIVE, SHORT_RATE, SHORT_WINDOWS = 100_000, 400, 300, 20
TRACE_SECONDS = 4
SLOWER = 5  # 1,000 calls as 200: pace is no part of memory
LOOP_CALLS = 300
JOURNAL_DEPTHS, JOURNAL_ENTRIES = (1, 16, 64, 256), 100_000

Round = dict[str, object]


def measured(rig: Rig, name: str, calls: int, *options: object, look: Callable[[Server, dict], None] | None = None) -> list[dict]:
    """The steps of one run; none if the server cannot be had. A run in which the machine stopped the load is
    repeated."""
    steps = []
    for _ in range(TRIES):
        server, steps = SERVERS[name](), []
        try:
            with Load(rig, server, calls, *options) as load:
                for step in load.steps():
                    steps.append(step)
                    if look:
                        look(server, step)
                words = load.said()
        except Skipped as why:
            print(f"SKIPPED {name}: {why}")
            return []
        if words:
            print(f"  {name}: {words.splitlines()[0][:150]}", file=sys.stderr)
        if "load itself" not in words:
            break
    return steps


def in_turn(names: tuple[str, ...], number: int) -> list[str]:
    return random.Random(number).sample(names, len(names))


def per_call(step: dict) -> float:
    """CPU of the server, us per call and second."""
    return step["cpu"] / step["seconds"] / step["calls"] * 1e6


# ---- the parts: each measures one round ----


def cpu(rig: Rig, number: int) -> Round:
    """CPU per call-second, every frame echoed."""
    result = {}
    for name in in_turn(OURS + RIVALS[:3], number):
        few, last = FEW.get(name, CALLS)[0], FEW.get(name, CALLS)[-1]
        steps = measured(rig, name, 3 * last, "--steps", f"{few}:{last}:{max(1, last - few)}", "--seconds", 4)
        result[name] = {f"{step['calls']:.0f}": per_call(step) for step in steps if not step["faults"]}
    return result


def limit(rig: Rig, number: int, names: tuple[str, ...] = OURS) -> Round:
    """Windows at ever more calls, until the server is too slow. New calls come slowly, as they would: what they cost is
    no part of it."""
    result = {}
    for name in in_turn(names, number):
        first, step = SEARCH.get(name, (500, 50))
        windows = measured(rig, name, 6000, "--steps", f"{first}:4000:{step}", "--windows", LIMIT_WINDOWS, "--seconds", 1.5, "--settle", 1.5, "--stop-p99", LIMIT_SLOW_US, "--ramp", 50)
        result[name] = {"windows": [
            {key: one[key] for key in ("calls", "p50", "p99", "missing", "faults", "late_p99")} | {"cpu": per_call(one), "own": one["own_cpu"] / one["seconds"]} for one in windows]}  # fmt: skip
    return result


def rivals(rig: Rig, number: int) -> Round:
    """The same of the usual bridges, and of the worker in turn with them."""
    return limit(rig, number, (*RIVALS, "worker"))


def burst(rig: Rig, number: int) -> Round:
    """All calls send at the same instant."""
    result = {}
    for name in in_turn(("floor", "worker", "Node, equal work"), number):
        steps = measured(rig, name, 300, "--steps", 200, "--seconds", 4, "--burst")
        result[name] = {"cpu": per_call(steps[0]), "p99": steps[0]["p99"]} if steps else {}
    return result


def memory(rig: Rig, number: int) -> Round:
    """Resident memory of 1,000 live calls, above that of none; and of 400 in which people talk: what they say is kept
    until the AI has understood it."""
    result = {}
    for name in in_turn(OURS, number):
        steps = measured(rig, name, 1100, "--steps", "0:1000:1000", "--seconds", 1, "--settle", 3, "--ramp", 60, "--slower", SLOWER)
        if len(steps) == 2:
            result[name] = (steps[1]["memory_kb"] - steps[0]["memory_kb"]) / steps[1]["calls"]
    for name in ("worker", "worker, TLS"):
        # begun over one turn, which takes 10 s at that pace: at any moment as many speak as at any other
        steps = measured(rig, name, 450, "--real", "--steps", "0:400:400", "--seconds", 1, "--settle", 20, "--ramp", 40, "--slower", 2)
        if len(steps) == 2:
            result[name + ", people talking"] = (steps[1]["memory_kb"] - steps[0]["memory_kb"]) / steps[1]["calls"]
    name = "Node, equal work"
    if steps := measured(rig, name, 210, "--steps", "0:200:200", "--seconds", 1):
        result[name] = (steps[-1]["memory_kb"] - steps[0]["memory_kb"]) / steps[-1]["calls"]
    return result


def greeting(rig: Rig, number: int) -> Round:
    """From `start` to the first byte of a cached greeting, and the prompt upgrade: 200 calls, 20 new ones a second."""
    upgrades = {}

    def look(server: Worker, _: dict) -> None:
        upgrades.update({key: value for key, value in server.metrics().items() if "prompt_upgrade" in key})

    measured(rig, "worker", 2, "--steps", 1)  # fills the cache
    step = measured(rig, "worker", 1200, "--steps", 200, "--seconds", 20, "--churn", 20, look=look)[0]
    total = upgrades["ringfleet_prompt_upgrade_seconds_count"]
    within = upgrades['ringfleet_prompt_upgrade_seconds_bucket{le="0.001"}']
    return {"p50": step["greeting_p50"], "p99": step["greeting_p99"], "calls": step["greeted"], "upgrades": total, "upgrades_within_1ms": within / total}


def real(rig: Rig, number: int) -> Round:
    """Turns, answers, tools and barge-ins, as people talk."""
    result = {}
    for name in in_turn(("worker", "worker, TLS"), number):
        steps = measured(rig, name, 600, "--real", "--steps", "200:500:300", "--seconds", 10, "--settle", 5)
        result[name] = {f"{one['calls']:.0f}": {"cpu": per_call(one), "up_p99": one["up_p99"], "down_p99": one["down_p99"],
                                               "tools": one["tools"], "barged_in": one["barged_in"]} for one in steps}  # fmt: skip
    return result


def syscalls(rig: Rig, number: int) -> Round:
    """System calls per frame pair (one frame in, one out), counted by strace, and how often the server went to sleep,
    which costs as much as a few of them. Who is traced is slow and hardly sleeps: that is counted without."""
    result = {}
    calls = 40
    for name in ("floor", "worker", "worker, TLS"):

        def count(server: Server, _: dict, name: str = name) -> None:
            if name not in result:
                result[name] = trace(rig, server, calls)

        # traced in the second step
        measured(rig, name, 200, "--steps", f"{calls}:{calls + 1}:1", "--seconds", TRACE_SECONDS + 3, look=count)

        for many in CALLS:

            def watch(server: Server, _: dict, name: str = name, many: int = many) -> None:
                key, before = f"sleeps at {many} calls", sleeps(server)
                if key not in result[name]:
                    time.sleep(1)
                    result[name][key] = (sleeps(server) - before) / (many * 50)

            measured(rig, name, 3 * many, "--steps", f"{many}:{many + 1}:1", "--seconds", 2, look=watch)
    return result


def sleeps(server: Server) -> int:
    """Of all its threads, so far."""
    texts = [path.read_text() for path in Path(f"/proc/{server.process.pid}/task").glob("*/status")]
    return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1]) for text in texts)


def trace(rig: Rig, server: Server, calls: int) -> dict[str, float]:
    path = rig.directory / "strace"
    tracer = subprocess.Popen(["strace", "-c", "-f", "-p", str(server.process.pid), "-o", str(path)], stderr=subprocess.DEVNULL)
    time.sleep(TRACE_SECONDS)
    tracer.send_signal(signal.SIGINT)
    tracer.wait(20)
    lines = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$", path.read_text(), re.MULTILINE)
    pairs = calls * 50 * TRACE_SECONDS
    return {name: int(count) / pairs for count, name in lines if name != "total" and int(count) > pairs / 100}


def short(rig: Rig, number: int) -> Round:
    """Memory over very many short calls."""
    sizes = []
    windows = SHORT_CALLS / SHORT_RATE / SHORT_WINDOWS
    server = Worker()
    file_calls = SHORT_CALLS + SHORT_LIVE + 1000
    with Load(rig, server, file_calls, "--steps", f"{SHORT_LIVE}:{SHORT_LIVE + SHORT_WINDOWS - 1}:1", "--seconds", windows, "--settle", 0, "--churn", SHORT_RATE, "--slower", SLOWER) as load:
        for step in load.steps():
            sizes.append(step["memory_kb"])
            ended = step["ended"]
        words = load.said()
    if len(sizes) < SHORT_WINDOWS:
        raise SystemExit(f"short: the load ended in window {len(sizes)} of {SHORT_WINDOWS}, which is no figure: {words}")
    return {"sizes_kb": sizes, "ended_in_last": ended}


def loops(rig: Rig, number: int) -> Round:
    """One loop on one core, two on two. Each core carries its own load beside the loop, in both cases the same: what
    is left for a loop does not change, and the load grows with the calls."""
    result = {}
    for threads in (1, 2):
        server = Worker(threads=threads)
        options = ("--steps", LOOP_CALLS, "--seconds", 6, "--settle", 2)
        with contextlib.ExitStack() as stack:
            loads = [stack.enter_context(Load(rig, server, 2 * LOOP_CALLS, *options, core=core, second=core > 0)) for core in range(threads)]
            steps = [list(load.steps())[0] for load in loads]
        carried = sum(step["calls"] for step in steps)
        # both loads look at the same process, at nearly the same time
        cpu_us = statistics.mean(step["cpu"] / step["seconds"] for step in steps) / carried * 1e6
        result[str(threads)] = {"calls": carried, "cpu": cpu_us, "p99": max(step["p99"] for step in steps), "missing": sum(step["missing"] for step in steps)}
    return result


def journal(rig: Rig, number: int) -> Round:
    """Appends a second through the worker's journal, and of bare hiredis, by how many are under way."""
    result = {}
    for depth in JOURNAL_DEPTHS:
        for kind in in_turn(("raw", "journal"), number):
            words = [BUILD / "tests" / "bench_journal", kind, rig.redis_server.port, depth, JOURNAL_ENTRIES]
            with on_core(SERVER_CORE):
                done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=120, check=True)
            result.setdefault(str(depth), {})[kind] = float(done.stdout)
            rig.forget_calls()
    return result


PARTS: dict[str, Callable[[Rig, int], Round]] = {
    "cpu": cpu, "limit": limit, "rivals": rivals, "burst": burst, "memory": memory, "greeting": greeting, "real": real,
    "syscalls": syscalls, "short": short, "loops": loops, "journal": journal,
}  # fmt: skip


# ---- the table ----

Kept = dict[str, list[Round]]


def median(rounds: list[Round], take: Callable[[Round], float]) -> float | None:
    values = []
    for one in rounds:
        try:
            values.append(take(one))
        except (KeyError, ZeroDivisionError):
            pass
    return statistics.median(values) if values else None


def print_cpu(rounds: list[Round]) -> None:
    for calls in map(str, CALLS):
        for suffix in ("", ", TLS"):
            floor = median(rounds, lambda one: one["floor" + suffix][calls])
            ours = median(rounds, lambda one: one["worker" + suffix][calls])
            ratio = median(rounds, lambda one: one["worker" + suffix][calls] / one["floor" + suffix][calls])
            if ratio is not None:
                row(f"CPU per call-second at {calls} calls{suffix}: floor / worker, us", f"{floor:.0f} / {ours:.0f} = {ratio:.2f}x", "<= 1.15x", ratio <= 1.15)
    for name in RIVALS[:3]:
        calls = str(FEW[name][0])
        value = median(rounds, lambda one: one[name][calls])
        times = median(rounds, lambda one: one[name][calls] / one["worker"]["200"])
        if value is not None:
            row(f"  {name}, at {calls} calls, us", f"{value:.0f} = {times:.1f}x ours")


def limit_in(rounds: list[Round], name: str, bound_us: int) -> int:
    return limit_of([one[name]["windows"] for one in rounds if one[name]["windows"]], LIMIT_WINDOWS, bound_us)


def print_limit(rounds: list[Round]) -> None:
    for suffix in ("", ", TLS"):
        floor = limit_in(rounds, "floor" + suffix, LIMIT_FAST_US)
        for words, bound, factor in (("p99 < 10 ms", LIMIT_FAST_US, 1.0), ("p99 < 25 ms", LIMIT_SLOW_US, 1.25)):
            ours = limit_in(rounds, "worker" + suffix, bound)
            if floor:
                row(f"calls on one core, none lost, {words}{suffix}: floor's 10 ms / worker", f"{floor} / {ours} = {ours / floor:.2f}x", f">= {factor:.2f}x", ours / floor >= factor)
    for name in ("floor", "worker"):
        full = [window["calls"] for one in rounds for window in one[name]["windows"] if window["own"] >= LOAD_FULL]
        if full:
            row(f"  the load's own core was full beside the {name}, first at", f"{min(full):.0f}")


def print_rivals(rounds: list[Round]) -> None:
    for words, bound in (("p99 < 10 ms", LIMIT_FAST_US), ("p99 < 25 ms", LIMIT_SLOW_US)):
        ours = limit_in(rounds, "worker", bound)
        for name, factor in zip(RIVALS, (3, 4, 10, 15)):
            theirs = limit_in(rounds, name, bound)
            if theirs:
                row(f"calls on one core, {words}: {name} / worker", f"{theirs} / {ours} = {ours / theirs:.1f}x", f">= {factor}x", ours / theirs >= factor)


def print_burst(rounds: list[Round]) -> None:
    ratio = median(rounds, lambda one: one["worker"]["cpu"] / one["Node, equal work"]["cpu"])
    ours = median(rounds, lambda one: one["worker"]["cpu"])
    p99 = median(rounds, lambda one: one["worker"]["p99"])
    if ratio is not None:
        row("all 200 calls at the same instant: CPU of the worker, of Node's", f"{ours:.0f} us = {ratio:.2f}x", "<= 0.33x", ratio <= 1 / 3)
        row("  p99 latency, ms", f"{p99 / 1000:.1f}")


def print_memory(rounds: list[Round]) -> None:
    for name, target in (("floor", None), ("worker", 12), ("floor, TLS", None), ("worker, TLS", 36), ("worker, people talking", None), ("worker, TLS, people talking", None), ("Node, equal work", None)):
        kb = median(rounds, lambda one: one[name])
        if kb is not None:
            row(f"resident memory per live call, {name}, KB", f"{kb:.1f}", f"<= {target}" if target else "", kb <= target if target else None)


def print_greeting(rounds: list[Round]) -> None:
    p50, p99 = (median(rounds, lambda one: one[key]) for key in ("p50", "p99"))
    share = median(rounds, lambda one: one["upgrades_within_1ms"])
    row("start to the first byte of a cached greeting, p50 / p99, ms", f"{p50 / 1000:.2f} / {p99 / 1000:.2f}", "p99 < 5 ms", p99 < 5000)
    row("prompt upgrade, decision to socket, within 1 ms", f"{100 * share:.1f} %", ">= 99 %", share >= 0.99)


def print_real(rounds: list[Round]) -> None:
    for name in ("worker", "worker, TLS"):
        for calls in map(str, CALLS):
            us, up, down = (median(rounds, lambda one: one[name][calls][key]) for key in ("cpu", "up_p99", "down_p99"))
            if us is not None:
                row(f"people talking, {calls} calls, {name}: CPU per call-second, us", f"{us:.0f}")
                row("  p99 to the AI / to the caller, ms", f"{up / 1000:.1f} / {down / 1000:.1f}")


def print_syscalls(rounds: list[Round]) -> None:
    for name in ("floor", "worker", "worker, TLS"):
        names = sorted({call for one in rounds for call in one.get(name, {})})
        values = {call: median(rounds, lambda one: one[name][call]) for call in names}
        calls = {call: value for call, value in values.items() if "sleeps" not in call}
        row(f"system calls per frame pair, {name}", f"{sum(calls.values()):.2f}")
        print("  " + ", ".join(f"{call} {value:.2f}" for call, value in calls.items()))
        print("  not traced: " + ", ".join(f"{call} {value:.2f}" for call, value in values.items() if call not in calls))


def print_short(rounds: list[Round]) -> None:
    first, last = (median(rounds, lambda one: one["sizes_kb"][at]) for at in (1, -1))
    row(f"memory after {SHORT_CALLS * 2 // SHORT_WINDOWS:,} and {SHORT_CALLS:,} short calls, KB", f"{first:.0f} / {last:.0f}", "flat", last - first < 1024)


def print_loops(rounds: list[Round]) -> None:
    times = median(rounds, lambda one: 2 * one["1"]["cpu"] / one["2"]["cpu"])
    p99 = [median(rounds, lambda one: one[threads]["p99"]) for threads in ("1", "2")]
    row(f"two loops on two cores, of one ({LOOP_CALLS} calls a core)", f"{times:.2f}x", ">= 1.8x", times >= 1.8)
    row("  p99 latency of one / of two, ms", f"{p99[0] / 1000:.1f} / {p99[1] / 1000:.1f}")


def print_journal(rounds: list[Round]) -> None:
    for depth in map(str, JOURNAL_DEPTHS):
        raw, ours = (median(rounds, lambda one: one[depth][kind]) for kind in ("raw", "journal"))
        ratio = median(rounds, lambda one: one[depth]["journal"] / one[depth]["raw"])
        row(f"journal appends, {depth} under way, a second", f"{ours:,.0f} = {ratio:.2f} of XADD", ">= 0.85", ratio >= 0.85)


def table(kept: Kept, parts: list[str]) -> None:
    printers = {"cpu": print_cpu, "limit": print_limit, "rivals": print_rivals, "burst": print_burst,
                "memory": print_memory, "greeting": print_greeting, "real": print_real, "syscalls": print_syscalls, "short": print_short, "loops": print_loops, "journal": print_journal}  # fmt: skip
    for part in parts:
        printers[part](kept[part])


def draw(kept: Kept, path: Path) -> None:
    rounds = kept.get("memory", [])
    names = tuple(SERVERS)
    calls = chart.medians(names, lambda name: limit_in(kept.get("limit" if name in OURS else "rivals", []), name, LIMIT_SLOW_US) or None)
    kilobytes = chart.medians(names, lambda name: median(rounds, lambda one: one[name]))
    times = chart.medians(names, lambda name: median(kept.get("cpu", []), lambda one: one[name][str(FEW.get(name, CALLS)[0])]))
    blocks = [("CPU of one call, every frame echoed, at 200 calls (Python: at 50)", "us a second", times),
              ("Calls on one core, every frame echoed, p99 of the added latency below 25 ms, none lost", "", calls),
              ("Resident memory per live call", "KB", kilobytes)]  # fmt: skip
    chart.draw(blocks, path)


def load_kept() -> Kept:
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="forget earlier rounds of these parts")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="also draw the figures as an SVG picture")
    parser.add_argument("--fsync", choices=("always", "everysec"), default="everysec", help="of Redis' append-only file")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    kept = load_kept()
    wanted = [] if options.table else options.parts or list(PARTS)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; Redis appendfsync {options.fsync}")
    for part in wanted:
        if options.fresh:
            kept.pop(part, None)
        for _ in range(options.rounds):
            with Rig(options.fsync) as rig:
                rounds = kept.setdefault(part, [])
                rounds.append(PARTS[part](rig, len(rounds)))
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            KEPT.write_text(json.dumps(kept, indent=1))
    table(kept, [part for part in PARTS if part in kept and (options.table or part in wanted)])
    if options.chart:
        draw(kept, options.chart)


if __name__ == "__main__":
    main()
