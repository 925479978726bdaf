"""rediss://: where hiredis was there with its TLS the programs use it and check the server's name; elsewhere they say at
once that they cannot."""

import subprocess

import pytest

from standins.tls import Authority

from .fleet import Fleet, bin_directory
from .ports import free_port
from .servers import RedisServer

NO_TLS = "this build's hiredis has no TLS"


@pytest.fixture(scope="module")
def authority(programs, tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def server(authority: Authority, directory) -> RedisServer:
    port = free_port()
    one = RedisServer(
        directory,
        settings={
            "tls-port": port,
            "tls-cert-file": authority.server_certificate,
            "tls-key-file": authority.server_key,
            "tls-auth-clients": "no",
            "bind": "127.0.0.1 127.0.0.2",
        },
    )
    one.url = f"rediss://localhost:{port}/0"
    return one


def calls(url: str, trusted: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(bin_directory() / "flusher"), "calls"],
        env={"RINGFLEET_REDIS_URL": url, "RINGFLEET_DATABASE_URL": "postgres://nowhere", "SSL_CERT_FILE": trusted},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.fixture(scope="module")
def built(programs) -> bool:
    return NO_TLS not in calls("rediss://127.0.0.1:1", "/dev/null").stderr


def check_tls(authority: Authority) -> None:
    env = {"SSL_CERT_FILE": authority.certificate}
    with Fleet(ai_url="ws://127.0.0.1:1", redis=lambda at: server(authority, at), env=env) as fleet:
        url = fleet.redis_server.url
        assert calls(url, authority.certificate).returncode == 0
        untrusted = calls(url, "/dev/null")
        assert untrusted.returncode == 1 and "certificate verify failed" in untrusted.stderr
        misnamed = calls(url.replace("localhost", "127.0.0.2"), authority.certificate)
        assert misnamed.returncode == 1 and "certificate verify failed" in misnamed.stderr


def check_refusal() -> None:
    done = calls("rediss://127.0.0.1:1", "/dev/null")
    assert done.returncode == 1
    assert "hiredis_ssl" in done.stderr


def test_tls_or_a_clear_no(built, authority):
    """Each build is held to what it can: which of the two it is, its libraries say."""
    linked = subprocess.run(["ldd", str(bin_directory() / "flusher")], capture_output=True, text=True, check=True)
    assert built == ("libhiredis_ssl" in linked.stdout)
    if built:
        check_tls(authority)
    else:
        check_refusal()
