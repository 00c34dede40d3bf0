"""A JWS in compact form (RFC 7515 §7.1), taken apart strictly and without believing any of it.

What two readers could understand differently is refused: duplicate member names, NaN, base64url that is padded or not
canonical, `crit`. Key material that a token brings along (`jwk`, `jku`, `x5c`, `x5u`) is never looked at.
"""

from dataclasses import dataclass
from typing import Final

from joserfc.util import urlsafe_b64decode

from ostiary.gate.ports import Refused
from ostiary.identity.key_set import ALGORITHMS
from ostiary.identity.refuse import refused
from ostiary.identity.strict_json import load_json

MAX_TOKEN_BYTES: Final = 16 * 1024
#: RFC 8725 §3.11, explicit typing: logout tokens, security events and the like are signed by the same keys.
_TYPES: Final = {"jwt", "at+jwt", "application/jwt", "application/at+jwt"}
#: What a JWT-SVID may say instead of "JWT"; it says nothing, so of nobody else is it taken.
SVID_TYPE: Final = "jose"


@dataclass(frozen=True, slots=True, repr=False)
class UnverifiedToken:
    """Parts of a token. Nothing in it is true until `signature` was verified over `signed`."""

    algorithm: str
    kid: str | None
    #: `typ`, in lower case.
    kind: str
    claims: dict[str, object]
    signed: bytes
    signature: bytes


def parse_compact(token: bytes) -> UnverifiedToken:
    """Raises Refused."""
    if len(token) > MAX_TOKEN_BYTES:
        raise refused(f"it is longer than {MAX_TOKEN_BYTES // 1024} KiB")
    parts = token.split(b".")
    if len(parts) != 3:
        raise refused("it is not a signed JWT")
    header = _json_object(parts[0], "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise refused(
            "its signature algorithm is not one that this gateway accepts",
            f"ask the issuer for a token signed with one of {', '.join(ALGORITHMS)}",
        )
    if "crit" in header or "b64" in header:
        raise refused("its header demands an extension that this gateway does not know")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise refused("its key id is not text")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in {*_TYPES, SVID_TYPE}:
        raise wrong_type()
    claims = _json_object(parts[1], "payload")
    return UnverifiedToken(
        algorithm, kid, kind.lower(), claims, parts[0] + b"." + parts[1], _decode(parts[2], "signature")
    )


def wrong_type() -> Refused:
    """A token by the right hand, for another purpose."""
    return refused("it is of a type that does not tell who is calling", "use an ID token or a JWT access token")


def _json_object(part: bytes, what: str) -> dict[str, object]:
    try:
        value = load_json(_decode(part, what))
    except ValueError:
        raise refused(f"its {what} is not JSON that can be read in one way only") from None
    if not isinstance(value, dict):
        raise refused(f"its {what} is not a JSON object")
    return value


def _decode(part: bytes, what: str) -> bytes:
    try:
        return urlsafe_b64decode(part)
    except ValueError:
        raise refused(f"its {what} is not base64url") from None
