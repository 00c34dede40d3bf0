"""Keys of nobody: what is no account's assertion is verified all the same, so that its refusal takes as long."""

import functools
import secrets
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from ostiary.identity.compact import UnverifiedToken
from ostiary.identity.key_set import ALGORITHMS

_CURVES: Final = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


def verify_for_nobody(token: UnverifiedToken) -> None:
    """Takes the time of a verification by the token's algorithm, and never says yes."""
    try:
        ALGORITHMS[token.algorithm].verify(token.signed, token.signature, _key(token.algorithm))
    except (JoseError, ValueError):
        return


@functools.cache
def _key(algorithm: str) -> ECKey | OKPKey | RSAKey:
    if algorithm in _CURVES:
        return ECKey.generate_key(_CURVES[algorithm], private=False)
    if algorithm in ("EdDSA", "Ed25519"):
        return OKPKey.generate_key("Ed25519", private=False)
    # Made in a moment, as no key pair of RSA is: nobody has its private part, nor ever had.
    modulus = int.from_bytes(secrets.token_bytes(256)) | 1 << 2047 | 1
    return RSAKey.import_key(RSAPublicNumbers(65537, modulus).public_key())
