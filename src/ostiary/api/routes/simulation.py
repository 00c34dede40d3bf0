"""What other policies would have made of what was recorded."""

from typing import Final

from fastapi import APIRouter

from ostiary.api import paging
from ostiary.api.caller import CallerDep, Control
from ostiary.api.models.base import seconds_of
from ostiary.api.models.simulation import Proposal, SimulationOut
from ostiary.api.problems import Invalid, Unfit
from ostiary.control.paging import Page
from ostiary.control.simulation import Simulation, SimulationFilter
from ostiary.policy import PolicyError

router = APIRouter(tags=["policies"])
PATH: Final = "/policies/simulate"
#: Seconds that it may take, and bytes of policies with what is around them.
SECONDS: Final = 120.0
MAX_BODY: Final = 1 << 20


@router.post(PATH)
async def simulate(proposal: Proposal, caller: CallerDep, control: Control) -> SimulationOut:
    """Rule again on what was recorded of sessions whose target the caller may `audit`, a part at a time, newest first.

    Takes `administer` on the gateway. Changes nothing. One at a time; 1 MiB of policies at most.
    """
    wanted = SimulationFilter(proposal.target, seconds_of(proposal.since))
    after = paging.begin(proposal.cursor, "simulation", wanted)
    try:
        found = await control.simulator.simulate(caller, proposal.policies, wanted, after)
    except PolicyError as error:
        errors = [Invalid(place=f"{each.file}:{each.line}", message=each.message) for each in error.problems[:20]]
        raise Unfit(422, "policies", "the policies can't be used", "mend what is named", errors=errors) from None
    part: Page[Simulation] = Page((found,), found.next)
    shown = SimulationOut.of(found)
    shown.next = paging.page(part, [shown], "simulation", wanted).next
    return shown
