"""How many calls a server carries, from the windows that were measured at ever more calls in several rounds. Pure."""

import statistics

Window = dict[str, float]
SLOW = float("inf")


def limit_of(runs: list[list[Window]], windows: int, bound_us: int) -> int:
    """The most calls at which the median of all windows is below the bound and has lost nothing; 0: none. runs: those of
    a round each, with `windows` at each number of calls; where a round had ended its search before, all of them count as
    slow."""
    most = 0
    for calls in sorted({window["calls"] for run in runs for window in run}):
        latencies = []
        for run in runs:
            here = [SLOW if one["missing"] or one["faults"] else one["p99"] for one in run if one["calls"] == calls]
            latencies += here + [SLOW] * (windows - len(here))
        if statistics.median(latencies) < bound_us:
            most = int(calls)
    return most
