"""The rules for what a verified token says: RFC 7519 §4.1, RFC 8725, OpenID Connect, and the issuer's configuration."""

from collections.abc import Mapping
from typing import Final

from ostiary.core import Proof
from ostiary.identity.claims import find_claim, is_safe_text
from ostiary.identity.issuer import BoundValue, OidcIssuer
from ostiary.identity.refuse import NEW_TOKEN, refused
from ostiary.identity.spiffe import is_workload

MAX_SUBJECT: Final = 256
#: Year 5138; beyond it nobody means a time.
_LAST_TIME: Final = 1e11


def check_private(proof: Proof, *, allow_plaintext_loopback: bool) -> None:
    """It came where nobody else could read it. Raises Refused."""
    if not proof.encrypted and not (proof.loopback and allow_plaintext_loopback):
        raise refused(
            "it came over a connection without TLS, where others can read it",
            "connect with TLS, and let the token that was sent expire or revoke it",
        )


def check_audience(issuer: OidcIssuer, claims: Mapping[str, object]) -> None:
    """`aud` is one of ours, or a list of texts with one of ours in it; `azp` is as configured. Raises Refused."""
    aud = claims.get("aud")
    audiences = aud if isinstance(aud, list) else [aud]
    if not all(isinstance(audience, str) for audience in audiences):
        raise refused("its audience (aud) is missing or is not text")
    if set(audiences).isdisjoint(issuer.audiences):
        raise refused(
            "it was made for another audience (aud)",
            f"ask the issuer for a token with audience {' or '.join(issuer.audiences)}",
        )
    if issuer.authorized_parties and claims.get("azp") not in issuer.authorized_parties:
        raise refused(
            "it was issued to a client (azp) that is not allowed here",
            f'use a client that the settings of issuer "{issuer.name}" name',
        )


def check_times(issuer: OidcIssuer, claims: Mapping[str, object], now: float) -> float:
    """The `exp` claim, Unix seconds, which is to come; `nbf` and `iat`, when there, are past. Raises Refused."""
    expires = _time(claims, "exp")
    if expires is None:
        raise refused("it has no expiry (exp)", "ask the issuer for a token that expires")
    if now >= expires + issuer.leeway or now >= expires + issuer.session_grace:
        raise refused("it has expired", NEW_TOKEN)
    for name, what in (("nbf", "is not valid yet"), ("iat", "was issued in the future")):
        begin = _time(claims, name)
        if begin is not None and begin > now + issuer.leeway:
            raise refused(f"it {what} ({name})", "compare the clocks of the issuer and of this gateway")
    return expires


def check_bearer(claims: Mapping[str, object]) -> None:
    """The token may be used by whoever holds it, and is about a caller. Raises Refused."""
    if "cnf" in claims:
        raise refused(
            "it is bound to a key of its client (cnf), which can't be proven here", "ask the issuer for a bearer token"
        )
    if "events" in claims:
        raise refused("it reports an event and does not tell who is calling", "use an ID token or a JWT access token")


def check_subject(issuer: OidcIssuer, claims: Mapping[str, object]) -> str:
    """The `sub` claim; of a SPIFFE trust domain, an id of a workload in it. Raises Refused."""
    subject = claims.get("sub")
    if not is_safe_text(subject, MAX_SUBJECT):
        raise refused(f"its subject (sub) is missing, or is not plain text of at most {MAX_SUBJECT} characters")
    if issuer.trust_domain is not None and not is_workload(subject, issuer.trust_domain):
        raise refused(f"its subject (sub) is not the SPIFFE ID of a workload in {issuer.trust_domain}")
    return subject


def check_bound(
    name: str, bind: Mapping[str, BoundValue | tuple[BoundValue, ...]], claims: Mapping[str, object]
) -> None:
    """Every bound claim has one of its values; true is not 1, and "1" is neither. Raises Refused.

    Args:
        name: of the issuer.
        bind: its bindings.
        claims: of a verified token.
    """
    for claim, bound in bind.items():
        value = find_claim(claims, claim)
        allowed = bound if isinstance(bound, tuple) else (bound,)
        if not any(type(value) is type(want) and value == want for want in allowed):
            raise refused(
                f'its claim "{claim}" does not have a value that issuer "{name}" is bound to',
                "use a token of a caller that the issuer's settings allow",
            )


def _time(claims: Mapping[str, object], name: str) -> float | None:
    """A NumericDate (RFC 7519 §2); None when there is none. Raises Refused."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LAST_TIME:
        raise refused(f"its time claim {name} is not a time")
    return float(value)
