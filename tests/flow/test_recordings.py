"""Recordings after a call: each is in the store once, whole, whatever the carrier, the disk and we ourselves do on
the way."""

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from standins.conversation_audio import ConversationAudio
from standins.recordings import Media, Recordings
from standins.s3 import S3

from . import after_call
from .after_call import carrier_settings, files, in_turn, job, recorded_call, served, sound, wait_job
from .flusher_rig import FlusherRig
from .servers import eventually

SOUND = sound([(12, 9000)], [(12, 7000)])


@pytest.fixture(scope="module")
def servers(programs):
    with FlusherRig() as rig:
        yield rig


@pytest.fixture
def carrier():
    yield from served(Recordings())


@pytest.fixture
def rig(servers, tmp_path, carrier):
    yield from in_turn(servers)


@pytest.fixture
def settings(tmp_path, carrier) -> dict:
    return carrier_settings(carrier, tmp_path / "store")


@pytest.fixture
def bucket():
    yield from served(S3())


@pytest.fixture
def bucket_settings(settings, bucket, tmp_path) -> dict:
    return settings | after_call.bucket_settings(bucket, tmp_path / "spool", "/a/b")


def row(rig) -> dict:
    return rig.one("select * from recording")


def assert_stored(rig, content: bytes = SOUND) -> Path:
    stored = row(rig)
    assert (stored["status"], stored["bytes"], stored["error"]) == ("stored", len(content), None)
    assert stored["sha256"] == hashlib.sha256(content).hexdigest()
    path = Path(stored["location"])
    assert path.read_bytes() == content
    return path


# ---- from the carrier to a directory ----


def test_a_callback_that_comes_twice_before_the_recording_is_ready(rig, carrier, settings, tmp_path):
    media = carrier.media["RE1"] = Media(SOUND, not_ready=2)
    rig.start(**settings)
    call = recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"), turns=1)
    call.event("recording", recording_sid="RE1", url=carrier.url_of("RE1"), duration="12")
    done = wait_job(rig, "recording", "RE1")
    rig.wait_flushed()
    call.event("recording", recording_sid="RE1", url=carrier.url_of("RE1"), duration="12")
    rig.wait_flushed()
    path = assert_stored(rig)
    assert path.name == "CA1_RE1.wav" and done["result"] == str(path)
    assert media.requests == [(404, 0), (404, 0), (200, 0)]
    assert files(tmp_path / "store") == [path]
    assert rig.one("select count(*) as n from after_call_job")["n"] == 1
    shown = rig.command("recording", "CA1", **settings)
    assert "stored" in shown.stdout and str(path) in shown.stdout, shown


def test_half_a_download_goes_on_where_it_was_cut(rig, carrier, settings):
    media = carrier.media["RE1"] = Media(SOUND, cut_at=[100_000, 20_000])
    flusher = rig.start(**settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)
    assert [status for status, _ in media.requests] == [200, 206, 206]
    assert media.requests[1][1] <= 100_000 and media.requests[2][1] > media.requests[1][1]
    metrics = flusher.metrics()
    assert metrics["ringfleet_recording_bytes_total"] == len(SOUND)
    assert metrics["ringfleet_recording_resumes_total"] == 2


def test_a_flusher_that_is_killed_in_a_download(rig, carrier, settings, tmp_path):
    media = carrier.media["RE1"] = Media(SOUND, held_at=150_000)
    first = rig.start(**settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    carrier.wait_held()
    part = tmp_path / "store" / ".partial" / "RE1.wav"
    eventually("half of it to be on the disk", lambda: part.exists() and part.stat().st_size >= 100_000)
    first.signal(signal.SIGKILL)
    media.held_at = None
    rig.start(**settings)
    wait_job(rig, "recording", "RE1")
    path = assert_stored(rig)
    assert [status for status, _ in media.requests] == [200, 206]
    assert files(tmp_path / "store") == [path]


def test_a_recording_that_changed_meanwhile_is_fetched_anew(rig, carrier, settings):
    media = carrier.media["RE1"] = Media(SOUND, cut_at=[100_000])
    other = sound([(10, 3000)], [(10, 1000)])

    def change() -> bool:
        if len(media.requests) == 1:
            media.content, media.etag = other, '"two"'
        return bool(media.requests)

    rig.start(**settings | {"job_retry_ms": 1000})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    eventually("the first half", change)
    wait_job(rig, "recording", "RE1")
    assert_stored(rig, other)
    assert media.requests == [(200, 0), (200, 0)]


def test_what_stays_too_short_is_given_up_and_can_be_tried_again(rig, carrier, settings, tmp_path):
    media = carrier.media["RE1"] = Media(SOUND[:-5000])  # its header says more
    flusher = rig.start(**settings | {"job_attempts": 3})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    dead = wait_job(rig, "recording", "RE1", "dead")
    assert "says itself" in dead["error"] and dead["attempts"] == 3
    assert (row(rig)["status"], row(rig)["error"]) == ("lost", dead["error"])
    assert files(tmp_path / "store") == []
    eventually("the metric", lambda: flusher.metrics()["ringfleet_jobs_dead"] == 1)
    listed = rig.command("jobs", "list", "dead", **settings)
    assert "RE1" in listed.stdout and "says itself" in listed.stdout, listed
    assert json.loads(rig.command("jobs", "list", "--json", **settings).stdout)[0]["due_ms"] is None
    media.content = SOUND
    again = rig.command("jobs", "retry", "CA1", **settings)
    assert again.returncode == 0 and "RE1" in again.stdout, again
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)
    assert rig.command("jobs", "retry", "all", **settings).returncode == 1


def test_a_length_that_is_announced_and_not_kept(rig, carrier, settings):
    carrier.media["RE1"] = Media(SOUND, says=len(SOUND) + 10, cut_at=[len(SOUND)])
    rig.start(**settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    eventually("an attempt that failed", lambda: (job(rig, "recording", "RE1") or {}).get("error"))
    carrier.media["RE1"].says = None
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)


def test_the_password_goes_to_the_carrier_only(rig, carrier, settings):
    carrier.cdn = True
    carrier.media["RE1"] = carrier.media["RE2"] = Media(SOUND)
    rig.start(**settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)
    recorded_call(rig, "CA2", "RE2", carrier.url_of("RE2").replace("127.0.0.1", "localhost"))
    dead = wait_job(rig, "recording", "RE2", "dead")
    assert "RINGFLEET_TWILIO_API_URL" in dead["error"]
    assert len(carrier.media["RE2"].requests) == 1


def test_a_wrong_password_gives_nothing_up(rig, carrier, settings):
    carrier.media["RE1"] = Media(SOUND)
    right, carrier.authorization = carrier.authorization, "Basic other"
    flusher = rig.start(**settings | {"job_attempts": 1})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    eventually("to be refused several times", lambda: carrier.refused >= 3)
    eventually("it to rest", lambda: flusher.metrics()["ringfleet_jobs_resting"] == 1)
    carrier.authorization = right
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)


def test_refused_for_good(rig, carrier, settings):
    carrier.media["RE1"] = Media(SOUND)
    carrier.faults.append(410)
    rig.start(**settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    dead = wait_job(rig, "recording", "RE1", "dead")
    assert dead["attempts"] == 1 and "410" in dead["error"]
    assert row(rig)["status"] == "lost"


def test_a_disk_that_is_full(rig, carrier, settings, tmp_path):
    store = tmp_path / "small"
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(store)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be had here")
    try:
        carrier.media["RE1"] = Media(SOUND)
        rig.start(**settings | {"recording_store": store, "job_attempts": 100})
        recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"), turns=1)
        eventually("an attempt that failed", lambda: (job(rig, "recording", "RE1") or {}).get("error"))
        assert "No space left" in job(rig, "recording", "RE1")["error"]
        other = rig.call("CA2").open().claim()
        other.turn("CA2 0")
        other.end()
        rig.wait_flushed()
        assert rig.turns("CA2") == ["CA2 0"]  # nothing of it holds up the flush
        subprocess.run(["mount", "-o", "remount,size=4m", str(store)], check=True)
        wait_job(rig, "recording", "RE1")
        assert_stored(rig)
    finally:
        rig.stop_all()
        subprocess.run(["umount", str(store)], check=True)


def test_a_flusher_that_slept_while_another_one_did_its_work(rig, carrier, settings, tmp_path):
    media = carrier.media["RE1"] = Media(SOUND, held_at=1000)
    sleeper = rig.start(**settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    carrier.wait_held()
    sleeper.process.send_signal(signal.SIGSTOP)
    media.held_at = None
    rig.start(**settings | {"job_attempts": 100})
    eventually("the other one to try", lambda: (job(rig, "recording", "RE1") or {}).get("attempts", 0) > 1)
    sleeper.process.send_signal(signal.SIGCONT)
    carrier.release.set()
    wait_job(rig, "recording", "RE1")
    path = assert_stored(rig)
    eventually("it to know", lambda: sleeper.metrics()["ringfleet_jobs_running"] == 0)
    assert files(tmp_path / "store") == [path]


def test_a_lock_that_is_held_for_long_costs_attempts_and_no_session(rig, carrier, settings):
    """The server would go on with the statements of each connection that is given up, and nobody with the jobs that
    were taken by it."""
    names = ["RE1", "RE2"]
    for name in names:
        carrier.media[name] = Media(SOUND, held_at=1000)
    flusher = rig.start(**settings | {"job_lease_seconds": 60})
    for name in names:
        recorded_call(rig, f"CA-{name}", name, carrier.url_of(name))
    eventually("the downloads to begin", lambda: all(carrier.media[name].requests for name in names))
    rig.wait_flushed()
    with psycopg.connect(rig.postgres.url("locker")) as locker:
        locker.execute("lock table recording in access exclusive mode")
        for name in names:
            carrier.media[name].held_at = None
        carrier.release.set()
        tried = lambda: [job(rig, "recording", name)["attempts"] for name in names]  # noqa: E731
        eventually("some attempts at each", lambda: min(tried()) >= 2, 60)
        sessions = rig.one("select count(*) as n from pg_stat_activity where application_name = 'flusher-jobs'")["n"]
        assert sessions == 1
        locker.rollback()
    for name in names:
        wait_job(rig, "recording", name)
    assert flusher.metrics()['ringfleet_job_failures_total{kind="recording"}'] >= 2
    failures = [line for line in flusher.log() if line.get("msg") == "job failed, it is tried again"]
    assert any("lock timeout" in line["why"] for line in failures)


@pytest.mark.parametrize("sqlstate", ["XX000", "57014"])
def test_a_statement_that_always_fails_is_given_up(rig, carrier, settings, sqlstate):
    rig.sql(
        "create function refuse() returns trigger language plpgsql as $$ begin "
        f"raise exception 'no such luck' using errcode = '{sqlstate}'; end $$"
    )
    rig.sql("create trigger refuse before update of sha256 on recording for each row execute function refuse()")
    carrier.media["RE1"] = Media(SOUND)
    rig.start(**settings | {"job_attempts": 3})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    dead = wait_job(rig, "recording", "RE1", "dead")
    assert (dead["attempts"], dead["error"]) == (3, "no such luck")


def test_jobs_elsewhere(rig, carrier, settings):
    carrier.media["RE1"] = Media(SOUND)
    flusher = rig.start(**settings | {"jobs": "elsewhere"})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    rig.wait_flushed()
    assert job(rig, "recording", "RE1")["state"] == "waiting"
    assert "ringfleet_jobs_running" not in flusher.metrics()
    worker = rig.start(words=["jobs"], **settings)
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)
    assert "ringfleet_calls_flushed_total" not in worker.metrics()


def test_a_long_recording_is_never_in_memory(rig, carrier, settings):
    content = sound([(1800, 9000)], [(1800, 7000)])  # 58 MB
    carrier.media["RE1"] = Media(content)
    flusher = rig.start(**settings)
    before = resident_kb(flusher)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    wait_job(rig, "recording", "RE1")
    assert row(rig)["bytes"] == len(content)
    assert resident_kb(flusher) - before < 10_000


def resident_kb(program) -> int:
    """The most it has ever had."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


def leave(directory: Path, name: str, size: int, hours_ago: float) -> Path:
    """As an attempt that was broken off has."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in (directory / name, directory / f"{name}.etag"):
        path.write_bytes(b"x" * (size if path.name == name else 5))
        os.utime(path, (time.time() - hours_ago * 3600,) * 2)
    return directory / name


def test_what_was_given_up_does_not_stay_on_the_disk(rig, carrier, settings, tmp_path):
    spool = tmp_path / "store" / ".partial"
    old = leave(spool, "RE7.wav", 1000, 25)
    large, older = leave(spool, "RE8.wav", 700_000, 2), leave(spool, "RE9.wav", 700_000, 3)
    carrier.media["RE1"] = Media(SOUND, held_at=150_000)
    first = rig.start(**settings | {"recording_spool_mb": 1})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    eventually("the age to count", lambda: not old.exists())
    eventually("the room to count", lambda: not older.exists())
    assert large.exists() and sorted(files(spool)) == [large, Path(f"{large}.etag")]
    assert first.metrics()["ringfleet_recording_partials_removed_total"] == 2
    assert first.metrics()["ringfleet_recording_partial_bytes"] == 700_000
    # One that is fetched just now stays, however little room there is.
    carrier.wait_held()
    eventually("half of it", lambda: (spool / "RE1.wav").exists() and (spool / "RE1.wav").stat().st_size >= 100_000)
    leave(spool, "RE9.wav", 2_000_000, 0)
    os.utime(spool / "RE1.wav", (time.time() - 90_000,) * 2)
    second = rig.start(**settings | {"recording_spool_mb": 1})
    eventually("the other one's look", lambda: second.metrics()["ringfleet_recording_partials_removed_total"] == 2)
    assert [path.name for path in files(spool) if path.suffix == ".wav"] == ["RE1.wav"]
    carrier.release.set()
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)


def test_check_says_what_would_not_work(rig, carrier, settings, tmp_path):
    assert rig.command("check", **settings).returncode == 0
    own = tmp_path / "sql"
    own.mkdir()
    (own / "recording_stored.sql").write_text("select $1::text")
    (own / "recording_lots.sql").write_text("select 1")
    wrong = rig.command("check", **settings | {"sql_dir": own})
    assert "recording_lots.sql: there is no such statement" in wrong.stdout
    assert wrong.returncode == 1 and "recording_stored.sql takes 1 parameters" in wrong.stdout, wrong
    rig.sql("drop table after_call_job cascade")
    wrong = rig.command("check", **settings)
    assert wrong.returncode == 1 and "job_claim.sql" in wrong.stdout, wrong
    assert rig.command("check").returncode == 0  # who does not want it need not have it


def test_a_call_without_jobs_leaves_none(rig, carrier, settings):
    rig.sql("drop table after_call_job")  # as in a schema of somebody's own
    rig.start()
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"), turns=2)
    rig.wait_flushed()
    assert row(rig)["status"] == "available" and len(rig.turns("CA1")) == 2


def test_a_recording_that_is_refused_is_not_fetched(rig, carrier, settings, tmp_path):
    """Until somebody replays it."""
    media = carrier.media["RE1"] = Media(SOUND)
    own = tmp_path / "sql"
    own.mkdir()
    (own / "apply_recording.sql").write_text(
        "select ringfleet_refuse('no recordings here') from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[],"
        " $5::text[], $6::text[]) as e (call_sid, seq, at_ms, recording_sid, url, duration)"
    )
    rig.start(**settings | {"sql_dir": own})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"), turns=1)
    rig.wait_flushed()
    assert [letter["type"] for letter in rig.dead()] == ["recording"]
    assert rig.sql("select * from after_call_job") == [] and media.requests == []
    replayed = rig.command("dead", "replay", "all", **settings)
    assert replayed.returncode == 0 and rig.dead() == [], replayed
    wait_job(rig, "recording", "RE1")
    assert_stored(rig)


def test_a_store_that_cannot_be_written_to_is_said_at_start(rig, settings, tmp_path):
    wrong = rig.command(**settings | {"recording_store": "/proc/store"})
    assert wrong.returncode == 1 and "/proc/store" in wrong.stderr, wrong
    (tmp_path / "ringfleet-recordings").symlink_to("/var/tmp")
    wrong = rig.command(**settings | {"recording_store": "s3://calls", "recording_spool": tmp_path,
                                      "s3_access_key": "a", "s3_secret_key": "b"})
    assert wrong.returncode == 1 and "somebody else's" in wrong.stderr, wrong
    wrong = rig.command(**settings | {"recording_store": "s3://calls"})
    assert wrong.returncode == 1 and "RINGFLEET_S3_ACCESS_KEY" in wrong.stderr, wrong


# ---- to a bucket ----


def test_a_bucket_that_is_away_for_a_while(rig, carrier, bucket, bucket_settings, tmp_path):
    media = carrier.media["RE1"] = Media(SOUND)
    bucket.faults.extend([(503, "SlowDown"), (500, "InternalError")])
    rig.start(**bucket_settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    done = wait_job(rig, "recording", "RE1")
    key = done["result"].removeprefix("s3://calls/")
    assert key.startswith("a/b/") and key.endswith("/CA1_RE1.wav")
    assert bucket.objects == {key: SOUND} and bucket.types[key] == "audio/wav"
    assert row(rig)["location"] == done["result"]
    assert [status for status, _ in media.requests] == [200, 416, 416]  # it was there already
    assert files(tmp_path / "spool") == []


def test_names_that_a_bucket_would_stumble_over(rig, carrier, bucket, bucket_settings):
    carrier.media["RE1"] = Media(SOUND)
    rig.start(**bucket_settings)
    sid = "EL_7_2026-11-26T10:00:00.000000+01:00"
    recorded_call(rig, sid, "RE1", carrier.url_of("RE1"))
    done = wait_job(rig, "recording", "RE1")
    assert done["result"].endswith("/EL_7_2026-11-26T10-00-00.000000-01-00_RE1.wav")
    assert rig.one("select call_sid from recording")["call_sid"] == sid


def test_a_flusher_that_is_killed_in_an_upload(rig, carrier, bucket, bucket_settings, tmp_path):
    carrier.media["RE1"] = Media(SOUND)
    bucket.held = True
    first = rig.start(**bucket_settings)
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    bucket.wait_held()
    first.signal(signal.SIGKILL)
    bucket.held = False
    rig.start(**bucket_settings)
    done = wait_job(rig, "recording", "RE1")
    bucket.release.set()
    assert bucket.objects[done["result"].removeprefix("s3://calls/")] == SOUND
    assert files(tmp_path / "spool") == []


def test_a_bucket_that_does_not_exist_gives_nothing_up(rig, carrier, bucket, bucket_settings):
    carrier.media["RE1"] = Media(SOUND)
    bucket.bucket = "others"
    flusher = rig.start(**bucket_settings | {"job_attempts": 1})
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    eventually("it to rest", lambda: flusher.metrics()["ringfleet_jobs_resting"] == 1)
    bucket.bucket = "calls"
    wait_job(rig, "recording", "RE1")


# ---- from ElevenLabs ----

SPEECH = b"ID3\x04" + os.urandom(300_000)  # MP3, or as good as


@pytest.fixture
def agents():
    yield from served(ConversationAudio())


def agents_settings(agents) -> dict:
    return {"elevenlabs_url": agents.url, "elevenlabs_api_key": agents.api_key}


def test_a_conversation_is_fetched_into_the_bucket(rig, agents, bucket, bucket_settings, tmp_path):
    media = agents.media["conv_1"] = Media(SPEECH, not_ready=1)
    rig.start(**bucket_settings | agents_settings(agents) | {"transcription_url": "http://127.0.0.1:1"})
    recorded_call(rig, "EL_1", "conv_1", agents.url_of("conv_1"))
    done = wait_job(rig, "recording", "conv_1")
    key = done["result"].removeprefix("s3://calls/")
    assert key.endswith("/EL_1_conv_1.mp3") and bucket.objects == {key: SPEECH}
    assert bucket.types[key] == "audio/mpeg"
    assert (row(rig)["status"], row(rig)["location"]) == ("stored", done["result"])
    assert [status for status, _ in media.requests] == [404, 200]
    assert files(tmp_path / "spool") == []
    assert job(rig, "transcript", "conv_1") is None  # no pieces can be cut of it


def test_each_one_gets_its_own_password(rig, carrier, agents, settings):
    """And a key that is refused gives nothing up."""
    carrier.media["RE1"] = Media(SOUND)
    agents.media["conv_1"] = Media(SPEECH)
    flusher = rig.start(**settings | agents_settings(agents) | {"elevenlabs_api_key": "old", "job_attempts": 1})
    recorded_call(rig, "EL_1", "conv_1", agents.url_of("conv_1"))
    eventually("it to rest", lambda: flusher.metrics()["ringfleet_jobs_resting"] == 1)
    assert "RINGFLEET_ELEVENLABS_API_KEY" in job(rig, "recording", "conv_1")["error"]
    recorded_call(rig, "CA1", "RE1", carrier.url_of("RE1"))
    wait_job(rig, "recording", "RE1")
    agents.api_key = "old"
    wait_job(rig, "recording", "conv_1")
    assert {one["status"] for one in rig.sql("select status from recording")} == {"stored"}


def test_without_a_key_a_conversation_stays_where_it_is(rig, carrier, agents, settings):
    flusher = rig.start(**settings | {"elevenlabs_url": agents.url})
    recorded_call(rig, "EL_1", "conv_1", agents.url_of("conv_1"))
    rig.wait_flushed()
    assert job(rig, "recording", "conv_1") is None
    assert (row(rig)["status"], row(rig)["url"]) == ("available", agents.url_of("conv_1"))
    assert flusher.metrics()["ringfleet_jobs_waiting"] == 0


def test_one_that_the_warmer_has_kept(rig, carrier, agents, settings):
    """Its file is its place, in whatever order it is told of."""
    rig.start(**settings)
    call = recorded_call(rig, "EL_1", "conv_1", "file:///audio/conv_1.mp3")
    rig.wait_flushed()
    assert job(rig, "recording", "conv_1") is None
    call.event("recording", recording_sid="conv_1", url=agents.url_of("conv_1"), duration="")
    rig.wait_flushed()
    assert (row(rig)["status"], row(rig)["location"]) == ("stored", "/audio/conv_1.mp3")
    shown = rig.command("recording", "EL_1", **settings)
    assert "/audio/conv_1.mp3" in shown.stdout, shown
