"""Use-cases of service accounts. Each change is in the audit log before it is made, and again when it was."""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

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
    shown,
)
from ostiary.control.access import Caller, Permission
from ostiary.control.changes import Changes, Making
from ostiary.core import Principal, PrincipalKind, Secret
from ostiary.policy import ControlAction


class UnknownAccount(LookupError):  # noqa: N818 - reads as what happened
    """There is no such service account, or it has no such key."""

    hint = "`ostiary service-accounts list` shows them"


class AccountConflict(ValueError):  # noqa: N818 - reads as what happened
    """The change does not fit what is there."""


class AccountChanged(Exception):  # noqa: N818 - reads as what happened
    """It is not as whoever changes it has seen it."""


def local_operator(user: str) -> Permission:
    """Who works on the state store on the gateway's host: the system lets them, and no policy is asked."""
    person = Principal(PrincipalKind.HUMAN, "local", user, frozenset(), 0.0, 0.0, "a user of the host")
    return Permission(Caller(person, "cli"), ControlAction.ADMINISTER, ())


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just added. Its secret is nowhere else, and is never to be had again."""

    account: ServiceAccount
    key: AccountKey
    #: None for a public key.
    secret: Secret | None


@dataclass(frozen=True, slots=True)
class ServiceAccounts:
    """What may be done with service accounts. `permission`: whose, for the audit; it was asked for before."""

    #: Opens the state store.
    repository: Callable[[], AbstractAsyncContextManager[AccountRepository]]
    #: Names of the declared targets.
    targets: Collection[str]
    #: Opens the audit log.
    changes: Callable[[], AbstractContextManager[Changes]]
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
        permission: Permission,
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
        self._check_targets(targets)
        made = ServiceAccount(name, owner, tuple(groups), tuple(targets), tuple(networks), now, expires_at)
        key, secret = _new_key(name, public_key, now, None)
        account = replace(checked(made, now), keys=(key,))
        async with self.repository() as repository, self._making(permission, name, "create", {}, shown(account)):
            if not await repository.add(account):
                raise AccountConflict(f'there is a service account "{name}" already')
        return NewKey(account, key, secret)

    async def edit(
        self,
        permission: Permission,
        name: str,
        wanted: Mapping[str, Any],
        *,
        disabled: bool | None = None,
        revisions: Collection[int] | None = None,
    ) -> ServiceAccount:
        """Change some of owner, groups, targets, networks, expires_at; sessions that it may no more end within seconds.

        `revisions`: it must be at one of these. Raises UnknownAccount, AccountChanged, ValueError.
        """
        now = self.clock()
        async with self.repository() as repository:
            before = await _found(repository, name)
            if revisions is not None and before.revision not in revisions:
                raise AccountChanged(f'service account "{name}" has changed since you looked')
            after = replace(before, **wanted)
            if disabled is not None and disabled is not (before.disabled_at is not None):
                after = replace(after, disabled_at=now if disabled else None)
            if after == before:
                return before
            self._check_targets([target for target in after.targets if target not in before.targets])
            # Of an account that has expired everything else may change.
            checked(after if "expires_at" in wanted else replace(after, expires_at=None), now)
            async with self._making(permission, name, "edit", shown(before), shown(after)) as making:
                if not await repository.edit(after):
                    raise AccountChanged(f'service account "{name}" was changed at the same moment')
                after = await _found(repository, name)
                making.after = shown(after)
        return after

    async def disable(self, permission: Permission, name: str) -> ServiceAccount:
        """Nobody gets in with it any more, and its sessions end within seconds. Raises UnknownAccount."""
        return await self._disable(permission, name, self.clock())

    async def enable(self, permission: Permission, name: str) -> ServiceAccount:
        """Raises UnknownAccount."""
        return await self._disable(permission, name, None)

    async def add_key(
        self, permission: Permission, name: str, public_key: bytes | None = None, expires_at: float | None = None
    ) -> NewKey:
        """A key beside those there are, as `create` makes it. Raises UnknownAccount, AccountConflict, ValueError."""
        return await self._add(permission, name, "add-key", public_key, expires_at, None)

    async def rotate(
        self,
        permission: Permission,
        name: str,
        overlap: float,
        public_key: bytes | None = None,
        expires_at: float | None = None,
    ) -> NewKey:
        """A new key; all others end in `overlap` seconds. Raises as `add_key`."""
        return await self._add(permission, name, "rotate", public_key, expires_at, self.clock() + overlap)

    async def remove_key(self, permission: Permission, name: str, key_id: str) -> ServiceAccount:
        """At once; sessions it opened end within seconds. Raises UnknownAccount."""
        async with self.repository() as repository:
            before = shown(await _found(repository, name))
            asked = {"key_id": key_id[:64]}
            async with self._making(permission, name, "remove-key", before, asked) as making:
                if not await repository.remove_key(name, key_id):
                    raise UnknownAccount(f'service account "{name}" has no key "{key_id[:64]}"')
                after = await _found(repository, name)
                making.after = shown(after)
        return after

    def _check_targets(self, targets: Sequence[str]) -> None:
        for target in targets:
            if target not in self.targets:
                raise ValueError(f'no target is called "{target}"')

    async def _disable(self, permission: Permission, name: str, at: float | None) -> ServiceAccount:
        change = "enable" if at is None else "disable"
        async with self.repository() as repository:
            before = await _found(repository, name)
            if (before.disabled_at is None) == (at is None):
                return before
            asked = {"disabled_at": at}
            async with self._making(permission, name, change, shown(before), asked) as making:
                await repository.disable(name, at)
                after = await _found(repository, name)
                making.after = shown(after)
        return after

    @asynccontextmanager
    async def _making(
        self, permission: Permission, name: str, change: str, before: Mapping[str, Any], asked: Mapping[str, Any]
    ) -> AsyncIterator[Making]:
        with self.changes() as changes:
            async with changes.making(permission, f"service-accounts/{name}", before, asked, change) as making:
                yield making

    async def _add(
        self,
        permission: Permission,
        name: str,
        change: str,
        public_key: bytes | None,
        expires_at: float | None,
        others_until: float | None,
    ) -> NewKey:
        key, secret = _new_key(name, public_key, self.clock(), expires_at)
        async with self.repository() as repository:
            before = shown(await _found(repository, name))
            asked = {"key_id": key.key_id, "kind": key.kind, "expires_at": expires_at, "others_until": others_until}
            async with self._making(permission, name, change, before, asked) as making:
                if not await repository.add_key(key, MAX_KEYS, others_until):
                    raise AccountConflict(f'service account "{name}" has {MAX_KEYS} keys: remove one first')
                after = await _found(repository, name)
                making.after = shown(after)
        return NewKey(after, key, secret)


def _new_key(
    name: str, public_key: bytes | None, now: float, expires_at: float | None
) -> tuple[AccountKey, Secret | None]:
    check_expiry(expires_at, now)
    key_id = new_key_id()
    if public_key is not None:
        # Its libraries take longer to load than most commands to run.
        from ostiary.accounts.public_keys import public_jwk

        return AccountKey(key_id, name, KeyKind.PUBLIC_KEY, public_jwk(public_key), now, expires_at), None
    secret = new_secret(key_id)
    return AccountKey(key_id, name, KeyKind.SECRET, digest(secret), now, expires_at), secret


async def _found(repository: AccountRepository, name: str) -> ServiceAccount:
    account = await repository.get(name)
    if account is None:
        raise UnknownAccount(f'there is no service account "{name[:64]}"')
    return account
