"""The harness itself, with three tiny programs in place of the real ones: it must notice a program
that dies, hangs or is caught by a sanitizer, or a wrong result would pass for a right one."""

import os
import signal
import stat
import time
from pathlib import Path

import psycopg
import pytest

from flow import fleet
from flow.fleet import Fleet

PROGRAM = """#!/usr/bin/python3
import json, os, signal, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer

kind = os.path.basename(sys.argv[0])
misbehaviour = os.environ.get("FAKE_" + kind.upper(), "")
if sys.argv[1:] == ["migrate"]:
    sys.exit("no such database" if misbehaviour == "migrate" else 0)
if misbehaviour == "start":
    sys.exit("bad setting")

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"# HELP x y\\nringfleet_calls_active 0\\nringfleet_t{a=\\"b c\\"} 2\\n")
    def log_message(self, *_):
        pass

def stop(*_):
    if misbehaviour != "hang":
        os._exit(3 if misbehaviour == "exit" else 0)

signal.signal(signal.SIGTERM, stop)
host, port = os.environ["RINGFLEET_ADMIN_LISTEN"].split(":")
server = HTTPServer((host, int(port)), Page)
line = {"ts": "2026-11-20T13:45:01.123Z", "level": "info", "program": kind, "msg": "up"}
print(json.dumps({**line, "call": "CA1", "redis": os.environ["RINGFLEET_REDIS_URL"]}), file=sys.stderr)
if misbehaviour == "sanitizer":
    print("x.c:1:2: runtime error: signed integer overflow", file=sys.stderr)
server.serve_forever()
"""


@pytest.fixture
def fake_programs(tmp_path, monkeypatch):
    for name in ("warmer", "worker", "flusher"):
        path = tmp_path / name
        path.write_text(PROGRAM)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("RINGFLEET_BIN", str(tmp_path))
    monkeypatch.setattr(fleet, "STOP_SECONDS", 1)
    seed = tmp_path / "seed.sql"
    seed.write_text("create table seeded as select 7 as n")
    return seed


def test_a_fleet_runs_and_leaves_nothing_behind(fake_programs):
    with Fleet(ai_url="ws://127.0.0.1:1", seed=fake_programs, workers=2) as one:
        directory = one._directory
        pids = [program.process.pid for program in one.programs()]
        assert [program.name for program in one.programs()] == [
            "worker-1",
            "worker-2",
            "warmer",
            "flusher",
        ]
        assert one.redis().ping()
        assert one.sql("select n from seeded") == [{"n": 7}]
        assert one.warmer.metrics() == {"ringfleet_calls_active": 0, 'ringfleet_t{a="b c"}': 2}
        assert len(one.logged("up", "CA1")) == 4 and one.logged("up", "CA2") == []
        assert one.start_worker().get("/readyz")[0] == 200
        one.restart(one.warmer)
        one.workers[0].signal(signal.SIGKILL)
        pids.append(one.warmer.process.pid)
    assert not directory.exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_statements_are_counted_by_time_and_sender(fake_programs):
    with Fleet(ai_url="ws://127.0.0.1:1", seed=fake_programs) as one:
        before = time.time()
        with psycopg.connect(one.postgres.url("worker-1"), autocommit=True) as connection:
            begin = time.time()
            connection.execute("select 'inside'")
            connection.execute("select %s::text\n  as bound", ["x"])
            one.sql("select 'of the harness'")
            time.sleep(0.005)  # the log has milliseconds
            end = time.time()
            time.sleep(0.005)
            connection.execute("select 'after'")
        found = one.statements_between(begin, end)
        assert found == [
            "worker-1: select 'inside'",
            "worker-1: select $1::text\n    as bound",
        ]
        assert one.statements_between(before - 10, before - 5) == []


@pytest.mark.parametrize(
    "kind, misbehaviour, expected",
    [
        ("worker", "exit", "worker-1 left with 3"),
        ("flusher", "hang", "flusher did not stop within"),
        ("warmer", "sanitizer", "a sanitizer spoke up in warmer"),
    ],
)
def test_a_bad_end_fails_the_test(fake_programs, monkeypatch, kind, misbehaviour, expected):
    monkeypatch.setenv(f"FAKE_{kind.upper()}", misbehaviour)
    with pytest.raises(AssertionError, match=expected):
        with Fleet(ai_url="ws://127.0.0.1:1", seed=fake_programs):
            pass


def test_a_program_that_dies_in_the_test_fails_it(fake_programs):
    with pytest.raises(AssertionError, match="warmer ended by itself"):
        with Fleet(ai_url="ws://127.0.0.1:1", seed=fake_programs) as one:
            os.kill(one.warmer.process.pid, signal.SIGKILL)
            one.warmer.process.wait()


@pytest.mark.parametrize(
    "kind, misbehaviour, expected",
    [("worker", "start", "bad setting"), ("flusher", "migrate", "no such database")],
)
def test_a_program_that_does_not_start_says_why(
    fake_programs, monkeypatch, kind, misbehaviour, expected
):
    monkeypatch.setenv(f"FAKE_{kind.upper()}", misbehaviour)
    with pytest.raises(RuntimeError, match=expected):
        with Fleet(ai_url="ws://127.0.0.1:1", seed=fake_programs):
            raise AssertionError("started")
    assert fleet.running == []


def test_binaries_are_looked_for_in_the_build_directory(monkeypatch):
    monkeypatch.delenv("RINGFLEET_BIN", raising=False)
    assert fleet.bin_directory() == Path(__file__).resolve().parents[2] / "build" / "bin"
