"""The Redis of a run in the shapes in which users have it, a proxy before each of its servers, and what goes wrong with it.

A primary is always replaced by its replica. What it acknowledged and had not passed on by then is gone with it, which
common/redis/README.md says; so each fault notes whose word may be worth nothing (`Fault.victim`), for the oracle to judge by.
"""

import re
import signal
import threading
import time
from datetime import datetime
from pathlib import Path

import redis
from flow.redis_many import RedisCluster, RedisWithSentinels, slot_of
from flow.servers import RedisServer
from standins.clock import now_ms

from .proxies import Proxies

PATIENCE_MS = 2500  # with a primary that is silent; a busy machine must not look like it
PARTITIONS = 16  # of a cluster
MOVED_AT_ONCE = 3  # partitions
UNSENT_S = (0.2, 0.8)  # what a primary keeps for itself before it dies
_PROMOTED = re.compile(r"^\d+:\w (.*?) [*#.-] (?:MASTER MODE enabled|Failover election won)", re.MULTILINE)


class Single:
    partitions = 1
    actions = [("kill", 0.05, 3), ("restart", 0.05, 1), ("freeze", 0.2, 4), ("full", 0.3, 4)]
    settings: dict[str, str] = {}

    def __init__(self, directory: Path, proxies: Proxies) -> None:
        self._proxies = proxies
        self._server = RedisServer(directory)
        self.start, self.stop, self.client = self._server.start, self._server.stop, self._server.client

    @staticmethod
    def routes(programs: list[str]) -> list[str]:
        """Of the proxies before it: each program has its own."""
        return [f"redis-{name}" for name in programs]

    def url_of(self, name: str) -> str:
        port = self._proxies.open(f"redis-{name}", self._server.port, tap=True)
        return f"redis://127.0.0.1:{port}/0"

    def begin(self, fault) -> None:
        if fault.action == "full":
            self.client().config_set("maxmemory", 1)
        elif fault.action == "freeze":
            self._server.signal(signal.SIGSTOP)
        else:
            self._server.stop(signal.SIGKILL if fault.action == "kill" else signal.SIGTERM)

    def end(self, fault) -> bool:
        if fault.action == "full":
            self.client().config_set("maxmemory", 0)
        elif fault.action == "freeze":
            self._server.signal(signal.SIGCONT)
        else:
            self._server.start()
        return True

    def at_peace(self) -> bool:
        return True

    def takeovers(self) -> list[tuple[str, float]]:
        """Each primary that was replaced (its route), and when."""
        return []

    def moved(self) -> int:
        """Keys, from one server to another."""
        return 0


class Several:
    """Servers that announce the proxies before them, also to each other: what they replicate passes there too."""

    partitions = 1
    actions: list[tuple[str, float, float]] = []
    settings: dict[str, str] = {}

    def __init__(self, directory: Path, proxies: Proxies, servers, announce: str) -> None:
        self._proxies = proxies
        self.servers = servers
        self._healing: object = None  # the fault that is not over
        self.stop, self.client = servers.stop, servers.client
        for number, node in enumerate(servers.nodes):
            node.announced = proxies.open(f"redis-{number}", node.port, tap=True)
            node.configure(**{announce: node.announced})

    def start(self) -> None:
        self.servers.start()

    def url_of(self, name: str) -> str:
        return self.servers.url_of(name)

    def begin(self, fault) -> bool:
        """False: not yet, the last one has not healed."""
        if self._healing is not None or not self.at_peace():
            return False
        self._healing = fault
        self._strike(fault)
        return True

    def end(self, fault) -> bool:
        """False until the replica has taken over, if it has to, and the other follows it."""
        if not self._healed(fault):
            return False
        self._healing = None
        return True

    def _strike(self, fault) -> None:
        if fault.action == "full":
            for node in self._primaries():
                node.client().config_set("maxmemory", 1)
            return
        primaries = self._primaries()
        node = primaries[int(fault.pick * len(primaries))]
        fault.victim = self._route(node)
        if fault.action == "unsent":
            self._proxies.starve(fault.victim)
            low, high = UNSENT_S
            threading.Timer(low + (high - low) * fault.pick, node.stop, (signal.SIGKILL,)).start()
        elif fault.action == "freeze":
            node.signal(signal.SIGSTOP)
        else:
            node.stop(signal.SIGKILL)

    def _healed(self, fault) -> bool:
        if fault.action == "full":
            for node in filter(RedisServer.running, self.servers.nodes):
                node.client().config_set("maxmemory", 0)
            return self.at_peace()
        node = next(one for one in self.servers.nodes if self._route(one) == fault.victim)
        if fault.action == "freeze":
            node.signal(signal.SIGCONT)
        elif node.running():
            return self.at_peace()
        elif not self._replaced(node):
            return False
        else:
            self._come_back(node)
        return self.at_peace()

    def _route(self, node: RedisServer) -> str:
        return f"redis-{self.servers.nodes.index(node)}"

    def takeovers(self) -> list[tuple[str, float]]:
        ahead = time.time() * 1000 - now_ms()
        nodes, found = self.servers.nodes, []
        for number, node in enumerate(nodes):
            before = self._route(nodes[(number + len(nodes) // 2) % len(nodes)])
            for said in _PROMOTED.findall(node.log.read_text(errors="replace")):
                found.append((before, datetime.strptime(said, "%d %b %Y %H:%M:%S.%f").timestamp() * 1000 - ahead))
        return found

    def moved(self) -> int:
        return 0

    def _primaries(self) -> list[RedisServer]:
        raise NotImplementedError

    def _replaced(self, node: RedisServer) -> bool:
        raise NotImplementedError

    def _come_back(self, node: RedisServer) -> None:
        node.start()

    def at_peace(self) -> bool:
        raise NotImplementedError


class Sentinel(Several):
    actions = [("kill", 3, 5), ("kill", 3, 5), ("freeze", 0.2, 8), ("unsent", 3, 5), ("full", 0.3, 4)]

    def __init__(self, directory: Path, proxies: Proxies) -> None:
        super().__init__(directory, proxies, RedisWithSentinels(directory, PATIENCE_MS), "replica_announce_port")

    @staticmethod
    def routes(programs: list[str]) -> list[str]:
        return [f"redis-{number}" for number in range(2)]

    def _primaries(self) -> list[RedisServer]:
        return [self.servers.primary()]

    def _replaced(self, node: RedisServer) -> bool:
        return self.servers.primary() is not node

    def _come_back(self, node: RedisServer) -> None:
        """It follows whom the Sentinels name, as a chart has it ask at its start."""
        node.configure(replicaof=f"127.0.0.1 {self.servers.primary().announced}")
        node.start()

    def at_peace(self) -> bool:
        try:
            primary = self.servers.primary()
            replicas = [node for node in self.servers.nodes if node is not primary]
            states = [node.client(timeout=1).info("replication") for node in [primary, *replicas]]
        except redis.RedisError:
            return False
        return states[0]["role"] == "master" and all(one.get("master_link_status") == "up" for one in states[1:])


class Cluster(Several):
    partitions = PARTITIONS
    actions = [
        ("kill", 4, 7),
        ("freeze", 0.2, 9),
        ("unsent", 4, 7),
        ("full", 0.3, 3),
        ("reshard", 0.5, 3),
        ("reshard", 0.5, 3),
    ]
    settings = {"RINGFLEET_PARTITIONS": str(PARTITIONS)}

    def __init__(self, directory: Path, proxies: Proxies) -> None:
        super().__init__(directory, proxies, RedisCluster(directory, PATIENCE_MS), "cluster_announce_port")
        self._moving: threading.Thread | None = None
        self._moved = 0

    @staticmethod
    def routes(programs: list[str]) -> list[str]:
        return [f"redis-{number}" for number in range(6)]

    def _primaries(self) -> list[RedisServer]:
        return self.servers.primaries()

    def _replaced(self, node: RedisServer) -> bool:
        return len(self.servers.primaries()) == len(self.servers.nodes) // 2

    def at_peace(self) -> bool:
        try:
            return self.servers.in_step(timeout=1) and len(self.servers.primaries()) == 3
        except redis.RedisError:
            return False

    def _strike(self, fault) -> None:
        if fault.action != "reshard":
            super()._strike(fault)
            return
        first = int(fault.pick * PARTITIONS)
        slots = [slot_of(f"{{p{(first + i) % PARTITIONS}}}") for i in range(MOVED_AT_ONCE)]
        self._moving = threading.Thread(target=self._move, args=(slots, fault.seconds))
        self._moving.start()

    def _move(self, slots: list[int], seconds: float) -> None:
        """Slowly, key by key, so that calls meet all that a cluster says meanwhile."""
        primaries = self.servers.primaries()
        for slot in slots:
            to = primaries[(primaries.index(self.servers.owner(slot)) + 1) % len(primaries)]
            self._moved += self.servers.move_slot(slot, to, pause=0.05, seconds=seconds)

    def _healed(self, fault) -> bool:
        if fault.action != "reshard":
            return super()._healed(fault)
        return not self._moving.is_alive()

    def moved(self) -> int:
        return self._moved


SHAPES = {"single": Single, "sentinel": Sentinel, "cluster": Cluster}
