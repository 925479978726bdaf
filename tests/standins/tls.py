"""A throw-away certificate authority, made with the openssl command."""

import ssl
import subprocess
from pathlib import Path


class Authority:
    """Files below `directory`: the CA certificate to trust, and a server certificate for
    localhost."""

    def __init__(self, directory: Path) -> None:
        self.certificate = str(directory / "ca.pem")
        self.server_certificate = str(directory / "server.pem")
        self.server_key = str(directory / "server.key")
        ca_key = str(directory / "ca.key")
        request = str(directory / "server.csr")
        extensions = directory / "server.ext"
        # All that RFC 5280 asks for: newer clients verify strictly.
        extensions.write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n"
            "subjectKeyIdentifier=hash\nkeyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n"
        )
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl(
            ["req", "-x509", *key, "-keyout", ca_key, "-out", self.certificate, "-days", "2"]
            + ["-subj", "/CN=Ringfleet test CA", "-addext", "basicConstraints=critical,CA:TRUE"]
            + ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        )
        _openssl(
            ["req", *key, "-keyout", self.server_key, "-out", request, "-subj", "/CN=localhost"]
        )
        _openssl(
            ["x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", ca_key]
            + ["-CAcreateserial", "-days", "2", "-extfile", str(extensions)]
            + ["-out", self.server_certificate]
        )

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_certificate, self.server_key)
        return context


def _openssl(arguments: list[str]) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
