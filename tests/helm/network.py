"""A network of pods on one machine: a bridge, a network namespace for each pod, and NetworkPolicies
enforced by nftables inside the namespace, where the pod's user cannot change them."""

import asyncio
import contextlib
import ipaddress
import os
import subprocess
import threading

COMPONENT = "app.kubernetes.io/component"


def sh(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def inside(namespace: str) -> list[str]:
    """What runs a command in a pod's namespace, also where `ip netns exec` cannot: in a chroot."""
    return ["nsenter", f"--net=/run/netns/{namespace}"]


class Network:
    """Addresses are this process's own, so that two runs on one machine do not meet."""

    def __init__(self) -> None:
        number = os.getpid()
        self._bridge = f"rf{number}"
        self._base = f"10.{100 + number % 100}.{number // 100 % 250}"
        self.servers = {"redis": f"{self._base}.2", "postgres": f"{self._base}.3"}
        self.outside = f"198.51.100.{number % 250 + 1}"  # an address of nobody, on the internet
        self._pods: list[str] = []
        self._relays: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relays", daemon=True)

    def __enter__(self) -> "Network":
        self._thread.start()
        # An address of its own: otherwise the bridge's changes with each port, and pods that know it
        # from before are lost.
        sh("ip", "link", "add", self._bridge, "address", "02:00:00:00:00:01", "type", "bridge")
        sh("ip", "addr", "add", f"{self._base}.1/24", "dev", self._bridge)
        for address in self.servers.values():
            sh("ip", "addr", "add", f"{address}/24", "dev", self._bridge)
        sh("ip", "addr", "add", f"{self.outside}/32", "dev", self._bridge)
        sh("ip", "link", "set", self._bridge, "up")
        return self

    def __exit__(self, *_) -> None:
        for name in self._pods:
            with contextlib.suppress(RuntimeError):
                sh("ip", "netns", "del", name)
        sh("ip", "link", "del", self._bridge)
        for server in self._relays:
            self._loop.call_soon_threadsafe(server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def add_pod(self) -> tuple[str, str]:
        """Name of the namespace and address."""
        number = len(self._pods) + 10
        name, address = f"{self._bridge}-{number}", f"{self._base}.{number}"
        outer, inner = f"v{os.getpid()}.{number}", "eth0"
        sh("ip", "netns", "add", name)
        self._pods.append(name)
        sh("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", name)
        sh("ip", "link", "set", outer, "master", self._bridge, "up")
        for command in (
            f"addr add {address}/24 dev {inner}",
            f"link set {inner} up",
            "link set lo up",
            f"route add default via {self._base}.1",
        ):
            sh(*inside(name), "ip", *command.split())
        return name, address

    def apply(self, namespace: str, policy: dict) -> None:
        """The policy of a pod; what it does not name is refused, both ways."""
        lines = ["add table inet pod"]
        for chain, rules in (("input", policy["ingress"]), ("output", policy["egress"])):
            lines.append(
                f"add chain inet pod {chain} {{ type filter hook {chain} priority 0; policy drop; }}"
            )
            lines.append(f"add rule inet pod {chain} ct state established,related accept")
            lines.append(f"add rule inet pod {chain} meta l4proto icmpv6 accept")
            peers, side = ("from", "saddr") if chain == "input" else ("to", "daddr")
            for rule in rules:
                for port in rule["ports"]:
                    match = f"{port.get('protocol', 'TCP').lower()} dport {port['port']} accept"
                    for peer in rule.get(peers, [{}]):
                        lines.append(
                            f"add rule inet pod {chain} {self._peer(peer, side)} {match}"
                        )
            lines.append(f"add rule inet pod {chain} counter reject")  # told at once, not by silence
        sh(*inside(namespace), "nft", "-f", "-", text="\n".join(lines) + "\n")

    def _peer(self, peer: dict, side: str) -> str:
        if "podSelector" in peer:
            return f"ip {side} {self.servers[peer['podSelector']['matchLabels'][COMPONENT]]}"
        if "ipBlock" in peer:
            block = peer["ipBlock"]
            network = ipaddress.ip_network(block["cidr"])
            family = "ip" if network.version == 4 else "ip6"
            text = f"{family} {side} {network}" if network.prefixlen else f"meta nfproto ipv{network.version}"
            if block.get("except"):
                assert all(ipaddress.ip_network(one).subnet_of(network) for one in block["except"])
                text += f" {family} {side} != {{ {', '.join(block['except'])} }}"
            return text
        return ""

    def reaches(self, namespace: str, address: str, port: int) -> bool:
        """Whether a pod can open a connection."""
        code = f"import socket; socket.create_connection(('{address}', {port}), 10)"
        command = [*inside(namespace), "/usr/bin/python3", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 or "Connection refused" in done.stderr, done.stderr
        return done.returncode == 0

    def relay(self, address: str, port: int, target: int) -> None:
        """What connects to the address is led to a server of the tests on 127.0.0.1."""

        async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    writer.write(data)
                    await writer.drain()
            writer.close()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                there, back = await asyncio.open_connection("127.0.0.1", target)
            except OSError:
                writer.close()
                return
            await asyncio.gather(pump(reader, back), pump(there, writer))

        listening = asyncio.start_server(serve, address, port)
        server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        self._relays.append(server)
