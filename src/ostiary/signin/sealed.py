"""A sign-in that has begun, kept by the browser itself: sealed in a cookie, so that nothing grows with who begins one.

The browser can neither read nor change it. Another browser does not have it, which is what binds a sign-in to one.
"""

import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import astuple
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ostiary.signin.ways import Pending

#: Characters of where the browser goes afterwards: a cookie holds 4,096 in all.
MAX_THEN: Final = 2000
_NONCE: Final = 12
_PURPOSE: Final = b"ostiary sign-in"


class Seal:
    """Args: key: 32 bytes, the same in every process that may be asked; a new one ends what is pending."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def close(self, pending: Pending, then: str) -> str:
        """Text for a cookie. `then`: the path at this gateway that comes afterwards."""
        nonce = secrets.token_bytes(_NONCE)
        text = json.dumps([*astuple(pending), then]).encode()
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, text, _PURPOSE)).decode()

    def open(self, text: str) -> tuple[Pending, str] | None:
        """What was closed here; None for anything else."""
        try:
            data = urlsafe_b64decode(text)
            *values, then = json.loads(self._cipher.decrypt(data[:_NONCE], data[_NONCE:], _PURPOSE))
        except (ValueError, InvalidTag):
            return None
        return Pending(*values), then


def is_own_path(then: str) -> bool:
    """Does a redirect to it stay at this gateway? Browsers read two slashes of either kind as another host's name."""
    return (
        len(then) <= MAX_THEN
        and then.startswith("/")
        and then[1:2] not in ("/", "\\")
        and then.isascii()
        and then.isprintable()
        and " " not in then
    )
