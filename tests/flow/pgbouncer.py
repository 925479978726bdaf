"""Postgres behind a real PgBouncer: the programs get its address, the tests Postgres' own."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from .ports import free_port
from .servers import HARNESS, PostgresServer, end_process, eventually, start_process

PROGRAM = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin") or "pgbouncer"


def keeps_statements() -> bool:
    """Since 1.21 it carries prepared statements over to whichever session a transaction gets."""
    text = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"PgBouncer (\d+)\.(\d+)", text)
    assert found, text
    return (int(found[1]), int(found[2])) >= (1, 21)


class PooledPostgres(PostgresServer):
    """`mode` is PgBouncer's pool_mode, `sessions` how many of Postgres it shares out."""

    def __init__(self, directory: Path, mode: str, sessions: int) -> None:
        super().__init__(directory)
        self.pool_port = free_port()
        self._settings_file = directory / "pgbouncer.ini"
        self._pool_log = directory / "pgbouncer.log"
        self._pool: subprocess.Popen | None = None
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.pool_port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": mode,
            "default_pool_size": sessions,
            "ignore_startup_parameters": "options",
        }
        if keeps_statements():
            settings["max_prepared_statements"] = 100
        lines = ["[databases]", f"postgres = host=127.0.0.1 port={self.port} user=ringfleet", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._settings_file.write_text("\n".join(lines) + "\n")

    def url(self, application: str) -> str:
        direct = super().url(application)
        return direct if application == HARNESS else direct.replace(f":{self.port}/", f":{self.pool_port}/")

    def direct_url(self) -> str:
        return super().url("direct")

    def start(self) -> None:
        super().start()
        as_user = ["-u", self._user] if self._user else []
        self._pool = start_process([PROGRAM, *as_user, str(self._settings_file)], self._pool_log)
        eventually("pgbouncer to listen", self._listens)

    def stop(self, *how: int) -> None:
        if self._pool is not None:
            end_process(self._pool)
        super().stop(*how)

    def _listens(self) -> bool:
        assert self._pool is not None
        if self._pool.poll() is not None:
            raise RuntimeError(f"pgbouncer ended:\n{self._pool_log.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.pool_port), timeout=1).close()
        except OSError:
            return False
        return True
