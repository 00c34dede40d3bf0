"""Sessions: list, show, replay, end."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.idempotency import OnceDep
from ostiary.api.models.sessions import CommandOut, CommandsOut, EndedOut, Kill, MomentOut, SessionDetailOut, SessionOut
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses
from ostiary.control.sessions import SessionFilter, SessionState

router = APIRouter(tags=["sessions"])
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$", examples=["5f2c0a1b9d3e4f60"])]
Text = Annotated[str, Query(max_length=512)]


@router.get("/sessions")
async def list_sessions(
    caller: CallerDep,
    control: Control,
    principal: Text = "",
    target: Text = "",
    state: SessionState | None = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    refused: Annotated[bool, Query(description="Only those with a refused command.")] = False,
    live: Annotated[bool, Query(description="Only those that live in the process that answers.")] = False,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> PageOut[SessionOut]:
    """Sessions of targets that the caller may `view`, newest first."""
    wanted = SessionFilter(principal, target, state, _seconds(since), _seconds(until), refused)
    after = paging.begin(cursor, "sessions", wanted, live)
    found = await control.sessions.list(caller, wanted, live, after, limit)
    return paging.page(found, [SessionOut.of(each) for each in found.items], "sessions", wanted, live)


@router.get("/sessions/{session_id}", responses=responses(404))
async def show_session(session_id: Id, caller: CallerDep, control: Control) -> SessionDetailOut:
    """One session; takes `audit` on its target."""
    return SessionDetailOut.detail(*await control.sessions.show(caller, session_id))


@router.get("/sessions/{session_id}/commands", responses=responses(404))
async def list_commands(
    session_id: Id, caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> CommandsOut:
    """Its first 1,000 commands, each with its ruling and its end; takes `audit` on its target."""
    after = _counted(paging.begin(cursor, "commands", session_id))
    found, more = await control.sessions.commands(caller, session_id, after, limit)
    shown = paging.page(found, [CommandOut.of(each) for each in found.items], "commands", session_id)
    return CommandsOut(items=shown.items, next=shown.next, more=more)


@router.get("/sessions/{session_id}/replay", responses=responses(404))
async def replay_session(
    session_id: Id, caller: CallerDep, control: Control, cursor: Cursor = "", limit: Limit = 50
) -> PageOut[MomentOut]:
    """What happened, in order, as its client saw it; takes `audit` on its target."""
    after = _counted(paging.begin(cursor, "replay", session_id))
    found = await control.sessions.replay(caller, session_id, after, limit)
    return paging.page(found, [MomentOut.of(each) for each in found.items], "replay", session_id)


@router.post("/sessions/{session_id}/kill", responses=responses(404, 409))
async def kill_session(session_id: Id, asked: Kill, caller: CallerDep, control: Control, once: OnceDep) -> EndedOut:
    """End a live session at once; takes `administer` on its target. Its client reads who ended it and why."""

    async def end() -> EndedOut:
        try:
            return EndedOut.of(await control.sessions.end(caller, session_id, asked.reason))
        except ValueError as error:
            raise Unfit(422, "invalid", str(error)) from None

    return await once(EndedOut, end)


def _counted(after: str) -> str:
    """A position that is a number. Raises Unfit: 422."""
    if after and not (after.isascii() and after.isdecimal() and len(after) <= 15):
        raise Unfit(422, "cursor", "the cursor is not one of this list with these filters", "begin without cursor")
    return after


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
