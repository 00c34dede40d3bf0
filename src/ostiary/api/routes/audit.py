"""What was changed through the API, and whether the log is whole."""

from typing import Final

from fastapi import APIRouter

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.models.audit import ChangeOut, VerificationOut
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit

router = APIRouter(tags=["audit"])
VERIFY_PATH: Final = "/audit/verify"


@router.get("/audit/changes")
async def list_changes(
    caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[ChangeOut]:
    """Changes made through the API, newest first; takes `audit` on the gateway."""
    try:
        found = await control.history.list(caller, paging.begin(cursor, "changes"), limit)
    except ValueError:
        raise Unfit(422, "cursor", "the cursor is not one of this list with these filters", "begin again") from None
    return paging.page(found, [ChangeOut.of(each) for each in found.items], "changes")


@router.post(VERIFY_PATH)
async def verify(caller: CallerDep, control: Control) -> VerificationOut:
    """Check every recording, heads log and audit log; takes `audit` on the gateway. One at a time; changes nothing."""
    return VerificationOut.of(await control.verifier.verify(caller))
