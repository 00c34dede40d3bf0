"""Which service account a credential proves: a client secret, or an assertion it signed (RFC 7523 §3).

Of credentials that prove nothing all are refused in the same words, after the same work: nobody learns
which accounts or keys there are. Only who has proven an account is told what is wrong with it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ostiary.accounts.decoys import verify_for_nobody
from ostiary.accounts.model import ISSUER_NAME, AccountKey, KeyKind, ServiceAccount
from ostiary.accounts.public_keys import verifying
from ostiary.accounts.repository import AccountRepository
from ostiary.accounts.secrets import key_id_of, matches
from ostiary.core import Principal, PrincipalKind, Secret
from ostiary.gate.ports import Refused
from ostiary.identity.claims import is_safe_text
from ostiary.identity.compact import UnverifiedToken, parse_compact
from ostiary.identity.issuer import OidcIssuer
from ostiary.identity.refuse import refused
from ostiary.identity.rules import check_times

#: Seconds that an assertion may live: its `jti` is remembered that long.
MAX_ASSERTION: Final = 300.0
#: Seconds that a session lasts at most.
MAX_SESSION: Final = 12 * 3600.0
_NO_END: Final = 1e11
_NOBODY: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Client:
    """A proven account."""

    account: ServiceAccount
    key: AccountKey
    #: Unix seconds at which the proof itself ends; None when it does not.
    expires_at: float | None
    #: Names the proof in records.
    proof_id: str

    def principal(self, now: float) -> Principal:
        """Whom it proves."""
        account, key = self.account, self.key
        until = min(now + MAX_SESSION, account.expires_at or _NO_END, key.expires_at or _NO_END)
        return Principal(
            kind=PrincipalKind.WORKLOAD,
            issuer=ISSUER_NAME,
            subject=account.name,
            groups=frozenset(account.groups),
            expires_at=self.expires_at or until,
            session_until=until,
            proof_id=self.proof_id,
            claims={"owner": account.owner, "key": key.key_id},
        )


class Clients:
    """Authenticates service accounts.

    Args:
        repository: where they are.
        own: the gateway as an issuer; its URL is what assertions are made for. None: assertions are refused.
        clock: Unix seconds.
    """

    def __init__(self, repository: AccountRepository, own: OidcIssuer | None, clock: Callable[[], float]) -> None:
        self._repository = repository
        self._own = own
        self._clock = clock

    async def by_secret(self, secret: Secret, source: str) -> Client:
        """Raises Refused. `source`: "ip:port"."""
        now = self._clock()
        key_id = key_id_of(secret)
        account = await self._repository.of_key(key_id) if key_id is not None else None
        key = account.key(key_id) if account is not None and key_id is not None else None
        known = key is not None and key.kind is KeyKind.SECRET and key.good(now)
        good = matches(secret, key.material if key is not None and known else _NOBODY)
        if not good or not known or account is None or key is None:
            raise _unproven()
        return await self._proven(Client(account, key, key.expires_at, key.key_id), source)

    async def by_assertion(self, assertion: Secret, source: str) -> Client:
        """Once for each `jti`. Raises Refused."""
        token = parse_compact(assertion.reveal())
        if self._own is None:
            raise refused(
                "assertions of service accounts are made for the gateway's URL, and it has none",
                "use a client secret, or have server.url set",
            )
        now = self._clock()
        claims = token.claims
        name = claims.get("iss")
        account = await self._repository.get(name) if isinstance(name, str) else None
        key = _signer(account, token, now)
        if account is None or key is None:
            raise _unproven()
        if claims.get("sub") != account.name:
            raise refused("an assertion is about its own account: sub must be as iss")
        if claims.get("aud") not in (self._own.issuer, [self._own.issuer]):
            raise refused("it was made for another audience (aud)", f"aud must be {self._own.issuer} and nothing else")
        expires_at = check_times(self._own, claims, now)
        if expires_at > now + MAX_ASSERTION + self._own.leeway:
            raise refused(f"an assertion lives {MAX_ASSERTION:.0f} seconds at most", "sign one with an earlier exp")
        jti = claims.get("jti")
        if not is_safe_text(jti, 128):
            raise refused("an assertion needs an id (jti) of at most 128 characters", "sign one with a random jti")
        forgotten = expires_at + self._own.leeway
        if not await self._repository.spend(f"assertion:{account.name}:{jti}", forgotten, now):
            raise refused("this assertion was used before", "sign a new one for every use")
        return await self._proven(Client(account, key, expires_at, jti), source)

    async def _proven(self, client: Client, source: str) -> Client:
        now = self._clock()
        closed = client.account.closed(now)
        if closed:
            raise refused(closed, f"ask its owner, {client.account.owner}")
        if not client.account.admits(source):
            raise refused(
                f'service account "{client.account.name}" may not come from this address',
                "connect from one of its networks",
            )
        await self._repository.used(client.key.key_id, now)
        return client


def _signer(account: ServiceAccount | None, token: UnverifiedToken, now: float) -> AccountKey | None:
    """The account's key that signed it. One key at least is tried, if nobody's."""
    tried = False
    for key in account.keys if account is not None else ():
        public = verifying(key.material) if key.kind is KeyKind.PUBLIC_KEY and key.good(now) else None
        if (
            public is None
            or token.algorithm not in public.algorithms
            or token.kid not in (None, public.kid, key.key_id)
        ):
            continue
        tried = True
        if public.verify(token.algorithm, token.signed, token.signature):
            return key
    if not tried:
        verify_for_nobody(token)
    return None


def _unproven() -> Refused:
    return refused("it proves no service account", "use a credential of one, as `service-accounts` made it")
