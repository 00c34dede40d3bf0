"""An authority whose client certificates are believed, as it is configured, and its bundle of root certificates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ostiary.core import PrincipalKind
from ostiary.identity.groups import GroupTemplate
from ostiary.identity.issuer import BoundValue, check_bind, check_seconds, check_tuples, made_for
from ostiary.identity.spiffe import check_trust_domain

#: Which name of the certificate is the principal's subject.
SubjectName = Literal["common-name", "dns", "uri", "email"]

_MAX_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class X509Issuer:
    """Who signs client certificates, and whom they are about.

    Raises:
        ValueError: A sentence that names the issuer, the setting and what is wrong with it.
    """

    #: Prefix of its principals' ids.
    name: str
    #: PEM file of root certificates; a client's chain must end at one of them.
    ca: Path
    #: SPIFFE trust domain, "acme.example": only X.509-SVIDs of it count, and the SPIFFE ID is the subject.
    trust_domain: str | None = None
    subject: SubjectName = "common-name"
    kind: PrincipalKind = PrincipalKind.WORKLOAD
    #: Name (`CN`, `O`, `OU`, `dns`, `uri`, `email`) → the value it must have, or the values of which it must have one.
    bind: Mapping[str, BoundValue | tuple[BoundValue, ...]] = field(default_factory=dict)
    #: `team/{OU}`; see `groups`. The same names stand for claims.
    groups: tuple[str, ...] = ()
    #: Files of revocation lists, PEM or DER. With any, there must be one of each authority in a chain, good now.
    crl: tuple[Path, ...] = ()
    session_grace: float = 60.0
    max_session: float = 12 * 3600.0
    templates: tuple[GroupTemplate, ...] = field(init=False)

    def __post_init__(self) -> None:
        with made_for(self):
            check_tuples(self, "groups", "crl")
            if self.trust_domain is not None:
                check_trust_domain(self.trust_domain)
            if self.subject not in get_args(SubjectName):
                raise ValueError(f"subject: choose from {', '.join(get_args(SubjectName))}")
            check_bind(self.bind)
            check_seconds(self)

    @property
    def accepted(self) -> tuple[str, ...]:
        """What no other issuer may claim too."""
        return () if self.trust_domain is None else (f"X.509-SVID {self.trust_domain}",)


def read_authorities(path: Path) -> frozenset[bytes]:
    """Root certificates in DER.

    Raises:
        OSError: It can't be read.
        ValueError: It is not a bundle of them.
    """
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    try:
        certificates = x509.load_pem_x509_certificates(data) if len(data) <= _MAX_BYTES else []
    except ValueError:
        certificates = []
    if not certificates:
        raise ValueError(f"ca: {path} is not a PEM file of certificates, of at most 1 MiB")
    for certificate in certificates:
        if certificate.issuer != certificate.subject or not is_authority(certificate):
            raise ValueError(
                f"ca: {path} holds a certificate that is not a root authority's: clients send what is between"
            )
    return frozenset(each.public_bytes(Encoding.DER) for each in certificates)


def is_authority(certificate: x509.Certificate) -> bool:
    """May it sign others? (RFC 5280 §4.2.1.9). Raises ValueError when its extensions can't be read."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
