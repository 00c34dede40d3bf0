"""Live sessions of all processes in the state store."""

from collections.abc import Collection
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from ostiary.runtime.presence import EndRequest, Presence
from ostiary.store.approvals import Transactions
from ostiary.store.tables import live_sessions, session_ends, session_owners

T = TypeVar("T")

#: Values of one statement.
_AT_ONCE: Final = 500


class SqlPresences:
    """A `PresenceRepository`; every method raises StoreError when the store fails."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    async def tell(self, owner: str, node: str, begun: Collection[Presence], over: Collection[str], now: float) -> None:
        """See PresenceRepository."""
        rows = [msgspec.to_builtins(each) for each in begun]
        async with self._store.write() as connection:
            beat = update(session_owners).where(session_owners.c.owner == owner).values(heartbeat_at=now)
            if not (await connection.execute(beat)).rowcount:
                await connection.execute(insert(session_owners).values(owner=owner, node=node, heartbeat_at=now))
            gone = [*over, *(each.session_id for each in begun)]
            for at in range(0, len(gone), _AT_ONCE):
                some = gone[at : at + _AT_ONCE]
                await connection.execute(delete(live_sessions).where(live_sessions.c.session_id.in_(some)))
                await connection.execute(delete(session_ends).where(session_ends.c.session_id.in_(some)))
            if rows:
                await connection.execute(insert(live_sessions), rows)

    async def to_end(self, owner: str) -> list[EndRequest]:
        """See PresenceRepository."""
        query = (
            select(session_ends)
            .join(live_sessions, live_sessions.c.session_id == session_ends.c.session_id)
            .where(live_sessions.c.owner == owner)
        )
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_made(row, EndRequest) for row in rows]

    async def ask_end(self, request: EndRequest) -> None:
        """See PresenceRepository."""
        async with self._store.write() as connection:
            try:
                async with connection.begin_nested():
                    await connection.execute(insert(session_ends).values(msgspec.to_builtins(request)))
            except IntegrityError:
                return

    async def found(self, session_id: str, alive_since: float) -> Presence | None:
        """See PresenceRepository."""
        query = _living(alive_since).where(live_sessions.c.session_id == session_id)
        async with self._store.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else _made(row, Presence)

    async def ids(self, alive_since: float) -> set[str]:
        """See PresenceRepository."""
        query = _living(alive_since).with_only_columns(live_sessions.c.session_id)
        async with self._store.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def forget(self, owner: str) -> None:
        """See PresenceRepository."""
        async with self._store.write() as connection:
            await connection.execute(delete(live_sessions).where(live_sessions.c.owner == owner))
            await connection.execute(delete(session_owners).where(session_owners.c.owner == owner))

    async def sweep(self, alive_since: float, asked_since: float) -> int:
        """See PresenceRepository."""
        alive = select(session_owners.c.owner)
        async with self._store.write() as connection:
            stale = delete(session_owners).where(session_owners.c.heartbeat_at <= alive_since)
            dead = (await connection.execute(stale)).rowcount
            await connection.execute(delete(live_sessions).where(live_sessions.c.owner.not_in(alive)))
            await connection.execute(delete(session_ends).where(session_ends.c.asked_at <= asked_since))
        return dead


def _living(alive_since: float) -> "Select[Any]":
    owners = select(session_owners.c.owner).where(session_owners.c.heartbeat_at > alive_since)
    return select(live_sessions).where(live_sessions.c.owner.in_(owners))


def _made(row: RowMapping, kind: type[T]) -> T:
    """Raises msgspec.ValidationError, which the store translates, when a row is not of this shape."""
    return msgspec.convert({str(name): value for name, value in row.items()}, kind)
