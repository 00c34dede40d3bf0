"""Errors of the endpoints: RFC 6749 §5.2, RFC 8693 §2.2.2."""

from authlib.oauth2.rfc6749.errors import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    UnsupportedResponseTypeError,
)

from ostiary.core import RefusalKind
from ostiary.gate.ports import Refused


class InvalidTargetError(OAuth2Error):  # type: ignore[misc]  # authlib ships no types
    """The token can't be made for what was named (RFC 8693 §2.2.2)."""

    error = "invalid_target"


class SlowDownError(OAuth2Error):  # type: ignore[misc]  # as above
    """Too many requests (RFC 6585 §4)."""

    error = "temporarily_unavailable"
    status_code = 429


class UnavailableError(OAuth2Error):  # type: ignore[misc]  # as above
    """It can't be told now; what was sent may be good (RFC 6749 §4.1.2.1 has the code)."""

    error = "temporarily_unavailable"
    status_code = 503


def said(text: str) -> str:
    """What may stand in `error_description`: printable ASCII without quotation marks and backslashes."""
    return "".join(each if " " <= each <= "~" and each not in '"\\' else "'" for each in text)


def told(refused: Refused) -> str:
    """A refusal as a description."""
    refusal = refused.refusal
    return said(f"{refusal.message}; {refusal.hint}" if refusal.hint else refusal.message)


def of_grant(refused: Refused) -> OAuth2Error:
    """A grant that was refused. `invalid_grant` ends a client's login, so it says of the grant, and of nothing else."""
    match refused.refusal.kind:
        case RefusalKind.IDENTITY | RefusalKind.EXPIRED:
            return InvalidGrantError(told(refused))
        case RefusalKind.CAPACITY:
            return SlowDownError(told(refused))
        case _:
            return UnavailableError(told(refused))


__all__ = [
    "AccessDeniedError",
    "InvalidClientError",
    "InvalidGrantError",
    "InvalidRequestError",
    "InvalidScopeError",
    "InvalidTargetError",
    "OAuth2Error",
    "SlowDownError",
    "UnauthorizedClientError",
    "UnavailableError",
    "UnsupportedGrantTypeError",
    "UnsupportedResponseTypeError",
    "of_grant",
    "said",
    "told",
]
