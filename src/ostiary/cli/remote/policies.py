"""Policies asked about, through the API."""

from collections.abc import Iterator, Mapping

from ostiary.cli.remote.convert import rfc3339, view
from ostiary.client.api import Api
from ostiary.control.simulation import Simulation, SimulationFilter

_SECONDS = 130.0


def simulate(api: Api, policies: Mapping[str, str], wanted: SimulationFilter) -> Iterator[Simulation]:
    """What others would have made of what was recorded, part by part. Raises ApiFailed."""
    asked = {"policies": dict(policies), "target": wanted.target, "since": rfc3339(wanted.since) or None}
    cursor: object = ""
    while cursor is not None:
        found = api.post("/policies/simulate", {**asked, "cursor": cursor}, seconds=_SECONDS)
        yield view(Simulation, found)
        cursor = found.get("next")
