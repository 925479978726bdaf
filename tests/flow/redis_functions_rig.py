"""A real server with the Redis functions, and a call whose steps are taken one by one: what the tests of the functions
share."""

import itertools
from typing import Iterator

import pytest
import redis

from flow.redis_functions import library, named
from flow.servers import RedisServer

MINUTE = 60_000
PAST = -1  # a lease that has lapsed when it is given

_sids = (f"CA{n:032x}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[RedisServer]:
    one = RedisServer(tmp_path_factory.mktemp("functions") / "redis")
    one.start()
    one.client().function_load(library())
    yield one
    one.stop()


@pytest.fixture
def db(server) -> redis.Redis:
    client = server.client()
    client.flushall()
    client.xgroup_create("rf:{p0}:ended", "flusher", mkstream=True)
    return client


class Call:
    """One call's keys and the functions over them, each answering what Redis answered."""

    def __init__(self, db: redis.Redis) -> None:
        self.db = db
        self.sid = next(_sids)
        self.context = f"rf:{{p0}}:call:{self.sid}"
        self.session = self.context + ":session"
        self.writes = self.context + ":writes"
        self.events = self.context + ":events"
        self.live, self.ended, self.flushed, self.dead = (
            f"rf:{{p0}}:{name}" for name in ("live", "ended", "flushed", "dead")
        )

    def _do(self, function: str, keys: list[str], *args: object) -> list:
        return self.db.fcall(named(function), len(keys), *keys, *args)

    def open(self, token="t0", ttl=100, lease=MINUTE, token_ttl=MINUTE, **fields):
        pairs = itertools.chain.from_iterable(fields.items())
        keys = [self.context, self.session, self.live]
        return self._do("rf_open", keys, self.sid, token, ttl, lease, token_ttl, *pairs)

    def refuse(self, token="t0"):
        keys = [self.context, self.session, self.events, self.live, self.ended]
        return self._do("rf_refuse", keys, self.sid, token)

    def fill(self, recorded=True, **fields):
        keys = [self.context] + ([] if recorded else [self.events])
        return self._do("rf_fill", keys, *itertools.chain.from_iterable(fields.items()))

    def after(self, n=1, token="t1", lease=MINUTE, token_ttl=MINUTE):
        return self._do("rf_after", [self.session, self.live], self.sid, n, token, lease, token_ttl)

    def claim(self, n=0, token="t0", worker="w1", lease=MINUTE):
        keys = [self.context, self.session, self.writes, self.live]
        return self._do("rf_claim", keys, self.sid, n, token, worker, "MZ1", lease, '{"owner":1}')

    def reclaim(self, epoch=1, worker="w1", stream="MZ1", lease=MINUTE):
        keys = [self.session, self.writes, self.live]
        return self._do("rf_reclaim", keys, self.sid, epoch, worker, stream, lease)

    def late(self, *turns: tuple, stream="MZ1", leaving="", end="", reason="", verdict=""):
        """Turns that waited on a worker's disk: id and message, and when they were made (else long ago)."""
        keys = [self.session, self.writes, self.live, self.ended, self.dead]
        entries: list[object] = []
        for id, message, *made in turns:
            fields = ["type", "turn", "by", "worker", "at", 5, "message", message]
            entries += [id, *(made or [1]), len(fields), *fields]
        return self._do("rf_late", keys, self.sid, stream, leaving, end, reason, verdict, "{}", *entries)

    def turns(self) -> list[str]:
        """What is in the journal, whose ids have no gap."""
        entries = self.db.xrange(self.writes)
        assert [int(id.split("-")[1]) for id, _ in entries] == list(range(1, len(entries) + 1))
        return [entry["message"] for _, entry in entries if entry["type"] == "turn"]

    def turn(self, id: str, message="hello"):
        """A plain append, as the worker does it."""
        fields = {"type": "turn", "by": "worker", "at": 1, "message": message}
        return self.db.xadd(self.writes, fields, id=id, nomkstream=True)

    def end(self, epoch=1, seq=2, reason="hangup", verdict="hangup"):
        keys = [self.session, self.writes, self.live, self.ended]
        return self._do("rf_end", keys, self.sid, epoch, seq, reason, verdict, "{}")

    def event(self, id="e1", status="", sequence="", final=0, **fields):
        keys = [self.session, self.events, self.live, self.ended]
        fields = fields or {"type": "call_status", "by": "warmer", "status": status}
        pairs = itertools.chain.from_iterable(fields.items())
        return self._do("rf_event", keys, self.sid, id, final, status, sequence, *pairs)

    def reap(self, lease=None):
        keys = [self.session, self.writes, self.live, self.ended]
        return self._do("rf_reap", keys, self.sid, self.lease() if lease is None else lease)

    def dead_entries(self, *entries):
        fields = itertools.chain.from_iterable(entries)
        return self._do("rf_dead", [self.session, self.dead], self.sid, *fields)

    def replay(self, letter: str, entry: str):
        return self._do("rf_replay", [self.session, self.ended, self.dead], self.sid, letter, entry)

    def done(self, entry: str, writes="0-0", events="0-0", retention=MINUTE, final_wait=MINUTE):
        keys = [self.ended, self.flushed, self.live, self.session, self.writes, self.events]
        return self._do("rf_done", keys, retention, final_wait, self.sid, entry, writes, events)

    def purge(self):
        keys = [self.context, self.session, self.writes, self.events, self.live, self.ended, self.flushed]
        return self._do("rf_purge", keys, self.sid)

    def lease(self) -> str:
        """The deadline as the reaper reads it: text, '' when there is none."""
        [score] = self.db.execute_command("ZMSCORE", self.live, self.sid)
        return "" if score is None else f"{float(score):.0f}"

    def field(self, name: str) -> str | None:
        return self.db.hget(self.session, name)

    def index(self) -> list[str]:
        """Why the call is on the index of ended calls, oldest first."""
        return [entry["why"] for _, entry in self.db.xrange(self.ended) if entry["call_sid"] == self.sid]

    def take(self) -> str:
        """The next entry of the index, taken as a flusher does."""
        [[_, [(entry_id, entry)]]] = self.db.xreadgroup("flusher", "f1", {self.ended: ">"}, count=1)
        assert entry["call_sid"] == self.sid
        return entry_id

    def last(self, stream: str) -> str:
        return self.db.xinfo_stream(stream)["last-generated-id"]

    def keys(self) -> int:
        return self.db.exists(self.context, self.session, self.writes, self.events)


@pytest.fixture
def call(db) -> Call:
    return Call(db)


def word(answer: list) -> str:
    return answer[0]


def as_dict(pairs: list[str]) -> dict[str, str]:
    return dict(zip(pairs[::2], pairs[1::2]))
