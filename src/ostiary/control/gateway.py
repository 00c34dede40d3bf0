"""The use-cases of a running gateway: what the API shows, and the UI later."""

from dataclasses import dataclass

from ostiary.control.access import Access
from ostiary.control.accounts import AccountControl
from ostiary.control.decisions import Decisions
from ostiary.control.declarations import Declarations
from ostiary.control.history import ChangeHistory
from ostiary.control.inventory import Inventory
from ostiary.control.leases import LeaseControl
from ostiary.control.revealing import Revealing
from ostiary.control.sessions import SessionControl
from ostiary.control.simulation import Simulator
from ostiary.control.streams import SessionStreams
from ostiary.control.trial import TargetTrial
from ostiary.control.verification import Verifier


@dataclass(frozen=True, slots=True)
class GatewayControl:
    """All of them. Each takes a `Caller`, whom `access` identifies, and asks `access` before anything else."""

    access: Access
    inventory: Inventory
    sessions: SessionControl
    streams: SessionStreams
    decisions: Decisions
    verifier: Verifier
    history: ChangeHistory
    simulator: Simulator
    trial: TargetTrial
    leases: LeaseControl
    declarations: Declarations
    accounts: AccountControl
    revealing: Revealing
