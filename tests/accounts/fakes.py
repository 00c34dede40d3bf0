"""A store that is a dictionary, programs with keys, and a clock."""

import json
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from ostiary.accounts import AccountKey, AccountRepository, ServiceAccount
from ostiary.accounts.clients import Clients
from ostiary.accounts.identity import AccountIdentity, Open
from ostiary.accounts.issued import Tokens
from ostiary.accounts.signing_keys import SigningKeys
from ostiary.control import ServiceAccounts, local_operator
from ostiary.control.changes import Changes
from ostiary.core import Principal, PrincipalKind, Proof, Refusal, RefusalKind, Secret
from ostiary.gate.ports import Refused
from ostiary.identity import OidcIssuer
from ostiary.recording import Change
from tests.identity.fakes import NOW, ec_key, sign

URL = "https://gw.example"
SOURCE = "192.0.2.7:5000"
ME = local_operator("me")


def opened(principal: Principal, target: str = "orders", source: str = SOURCE) -> Open:
    """A session of theirs."""
    return Open(principal, target, source)


class MemoryAccounts:
    """An `AccountRepository`."""

    def __init__(self) -> None:
        self.accounts: dict[str, ServiceAccount] = {}
        self.used_up: dict[str, float] = {}
        self.broken: Exception | None = None

    async def add(self, account: ServiceAccount) -> bool:
        if account.name in self.accounts:
            return False
        self.accounts[account.name] = account
        return True

    async def get(self, name: str) -> ServiceAccount | None:
        return self.accounts.get(name)

    async def all(self) -> list[ServiceAccount]:
        return [self.accounts[name] for name in sorted(self.accounts)]

    async def named(self, names: Collection[str]) -> dict[str, ServiceAccount]:
        if self.broken is not None:
            raise self.broken
        return {name: self.accounts[name] for name in names if name in self.accounts}

    async def of_key(self, key_id: str) -> ServiceAccount | None:
        return next((each for each in self.accounts.values() if each.key(key_id)), None)

    async def disable(self, name: str, at: float | None) -> bool:
        account = self.accounts[name]
        if (account.disabled_at is None) == (at is None):
            return False
        self._put(account, disabled_at=at)
        return True

    async def edit(self, account: ServiceAccount) -> bool:
        before = self.accounts.get(account.name)
        if before is None or before.revision != account.revision:
            return False
        self._put(replace(account, keys=before.keys))
        return True

    async def add_key(self, key: AccountKey, most: int, others_until: float | None = None) -> bool:
        account = self.accounts[key.account]
        if len(account.keys) >= most:
            return False
        others = account.keys
        if others_until is not None:
            others = tuple(replace(other, expires_at=others_until) for other in others)
        self._put(account, keys=(*others, key))
        return True

    async def remove_key(self, name: str, key_id: str) -> bool:
        account = self.accounts[name]
        left = tuple(key for key in account.keys if key.key_id != key_id)
        if left == account.keys:
            return False
        self._put(account, keys=left)
        return True

    async def used(self, key_id: str, now: float) -> None:
        account = await self.of_key(key_id)
        assert account is not None
        keys = (replace(key, last_used_at=now) if key.key_id == key_id else key for key in account.keys)
        self.accounts[account.name] = replace(account, keys=tuple(keys))

    async def spend(self, token_id: str, until: float, now: float) -> bool:
        del now
        return self.used_up.setdefault(token_id, until) is until

    async def spent(self, token_ids: Collection[str]) -> set[str]:
        if self.broken is not None:
            raise self.broken
        return set(token_ids) & set(self.used_up)

    def _put(self, account: ServiceAccount, **changes: Any) -> None:
        self.accounts[account.name] = replace(account, revision=account.revision + 1, **changes)


class Others:
    """Believes everything, and remembers that it was asked."""

    def __init__(self) -> None:
        self.asked: list[Proof] = []

    async def identify(self, proof: Proof) -> Principal:
        self.asked.append(proof)
        if proof.token.reveal().startswith(b"bad"):
            raise Refused(Refusal(RefusalKind.IDENTITY, 'token refused: it is not "good"', "get another"))
        return Principal(PrincipalKind.HUMAN, "corp", "dana", frozenset(), NOW + 60, NOW + 60, "jti")


@dataclass
class World:
    """Everything around one repository."""

    now: float = NOW
    url: str = URL
    #: Where the gateway keeps its signing keys; None: it issues no tokens.
    home: Path | None = None
    repository: MemoryAccounts = field(default_factory=MemoryAccounts)
    others: Others = field(default_factory=Others)
    audit: list[Change] = field(default_factory=list)
    key: ECKey = field(default_factory=ec_key)

    def __post_init__(self) -> None:
        @asynccontextmanager
        async def opened() -> AsyncIterator[AccountRepository]:
            yield self.repository

        own = OidcIssuer("service-accounts", self.url, (self.url,)) if self.url else None
        self.clients = Clients(self.repository, own, self.clock)
        self.tokens = None
        if self.home is not None and own is not None:
            self.keys = SigningKeys(self.home / "issuer.keys", self.clock)
            self.tokens = Tokens(own, self.keys, self.repository, 600.0, self.clock, "by {}".format)
        self.identity = AccountIdentity(self.clients, self.tokens, self.others, self.clock)
        changes = Changes(self.audit.append)
        self.control = ServiceAccounts(opened, ("orders", "stock"), lambda: nullcontext(changes), self.clock)

    def clock(self) -> float:
        return self.now

    async def secret(self, name: str = "billing", **settings: Any) -> Secret:
        """A new account with a client secret."""
        made = await self.control.create(ME, name, "team-billing", **settings)
        assert made.secret is not None
        return made.secret

    async def signer(self, name: str = "billing", **settings: Any) -> None:
        """A new account that signs with `key`."""
        document = json.dumps(self.key.as_dict(private=False)).encode()
        await self.control.create(ME, name, "team-billing", public_key=document, **settings)

    def assertion(self, key: ECKey | None = None, **claims: Any) -> Secret:
        """As `private_key_jwt` has it; a claim that is None is left out."""
        all_claims = {
            "iss": "billing",
            "sub": "billing",
            "aud": self.url,
            "exp": self.now + 60,
            "jti": "one",
            **claims,
        }
        said = {name: value for name, value in all_claims.items() if value is not None}
        return Secret(sign({"alg": "ES256", "typ": "JWT"}, said, key or self.key))

    async def login(
        self, token: Secret, target: str = "orders", source: str = SOURCE, *, encrypted: bool = True
    ) -> Principal:
        """As the gate asks."""
        return await self.identity.identify(Proof(token, target, source, encrypted, loopback=False))
