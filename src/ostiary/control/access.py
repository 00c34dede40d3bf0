"""Who may use a running gateway's use-cases: a token says who, the Cedar policies say what.

Every use-case takes a `Caller` and begins with `Access.require`; what is not permitted by a rule is denied.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ostiary.core import Principal, Proof, Refusal, RefusalKind, Ruling, Target, Verdict
from ostiary.gate import refusals
from ostiary.policy import CedarPolicy, ControlAction

#: Seconds until a token that can't be verified is refused.
IDENTIFY_SECONDS: Final = 15.0


class Denied(Exception):  # noqa: N818 - reads as what happened
    """Policy does not permit it. `refusal` names the rules and is safe to show."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, verified."""

    principal: Principal
    #: Address of the client, "ip:port".
    source: str


@dataclass(frozen=True, slots=True)
class Permission:
    """That policy permitted something, and by which rules."""

    caller: Caller
    action: ControlAction
    rules: tuple[str, ...]


class Access:
    """Identifies callers and asks policy about them.

    Args:
        identify: as for sessions.
        policy: in force.
        targets: declared, by name.
    """

    def __init__(
        self,
        identify: Callable[[Proof], Awaitable[Principal]],
        policy: CedarPolicy,
        targets: Mapping[str, Target],
    ) -> None:
        self._identify = identify
        self._policy = policy
        self._targets = targets

    async def caller(self, proof: Proof) -> Caller:
        """Verify a token. Raises Refused, TimeoutError."""
        async with asyncio.timeout(IDENTIFY_SECONDS):
            return Caller(await self._identify(proof), proof.source)

    def permits(self, caller: Caller, action: ControlAction, target: str = "") -> bool:
        """As `require`, for those who only leave out what is not permitted."""
        return self._ruling(caller, action, target).verdict is Verdict.ALLOW

    def require(self, caller: Caller, action: ControlAction, target: str = "") -> Permission:
        """Permit this on what belongs to the target, or on the gateway itself (""). Raises Denied.

        What belongs to a target that is no longer declared belongs to the gateway.
        """
        ruling = self._ruling(caller, action, target)
        if ruling.verdict is not Verdict.ALLOW:
            # There is nobody to ask: what is held for approval is denied.
            raise Denied(refusals.denied(ruling, f"{action} on {target or 'the gateway'}"))
        return Permission(caller, action, ruling.rules)

    def _ruling(self, caller: Caller, action: ControlAction, target: str) -> Ruling:
        try:
            return self._policy.authorize_control(caller.principal, action, self._targets.get(target), caller.source)
        except Exception as error:
            refusal = refusals.as_refusal(error, f"{action} on {target or 'the gateway'}")
            raise Denied(Refusal(RefusalKind.POLICY, refusal.message, refusal.hint)) from error
