"""The demo's call with a Telnyx media stream: the same promises, over a protocol that spells everything
differently and does not keep the order of the caller's audio."""

import pytest

from flow import first_call
from flow.fleet import MEDIA_URL
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
