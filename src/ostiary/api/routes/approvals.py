"""Held commands: list, show, approve, deny."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.guard import matches
from ostiary.api.idempotency import Once, OnceDep
from ostiary.api.models.approvals import ApprovalOut, Decision
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses
from ostiary.approvals import Approval
from ostiary.control.access import Caller
from ostiary.control.gateway import GatewayControl

router = APIRouter(tags=["approvals"])
Code = Annotated[str, Path(pattern=r"^[A-Za-z0-9 -]{1,32}$", examples=["7K2PQ4MD"])]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=500, description="ETag of the request as seen.")]


@router.get("/approvals")
async def list_approvals(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[ApprovalOut]:
    """Requests that can be decided now, of targets where the caller may `approve`, oldest first."""
    found = await control.decisions.list(caller, paging.begin(cursor, "approvals"), limit)
    return paging.page(found, [ApprovalOut.of(each) for each in found.items], "approvals")


@router.get("/approvals/{code}", responses=responses(404))
async def show_approval(code: Code, caller: CallerDep, control: Control, response: Response) -> ApprovalOut:
    """One request in any state; takes `approve` on its target."""
    approval = await control.decisions.show(caller, code)
    response.headers["ETag"] = _etag(approval)
    return ApprovalOut.of(approval)


@router.post("/approvals/{code}/approve", responses=responses(404, 409, 412))
async def approve(
    code: Code, decision: Decision, caller: CallerDep, control: Control, once: OnceDep, if_match: IfMatch = None
) -> ApprovalOut:
    """Approve as a member of the group that is asked; takes `approve` on the request's target as well."""
    return await _decide(once, control, caller, code, decision, if_match, wanted=True)


@router.post("/approvals/{code}/deny", responses=responses(404, 409, 412))
async def deny(
    code: Code, decision: Decision, caller: CallerDep, control: Control, once: OnceDep, if_match: IfMatch = None
) -> ApprovalOut:
    """Deny, as for approving: one denial is enough."""
    return await _decide(once, control, caller, code, decision, if_match, wanted=False)


async def _decide(
    once: Once,
    control: GatewayControl,
    caller: Caller,
    code: str,
    decision: Decision,
    if_match: str | None,
    *,
    wanted: bool,
) -> ApprovalOut:
    async def work() -> ApprovalOut:
        revision = None
        if if_match is not None:
            seen = await control.decisions.show(caller, code)
            if not matches([if_match], _etag(seen)):
                raise Unfit(412, "changed", f"request {seen.request.code} has changed since you looked", "look again")
            revision = seen.revision
        after = await control.decisions.decide(caller, code, approve=wanted, reason=decision.reason, revision=revision)
        return ApprovalOut.of(after)

    return await once(ApprovalOut, work)


def _etag(approval: Approval) -> str:
    return f'"{approval.request.code}-{approval.revision}-{approval.state.value}"'
