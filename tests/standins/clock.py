"""One monotonic clock for both stand-ins, so that their event logs can be laid side by side."""

import time


def now_ms() -> float:
    return time.monotonic() * 1000
