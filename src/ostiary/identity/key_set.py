"""JSON Web Keys (RFC 7517) of one issuer, and signatures checked with them.

Keys are made of the few members that matter, so nothing else a key set says (private parts, certificates, links) has
an effect. A key that can't be used is left out, as RFC 7517 §5 asks.
"""

from dataclasses import dataclass
from typing import Final

from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS, JWSAlgModel
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

from ostiary.identity.fetch import FetchError
from ostiary.identity.strict_json import load_json

#: Signature algorithms (RFC 7518 §3.1, RFC 8037, RFC 9864) that need a public key only.
ALGORITHMS: Final[dict[str, JWSAlgModel]] = {
    algorithm.name: algorithm
    for algorithm in JWS_ALGORITHMS
    if algorithm.name
    in {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

MAX_KEYS: Final = 64
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_TYPES: Final[dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key, and what it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: RSAKey | ECKey | OKPKey

    def verify(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Is the signature good? `algorithm` is one of `algorithms`. False, too, for what it can't digest."""
        try:
            return ALGORITHMS[algorithm].verify(signed, signature, self.key)
        except (JoseError, ValueError):
            return False


def parse_key_set(document: bytes, use: str = "sig") -> tuple[VerifyingKey, ...]:
    """The usable keys.

    Args:
        document: JSON.
        use: What a key must be for, "sig", or "jwt-svid" in a SPIFFE bundle. Only "sig" goes without saying.

    Raises:
        FetchError:  It is not a key set, or one without bounds.
        ValueError: The same.
    """
    body = load_json(document)
    entries = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        raise FetchError("its key set is not one")
    if len(entries) > MAX_KEYS:
        raise FetchError(f"its key set has more than {MAX_KEYS} keys")
    return tuple(key for entry in entries if (key := _parse_key(entry, use)) is not None)


def _parse_key(entry: object, use: str) -> VerifyingKey | None:
    if not isinstance(entry, dict):
        return None
    kty, kid, alg, operations = (entry.get(member) for member in ("kty", "kid", "alg", "key_ops"))
    if not isinstance(kty, str) or kty not in _MEMBERS or not isinstance(kid, str | None):
        return None
    # A private part that is published is no secret any more: whoever read it signs as the issuer.
    if entry.get("use", "sig") != use or "d" in entry:
        return None
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return None
    try:
        members = {member: _text(entry[member]) for member in ("kty", *_MEMBERS[kty])}
        if not _sound(members):
            return None
        key = _TYPES[kty].import_key({**members})
    except (JoseError, ValueError, KeyError):
        return None
    return VerifyingKey(kid, frozenset(name for name in ALGORITHMS if alg in (None, name) and _fits(name, key)), key)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a member of a key is not text")  # noqa: TRY004 - the key is left out, like any unusable one
    return value


def _sound(members: dict[str, str]) -> bool:
    """RSA from 2048 to 8192 bits with a short exponent (a long one costs us CPU); Ed25519 of the OKP curves."""
    match members["kty"]:
        case "RSA":
            modulus = int.from_bytes(urlsafe_b64decode(members["n"].encode()), "big")
            return 2048 <= modulus.bit_length() <= 8192 and len(members["e"]) <= 6
        case "OKP":
            return members["crv"] == "Ed25519"
        case _:
            return True


def _fits(algorithm: str, key: RSAKey | ECKey | OKPKey) -> bool:
    try:
        ALGORITHMS[algorithm].check_key(key)
    except JoseError:
        return False
    return True
