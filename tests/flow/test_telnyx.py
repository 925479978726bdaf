"""The demo's call with a Telnyx media stream: the same promises, over a protocol that spells everything
differently and does not keep the order of the caller's audio."""

import json

import pytest

from flow import first_call
from flow.fleet import MEDIA_URL
from flow.raw_peer import TEXT, RawPeer
from flow.stage import Stage
from scenarios import harbour_dental

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture(scope="module")
def evidence():
    env = {"RINGFLEET_MEDIA_URL": f"{MEDIA_URL}/telnyx"}
    with Stage(harbour_dental.scenario(), env=env) as stage:
        yield first_call.play(stage)


@pytest.mark.parametrize(
    "title, check", first_call.CHECKS, ids=[one[0] for one in first_call.CHECKS]
)
def test_the_demo_call(evidence, title, check):
    check(evidence)


def test_metrics_and_log_tell_what_is_different(evidence):
    (worker,) = evidence.fleet.workers
    metrics = worker.metrics()
    assert metrics["ringfleet_carrier_frames_reordered_total"] > 10
    assert metrics["ringfleet_carrier_frames_dropped_total"] == 0
    assert metrics["ringfleet_carrier_refused_total"] == 0
    assert metrics["ringfleet_calls_left_up_total"] == 1
    (line,) = evidence.fleet.logged(
        "the carrier keeps the call up: it ends through the carrier's API", evidence.call.sid
    )
    assert (line["carrier"], line["verdict"]) == ("telnyx", "hangup")


@pytest.mark.parametrize("token", ["", "0.4000000000000.000000000000000000." + "A" * 43])
def test_a_stream_without_a_good_token_reaches_no_ai(evidence, token):
    """A media socket that only one carrier has to prove itself at is open to everybody."""
    (worker,) = evidence.fleet.workers
    talking = len(evidence.stage.provider.talking())
    start = {
        "call_control_id": evidence.call.sid,
        "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        "custom_parameters": {"token": token},
    }
    with RawPeer(worker.listen) as peer:
        peer.upgrade("/media/telnyx")
        peer.frame(TEXT, json.dumps({"event": "connected", "version": "1.0.0"}).encode())
        peer.frame(TEXT, json.dumps({"event": "start", "stream_id": "s1", "start": start}).encode())
        assert peer.close_code() == 1008
    assert len(evidence.stage.provider.talking()) == talking
