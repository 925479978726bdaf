"""PgBouncer between the programs and Postgres."""

import subprocess
from functools import partial

import pytest

from flow.fleet import Fleet, bin_directory
from flow.flusher_rig import FlusherRig
from flow.pgbouncer import PooledPostgres, keeps_statements
from flow.redis_functions import library
from flow.servers import eventually
from flow.warmer_rig import new_sid, report, ring, wait_database, whole_context

pytestmark = pytest.mark.usefixtures("programs")


def test_a_pool_of_sessions():
    """All there is to do with the database: to migrate, to load a call, to flush it."""
    with Fleet(ai_url="ws://127.0.0.1:1", workers=0, postgres=partial(PooledPostgres, mode="session", sessions=20)) as fleet:
        wait_database(fleet)
        ring(fleet, sid := new_sid()).connect()
        assert whole_context(fleet, sid)["source"] == "database"
        assert report(fleet, sid, "completed").status == 204
        fleet.wait_flushed(sid)
        (row,) = fleet.sql("select status from call_log where call_sid = %s", sid)
        assert row["status"] == "completed"


def test_a_pool_of_one_session():
    """Nobody but migrate can have it meanwhile: it is migrate's own."""
    with FlusherRig(partial(PooledPostgres, mode="session", sessions=1)) as rig:
        done = rig.migrate()
        assert done.returncode == 0, done.stderr


def test_sessions_shared_between_transactions():
    """Settings and locks of a session would be left with others: migrate wants another address. The flusher needs
    its prepared statements wherever a transaction goes, and says so where they are not kept."""
    with FlusherRig(partial(PooledPostgres, mode="transaction", sessions=1)) as rig:
        refused = rig.migrate()
        assert refused.returncode == 1 and "a pool in session mode" in refused.stderr
        assert not rig.sql("select 1 from pg_locks where locktype = 'advisory'")
        assert not rig.sql("select 1 from pg_tables where schemaname = 'public'")
        direct = rig.postgres.direct_url()
        subprocess.run([str(bin_directory() / "flusher"), "migrate", "--database-url", direct], check=True, timeout=60)
        flusher = rig.start(wait=False)
        if not keeps_statements():
            eventually("the advice", lambda: "max_prepared_statements" in flusher.text())
            return
        flusher.wait_ready()
        rig.redis.function_load(library(), replace=True)
        for i in range(10):
            call = rig.call(f"CA{i}").open().claim()
            call.turn("Hello?")
            call.end()
        eventually("the turns", lambda: len(rig.sql("select distinct call_sid from conversation_turn")) == 10)
