"""A TCP proxy that can misbehave, in a process of its own so that it keeps pace.

    python3 -m chaos.proxy     one JSON command per line on stdin, one JSON answer per line on stdout

chaos/proxies.py is the other end.
"""

import asyncio
import json
import socket
import struct
import sys

from .resp import Tap
from .stalls import Stalls

CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Link:
    """One connection through a route: bytes pass each way, late or not at all when told so."""

    def __init__(self, route: "Route", tap: Tap | None) -> None:
        self.route = route
        self.tap = tap
        self.writers: list[asyncio.StreamWriter] = []

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None and writer.transport is not None and not writer.is_closing():
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upwards: bool
    ) -> None:
        """One side's end of stream is passed on, the other may still speak; its reset is passed on at once, or who
        waits for its answer would wait for ever."""
        try:
            await self._pump(reader, writer, upwards)
        except OSError:
            self.reset()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upwards: bool
    ) -> None:
        while data := await reader.read(CHUNK):
            if self.route.lag_s:
                await asyncio.sleep(self.route.lag_s)
            await self.route.flowing.wait()
            verdict = self.route.look(data) if upwards else ""
            if verdict == "lose":  # the server never hears it
                self.reset()
                return
            if not upwards and self in self.route.starving:
                continue
            writer.write(data)
            if self.tap is not None:
                # What the server has answered is a fact, also if the answer is lost on the way.
                (self.tap.sent if upwards else self.tap.answered)(data)
            await writer.drain()
            if verdict == "mute":  # the server does it, and its answer is lost
                await asyncio.sleep(0.05)
                self.reset()
                return
        if writer.can_write_eof():
            writer.write_eof()


class Route:
    def __init__(self, name: str, target: tuple[str, int], keep: list[dict] | None) -> None:
        self.name = name
        self.target = target
        self.lag_s = 0.0
        self.closed = False  # new connections are reset
        self.starving: set["Link"] = set()  # to replicas, that get nothing more
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._trap: tuple[bytes, str] | None = None
        self._keep = keep
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self._server.sockets[0].getsockname()[1]

    def shut(self) -> None:
        """Nobody gets in any more: who came while the others are seen out would be left on the stairs."""
        if self._server is not None:
            self._server.close()

    def cut(self) -> int:
        count = len(self._links)
        for link in list(self._links):
            link.reset()
        return count

    def starve(self) -> None:
        self.starving = {link for link in self._links if link.tap is not None and link.tap.replicates}

    def trap(self, marker: bytes, verdict: str) -> None:
        """The next bytes for the server that contain the marker meet this fate, once."""
        self._trap = (marker, verdict)

    def look(self, data: bytes) -> str:
        if self._trap is None or self._trap[0] not in data:
            return ""
        verdict, self._trap = self._trap[1], None
        return verdict

    def sprung(self) -> bool:
        return self._trap is None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self, Tap(self.name, self._keep.append) if self._keep is not None else None)
        link.writers.append(writer)
        self._links.add(link)
        try:
            if self.closed:
                link.reset()
                return
            try:
                up_reader, up_writer = await asyncio.open_connection(*self.target)
            except OSError:
                link.reset()
                return
            link.writers.append(up_writer)
            for one in link.writers:
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pumps = (link.pump(reader, up_writer, True), link.pump(up_reader, writer, False))
            await asyncio.gather(*pumps)
        finally:
            self._links.discard(link)
            for one in link.writers:
                one.close()


class Switchboard:
    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._kept: list[dict] = []
        self.stalls = Stalls()

    def shut(self) -> None:
        for route in self._routes.values():
            route.shut()

    async def obey(self, command: dict) -> object:
        op = command["op"]
        if op == "open":
            keep = self._kept if command.get("tap") else None
            route = Route(command["name"], (command["host"], command["port"]), keep)
            self._routes[route.name] = route
            return await route.open()
        if op == "kept":
            return self._kept
        if op == "stalls":
            return self.stalls.found
        route = self._routes[command["name"]]
        if op == "cut":
            return route.cut()
        if op == "lag":
            route.lag_s = command["seconds"]
        elif op == "stall":
            (route.flowing.clear if command["on"] else route.flowing.set)()
        elif op == "close":
            route.closed = command["on"]
            if route.closed:
                route.cut()
        elif op == "starve":
            route.starve()
        elif op == "trap":
            route.trap(command["marker"].encode(), command["verdict"])
        elif op == "sprung":
            return route.sprung()
        else:
            raise ValueError(op)
        return None


async def serve() -> None:
    board = Switchboard()
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    watching = asyncio.create_task(board.stalls.watch())
    while line := await reader.readline():
        answer = await board.obey(json.loads(line))
        print(json.dumps(answer), flush=True)
    board.shut()
    watching.cancel()


if __name__ == "__main__":
    asyncio.run(serve())
