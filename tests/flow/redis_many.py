"""Several private Redis servers that belong together: a cluster, or a primary that Sentinels watch."""

import signal
import time
from pathlib import Path

import redis
import redis.cluster
from redis.crc import key_slot

from .ports import free_port
from .servers import RedisServer, end_process, eventually, start_process

NODE_TIMEOUT_MS = 4000  # a primary that is silent for so long is replaced; a busy machine must not look like it
DOWN_AFTER_MS = 1000  # the same of the Sentinels
PRIMARIES = 3
SLOTS = 16384
MASTER = "ringfleet"  # what the Sentinels call it


def slot_of(key: str) -> int:
    return key_slot(key.encode())


class RedisCluster:
    """Three primaries with a replica each: node i+3 copies node i."""

    def __init__(self, directory: Path, timeout_ms: int = NODE_TIMEOUT_MS) -> None:
        directory.mkdir(parents=True)
        self.bus_ports = [free_port() for _ in range(2 * PRIMARIES)]
        self.nodes = [
            RedisServer(directory / str(number), settings=self._settings(bus, timeout_ms))
            for number, bus in enumerate(self.bus_ports)
        ]

    @staticmethod
    def _settings(bus_port: int, timeout_ms: int) -> dict[str, object]:
        return {
            "cluster-enabled": "yes",
            "cluster-port": bus_port,
            "cluster-node-timeout": timeout_ms,
            "cluster-replica-validity-factor": 0,
            "cluster-require-full-coverage": "no",
            "cluster-migration-barrier": 99,
            "repl-diskless-sync-delay": 0,
        }

    def url_of(self, program: str) -> str:
        """Two of the addresses: the others are found by them."""
        user = self.nodes[0].url_of(program).removesuffix(f"127.0.0.1:{self.nodes[0].port}/0")
        return f"{user}127.0.0.1:{self.nodes[0].announced},127.0.0.1:{self.nodes[1].announced}"

    # ---- life ----

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes[:PRIMARIES]):
            first, end = number * SLOTS // PRIMARIES, (number + 1) * SLOTS // PRIMARIES
            node.client().execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
        met = 0.0

        def all_met() -> bool:
            nonlocal met
            if time.monotonic() > met + 2:  # on a busy machine a handshake may end before it has begun
                met = time.monotonic()
                self._meet()
            return all(map(self._knows_all, self.nodes))

        eventually("the nodes to know each other", all_met)
        for primary, replica in zip(self.nodes, self.nodes[PRIMARIES:]):
            replica.client().execute_command("CLUSTER REPLICATE", self.id_of(primary))
        self.wait_copied()

    def _meet(self) -> None:
        for node, bus in zip(self.nodes[1:], self.bus_ports[1:]):
            self.nodes[0].client().execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)

    def stop(self, how: int = signal.SIGTERM) -> None:
        for node in self.nodes:
            node.stop(how)

    def _info(self, node: RedisServer) -> dict[str, str]:
        text = node.client().execute_command("CLUSTER INFO")
        return dict(line.split(":", 1) for line in text.split()) if isinstance(text, str) else text

    def _knows_all(self, node: RedisServer) -> bool:
        info = self._info(node)
        return (
            info["cluster_known_nodes"] == str(len(self.nodes))
            and info["cluster_slots_ok"] == str(SLOTS)
            and info["cluster_state"] == "ok"
        )

    def wait_copied(self) -> None:
        eventually("the replicas to be in step", self.in_step)

    def in_step(self, timeout: float | None = None) -> bool:
        """Every replica that runs has all its primary has."""
        for node in self.nodes:
            if not node.running():
                continue
            info = node.client(timeout).info("replication")
            if info["role"] == "slave" and info["master_link_status"] != "up":
                return False
        return all(self._info(node)["cluster_state"] == "ok" for node in self.nodes if node.running())

    # ---- looking in ----

    def client(self) -> redis.cluster.RedisCluster:
        (port,) = [node.port for node in self.nodes if node.running()][:1]
        return redis.cluster.RedisCluster(
            "127.0.0.1", port, decode_responses=True, require_full_coverage=False
        )

    def id_of(self, node: RedisServer) -> str:
        return node.client().execute_command("CLUSTER MYID")

    def primaries(self) -> list[RedisServer]:
        found = [node for node in self.nodes if node.running()]
        return [node for node in found if node.client().info("replication")["role"] == "master"]

    def owner(self, slot: int) -> RedisServer:
        """Who serves it, and knows it."""
        for node in self.primaries():
            for first, last, (_, port, *_), *_ in node.client().execute_command("CLUSTER SLOTS"):
                if first <= slot <= last and port == node.announced:
                    return node
        raise LookupError(f"nobody has slot {slot}")

    # ---- changing it ----

    def move_slot(self, slot: int, to: RedisServer, pause: float = 0, seconds: float = 60) -> int:
        """As redis-cli --cluster reshard does it, slowly: with a pause behind each key, while it has seconds. Returns how
        many there were."""
        hurry = time.monotonic() + seconds
        source = self.owner(slot)
        to.client().execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.client().execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self.id_of(to))
        moved = 0
        while keys := source.client().execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
            source.client().execute_command("MIGRATE", "127.0.0.1", to.port, keys[0], 0, 5000)
            moved += 1
            time.sleep(pause if time.monotonic() < hurry else 0)
        for node in (to, source, *self.primaries()):
            node.client().execute_command("CLUSTER SETSLOT", slot, "NODE", self.id_of(to))
        return moved

    def fail_over(self, primary: RedisServer) -> None:
        """The primary is killed; its replica takes its slots."""
        before = len(self.primaries())
        primary.stop(signal.SIGKILL)
        eventually("the replica to take over", lambda: len(self.primaries()) == before)


class RedisWithSentinels:
    """A primary, a replica and three Sentinels; two of them must agree."""

    def __init__(self, directory: Path, down_after_ms: int = DOWN_AFTER_MS) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self._down_after_ms = down_after_ms
        self.nodes = [
            RedisServer(directory / name, settings={"repl-diskless-sync-delay": 0})
            for name in ("first", "second")
        ]
        self.ports = [free_port() for _ in range(3)]
        self._sentinels: list = []

    def url_of(self, program: str) -> str:
        """The Sentinels have no users, and the programs bear that."""
        user, at, _ = self.nodes[0].url_of(program).removeprefix("redis://").rpartition("@")
        places = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{user}{at}{places}/{MASTER}"

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first, second = self.nodes
        second.client().replicaof("127.0.0.1", first.announced)
        for port in self.ports:
            config = self._directory / f"sentinel-{port}.conf"
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self._directory}\n"
                f"sentinel monitor {MASTER} 127.0.0.1 {first.announced} 2\n"
                f"sentinel down-after-milliseconds {MASTER} {self._down_after_ms}\n"
                f"sentinel failover-timeout {MASTER} 5000\n"
            )
            log = self._directory / f"sentinel-{port}.log"
            self._sentinels.append(start_process(["redis-server", str(config), "--sentinel"], log))
        eventually("the Sentinels to know each other and the replica", self._all_known)

    def _all_known(self) -> bool:
        try:
            states = [redis.Redis(port=port).sentinel_master(MASTER) for port in self.ports]
        except redis.RedisError:
            return False
        return all(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1 for state in states)

    def stop(self, how: int = signal.SIGTERM) -> None:
        for sentinel in self._sentinels:
            end_process(sentinel, how)
        for node in self.nodes:
            node.stop(how)

    def kill_sentinel(self) -> None:
        end_process(self._sentinels[0], signal.SIGKILL)

    def primary(self) -> RedisServer:
        _, port = redis.Redis(port=self.ports[-1]).sentinel_get_master_addr_by_name(MASTER)
        return next(node for node in self.nodes if node.announced == port)

    def client(self) -> redis.Redis:
        return self.primary().client()

    def fail_over(self) -> None:
        """The primary is killed; the Sentinels name the other."""
        before = self.primary()
        before.stop(signal.SIGKILL)
        eventually("the Sentinels to name the other", lambda: self.primary() is not before)

    def replaced_asleep(self) -> RedisServer:
        """The primary sleeps until the Sentinels name the other, and wakes up as one who thinks that he still is it.
        They tell him some ten seconds later."""
        before = self.primary()
        before.signal(signal.SIGSTOP)
        eventually("the Sentinels to name the other", lambda: self.primary() is not before)
        before.signal(signal.SIGCONT)
        return before
