"""Ports of the gate with a watch beside them: what a session or a person is waited for anyway is timed here.

Each passes on what the port behind it answers or raises, and changes none of it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ostiary.core import Lease, Principal, Proof, Target
from ostiary.gate.ports import Approvals, Credentials, Decision, HoldRequest, Identity, PendingApproval, Refused
from ostiary.telemetry.families import APPROVAL_WAIT, IDENTIFY, LEASE
from ostiary.telemetry.meter import Meter

_now: Final = time.perf_counter


@dataclass(frozen=True, slots=True)
class MeasuredIdentity:
    """Implements `Identity`. `named`: the configured issuer that a proof which is refused says it is of, or ""."""

    behind: Identity
    meter: Meter
    named: Callable[[Proof], str]

    async def identify(self, proof: Proof) -> Principal:
        """As the port says."""
        began = _now()
        try:
            principal = await self.behind.identify(proof)
        except BaseException as error:
            self.meter.observe(IDENTIFY, _now() - began, self.named(proof), _failure(error))
            raise
        self.meter.observe(IDENTIFY, _now() - began, principal.issuer, "ok")
        return principal


@dataclass(frozen=True, slots=True)
class MeasuredCredentials:
    """Implements `Credentials`."""

    behind: Credentials
    meter: Meter

    async def lease(self, session_id: str, principal: Principal, target: Target) -> Lease:
        """As the port says."""
        began, result = _now(), "failed"
        try:
            lease = await self.behind.lease(session_id, principal, target)
            result = "ok"
        finally:
            self.meter.observe(LEASE, _now() - began, target.name, "create", result)
        return lease

    async def revoke(self, target: Target, lease: Lease) -> str:
        """As the port says."""
        began, result = _now(), "failed"
        try:
            confirmation = await self.behind.revoke(target, lease)
            result = "ok"
        finally:
            self.meter.observe(LEASE, _now() - began, target.name, "revoke", result)
        return confirmation


@dataclass(frozen=True, slots=True)
class MeasuredApprovals:
    """Implements `Approvals`."""

    behind: Approvals
    meter: Meter

    async def request(self, request: HoldRequest) -> PendingApproval:
        """As the port says."""
        return _Pending(await self.behind.request(request), self.meter, request.target.name, _now())


@dataclass(frozen=True, slots=True)
class _Pending:
    behind: PendingApproval
    meter: Meter
    target: str
    began: float

    @property
    def approval_id(self) -> str:
        return self.behind.approval_id

    @property
    def notice(self) -> str:
        return self.behind.notice

    async def decided(self) -> Decision:
        result = "failed"
        try:
            decision = await self.behind.decided()
            result = "approved" if decision.approved else "denied" if decision.by else "expired"
        except asyncio.CancelledError:
            result = "withdrawn"
            raise
        finally:
            self.meter.observe(APPROVAL_WAIT, _now() - self.began, self.target, result)
        return decision

    async def withdraw(self, reason: str) -> None:
        await self.behind.withdraw(reason)


def _failure(error: BaseException) -> str:
    match error:
        case Refused():
            return error.refusal.kind.value
        case TimeoutError() | asyncio.CancelledError():
            # Whoever waits for it bounds it by a timeout, which cancels.
            return "timeout"
        case _:
            return "internal"
