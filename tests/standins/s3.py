"""A bucket of an S3-compatible service. Checks each signature (AWS Signature Version 4) over what really arrived."""

import hashlib
import hmac
import re
from datetime import datetime, timezone
from urllib.parse import quote, unquote, urlsplit

from .vendor import Handler, Vendor

AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?SignedHeaders=([^,]+), ?Signature=(\w{64})"
)
SKEW_S = 15 * 60


class S3Handler(Handler):
    def do_PUT(self) -> None:
        content = self.body(held=self.vendor.held)
        if content is None:
            return
        wrong = self._wrong(content)
        bucket, _, key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")
        if self.vendor.faults:
            self._refuse(*self.vendor.faults.popleft())
        elif wrong:
            self.vendor.violations.append(f"PUT {self.path}: {wrong}")
            self._refuse(403, "SignatureDoesNotMatch")
        elif bucket != self.vendor.bucket:
            self._refuse(404, "NoSuchBucket")
        else:
            self.vendor.objects[key] = content
            self.vendor.types[key] = self.headers.get("Content-Type")
            self.vendor.puts += 1
            self.answer(200, ETag=f'"{hashlib.md5(content).hexdigest()}"')

    def do_GET(self) -> None:
        wrong = self._wrong(b"")
        key = unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]
        if wrong:
            self.vendor.violations.append(f"GET {self.path}: {wrong}")
            self._refuse(403, "SignatureDoesNotMatch")
        elif key not in self.vendor.objects:
            self._refuse(404, "NoSuchKey")
        else:
            content = self.vendor.objects[key]
            self.answer(200, content, ETag=f'"{hashlib.md5(content).hexdigest()}"')

    def _refuse(self, status: int, code: str) -> None:
        self.answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _wrong(self, content: bytes) -> str | None:
        """What is wrong with the signature: the algorithm of "Authenticating Requests: Using the Authorization Header"."""
        given = AUTHORIZATION.fullmatch(self.headers.get("Authorization", ""))
        if not given:
            return f"Authorization is {self.headers.get('Authorization')!r}"
        access, day, region, names, signature = given.groups()
        signed, date = names.split(";"), self.headers.get("x-amz-date", "")
        payload = self.headers.get("x-amz-content-sha256", "")
        if (access, region) != (self.vendor.access_key, self.vendor.region):
            return "another key or region"
        if signed != sorted(signed) or "host" not in signed or "x-amz-date" not in signed:
            return f"signed headers {names}"
        if payload not in (hashlib.sha256(content).hexdigest(), "UNSIGNED-PAYLOAD" if not content else None):
            return f"x-amz-content-sha256 {payload!r} is not that of the {len(content)} bytes"
        sent = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        if abs((datetime.now(timezone.utc) - sent).total_seconds()) > SKEW_S or not date.startswith(day):
            return f"x-amz-date {date}"
        parts = urlsplit(self.path)
        headers = "".join(f"{name}:{' '.join(self.headers[name].split())}\n" for name in signed)
        request = "\n".join(
            [self.command, quote(unquote(parts.path), safe="/-_.~"), parts.query, headers, names, payload]
        )
        scope = f"{day}/{region}/s3/aws4_request"
        text = "\n".join(
            ["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()]
        )
        key = f"AWS4{self.vendor.secret_key}".encode()
        for part in (day, region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        right = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return None if hmac.compare_digest(right, signature) else f"signature of\n{request}"


class S3(Vendor):
    """faults: (status, code)."""

    handler = S3Handler

    def __init__(self, bucket: str = "calls", region: str = "eu-central-1") -> None:
        self.bucket, self.region = bucket, region
        self.access_key, self.secret_key = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.puts = 0
        self.held = False
        super().__init__()
