"""Held commands and those who decide them, through a running gateway.

Deciding takes two things: policy permits `approve` on the request's target, and the caller is a member of the group
that is asked.
"""

from typing import Any

from ostiary.approvals import Approval, ApprovalDesk
from ostiary.control.access import Access, Caller
from ostiary.control.changes import Changes
from ostiary.control.paging import Page, page_of
from ostiary.policy import ControlAction
from ostiary.recording import safe

_APPROVE = ControlAction.APPROVE


class Decisions:
    """The use-cases. What they return is harmless to a terminal."""

    def __init__(self, access: Access, changes: Changes, desk: ApprovalDesk) -> None:
        self._access = access
        self._changes = changes
        self._desk = desk

    async def list(self, caller: Caller, after: str, limit: int) -> Page[Approval]:
        """Requests that can be decided now, of targets where the caller may approve, oldest first."""
        pending = await self._desk.list_pending()
        targets = {each.request.target for each in pending}
        admitted = {target for target in targets if self._access.permits(caller, _APPROVE, target)}
        found = [
            (f"{each.request.created_at:018.6f} {each.request.code}", safe(each))
            for each in pending
            if each.request.target in admitted
        ]
        return page_of(sorted(found, key=lambda pair: pair[0]), after, limit)

    async def show(self, caller: Caller, code: str) -> Approval:
        """One request in any state. Raises UnknownRequest, Denied."""
        approval = await self._desk.show(code)
        self._access.require(caller, _APPROVE, approval.request.target)
        return safe(approval)

    async def decide(
        self, caller: Caller, code: str, *, approve: bool, reason: str, revision: int | None = None
    ) -> Approval:
        """Count the caller's decision. Raises Denied, ApprovalError, OSError when it can't be written down."""
        before = await self._desk.show(code)
        permission = self._access.require(caller, _APPROVE, before.request.target)
        wanted = _state(before) | {"vote": "approve" if approve else "deny"}
        resource = f"approvals/{before.request.code}"
        async with self._changes.making(permission, resource, _state(before), wanted, reason) as making:
            after = await self._desk.decide(code, caller.principal, approve, reason, revision)
            making.after = _state(after)
        return safe(after)


def _state(approval: Approval) -> dict[str, Any]:
    return {
        "state": approval.state.value,
        "revision": approval.revision,
        "approved_by": approval.approvers,
        "denied_by": approval.deniers,
    }
