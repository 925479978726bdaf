"""Whether programs are after many calls what they were after some: in memory, and in open descriptors."""

from typing import Callable, Sequence

from .fleet import Program
from .servers import eventually


def check_nothing_left(
    programs: Sequence[Program], play: Callable[[int], None], *, warm_up: int, rounds: int, growth_kb: int
) -> None:
    """`play` plays so many rounds, and waits until they are over."""
    play(warm_up)
    before = [(one.resident_kb(), one.descriptors()) for one in programs]
    play(rounds)
    for one, (kb, files) in zip(programs, before):
        eventually(f"as many descriptors of the {one.name} as before", lambda: one.descriptors() <= files)
        if not one.sanitized():
            assert one.resident_kb() - kb < growth_kb


def wait_all_over(worker: Program) -> None:
    eventually("all calls to end", lambda: worker.metrics()["ringfleet_calls_active"] == 0)
    eventually("all sockets to close", lambda: worker.metrics()["ringfleet_websockets"] == 0)
