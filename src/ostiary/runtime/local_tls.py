"""The listeners' TLS context, and a local authority for loopback when no certificate is configured (`tls: auto`)."""

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_DAYS = 365


def server_context(
    cert: Path | None,
    key: Path | None,
    state_dir: Path,
    alpn: str = "postgresql",
    client_roots: Sequence[Path] = (),
) -> ssl.SSLContext:
    """A context for a client's leg: TLS 1.2 and up, one ALPN protocol.

    With `client_roots`, PEM files, clients are asked for a certificate. They may have none; one that does not verify up
    to a root in these files ends the handshake.

    Without a certificate one for 127.0.0.1, ::1 and localhost is kept in `state_dir` (`gateway.crt`, `gateway.key`),
    signed by itself: clients give `gateway.crt` as their root certificate. Raises OSError or ssl.SSLError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([alpn])
    if cert is None:
        cert, key = state_dir / "gateway.crt", state_dir / "gateway.key"
        if not cert.exists() or not key.exists():
            _make(cert, key)
    context.load_cert_chain(cert, key)
    for path in client_roots:
        context.load_verify_locations(path)
        context.verify_mode = ssl.CERT_OPTIONAL
    if client_roots:
        # No resumption: it would prove a certificate without verifying it again.
        context.num_tickets = 0
    return context


def _make(cert: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    cert.write_bytes(certificate.public_bytes(Encoding.PEM))
