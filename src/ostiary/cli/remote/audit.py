"""Is the log whole, and what does it say, through the API."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ostiary.cli.remote.convert import members, rfc3339, view
from ostiary.client.api import Api
from ostiary.recording import AuditFilter, Change, Changed, CommandFound, Verdict

_VERIFY_SECONDS: Final = 620.0


@dataclass(frozen=True, slots=True)
class _States:
    states: dict[str, int]


@dataclass(frozen=True, slots=True)
class _At:
    at: float


def verify(api: Api) -> tuple[list[Verdict], Mapping[str, int]]:
    """Files that are not as they were written, and all files by state; believing the gateway's own key.

    Raises ApiFailed.
    """
    found = api.post("/audit/verify", {}, seconds=_VERIFY_SECONDS)
    states = view(_States, found).states
    return [_verdict(each) for each in members(found, "bad")], states


def search_commands(api: Api, wanted: AuditFilter) -> Iterator[CommandFound]:
    """Commands of sessions that the caller may audit, of the newest one first."""
    query = {**_query(wanted), "target": wanted.target}
    return (view(CommandFound, each, ("time",)) for each in api.pages("/audit/commands", query))


def search_changes(api: Api, wanted: AuditFilter) -> Iterator[Changed]:
    """Changes, newest first."""
    for each in api.pages("/audit/changes", _query(wanted)):
        yield Changed(view(_At, each, ("at",)).at, view(Change, each, proof_id=""))


def _query(wanted: AuditFilter) -> dict[str, str]:
    return {
        "principal": wanted.principal,
        "action": wanted.action,
        "resource": wanted.resource,
        "since": rfc3339(wanted.since),
        "until": rfc3339(wanted.until),
        "text": wanted.text,
    }


def _verdict(found: Mapping[str, Any]) -> Verdict:
    return view(Verdict, found, path=found.get("file"), findings=found.get("details"))
