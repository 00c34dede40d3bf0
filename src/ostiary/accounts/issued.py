"""Access tokens that the gateway issues: JWTs after RFC 9068, short, for this gateway alone, bound to targets.

`sub` is the principal's id, `issuer:subject`, so a token stands for whom it was issued to: policies see the same caller
as with the caller's own token. The gateway verifies its own tokens in process, with the keys it signs with.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc import jwt

from ostiary.accounts.model import ISSUER_NAME, LOGIN_CLAIM, ServiceAccount, key_of
from ostiary.accounts.repository import AccountRepository
from ostiary.accounts.signing_keys import SigningKeys
from ostiary.core import Principal, PrincipalKind, Proof, Secret
from ostiary.gate.ports import Refused
from ostiary.identity.claims import is_safe_text
from ostiary.identity.compact import UnverifiedToken, parse_compact
from ostiary.identity.issuer import OidcIssuer
from ostiary.identity.key_set import ALGORITHMS
from ostiary.identity.refuse import NEW_TOKEN, refused
from ostiary.identity.rules import check_audience, check_times

#: Claim of a principal's records that names the token of ours it came with.
TOKEN_CLAIM: Final = "token"  # noqa: S105 - names a claim
#: Claim of a token with the standing, at that time, of the issuer that vouched for its caller.
_STANDING: Final = "standing"


#: Seconds that an assertion may be taken after its end, at most: an issuer's `leeway` is no longer.
_LATE: Final = 3600.0
#: Member of `cnf` (RFC 8705 §3.1).
_THUMBPRINT: Final = "x5t#S256"


def thumbprint(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, in base64url without padding (RFC 8705 §3.1)."""
    return base64.urlsafe_b64encode(hashlib.sha256(certificate).digest()).rstrip(b"=").decode()


def spendable(principal: Principal) -> list[str]:
    """Ids that end the principal's token when they are spent: its own, and that of the login it came from."""
    claims = principal.claims
    return [
        f"{kind}:{claims[name]}" for kind, name in (("token", TOKEN_CLAIM), ("login", LOGIN_CLAIM)) if name in claims
    ]


@dataclass(frozen=True, slots=True)
class Issued:
    """A token of ours, verified: its signature and what it says, not whether it was revoked."""

    claims: Mapping[str, Any]
    jti: str
    client_id: str
    expires_at: float
    #: Empty: not bound.
    targets: tuple[str, ...]
    principal: Principal


class Tokens:
    """Makes and verifies them.

    Args:
        own: the gateway as an issuer; its URL is `iss` and `aud`.
        keys: what it signs with.
        repository: revocations, and accounts that tokens stand for.
        lifetime: seconds.
        clock: Unix seconds.
        standing: name of an issuer → what it is believed for, as a digest; empty: it is not believed.
    """

    def __init__(
        self,
        own: OidcIssuer,
        keys: SigningKeys,
        repository: AccountRepository,
        lifetime: float,
        clock: Callable[[], float],
        standing: Callable[[str], str],
    ) -> None:
        self.own = own
        self.keys = keys
        self._repository = repository
        self._lifetime = lifetime
        self._clock = clock
        self._standing = standing

    def issue(
        self, principal: Principal, client_id: str, targets: Sequence[str], certificate: bytes = b""
    ) -> tuple[Secret, Mapping[str, Any]]:
        """A token for a principal, and what it says: it lives no longer than the proof it is made from.

        `certificate`: in DER; the token is good over connections with this one only. Empty: it is not bound.
        """
        now = int(self._clock())
        expires_at = int(min(now + self._lifetime, principal.expires_at))
        claims: dict[str, Any] = {
            "iss": self.own.issuer,
            "sub": principal.id,
            "aud": self.own.issuer,
            "client_id": client_id,
            "iat": now,
            "exp": expires_at,
            "jti": secrets.token_hex(16),
            "kind": principal.kind.value,
            "groups": sorted(principal.groups),
            "session_until": principal.session_until,
        }
        if targets:
            claims["targets"] = list(targets)
        if certificate:
            claims["cnf"] = {_THUMBPRINT: thumbprint(certificate)}
        if key_of(principal):
            claims["key"] = key_of(principal)
        if principal.issuer != ISSUER_NAME:
            claims[_STANDING] = self._standing(principal.issuer)
        if LOGIN_CLAIM in principal.claims:
            claims[LOGIN_CLAIM] = principal.claims[LOGIN_CLAIM]
        signer = self.keys.signer()
        header = {"alg": "ES256", "typ": "at+jwt", "kid": signer.kid}
        return Secret(jwt.encode(header, claims, signer.key, ["ES256"])), claims

    def verify(self, token: UnverifiedToken) -> Issued:
        """Signature, audience, times. Raises Refused."""
        key = next((each.key for each in self.keys.all() if each.kid == token.kid), None)
        if (
            key is None
            or token.algorithm != "ES256"
            or not ALGORITHMS["ES256"].verify(token.signed, token.signature, key)
        ):
            raise refused("it was not signed by this gateway", NEW_TOKEN)
        claims = token.claims
        check_audience(self.own, claims)
        expires_at = check_times(self.own, claims, self._clock())
        return _issued(claims, expires_at, self.own.session_grace)

    async def alive(self, issued: Issued) -> ServiceAccount | None:
        """The account it stands for. Raises Refused when it was revoked, or its account, key or issuer is closed."""
        if await self._repository.spent(spendable(issued.principal)):
            raise refused("it was revoked", NEW_TOKEN)
        if issued.principal.issuer != ISSUER_NAME:
            standing = self._standing(issued.principal.issuer)
            if not standing or standing != issued.claims.get(_STANDING):
                raise refused("who vouched for its caller was removed or changed since", NEW_TOKEN)
            return None
        now = self._clock()
        account = await self._repository.get(issued.principal.subject)
        key = account.key(key_of(issued.principal)) if account is not None else None
        if account is None or key is None or not key.good(now):
            raise refused("the key it was issued for was removed or has expired", NEW_TOKEN)
        if closed := account.closed(now):
            raise refused(closed, f"ask its owner, {account.owner}")
        if not issued.principal.groups <= set(account.groups):
            raise refused(f'service account "{account.name}" is not in all groups it was issued with', NEW_TOKEN)
        return account

    async def identify(self, proof: Proof) -> Principal:
        """Who a token stands for, at the target that the proof names. Raises Refused."""
        issued = self.verify(parse_compact(proof.token.reveal()))
        _check_holder(issued.claims, proof.certificates)
        account = await self.alive(issued)
        if account is not None and not account.admits(proof.source):
            raise refused(f'service account "{account.name}" may not come from this address')
        if issued.targets and proof.target not in issued.targets:
            raise refused(f'it was issued for other targets than "{proof.target[:64]}"', "get a token for this target")
        if account is not None and account.targets and proof.target not in account.targets:
            raise refused(f'service account "{account.name}" is not for target "{proof.target[:64]}"', NEW_TOKEN)
        return issued.principal

    def parsed(self, token: Secret) -> Issued | None:
        """A token of ours that verifies; None for anything else."""
        try:
            return self.verify(parse_compact(token.reveal()))
        except Refused:
            return None

    async def use_up(self, proven: Principal) -> None:
        """A SAML assertion gives one token, whichever process or sign-in it is brought to. Raises Refused.

        `proven`: whom it names. An id that is no short text stands for nothing: the same assertion has many encodings.
        """
        if proven.proof_id.startswith("sha256:"):
            raise refused("its id (ID) is missing, or is not plain text of at most 128 characters")
        until = proven.expires_at + _LATE
        if not await self._repository.spend(f"saml:{proven.issuer}:{proven.proof_id}", until, self._clock()):
            raise refused("it was used before, and gives one token only", "get a new assertion")

    async def revoke(self, issued: Issued) -> None:
        """Good no more; sessions it opened end within seconds."""
        until = issued.principal.session_until + self.own.leeway
        await self._repository.spend(f"token:{issued.jti}", until, self._clock())


def _check_holder(claims: Mapping[str, Any], certificates: tuple[bytes, ...]) -> None:
    """A bound token came over a connection with its very certificate (RFC 8705 §3). Raises Refused."""
    if "cnf" not in claims:
        return
    shown = thumbprint(certificates[0]) if certificates else ""
    if not hmac.compare_digest(shown, claims["cnf"][_THUMBPRINT]):
        raise refused(
            "it is bound to a client certificate (cnf), and this connection does not have it",
            "connect with the certificate that the token was asked for with",
        )


def _issued(claims: Mapping[str, Any], expires_at: float, grace: float) -> Issued:
    """The signature vouches for the shape: no one else makes these."""
    issuer, _, subject = claims["sub"].partition(":")
    jti = claims["jti"]
    known = {"client_id": claims["client_id"], TOKEN_CLAIM: jti}
    known |= {name: claims[name] for name in ("key", LOGIN_CLAIM) if is_safe_text(claims.get(name), 64)}
    principal = Principal(
        kind=PrincipalKind(claims["kind"]),
        issuer=issuer,
        subject=subject,
        groups=frozenset(claims["groups"]),
        expires_at=expires_at,
        session_until=min(expires_at + grace, claims["session_until"]),
        proof_id=jti,
        claims=known,
    )
    return Issued(claims, jti, claims["client_id"], expires_at, tuple(claims.get("targets", ())), principal)
