"""How late an event loop was. While the machine has no time for the stand-ins, what they saw says nothing about the fleet."""

import asyncio

from standins.clock import now_ms

EVERY_S = 0.05
LATE_MS = 400


class Stalls:
    """The times in which a loop did not come round: begin and end, in ms."""

    def __init__(self) -> None:
        self.found: list[tuple[float, float]] = []

    async def watch(self) -> None:
        last = now_ms()
        while True:
            await asyncio.sleep(EVERY_S)
            now = now_ms()
            if now - last > LATE_MS:
                self.found.append((last, now))
            last = now
