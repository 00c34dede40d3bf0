"""What people may do with a gateway, apart from sending traffic through it: one object, made by the composition root.

Deciding takes a token, verified as for a session; the rest reads what the user of this process may read on disk.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ostiary.approvals import Approval, ApprovalDesk, ApprovalGroup, ApprovalRepository
from ostiary.control.local_admin import LocalAdminLink
from ostiary.control.service_accounts import ServiceAccounts
from ostiary.control.simulation import Simulation, SimulationFilter, simulate
from ostiary.core import Action, Operation, Principal, PrincipalKind, Proof, Secret, Target
from ostiary.policy import CedarPolicy, Explanation, Problem, check, explain, single_access
from ostiary.policy.load import load
from ostiary.recording import (
    AuditFilter,
    Changed,
    CommandFound,
    Following,
    Moment,
    SessionDetail,
    SessionFilter,
    SessionSummary,
    Signer,
    TrustedKeys,
    Verdict,
    changes,
    commands,
    find,
    replay,
    sessions,
    show,
    verify_all,
)

if TYPE_CHECKING:
    from ostiary.control.declarations import Declarations


@dataclass(frozen=True, slots=True)
class TargetView:
    """A target as people see it; nothing secret."""

    name: str
    protocol: str
    address: str
    database: str
    tls: str
    credential: str
    labels: Mapping[str, str]

    @classmethod
    def of(cls, target: Target, credential: str) -> "TargetView":
        """`credential`: its kind, as `type:` names it."""
        address = f"{target.host}:{target.port}"
        return cls(
            target.name, target.protocol, address, target.database, target.tls.mode.value, credential, target.labels
        )


def asked_about(identifier: str, groups: Sequence[str], kind: str = "workload") -> Principal:
    """A principal to ask about: `issuer:subject`. It proves nothing and opens nothing. Raises ValueError."""
    issuer, _, subject = identifier.partition(":")
    if not issuer or not subject:
        raise ValueError(
            f'"{identifier}" is no principal: write issuer:subject, as in github:repo:acme/shop:ref:refs/heads/main'
        )
    return Principal(PrincipalKind(kind), issuer, subject, frozenset(groups), 0.0, 0.0, "asked about")


@dataclass(frozen=True, slots=True)
class Explaining:
    """How certain policies rule."""

    policy: CedarPolicy
    judge: Callable[[Target, str], Action]
    clock: Callable[[], float]

    def sql(self, principal: Principal, target: Target, text: str, rows: int | None = None) -> Explanation:
        """On a statement; `rows`: the target's estimate. Raises ValueError when it can't be parsed."""
        action = replace(self.judge(target, text), rows_estimate=rows)
        return explain(self.policy, principal, target, action, self.clock())

    def access(
        self, principal: Principal, target: Target, operation: Operation, name: str, rows: int | None = None
    ) -> Explanation:
        """On one operation on one object."""
        return explain(self.policy, principal, target, single_access(target, operation, name, rows), self.clock())


@dataclass(frozen=True, slots=True)
class Operations:
    """The use-cases. Each may raise the errors of the room it stands on; they read as sentences."""

    identify: Callable[[Proof], Awaitable[Principal]]
    policies: Path
    approval_groups: Mapping[str, ApprovalGroup]
    targets: Mapping[str, Target]
    #: Kind of credential by target name.
    credentials: Mapping[str, str]
    recordings: Path
    recording_key: Path
    #: Opens the state store.
    approvals: Callable[[], AbstractAsyncContextManager[ApprovalRepository]]
    #: SQL text on a target, as the gate would see it without a catalogue of the server.
    judge: Callable[[Target, str], Action]
    service_accounts: ServiceAccounts
    local_admin: LocalAdminLink
    #: Opens what is declared through the API.
    declarations: "Callable[[], AbstractAsyncContextManager[Declarations]]"
    clock: Callable[[], float] = time.time

    # ------------------------------------------------------------ targets

    def list_targets(self) -> tuple[TargetView, ...]:
        """Declared targets by name."""
        return tuple(
            TargetView.of(target, self.credentials.get(name, "")) for name, target in sorted(self.targets.items())
        )

    # ------------------------------------------------------------ sessions and audit

    def list_sessions(self, limit: int, wanted: SessionFilter | None = None) -> tuple[SessionSummary, ...]:
        """Recorded sessions, newest first."""
        return sessions(self.recordings, limit, wanted)

    def show_session(self, prefix: str) -> SessionDetail:
        """One session by the beginning of its id. Raises LookupError."""
        return show(self.recordings, prefix)

    def replay_session(self, prefix: str) -> Iterator[Moment]:
        """What happened, in order. Raises LookupError."""
        return replay(self.recordings, prefix)

    def recording_of(self, prefix: str) -> Path:
        """Its file. Raises LookupError."""
        return find(self.recordings, prefix)

    def follow_session(self, prefix: str) -> Following:
        """A session while it is recorded. Raises LookupError."""
        return Following(self.recording_of(prefix))

    def search_commands(self, wanted: AuditFilter) -> Iterator[CommandFound]:
        """Commands of every session, of the newest one first."""
        after: str | None = ""
        while after is not None:
            found = commands(self.recordings, wanted, lambda _: True, after)
            yield from found.items
            after = found.next

    def search_changes(self, wanted: AuditFilter) -> Iterator[Changed]:
        """Changes made through the API, newest first."""
        after: str | None = ""
        while after is not None:
            found, after = changes(self.recordings, wanted, after)
            yield from found

    def trusted_keys(self, given: Sequence[Path] = ()) -> tuple[TrustedKeys, str]:
        """Whom recordings are believed by, and where that was read.

        The keys given; else the gateway's own; else, for somebody who may not read that one, the one that lies beside
        the recordings, where whoever may change a recording may change it too. Raises KeyProblem, OSError.
        """
        if given:
            return TrustedKeys.load(*given), ", ".join(map(str, given))
        try:
            if self.recording_key.exists():
                return TrustedKeys.of(Signer.load(self.recording_key).public), str(self.recording_key)
        except PermissionError:
            pass
        beside = self.recordings / "recording.pub"
        return TrustedKeys.load(beside), str(beside)

    def verify(self, keys: TrustedKeys, progress: Callable[[int, int], None]) -> Iterator[Verdict]:
        """Every recording and every log of heads; `progress`: sessions done, sessions in all."""
        return verify_all(self.recordings, keys, progress)

    # ------------------------------------------------------------ policy

    def check_policy(self, path: Path | None = None) -> tuple[Problem, ...]:
        """What is wrong with the policies."""
        return check(path or self.policies, frozenset(self.approval_groups))

    def explaining(self) -> "Explaining":
        """The policies, loaded once, to be asked as often as one likes. Raises PolicyError."""
        return Explaining(CedarPolicy(self.policies, self.clock), self.judge, self.clock)

    def explain_sql(self, principal: Principal, target: Target, text: str, rows: int | None = None) -> Explanation:
        """How policy rules on a statement; `rows`: the target's estimate. Raises ValueError when it can't be parsed."""
        return self.explaining().sql(principal, target, text, rows)

    def explain_access(
        self, principal: Principal, target: Target, operation: Operation, name: str, rows: int | None = None
    ) -> Explanation:
        """How policy rules on one operation on one object."""
        return self.explaining().access(principal, target, operation, name, rows)

    def simulate(self, proposed: Path, wanted: SimulationFilter) -> Iterator[Simulation]:
        """What other policies would have made of what was recorded, part by part. Raises PolicyError, OSError."""
        current, other = load(self.policies), load(proposed)
        after: str | None = ""
        while after is not None:
            part = simulate(self.recordings, wanted, current, other, self.targets, self.judge, after)
            yield part
            after = part.next

    def principal(self, identifier: str, groups: Sequence[str], kind: str = "workload") -> Principal:
        """A principal to ask about: `issuer:subject`. It proves nothing and opens nothing."""
        return asked_about(identifier, groups, kind)

    # ------------------------------------------------------------ approvals

    async def approver(self, token: Secret) -> Principal:
        """Who decides: a token, verified in full. Raises Refused."""
        return await self.identify(Proof(token, "", "cli", encrypted=True, loopback=True))

    async def list_approvals(self) -> list[Approval]:
        """Requests that can be decided now, oldest first."""
        async with self._desk() as desk:
            return await desk.list_pending()

    async def show_approval(self, code: str) -> Approval:
        """One request in any state. Raises UnknownRequest."""
        async with self._desk() as desk:
            return await desk.show(code)

    async def decide(self, code: str, token: Secret, *, approve: bool, reason: str = "") -> Approval:
        """Count the decision of whoever the token proves. Raises Refused, ApprovalError."""
        approver = await self.approver(token)
        async with self._desk() as desk:
            return await desk.decide(code, approver, approve, reason)

    @asynccontextmanager
    async def _desk(self) -> AsyncIterator[ApprovalDesk]:
        async with self.approvals() as repository:
            yield ApprovalDesk(repository, self.approval_groups, self.clock)
