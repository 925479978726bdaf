"""A little of what tests/chaos does at length: calls under seeded faults, and nothing is lost, double or wrong."""

import socket
import struct
from contextlib import suppress

import pytest

from chaos.proxies import Proxies
from chaos.faults import Fault
from chaos.suite import Options, replacement, run

pytestmark = pytest.mark.usefixtures("programs")
REDIS_AND_WORKERS = ("redis", "redis", "worker:kill")


def test_a_short_storm():
    result = run(Options(seed=6, seconds=15, calls=5, every=1.3))
    result.check()
    assert len(result.faults) >= 8 and result.findings.counts["turns in Postgres"] >= 20


def test_a_primary_is_replaced_under_calls():
    """It is killed and the Sentinels name the other; workers are killed meanwhile."""
    result = run(Options(seed=38, seconds=9, calls=4, every=2.5, kinds=REDIS_AND_WORKERS, redis="sentinel"))
    result.check()
    assert result.findings.counts["primaries replaced"] >= 1 and result.findings.counts["turns in Postgres"] >= 10


def test_a_cluster_changes_under_calls():
    """Partitions move from node to node key by key, and a primary is killed."""
    result = run(Options(seed=147, seconds=9, calls=4, every=2.5, kinds=REDIS_AND_WORKERS, redis="cluster"))
    result.check()
    assert result.findings.counts["primaries replaced"] >= 1 and result.findings.counts["keys moved"] >= 3
    assert result.findings.counts["turns in Postgres"] >= 10


def test_an_upgrade_cuts_no_call_and_keeps_none_waiting():
    """Every worker is replaced while calls are on the line: they are handed over between two turns."""
    every = 4.0
    options = Options(seed=7, seconds=3 * every + 2, calls=5, workers=3)
    result = run(options, faults=replacement(options.workers, every))
    result.check()
    assert all(one.finished for one in result.stories)
    assert result.findings.counts["resumes"] >= 3
    assert [said for one in result.stories for said in one.call.data("say")] == []


def test_the_proxy_passes_a_reset_on():
    """A worker that is killed with a request unread resets its connection: who waits for the answer must be told."""
    proxies = Proxies()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = proxies.open("any", server.getsockname()[1])
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"GET /media HTTP/1.1\r\n\r\n")
                behind, _ = server.accept()
                behind.recv(1, socket.MSG_PEEK)  # it has come, and stays unread
                behind.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                behind.close()
                with suppress(ConnectionResetError):
                    assert client.recv(1) == b""
    finally:
        proxies.stop()


def test_workers_killed_while_redis_is_away():
    """For longer than calls last: what was heard meanwhile comes from the disks of workers that are dead by then."""
    faults = [
        Fault(4, "redis", "kill", "redis", 16),
        Fault(10, "worker", "kill", "worker-1", 1),
        Fault(13, "worker", "kill", "worker-2", 8),
    ]
    result = run(Options(seed=11, seconds=22, calls=6), faults=faults)
    result.check()
    assert result.findings.counts["entries from disk"] >= 5
