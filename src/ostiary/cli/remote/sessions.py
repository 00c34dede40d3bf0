"""Recorded sessions, through the API."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from ostiary.cli.remote.convert import members, rfc3339, view
from ostiary.client.api import Api, part
from ostiary.core import LeaseIssued, SessionEnded, SessionStarted
from ostiary.recording import (
    MAX_ACTIONS,
    ActionDetail,
    Moment,
    SessionDetail,
    SessionFilter,
    SessionSummary,
)

_PAGE = 200


def list_sessions(api: Api, limit: int, wanted: SessionFilter) -> tuple[SessionSummary, ...]:
    """Newest first. Raises ApiFailed, as everything here does."""
    query = {
        "principal": wanted.principal,
        "target": wanted.target,
        "state": wanted.state,
        "since": rfc3339(wanted.since),
        "until": rfc3339(wanted.until),
        "refused": "true" if wanted.refused else "",
    }
    return tuple(map(_summary, islice(api.pages("/sessions", query, min(limit, _PAGE)), limit)))


def show_session(api: Api, session_id: str) -> SessionDetail:
    """One session with its first commands; the id is whole."""
    path = f"/sessions/{part(session_id)}"
    found = api.get(path)
    summary = _summary(found)
    started = ended = None
    if found.get("issuer"):
        started = view(SessionStarted, found)
    if found.get("credential"):
        ended = view(SessionEnded, found, actions=summary.actions or 0, refused=summary.refused or 0)
    lease = view(LeaseIssued, found["lease"]) if found.get("lease") else None
    actions: list[ActionDetail] = []
    cursor: object = ""
    more = 0
    while cursor is not None and len(actions) < MAX_ACTIONS:
        page = api.get(f"{path}/commands", {"limit": _PAGE, "cursor": cursor})
        actions += [view(ActionDetail, each, ("time",)) for each in members(page, "items")]
        cursor, more = page.get("next"), int(page.get("more") or 0)
    return SessionDetail(summary, started, lease, ended, tuple(actions), more, str(found.get("damage", "")))


def replay(api: Api, session_id: str) -> Iterator[Moment]:
    """What happened, in order."""
    return (view(Moment, each) for each in api.pages(f"/sessions/{part(session_id)}/replay"))


def _summary(found: Mapping[str, Any]) -> SessionSummary:
    return view(SessionSummary, found, ("started", "ended"), path=found.get("file", ""))
