"""Is the log whole, and what does it say, through the API."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ostiary.cli.remote.convert import members, view
from ostiary.client.api import Api
from ostiary.recording import Verdict

_VERIFY_SECONDS: Final = 620.0


@dataclass(frozen=True, slots=True)
class _States:
    states: dict[str, int]


def verify(api: Api) -> tuple[list[Verdict], Mapping[str, int]]:
    """Files that are not as they were written, and all files by state; believing the gateway's own key.

    Raises ApiFailed.
    """
    found = api.post("/audit/verify", {}, seconds=_VERIFY_SECONDS)
    states = view(_States, found).states
    return [_verdict(each) for each in members(found, "bad")], states


def _verdict(found: Mapping[str, Any]) -> Verdict:
    return view(Verdict, found, path=found.get("file"), findings=found.get("details"))
