"""Client secrets: `osa_KEYID_SECRET`, made here, shown once, kept as SHA-256.

The secret part is 256 random bits, so a digest can't be guessed back and needs no slow hash: argon2id protects what
people choose, and here would only let a flood of wrong secrets burn the gateway's CPU. The key's id in front finds the
account without a search, and the prefix lets secret scanners find a leak.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

from ostiary.core import Secret

PREFIX: Final = b"osa_"
_FORM: Final = re.compile(rb"osa_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


def new_key_id() -> str:
    """16 hexadecimal digits."""
    return secrets.token_hex(8)


def new_secret(key_id: str) -> Secret:
    """A client secret."""
    return Secret(f"osa_{key_id}_{secrets.token_urlsafe(32)}")


def digest(secret: Secret) -> str:
    """What is stored."""
    return hashlib.sha256(secret.reveal()).hexdigest()


def key_id_of(secret: Secret) -> str | None:
    """Id of its key; None when it is no client secret."""
    found = _FORM.fullmatch(secret.reveal())
    return found[1].decode() if found else None


def matches(secret: Secret, stored: str) -> bool:
    """In a time that depends on neither."""
    return hmac.compare_digest(digest(secret), stored)
