"""The Redis users of the chart: what each may do is enough for the real programs, and not more."""

import re
import sys
from pathlib import Path

import pytest
import redis

from flow.redis_functions import SOURCE
from flow.servers import RedisServer

from . import chart, tools

CONTEXT = "rf:{p0}:call:CA1"
LIVE = "rf:{p0}:live"
ENDED = "rf:{p0}:ended"
# Which tests of calls that we dial go over all the words to the queue.
DIALLED = (
    "a_whole_call",
    "a_call_that_only_the_list_knows",
    "what_was_not_taken_is_sent_again",
    "the_same_request_again_gets_the_same_answer",
    "an_answer_that_was_never_given_is_made_again",
)
# The same, of those that ElevenLabs carries.
CARRIED = ("a_whole_call", "a_report_brings_what_was_said_and_comes_twice", "a_caller_of_an_agents_own_number")
# Calls whose last words waited on disk.
SPOOLED = ("is_over_before_redis_is_back", "has_left_redis_is_for_the_person_on_call")
# What KEDA's redis trigger evaluates.
KEDA_SCRIPT = """
local listName = KEYS[1]
local listType = redis.call('type', listName).ok
local cmd = { zset = 'zcard', set = 'scard', list = 'llen', hash = 'hlen', none = 'llen' }
return redis.call(cmd[listType], listName)
"""


@pytest.fixture(scope="module")
def acl(tmp_path_factory) -> Path:
    """What the development mode puts into its Secret, as files."""
    directory = tmp_path_factory.mktemp("acl")
    secret = chart.pick(chart.render("development"), "Secret", "development")["stringData"]
    users = secret["users.acl"].splitlines()
    assert [line.split()[1] for line in users] == [
        "default",
        "ringfleet-warmer",
        "ringfleet-worker",
        "ringfleet-flusher",
        "ringfleet-keda",
    ]
    users[0] = "user default on nopass allkeys allchannels +@all"  # the tests' own
    (directory / "users.acl").write_text("\n".join(users) + "\n")
    for program in ("warmer", "worker", "flusher"):
        (directory / f"redis-url-{program}").write_text(secret[f"redis-url-{program}"])
    (directory / "keda").write_text(secret["redis-password-keda"])
    return directory


@pytest.fixture(scope="module")
def server(acl, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RINGFLEET_TEST_ACL", str(acl))
        one = RedisServer(tmp_path_factory.mktemp("redis") / "data")
        one.start()
    admin = one.client()
    admin.hset(CONTEXT, "business_name", "Harbour Dental")
    admin.zadd(LIVE, {"CA1": 1})
    admin.xadd(ENDED, {"call_sid": "CA2"})
    yield one
    admin.acl_log_reset()
    one.stop()


def login(server: RedisServer, program: str) -> redis.Redis:
    return redis.Redis.from_url(server.url_of(program), decode_responses=True)


def refused(client: redis.Redis, *command: str) -> bool:
    try:
        client.execute_command(*command)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.exceptions.ResponseError as error:
        if not re.search("NOPERM|ACL failure|user executing the script can't", str(error)):
            raise
        return True
    return False


def test_a_worker_reads_a_context_and_cannot_write_it(server):
    worker = login(server, "worker")
    assert worker.hgetall(CONTEXT) == {"business_name": "Harbour Dental"}
    for command in (["HSET", CONTEXT, "a", "b"], ["DEL", CONTEXT], ["EXPIRE", CONTEXT, "1"]):
        assert refused(worker, *command), command


@pytest.mark.parametrize("program", ["warmer", "worker", "flusher"])
def test_each_program_learns_how_many_partitions_there_are(server, program):
    assert not refused(login(server, program), "SET", "rf:{p0}:partitions", "1", "NX", "GET")
    assert not refused(login(server, program), "GET", "rf:{p0}:partitions")
    assert refused(login(server, program), "DEL", "rf:{p0}:partitions")


def test_a_function_gives_its_caller_no_more_rights(server):
    """Redis checks each step of a function against the user who calls it."""
    server.client().function_load(
        "#!lua name=probe\nredis.register_function('probe', "
        "function(keys) return redis.call('HSET', keys[1], 'a', 'b') end)",
        replace=True,
    )
    assert refused(login(server, "worker"), "FCALL", "probe", "1", CONTEXT)
    assert not refused(login(server, "warmer"), "FCALL", "probe", "1", "rf:{p0}:call:CA9")
    server.client().function_delete("probe")


@pytest.mark.parametrize("program", ["warmer", "worker", "flusher"])
def test_nobody_rules_the_server_or_reads_at_large(server, program):
    client = login(server, program)
    for command in (
        ["FLUSHALL"],
        ["CONFIG", "GET", "*"],
        ["KEYS", "*"],
        ["ACL", "LIST"],
        ["EVAL", "return 1", "0"],
        ["FUNCTION", "FLUSH"],
        ["SHUTDOWN", "NOSAVE"],
        ["GET", "somebody-elses-key"],
        ["PUBLISH", "a", "b"],
    ):
        assert refused(client, *command), command
    # Only the inspection commands look for keys.
    assert refused(client, "SCAN", "0") is (program != "flusher")


@pytest.mark.parametrize(
    "program, command",
    [
        ("warmer", ["XADD", f"{CONTEXT}:writes", "*", "a", "b"]),
        ("worker", ["XADD", f"{CONTEXT}:events", "*", "a", "b"]),
        ("flusher", ["XADD", f"{CONTEXT}:events", "*", "a", "b"]),
        ("flusher", ["HSET", CONTEXT, "a", "b"]),
        ("worker", ["XACK", ENDED, "flusher", "1-1"]),
        ("warmer", ["XREADGROUP", "GROUP", "flusher", "x", "STREAMS", ENDED, ">"]),
        ("worker", ["GET", "rf:number:+14155550199"]),
    ],
)
def test_each_stream_has_its_writer(server, program, command):
    assert refused(login(server, program), *command)


def test_keda_counts_and_nothing_else(server, acl):
    keda = redis.Redis(
        port=server.port, username="ringfleet-keda", password=(acl / "keda").read_text()
    )
    assert keda.eval(KEDA_SCRIPT, 1, LIVE) == 1
    assert keda.xlen(ENDED) == 1
    # Of a partition that nobody is talking in there is no key, which the script takes for an empty list.
    assert keda.eval(KEDA_SCRIPT, 1, "rf:{p1}:live") == 0
    assert keda.xlen("rf:{p1}:ended") == 0
    assert refused(keda, "HGETALL", CONTEXT)
    assert refused(keda, "ZRANGE", LIVE, "0", "-1")
    assert refused(keda, "EVAL", "return redis.call('DEL', KEYS[1])", "1", LIVE)


@pytest.mark.parametrize("command", [["CLUSTER", "SLOTS"], ["ASKING"]])
def test_keda_finds_its_way_in_a_cluster(server, command):
    """A client of a cluster asks first which node has what, and follows a key that moves."""
    assert server.client().execute_command("ACL", "DRYRUN", "ringfleet-keda", *command) == "OK"


def test_the_external_rules_are_the_same(server, acl):
    """The commands in the ConfigMap for an external Redis make the users of the development one."""
    text = chart.pick(chart.render("minimal"), "ConfigMap", "redis-acl")["data"]["acl.txt"]
    admin = server.client()
    lines = text.strip().splitlines()
    assert len(lines) == 4
    for line in lines:
        line = line.replace("ringfleet-", "other-").replace(">PASSWORD", ">secret")
        # as redis-cli takes a line apart
        words = [
            part
            for i, piece in enumerate(line.split('"'))
            for part in ([piece] if i % 2 else piece.split())
        ]
        admin.execute_command(*words)
    for program in ("warmer", "worker", "flusher", "keda"):
        ours, other = (admin.acl_getuser(f"{who}-{program}") for who in ("ringfleet", "other"))
        for user in (ours, other):
            del user["passwords"]
        assert ours == other


def functions() -> dict[str, set[str]]:
    """The commands of each Redis function, with those of the helpers it calls."""
    bodies = dict(re.findall(r"^local function (\w+)\(.*?\)(.*?)^(?=local function|register)", SOURCE, re.M | re.S))
    # One-line helpers end where they begin.
    assert {"rf_open", "rf_claim", "rf_done", "last_id", "field"} <= set(bodies)

    def commands(name: str, seen: frozenset[str] = frozenset()) -> set[str]:
        body = bodies[name]
        found = {
            f"{command}|{sub}" if command == "XINFO" or sub == "DELCONSUMER" else command
            for command, sub in re.findall(r"redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?", body)
        }
        for other in bodies:
            if other != name and other not in seen and re.search(rf"\b{other}\(", body):
                found |= commands(other, seen | {name})
        return found

    return {name: commands(name) for name in bodies if name.startswith("rf_")}


@pytest.mark.parametrize("program", ["warmer", "worker", "flusher"])
def test_every_command_in_the_source_is_allowed(server, program):
    """Also those that only rare events need: the functions a program calls, and the commands it sends."""
    sources = "".join(path.read_text() for path in (tools.ROOT / program).rglob("*.c"))
    needed = {"AUTH", "PING", "INFO", "SELECT", "CLIENT|SETNAME", "FUNCTION|LOAD", "ROLE", "CLUSTER|SLOTS", "ASKING"}
    called = {name for name in functions() if re.search(rf'"(?:FCALL )?{name}[" ]', sources)}
    assert called
    for name in called:
        needed |= functions()[name]
    known = {name.upper() for name in server.client().command_list()}
    needed |= set(re.findall(r'"([A-Z]{3,})[" ]', sources)) & known - {"COMMAND"}
    (line,) = [one for one in server.client().acl_list() if one.split()[1] == f"ringfleet-{program}"]
    allowed = {word.upper() for word in re.findall(r"\+([\w|-]+)", line)}
    missing = {one for one in needed if one not in allowed and one.split("|")[0] not in allowed}
    assert missing <= {"XGROUP"}, f"{program} may not {missing}"  # its subcommands are named


@pytest.mark.usefixtures("programs")
def test_the_real_programs_need_no_more(acl):
    """The demo's call and its neighbours, also on a cluster and behind Sentinels, with every program logged in as
    its user; RedisServer.stop fails a test in which Redis refused anything."""
    done = tools.run(
        sys.executable,
        *("-m", "pytest", "-c", "pytest.ini", "--rootdir", ".", "-q", "-n", "3", "--dist", "loadfile"),
        *("-p", "no:cacheprovider", "flow/test_first_call.py", "flow/test_redis_sentinel.py"),
        "flow/test_redis_cluster.py::test_slots_move_under_calls",
        *(f"flow/test_worker_spool.py::test_a_call_that_{name}" for name in SPOOLED),
        *(f"flow/test_outbound.py::test_{name}" for name in DIALLED),
        *(f"flow/test_elevenlabs_calls.py::test_{name}" for name in CARRIED),
        cwd=tools.ROOT / "tests",
        environment={"RINGFLEET_TEST_ACL": str(acl), "RINGFLEET_BIN": str(chart.bin_directory())},
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-8000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
