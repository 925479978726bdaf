"""No descriptors left: who comes then waits or is refused, nobody spins, and everything goes on when there are some."""

import os
import resource
import socket
import subprocess
import time

import pytest

from flow.fleet import Fleet, Program, bin_directory
from flow.servers import eventually

pytestmark = pytest.mark.usefixtures("programs")

SPIN_SHARE = 0.5  # of a core: more is a loop that asks in vain


@pytest.fixture(scope="module")
def fleet():
    with Fleet(ai_url="ws://127.0.0.1:1") as one:
        yield one


def cpu_seconds(program: Program) -> float:
    fields = open(f"/proc/{program.process.pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ports(program: Program) -> list[str]:
    return [program.admin] + ([] if program.kind == "flusher" else [program.listen])


@pytest.mark.parametrize("kind", ["warmer", "worker", "flusher"])
def test_no_descriptors_left(fleet, kind):
    program = fleet.workers[0] if kind == "worker" else getattr(fleet, kind)
    pid = program.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    open_now = len(os.listdir(f"/proc/{pid}/fd"))
    waiting, told = [], len(program.log())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, before[1]))
    try:
        for port in ports(program):
            host, number = port.split(":")
            waiting += [socket.create_connection((host, int(number))) for _ in range(3)]
        used, began = cpu_seconds(program), time.monotonic()
        time.sleep(1)  # what is measured is time
        share = (cpu_seconds(program) - used) / (time.monotonic() - began)
        told = len(program.log()) - told
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for one in waiting:
            one.close()
    assert share < SPIN_SHARE, f"{kind} used {share:.0%} of a core"
    assert 0 < told < 20
    eventually("it to be ready again", lambda: program.get("/healthz")[0] == 200)
    assert program.process.poll() is None


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


def nobody_reads() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("kind", ["warmer", "worker", "flusher"])
@pytest.mark.parametrize("log", [full_disk, nobody_reads])
def test_nowhere_to_log(fleet, kind, log):
    """Its lines are lost, and it does its work and ends as it should."""
    program = fleet._program(kind, f"{kind}-mute")
    env = {**program.environment(), "RINGFLEET_ADMIN_LISTEN": program.admin, "RINGFLEET_LOG_LEVEL": "debug"}
    if kind != "flusher":
        env["RINGFLEET_LISTEN"] = program.listen
    there = log()
    with subprocess.Popen([bin_directory() / kind], env=env, stdout=there, stderr=there) as process:
        os.close(there)
        try:
            eventually("it to be ready", lambda: program.get("/readyz")[0] == 200)
            process.terminate()
            assert process.wait(20) == 0
        finally:
            process.kill()
