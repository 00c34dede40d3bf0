"""What the gate needs from the services. Each is implemented by one room; the order they are called in is not theirs.

Every method may raise; whatever it raises, the gate refuses. Methods without `async` are on the fast path:
they return in microseconds and never block on anything but an append to an open file.
"""

from dataclasses import dataclass
from typing import Protocol

from ostiary.core import (
    Action,
    Lease,
    Principal,
    Proof,
    Record,
    Refusal,
    Result,
    Ruling,
    Shape,
    Target,
)


class Refused(Exception):  # noqa: N818 - reads as what happened: `raise Refused(...)`
    """A port says no, with a sentence for the client. Any other exception is refused too, as an internal failure."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Identity(Protocol):
    """Tokens to principals."""

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof in full. Raises Refused(IDENTITY)."""
        ...


class Standing(Protocol):
    """Whether somebody who was identified is still who may be let in."""

    async def check(self, principal: Principal, target: Target, source: str) -> None:
        """Raises Refused when the account, its key or its token is good no more, or when that can't be told."""
        ...


class Rights(Protocol):
    """What one principal may do on one target. Follows every change of policy; its answers are memoised."""

    def decide(self, action: Action) -> Ruling:
        """Rule on every (operation, object) of the action: all must be permitted."""
        ...

    def may_unmask(self, data_class: str) -> bool:
        """Does the principal hold `unmask` on this class at this target?"""
        ...

    def may_declassify(self, data_class: str) -> bool:
        """May values of this class be put where they have none: `declassify`, or `unmask`?"""
        ...


class Policy(Protocol):
    """Who may do what."""

    @property
    def version(self) -> int:
        """Changes whenever any answer might."""
        ...

    def authorize_connect(self, principal: Principal, target: Target, source: str) -> Ruling:
        """May this principal open a session on this target? `source` is the client's address, "ip:port"."""
        ...

    def rights(self, principal: Principal, target: Target, source: str) -> Rights:
        """A session's view; `source` as for `authorize_connect`."""
        ...


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What an approver is shown, and what an approval is bound to."""

    session_id: str
    action_id: int
    principal: Principal
    target: Target
    action: Action
    #: Bind values as text, masked where classified.
    parameters: tuple[str | None, ...]
    #: One member of each of these groups must approve.
    groups: tuple[str, ...]
    rules: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's answer. `approved` False with no `by` means that nobody answered in time."""

    approved: bool
    by: tuple[str, ...] = ()
    reason: str = ""


class PendingApproval(Protocol):
    """One held action."""

    @property
    def approval_id(self) -> str:
        """What a person types: "7K2P…"."""
        ...

    @property
    def notice(self) -> str:
        """`held for approval by dba (request 7K2P, expires in 10 min): https://gw…/a/7K2P`."""
        ...

    async def decided(self) -> Decision:
        """Wait for the decision or the expiry. An approval is consumed by returning it: it is good for one use."""
        ...

    async def withdraw(self, reason: str) -> None:
        """Nobody wants this any more; a later approval of it must fail."""
        ...


class Approvals(Protocol):
    """Requests that wait for a person."""

    async def request(self, request: HoldRequest) -> PendingApproval:
        """Store the request. Raises Refused(APPROVAL)."""
        ...


class Credentials(Protocol):
    """Credentials lent to sessions."""

    async def lease(self, session_id: str, principal: Principal, target: Target) -> Lease:
        """Obtain a credential. Raises Refused(CREDENTIAL)."""
        ...

    async def revoke(self, target: Target, lease: Lease) -> str:
        """Take it back; returns the confirmation for the record. Raises when it could not be confirmed."""
        ...


class ResultMasker(Protocol):
    """Masks the results of one action."""

    def mask(self, result: Result) -> tuple[Result, bool]:
        """The masked batch, and whether further batches under the same columns need no masking at all."""
        ...

    @property
    def masked(self) -> dict[str, str]:
        """Column name → what changed its values, so far."""
        ...


class Masking(Protocol):
    """Classification, detectors, transforms."""

    @property
    def version(self) -> int:
        """Changes whenever any answer might."""
        ...

    def required(self, target: Target) -> bool:
        """Could any result of this target need masking for anyone?"""
        ...

    def masker(self, rights: Rights, target: Target, action: Action) -> ResultMasker:
        """A masker for all results of one action; cheap, its plans are shared."""
        ...

    def forbidden(self, rights: Rights, target: Target, shape: Shape) -> Refusal | None:
        """Why a command of this shape may not put values where it would; cheap when asked again."""
        ...

    def parameters(self, target: Target, action: Action) -> tuple[str | None, ...]:
        """Bind values as text for records and approvers: masked where classified, hidden when unsure."""
        ...

    def text(self, target: Target, text: str) -> str:
        """A statement's text for records: detectors applied to what looks like data in it."""
        ...


class Recorder(Protocol):
    """One session's recording."""

    def write(self, *records: Record) -> None:
        """Append; the bytes have left the process when this returns. Raises when they could not."""
        ...

    def later(self, *records: Record) -> None:
        """Append with the next `write`, at the latest within a second: facts that follow, not precede, an action."""
        ...

    def flush(self) -> None:
        """Write what `later` kept. Raises as `write` does."""
        ...

    def close(self, reason: str) -> None:
        """Seal the recording: signed close record. Never raises; a recording that can't be sealed stays open-ended."""
        ...


class Recording(Protocol):
    """Makes recordings."""

    def open(self, session_id: str) -> Recorder:
        """Raises when the recording cannot be made."""
        ...


class Registry(Protocol):
    """Targets by name."""

    @property
    def version(self) -> int:
        """Changes whenever what is declared about targets or issuers does."""
        ...

    def target(self, name: str) -> Target | None:
        """The declared target, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything the gate stands on."""

    registry: Registry
    identity: Identity
    policy: Policy
    approvals: Approvals
    credentials: Credentials
    masking: Masking
    recording: Recording
    standing: Standing


__all__ = [
    "Approvals",
    "Credentials",
    "Decision",
    "HoldRequest",
    "Identity",
    "Masking",
    "PendingApproval",
    "Policy",
    "Ports",
    "Recorder",
    "Recording",
    "Refused",
    "Registry",
    "ResultMasker",
    "Rights",
    "Standing",
]
