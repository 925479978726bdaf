"""What the tests of the jobs after a call share: calls with recordings, sound, and settings that do not keep a
test waiting."""

import io
import wave
from array import array
from pathlib import Path
from typing import Iterator

from standins.recordings import Recordings
from standins.s3 import S3
from standins.vendor import Vendor

from .flusher_rig import FlusherRig, HandMadeCall
from .servers import eventually

QUICK = {"job_retry_ms": 20, "job_lease_seconds": 2, "job_attempts": 8, "retention_seconds": 3600}


def in_turn(servers: FlusherRig) -> Iterator[FlusherRig]:
    """The servers, empty, for one test; its flushers must have lived and ended well."""
    servers.reset()
    yield servers
    words = servers.report()
    problems = servers.stop_all()
    assert not problems, "\n".join(problems) + words


def served(vendor: Vendor) -> Iterator[Vendor]:
    """A stand-in for one test, which must not have asked for anything that would be refused."""
    yield vendor
    vendor.stop()
    vendor.check()


def carrier_settings(carrier: Recordings, store: Path) -> dict:
    return QUICK | {
        "recording_store": store,
        "twilio_api_url": carrier.url,
        "twilio_account_sid": carrier.account,
        "twilio_auth_token": "token,older",
    }


def bucket_settings(bucket: S3, spool: Path, prefix: str = "") -> dict:
    return {
        "recording_store": f"s3://calls{prefix}",
        "recording_spool": spool,
        "s3_endpoint": bucket.url,
        "s3_region": bucket.region,
        "s3_access_key": bucket.access_key,
        "s3_secret_key": bucket.secret_key,
    }


def sound(*channels: list[tuple[float, int]], rate: int = 8000) -> bytes:
    """A WAV file as the carrier writes it; each channel is a list of (seconds, loudest sample)."""
    sides = []
    for spans in channels:
        samples = array("h")
        for seconds, peak in spans:
            wave_form = array("h", [peak, peak, peak, peak, -peak, -peak, -peak, -peak])
            count = int(seconds * rate)
            samples.extend((wave_form * (count // 8 + 1))[:count])
        sides.append(samples)
    frames = array("h", (sample for frame in zip(*sides, strict=True) for sample in frame))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(len(channels))
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(frames.tobytes())
    return file.getvalue()


def recorded_call(
    rig: FlusherRig, sid: str, recording: str, url: str, turns: int = 0
) -> HandMadeCall:
    """A call that is over; the carrier's callback has come."""
    call = rig.call(sid).open().claim()
    for i in range(turns):
        call.turn(f"{sid} {i}")
    call.end()
    call.event("recording", recording_sid=recording, url=url, duration="12")
    call.status("completed", 3, final=True, duration=12)
    return call


def job(rig: FlusherRig, kind: str, subject: str) -> dict | None:
    rows = rig.sql("select * from after_call_job where kind = %s and subject = %s", kind, subject)
    return rows[0] if rows else None


def wait_job(rig: FlusherRig, kind: str, subject: str, state: str = "done", timeout: float = 30) -> dict:
    def settled() -> dict | None:
        one = job(rig, kind, subject)
        if one and one["state"] != state and one["state"] != "waiting":
            raise AssertionError(one)
        return one if one and one["state"] == state else None

    try:
        return eventually(f"{kind} {subject} to be {state}", settled, timeout)
    except TimeoutError as late:
        raise AssertionError(f"{late}: {job(rig, kind, subject)}") from late


def files(directory: Path) -> list[Path]:
    """Finished ones, and what is left of unfinished ones."""
    return sorted(path for path in directory.rglob("*") if path.is_file())
