"""What an approval is: the request as it was asked, and what people made of it. Everything is frozen.

States: pending → approved | denied | expired | withdrawn; approved → consumed | withdrawn. Nothing leaves the others.
"""

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from ostiary.core import Principal

#: Crockford's base 32: no I, L, O or U, so that a code survives being read aloud.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD: Final = str.maketrans("OIL", "011", "- ")
CODE_LENGTH: Final = 8

#: Seconds after which a request whose owner is silent is nobody's, and an approval that was not used is void.
STALE_SECONDS: Final = 30.0


def new_code() -> str:
    """A fresh request code of 40 random bits.

    The code is a name, not a secret: deciding takes membership of a group. Among a million kept requests a new one
    collides once in a million times; the store's primary key notices and another is drawn.
    """
    return "".join(secrets.choice(_ALPHABET) for _ in range(CODE_LENGTH))


def read_code(typed: str) -> str:
    """The code a person meant: any case, spaces and hyphens ignored, O read as 0, I and L as 1."""
    return typed[:64].upper().translate(_MISREAD)


class ApprovalState(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    CONSUMED = "consumed"


@dataclass(frozen=True, slots=True)
class ApprovalGroup:
    """One entry of `approvals:` in the configuration: who may decide, how many must agree, for how long it waits."""

    #: Whoever carries one of these groups in the token is a member.
    groups: frozenset[str] = frozenset()
    #: Members by name, each `issuer:subject`.
    principals: frozenset[str] = frozenset()
    #: Distinct people that must approve.
    required: int = 1
    #: Seconds until a request expires.
    timeout: float = 600.0

    def __post_init__(self) -> None:
        if not self.groups and not self.principals:
            raise ValueError("an approval group needs members")
        if self.required < 1 or not self.timeout > 0:
            raise ValueError("an approval group needs `required` of at least 1 and a positive `timeout`")
        if not self.groups and self.required > len(self.principals):
            raise ValueError(f"`required` is {self.required}, but only {len(self.principals)} principals are members")

    def admits(self, principal: Principal) -> bool:
        """Is this principal a member?"""
        return principal.id in self.principals or not self.groups.isdisjoint(principal.groups)


@dataclass(frozen=True, slots=True)
class Quorum:
    """`required` distinct members of `group`."""

    group: str
    required: int

    def __str__(self) -> str:
        return self.group if self.required == 1 else f"{self.required} of {self.group}"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's decision. `groups` are those of the request that the person stood for."""

    by: str
    groups: tuple[str, ...]
    approve: bool
    reason: str
    #: Unix seconds.
    at: float


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What was asked. Never changes; a stored request that differs from the live one is refused."""

    code: str
    session_id: str
    action_id: int
    principal_kind: str
    issuer: str
    subject: str
    principal_groups: tuple[str, ...]
    target: str
    #: The command exactly as it would run.
    text: str
    #: Bind values as text, masked where classified; None is null.
    parameters: tuple[str | None, ...]
    #: "delete orders/public.orders"
    accesses: tuple[str, ...]
    summary: str
    rules: tuple[str, ...]
    reason: str
    quorums: tuple[Quorum, ...]
    rows_estimate: int | None
    #: Binds the request to statement, raw parameters, target and session: see `binding`.
    digest: str
    #: Unix seconds, as all times here.
    created_at: float
    expires_at: float
    #: Process that holds the connection: its configured name, and a random name of this run of it.
    node: str
    owner: str

    @property
    def principal(self) -> str:
        """Who asks: `issuer:subject`."""
        return f"{self.issuer}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Approval:
    """A request and where it stands."""

    request: ApprovalRequest
    heartbeat_at: float
    state: ApprovalState = ApprovalState.PENDING
    votes: tuple[Vote, ...] = ()
    #: Grows with every vote: what compare-and-set compares.
    revision: int = 0
    #: When it left `pending`.
    decided_at: float | None = None
    #: Why it was withdrawn.
    note: str = ""

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who approved, in order."""
        return tuple(vote.by for vote in self.votes if vote.approve)

    @property
    def deniers(self) -> tuple[str, ...]:
        """Who denied."""
        return tuple(vote.by for vote in self.votes if not vote.approve)

    @property
    def missing(self) -> tuple[Quorum, ...]:
        """What is still needed: one quorum a group, with the number of people it lacks. Empty when complete."""
        lacking = []
        for quorum in self.request.quorums:
            people = {vote.by for vote in self.votes if vote.approve and quorum.group in vote.groups}
            if len(people) < quorum.required:
                lacking.append(replace(quorum, required=quorum.required - len(people)))
        return tuple(lacking)

    def with_vote(self, vote: Vote) -> "Approval":
        """This approval after one more vote: one denial denies, the last missing approval approves."""
        after = replace(self, votes=(*self.votes, vote), revision=self.revision + 1)
        if not vote.approve:
            return replace(after, state=ApprovalState.DENIED, decided_at=vote.at)
        if after.missing:
            return after
        return replace(after, state=ApprovalState.APPROVED, decided_at=vote.at)
