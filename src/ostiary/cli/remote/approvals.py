"""Held commands, through the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ostiary.approvals import Approval, ApprovalRequest, ApprovalState, Vote
from ostiary.cli.remote.convert import members, view
from ostiary.client.api import Api, part


@dataclass(frozen=True, slots=True)
class _Standing:
    state: ApprovalState
    revision: int
    decided_at: float | None
    note: str


def list_approvals(api: Api) -> list[Approval]:
    """Requests that can be decided now, oldest first. Raises ApiFailed, as everything here does."""
    return [approval(each) for each in api.pages("/approvals")]


def show_approval(api: Api, code: str) -> Approval:
    """One request in any state."""
    return approval(api.get(f"/approvals/{part(code)}"))


def decide(api: Api, code: str, *, approve: bool, reason: str, seen: Approval | None = None) -> Approval:
    """Count the caller's decision, only on the request as it was `seen` where that is given."""
    way = "approve" if approve else "deny"
    tag = "" if seen is None else f'"{seen.request.code}-{seen.revision}-{seen.state.value}"'
    return approval(api.post(f"/approvals/{part(code)}/{way}", {"reason": reason}, if_match=tag))


def approval(found: Mapping[str, Any]) -> Approval:
    """As the store has it, without the owner and the pulse of the process that holds the connection."""
    request = view(
        ApprovalRequest,
        found,
        ("created_at", "expires_at"),
        principal_groups=found.get("groups"),
        created_at=found.get("created"),
        expires_at=found.get("expires"),
        owner="",
    )
    votes = tuple(view(Vote, each, ("at",)) for each in members(found, "votes"))
    now = view(_Standing, found, ("decided_at",), decided_at=found.get("decided"))
    return Approval(request, 0.0, now.state, votes, now.revision, now.decided_at, now.note)
