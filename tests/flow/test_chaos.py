"""A little of what tests/chaos does at length: calls under seeded faults, and nothing is lost, double or wrong."""

import pytest

from chaos.suite import Options, replacement, run

pytestmark = pytest.mark.usefixtures("programs")


def test_a_short_storm():
    result = run(Options(seed=3, seconds=15, calls=5, every=1.3))
    result.check()
    assert len(result.faults) >= 8 and result.findings.counts["turns in Postgres"] >= 20


def test_an_upgrade_cuts_no_call_and_keeps_none_waiting():
    """Every worker is replaced while calls are on the line: they are handed over between two turns."""
    every = 4.0
    options = Options(seed=7, seconds=3 * every + 2, calls=5, workers=3)
    result = run(options, faults=replacement(options.workers, every))
    result.check()
    assert all(one.finished for one in result.stories)
    assert result.findings.counts["resumes"] >= 3
    assert [said for one in result.stories for said in one.call.data("say")] == []
