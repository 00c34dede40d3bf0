"""Service accounts in the state store."""

from collections.abc import Collection
from dataclasses import fields
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Insert, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ostiary.accounts import AccountKey, ServiceAccount
from ostiary.store.approvals import Transactions
from ostiary.store.tables import service_account_keys as keys
from ostiary.store.tables import service_accounts as accounts
from ostiary.store.tables import spent_tokens

#: Seconds between two notes of a key's use.
_NOTED = 60.0
#: Plain texts: the names that SQLAlchemy gives rows are not always.
_KEY_FIELDS = [each.name for each in fields(AccountKey)]
_FIELDS = [each.name for each in fields(ServiceAccount) if each.name != "keys"]
_EDITED = ("owner", "groups", "targets", "networks", "expires_at", "disabled_at")


class SqlAccounts:
    """An `AccountRepository`; every method raises StoreError when the store fails."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    async def add(self, account: ServiceAccount) -> bool:
        """See AccountRepository."""
        values: dict[str, Any] = msgspec.to_builtins(account)
        theirs = values.pop("keys")
        async with self._store.write() as connection:
            if not await _inserted(connection, insert(accounts).values(values)):
                return False
            if theirs:
                await connection.execute(insert(keys), theirs)
        return True

    async def get(self, name: str) -> ServiceAccount | None:
        """See AccountRepository."""
        return (await self.named([name])).get(name)

    async def all(self) -> list[ServiceAccount]:
        """See AccountRepository."""
        return list((await self._where(None)).values())

    async def named(self, names: Collection[str]) -> dict[str, ServiceAccount]:
        """See AccountRepository."""
        return await self._where(accounts.c.name.in_(names))

    async def of_key(self, key_id: str) -> ServiceAccount | None:
        """See AccountRepository."""
        of = select(keys.c.account).where(keys.c.key_id == key_id).scalar_subquery()
        return next(iter((await self._where(accounts.c.name == of)).values()), None)

    async def disable(self, name: str, at: float | None) -> bool:
        """See AccountRepository."""
        other = accounts.c.disabled_at.is_(None) if at is not None else accounts.c.disabled_at.is_not(None)
        async with self._store.write() as connection:
            return await _revised(connection, name, other, {"disabled_at": at})

    async def edit(self, account: ServiceAccount) -> bool:
        """See AccountRepository."""
        values = {name: getattr(account, name) for name in _EDITED}
        async with self._store.write() as connection:
            return await _revised(connection, account.name, accounts.c.revision == account.revision, values)

    async def add_key(self, key: AccountKey, most: int, others_until: float | None = None) -> bool:
        """See AccountRepository. The account's row is locked first, so that additions wait for each other."""
        mine = keys.c.account == key.account
        async with self._store.write() as connection:
            locked = select(accounts.c.name).where(accounts.c.name == key.account).with_for_update()
            if (await connection.execute(locked)).first() is None:
                return False
            await connection.execute(delete(keys).where(mine, keys.c.expires_at <= key.created_at))
            if (await connection.execute(select(func.count()).where(mine))).scalar_one() >= most:
                return False
            if others_until is not None:
                later = or_(keys.c.expires_at.is_(None), keys.c.expires_at > others_until)
                await connection.execute(update(keys).where(mine, later).values(expires_at=others_until))
            await connection.execute(insert(keys).values(msgspec.to_builtins(key)))
            return await _revised(connection, key.account)

    async def remove_key(self, name: str, key_id: str) -> bool:
        """See AccountRepository."""
        async with self._store.write() as connection:
            gone = await connection.execute(delete(keys).where(keys.c.account == name, keys.c.key_id == key_id))
            return bool(gone.rowcount) and await _revised(connection, name)

    async def used(self, key_id: str, now: float) -> None:
        """See AccountRepository."""
        stale = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < now - _NOTED)
        this = keys.c.key_id == key_id
        async with self._store.read() as connection:
            if (await connection.execute(select(keys.c.key_id).where(this, stale))).first() is None:
                return
        async with self._store.write() as connection:
            await connection.execute(update(keys).where(this, stale).values(last_used_at=now))

    async def spend(self, token_id: str, until: float, now: float) -> bool:
        """See AccountRepository."""
        async with self._store.write() as connection:
            await connection.execute(delete(spent_tokens).where(spent_tokens.c.until < now))
            return await _inserted(connection, insert(spent_tokens).values(token_id=token_id, until=until))

    async def spent(self, token_ids: Collection[str]) -> set[str]:
        """See AccountRepository."""
        query = select(spent_tokens.c.token_id).where(spent_tokens.c.token_id.in_(token_ids))
        async with self._store.read() as connection:
            return set((await connection.execute(query)).scalars())

    async def _where(self, which: ColumnElement[bool] | None) -> dict[str, ServiceAccount]:
        wanted = select(accounts).order_by(accounts.c.name)
        theirs = select(keys).order_by(keys.c.created_at, keys.c.key_id)
        if which is not None:
            wanted = wanted.where(which)
            theirs = theirs.join(accounts, keys.c.account == accounts.c.name).where(which)
        async with self._store.read() as connection:
            found = (await connection.execute(wanted)).mappings().all()
            held: dict[str, list[dict[str, Any]]] = {}
            for key in (await connection.execute(theirs)).mappings():
                held.setdefault(key["account"], []).append({name: key[name] for name in _KEY_FIELDS})
            # A row of another shape is a ValidationError, which the store translates.
            return {
                row["name"]: msgspec.convert(
                    {name: row[name] for name in _FIELDS} | {"keys": held.get(row["name"], [])},
                    ServiceAccount,
                )
                for row in found
            }


async def _inserted(connection: AsyncConnection, row: Insert) -> bool:
    try:
        async with connection.begin_nested():
            await connection.execute(row)
    except IntegrityError:
        return False
    return True


async def _revised(
    connection: AsyncConnection,
    name: str,
    where: ColumnElement[bool] | None = None,
    values: dict[str, Any] | None = None,
) -> bool:
    change = update(accounts).where(accounts.c.name == name)
    if where is not None:
        change = change.where(where)
    done = await connection.execute(change.values(revision=accounts.c.revision + 1, **(values or {})))
    return bool(done.rowcount)
