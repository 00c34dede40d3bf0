"""Credentials that the process has lent: list, take back."""

from typing import Annotated

from fastapi import APIRouter, Path

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.idempotency import OnceDep
from ostiary.api.models.leases import LeaseEntryOut, Revocation, RevokedOut
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses

router = APIRouter(tags=["leases"])
Id = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$", examples=["9d3e4f605f2c0a1b"])]


@router.get("/leases")
async def list_leases(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[LeaseEntryOut]:
    """Credentials that the process which answers has lent, on targets where the caller may `administer`, by id."""
    found = control.leases.list(caller, paging.begin(cursor, "leases"), limit)
    return paging.page(found, [LeaseEntryOut.of(each) for each in found.items], "leases")


@router.post("/leases/{lease_id}/revoke", responses=responses(404, 409))
async def revoke_lease(
    lease_id: Id, asked: Revocation, caller: CallerDep, control: Control, once: OnceDep
) -> RevokedOut:
    """End its session, if that lives, and take the credential back; takes `administer` on its target."""

    async def revoke() -> RevokedOut:
        try:
            return RevokedOut.of(await control.leases.revoke(caller, lease_id, asked.reason))
        except ValueError as error:
            raise Unfit(422, "invalid", str(error)) from None

    return await once(RevokedOut, revoke)
