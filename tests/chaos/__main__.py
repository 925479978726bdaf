"""Plays many calls through a whole fleet while its parts are killed, frozen and cut off from each
other, and compares what everybody saw with what is in Postgres."""

import argparse
import random
import sys
import time

from .faults import KINDS
from .store import SHAPES
from .suite import Options, run, summary


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    parser.add_argument("--seed", type=int, help="replays this seed (default: a new one)")
    parser.add_argument("--minutes", type=float, default=1, help="how long faults happen, in all")
    parser.add_argument("--round", type=float, default=60, help="seconds of faults for each seed")
    parser.add_argument("--calls", type=int, default=12, help="at once")
    parser.add_argument("--every", type=float, default=2.5, help="seconds between two faults")
    parser.add_argument("--redis", choices=SHAPES, default="single", help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--kinds", default=",".join(KINDS), help="of faults, or kind:action (default: %(default)s)")
    given = parser.parse_args()
    seconds = min(given.round, given.minutes * 60)
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    results = []
    deadline = time.monotonic() + given.minutes * 60
    while not results or time.monotonic() < deadline:
        kinds = tuple(given.kinds.split(","))
        options = Options(seed, seconds, given.calls, given.every, kinds, given.workers, redis=given.redis)
        result = run(options, lambda line: print(line, flush=True))
        results.append(result)
        for problem in result.findings.problems:
            print(f"seed {seed}: {problem}", flush=True)
        if result.findings.problems:
            print("\n".join(f"  {fault} ({fault.begun_ms:.0f})" for fault in result.faults), flush=True)
        seed += 1
    print(summary(results))
    return 1 if any(result.findings.problems for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
