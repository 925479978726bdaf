"""Ended calls in bulk, as a worker leaves them, written straight in the Redis protocol."""

import random
import socket
import time

import redis

ENDED = "rf:{p0}:ended"
WAITING = "rf:{p0}:ended-later"  # where a backlog is piled up until the clock starts
WORDS = "the quick brown fox jumps over a lazy dog while we talk about your appointment on thursday at ten".split()


def message(rng: random.Random) -> str:
    """About 120 bytes."""
    return " ".join(rng.choices(WORDS, k=23))


def command(*parts: object) -> bytes:
    encoded = [part if isinstance(part, bytes) else str(part).encode() for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in encoded)


def turn(key: str, entry_id: str, at: int, speaker: str, text: str) -> bytes:
    return command(
        "XADD", key, entry_id, "type", "turn", "by", "worker", "at", at, "speaker", speaker, "message", text,
        "confidence", "", "started_ms", at - 2500, "ended_ms", at, "interrupted", "0",
    )  # fmt: skip


def journal(sid: str, turns: int, texts: list[str], whole: bool) -> list[bytes]:
    """The commands that write one call; whole: with what the worker and the carrier add to every call."""
    key, at, seq = f"rf:{{p0}}:call:{sid}:writes", int(time.time() * 1000), 0
    parts = []
    if whole:
        seq += 1
        parts.append(
            command("XADD", key, f"1-{seq}", "type", "callsession_update", "by", "worker", "at", at, "data",
                    '{"stream": 0, "worker": "w", "codec": "mulaw"}')  # fmt: skip
        )
    for i in range(turns):
        seq += 1
        parts.append(turn(key, f"1-{seq}", at, "caller" if i % 2 else "assistant", random.choice(texts)))
    if whole:
        seq += 1
        parts += [
            command("XADD", key, f"1-{seq}", "type", "call_end", "by", "worker", "at", at, "reason", "caller_hangup",
                    "metrics", '{"turns": 20, "barge_ins": 1}'),  # fmt: skip
            command("XADD", key.replace(":writes", ":events"), "*", "id", "completed", "at", at, "type", "call_status",
                    "by", "warmer", "status", "completed", "duration", "60", "sequence", "3"),  # fmt: skip
            command("HSET", key.replace(":writes", ":session"), "v", "1", "phase", "ended", "epoch", "1", "final", "1"),
        ]
    return parts


class Pipe:
    """Commands without waiting for each answer; answers are only counted."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))

    def send(self, parts: list[bytes]) -> None:
        """Ends when the server has done them all."""
        self.socket.sendall(b"".join(parts) + command("ECHO", "all-done"))
        tail = b""
        while not tail.endswith(b"all-done\r\n"):
            tail = (tail + self.socket.recv(1 << 16))[-64:]
            if not tail:
                raise RuntimeError("Redis closed the connection")


def fill(port: int, name: str, calls: int, turns: int = 20, whole: bool = False, index: str = WAITING) -> None:
    """A backlog of calls on the index that waits."""
    rng = random.Random(1)
    texts = [message(rng) for _ in range(500)]
    pipe, parts = Pipe(port), []
    for i in range(calls):
        sid = f"CA{rng.getrandbits(64):016x}{name}{i}"
        parts += journal(sid, turns, texts, whole)
        parts.append(command("XADD", index, "*", "call_sid", sid, "why", "end"))
        if len(parts) > 20_000:
            pipe.send(parts)
            parts = []
    pipe.send(parts)


def release(client: redis.Redis) -> None:
    """The backlog becomes the index, in one step."""
    client.xgroup_create(WAITING, "flusher", id="0")
    client.rename(WAITING, ENDED)
