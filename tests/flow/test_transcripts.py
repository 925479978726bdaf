"""A recording is written down if its call has no transcript, and then once; each side by itself, in pieces that the
service takes."""

import signal

import pytest

from standins.recordings import Media, Recordings
from standins.s3 import S3
from standins.transcription import Transcription

from .after_call import (
    bucket_settings,
    carrier_settings,
    files,
    in_turn,
    job,
    recorded_call,
    served,
    sound,
    wait_job,
)
from .flusher_rig import FlusherRig
from .servers import eventually

CALLER, ASSISTANT = 9000, 7000
# The pauses are where pieces may be cut.
SOUND = sound(
    [(5, CALLER), (1, 0), (5, CALLER), (1, 0), (4, CALLER)],
    [(6, ASSISTANT), (1, 0), (5, ASSISTANT), (4, 0)],
)


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def carrier():
    yield from served(Recordings())


@pytest.fixture
def service():
    yield from served(Transcription())


@pytest.fixture
def rig(servers, carrier, service):
    yield from in_turn(servers)


@pytest.fixture
def settings(tmp_path, carrier, service) -> dict:
    return carrier_settings(carrier, tmp_path / "store") | {
        "transcription_url": f"{service.url}/v1/audio/transcriptions",
        "transcription_key": service.key,
        "transcription_wait_seconds": 0,
    }


def call_without_turns(rig, carrier, content: bytes = SOUND) -> None:
    carrier.media["RE1"] = Media(content)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))


def turns(rig) -> list[dict]:
    return rig.one("select turns from call_transcript where recording_sid = 'RE1' and call_sid = 'CA1'")[
        "turns"
    ]


def test_both_sides_are_written_down_by_themselves(rig, carrier, service, settings):
    rig.start(**settings)
    call_without_turns(rig, carrier)
    assert wait_job(rig, "transcript", "RE1")["progress"] is None  # what was said stands in one place
    assert turns(rig) == [
        {"speaker": "caller", "from_ms": 0, "to_ms": 16000, "text": f"peak {CALLER}"},
        {"speaker": "assistant", "from_ms": 0, "to_ms": 16000, "text": f"peak {ASSISTANT}"},
    ]
    assert [(one.model, one.language) for one in service.heard] == 2 * [("gpt-transcribe", None)]


def test_a_call_with_a_live_transcript_is_never_written_down(rig, carrier, service, settings):
    rig.start(**settings)
    carrier.media["RE1"] = Media(SOUND)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"), turns=1)
    done = wait_job(rig, "transcript", "RE1")
    assert done["result"].startswith("not needed")
    assert service.heard == [] and rig.sql("select * from call_transcript") == []


def test_a_transcript_that_is_still_on_its_way_is_waited_for(rig, carrier, service, settings):
    rig.start(**settings | {"transcription_wait_seconds": 3600})
    call_without_turns(rig, carrier)
    wait_job(rig, "recording", "RE1")
    waiting = job(rig, "transcript", "RE1")
    assert waiting["state"] == "waiting" and waiting["attempts"] == 0
    assert rig.one("select due_at > now() + interval '50 minutes' as later from after_call_job where kind = 'transcript'")[
        "later"
    ]
    assert service.heard == []


def test_the_business_language_and_who_is_on_the_first_channel(rig, carrier, service, settings):
    business = rig.one(
        "insert into business (name, phone_number, language) values ('B', '+14155550199', 'de-AT') returning id"
    )["id"]
    rig.sql("insert into call_log (call_sid, business_id) values ('CA1', %s)", business)
    rig.start(**settings | {"recording_channels": "assistant-first", "transcription_model": "whisper-1"})
    call_without_turns(rig, carrier)
    wait_job(rig, "transcript", "RE1")
    assert [turn["speaker"] for turn in turns(rig)] == ["assistant", "caller"]
    assert [(one.model, one.language) for one in service.heard] == 2 * [("whisper-1", "de")]


def test_silence_is_not_sent(rig, carrier, service, settings):
    rig.start(**settings)
    call_without_turns(rig, carrier, sound([(8, 20)], [(0.1, ASSISTANT), (7.9, 0)]))
    wait_job(rig, "transcript", "RE1")
    assert turns(rig) == [] and service.heard == []


def test_a_recording_of_one_channel(rig, carrier, service, settings):
    rig.start(**settings)
    call_without_turns(rig, carrier, sound([(3, CALLER)]))
    wait_job(rig, "transcript", "RE1")
    assert [turn["speaker"] for turn in turns(rig)] == ["unknown"]


def test_pieces_are_cut_where_it_is_quiet(rig, carrier, service, settings):
    rig.start(**settings | {"transcription_piece_seconds": 7})
    call_without_turns(rig, carrier)
    wait_job(rig, "transcript", "RE1")
    caller = [turn for turn in turns(rig) if turn["speaker"] == "caller"]
    assert caller[0]["from_ms"] == 0 and caller[-1]["to_ms"] == 16000
    assert all(one["to_ms"] == next["from_ms"] for one, next in zip(caller, caller[1:]))
    assert all(one["to_ms"] - one["from_ms"] <= 7000 for one in caller)
    assert all(5000 <= one["to_ms"] <= 6000 or 11000 <= one["to_ms"] <= 12000 for one in caller[:-1])
    times = [turn["from_ms"] for turn in turns(rig)]
    assert times == sorted(times)


def test_what_is_too_long_for_the_service_is_split(rig, carrier, service, settings):
    service.seconds_max = 10
    rig.start(**settings)
    call_without_turns(rig, carrier, sound([(24, CALLER)], [(24, ASSISTANT)]))
    wait_job(rig, "transcript", "RE1")
    assert service.too_long > 0
    assert abs(sum(one.seconds for one in service.heard) - 48) < 0.01  # nothing missing, nothing twice


def test_what_is_too_long_whatever_its_length_is_given_up(rig, carrier, service, settings):
    service.seconds_max = 0.001
    rig.start(**settings)
    call_without_turns(rig, carrier)
    dead = wait_job(rig, "transcript", "RE1", "dead")
    assert "longer than" in dead["error"] and dead["attempts"] == 1


def test_a_service_that_has_trouble_for_a_while(rig, carrier, service, settings):
    service.faults.extend([(500, "server_error", "oops"), (429, "rate_limit_exceeded", "slow down")])
    rig.start(**settings)
    call_without_turns(rig, carrier)
    wait_job(rig, "transcript", "RE1")
    assert len(turns(rig)) == 2 and len(service.heard) == 2


@pytest.mark.parametrize(
    "fault", [(429, "insufficient_quota", "pay"), (401, "invalid_api_key", "no"), (404, "model_not_found", "no")]
)
def test_a_bill_or_a_key_gives_nothing_up(rig, carrier, service, settings, fault):
    service.faults.append(fault)
    rig.start(**settings | {"job_attempts": 1})
    call_without_turns(rig, carrier)
    wait_job(rig, "transcript", "RE1")
    assert len(service.heard) == 2


def test_refused_for_good(rig, carrier, service, settings):
    service.faults.append((400, "unsupported_value", "not this file"))
    rig.start(**settings)
    call_without_turns(rig, carrier)
    dead = wait_job(rig, "transcript", "RE1", "dead")
    assert "not this file" in dead["error"] and dead["attempts"] == 1


@pytest.mark.parametrize("letters", ["", "a", "ab"])
def test_a_reason_in_any_language_is_kept(rig, carrier, service, settings, letters):
    """It is cut, but never inside a character, which Postgres would refuse."""
    service.faults.append((400, "unsupported_value", letters + "文" * 300))
    rig.start(**settings)
    call_without_turns(rig, carrier)
    dead = wait_job(rig, "transcript", "RE1", "dead")
    assert dead["error"].endswith(" " + letters + dead["error"].count("文") * "文")
    assert dead["error"].count("文") > 40 and dead["attempts"] == 1


def test_an_end_that_postgres_refuses_is_told_and_written_again(rig, carrier, service, settings):
    rig.sql("alter table after_call_job add constraint none_dead check (state <> 'dead')")
    service.faults.append((400, "unsupported_value", "not this file"))
    flusher = rig.start(**settings | {"job_lease_seconds": 60})
    call_without_turns(rig, carrier)
    told = "the end of a job cannot be written, it is tried again"
    eventually("the refusal in the log", lambda: told in flusher.text())
    rig.sql("alter table after_call_job drop constraint none_dead")
    assert wait_job(rig, "transcript", "RE1", "dead")["attempts"] == 1


def test_a_flusher_that_is_killed_pays_for_no_piece_twice(rig, carrier, service, settings):
    service.hold_after = 1
    first = rig.start(**settings)
    call_without_turns(rig, carrier)
    service.wait_held()
    first.signal(signal.SIGKILL)
    service.hold_after = None
    service.release.set()
    rig.start(**settings)
    wait_job(rig, "transcript", "RE1")
    # The one that was under way cannot but be sent again.
    assert [one.peak for one in service.heard].count(CALLER) == 1
    assert len(turns(rig)) == 2


def test_a_flusher_that_slept_writes_nothing_of_what_another_has_done(rig, carrier, service, settings):
    service.hold_after = 0
    sleeper = rig.start(**settings)
    call_without_turns(rig, carrier)
    service.wait_held()
    sleeper.process.send_signal(signal.SIGSTOP)
    service.hold_after = None
    rig.start(**settings)
    done = wait_job(rig, "transcript", "RE1")
    stored = turns(rig)
    sleeper.process.send_signal(signal.SIGCONT)
    service.release.set()
    eventually("it to know", lambda: sleeper.metrics()["ringfleet_jobs_lost_total"] == 1)
    eventually("it to be idle", lambda: sleeper.metrics()["ringfleet_jobs_running"] == 0)
    assert job(rig, "transcript", "RE1") == done and turns(rig) == stored


def test_a_recording_in_a_bucket(rig, carrier, service, settings, tmp_path):
    bucket = S3()
    rig.start(**settings | bucket_settings(bucket, tmp_path / "spool"))
    call_without_turns(rig, carrier)
    try:
        wait_job(rig, "transcript", "RE1")
    finally:
        bucket.stop()
        bucket.check()
    assert len(turns(rig)) == 2
    assert files(tmp_path / "spool") == []


def test_what_is_no_sound_is_given_up(rig, carrier, service, settings):
    rig.start(**settings)
    call_without_turns(rig, carrier, b"ID3" + bytes(4000))
    dead = wait_job(rig, "transcript", "RE1", "dead")
    assert "no WAV file" in dead["error"]
