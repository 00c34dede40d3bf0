"""What is declared and in force, through the API."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ostiary.cli.remote.convert import members, view
from ostiary.client.api import Api, part
from ostiary.control import TargetView

if TYPE_CHECKING:
    from ostiary.control.trial import Trial


def list_targets(api: Api) -> tuple[TargetView, ...]:
    """By name. Raises ApiFailed, as everything here does."""
    return tuple(view(TargetView, each) for each in api.pages("/targets"))


def show_target(api: Api, name: str) -> TargetView:
    """One of them."""
    return view(TargetView, api.get(f"/targets/{part(name)}"))


def test_target(api: Api, name: str) -> "Trial":
    """How far the way to it goes."""
    # Imported here: it stands on a database's driver, which nothing else here needs.
    from ostiary.control.trial import Trial

    return view(Trial, api.post(f"/targets/{part(name)}/test", {}))


def explain(api: Api, question: Mapping[str, object]) -> dict[str, Any]:
    """How the rules in force decide, as `policy explain` prints it. `question`: what is None is left out."""
    found = api.post("/policies/explain", {name: value for name, value in question.items() if value is not None})
    fired = ("permits", "forbids", "estimates")
    return {
        **{name: found.get(name) for name in ("verdict", "rules", "reason", "approval_groups")},
        "findings": [
            {
                **{name: each.get(name) for name in ("action", "resource", "verdict")},
                **{name: [_rule(rule) for rule in members(each, name)] for name in fired},
                "sentence": each.get("sentence", ""),
            }
            for each in members(found, "findings")
        ],
    }


def _rule(found: Mapping[str, Any]) -> dict[str, Any]:
    said = found.get("annotations") or {}
    return {
        **{name: found.get(name) for name in ("name", "effect", "file", "line")},
        "approval": said.get("approval"),
        "reason": said.get("reason", ""),
    }
