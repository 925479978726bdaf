"""What every flow test shares: the programs' own words in the report of a failed test."""

import pytest

# the shared checks explain themselves as those in the tests do
shared = ("after_call", "cast", "chat", "first_call", "flusher_rig", "outbound_rig", "raw_peer", "warmer_rig")
pytest.register_assert_rewrite(*(f"flow.{name}" for name in shared))

from flow import fleet  # noqa: E402


def pytest_runtest_setup():
    fleet.last_words.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for words in [one.report() for one in fleet.running] + fleet.last_words:
            report.sections.append(("programs", words))


@pytest.fixture(scope="session")
def programs():
    """Skips a test of the real programs where they are not built."""
    missing = [
        name
        for name in ("warmer", "worker", "flusher")
        if not (fleet.bin_directory() / name).exists()
    ]
    if missing:
        pytest.skip(f"not built in {fleet.bin_directory()}: {', '.join(missing)}")
