"""What the carrier puts on the wire when it calls a webhook: form, signature, retries."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qs, urldefrag, urlsplit

Form = list[tuple[str, str]]


def signature(auth_token: str, url: str, form: Form) -> str:
    """X-Twilio-Signature: the URL without fragment, then every name and value in order of name."""
    text = urldefrag(url).url
    for name, value in sorted(set(form)):
        text += name + value
    digest = hmac.new(auth_token.encode(), text.encode(errors="surrogateescape"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()


def signed_url(url: str) -> str:
    """Over https the carrier drops the port before it signs."""
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.port is None:
        return url
    return parts._replace(netloc=parts.hostname or "").geturl()


@dataclass(frozen=True)
class Overrides:
    """Connection overrides from the URL fragment; the defaults are the documented ones."""

    connect_ms: int = 5000
    read_ms: int = 15000
    total_ms: int = 15000
    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})

    def retries_on(self, failure: str) -> bool:
        return failure in self.policy or "all" in self.policy


def overrides(url: str) -> Overrides:
    values = {key: value[0] for key, value in parse_qs(urlsplit(url).fragment).items()}
    default = Overrides()
    return Overrides(
        connect_ms=int(values.get("ct", default.connect_ms)),
        read_ms=int(values.get("rt", default.read_ms)),
        total_ms=min(int(values.get("tt", default.total_ms)), 15000),
        retries=min(int(values.get("rc", default.retries)), 5),
        policy=frozenset(values["rp"].split(",")) if "rp" in values else default.policy,
    )
