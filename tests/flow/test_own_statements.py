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
