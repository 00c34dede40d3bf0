"""Recorded sessions, through the API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ostiary.cli.remote.convert import decoded, members, rfc3339, view
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


class Interrupted(Exception):  # noqa: N818 - reads as what happened
    """The gateway ends a tail: the text says why."""


def tail(api: Api, session_id: str, last: int, after: int | None) -> Iterator[tuple[int, Moment]]:
    """What happens, while it happens, each with the number of its line. Raises Interrupted, ApiFailed."""
    for raw in api.stream(f"/sessions/{part(session_id)}/tail", {"last": last, "after": after}):
        if raw is None:
            continue
        found = view(dict[str, Any], decoded(raw))
        if found.get("kind") == "interrupted":
            raise Interrupted(str(found.get("text")))
        yield view(_Line, found).line, view(Moment, found)


def summary(api: Api, session_id: str) -> SessionSummary:
    """One session as it stands in a list."""
    return _summary(api.get(f"/sessions/{part(session_id)}"))


def export(api: Api, session_id: str) -> Iterator[bytes]:
    """Its recording, line by line."""
    return (raw + b"\n" for raw in api.stream(f"/sessions/{part(session_id)}/export") if raw is not None)


@dataclass(frozen=True, slots=True)
class _Line:
    line: int


def _summary(found: Mapping[str, Any]) -> SessionSummary:
    return view(SessionSummary, found, ("started", "ended"), path=found.get("file", ""))
