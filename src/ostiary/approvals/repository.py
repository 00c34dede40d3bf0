"""What the service and the desk need from a store. Every change is one compare-and-set, so the store settles races."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from ostiary.approvals.model import Approval


class Admission(StrEnum):
    """What became of a new request."""

    STORED = "stored"
    CODE_TAKEN = "code taken"
    SESSION_FULL = "session full"
    PRINCIPAL_FULL = "principal full"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests may wait at once, and how many days settled ones are kept."""

    per_session: int = 4
    per_principal: int = 100
    overall: int = 1000
    keep_days: float = 90.0


class ApprovalRepository(Protocol):
    """Approvals by code. Any method may raise; the caller then refuses. Times are unix seconds, the caller's clock."""

    async def add(self, approval: Approval, limits: Limits) -> Admission:
        """Store a new request, unless a limit is reached or its code is taken."""
        ...

    async def get(self, code: str) -> Approval | None:
        """One approval in any state."""
        ...

    async def pending(self, now: float, alive_since: float) -> list[Approval]:
        """Those that can be decided: pending, not expired, owner heard of after `alive_since`. Oldest first."""
        ...

    async def still_pending(self, codes: Collection[str]) -> set[str]:
        """Which of these are pending."""
        ...

    async def vote(self, before: Approval, after: Approval, now: float, alive_since: float) -> bool:
        """Write votes and state of `after` if the row is pending, unexpired, alive and at `before`'s revision."""
        ...

    async def consume(self, approval: Approval, digest: str, approved_since: float) -> bool:
        """Approved → consumed if revision, owner and digest match and it was approved after `approved_since`."""
        ...

    async def withdraw(self, code: str, note: str, now: float) -> bool:
        """Pending or approved → withdrawn."""
        ...

    async def withdraw_orphans(self, node: str, owner: str, alive_since: float, note: str, now: float) -> int:
        """Withdraw what earlier runs of this node left, and what any owner not heard of since left. How many."""
        ...

    async def expire(self, now: float) -> int:
        """Pending → expired, for all whose time has come. How many."""
        ...

    async def beat(self, codes: Collection[str], now: float) -> None:
        """The owner of these pending requests is alive."""
        ...

    async def prune(self, before: float) -> int:
        """Delete settled and expired requests created before this time. How many."""
        ...
