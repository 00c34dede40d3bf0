"""The gate's `Credentials`: picks the issuer, remembers what is lent, and sees that it comes back.

A lease goes intent → active → revoking → gone. The entry is made before the issuer is asked and forgotten only when the
target has confirmed, so at every moment the table names all that may exist on a target. Here the table is this
process's memory; a sweep removes what a dead process left.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog

from ostiary.core import Lease, Principal, Refusal, RefusalKind, Target
from ostiary.credentials.issuer import IssueFailed, Issuer, RevokeFailed
from ostiary.gate.ports import Refused

#: Less than the gate waits, so that the refusal says what was slow.
ISSUE_SECONDS = 12.0
#: Revocations may pile up while a target is down; beyond this many nothing new is lent.
MAX_ENTRIES = 20_000
#: Failed revocations one sweep tries again.
RETRY_BATCH = 100
CLOSE_SECONDS = 30.0

log = structlog.get_logger()


class LeaseState(StrEnum):
    """Where a lease is in its life."""

    INTENT = "intent"
    ACTIVE = "active"
    REVOKING = "revoking"


@dataclass(frozen=True, slots=True)
class LeaseEntry:
    """All that is needed to finish a lease, and nothing secret."""

    lease_id: str
    session_id: str
    target: str
    kind: str
    username: str
    state: LeaseState
    expires_at: float | None


class LeaseService:
    """Implements `ostiary.gate.ports.Credentials`.

    Args:
        issuers: by target name.
    """

    def __init__(self, issuers: Mapping[str, Issuer]) -> None:
        self._issuers = dict(issuers)
        #: Who issued what is out: a target that is declared anew has another issuer.
        self._issued_by: dict[str, Issuer] = {}
        #: Issuers of targets that are declared no more, until everything of theirs has come back.
        self._retired: list[Issuer] = []
        self._entries: dict[str, LeaseEntry] = {}
        self._revocations: dict[str, asyncio.Task[str]] = {}
        self._issuing: set[asyncio.Future[None]] = set()
        self._closing = False

    @property
    def leases(self) -> tuple[LeaseEntry, ...]:
        """What may exist on targets now, oldest first."""
        return tuple(self._entries.values())

    @property
    def issuers(self) -> Mapping[str, Issuer]:
        """By target name."""
        return self._issuers

    def adopt(self, issuers: Mapping[str, Issuer]) -> None:
        """Lend from these; what others lent is taken back by them."""
        kept = set(map(id, issuers.values()))
        self._retired += [each for each in self._issuers.values() if id(each) not in kept]
        self._issuers = dict(issuers)

    async def lease(self, session_id: str, principal: Principal, target: Target) -> Lease:
        """Lend a credential for a session, until the session must end at most. Raises Refused(CREDENTIAL)."""
        issuer = self._issuers.get(target.name)
        if issuer is None:
            raise _refused(f'target "{target.name}" has no credential', "the configuration must give it one")
        if self._closing:
            raise _refused("the gateway is stopping", "connect again in a moment")
        if len(self._entries) >= MAX_ENTRIES:
            raise _refused("too many credentials wait to be taken back", "the gateway's log names the target")
        lease_id = secrets.token_hex(8)
        entry = LeaseEntry(
            lease_id,
            session_id,
            target.name,
            issuer.kind,
            issuer.username(lease_id),
            LeaseState.INTENT,
            principal.session_until,
        )
        self._entries[lease_id] = entry
        self._issued_by[lease_id] = issuer
        issuing = asyncio.get_running_loop().create_future()
        self._issuing.add(issuing)
        try:
            async with asyncio.timeout(ISSUE_SECONDS):
                lease = await issuer.issue(lease_id, principal.session_until)
            if self._closing:
                raise IssueFailed("the gateway is stopping", "connect again in a moment", clean=False)
        except BaseException as error:
            if isinstance(error, IssueFailed) and error.clean:
                self._forget(lease_id)
            else:
                # Nobody knows whether it exists; asking the target to take it back settles that.
                self._revocation(entry, issuer)
            log.warning("no credential", target=target.name, lease=lease_id, error=_told(error))
            match error:
                case IssueFailed():
                    raise _refused(str(error), error.hint) from error
                case TimeoutError():
                    raise _refused(f'target "{target.name}" gave no credential in time', "try again") from error
                case _:
                    raise
        finally:
            self._issuing.discard(issuing)
            issuing.set_result(None)
        self._entries[lease_id] = replace(entry, state=LeaseState.ACTIVE, expires_at=lease.expires_at)
        return lease

    async def revoke(self, target: Target, lease: Lease) -> str:
        """Take a credential back and return the target's confirmation. Idempotent; goes on when the caller gives up.

        Raises RevokeFailed when it could not be confirmed; a later sweep tries again.
        """
        issuer = self._issued_by.get(lease.lease_id) or self._issuers.get(target.name)
        if issuer is None:
            raise RevokeFailed(f'target "{target.name}" has no credential configured, {lease.username} stays')
        entry = self._entries.get(lease.lease_id) or LeaseEntry(
            lease.lease_id, "", target.name, lease.kind, lease.username, LeaseState.REVOKING, lease.expires_at
        )
        return await asyncio.shield(self._revocation(entry, issuer))

    async def take_back(self, lease_id: str) -> None:
        """Revoke one that is out, whoever has it; one that is not out is gone already. Raises RevokeFailed."""
        entry = self._entries.get(lease_id)
        if entry is not None:
            await asyncio.shield(self._revocation(entry, self._issued_by[lease_id]))

    async def sweep(self) -> None:
        """Try failed revocations again, and remove what dead processes left. Never raises; the log tells."""
        failed = [entry for entry in self.leases if entry.state is LeaseState.REVOKING][:RETRY_BATCH]
        if failed:
            await asyncio.wait([self._revocation(entry, self._issued_by[entry.lease_id]) for entry in failed])
        await self._release_retired()
        for name, issuer in list(self._issuers.items()):
            try:
                report = await issuer.sweep(frozenset(self._entries))
            except Exception as error:  # noqa: BLE001 - one target must not keep the others from being swept
                log.warning("sweep failed", target=name, error=_told(error))
                continue
            for username in report.dropped:
                log.info("leftover dropped", target=name, username=username)
            for sentence in report.failed:
                log.warning("leftover stays", target=name, error=sentence)

    async def run(self, every: float = 60.0, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Sweep now and then every so many seconds, until cancelled."""
        while True:
            await self.sweep()
            await pause(every)

    async def aclose(self) -> None:
        """Lend nothing more, take everything back, close connections. Never raises; what stays is logged."""
        self._closing = True
        if self._issuing:
            await asyncio.wait(self._issuing, timeout=ISSUE_SECONDS)
        tasks = [self._revocation(entry, self._issued_by[entry.lease_id]) for entry in self.leases]
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for entry in self.leases:
            log.error("credential not taken back", target=entry.target, username=entry.username, lease=entry.lease_id)
        for issuer in (*self._issuers.values(), *self._retired):
            await issuer.aclose()

    async def _release_retired(self) -> None:
        """Close the connections of those that have everything back."""
        busy = set(map(id, self._issued_by.values()))
        done = [each for each in self._retired if id(each) not in busy]
        self._retired = [each for each in self._retired if id(each) in busy]
        for issuer in done:
            await issuer.aclose()

    def _forget(self, lease_id: str) -> LeaseEntry | None:
        self._issued_by.pop(lease_id, None)
        return self._entries.pop(lease_id, None)

    def _revocation(self, entry: LeaseEntry, issuer: Issuer) -> asyncio.Task[str]:
        """The one running revocation of a lease: it outlives whoever asked for it."""
        running = self._revocations.get(entry.lease_id)
        if running is not None:
            return running
        self._entries[entry.lease_id] = replace(entry, state=LeaseState.REVOKING)
        self._issued_by[entry.lease_id] = issuer
        task = asyncio.create_task(issuer.revoke(entry.lease_id, entry.username), name=f"revoke {entry.lease_id}")
        self._revocations[entry.lease_id] = task
        task.add_done_callback(lambda done: self._revoked(entry, issuer, done))
        return task

    def _revoked(self, entry: LeaseEntry, issuer: Issuer, task: asyncio.Task[str]) -> None:
        del self._revocations[entry.lease_id]
        if task.cancelled():
            return
        error = task.exception()
        kept = self._forget(entry.lease_id)
        if error is not None and kept is not None:
            # To the end of the table: the next sweep begins with those that waited longest.
            self._entries[entry.lease_id] = kept
            self._issued_by[entry.lease_id] = issuer
            log.warning("not taken back", target=entry.target, lease=entry.lease_id, error=_told(error))


def _refused(message: str, hint: str) -> Refused:
    return Refused(Refusal(RefusalKind.CREDENTIAL, message, hint))


def _told(error: BaseException) -> str:
    """For the log: what failed, and what the target or the machine said about it."""
    cause = f": {error.__cause__}" if error.__cause__ is not None else ""
    return f"{type(error).__name__}: {error}{cause}"
