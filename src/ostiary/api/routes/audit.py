"""What was changed through the API, and whether the log is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.models.audit import ChangeOut, CommandFoundOut, VerificationOut
from ostiary.api.models.base import seconds_of
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit
from ostiary.recording import AuditFilter

router = APIRouter(tags=["audit"])
Text = Annotated[str, Query(max_length=512)]
VERIFY_PATH: Final = "/audit/verify"


@router.get("/audit/changes")
async def list_changes(
    caller: CallerDep,
    control: Control,
    principal: Text = "",
    action: Text = "",
    resource: Text = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    text: Text = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> PageOut[ChangeOut]:
    """Changes made through the API, newest first; takes `audit` on the gateway."""
    wanted = AuditFilter(principal, action, resource, "", seconds_of(since), seconds_of(until), text)
    after = paging.begin(cursor, "changes", wanted)
    with _positions():
        found = await control.history.list(caller, wanted, after, limit)
    return paging.page(found, [ChangeOut.of(each) for each in found.items], "changes", wanted)


@router.get("/audit/commands")
async def search_commands(
    caller: CallerDep,
    control: Control,
    principal: Text = "",
    action: Annotated[str, Query(max_length=512, description="An operation: read, delete, …")] = "",
    resource: Annotated[
        str, Query(max_length=512, description="Beginning of an object.", examples=["orders/public.customers"])
    ] = "",
    target: Text = "",
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    text: Annotated[str, Query(max_length=512, description="Anywhere in the statement.")] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> PageOut[CommandFoundOut]:
    """What was done through sessions on targets where the caller may `audit`, of the newest session first.

    A page reads a bounded part of the recordings: it can be empty, and not be the last.
    """
    wanted = AuditFilter(principal, action, resource, target, seconds_of(since), seconds_of(until), text)
    after = paging.begin(cursor, "commands-found", wanted)
    with _positions():
        found = await control.history.commands(caller, wanted, after, limit)
    return paging.page(found, [CommandFoundOut.of(each) for each in found.items], "commands-found", wanted)


@contextmanager
def _positions() -> Iterator[None]:
    """What a cursor says is no position: 422."""
    try:
        yield
    except ValueError:
        raise Unfit(422, "cursor", "the cursor is not one of this list with these filters", "begin again") from None


@router.post(VERIFY_PATH)
async def verify(caller: CallerDep, control: Control) -> VerificationOut:
    """Check every recording, heads log and audit log; takes `audit` on the gateway. One at a time; changes nothing."""
    return VerificationOut.of(await control.verifier.verify(caller))
