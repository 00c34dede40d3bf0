"""Sessions: list, show, replay, end."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime

from ostiary.api import paging
from ostiary.api.caller import AgainDep, CallerDep, Control
from ostiary.api.idempotency import OnceDep
from ostiary.api.models.base import seconds_of
from ostiary.api.models.sessions import (
    CommandOut,
    CommandsOut,
    EndedOut,
    Kill,
    MomentOut,
    SessionDetailOut,
    SessionOut,
    TailOut,
)
from ostiary.api.paging import Cursor, Limit, PageOut
from ostiary.api.problems import Unfit, responses
from ostiary.control.sessions import SessionFilter, SessionState
from ostiary.control.streams import MAX_LAST, Line

router = APIRouter(tags=["sessions"])
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$", examples=["5f2c0a1b9d3e4f60"])]
NDJSON: Final = "application/x-ndjson"
#: Paths whose answers go on for long.
STREAMS: Final = r"/sessions/[^/]+/(tail|export)"
_LINES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Lines of JSON", "content": {NDJSON: {"schema": {"type": "string"}}}}
}
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
    live: Annotated[bool, Query(description="Only those that live now, in any process of the gateway.")] = False,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> PageOut[SessionOut]:
    """Sessions of targets that the caller may `view`, newest first."""
    wanted = SessionFilter(principal, target, state, seconds_of(since), seconds_of(until), refused)
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


@router.get("/sessions/{session_id}/tail", response_class=StreamingResponse, responses=_LINES | responses(404))
async def tail_session(
    session_id: Id,
    caller: CallerDep,
    again: AgainDep,
    control: Control,
    last: Annotated[int, Query(ge=0, le=MAX_LAST, description="Moments of before that it begins with.")] = 10,
    after: Annotated[int | None, Query(ge=0, le=2**53, description="Begin behind this line instead.")] = None,
) -> StreamingResponse:
    """What happens in a session while it happens, a line of JSON a moment; takes `audit` on its target.

    It ends with the session. An empty line is a sign of life; a last line of kind `interrupted` says why the caller may
    not go on. An hour at most: go on behind the last line.
    """
    lines = await control.streams.tail(caller, session_id, last, after, again)
    return StreamingResponse(_json_lines(lines), media_type=NDJSON)


@router.get("/sessions/{session_id}/export", response_class=StreamingResponse, responses=_LINES | responses(404))
async def export_session(session_id: Id, caller: CallerDep, control: Control) -> StreamingResponse:
    """Its recording as it was written, chain and signatures included; takes `audit` on its target.

    For others to verify. Of a session that lives: its whole lines so far.
    """
    name, chunks = await control.streams.export(caller, session_id)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(chunks, media_type=NDJSON, headers=headers)


async def _json_lines(lines: AsyncIterator[Line | str | None]) -> AsyncIterator[bytes]:
    async for line in lines:
        yield b"\n" if line is None else TailOut.at(line).model_dump_json().encode() + b"\n"


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
