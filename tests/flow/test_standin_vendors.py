"""What the stand-ins of the jobs after a call would not let pass: each violation is committed once."""

import hashlib
import json
import subprocess
import urllib.error
import urllib.request

import pytest

from standins.hook_receiver import HookReceiver
from standins.recordings import Media, Recordings
from standins.s3 import S3
from standins.transcription import Transcription

from .after_call import sound


@pytest.fixture(params=[Recordings, S3, Transcription, HookReceiver])
def any_vendor(request):
    vendor = request.param()
    yield vendor
    vendor.stop()


def ask(url: str, method: str = "GET", body: bytes | None = None, **headers: str) -> int:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def violation(vendor) -> str:
    (one,) = vendor.violations
    with pytest.raises(AssertionError):
        vendor.check()
    vendor.stop()
    return one


def test_a_vendor_that_was_asked_well_complains_of_nothing(any_vendor):
    any_vendor.check()


def test_recordings():
    vendor = Recordings()
    vendor.media["RE1"] = Media(b"0123456789")
    right = {"Authorization": vendor.authorization}
    assert ask(vendor.url_of("RE1") + ".wav", **right) == 200
    assert ask(vendor.url_of("RE1") + ".wav") == 401
    assert ask(vendor.url_of("RE1") + ".wav", Range="bytes=5-", If_Range='"one"', **right) == 206
    assert ask(vendor.url_of("RE1") + ".wav", Range="bytes=5-", If_Range='"two"', **right) == 200
    assert vendor.violations == []
    assert ask(vendor.url_of("RE1"), **right) == 404  # without its extension
    assert "no address" in violation(vendor)


def test_a_range_of_what_may_have_changed():
    vendor = Recordings()
    vendor.media["RE1"] = Media(b"0123456789")
    ask(vendor.url_of("RE1") + ".wav", Range="bytes=5-", Authorization=vendor.authorization)
    assert "If-Range" in violation(vendor)


def test_a_password_for_another_host():
    vendor = Recordings()
    vendor.media["RE1"] = Media(b"0123456789")
    ask(f"{vendor.url}/cdn/RE1", Authorization=vendor.authorization)
    assert "password" in violation(vendor)


@pytest.mark.parametrize("change", ["nothing", "body", "secret", "unsigned"])
def test_s3(change):
    """The curl of the command line signs; what it signed is changed."""
    vendor = S3()
    content = b"a recording"
    given = content if change != "body" else b"another one"
    secret = vendor.secret_key if change != "secret" else "another"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "PUT", "--data-binary", "@-"]
    command += ["-H", f"x-amz-content-sha256: {hashlib.sha256(content).hexdigest()}"]
    command += ["-H", "Content-Type: audio/wav", f"{vendor.url}/calls/a/b.wav"]
    if change != "unsigned":
        command += ["--aws-sigv4", f"aws:amz:{vendor.region}:s3"]
        command += ["--user", f"{vendor.access_key}:{secret}"]
    status = subprocess.run(command, input=given, capture_output=True).stdout.decode()
    if change == "nothing":
        assert status == "200" and vendor.objects == {"a/b.wav": content}
        vendor.check()
        vendor.stop()
    else:
        assert status == "403" and vendor.objects == {}
        assert violation(vendor).startswith("PUT /calls/a/b.wav")


def form(**fields: bytes) -> tuple[bytes, str]:
    parts = b""
    for name, value in fields.items():
        file = b'; filename="a.wav"' if name == "file" else b""
        parts += b'--x\r\nContent-Disposition: form-data; name="' + name.encode() + b'"' + file
        parts += b"\r\n\r\n" + value + b"\r\n"
    return parts + b"--x--\r\n", "multipart/form-data; boundary=x"


GOOD = {"model": b"gpt-transcribe", "response_format": b"json", "file": sound([(1, 100)])}


@pytest.mark.parametrize(
    "change, words",
    [
        ({}, None),
        ({"file": sound([(1, 100)], [(1, 100)])}, "file"),  # two channels are mixed down
        ({"file": sound([(1, 100)])[:-10]}, "file"),
        ({"file": b"ID3"}, "file"),
        ({"model": b"gpt-5"}, "model"),
        ({"response_format": b"srt"}, "srt"),
        ({"language": b"german"}, "language"),
        ({"voice": b"marin"}, "voice"),
        ({"file": bytes(26_300_000)}, "Maximum content size"),
    ],
)
def test_transcription(change, words):
    vendor = Transcription()
    body, kind = form(**GOOD | change)
    status = ask(
        f"{vendor.url}/v1/audio/transcriptions", "POST", body, Content_Type=kind, Authorization="Bearer sk-test"
    )
    if words is None:
        assert status == 200 and vendor.heard[0].peak == 100
        vendor.check()
        vendor.stop()
    else:
        assert words in violation(vendor)


def test_what_is_too_long_to_be_transcribed_is_no_violation():
    vendor = Transcription()
    vendor.seconds_max = 0.5
    body, kind = form(**GOOD)
    url = f"{vendor.url}/v1/audio/transcriptions"
    assert ask(url, "POST", body, Content_Type=kind, Authorization="Bearer sk-test") == 400
    assert vendor.too_long == 1 and vendor.heard == []
    vendor.check()
    vendor.stop()


def test_a_hook_that_is_not_signed():
    vendor = HookReceiver()
    body = json.dumps({"type": "call.ended"}).encode()
    assert ask(vendor.url, "POST", body, Content_Type="application/json") == 400
    assert "signature" in violation(vendor)
