"""The gate's `Identity` for service accounts; what is none of theirs goes on to the other issuers."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from ostiary.accounts.clients import Client, Clients
from ostiary.accounts.model import ISSUER_NAME, ServiceAccount, key_of
from ostiary.accounts.repository import AccountRepository
from ostiary.accounts.secrets import PREFIX
from ostiary.core import Principal, PrincipalKind, Proof
from ostiary.gate.ports import Identity
from ostiary.identity.compact import parse_compact
from ostiary.identity.refuse import refused
from ostiary.identity.rules import check_private

#: Seconds that a session lasts at most.
MAX_SESSION: Final = 12 * 3600.0
#: Seconds that the store has for one answer.
_ASKED: Final = 5.0


class AccountIdentity:
    """Client secrets and assertions as passwords.

    Args:
        clients: authenticates them.
        others: whoever knows the other tokens.
        clock: Unix seconds.
        allow_plaintext_loopback: as of `OidcIdentity`.
    """

    def __init__(
        self, clients: Clients, others: Identity, clock: Callable[[], float], *, allow_plaintext_loopback: bool = False
    ) -> None:
        self._clients = clients
        self._others = others
        self._clock = clock
        self._allow_plaintext_loopback = allow_plaintext_loopback

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof in full. Raises Refused(IDENTITY)."""
        check_private(proof, allow_plaintext_loopback=self._allow_plaintext_loopback)
        if proof.token.reveal().startswith(PREFIX):
            client = await self._clients.by_secret(proof.token, proof.source)
            return self._principal(client, proof)
        # What has no dots is no JWT, and not for us to parse.
        if b"." in proof.token.reveal():
            token = parse_compact(proof.token.reveal())
            issuer = token.claims.get("iss")
            if isinstance(issuer, str) and ":" not in issuer:
                return self._principal(await self._clients.by_parsed(token, proof.source), proof)
        return await self._others.identify(proof)

    def _principal(self, client: Client, proof: Proof) -> Principal:
        account, key = client.account, client.key
        if account.targets and proof.target not in account.targets:
            raise refused(
                f'service account "{account.name}" is not for target "{proof.target[:64]}"',
                "use one that is made for it",
            )
        until = min(self._clock() + MAX_SESSION, account.expires_at or 1e11, key.expires_at or 1e11)
        return Principal(
            kind=PrincipalKind.WORKLOAD,
            issuer=ISSUER_NAME,
            subject=account.name,
            groups=frozenset(account.groups),
            expires_at=client.expires_at or until,
            session_until=until,
            proof_id=client.proof_id,
            claims={"owner": account.owner, "key": key.key_id},
        )


class Liveness:
    """Which open sessions must end because their account, or the key that opened them, is good no more.

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

    async def ended(self, principals: Sequence[Principal]) -> list[str]:
        """For each a clause that says why it must end; empty when it may go on. Never raises."""
        now = self._clock()
        names = {each.subject for each in principals if each.issuer == ISSUER_NAME}
        found: dict[str, ServiceAccount] | None = {}
        if names:
            try:
                async with asyncio.timeout(_ASKED):
                    found = await self._repository.named(names)
            except Exception:  # noqa: BLE001 - whatever it is, the store does not answer
                found = None
        if found is not None:
            self._answered = now
        elif now - self._answered < self._patience:
            return [""] * len(principals)
        return [_why(each, found, now) if each.issuer == ISSUER_NAME else "" for each in principals]


def _why(principal: Principal, found: dict[str, ServiceAccount] | None, now: float) -> str:
    if found is None:
        return "the state store does not answer, and says no more who may stay"
    account = found.get(principal.subject)
    if account is None:
        return "its service account is gone"
    key = account.key(key_of(principal))
    if key is None or not key.good(now):
        return f'the key of service account "{account.name}" that opened it was removed or has expired'
    return account.closed(now)
