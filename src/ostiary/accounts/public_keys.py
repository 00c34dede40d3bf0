"""Public keys that sign an account's assertions."""

import functools
import json

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ostiary.identity.fetch import FetchError
from ostiary.identity.key_set import VerifyingKey, parse_key_set
from ostiary.identity.strict_json import load_json

_MEMBERS = ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use")
MAX_BYTES = 16 * 1024
UNFIT = "the public key can't verify signatures here: make an EC P-256, an Ed25519 or an RSA key of 2048 bits"


def public_jwk(document: bytes) -> str:
    """A public key in PEM or as a JWK, as the JWK that is stored. Raises ValueError with a sentence."""
    if len(document) > MAX_BYTES:
        raise ValueError("the public key is longer than 16 KiB")
    if b"PRIVATE KEY" in document:
        raise ValueError("this is a private key: it stays with the program; give its public part")
    pem = document.lstrip().startswith(b"-----BEGIN")
    entry = _of_pem(document) if pem else _of_jwk(document)
    if "d" in entry or "k" in entry:
        raise ValueError("this is a private key: it stays with the program; give its public part")
    kept = json.dumps({name: entry[name] for name in _MEMBERS if name in entry})
    if verifying(kept) is None:
        raise ValueError(UNFIT)
    return kept


@functools.lru_cache(maxsize=1024)
def verifying(jwk: str) -> VerifyingKey | None:
    """What verifies; None when nothing can be done with it."""
    try:
        found = parse_key_set(f'{{"keys": [{jwk}]}}'.encode())
    except (FetchError, ValueError):
        return None
    return found[0] if found and found[0].algorithms else None


def _of_jwk(document: bytes) -> dict[str, object]:
    try:
        entry = load_json(document)
    except ValueError:
        entry = None
    if isinstance(entry, dict):
        return entry
    raise ValueError("the public key is neither PEM nor a JWK")


def _of_pem(document: bytes) -> dict[str, object]:
    try:
        key = load_pem_public_key(document)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the public key is no PEM of a public key") from None
    # Known before it is imported: joserfc warns of what it finds weak.
    if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
        return dict(RSAKey.import_key(document).as_dict(private=False))
    if isinstance(key, EllipticCurvePublicKey):
        return dict(ECKey.import_key(document).as_dict(private=False))
    if isinstance(key, Ed25519PublicKey):
        return dict(OKPKey.import_key(document).as_dict(private=False))
    raise ValueError(UNFIT)
