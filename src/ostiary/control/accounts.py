"""Service accounts through a running gateway: `view` on the gateway to see them, `administer` on it to change them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ostiary.accounts import ServiceAccount
from ostiary.control.access import Access, Caller
from ostiary.control.paging import Page, page_of
from ostiary.control.service_accounts import NewKey, ServiceAccounts
from ostiary.policy import ControlAction

_ADMINISTER: Final = ControlAction.ADMINISTER
_VIEW: Final = ControlAction.VIEW


class AccountControl:
    """The use-cases, each after its permission. They raise Denied, and what those of ServiceAccounts raise."""

    def __init__(self, access: Access, accounts: ServiceAccounts) -> None:
        self._access = access
        self._accounts = accounts

    async def list(self, caller: Caller, after: str, limit: int) -> Page[ServiceAccount]:
        """By name."""
        self._access.require(caller, _VIEW)
        return page_of([(each.name, each) for each in await self._accounts.list()], after, limit)

    async def show(self, caller: Caller, name: str) -> ServiceAccount:
        """One account."""
        self._access.require(caller, _VIEW)
        return await self._accounts.show(name)

    async def create(
        self,
        caller: Caller,
        name: str,
        owner: str,
        *,
        groups: Sequence[str],
        targets: Sequence[str],
        networks: Sequence[str],
        expires_at: float | None,
        public_key: bytes | None,
    ) -> NewKey:
        """An account and its first key."""
        return await self._accounts.create(
            self._access.require(caller, _ADMINISTER),
            name,
            owner,
            groups=groups,
            targets=targets,
            networks=networks,
            expires_at=expires_at,
            public_key=public_key,
        )

    async def edit(
        self,
        caller: Caller,
        name: str,
        wanted: Mapping[str, Any],
        *,
        disabled: bool | None,
        revisions: Collection[int] | None,
    ) -> ServiceAccount:
        """Change some of it."""
        permission = self._access.require(caller, _ADMINISTER)
        return await self._accounts.edit(permission, name, wanted, disabled=disabled, revisions=revisions)

    async def add_key(self, caller: Caller, name: str, public_key: bytes | None, expires_at: float | None) -> NewKey:
        """A key beside those there are."""
        return await self._accounts.add_key(self._access.require(caller, _ADMINISTER), name, public_key, expires_at)

    async def rotate(
        self, caller: Caller, name: str, overlap: float, public_key: bytes | None, expires_at: float | None
    ) -> NewKey:
        """A new key; all others end in `overlap` seconds."""
        permission = self._access.require(caller, _ADMINISTER)
        return await self._accounts.rotate(permission, name, overlap, public_key, expires_at)

    async def remove_key(self, caller: Caller, name: str, key_id: str) -> ServiceAccount:
        """At once."""
        return await self._accounts.remove_key(self._access.require(caller, _ADMINISTER), name, key_id)
