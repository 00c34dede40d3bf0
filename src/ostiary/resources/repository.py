"""What declarations need of a store. Every method raises when the store can't answer."""

from collections.abc import Collection
from typing import Protocol

from ostiary.resources.model import Key, StoredResource, StoredResources


class ResourceRepository(Protocol):
    """Stored resources under one revision, which every change makes greater."""

    async def revision(self) -> int:
        """Of the whole; 0 before the first change. One row is read."""
        ...

    async def all(self) -> StoredResources:
        """Everything, as one revision had it."""
        ...

    async def change(
        self, at: int, puts: Collection[StoredResource], deletes: Collection[Key], by: str, now: float
    ) -> int | None:
        """Make all of a change and return the new revision; None, and nothing is changed, when `at` is not the last.

        What is put replaces what has its kind and name, and gets the new revision, `now` and `by`.
        """
        ...
