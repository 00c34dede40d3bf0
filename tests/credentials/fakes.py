"""A PostgreSQL that is a few dictionaries, and an issuer that does what a test tells it."""

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from ostiary.core import Lease, Principal, PrincipalKind, Secret, Target
from ostiary.credentials import SweepReport
from ostiary.credentials import postgres_sql as sql
from ostiary.credentials.postgres_admin import AdminError, AdminSession

TARGET = Target("orders", "postgres", "127.0.0.1", 5432, "shop")
PRINCIPAL = Principal(PrincipalKind.WORKLOAD, "ci", "shop", frozenset(), 1500.0, 2000.0, "jti-1")


@dataclass
class Role:
    """One session role."""

    comment: str
    login: bool = True
    backends: int = 0
    databases: set[str] = field(default_factory=set)


class FakeServer:
    """Implements `Admin`. `fail_at` is the number of the call that fails; sessions count as calls."""

    def __init__(self) -> None:
        self.roles: dict[str, Role] = {}
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.error = AdminError("127.0.0.1:5432 did not answer in time", clean=False)
        self.immortal = False
        #: Processes of admin connections that still run.
        self.makers: set[int] = set()
        self.open = 0

    def step(self, what: str) -> None:
        """One call."""
        self.calls.append(what)
        if self.fail_at == len(self.calls) - 1:
            raise self.error

    @asynccontextmanager
    async def session(self, database: str | None = None) -> AsyncIterator[AdminSession]:
        self.step(f"session {database or TARGET.database}")
        self.open += 1
        try:
            yield _FakeSession(self, database or TARGET.database)
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        self.step("close")


class _FakeSession:
    def __init__(self, server: FakeServer, database: str) -> None:
        self.server = server
        self.database = database
        self.pid = 70 + len(server.calls)
        server.makers.add(self.pid)

    async def run(self, script: str) -> None:
        server = self.server
        server.step(script)
        found = re.search(r'(?:ROLE|OWNED BY|GRANT) "(ostiary_\w+)"', script)
        assert found, script
        name = found[1]
        if script.startswith("CREATE ROLE"):
            comment = re.search(r"COMMENT ON ROLE .* IS '([^']*)'$", script)
            assert comment, script
            server.roles[name] = Role(comment[1])
            return
        role = server.roles.get(name)
        if role is None:
            raise AdminError("no such role", "42704", clean=True)
        match script.split(maxsplit=1)[0]:
            case "ALTER":
                role.login = False
            case "REASSIGN":
                role.databases.discard(self.database)
            case "DROP" if role.databases:
                raise AdminError("objects depend on it", "2BP01", clean=True)
            case "DROP":
                del server.roles[name]
            case word:
                assert word == "GRANT", script

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        server = self.server
        server.step(query)
        if query == sql.LEFTOVERS:
            return [(name, role.comment) for name, role in server.roles.items() if not role.backends]
        if query == sql.TERMINATE_MAKER:
            pid = int(str(arguments[0]))
            found_maker = pid in server.makers
            if not server.immortal:
                server.makers.discard(pid)
            return [(True,)] if found_maker else []
        if query == sql.PAUSE:
            return [("",)]
        if query == sql.TERMINATE:
            for role in server.roles.values():
                assert not role.login, "connections are ended after the door is shut"
                role.backends = role.backends if server.immortal else 0
            return []
        found = server.roles.get(str(arguments[0]))
        if query == sql.LEFT:
            return [(1 if found else 0, found.backends if found else 0)]
        assert query == sql.ROLE
        return [(7, found.comment, found.backends, sorted(found.databases))] if found else []


class FakeIssuer:
    """Implements `Issuer`; keeps what exists on its target."""

    kind = "postgres-role"

    def __init__(self) -> None:
        self.existing: set[str] = set()
        self.issue_error: BaseException | None = None
        self.revoke_error: BaseException | None = None
        self.gate: asyncio.Event | None = None
        self.revoking: asyncio.Event | None = None
        self.started = asyncio.Event()
        self.revocations: list[str] = []
        self.swept: list[Collection[str]] = []
        self.report: SweepReport | BaseException = SweepReport()
        self.closed = False

    def username(self, lease_id: str) -> str:
        return f"ostiary_orders_{lease_id}"

    async def issue(self, lease_id: str, until: float) -> Lease:
        self.existing.add(lease_id)
        self.started.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.issue_error is not None:
            raise self.issue_error
        return Lease(lease_id, self.username(lease_id), Secret("pw"), self.kind, until)

    async def revoke(self, lease_id: str, username: str) -> str:
        assert not self.closed
        self.revocations.append(lease_id)
        self.started.set()
        if self.revoking is not None:
            await self.revoking.wait()
        if self.revoke_error is not None:
            raise self.revoke_error
        self.existing.discard(lease_id)
        return f"role {username} dropped, 0 backends left"

    async def sweep(self, active: Collection[str]) -> SweepReport:
        self.swept.append(active)
        if isinstance(self.report, BaseException):
            raise self.report
        return self.report

    async def aclose(self) -> None:
        self.closed = True
