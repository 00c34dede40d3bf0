"""Any order of asking, deciding, withdrawing, waiting and time passing, against a model of what must come of it."""

import asyncio
import tempfile
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from ostiary.approvals import ApprovalDesk, ApprovalError, ApprovalService
from ostiary.approvals.model import STALE_SECONDS
from ostiary.core import Principal
from ostiary.gate.ports import Decision, PendingApproval, Refused
from ostiary.store import Store
from tests.approvals.fakes import DANA, DREW, EVE, GROUPS, JOB, SAM, Clock, held

ALLOWED = {"dba": {"corp:dana", "corp:drew"}, "security": {"corp:sam"}, "pair": {"corp:dana", "corp:drew"}}
NEEDED = {"dba": 1, "security": 1, "pair": 2}


@dataclass
class Asked:
    """The model of one request."""

    pending: PendingApproval
    groups: tuple[str, ...]
    expires_at: float
    over: str = ""
    approved_at: float = 0.0
    yes: set[str] = field(default_factory=set)

    def complete(self) -> bool:
        """Has every group its number of people?"""
        return all(len(self.yes & ALLOWED[group]) >= NEEDED[group] for group in self.groups)


class Approvals(RuleBasedStateMachine):
    """Real service, desk and SQLite; the poller is stepped by hand."""

    asked: Bundle[Asked] = Bundle("asked")

    @initialize()
    def begin(self) -> None:
        """Start from an empty store."""
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.sessions = 0
        self.store = self.runner.run(Store.open(f"sqlite://{self.directory.name}/state.db"))
        self.service = ApprovalService(self.store.approvals, GROUPS, self.clock, "", "node")
        self.desk = ApprovalDesk(self.store.approvals, GROUPS, self.clock)
        self.runner.run(self.service.start())
        # A poller stopped between two steps would write the time of an earlier one; here every look is a rule's.
        assert self.service._poller is not None
        self.service._poller.cancel()

    @rule(target=asked, groups=st.lists(st.sampled_from(sorted(GROUPS)), min_size=1, max_size=2).map(tuple))
    def ask(self, groups: tuple[str, ...]) -> Asked:
        """A session holds a command."""
        self.sessions += 1
        pending = self.runner.run(self.service.request(held(f"s-{self.sessions}", groups)))
        return Asked(pending, groups, self.clock.now + min(GROUPS[group].timeout for group in groups))

    @rule(seconds=st.sampled_from([1.0, 20.0, 299.0, 300.0, 600.0]))
    def wait(self, seconds: float) -> None:
        """Time passes for a living process."""
        self.clock.now += seconds
        self.runner.run(self.service._check())

    @rule(asked=asked, approver=st.sampled_from([DANA, DREW, SAM, EVE, JOB]), approve=st.booleans())
    def decide(self, asked: Asked, approver: Principal, approve: bool) -> None:
        """Somebody decides; it counts exactly when the model says so."""
        member = any(approver.id in ALLOWED[group] for group in asked.groups)
        fresh = not approve or approver.id not in asked.yes
        counts = not asked.over and self.clock.now < asked.expires_at and member and fresh
        decision = self.desk.decide(asked.pending.approval_id, approver, approve)
        if not counts:
            with pytest.raises(ApprovalError):
                self.runner.run(decision)
            return
        self.runner.run(decision)
        if not approve:
            asked.over = "denied"
            return
        asked.yes.add(approver.id)
        if asked.complete():
            asked.over, asked.approved_at = "approved", self.clock.now

    @rule(asked=asked)
    def withdraw(self, asked: Asked) -> None:
        """The client goes away."""
        self.runner.run(asked.pending.withdraw("gone"))
        # The poller may not have come by yet: a request past its time that nobody marked is still withdrawn.
        asked.over = "withdrawn" if asked.over in {"", "approved"} else asked.over

    @rule(asked=asked)
    def take(self, asked: Asked) -> None:
        """The session asks for the outcome: approved exactly once, and only when the model says so."""
        if not asked.over and self.clock.now < asked.expires_at:
            return
        good = asked.over == "approved" and self.clock.now < asked.approved_at + STALE_SECONDS
        outcome = self.runner.run(self.taken(asked.pending))
        assert (isinstance(outcome, Decision) and outcome.approved) is good
        if good:
            assert isinstance(outcome, Decision)
            assert set(outcome.by) == asked.yes
            asked.over = "used"

    async def taken(self, pending: PendingApproval) -> Decision | Refused:
        """The decision or the refusal, once the poller has looked."""
        await self.service._check()
        pending.settled.set()  # type: ignore[attr-defined]
        try:
            return await pending.decided()
        except Refused as refused:
            return refused

    def teardown(self) -> None:
        """Close everything."""
        if hasattr(self, "runner"):
            self.runner.run(self.service.stop())
            self.runner.run(self.store.close())
            self.runner.close()
            self.directory.cleanup()


TestApprovals = Approvals.TestCase
TestApprovals.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
