"""Stored resources in the state store. One row counts the changes; whoever changes anything takes it first."""

from collections.abc import Collection
from dataclasses import fields
from typing import Final

import msgspec
from sqlalchemy import and_, delete, insert, or_, select, true, update

from ostiary.resources import Key, StoredResource, StoredResources
from ostiary.store.approvals import Transactions
from ostiary.store.tables import resource_revision, resources

#: SQLite takes so many levels of a condition, and no more.
_AT_ONCE: Final = 200
_FIELDS: Final = [each.name for each in fields(StoredResource)]


class SqlResources:
    """A `ResourceRepository`; every method raises StoreError when the store fails."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    async def revision(self) -> int:
        """See ResourceRepository."""
        async with self._store.read() as connection:
            return int((await connection.execute(select(resource_revision.c.revision))).scalar_one())

    async def all(self) -> StoredResources:
        """See ResourceRepository. One statement, so that all is of one moment."""
        query = (
            select(resource_revision.c.revision.label("now"), resources)
            .join_from(resource_revision, resources, true(), isouter=True)
            .order_by(resources.c.kind, resources.c.name)
        )
        async with self._store.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        # A row of another shape is a ValidationError, which the store translates.
        items = (msgspec.convert({name: row[name] for name in _FIELDS}, StoredResource) for row in rows if row["kind"])
        return StoredResources(int(rows[0]["now"]), tuple(items))

    async def change(
        self, at: int, puts: Collection[StoredResource], deletes: Collection[Key], by: str, now: float
    ) -> int | None:
        """See ResourceRepository."""
        made = [{**msgspec.to_builtins(each), "revision": at + 1, "changed_at": now, "changed_by": by} for each in puts]
        gone = [Key(each.kind, each.name) for each in puts] + list(deletes)
        count = update(resource_revision).where(resource_revision.c.revision == at).values(revision=at + 1)
        async with self._store.write() as connection:
            if (await connection.execute(count)).rowcount != 1:
                return None
            for begin in range(0, len(gone), _AT_ONCE):
                each = (
                    and_(resources.c.kind == key.kind.value, resources.c.name == key.name)
                    for key in gone[begin : begin + _AT_ONCE]
                )
                await connection.execute(delete(resources).where(or_(*each)))
            if made:
                await connection.execute(insert(resources), made)
        return at + 1
