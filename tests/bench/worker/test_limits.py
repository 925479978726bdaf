#!/usr/bin/env python3
"""What a limit is."""

import unittest

from limits import limit_of

BOUND_US = 10_000


def run(*steps: tuple[int, ...], missing: int = 0) -> list[dict[str, float]]:
    """Windows of a round: (calls, ms, ms) a step."""
    return [{"calls": calls, "p99": 1000 * ms, "missing": missing, "faults": 0} for calls, *all_ms in steps for ms in all_ms]


class Limits(unittest.TestCase):
    def limit(self, *runs: list[dict[str, float]]) -> int:
        return limit_of(list(runs), 2, BOUND_US)

    def test_the_median_window_decides(self) -> None:
        self.assertEqual(self.limit(run((500, 1, 1), (550, 2, 60), (600, 40, 50)), run((500, 1, 1), (550, 3, 4), (600, 30, 2))), 550)

    def test_a_round_that_had_ended_counts_in_full(self) -> None:
        self.assertEqual(self.limit(run((500, 1, 1), (550, 2, 2)), run((500, 1, 1))), 500)
        self.assertEqual(self.limit(run((500, 1, 1), (550, 2, 2)), run((500, 1, 1), (550, 2))), 550)

    def test_what_loses_frames_is_no_limit(self) -> None:
        self.assertEqual(self.limit(run((500, 1, 1), missing=1)), 0)

    def test_nothing_measured(self) -> None:
        self.assertEqual(self.limit(), 0)


if __name__ == "__main__":
    unittest.main()
