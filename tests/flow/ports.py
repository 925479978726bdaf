"""Ports for servers that a test starts, or starts again.

The kernel gives the ports of its ephemeral range to whoever connects: a port found there may be taken
by the time its server binds it. So these lie below that range, and each process takes them from a block
of its own, held by an abstract socket, which the C tests (tests/unit/loopback.c) respect too."""

import os
import socket

FIRST, END, BLOCK = 10000, 32500, 900


class _Block:
    def __init__(self) -> None:
        self._lease = socket.socket(socket.AF_UNIX)
        blocks = (END - FIRST) // BLOCK
        for number in range(os.getpid(), os.getpid() + blocks):
            self._first = FIRST + number % blocks * BLOCK
            try:
                self._lease.bind(f"\0ringfleet-test-ports-{self._first}")
            except OSError:
                continue
            self._next = 0
            return
        raise RuntimeError("every block of ports is in use: too many tests at once")

    def port(self) -> int:
        for _ in range(BLOCK):
            port = self._first + self._next % BLOCK
            self._next += 1
            with socket.socket() as probe:
                # as the servers do: connections of an earlier one may still be closing
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return port
        raise RuntimeError(f"none of {BLOCK} ports is free")


_block: _Block | None = None


def free_port() -> int:
    global _block
    if _block is None:
        _block = _Block()
    return _block.port()
