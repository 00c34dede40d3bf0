"""What accounts need of a store. Every method raises when the store can't answer; nobody is let in then."""

from collections.abc import Collection
from typing import Protocol

from ostiary.accounts.model import AccountKey, ServiceAccount


class AccountRepository(Protocol):
    """Service accounts, and ids of tokens that are good no more. Each change is one transaction."""

    async def add(self, account: ServiceAccount) -> bool:
        """Store a new account and its keys; False when its name is taken."""
        ...

    async def get(self, name: str) -> ServiceAccount | None:
        """The account with its keys."""
        ...

    async def all(self) -> list[ServiceAccount]:
        """By name."""
        ...

    async def named(self, names: Collection[str]) -> dict[str, ServiceAccount]:
        """Those of these names that there are."""
        ...

    async def of_key(self, key_id: str) -> ServiceAccount | None:
        """The account that has this key."""
        ...

    async def disable(self, name: str, at: float | None) -> bool:
        """Disable, or with None enable; False when that is so already, or there is no such account."""
        ...

    async def edit(self, account: ServiceAccount) -> bool:
        """Make it this, but for its keys; False when it is not at this one's revision any more."""
        ...

    async def add_key(self, key: AccountKey, most: int, others_until: float | None = None) -> bool:
        """Add a key in place of expired ones; False when the account is missing or has `most`.

        With `others_until` its other keys end then, unless they end earlier.
        """
        ...

    async def remove_key(self, name: str, key_id: str) -> bool:
        """False when the account has no such key."""
        ...

    async def used(self, key_id: str, now: float) -> None:
        """Remember that a key was used, to the minute."""
        ...

    async def spend(self, token_id: str, until: float, now: float) -> bool:
        """Of all who spend the same id, one gets True. It is forgotten after `until`."""
        ...

    async def spent(self, token_ids: Collection[str]) -> set[str]:
        """Those of these that were spent and are not forgotten."""
        ...
