"""Open sessions that may not go on: asked every second or two, told in the client's protocol."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

from ostiary.accounts.identity import Liveness, Open
from ostiary.app.current import Targets
from ostiary.core import Principal, Refusal, RefusalKind, Target
from ostiary.gate.gate import GateSession
from ostiary.gate.ports import Refused
from ostiary.policy import CedarPolicy
from ostiary.runtime.listener import Listener
from ostiary.runtime.session import SessionDriver

ACCOUNT_POLL_SECONDS: Final = 2.0
POLICY_POLL_SECONDS: Final = 1.0
#: Sessions that are judged before others get their turn.
_AT_ONCE: Final = 50


class AccountStanding:
    """Whose account and token are good. Implements `gate.ports.Standing`.

    Args:
        liveness: one without patience: what can't be told is refused.
    """

    def __init__(self, liveness: Liveness) -> None:
        self._liveness = liveness

    async def check(self, principal: Principal, target: Target, source: str) -> None:
        """See `gate.ports.Standing`."""
        (why,) = await self._liveness.ended([Open(principal, target.name, source)])
        if why:
            raise Refused(_ended(why))


async def end_closed(liveness: Liveness, listeners: Sequence[Listener]) -> None:
    """End sessions for which their service account, its key or its token is good no more. Until cancelled."""
    while True:
        await asyncio.sleep(ACCOUNT_POLL_SECONDS)
        live = list(_live(listeners))
        opened = [Open(session.principal, session.target.name, driver.source) for driver, session in live]
        for (driver, _), why in zip(live, await liveness.ended(opened), strict=True):
            if why:
                driver.stop(_ended(why))


async def end_unwelcome(policy: CedarPolicy, targets: Targets, listeners: Sequence[Listener]) -> None:
    """End sessions whose principal may not connect any more, after every change of policy. Until cancelled."""
    judged = (policy.version, targets.version)
    while True:
        await asyncio.sleep(POLICY_POLL_SECONDS)
        now = (policy.version, targets.version)
        if now == judged:
            continue
        judged = now
        for index, (driver, session) in enumerate(list(_live(listeners))):
            if index % _AT_ONCE == 0:
                await asyncio.sleep(0)
            refusal = session.readmit()
            if refusal is not None:
                driver.stop(refusal)


def _live(listeners: Sequence[Listener]) -> Iterator[tuple[SessionDriver, GateSession]]:
    return ((driver, session) for each in listeners for driver in each.sessions if (session := driver.session))


def _ended(why: str) -> Refusal:
    return Refusal(RefusalKind.EXPIRED, f"this session ends: {why}", "ask who runs the gateway")
