"""The flusher with statements of one's own: what they may look like, and what is said of those that are wrong."""

import pytest

from .flusher_rig import FlusherRig
from .servers import eventually


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def rig(servers, tmp_path):
    servers.reset()
    servers.sql("create table said (call varchar(64), n int, words text)")
    tmp_path.chmod(0o755)
    yield servers
    words = servers.report()
    problems = servers.stop_all()
    assert not problems, "\n".join(problems) + words


def ended_call(rig, sid: str, *words: str) -> None:
    call = rig.call(sid).open().claim()
    for one in words:
        call.turn(one)
    call.end()


TURNS = "insert into said select * from unnest($1::varchar[], $2::int[], $5)"


def test_parameters_are_cast_and_left_out_as_one_likes(rig, tmp_path):
    (tmp_path / "apply_turn.sql").write_text(TURNS)
    (tmp_path / "apply_call_end.sql").write_text("\n")  # is not to be written at all
    done = rig.command("check", sql_dir=tmp_path)
    assert done.returncode == 0, done.stdout
    ended_call(rig, "CA1", "one", "two")
    rig.start(sql_dir=tmp_path)
    rig.wait_flushed()
    rows = rig.sql("select call, words from said order by n")
    assert [tuple(row.values()) for row in rows] == [("CA1", "one"), ("CA1", "two")]
    assert rig.dead() == [] and rig.sql("select * from call_log") == []


MISFIT = "a statement does not fit the database; all wait for one that does (flusher check tells more)"


def complaint(flusher) -> dict:
    """The first line that says what is wrong with a statement."""
    return eventually("a word on the statement", lambda: next(
        (line for line in flusher.log() if line.get("msg") == MISFIT), None))


@pytest.fixture
def writer(rig):
    """The address of a role that may read and write, but not into the table of one's own."""
    rig.sql("create role writer login in role pg_read_all_data")
    rig.sql("grant insert, select, update on all tables in schema public to writer; revoke insert on said from writer")
    yield rig.postgres.url("flusher").replace("ringfleet@", "writer@")
    rig.stop_all()
    rig.sql("drop owned by writer; drop role writer")


def failures(done) -> list[str]:
    return [part.split("\nok ")[0].strip() for part in ("\n" + done.stdout).split("\nFAILS")[1:]]


def test_check_says_where_and_what_to_do(rig, tmp_path):
    (tmp_path / "apply_turn.sql").write_text("insert into said (call)\n  slect $1")
    (tmp_path / "apply_call_end.sql").write_text("update said set n = $1[1]")
    rig.sql("drop table call_flush")
    done = rig.command("check", sql_dir=tmp_path)
    text = "\n".join(failures(done))
    assert done.returncode == 1 and "LINE 2:   slect $1" in text and "HINT:  You will need to rewrite or cast" in text, text
    assert 'ledger_take.sql: ERROR:  relation "call_flush" does not exist' in text
    assert "flusher migrate --to 1" in done.stdout.splitlines()[-1]


def test_check_of_a_role_that_may_not(rig, tmp_path, writer):
    (tmp_path / "apply_turn.sql").write_text(TURNS)
    done = rig.command("check", sql_dir=tmp_path, database_url=writer)
    assert done.returncode == 1, done.stdout
    assert failures(done)[0].startswith("apply_turn.sql (your own): apply_turn.sql: permission denied for table said: grant it"), done.stdout
    rig.sql("grant insert on said to writer; revoke update on call_flush from writer")
    done = rig.command("check", sql_dir=tmp_path, database_url=writer)
    assert [line.split(".")[0] for line in failures(done)] == ["ledger_lock", "ledger_move", "replay_take"], done.stdout
    rig.sql("grant update on call_flush to writer")
    assert rig.command("check", sql_dir=tmp_path, database_url=writer).returncode == 0
    assert rig.sql("select * from said") == []  # nothing was run


@pytest.mark.parametrize("text, sqlstate", [
    ("insert into sayd select * from unnest($1, $2::int[], $5)", "42P01"),
    ("insert into said select call, '' from unnest($1) as call", "22P02"),
])
def test_the_log_names_a_statement_that_cannot_be_prepared(rig, tmp_path, text, sqlstate):
    (tmp_path / "apply_turn.sql").write_text(text)
    line = complaint(rig.start(wait=False, sql_dir=tmp_path))
    assert (line["statement"], line["sqlstate"]) == ("apply_turn", sqlstate)


def test_the_log_names_a_statement_that_fails(rig, tmp_path, writer):
    """Everything waits, and nothing is lost."""
    (tmp_path / "apply_turn.sql").write_text(TURNS)
    ended_call(rig, "CA1", "one")
    flusher = rig.start(wait=False, sql_dir=tmp_path, database_url=writer, claim_idle_ms=200)
    line = eventually("a word on the call", lambda: next((one for one in flusher.log() if one.get("call") == "CA1"), None))
    assert (line["statement"], line["sqlstate"]) == ("apply_turn", "42501") and "does not fit" in line["msg"]
    rig.sql("grant insert on said to writer")
    rig.wait_flushed()
    assert rig.one("select words from said") == {"words": "one"} and rig.dead() == []
