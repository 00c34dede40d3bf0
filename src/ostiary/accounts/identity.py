"""The gate's `Identity` for service accounts; what is none of theirs goes on to the other issuers."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ostiary.accounts.clients import Client, Clients
from ostiary.accounts.issued import TOKEN_CLAIM, Tokens, spendable
from ostiary.accounts.model import ISSUER_NAME, ServiceAccount, key_of
from ostiary.accounts.repository import AccountRepository
from ostiary.accounts.routing import is_assertion, issuer_of
from ostiary.accounts.secrets import PREFIX
from ostiary.core import Principal, Proof
from ostiary.gate.ports import Identity
from ostiary.identity.refuse import refused
from ostiary.identity.rules import check_private

_LOST: Final = "the state store does not answer, and says no more who may stay"
#: Seconds that the store has for one answer.
_ASKED: Final = 5.0


class AccountIdentity:
    """Client secrets, assertions and the gateway's own tokens as passwords.

    Args:
        clients: authenticates them.
        tokens: those of the gateway itself; None where it issues none.
        others: whoever knows the other tokens.
        clock: Unix seconds.
        allow_plaintext_loopback: as of `OidcIdentity`.
    """

    def __init__(
        self,
        clients: Clients,
        tokens: Tokens | None,
        others: Identity,
        clock: Callable[[], float],
        *,
        allow_plaintext_loopback: bool = False,
    ) -> None:
        self._clients = clients
        self._tokens = tokens
        self._others = others
        self._clock = clock
        self._allow_plaintext_loopback = allow_plaintext_loopback

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof in full. Raises Refused(IDENTITY)."""
        check_private(proof, allow_plaintext_loopback=self._allow_plaintext_loopback)
        if proof.token.reveal().startswith(PREFIX):
            client = await self._clients.by_secret(proof.token, proof.source)
            return self._admitted(client, proof)
        if is_assertion(proof.token.reveal()):
            return self._admitted(await self._clients.by_assertion(proof.token, proof.source), proof)
        if self._tokens is not None and issuer_of(proof.token.reveal()) == self._tokens.own.issuer:
            return await self._tokens.identify(proof)
        return await self._others.identify(proof)

    def _admitted(self, client: Client, proof: Proof) -> Principal:
        account = client.account
        if account.targets and proof.target not in account.targets:
            raise refused(
                f'service account "{account.name}" is not for target "{proof.target[:64]}"',
                "use one that is made for it",
            )
        return client.principal(self._clock())


@dataclass(frozen=True, slots=True)
class Open:
    """A session that goes on."""

    principal: Principal
    #: Name of its target.
    target: str
    #: Address of its client, "ip:port".
    source: str


class Liveness:
    """Which open sessions must end because their account, their key or their token is not good for them any more.

    Args:
        repository: where accounts are.
        clock: Unix seconds.
        patience: seconds without an answer from the store after which none is believed to be good.
    """

    def __init__(self, repository: AccountRepository, clock: Callable[[], float], patience: float = 30.0) -> None:
        self._repository = repository
        self._clock = clock
        self._patience = patience
        self._answered = clock()

    async def ended(self, sessions: Sequence[Open]) -> list[str]:
        """For each a clause that says why it must end; empty when it may go on. Never raises."""
        now = self._clock()
        principals = [each.principal for each in sessions]
        names = {each.subject for each in principals if each.issuer == ISSUER_NAME}
        tokens = {spent for each in principals for spent in spendable(each)}
        found: dict[str, ServiceAccount] = {}
        spent: set[str] = set()
        try:
            async with asyncio.timeout(_ASKED):
                if names:
                    found = await self._repository.named(names)
                if tokens:
                    spent = await self._repository.spent(tokens)
        except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
            lost = now - self._answered >= self._patience
            return [_LOST if lost and _ours(each) else "" for each in principals]
        self._answered = now
        return [_why(each, found, spent, now) if _ours(each.principal) else "" for each in sessions]


def _ours(principal: Principal) -> bool:
    return principal.issuer == ISSUER_NAME or TOKEN_CLAIM in principal.claims


def _why(session: Open, found: dict[str, ServiceAccount], spent: set[str], now: float) -> str:
    principal = session.principal
    if not spent.isdisjoint(spendable(principal)):
        return "its token was revoked"
    if principal.issuer != ISSUER_NAME:
        return ""
    account = found.get(principal.subject)
    if account is None:
        return "its service account is gone"
    key = account.key(key_of(principal))
    if key is None or not key.good(now):
        return f'the key of service account "{account.name}" that opened it was removed or has expired'
    return account.closed(now) or _outgrown(account, session)


def _outgrown(account: ServiceAccount, session: Open) -> str:
    """What the account may no more, and the session does."""
    whose = f'service account "{account.name}"'
    if account.targets and session.target not in account.targets:
        return f"{whose} is not for this target any more"
    if not account.admits(session.source):
        return f"{whose} may not come from this address any more"
    if not session.principal.groups <= set(account.groups):
        return f"{whose} is not in all its groups any more"
    return ""
