"""The facts a session's recording is made of, in the order they happen. The recording room gives them bytes.

Every text in here is already masked and is hostile input to whoever shows it.
"""

from collections.abc import Mapping
from dataclasses import field

from ostiary.core.frozen import frozen


@frozen
class SessionStarted:
    """Written before a credential exists."""

    session_id: str
    principal: str
    principal_kind: str
    issuer: str
    subject: str
    groups: tuple[str, ...]
    claims: Mapping[str, str]
    proof_id: str
    target: str
    protocol: str
    source: str
    rules: tuple[str, ...]
    #: W3C traceparent that the client sent; hostile like every other text.
    trace: str = ""


@frozen
class LeaseIssued:
    """A credential was lent to the session. Never the password."""

    lease_id: str
    kind: str
    username: str


@frozen
class IntentRecorded:
    """Written before the command is forwarded; without it nothing is."""

    action_id: int
    text: str
    summary: str
    #: Bind values as text, masked where classified; None is null.
    parameters: tuple[str | None, ...]
    #: "read orders/public.customers"
    accesses: tuple[str, ...]
    verdict: str
    rules: tuple[str, ...]
    #: Request that was approved, when one was.
    approval_id: str = ""
    approved_by: tuple[str, ...] = ()


@frozen
class ActionRefused:
    """A command that never reached the target."""

    action_id: int
    text: str
    summary: str
    accesses: tuple[str, ...]
    kind: str
    message: str
    rules: tuple[str, ...]


@frozen
class ActionHeld:
    """A command waits for a person."""

    action_id: int
    approval_id: str
    groups: tuple[str, ...]
    text: str
    rules: tuple[str, ...]


@frozen
class RowsSeen:
    """Rows as the client saw them (masked), or a sample of them."""

    action_id: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str | None, ...], ...]
    #: "rows" or "diagnostic".
    kind: str = "rows"


@frozen
class ActionFinished:
    """How a command ended."""

    action_id: int
    status: str
    tag: str
    rows: int
    bytes: int
    #: Column name → transform or detector that changed at least one of its values.
    masked: Mapping[str, str] = field(default_factory=dict)


@frozen
class SessionEnded:
    """The last fact of a recording."""

    reason: str
    #: What became of the credential: "role dropped, 0 backends left", or what could not be confirmed.
    credential: str
    actions: int
    refused: int


Record = (
    SessionStarted
    | LeaseIssued
    | IntentRecorded
    | ActionRefused
    | ActionHeld
    | RowsSeen
    | ActionFinished
    | SessionEnded
)
