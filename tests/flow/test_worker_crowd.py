"""More calls at once than a media server may crash at."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flow.chat import NUMBERS, fleet_of
from flow.raw_peer import CLOSE, TEXT, RawPeer, offer
from flow.servers import eventually

pytestmark = pytest.mark.usefixtures("programs")

CROWD = 120
PATIENCE_S = 60
SPOKEN_TENTHS = 25  # 2.4 MB of audio, if somebody kept it
GROWTH_KB = 1024
TENTH = base64.b64encode(b"\xff" * 800).decode()  # a tenth of a second in one message: any size is allowed


def one_call(listen: str, ticket, enough: threading.Event) -> tuple[int, int]:
    """Audio messages it got, and the close code."""
    with RawPeer(listen, timeout=30) as peer:
        peer.upgrade()
        peer.start(ticket)
        for tenth in range(10 * PATIENCE_S):
            if enough.is_set():
                break
            media = {"track": "inbound", "chunk": str(tenth + 1), "timestamp": str(100 * tenth), "payload": TENTH}
            peer.say({"event": "media", "streamSid": "MZ", "media": media})
            enough.wait(0.1)
        peer.say({"event": "stop", "streamSid": "MZ", "stop": {}})
        audio = 0
        while (got := peer.message()) is not None and got[0] != CLOSE:
            audio += got[0] == TEXT and json.loads(got[1])["event"] == "media"
        return audio, int.from_bytes(got[1][:2], "big") if got else 0


def speak_on(worker, tenths: int) -> None:
    heard = 'ringfleet_carrier_frames_total{direction="in"}'
    enough = worker.metrics()[heard] + tenths * CROWD
    eventually("all of them to speak on", lambda: worker.metrics()[heard] >= enough)


def test_more_than_a_hundred_calls_at_once():
    """Media servers abort at a hundred calls, lag at three, or greet half of their callers: all of these are greeted. Others keep
    what a caller says until the end of the call, 300 KB a second."""
    with fleet_of(1, RINGFLEET_THREADS="2", RINGFLEET_MAX_CALLS=str(CROWD)) as stage, ThreadPoolExecutor(CROWD) as pool:
        (worker,) = stage.fleet.workers
        tickets = [offer(stage.fleet, *NUMBERS) for _ in range(CROWD)]
        enough = threading.Event()
        running = [pool.submit(one_call, worker.listen, ticket, enough) for ticket in tickets]
        try:
            eventually("all of them", lambda: worker.metrics()["ringfleet_calls_active"] == CROWD)
            greeted = "ringfleet_first_audio_seconds_count"
            eventually("all greetings", lambda: worker.metrics()[greeted] == CROWD)
            speak_on(worker, 20)  # until every greeting has played
            before = worker.resident_kb()
            speak_on(worker, SPOKEN_TENTHS)
            if not worker.sanitized():
                assert worker.resident_kb() - before < GROWTH_KB
            assert worker.get("/readyz")[0] == 503 and worker.get("/healthz")[0] == 200
        finally:
            enough.set()
        heard = [one.result() for one in running]
        assert [code for _, code in heard] == [1000] * CROWD
        assert min(audio for audio, _ in heard) >= 1
        eventually("all to end", lambda: worker.metrics()["ringfleet_websockets"] == 0)
        metrics = worker.metrics()
        assert metrics['ringfleet_calls_ended_total{reason="carrier_stop"}'] == CROWD
        assert len(stage.fleet.logged("call ended")) == CROWD
        for ticket in tickets:
            stage.fleet.wait_flushed(ticket.sid, 60)
