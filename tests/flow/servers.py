"""Private servers for a test: Redis and Postgres on free ports of 127.0.0.1, in a directory of their
own, ended by their process ids."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

import psycopg
import redis
from psycopg.rows import dict_row

from .ports import free_port

HARNESS = "ringfleet-harness"  # application_name of our own connections
# Time, sender and text of a statement in the log; its further lines are indented.
_STATEMENT = re.compile(
    r"^([0-9.]+)\|(.*?)\|LOG:  (?:statement|execute (?:.*?)): (.*(?:\n  .*)*)", re.MULTILINE
)


def eventually(what: str, condition: Callable[[], object], timeout: float = 20) -> object:
    """The first true value of `condition`; for things that announce themselves to nobody."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.02)


def end_process(process: subprocess.Popen, how: int = signal.SIGTERM, seconds: float = 20) -> bool:
    """Asks a process to end; kills it if it does not. False if it had to be killed."""
    if process.poll() is not None:
        return True
    process.send_signal(how)
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


def start_process(command: list[str], log: Path) -> subprocess.Popen:
    with open(log, "ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out)


class RedisServer:
    """Set up as the design asks: noeviction, append-only file, an fsync with every write.

    With RINGFLEET_TEST_ACL every program is a user of its own, with no more rights than the chart gives
    it; what it was refused fails the test. The variable names a directory with users.acl and, for each
    program, a file redis-url-<program>."""

    def __init__(
        self, directory: Path, fsync: str = "always", settings: dict[str, object] | None = None
    ) -> None:
        self.port = free_port()
        self.announced = self.port  # where others are told that it is
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.log = directory / "redis.log"
        self._directory = directory
        self._fsync = fsync
        self._settings = settings or {}
        self._process: subprocess.Popen | None = None
        self._acl = os.environ.get("RINGFLEET_TEST_ACL")
        directory.mkdir(parents=True)

    def url_of(self, program: str) -> str:
        if self._acl is None:
            return self.url
        user = (Path(self._acl) / f"redis-url-{program}").read_text().rpartition("@")[0]
        return f"{user}@127.0.0.1:{self.port}/0"

    def configure(self, **settings: object) -> None:
        """From the next start on; an underscore stands for a hyphen."""
        self._settings = {**self._settings, **{name.replace("_", "-"): value for name, value in settings.items()}}

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._directory), "--appendonly", "yes"]
        command += ["--appendfsync", self._fsync, "--save", "", "--maxmemory-policy", "noeviction"]
        if self._acl is not None:
            command += ["--aclfile", str(Path(self._acl) / "users.acl")]
        for name, value in self._settings.items():
            command += [f"--{name}", str(value)]
        self._process = start_process(command, self.log)
        eventually("redis to answer", self._answers)

    def start_empty(self) -> None:
        """Again, with nothing of what it had: as one without an append-only file comes back."""
        self.stop(signal.SIGKILL)
        shutil.rmtree(self._directory / "appendonlydir")
        self.start()

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._process is None:
            return
        refused = []
        if self._acl is not None and self._process.poll() is None:
            refused = self.client().acl_log()
        end_process(self._process, how)
        if refused:
            raise AssertionError(f"Redis refused what the programs need: {refused}")

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def client(self, timeout: float | None = None) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True, socket_timeout=timeout)

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"redis-server ended; see {self.log}")
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False


class PostgresServer:
    """Logs every statement with the time and the program that sent it. Settings given are added to
    those of a test, or replace them."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.port = free_port()
        self.log = directory / "postgres.log"
        self._data = directory / "data"
        self._settings = settings
        self._process: subprocess.Popen | None = None
        self._connection: psycopg.Connection | None = None
        # initdb and postgres refuse to work for root.
        self._user = "postgres" if os.getuid() == 0 else None
        directory.mkdir(parents=True)
        if self._user:
            shutil.chown(directory, self._user)
        self._run(
            "initdb",
            "-D",
            str(self._data),
            "-U",
            "ringfleet",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        )

    def url(self, application: str) -> str:
        return (
            f"postgresql://ringfleet@127.0.0.1:{self.port}/postgres?application_name={application}"
        )

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": self._data.parent,
            "log_statement": "all",
            "log_line_prefix": "%n|%a|",
            "log_checkpoints": "off",
            "fsync": "off",  # a killed process loses nothing by it; only a dead machine would
            **self._settings,
        }
        command = [binary("postgres"), "-D", str(self._data)]
        command += [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", **self._as_user()
            )
        eventually("postgres to answer", self._answers)

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT is the fast shutdown: connections are ended."""
        self.forget_connection()
        if self._process is not None:
            end_process(self._process, how)

    def forget_connection(self) -> None:
        """Our own connection is, or may be, broken: the next query makes another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def sql(self, query: str, *parameters: object) -> list[dict]:
        if self._connection is None:
            self._connection = psycopg.connect(
                self.url(HARNESS), autocommit=True, row_factory=dict_row
            )
        cursor = self._connection.execute(query, parameters or None)
        return cursor.fetchall() if cursor.description else []

    def statements_between(self, begin: float, end: float) -> list[str]:
        """Statements of others with their sender, from the millisecond of `begin` to the one before
        `end` (both seconds since 1970): the log knows no finer time."""
        found = []
        first, last = int(begin * 1000), int(end * 1000) - 1
        text = self.log.read_text(errors="replace").replace(
            "\n\t", "\n  "
        )  # lines of one statement
        for seconds, sender, statement in _STATEMENT.findall(text):
            if sender != HARNESS and first <= round(float(seconds) * 1000) <= last:
                found.append(f"{sender}: {statement}")
        return found

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"postgres ended:\n{self.log.read_text()[-2000:]}")
        try:
            psycopg.connect(self.url(HARNESS), connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [binary(name), *arguments], cwd="/", capture_output=True, text=True, **self._as_user()
        )
        if done.returncode != 0:
            raise RuntimeError(f"{name} failed:\n{done.stderr}")

    def _as_user(self) -> dict:
        if self._user is None:
            return {}
        return {"user": self._user, "group": self._user, "extra_groups": []}


def binary(name: str) -> str:
    """Debian keeps the server's programs out of PATH; the newest version is taken."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2])
    )
    for directory in reversed(versions):
        if (directory / name).exists():
            return str(directory / name)
    found = shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is not installed; run tests/setup")
    return found
