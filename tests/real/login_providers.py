"""The real providers that people sign in at, and a browser that does what one does."""

import html
import os
import re
import secrets
import ssl
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.real.npm import installed
from tests.real.servers import free_port


@contextmanager
def running(command: list[str], home: Path, name: str, **environment: str) -> Iterator[None]:
    """A server that says "up" when it listens."""
    with subprocess.Popen(
        command, cwd=home, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            if b"up\n" not in iter(process.stdout.readline, b""):
                pytest.fail(f"{name} did not start")
            yield
        finally:
            process.kill()


@contextmanager
def openid_provider(callback: str) -> Iterator[tuple[str, str]]:
    """The certified npm `oidc-provider`: its issuer, and the secret of the client `gateway`."""
    node, cache = installed(Path(__file__).parent / "oidc_provider", "provider.mjs")
    port, secret = free_port(), secrets.token_urlsafe(32)
    command = [node, "provider.mjs", str(port)]
    with running(command, cache, "oidc-provider", CLIENT_SECRET=secret, LOGIN_CALLBACK=callback):
        yield f"http://127.0.0.1:{port}", secret


def certificate(home: Path) -> None:
    """`key.pem` and `cert.pem` of the identity provider."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1))
    made = builder.not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    (home / "cert.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (home / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@contextmanager
def saml_provider(home: Path, audience: str, recipient: str) -> Iterator[str]:
    """The npm `samlp`: its address. Its metadata are written to `home/idp.xml`."""
    node, cache = installed(Path(__file__).parent / "saml_idp", "idp.cjs")
    certificate(home)
    port = free_port()
    with running([node, "idp.cjs", str(port), str(home), audience, recipient], cache, "samlp"):
        url = f"http://127.0.0.1:{port}"
        with httpx2.Client(trust_env=False) as client:
            (home / "idp.xml").write_bytes(client.get(f"{url}/metadata").raise_for_status().content)
        yield url


def pin(metadata: bytes, home: Path) -> None:
    """What an identity provider's operator does with the gateway's metadata: keep its certificate."""
    found = re.search(rb"<ds:X509Certificate>([^<]+)<", metadata)
    assert found is not None
    made = x509.load_der_x509_certificate(b64decode(found[1]))
    (home / "sp.pem").write_bytes(made.public_bytes(Encoding.PEM))


@dataclass
class Browser:
    """One person's: it keeps cookies of every site, follows redirects by hand and sends forms that send themselves."""

    authority: Path
    client: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.authority))
        # No connection is kept, so there is none to close.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self.client = httpx2.Client(verify=context, trust_env=False, timeout=20, limits=limits)

    def follow(self, url: str, stop: str) -> httpx2.Response:
        """GET, then wherever it leads, until the next address begins with `stop` or there is none."""
        response = self.client.get(url)
        for _ in range(12):
            place = response.headers.get("location")
            if place is None or urljoin(str(response.url), place).startswith(stop):
                return response
            response = self.client.get(urljoin(str(response.url), place))
        raise AssertionError("it leads in circles")

    @staticmethod
    def form(page: str) -> tuple[str, dict[str, str]]:
        """Where a page's form goes, and its hidden fields."""
        action = re.search(r'action="([^"]+)"', page)
        assert action is not None, page[:500]
        fields = re.findall(r'name="(\w+)"\s+value="([^"]*)"', page)
        return html.unescape(action[1]), {name: html.unescape(value) for name, value in fields}
