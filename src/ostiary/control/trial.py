"""The whole way to a target, tried once: name, connection, TLS, a credential that is lent, a login, its return."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from ostiary.control.access import Access, Caller
from ostiary.control.changes import Changes
from ostiary.control.inventory import NotFound
from ostiary.control.verification import Busy
from ostiary.core import Lease, Principal, Target, printable
from ostiary.credentials.issuer import RevokeFailed
from ostiary.credentials.postgres_login import LoginFailed
from ostiary.gate.ports import Credentials, Refused
from ostiary.policy import ControlAction
from ostiary.runtime import probe
from ostiary.runtime.probe import Unreached

#: Seconds for all of it; what is lent is taken back even so.
SECONDS: Final = 25.0
#: Trials at once.
MAX_TRIALS: Final = 4


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the way."""

    name: str
    ok: bool
    seconds: float
    #: What was found, or why it failed. Never a secret; harmless to a terminal.
    detail: str


@dataclass(frozen=True, slots=True)
class Trial:
    """How far it went."""

    target: str
    ok: bool
    steps: tuple[Step, ...]


@dataclass(slots=True)
class _Steps:
    """Those so far. A failed one ends what comes after it."""

    clock: Callable[[], float]
    done: list[Step] = field(default_factory=list)

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[list[str]]:
        """One of them; what is put into the list is its detail. Raises what failed."""
        began = self.clock()
        detail: list[str] = []
        try:
            yield detail
        except (Unreached, LoginFailed, RevokeFailed) as error:
            self._add(name, began, str(error), ok=False)
            raise
        except Refused as error:
            self._add(name, began, f"{error.refusal.message}; {error.refusal.hint}", ok=False)
            raise
        self._add(name, began, "; ".join(detail), ok=True)

    def _add(self, name: str, began: float, detail: str, *, ok: bool) -> None:
        self.done.append(Step(name, ok, round(self.clock() - began, 6), printable(detail[:500])))


class TargetTrial:
    """The use-case.

    Args:
        access: who may.
        changes: a credential is made, so it is written down.
        targets: declared, by name.
        starttls: what asks for TLS in a protocol, and what agrees to it.
        credentials: lends them.
        log_in: tries a credential; raises LoginFailed.
    """

    def __init__(
        self,
        access: Access,
        changes: Changes,
        targets: Mapping[str, Target],
        starttls: Callable[[str], tuple[bytes, bytes]],
        credentials: Credentials,
        log_in: Callable[[Target, Lease], Awaitable[str]],
    ) -> None:
        self._access = access
        self._changes = changes
        self._targets = targets
        self._starttls = starttls
        self._credentials = credentials
        self._log_in = log_in
        self._running = 0

    async def run(self, caller: Caller, name: str) -> Trial:
        """Try it; takes `administer` on the target. Raises Denied, NotFound, Busy, OSError."""
        permission = self._access.require(caller, ControlAction.ADMINISTER, name)
        target = self._targets.get(name)
        if target is None:
            raise NotFound(f'no target "{name}" is declared')
        if self._running >= MAX_TRIALS:
            raise Busy("as many targets are tested as can be at once: try again in a moment")
        self._running += 1
        try:
            async with self._changes.making(permission, f"targets/{name}/test", {}, {}) as making:
                found = await self._tried(target, caller.principal)
                making.after = {"ok": found.ok, "steps": [step.name for step in found.steps if step.ok]}
                return found
        finally:
            self._running -= 1

    async def _tried(self, target: Target, principal: Principal) -> Trial:
        steps = _Steps(time.monotonic)
        try:
            async with asyncio.timeout(SECONDS):
                await self._way(target, steps)
                await self._credential(target, principal, steps)
        except (Unreached, LoginFailed, RevokeFailed, Refused):
            pass  # a step says so
        except TimeoutError:
            steps.done.append(Step("time", ok=False, seconds=SECONDS, detail=f"it took longer than {SECONDS:g} s"))
        return Trial(target.name, all(step.ok for step in steps.done), tuple(steps.done))

    async def _way(self, target: Target, steps: _Steps) -> None:
        async with steps.step("resolve") as detail:
            detail.append(await probe.resolve(target))
        async with steps.step("connect") as detail:
            reader, writer = await probe.connect(target)
            host, port = writer.get_extra_info("peername")[:2]
            detail.append(f"{host}:{port}")
        try:
            async with steps.step("tls") as detail:
                detail.append(await probe.encrypt(target, reader, writer, self._starttls(target.protocol)))
        finally:
            writer.transport.abort()

    async def _credential(self, target: Target, principal: Principal, steps: _Steps) -> None:
        async with steps.step("credential") as detail:
            lease = await self._credentials.lease(f"test-{secrets.token_hex(8)}", principal, target)
            detail.append(f"{lease.kind}: {lease.username}")
        try:
            async with steps.step("login") as detail:
                detail.append(await self._log_in(target, lease))
        finally:
            # Shielded by the service: it goes on when nobody waits.
            async with steps.step("give back") as detail:
                detail.append(await self._credentials.revoke(target, lease))
