"""Where people decide: the use-cases behind `ostiary approvals`, the API and the UI.

A desk needs no running gateway in its process: it writes the decision into the store, where the process that holds
the connection finds it. Errors of the store itself pass through to the caller.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, assert_never

from ostiary.approvals.model import (
    STALE_SECONDS,
    Approval,
    ApprovalGroup,
    ApprovalState,
    Quorum,
    Vote,
    read_code,
)
from ostiary.approvals.repository import ApprovalRepository
from ostiary.core import Principal

MAX_REASON: Final = 500
#: Each failed attempt means that somebody else's vote was counted in between.
_ATTEMPTS: Final = 10


class ApprovalError(Exception):
    """No decision was taken. `str()` names the thing and the reason, `hint` the next step; both are safe to show."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class UnknownRequest(ApprovalError):  # noqa: N818 - named as what happened, like the other three
    """No request has this code."""


class Settled(ApprovalError):  # noqa: N818
    """The request can no longer be decided."""


class NotAllowed(ApprovalError):  # noqa: N818
    """This person may not decide this request."""


class Changed(ApprovalError):  # noqa: N818
    """The request is not as it was when it was looked at."""


class ApprovalDesk:
    """Lists, shows and decides requests."""

    def __init__(
        self,
        repository: ApprovalRepository,
        groups: Mapping[str, ApprovalGroup],
        clock: Callable[[], float],
        decided: Callable[[], None] = lambda: None,
    ) -> None:
        """`decided` is called after each decision: pass `ApprovalService.wake` of the same process if there is one."""
        self._repository = repository
        self._groups = groups
        self._clock = clock
        self._decided = decided

    async def list_pending(self) -> list[Approval]:
        """Requests that can be decided now, oldest first."""
        now = self._clock()
        return await self._repository.pending(now, now - STALE_SECONDS)

    async def show(self, code: str) -> Approval:
        """One request in any state. Raises UnknownRequest."""
        approval = await self._repository.get(read_code(code))
        if approval is None:
            shown = code if len(code) <= 32 and code.isprintable() else "(unprintable)"
            raise UnknownRequest(f'no approval request "{shown}" is known', "see `ostiary approvals list`")
        if approval.state is ApprovalState.PENDING and approval.request.expires_at <= self._clock():
            return replace(approval, state=ApprovalState.EXPIRED, decided_at=approval.request.expires_at)
        return approval

    async def decide(
        self, code: str, approver: Principal, approve: bool, reason: str = "", revision: int | None = None
    ) -> Approval:
        """Count one person's decision; returns the approval after it, which may still lack others (`missing`).

        `revision`: decide only if it is still the one that was looked at. Raises UnknownRequest, Settled, NotAllowed,
        Changed, or ApprovalError when the reason is unfit.
        """
        if len(reason) > MAX_REASON or not reason.isprintable():
            raise ApprovalError(
                "the reason is too long or contains control characters",
                f"give one line of at most {MAX_REASON} characters",
            )
        for _ in range(_ATTEMPTS):
            before = await self.show(code)
            now = self._clock()
            _check_open(before, now)
            if revision is not None and revision != before.revision:
                raise Changed(f"request {before.request.code} has changed since you looked", "look again, then decide")
            groups = self._check_approver(before, approver, approve, now)
            after = before.with_vote(Vote(approver.id, groups, approve, reason, now))
            if await self._repository.vote(before, after, now, now - STALE_SECONDS):
                self._decided()
                return after
        raise ApprovalError(f"request {read_code(code)} is being decided by others at this moment", "try again")

    def _check_approver(self, approval: Approval, approver: Principal, approve: bool, now: float) -> tuple[str, ...]:
        """The request's groups this person stands for. Raises NotAllowed."""
        request = approval.request
        if approver.expires_at <= now:
            raise NotAllowed("your token has expired", "log in again, then decide")
        if (approver.issuer, approver.subject) == (request.issuer, request.subject):
            raise NotAllowed(
                f"request {request.code} is your own, and nobody decides their own",
                f"ask another member of {names(request.quorums)}",
            )
        groups = tuple(
            quorum.group
            for quorum in request.quorums
            if (group := self._groups.get(quorum.group)) is not None and group.admits(approver)
        )
        if not groups:
            raise NotAllowed(
                f"{approver.id} is not a member of {names(request.quorums)}, which must approve request {request.code}",
                f"a member is whoever `approvals: {request.quorums[0].group}: members` in the configuration names",
            )
        if approve and approver.id in approval.approvers:
            raise NotAllowed(
                f"{approver.id} has approved request {request.code} already",
                f"it still needs {names(approval.missing)}",
            )
        return groups


def names(quorums: tuple[Quorum, ...]) -> str:
    """Groups in a sentence: `dba and 2 of security`."""
    return " and ".join(str(quorum) for quorum in quorums)


def _check_open(approval: Approval, now: float) -> None:
    """Raises Settled when the request cannot be decided any more."""
    anew = "the requester can run the command again to ask anew"
    code = approval.request.code
    at = "" if approval.decided_at is None else f" at {datetime.fromtimestamp(approval.decided_at, UTC):%H:%M:%S} UTC"
    match approval.state:
        case ApprovalState.PENDING:
            if approval.heartbeat_at <= now - STALE_SECONDS:
                raise Settled(f"request {code} is void: the gateway process that held it does not answer", anew)
        case ApprovalState.APPROVED | ApprovalState.CONSUMED:
            raise Settled(
                f"request {code} was approved by {', '.join(approval.approvers)}{at}", "nothing is left to decide"
            )
        case ApprovalState.DENIED:
            raise Settled(f"request {code} was denied by {', '.join(approval.deniers)}{at}", anew)
        case ApprovalState.EXPIRED:
            raise Settled(f"request {code} expired{at}", anew)
        case ApprovalState.WITHDRAWN:
            raise Settled(f"request {code} was withdrawn{at}: {approval.note}", anew)
        case _:
            assert_never(approval.state)
