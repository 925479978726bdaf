"""The test's end of the proxy process."""

import json
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


class Proxies:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.proxy"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=TESTS,
        )
        self._lock = threading.Lock()

    def _ask(self, op: str, **fields: object) -> object:
        with self._lock:
            self._process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the proxy has ended with {self._process.poll()}")
        return json.loads(line)

    def open(self, name: str, port: int, tap: bool = False) -> int:
        """A new route to a local port; the port it listens on."""
        return self._ask("open", name=name, host="127.0.0.1", port=port, tap=tap)

    def cut(self, name: str) -> int:
        return self._ask("cut", name=name)

    def lag(self, name: str, seconds: float) -> None:
        self._ask("lag", name=name, seconds=seconds)

    def stall(self, name: str, on: bool) -> None:
        self._ask("stall", name=name, on=on)

    def close(self, name: str, on: bool) -> None:
        self._ask("close", name=name, on=on)

    def starve(self, name: str) -> None:
        """What its server sends to a replica is lost from now on, until their connection ends."""
        self._ask("starve", name=name)

    def trap(self, name: str, marker: str, verdict: str) -> None:
        self._ask("trap", name=name, marker=marker, verdict=verdict)

    def sprung(self, name: str) -> bool:
        return self._ask("sprung", name=name)

    def kept(self) -> list[dict]:
        """Every journal entry that Redis acknowledged on a tapped route."""
        return self._ask("kept")

    def stalls(self) -> list[tuple[float, float]]:
        """When the proxies themselves had to wait for the machine."""
        return [(begin, end) for begin, end in self._ask("stalls")]

    def stop(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
