"""`flusher migrate`: numbered, repeatable, and safe on a database that is in use."""

import threading

import psycopg
import pytest

from .flusher_rig import TESTS, FlusherRig
from .servers import eventually

OLD_ROWS = 50_000


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def rig(servers):
    servers.reset()
    yield servers
    assert not servers.stop_all()


def test_two_migrates_at_once(rig):
    assert rig.migrate("--to", "0").returncode == 0
    assert rig.sql("select * from schema_migration") == []
    both = [rig.migrate(wait=False) for _ in range(2)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    applied = sorted(line for out, _ in said for line in out.splitlines() if line.startswith("applied"))
    planned = len(list((TESTS.parent / "flusher" / "sql" / "migrations").glob("*_down.sql")))
    assert len(applied) == len(set(applied)) == planned
    assert rig.migrate("--dry-run").stdout == ""


def test_a_migration_that_fails_leaves_nothing(rig):
    assert rig.migrate("--to", "2").returncode == 0
    rig.sql("create table recording (mine int)")
    failed = rig.migrate()
    assert failed.returncode == 1
    assert "0003_calls.sql" in failed.stderr and "recording" in failed.stderr
    assert rig.sql("select to_regclass('call_log') as t") == [{"t": None}]
    rig.sql("drop table recording")
    assert rig.migrate().returncode == 0


@pytest.mark.parametrize("usage, sqlstate", [("", "3F000"), ("grant usage on schema public to guest;", "42501")])
def test_a_role_that_may_not_create_tables(rig, usage, sqlstate):
    rig.sql(f"create role guest login; {usage}")
    url = rig.postgres.url("migrate").replace("ringfleet@", "guest@")
    done = rig.command("migrate", "--to", "1", "--database-url", url)
    rig.sql("drop owned by guest; drop role guest")
    assert done.returncode == 1 and f"{sqlstate}; give --database-url with a role that may create tables" in done.stderr


def test_a_dry_run_changes_nothing(rig):
    assert rig.migrate("--to", "0").returncode == 0
    said = rig.migrate("--dry-run", "--to", "2").stdout.splitlines()
    assert said == ["would apply 0001_flush_ledger.sql", "would apply 0002_businesses.sql"]
    assert rig.sql("select to_regclass('call_flush') as t") == [{"t": None}]


@pytest.mark.parametrize("words", [["--to", "x"], ["--to"], ["--to=-1"], ["--to", "99"], ["--dry-run", "--to", "99"], ["to", "2"], ["plan"]])
def test_a_mistyped_command_changes_nothing(rig, words):
    done = rig.migrate(*words)
    assert done.returncode == 2 and done.stderr, done


def test_there_and_back_again(rig):
    everything = "select table_name, column_name, data_type, is_nullable from information_schema.columns where table_schema = 'public' order by 1, 2"
    before = rig.sql(everything)
    steps = len(rig.sql("select * from schema_migration"))
    for version in range(steps - 1, -1, -1):
        assert rig.migrate("--to", str(version)).returncode == 0
    assert rig.sql("select table_name from information_schema.tables where table_schema = 'public'") == [
        {"table_name": "schema_migration"}
    ]
    assert rig.migrate().returncode == 0
    assert rig.sql(everything) == before


# ---- a database that was there before ----


@pytest.fixture
def old(rig):
    """A call_log without call_sid, where each call had to have a conversation."""
    assert rig.migrate("--to", "0").returncode == 0
    rig.sql(
        "create table call_log (id bigint generated always as identity primary key, driver_id text, "
        "conversation_id text not null, status text, created_at timestamptz not null default now())"
    )
    rig.sql(
        "insert into call_log (driver_id, conversation_id, status, created_at) "
        "select case when i %% 10 > 0 then 'd' || i %% 100 end, 'conv_' || i, "
        "case when i %% 4 = 0 then 'failed' else 'completed' end, "
        "timestamptz '2026-01-01 00:00:00+00' + (i / 200) * interval '1 minute' "
        "from generate_series(1, %s) as i",
        OLD_ROWS,
    )
    return rig


class OldCode(threading.Thread):
    """Goes on inserting the way it always did, as fast as it is let."""

    def __init__(self, url: str, drivers: int = 7, search_path: str = "public") -> None:
        super().__init__(daemon=True)
        self.url = url
        self.drivers = drivers
        self.search_path = search_path
        self.stop = threading.Event()
        self.inserted = 0
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with psycopg.connect(self.url, autocommit=True, options=f"-c search_path={self.search_path}") as connection:
                while not self.stop.is_set():
                    connection.execute(
                        "insert into call_log (driver_id, conversation_id, status) values (%s, %s, 'completed')",
                        (f"d{self.inserted % self.drivers}", f"new_{self.inserted}"),
                    )
                    self.inserted += 1
        except Exception as error:
            self.error = error


def test_an_old_call_log_with_old_code_at_work(old):
    code = [OldCode(old.postgres.url("old")) for _ in range(2)]
    for one in code:
        one.start()
    eventually("the old code to be at work", lambda: all(one.inserted > 50 for one in code))
    during = sum(one.inserted for one in code)
    done = old.migrate()
    during = sum(one.inserted for one in code) - during
    eventually("old code to go on", lambda: sum(one.inserted for one in code) > during + 50)
    for one in code:
        one.stop.set()
        one.join(10)
    assert done.returncode == 0, done.stderr
    assert [one.error for one in code] == [None, None]
    assert during > 0
    total = OLD_ROWS + sum(one.inserted for one in code)
    counts = old.one("select count(*) as n, count(distinct call_sid) as sids, count(conversation_id) as c from call_log")
    assert counts == {"n": total, "sids": total, "c": total}
    # the documented form: driver, second; the row's id behind it where that was taken
    row = old.one("select * from call_log where id = 211")
    assert row["call_sid"] == "EL_d11_1767225660" and row["driver"] == "d11"
    twin = old.one("select * from call_log where id = 311")
    assert twin["call_sid"] == "EL_d11_1767225660_311"
    assert old.one("select call_sid from call_log where id = 210")["call_sid"].startswith("EL_UNKNOWN_1767225660")
    assert old.sql("select 1 from call_log where call_sid !~ '^EL_(d[0-9]+|UNKNOWN)_[0-9]+(_[0-9]+)?$'") == []
    # reports
    report = old.sql("select * from call_report_by_driver where day = '2026-01-01' and driver = 'UNKNOWN'")
    assert [(row["calls"], row["succeeded"] + row["failed"]) for row in report] == [(5000, 5000)]
    assert old.one("select sum(failed) as n from call_report_by_business")["n"] == OLD_ROWS // 4
    # and new code works on it
    call = old.call("CA1").open().claim()
    call.turn("hello")
    call.end()
    call.status("completed", 1, final=True)
    old.start()
    old.wait_flushed()
    assert old.one("select status, conversation_id from call_log where call_sid = 'CA1'") == {
        "status": "completed",
        "conversation_id": None,
    }


# What takes a moment between a look and a lock, so that others commit in between.
SLOW_LOCK = """
create schema slow;
create function slow.pg_try_advisory_xact_lock(one int, other int) returns boolean language plpgsql as $$
begin
    perform pg_sleep(0.02);
    return pg_catalog.pg_try_advisory_xact_lock(one, other);
end
$$;
"""


def test_old_code_that_writes_calls_of_one_driver_in_the_same_second(old):
    """Who gets the lock on a name must see what was committed by whoever had it until a moment ago."""
    assert old.migrate().returncode == 0
    old.sql(SLOW_LOCK)
    code = [OldCode(old.postgres.url("old"), drivers=1, search_path="slow,pg_catalog,public") for _ in range(3)]
    for one in code:
        one.start()
    eventually("some calls of each", lambda: any(one.error for one in code) or all(one.inserted > 20 for one in code))
    for one in code:
        one.stop.set()
        one.join(10)
    old.sql("drop schema slow cascade")
    assert [one.error for one in code] == [None] * 3


def test_an_old_call_log_survives_the_way_back(old):
    assert old.migrate().returncode == 0
    assert old.migrate("--to", "0").returncode == 0
    assert old.one("select count(*) as n from call_log")["n"] == OLD_ROWS
    assert old.migrate().returncode == 0


def test_a_migration_that_was_broken_off_is_begun_again(old):
    """Two rows of one name, where the name must be unique: an index is left that is not valid."""
    old.sql("alter table call_log add column call_sid text")
    old.sql("update call_log set call_sid = 'twice' where id in (1, 2)")
    failed = old.migrate()
    assert failed.returncode == 1 and "0005" in failed.stderr and "23505" in failed.stderr, failed.stderr
    assert old.one("select max(version) as n from schema_migration")["n"] == 4
    old.sql("update call_log set call_sid = 'once' where id = 2")
    assert old.migrate().returncode == 0
    assert old.sql("select 1 from pg_index where not indisvalid") == []


def test_a_table_that_is_held_is_waited_for_a_while(old):
    assert old.migrate("--to", "4").returncode == 0
    with psycopg.connect(old.postgres.url("holder")) as holder:
        holder.execute("lock table call_log in access share mode")
        process = old.migrate(wait=False)
        eventually(
            "migrate to wait",
            lambda: old.sql("select 1 from pg_stat_activity where application_name = 'migrate' and wait_event_type = 'Lock'"),
        )
        eventually(  # it gives up, so that others get through, and tries again
            "others to get through",
            lambda: old.sql("insert into call_log (conversation_id) values ('between') returning 1"),
        )
        holder.rollback()
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "applied 0005" in out
