"""A refusal as PostgreSQL says it: what was refused, by which rule, what to do next (ErrorResponse, SQLSTATE)."""

from ostiary.core import Refusal, RefusalKind
from ostiary.protocols.postgres import framing

#: SQLSTATEs (PostgreSQL documentation, appendix A) that drivers turn into the exception a person expects.
SQLSTATE = {
    RefusalKind.IDENTITY: "28000",  # invalid_authorization_specification
    RefusalKind.POLICY: "42501",  # insufficient_privilege
    RefusalKind.APPROVAL: "42501",
    RefusalKind.CREDENTIAL: "08006",  # connection_failure
    RefusalKind.RECORDING: "58030",  # io_error
    RefusalKind.MASKING: "42501",
    RefusalKind.PROTOCOL: "08P01",  # protocol_violation
    RefusalKind.TARGET: "08006",
    RefusalKind.EXPIRED: "57P01",  # admin_shutdown
    RefusalKind.CAPACITY: "53300",  # too_many_connections
    RefusalKind.INTERNAL: "XX000",  # internal_error
}
_LONGEST = 2000


def fatal(refusal: Refusal) -> bytes:
    """An ErrorResponse that ends the connection."""
    return error(refusal, "FATAL")


def error(refusal: Refusal, severity: str = "ERROR") -> bytes:
    """An ErrorResponse message."""
    return _fields(b"E", severity, SQLSTATE[refusal.kind], refusal.message, refusal.hint)


def coded(code: str, message: str) -> bytes:
    """What the server itself would say: 26000 and 34000 for names it does not know, 42601 for what is not SQL."""
    return _fields(b"E", "ERROR", code, message, "")


def notice(message: str) -> bytes:
    """A NoticeResponse message."""
    return _fields(b"N", "NOTICE", "00000", message, "")


def cancelled() -> bytes:
    """What a client expects after it cancelled: SQLSTATE 57014."""
    return coded("57014", "canceling statement due to user request")


def _fields(kind: bytes, severity: str, code: str, message: str, hint: str) -> bytes:
    fields = [("S", severity), ("V", severity), ("C", code), ("M", _shown(message))]
    if hint:
        fields.append(("H", _shown(hint)))
    body = b"".join(name.encode() + text.encode() + b"\0" for name, text in fields) + b"\0"
    return framing.message(kind, body)


def _shown(text: str) -> str:
    return text[:_LONGEST].replace("\0", "").encode("utf-8", "replace").decode()
