"""Use-cases of service accounts. Every change is told to the audit before it is reported to whoever made it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ostiary.accounts import (
    MAX_KEYS,
    AccountKey,
    AccountRepository,
    KeyKind,
    ServiceAccount,
    check_expiry,
    checked,
    digest,
    new_key_id,
    new_secret,
    public_jwk,
    shown,
)
from ostiary.core import Secret


class UnknownAccount(LookupError):  # noqa: N818 - reads as what happened
    """There is no such service account, or it has no such key."""

    hint = "`ostiary service-accounts list` shows them"


class AccountConflict(ValueError):  # noqa: N818 - reads as what happened
    """The change does not fit what is there."""


class Audit(Protocol):
    """Keeps what was changed."""

    def __call__(
        self, *, by: str, change: str, account: str, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        """`by` changed an account; `change`: "service-account.create". Before it there may be nothing."""
        ...


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just added. Its secret is nowhere else, and is never to be had again."""

    account: ServiceAccount
    key: AccountKey
    #: None for a public key.
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class ServiceAccounts:
    """What may be done with service accounts. `by`: who does it, for the audit."""

    #: Opens the state store.
    repository: Callable[[], AbstractAsyncContextManager[AccountRepository]]
    #: Names of the declared targets.
    targets: Collection[str]
    audit: Audit
    clock: Callable[[], float]

    async def list(self) -> list[ServiceAccount]:
        """By name."""
        async with self.repository() as repository:
            return await repository.all()

    async def show(self, name: str) -> ServiceAccount:
        """Raises UnknownAccount."""
        async with self.repository() as repository:
            return await _found(repository, name)

    async def create(
        self,
        by: str,
        name: str,
        owner: str,
        *,
        groups: Sequence[str] = (),
        targets: Sequence[str] = (),
        networks: Sequence[str] = (),
        expires_at: float | None = None,
        public_key: bytes | None = None,
    ) -> NewKey:
        """An account and its first key: the public key given (PEM or JWK), else a client secret.

        Raises ValueError, AccountConflict.
        """
        now = self.clock()
        for target in targets:
            if target not in self.targets:
                raise ValueError(f'no target is called "{target}"')
        made = ServiceAccount(name, owner, tuple(groups), tuple(targets), tuple(networks), now, expires_at)
        key, secret = _new_key(name, public_key, now, None)
        account = replace(checked(made, now), keys=(key,))
        async with self.repository() as repository:
            if not await repository.add(account):
                raise AccountConflict(f'there is a service account "{name}" already')
        self.audit(by=by, change="service-account.create", account=name, before={}, after=shown(account))
        return NewKey(account, key, secret)

    async def disable(self, by: str, name: str) -> ServiceAccount:
        """Nobody gets in with it any more, and its sessions end within seconds. Raises UnknownAccount."""
        return await self._disable(by, name, self.clock())

    async def enable(self, by: str, name: str) -> ServiceAccount:
        """Raises UnknownAccount."""
        return await self._disable(by, name, None)

    async def add_key(
        self, by: str, name: str, public_key: bytes | None = None, expires_at: float | None = None
    ) -> NewKey:
        """A key beside those there are, as `create` makes it. Raises UnknownAccount, AccountConflict, ValueError."""
        return await self._add(by, name, "service-account.add-key", public_key, expires_at, None)

    async def rotate(
        self, by: str, name: str, overlap: float, public_key: bytes | None = None, expires_at: float | None = None
    ) -> NewKey:
        """A new key; all others end in `overlap` seconds. Raises as `add_key`."""
        return await self._add(by, name, "service-account.rotate", public_key, expires_at, self.clock() + overlap)

    async def remove_key(self, by: str, name: str, key_id: str) -> ServiceAccount:
        """At once; sessions it opened end within seconds. Raises UnknownAccount."""
        async with self.repository() as repository:
            before = await _found(repository, name)
            if not await repository.remove_key(name, key_id):
                raise UnknownAccount(f'service account "{name}" has no key "{key_id}"')
            after = await _found(repository, name)
        self.audit(by=by, change="service-account.remove-key", account=name, before=shown(before), after=shown(after))
        return after

    async def _disable(self, by: str, name: str, at: float | None) -> ServiceAccount:
        async with self.repository() as repository:
            before = await _found(repository, name)
            if not await repository.disable(name, at):
                return before
            after = await _found(repository, name)
        change = "service-account.enable" if at is None else "service-account.disable"
        self.audit(by=by, change=change, account=name, before=shown(before), after=shown(after))
        return after

    async def _add(
        self,
        by: str,
        name: str,
        change: str,
        public_key: bytes | None,
        expires_at: float | None,
        others_until: float | None,
    ) -> NewKey:
        key, secret = _new_key(name, public_key, self.clock(), expires_at)
        async with self.repository() as repository:
            before = await _found(repository, name)
            if not await repository.add_key(key, MAX_KEYS, others_until):
                raise AccountConflict(f'service account "{name}" has {MAX_KEYS} keys: remove one first')
            after = await _found(repository, name)
        self.audit(by=by, change=change, account=name, before=shown(before), after=shown(after))
        return NewKey(after, key, secret)


def _new_key(
    name: str, public_key: bytes | None, now: float, expires_at: float | None
) -> tuple[AccountKey, Secret | None]:
    check_expiry(expires_at, now)
    key_id = new_key_id()
    if public_key is not None:
        return AccountKey(key_id, name, KeyKind.PUBLIC_KEY, public_jwk(public_key), now, expires_at), None
    secret = new_secret(key_id)
    return AccountKey(key_id, name, KeyKind.SECRET, digest(secret), now, expires_at), secret


async def _found(repository: AccountRepository, name: str) -> ServiceAccount:
    account = await repository.get(name)
    if account is None:
        raise UnknownAccount(f'there is no service account "{name[:64]}"')
    return account
