"""An identity provider's metadata file: the certificates its assertions are verified with, and no others."""

from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lxml import etree

from ostiary.identity.saml.document import DS, Element, safe_parser
from ostiary.identity.saml.times import time_of

_MD: Final = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
_MAX_BYTES: Final = 1024 * 1024
_SMALLEST_RSA: Final = 2048


@dataclass(frozen=True, slots=True)
class Metadata:
    """What counts of it."""

    certificates: tuple[x509.Certificate, ...]
    #: Unix seconds; None when it does not end.
    valid_until: float | None
    #: Where an AuthnRequest is sent by the HTTP-Redirect binding; None when there is no such place.
    sign_on: str | None


def read_metadata(path: Path, entity_id: str) -> Metadata:
    """Read a file of the operator's.

    Raises:
        OSError: It can't be read.
        ValueError: It is not the metadata of this identity provider, or holds no certificate that will do.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"{path} is larger than 1 MiB: keep the one EntityDescriptor of the identity provider")
    try:
        root = etree.fromstring(data, safe_parser())
    except etree.XMLSyntaxError:
        raise ValueError(f"{path} is not XML") from None
    if b"<!DOCTYPE" in data:
        raise ValueError(f"{path} holds a DTD, which is not read: remove it")
    found = [entity for entity in root.iter(f"{_MD}EntityDescriptor") if entity.get("entityID") == entity_id]
    if len(found) != 1:
        raise ValueError(f'{path} does not hold exactly one EntityDescriptor with entityID "{entity_id}"')
    keys = [
        key for key in found[0].iterfind(f"{_MD}IDPSSODescriptor/{_MD}KeyDescriptor") if key.get("use") != "encryption"
    ]
    certificates = [_certificate(each, path) for key in keys for each in key.iter(f"{DS}X509Certificate")]
    if not certificates:
        raise ValueError(f"{path} holds no signing certificate of an IDPSSODescriptor")
    ends = [time_of(found[0].get("validUntil")), time_of(root.get("validUntil"))]
    places = [
        each.get("Location")
        for each in found[0].iterfind(f"{_MD}IDPSSODescriptor/{_MD}SingleSignOnService")
        if each.get("Binding") == _REDIRECT
    ]
    end = min((end for end in ends if end is not None), default=None)
    return Metadata(tuple(certificates), end, next(iter(places), None))


def _certificate(element: Element, path: Path) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(b64decode("".join((element.text or "").split()), validate=True))
        key = certificate.public_key()
    except ValueError:
        raise ValueError(f"{path} holds a certificate that can't be read") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SMALLEST_RSA:
        return certificate
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return certificate
    raise ValueError(
        f"{path} holds a key that is neither RSA of at least {_SMALLEST_RSA} bits nor P-256, P-384 or P-521"
    )
