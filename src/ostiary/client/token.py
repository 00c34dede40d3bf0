"""What a client can tell of its own token. Nothing is verified here: the gateway does that.

A token is looked into to find the one that was meant, to get a new one in time, and to keep one that was made for
somebody else (a Kubernetes API server, another gateway) from being sent to this gateway.
"""

import base64
import binascii
import json
import math
from dataclasses import dataclass
from typing import Any

from ostiary.core import Secret, printable

#: Longest token that PostgreSQL's password message carries to the gateway.
MAX_TOKEN = 60_000
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it was found.

    Attributes:
        source: for people: "GitHub Actions".
        expires_at: Unix seconds; None where the token does not say (it is no JWT).
    """

    secret: Secret
    source: str
    issuer: str | None = None
    audiences: tuple[str, ...] = ()
    expires_at: float | None = None


def read(secret: Secret, source: str) -> Token:
    """Look into a token. Raises ValueError with a clause about it: "it is empty"."""
    raw = secret.reveal().strip()
    if not raw:
        raise ValueError("it is empty")
    if len(raw) > MAX_TOKEN:
        raise ValueError(f"it is longer than {MAX_TOKEN} bytes")
    if not all(0x20 < byte < 0x7F for byte in raw):
        raise ValueError("it holds characters that no token has")
    claims = _claims(raw)
    if claims is None:
        return Token(Secret(raw), source)
    audience, expires, issuer = (claims.get(name) for name in ("aud", "exp", "iss"))
    listed = audience if isinstance(audience, list) else [audience]
    return Token(
        Secret(raw),
        source,
        issuer if isinstance(issuer, str) else None,
        tuple(one for one in listed if isinstance(one, str)),
        expires if isinstance(expires, int | float) and math.isfinite(expires) else None,
    )


def misfit(token: Token, issuer: str | None, audience: str | None, now: float) -> str | None:
    """Why this token is not the one that is wanted, as a clause; None when it is. One that is no JWT always is."""
    if token.expires_at is None and token.issuer is None and not token.audiences:
        return None if issuer is None else "it is no JWT, so its issuer can't be told"
    if issuer is not None and token.issuer != issuer:
        return f"its issuer is {_quoted(token.issuer)}, not {_quoted(issuer)}"
    # Entra ID writes the application's bare id into a token that was asked for as `api://ID`.
    if audience is not None and not {audience, audience.removeprefix("api://")} & set(token.audiences):
        mine = ", ".join(_quoted(one) for one in token.audiences[:3]) or "nobody"
        return f"it is meant for {mine}, not for {_quoted(audience)}"
    if token.expires_at is not None and token.expires_at <= now:
        return f"it ended {now - token.expires_at:.0f} seconds ago"
    return None


def _claims(raw: bytes) -> dict[str, Any] | None:
    parts = raw.split(b".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.b64decode(parts[1] + b"=" * (-len(parts[1]) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _quoted(text: str | None) -> str:
    return f'"{printable(text[:_SHOWN])}"' if text else "not told"
