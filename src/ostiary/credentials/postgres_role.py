"""`postgres-role`: a role per session, made for it and gone with it.

Theory of operation:

1. `issue` is one message and one transaction: the role with its limits and its mark, or nothing.
2. `revoke` first shuts the door (NOLOGIN), then ends connections, hands over what the role owns, drops it, and last
   asks the server what is left. Each step may be repeated, so a revocation that failed half-way is simply tried again.
3. A role whose creation was never answered counts as made until the server process that was asked is gone.
4. Only a role that carries the mark of this lease is ever touched.
"""

import secrets
from collections.abc import Callable, Collection

from ostiary.core import Lease, Secret, Target
from ostiary.credentials import postgres_sql as sql
from ostiary.credentials.config import PostgresRoleCredential, checked_node
from ostiary.credentials.issuer import IssueFailed, RevokeFailed, SweepReport
from ostiary.credentials.postgres_admin import Admin, AdminError, AdminSession

#: A role must be over for this long before a sweep takes it: its own session may be ending just now.
SWEEP_GRACE_SECONDS = 300.0
#: Seconds between looks while connections end.
_PAUSES = (0.002, 0.01, 0.05, 0.2, 1.0, 4.0)
#: "tuple concurrently updated" has no code of its own: another node revokes the same role in this moment.
_INTERNAL_ERROR = "XX000"
_UNDEFINED_OBJECT = "42704"


class PostgresRoleIssuer:
    """Roles on one PostgreSQL server.

    Args:
        admin: connections of an account that may create roles (docs/credentials.md lists its grants).
        node: name of this gateway in the roles' comments.
        clock: unix seconds.
    """

    kind = "postgres-role"

    def __init__(
        self,
        target: Target,
        credential: PostgresRoleCredential,
        admin: Admin,
        node: str,
        clock: Callable[[], float],
        sweep_grace: float = SWEEP_GRACE_SECONDS,
    ) -> None:
        self._target = target
        self._credential = credential
        self._admin = admin
        self._node = checked_node(node)
        self._clock = clock
        self._sweep_grace = sweep_grace
        #: Lease → process that was asked to make its role and has not answered.
        self._making: dict[str, int] = {}

    def username(self, lease_id: str) -> str:
        """The role's name. Raises ValueError for a malformed id."""
        return sql.role_name(self._target.name, lease_id)

    async def issue(self, lease_id: str, until: float) -> Lease:
        """Create the role. Raises IssueFailed."""
        now = self._clock()
        until = min(until, now + self._credential.max_ttl)
        if until <= now:
            raise IssueFailed("the token's allowed lifetime is over", "connect again with a new token", clean=True)
        name = self.username(lease_id)
        password = Secret(secrets.token_urlsafe(32))
        verifier = sql.verifier(password, secrets.token_bytes(16))
        script = sql.create(name, sql.mark(lease_id, self._node), verifier, until, self._credential)
        try:
            async with self._admin.session() as admin:
                self._making[lease_id] = admin.pid
                await admin.run(script)
        except AdminError as error:
            if error.clean:
                self._making.pop(lease_id, None)
            code = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
            raise IssueFailed(
                f'a role for this session could not be created on target "{self._target.name}"{code}',
                "the gateway's log has the server's answer",
                clean=error.clean,
            ) from error
        del self._making[lease_id]
        return Lease(lease_id, name, password, self.kind, until)

    async def revoke(self, lease_id: str, username: str) -> str:
        """See `Issuer.revoke`."""
        for last in (False, False, True):
            try:
                async with self._admin.session() as admin:
                    return await self._revoke(admin, lease_id, username)
            except AdminError as error:
                if last or error.sqlstate != _INTERNAL_ERROR:
                    raise RevokeFailed(f"role {username} may still exist: {error}") from error
        raise AssertionError("the last round returns or raises")

    async def sweep(self, active: Collection[str]) -> SweepReport:
        """Drop roles of ours that are over, whoever made them. Raises RevokeFailed when the server can't be asked."""
        dropped: list[str] = []
        failed: list[str] = []
        try:
            async with self._admin.session() as admin:
                found = await admin.rows(sql.LEFTOVERS, self._sweep_grace)
        except AdminError as error:
            raise RevokeFailed(f"leftover roles could not be listed: {error}") from error
        for name, comment in found:
            lease_id = sql.marked(comment)
            if lease_id is None or lease_id in active or not name.endswith(f"_{lease_id}"):
                continue
            try:
                await self.revoke(lease_id, name)
            except RevokeFailed as error:
                failed.append(str(error))
            else:
                dropped.append(name)
        return SweepReport(tuple(dropped), tuple(failed))

    async def aclose(self) -> None:
        """Close the admin connections."""
        await self._admin.aclose()

    async def _revoke(self, admin: AdminSession, lease_id: str, name: str) -> str:
        await self._settle(admin, lease_id, name)
        found = await admin.rows(sql.ROLE, name)
        if not found:
            return f"role {name} is gone already"
        if sql.marked(found[0][1]) != lease_id:
            raise RevokeFailed(f"role {name} does not carry the mark of lease {lease_id}; it is left alone")
        oid = found[0][0]
        try:
            await admin.run(sql.lock_out(name))
            await self._empty(admin, name, oid)
            await admin.run(sql.drop(name))
        except AdminError as error:
            # Another node may finish the same work; what counts is what the server says next.
            if error.sqlstate != _UNDEFINED_OBJECT:
                raise
        ((roles, backends),) = await admin.rows(sql.LEFT, name, oid)
        if roles or backends:
            raise RevokeFailed(f"role {name}: {'still there' if roles else 'dropped'}, {backends} backends left")
        return f"role {name} dropped, 0 backends left"

    async def _settle(self, admin: AdminSession, lease_id: str, name: str) -> None:
        """An unanswered CREATE may still be running: once its process is gone, it has happened or never will."""
        pid = self._making.get(lease_id)
        if pid is None:
            return
        for pause in _PAUSES:
            if not await admin.rows(sql.TERMINATE_MAKER, pid):
                del self._making[lease_id]
                return
            await admin.rows(sql.PAUSE, pause)
        raise RevokeFailed(f"role {name} may still come to exist: the process that makes it did not end")

    async def _empty(self, admin: AdminSession, name: str, oid: int) -> None:
        """End the role's connections; hand over what it owns. Most sessions leave neither."""
        joined = False
        for pause in _PAUSES:
            found = await admin.rows(sql.ROLE, name)
            if not found:
                return
            backends, databases = found[0][2:]
            if not joined and (backends or databases):
                await admin.run(sql.join(name))
                joined = True
            if not backends:
                break
            await admin.rows(sql.TERMINATE, oid)
            await admin.rows(sql.PAUSE, pause)
        else:
            raise RevokeFailed(f"role {name} can no longer log in, but its backends did not end")
        script = sql.hand_over(name, self._credential)
        for database in databases:
            if database == self._target.database:
                await admin.run(script)
            else:
                async with self._admin.session(database) as elsewhere:
                    await elsewhere.run(script)
