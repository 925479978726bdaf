"""A call that is recorded, through all three programs: from the ring to the file, and to the business that is told."""

import pytest

from scenarios import harbour_dental
from standins.hook_receiver import HookReceiver
from standins.recordings import Media, Recordings
from standins.scenario import Scenario, turn
from standins.tls import Authority

from .after_call import sound
from .fleet import AUTH_TOKEN
from .servers import eventually
from .stage import Stage

pytestmark = pytest.mark.usefixtures("programs")

SHORT = Scenario(
    "short",
    "Thank you for calling Harbour Dental. May I have your name, please?",
    (turn("What time is it?", "It is noon."),),
    caller_hangs_up=True,
)
SOUND = sound([(3, 9000)], [(3, 7000)])


def test_a_recorded_call(tmp_path):
    authority = Authority(tmp_path)
    recordings = Recordings(token=AUTH_TOKEN, tls=authority.server_context())
    receiver = HookReceiver()
    env = {
        "RINGFLEET_RECORD_CALLS": "1",
        "RINGFLEET_RECORDING_STORE": str(tmp_path / "store"),
        "RINGFLEET_TWILIO_API_URL": recordings.url,
        "RINGFLEET_TWILIO_ACCOUNT_SID": recordings.account,
        "RINGFLEET_JOB_CA_FILE": authority.certificate,
        "RINGFLEET_AFTER_CALL_HOOK": "1",
        "RINGFLEET_AFTER_CALL_URL": receiver.url,
        "RINGFLEET_AFTER_CALL_SECRET": receiver.secret,
        "RINGFLEET_AFTER_CALL_ALLOW_PRIVATE": "1",
    }
    with Stage(SHORT, env=env) as stage:
        stage.carrier.recording_url = lambda sid: said(recordings, sid)
        call = stage.start_call(harbour_dental.CALLER_NUMBER, harbour_dental.BUSINESS_NUMBER)
        stage.finish(call)
        stage.check(call)
        stored = eventually("the recording", lambda: stored_rows(stage))
        eventually("the business to be told", lambda: receiver.told)
        assert stage.fleet.warmer.metrics()["ringfleet_recordings_absent_total"] == 0
    (one,) = stored
    assert one["call_sid"] == call.sid and one["bytes"] == len(SOUND)
    assert (tmp_path / "store").joinpath(one["location"]).read_bytes() == SOUND
    (told,) = receiver.told
    assert (told.body["call_sid"], told.body["status"]) == (call.sid, "completed")
    assert [turn["text"] for turn in told.body["turns"]][-1] == "It is noon."
    for vendor in (recordings, receiver):
        vendor.stop()
        vendor.check()


def said(recordings: Recordings, sid: str) -> str:
    """The carrier tells of it before it can be had."""
    recordings.media[sid] = Media(SOUND, not_ready=1)
    return recordings.url_of(sid)


def stored_rows(stage: Stage) -> list[dict]:
    return stage.fleet.sql("select * from recording where status = 'stored'")
