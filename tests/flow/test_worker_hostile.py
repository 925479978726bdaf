"""Peers that break the rules harm only themselves: all of them at once around one good call, which
must be as good as if it were alone."""

import hmac
import hashlib
import base64
import socket
import struct
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

import pytest

from flow import first_call
from flow.bad_ai import MODES, BadAi
from flow.raw_peer import BINARY, CLOSE, PING, REQUEST, TEXT, Offer, RawPeer, encode, offer
from flow.servers import eventually
from flow.stage import Stage
from scenarios import harbour_dental
from standins import caller
from standins.scenario import Conversation, Scenario

pytestmark = pytest.mark.usefixtures("programs")

NUMBERS = (harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
SECRET = "a secret of the test fleet"
STALL = "a greeting that is not in the cache"
# More than the kernel and the worker keep for a carrier that does not read.
LECTURE = Scenario("lecture", "There is a lot to tell, so please sit down and listen to me. " * 40, ())
BYSTANDER = Scenario("bystander", "Hello, and welcome to everybody who is only here to be disturbed.", ())


# ---- the carrier's side ----


@dataclass(frozen=True)
class Case:
    """What a peer does, and what must come of it. `live`: the call has been started before."""

    name: str
    act: Callable[[RawPeer, "Rig"], None]
    code: int  # of the close frame; 0: none
    reason: str  # in calls_ended_total
    fault: str = ""  # in peer_faults_total
    live: bool = False


@dataclass
class Rig:
    stage: Stage
    good: Offer  # the good call's sid with the token it has used

    @property
    def listen(self) -> str:
        return self.stage.fleet.workers[0].listen

    def offer(self) -> Offer:
        return offer(self.stage.fleet, *NUMBERS)

    def expired(self, one: Offer) -> Offer:
        fleet = self.stage.fleet
        fleet.redis().hset(fleet.key(one.sid, ":session"), "until:0", 1)
        return one


def mint(sid: str) -> str:
    """A token with the right signature (common/base/token.h)."""
    nonce, expires_ms = "0" * 18, 4 * 10**12
    digest = hmac.new(SECRET.encode(), f"{sid}|0|{expires_ms}|{nonce}".encode(), hashlib.sha256).digest()
    return f"0.{expires_ms}.{nonce}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def start_with(token: Callable[[Offer, Rig], Offer]) -> Callable[[RawPeer, Rig], None]:
    return lambda peer, rig: peer.start(token(rig.offer(), rig))


def endless_fragments(peer: RawPeer, rig: Rig) -> None:
    peer.frame(TEXT, b'{"event":"', fin=False)
    for _ in range(20):
        peer.frame(0, b"x" * 4000, fin=False)


def flood_audio(peer: RawPeer, rig: Rig) -> None:
    """Forty seconds of speech at once."""
    peer.send(b"".join(peer.media() for _ in range(2000)))


def fragments(peer: RawPeer, rig: Rig) -> None:
    """What a proxy on the way may do; it is the last of its read. Then nothing comes any more."""
    for _ in range(20):
        text = peer.media_text()
        peer.send(encode(TEXT, text[:60], fin=False) + encode(0, text[60:]))
        time.sleep(0.02)


def half_close(peer: RawPeer, rig: Rig) -> None:
    peer.socket.shutdown(socket.SHUT_WR)


CASES = [
    Case("media before start", lambda p, r: p.send(p.media()), 1002, "carrier_protocol"),
    Case("not JSON", lambda p, r: p.frame(TEXT, b"hello"), 1002, "carrier_protocol"),
    Case("invalid UTF-8", lambda p, r: p.frame(TEXT, b'{"event":"\xff"}'), 1007, "carrier_protocol", "bad_utf8"),
    Case("unmasked", lambda p, r: p.frame(TEXT, b"{}", masked=False), 1002, "carrier_protocol", "protocol"),
    Case("reserved bit", lambda p, r: p.frame(TEXT | 0x40, b"{}"), 1002, "carrier_protocol", "protocol"),
    Case("unknown opcode", lambda p, r: p.frame(5, b"{}"), 1002, "carrier_protocol", "protocol"),
    Case("continuation of nothing", lambda p, r: p.frame(0, b"{}"), 1002, "carrier_protocol", "protocol"),
    Case("long ping", lambda p, r: p.frame(PING, b"x" * 126), 1002, "carrier_protocol", "protocol"),
    Case("impossible close code", lambda p, r: p.frame(CLOSE, struct.pack(">H", 1005)), 1002, "carrier_protocol", "protocol"),
    Case("binary", lambda p, r: p.frame(BINARY, b"\0" * 160), 1003, "carrier_protocol", "binary"),
    Case("giant frame", lambda p, r: p.frame(TEXT, size=1 << 40), 1009, "carrier_protocol", "too_big"),
    Case("endless fragments", endless_fragments, 1009, "carrier_protocol", "too_big"),
    Case("ping flood", lambda p, r: p.send(encode(PING, b"x") * 20000), 1008, "carrier_flood", "flood"),
    Case("empty fragments for ever", lambda p, r: p.send(encode(TEXT, fin=False) + encode(0, fin=False) * 9000), 1008, "carrier_flood", "flood"),
    Case("an invented token", start_with(lambda o, r: Offer(o.sid, "0" * 40)), 1008, "token_refused"),
    Case("no token", start_with(lambda o, r: Offer(o.sid, "")), 1008, "token_refused"),
    Case("another call's token", start_with(lambda o, r: Offer(o.sid, r.good.token)), 1008, "token_refused"),
    Case("an expired token", start_with(lambda o, r: r.expired(o)), 1008, "claim_refused"),
    Case("a token we did not offer", start_with(lambda o, r: Offer(o.sid, mint(o.sid))), 1008, "claim_refused"),
    Case("a token used before", start_with(lambda o, r: r.good), 1008, "claim_refused"),
    Case("an unknown call", start_with(lambda o, r: Offer("CA0", mint("CA0"))), 1008, "claim_refused"),
    Case("start twice", lambda p, r: p.start(r.good), 1002, "carrier_protocol", live=True),
    Case("audio flood", flood_audio, 1008, "carrier_flood", live=True),
    Case("unknown messages, thousands", lambda p, r: p.send(encode(TEXT, b'{"event":"x"}') * 5000), 1008, "carrier_flood", "flood", True),
    Case("half-closed", half_close, 0, "carrier_lost", live=True),
    Case("reset in mid frame", lambda p, r: (p.send(p.media()[:50]), p.reset()), 0, "carrier_lost", live=True),
    Case("audio in fragments", fragments, 1000, "carrier_lost", live=True),
    Case("gone silent, the socket open", lambda p, r: None, 1000, "carrier_lost", live=True),
]


def run(case: Case, rig: Rig) -> int:
    with RawPeer(rig.listen) as peer:
        peer.upgrade()
        if case.live:
            peer.start(rig.offer())
            peer.talk(0.5)
        case.act(peer, rig)
        return peer.close_code() if peer.socket.fileno() >= 0 else 0


def slow_reader(rig: Rig) -> None:
    """Asks for a long speech and reads none of it, while it goes on sending."""
    ticket = rig.offer()
    rig.stage.fleet.redis().hset(rig.stage.fleet.key(ticket.sid), "greeting", STALL)
    with RawPeer(rig.listen, receive_bytes=4096) as peer:
        peer.upgrade()
        peer.start(ticket)
        end = time.monotonic() + 40
        while not rig.stage.fleet.logged("call ended", ticket.sid) and time.monotonic() < end:
            peer.talk(0.5)
    (ended,) = rig.stage.fleet.logged("call ended", ticket.sid)
    assert ended["reason"] == "carrier_slow", ended


# ---- before the upgrade ----


def drip_head(rig: Rig) -> float:
    """How long a request may take that comes a byte at a time."""
    began = time.monotonic()
    with RawPeer(rig.listen) as peer:
        for byte in REQUEST.format(path="/media")[:-4] + "X-Waste: " + "x" * 1000:
            peer.send(byte.encode())
            if peer_is_closed(peer, 0.1):
                break
    return time.monotonic() - began


def peer_is_closed(peer: RawPeer, wait: float) -> bool:
    peer.socket.settimeout(wait)
    try:
        return peer.socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def say_nothing(rig: Rig) -> float:
    began = time.monotonic()
    with RawPeer(rig.listen) as peer:
        assert peer.status() == 0
    return time.monotonic() - began


HTTP = [
    ("garbage", "\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    ("an endless head", "GET /media HTTP/1.1\r\nX: " + "x" * 20000, 400),
    ("another path", REQUEST.format(path="/nothing"), 404),
    ("no upgrade", "GET /media HTTP/1.1\r\nHost: x\r\n\r\n", 426),
    ("an old version", REQUEST.format(path="/media").replace("Version: 13", "Version: 8"), 426),
    ("a POST", REQUEST.format(path="/media").replace("GET", "POST"), 400),
]


# ---- the fleet with one good call in it ----


class Bystander(Conversation):
    """Who has the odd greeting hears the lecture."""

    def __init__(self, session) -> None:
        super().__init__(BYSTANDER)
        self._session = session

    def next_reply(self):
        if any(STALL in str(one.event) for one in self._session.received("response.create")):
            self.scenario = LECTURE
        return super().next_reply()


def conversation_for(session) -> Conversation:
    """The first is the good call."""
    if conversation_for.given:
        return Bystander(session)
    conversation_for.given.append(session)
    return Conversation(harbour_dental.scenario())


@pytest.fixture
def stage():
    with BadAi(lambda: one.provider.port) as door:
        one = Stage(
            harbour_dental.scenario(),
            env={
                "RINGFLEET_AI_POOL_SIZE": "0",
                "RINGFLEET_AI_URL": door.url,
                "RINGFLEET_THREADS": "2",
                "RINGFLEET_MAX_CALLS": "100",
            },
        )
        conversation_for.given = []
        one.provider.play(conversation_for)
        with one:
            one.door = door
            yield one


def good_call(stage: Stage):
    """Started, and so far that its AI session is known."""
    script = caller.follow(stage.scenario, lambda _: conversation_for.given[0].idle())
    call = stage.start_call(*NUMBERS, script)
    eventually("the good call to be greeted", lambda: call.times("assistant-begin"))
    return call


def check_good(stage: Stage, call) -> None:
    """The demo's promises, as far as they are about one call."""
    stage.finish(call)
    fleet = stage.fleet
    ledger = fleet.wait_flushed(call.sid)
    turns = fleet.sql("select * from conversation_turn where call_sid = %s order by seq", call.sid)
    evidence = first_call.Evidence(
        stage, call, conversation_for.given[0], fleet.context(call.sid), fleet.journal(call.sid), ledger, turns
    )
    for check in (
        first_call.greeting_heard,
        first_call.caller_heard,
        first_call.name_detected,
        first_call.barge_in,
        first_call.prompt_upgraded,
        first_call.appointment_booked,
        first_call.turns_in_order,
        first_call.journal_without_gaps,
        first_call.call_completed,
        first_call.assistant_hung_up,
    ):
        check(evidence)
    call.check()
    assert len(call.data("socket-closed")) == 1


def counters(stage: Stage, name: str, label: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for sample, value in stage.fleet.workers[0].metrics().items():
        if sample.startswith("ringfleet_" + name) and 'peer="ai"' not in sample:
            found[sample.split(label + '="')[1].split('"')[0]] = int(value)
    return +found


def test_bad_carriers_harm_only_themselves(stage):
    call = good_call(stage)
    talking = len(stage.provider.talking())
    rig = Rig(stage, Offer(call.sid, stage.fleet.session(call.sid)["token:0"]))
    with ThreadPoolExecutor(len(CASES) + 4) as pool:
        slow = pool.submit(slow_reader, rig)
        waits = [pool.submit(drip_head, rig), pool.submit(say_nothing, rig)]
        codes = list(pool.map(lambda case: run(case, rig), CASES))
        answers = [RawPeer(rig.listen).request(text) for _, text, _ in HTTP]
        assert {case.name: code for case, code in zip(CASES, codes)} == {case.name: case.code for case in CASES}
        assert dict(zip([one[0] for one in HTTP], answers)) == {one[0]: one[2] for one in HTTP}
        assert all(9 <= wait.result() <= 13 for wait in waits)
        slow.result()
    check_good(stage, call)
    ended = counters(stage, "calls_ended_total", "reason")
    assert ended == Counter([case.reason for case in CASES] + ["agent_hangup", "carrier_slow"])
    assert len(stage.fleet.logged("call ended")) == sum(ended.values())
    faults = counters(stage, "peer_faults_total", "fault")
    bad_requests = sum(status == 400 for _, _, status in HTTP)
    assert faults == Counter([case.fault for case in CASES if case.fault] + ["slow_reader"]) + Counter(
        bad_http=bad_requests, handshake_timeout=2
    )
    # who had no right to a call reached no AI
    served = [case for case in CASES if case.live]
    assert len(stage.provider.talking()) <= talking + len(served) + 1


def test_a_bad_ai_harms_only_its_own_calls(stage):
    call = good_call(stage)
    stage.door.modes = ["cut"]
    stage.door.always = [*MODES, "tcp only", "hangs up"]
    rig = Rig(stage, Offer(call.sid, ""))

    def victim(_) -> int:
        with RawPeer(rig.listen, timeout=1) as peer:
            peer.upgrade()
            peer.start(rig.offer())
            for _ in range(90):
                peer.talk(0.5)
                peer.socket.settimeout(0.01)
                try:
                    return peer.close_code()
                except TimeoutError:
                    peer.socket.settimeout(5)
        return -1

    with ThreadPoolExecutor(len(stage.door.always)) as pool:
        codes = list(pool.map(victim, range(len(stage.door.always))))
    assert set(codes) == {1011}
    assert set(stage.door.served) == {"pass", "cut", *stage.door.always}
    check_good(stage, call)
    metrics = stage.fleet.workers[0].metrics()
    for fault in ("bad_http", "handshake_timeout", "too_big", "flood"):
        assert metrics[f'ringfleet_peer_faults_total{{peer="ai",fault="{fault}"}}'] >= 1, fault


def test_streams_without_a_start_take_nobody_s_place(stage):
    """Places are for who has shown a token; who has none waits among its like, and the oldest of them goes."""
    worker = stage.fleet.workers[0]
    crowd = [RawPeer(worker.listen).upgrade() for _ in range(2 * 256 + 60)]  # each of two loops keeps 256
    try:
        metrics = worker.metrics()
        assert metrics["ringfleet_calls_active"] == 0
        assert metrics["ringfleet_streams_waiting"] <= 2 * 256
        assert metrics["ringfleet_connections_dropped_total"] >= 60
        assert worker.get("/readyz")[0] == 200
        assert crowd[0].close_code() == 1008 and not peer_is_closed(crowd[-1], 0.1)
        call = good_call(stage)
        assert worker.metrics()["ringfleet_calls_active"] == 1
        eventually("the crowd's time to be over", lambda: worker.metrics()["ringfleet_streams_waiting"] == 0)
        assert crowd[-1].close_code() == 1008
    finally:
        for peer in crowd:
            peer.socket.close()
    check_good(stage, call)


def test_connections_that_say_nothing_keep_nobody_out(stage):
    worker = stage.fleet.workers[0]
    crowd = [RawPeer(worker.listen) for _ in range(2 * 256 + 60)]  # each of two loops keeps 256
    try:
        with RawPeer(worker.listen) as peer:
            peer.upgrade()
            peer.frame(CLOSE, struct.pack(">H", 1000))
            assert peer.close_code() == 1000
        eventually(
            "the oldest of the crowd to go",
            lambda: worker.metrics()["ringfleet_connections_dropped_total"] >= 60,
        )
        metrics = worker.metrics()
        assert metrics["ringfleet_connections_waiting"] <= 2 * 256
        assert metrics["ringfleet_calls_active"] == 0
        assert peer_is_closed(crowd[0], 1) and not peer_is_closed(crowd[-1], 0.1)
        assert worker.get("/readyz")[0] == 200
    finally:
        for peer in crowd:
            peer.socket.close()
    eventually("nobody to wait", lambda: worker.metrics()["ringfleet_connections_waiting"] == 0)
