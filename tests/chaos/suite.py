"""One run: calls, faults, and the verdict."""

import heapq
import itertools
import random
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import NamedTuple

from standins.clock import now_ms

from . import oracle
from .faults import KINDS, Fault, draw, steps
from .rig import Rig
from .story import CALLERS, Plan, Story

WARM_UP_SECONDS = 2.0
NEXT_CALLER_SECONDS = 0.3
HEALED_SECONDS = 60  # after the last fault
CALL_SECONDS = 150  # the longest a call may take, faults and all


@dataclass
class Options:
    seed: int
    seconds: float = 60  # in which faults happen
    calls: int = 12  # at once
    every: float = 2.5  # seconds between two faults, on average
    kinds: tuple[str, ...] = KINDS
    workers: int = 3
    warmers: int = 2
    flushers: int = 2
    redis: str = "single"  # or sentinel, cluster


class Resume(NamedTuple):
    """After a lost stream: from the webhook's request until the AI is asked to go on, and from its first audio
    to the carrier's. What lies between is its thinking, and the caller's words if he speaks just then; what it
    takes to accept the settings is its time too."""

    own_ms: float  # without the carrier's time either, from the TwiML to the stream's start
    ms: float
    began_ms: float
    worker: str
    call: str


@dataclass
class Result:
    options: Options
    faults: list[Fault]
    stories: list[Story]
    findings: oracle.Findings
    resumes: list[Resume]
    stalls: list[tuple[float, float]]  # of the machine

    def check(self) -> None:
        if self.findings.problems:
            faults = "\n  ".join(f"{one} ({one.begun_ms:.0f})" for one in self.faults)
            raise AssertionError(
                f"seed {self.options.seed}:\n" + "\n".join(self.findings.problems) + f"\nfaults:\n  {faults}"
            )


class Timetable:
    """Runs steps when they are due; a step that answers False is tried again a moment later."""

    def __init__(self) -> None:
        self._heap: list = []
        self._order = itertools.count()

    def add(self, at: float, step) -> None:
        heapq.heappush(self._heap, (at, next(self._order), step))

    def run_due(self) -> None:
        while self._heap and self._heap[0][0] <= time.monotonic():
            _, _, step = heapq.heappop(self._heap)
            if step() is False:
                self.add(time.monotonic() + 0.1, step)

    def empty(self) -> bool:
        return not self._heap


class Callers:
    """Keeps so many calls going until the time is over. While all are told that there is nobody, they come in turn."""

    def __init__(self, rig: Rig, rng: random.Random, most: int) -> None:
        self.stories: list[Story] = []
        self._rig = rig
        self._rng = rng
        self._most = most
        self._next = 0.0

    def active(self) -> list[Story]:
        return [one for one in self.stories if not one.call.task.done()]

    def fill(self) -> None:
        now = time.monotonic()
        if now >= self._next and len(self.active()) < self._most and len(self.stories) < CALLERS:
            self._next = now + NEXT_CALLER_SECONDS
            self.stories.append(self._rig.place(Plan.draw(self._rng, len(self.stories))))


def schedule(options: Options) -> list[Fault]:
    """From the seed alone."""
    counts = {"worker": options.workers, "warmer": options.warmers, "flusher": options.flushers}
    names = {kind: [f"{kind}-{i + 1}" for i in range(count)] for kind, count in counts.items()}
    rng = random.Random(f"faults {options.seed}")
    return draw(rng, options.seconds, options.every, list(options.kinds), names, options.redis)


def replacement(workers: int, every: float) -> list[Fault]:
    """An upgrade: each worker is asked to go, and another starts in its place, while calls are on the line."""
    return [Fault(i * every, "worker", "term", f"worker-{i + 1}", 0.05) for i in range(workers)]


def run(options: Options, tell=lambda line: None, faults: list[Fault] | None = None) -> Result:
    faults = schedule(options) if faults is None else faults
    tell(f"seed {options.seed}: {len(faults)} faults in {options.seconds:.0f} s, {options.calls} calls at once, Redis: {options.redis}")
    with Rig(workers=options.workers, warmers=options.warmers, flushers=options.flushers, redis=options.redis) as rig:
        callers = Callers(rig, random.Random(f"callers {options.seed}"), options.calls)
        table = Timetable()
        start = time.monotonic() + WARM_UP_SECONDS
        for fault in faults:
            for offset, step in steps(fault, rig):
                table.add(start + fault.at + offset, step)
        while time.monotonic() < start + options.seconds or not table.empty():
            if time.monotonic() > start + options.seconds + HEALED_SECONDS:
                left = [str(one) for one in faults if not one.ended_ms]
                raise TimeoutError(f"seed {options.seed}: these faults do not heal: {left}")
            callers.fill()
            table.run_due()
            time.sleep(0.05)
        _wait_for_calls(callers, tell)
        findings = oracle.check(rig, faults)
        resumed = resumes(rig, callers.stories, faults)
        return Result(options, faults, callers.stories, findings, resumed, rig.stalls())


def _wait_for_calls(callers: Callers, tell) -> None:
    tell(f"{len(callers.stories)} calls, the last {len(callers.active())} may finish")
    deadline = time.monotonic() + CALL_SECONDS
    while callers.active() and time.monotonic() < deadline:
        time.sleep(0.05)
    for one in callers.active():
        one.call.violate("the call does not end")


def resumes(rig: Rig, stories: list[Story], faults: list[Fault]) -> list[Resume]:
    """Those that no other fault was in the way of: what a worker lacks is not its own slowness."""
    weather, found = oracle.Weather(faults, rig.stalls()), []
    for one in stories:
        asked, answered, started, worker = None, 0.0, 0.0, ""
        for event in one.call.events:
            if event.kind == "twiml" and "/voice/after/" in event.data["url"]:
                body, answered = event.data["body"], event.ms
                asked = answered - event.data["ms"] if "<Connect" in body and "<Pause" not in body else None
            elif event.kind == "media-refused":
                asked = None
            elif event.kind == "media-target":
                worker = rig.media_ports[event.data]
            elif event.kind == "start":
                started = event.ms
            elif event.kind == "media" and asked is not None:
                begin, end = one.call.began_ms + asked, one.call.began_ms + event.ms
                asks = [ms for ms in one.asks if begin <= ms <= end]
                audio = [ms for _, ms in one.thinking if begin <= ms <= end]
                if asks and audio and not weather.troubled(begin, end):
                    settled = sum(done - came for came, done in one.settling if begin <= came and done <= asks[0])
                    ms = asks[0] - begin + end - audio[-1] - settled
                    found.append(Resume(ms - (started - answered), ms, begin, worker, one.call.sid))
                asked = None
    return sorted(found)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def summary(results: list[Result]) -> str:
    by_action: dict[str, Counter] = defaultdict(Counter)
    counts: Counter = Counter()
    slowest_last = sorted(one for result in results for one in result.resumes)
    for result in results:
        counts += result.findings.counts
        counts["calls"] += len(result.stories)
        counts["calls finished"] += sum(one.finished for one in result.stories)
        for fault in result.faults:
            by_action[fault.kind][fault.action] += 1
    lines = ["", "fault              times"]
    for kind, actions in sorted(by_action.items()):
        lines += [f"{kind + ' ' + action:<18} {count:>5}" for action, count in sorted(actions.items())]
    lines.append("")
    lines += [f"{name:<24} {count:>6}" for name, count in sorted(counts.items())]
    stalls = [end - begin for result in results for begin, end in result.stalls]
    if stalls:
        lines.append(f"the machine stood still {len(stalls)} times, for up to {max(stalls) / 1000:.1f} s")
    lost = sum(len(result.findings.problems) for result in results)
    lines.append(f"{'lost, double, wrong':<24} {lost:>6}")
    for what, times in (
        ("after-connect webhook to first audio, less thinking", sorted(one.ms for one in slowest_last)),
        ("the same without the carrier's time", [one.own_ms for one in slowest_last]),
    ):
        if times:
            p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
            lines.append(f"{what}: p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(times)} resumes)")
    lines += [f"  {one.own_ms:.0f} ms: {one.call} on {one.worker} at {one.began_ms:.0f}" for one in slowest_last[-3:]]
    lines.append("seeds: " + ", ".join(str(result.options.seed) for result in results))
    return "\n".join(lines)
