"""SPIFFE IDs (SPIFFE-ID §2): `spiffe://TRUST-DOMAIN/PATH`, in the one form that the standard allows."""

import re
from typing import Final

SCHEME: Final = "spiffe://"
#: Algorithms of a JWT-SVID (JWT-SVID §2.1).
SVID_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512")

_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")


def check_trust_domain(name: str) -> None:
    """Raises ValueError."""
    if not _TRUST_DOMAIN.fullmatch(name):
        raise ValueError('trust_domain: write its name alone, as "acme.example": small letters, digits, ".", "_", "-"')


def is_workload(subject: str, trust_domain: str) -> bool:
    """Is it an id in this trust domain, of a workload and not of the domain itself?"""
    begin = f"{SCHEME}{trust_domain}/"
    return subject.startswith(begin) and all(map(_SEGMENT.fullmatch, subject[len(begin) :].split("/")))


def trust_domain_url(subject: object) -> str | None:
    """`spiffe://TRUST-DOMAIN` of a subject that claims to be in one."""
    if not isinstance(subject, str) or not subject.startswith(SCHEME):
        return None
    return SCHEME + subject.removeprefix(SCHEME).partition("/")[0]
