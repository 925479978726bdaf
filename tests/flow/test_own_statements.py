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


@pytest.mark.parametrize("text, sqlstate", [
    ("insert into sayd select * from unnest($1, $2::int[], $5)", "42P01"),
    ("insert into said select call, '' from unnest($1) as call", "22P02"),
])
def test_the_log_names_a_statement_that_cannot_be_prepared(rig, tmp_path, text, sqlstate):
    (tmp_path / "apply_turn.sql").write_text(text)
    line = complaint(rig.start(wait=False, sql_dir=tmp_path))
    assert (line["statement"], line["sqlstate"]) == ("apply_turn", sqlstate)


def test_the_log_names_a_statement_that_fails(rig, tmp_path):
    """Everything waits, and nothing is lost."""
    (tmp_path / "apply_turn.sql").write_text(TURNS)
    rig.sql("create role writer login in role pg_read_all_data")
    rig.sql("grant insert, select, update on all tables in schema public to writer; revoke insert on said from writer")
    ended_call(rig, "CA1", "one")
    url = rig.postgres.url("flusher").replace("ringfleet@", "writer@")
    try:
        flusher = rig.start(sql_dir=tmp_path, database_url=url)
        line = complaint(flusher)
        assert (line["statement"], line["sqlstate"]) == ("apply_turn", "42501")
        rig.sql("grant insert on said to writer")
        rig.wait_flushed()
        assert rig.one("select words from said") == {"words": "one"} and rig.dead() == []
    finally:
        rig.stop_all()
        rig.sql("drop owned by writer; drop role writer")
