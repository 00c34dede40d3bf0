"""What makes and takes back one kind of credential on one target."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from ostiary.core import Lease


class IssueFailed(Exception):  # noqa: N818 - reads as what happened
    """No credential. `message` and `hint` are for the client; the cause is for the log."""

    def __init__(self, message: str, hint: str, *, clean: bool) -> None:
        super().__init__(message)
        self.hint = hint
        #: True when it is certain that nothing was left on the target.
        self.clean = clean


class RevokeFailed(Exception):  # noqa: N818 - reads as what happened
    """It could not be confirmed that the credential is gone. The message goes into the record."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep found: names of the accounts dropped, and a sentence for each that could not be."""

    dropped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class Issuer(Protocol):
    """One kind of credential on one target.

    `username` and the lease's id are all that is needed to revoke: whoever stores them before `issue` can finish what a
    dead process began.
    """

    @property
    def kind(self) -> str:
        """Name of this kind of credential: "static", "postgres-role"."""
        ...

    def username(self, lease_id: str) -> str:
        """The account this lease will have."""
        ...

    async def issue(self, lease_id: str, until: float) -> Lease:
        """Make the credential, good until `until` (unix seconds) at most. Raises IssueFailed."""
        ...

    async def revoke(self, lease_id: str, username: str) -> str:
        """Take it back, ask whether it is gone; give the confirmation. Idempotent. Raises RevokeFailed."""
        ...

    async def sweep(self, active: Collection[str]) -> SweepReport:
        """Remove what dead processes left and nobody uses, except the leases in `active`. Raises RevokeFailed."""
        ...

    async def aclose(self) -> None:
        """Close connections. Never raises."""
        ...
