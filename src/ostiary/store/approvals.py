"""Approvals in the state store. Every change is one UPDATE whose WHERE says what must still be true."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec
from sqlalchemy import ColumnElement, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ostiary.approvals import Admission, Approval, ApprovalState, Limits
from ostiary.store.tables import approvals

_PENDING = approvals.c.state == ApprovalState.PENDING.value


class Transactions(Protocol):
    """What a repository needs of the store."""

    def read(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that only reads."""
        ...

    def write(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that commits at the end."""
        ...


class SqlApprovals:
    """An `ApprovalRepository`; every method raises StoreError when the store fails."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    async def add(self, approval: Approval, limits: Limits) -> Admission:
        """See ApprovalRepository. On PostgreSQL, requests stored at the same instant may overshoot a limit."""
        request = approval.request
        mine = and_(approvals.c.issuer == request.issuer, approvals.c.subject == request.subject)
        counts = select(
            func.count(),
            func.count(case((approvals.c.session_id == request.session_id, 1))),
            func.count(case((mine, 1))),
        ).where(_PENDING, approvals.c.expires_at > request.created_at)
        async with self._store.write() as connection:
            overall, session, principal = (await connection.execute(counts)).one()
            if session >= limits.per_session:
                return Admission.SESSION_FULL
            if principal >= limits.per_principal:
                return Admission.PRINCIPAL_FULL
            if overall >= limits.overall:
                return Admission.FULL
            try:
                async with connection.begin_nested():
                    await connection.execute(insert(approvals).values(_row(approval)))
            except IntegrityError:
                return Admission.CODE_TAKEN
        return Admission.STORED

    async def get(self, code: str) -> Approval | None:
        """See ApprovalRepository."""
        async with self._store.read() as connection:
            found = await connection.execute(select(approvals).where(approvals.c.code == code))
            row = found.mappings().one_or_none()
            return None if row is None else _approval(row)

    async def pending(self, now: float, alive_since: float) -> list[Approval]:
        """See ApprovalRepository."""
        query = select(approvals).where(_open(now, alive_since)).order_by(approvals.c.created_at, approvals.c.code)
        async with self._store.read() as connection:
            return [_approval(row) for row in (await connection.execute(query)).mappings()]

    async def still_pending(self, codes: Collection[str]) -> set[str]:
        """See ApprovalRepository."""
        query = select(approvals.c.code).where(_PENDING, approvals.c.code.in_(codes))
        async with self._store.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def vote(self, before: Approval, after: Approval, now: float, alive_since: float) -> bool:
        """See ApprovalRepository."""
        values = _row(after)
        return bool(
            await self._change(
                and_(
                    approvals.c.code == before.request.code,
                    approvals.c.revision == before.revision,
                    approvals.c.digest == before.request.digest,
                    _open(now, alive_since),
                ),
                {name: values[name] for name in ("votes", "revision", "state", "decided_at")},
            )
        )

    async def consume(self, approval: Approval, digest: str, approved_since: float) -> bool:
        """See ApprovalRepository."""
        return bool(
            await self._change(
                and_(
                    approvals.c.code == approval.request.code,
                    approvals.c.state == ApprovalState.APPROVED.value,
                    approvals.c.revision == approval.revision,
                    approvals.c.owner == approval.request.owner,
                    approvals.c.digest == digest,
                    approvals.c.decided_at > approved_since,
                ),
                {"state": ApprovalState.CONSUMED.value},
            )
        )

    async def withdraw(self, code: str, note: str, now: float) -> bool:
        """See ApprovalRepository."""
        return bool(await self._change(and_(approvals.c.code == code, _unused()), _withdrawn(note, now)))

    async def withdraw_orphans(self, node: str, owner: str, alive_since: float, note: str, now: float) -> int:
        """See ApprovalRepository."""
        earlier = and_(approvals.c.node == node, approvals.c.owner != owner)
        silent = approvals.c.heartbeat_at <= alive_since
        return await self._change(and_(_unused(), or_(earlier, silent)), _withdrawn(note, now))

    async def expire(self, now: float) -> int:
        """See ApprovalRepository."""
        return await self._change(
            and_(_PENDING, approvals.c.expires_at <= now),
            {"state": ApprovalState.EXPIRED.value, "decided_at": approvals.c.expires_at},
        )

    async def beat(self, codes: Collection[str], now: float) -> None:
        """See ApprovalRepository."""
        await self._change(and_(_PENDING, approvals.c.code.in_(codes)), {"heartbeat_at": now})

    async def prune(self, before: float) -> int:
        """See ApprovalRepository."""
        over = or_(approvals.c.state != ApprovalState.PENDING.value, approvals.c.expires_at <= before)
        async with self._store.write() as connection:
            return (await connection.execute(delete(approvals).where(approvals.c.created_at < before, over))).rowcount

    async def _change(self, where: ColumnElement[bool], values: dict[str, Any]) -> int:
        async with self._store.write() as connection:
            return (await connection.execute(update(approvals).where(where).values(values))).rowcount


def _open(now: float, alive_since: float) -> ColumnElement[bool]:
    return and_(_PENDING, approvals.c.expires_at > now, approvals.c.heartbeat_at > alive_since)


def _unused() -> ColumnElement[bool]:
    return approvals.c.state.in_([ApprovalState.PENDING.value, ApprovalState.APPROVED.value])


def _withdrawn(note: str, now: float) -> dict[str, Any]:
    return {"state": ApprovalState.WITHDRAWN.value, "note": note, "decided_at": now}


def _row(approval: Approval) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(approval)
    request: dict[str, Any] = fields.pop("request")
    return fields | request


def _approval(row: RowMapping) -> Approval:
    """Raises msgspec.ValidationError, which the store translates, when a row is not of this shape."""
    fields = {str(name): value for name, value in row.items()}
    return msgspec.convert({**fields, "request": fields}, Approval)
