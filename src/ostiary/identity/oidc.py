"""The `Identity` port for OIDC tokens: one pass from bytes to a principal, each step refusing what the next relies on.

plain text → form and algorithm → issuer → key → signature → audience → times → subject → bound claims → the issuer's
rule → groups

Nothing a token says has an effect before its signature was verified, but for `iss`, `kid` and `alg` (and `sub`, where a
JWT-SVID has no `iss`): they choose among what is configured, and among the keys that this issuer published.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ostiary.core import Principal, Proof, Secret
from ostiary.identity.claims import recorded_claims
from ostiary.identity.compact import SVID_TYPE, UnverifiedToken, parse_compact, wrong_type
from ostiary.identity.fetch import Fetch
from ostiary.identity.groups import GroupNames
from ostiary.identity.issuer import OidcIssuer
from ostiary.identity.key_set import VerifyingKey
from ostiary.identity.keys import IssuerKeys, KeysUnavailable
from ostiary.identity.principal import principal_of
from ostiary.identity.refuse import refused
from ostiary.identity.rules import (
    check_audience,
    check_bearer,
    check_bound,
    check_private,
    check_subject,
    check_times,
)
from ostiary.identity.spiffe import trust_domain_url

#: Tokens whose signature is remembered.
MAX_VERIFIED: Final = 1024


class OidcIdentity:
    """Verifies the tokens of the issuers it is given.

    Args:
        issuers: Names and issuer URLs are unique.
        fetch: How discovery documents and key sets are had.
        clock: Unix seconds.
        allow_plaintext_loopback: Accept a token without TLS when the client is on a loopback address.
        fetch_seconds: Bound for discovery and key set together.
        names: Group templates of all issuers, where there are others than these.

    Raises:
        ValueError: Two issuers have the same name or the same URL.
    """

    def __init__(
        self,
        issuers: Iterable[OidcIssuer],
        fetch: Fetch,
        clock: Callable[[], float],
        *,
        allow_plaintext_loopback: bool = False,
        fetch_seconds: float = 5.0,
        names: GroupNames | None = None,
    ) -> None:
        self._clock = clock
        #: Digest of a token → what it says, and the key that signed it; used last comes last. A pool sends the same
        #: token again and again: nothing is saved but reading it and the arithmetic.
        self._verified: OrderedDict[bytes, tuple[UnverifiedToken, VerifyingKey]] = OrderedDict()
        self._allow_plaintext_loopback = allow_plaintext_loopback
        self._issuers: dict[str, tuple[OidcIssuer, IssuerKeys]] = {}
        known: dict[str, OidcIssuer] = {}
        for issuer in issuers:
            if issuer.name in known or not self._issuers.keys().isdisjoint(issuer.accepted):
                raise ValueError(f'issuer "{issuer.name}": another issuer has the same name or URL')
            known[issuer.name] = issuer
            keys = IssuerKeys(issuer, fetch, clock, fetch_seconds)
            self._issuers.update(dict.fromkeys(issuer.accepted, (issuer, keys)))
        self._names = names or GroupNames(template for issuer in known.values() for template in issuer.templates)

    def keys(self) -> Mapping[str, IssuerKeys]:
        """Those of each issuer, by its name."""
        return {issuer.name: keys for issuer, keys in self._issuers.values()}

    def inherit(self, other: "OidcIdentity") -> None:
        """Go on with the keys that another one had of the same issuers; those of files are read again."""
        for url, (issuer, _) in self._issuers.items():
            known = other._issuers.get(url)
            if known is not None and known[0] == issuer and issuer.jwks_file is None:
                self._issuers[url] = known

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof in full. Raises Refused(IDENTITY); its sentences hold nothing of the token."""
        check_private(proof, allow_plaintext_loopback=self._allow_plaintext_loopback)
        principal, _ = await self.verified(proof.token)
        return principal

    async def verified(self, secret: Secret) -> tuple[Principal, Mapping[str, object]]:
        """A token that came where nobody else could read it: whose it is, and all its claims. Raises as `identify`."""
        raw = secret.reveal()
        digest = hashlib.sha256(raw).digest()
        token, signer = self._verified.get(digest) or (parse_compact(raw), None)
        issuer, keys = self._issuer(token)
        key = await self._verify_signature(token, issuer, keys, signer)
        self._verified[digest] = token, key
        self._verified.move_to_end(digest)
        if len(self._verified) > MAX_VERIFIED:
            self._verified.popitem(last=False)
        now = self._clock()
        claims = token.claims
        check_audience(issuer, claims)
        expires_at = check_times(issuer, claims, now)
        check_bearer(claims)
        subject = check_subject(issuer, claims)
        check_bound(issuer.name, issuer.bind, claims)
        if issuer.rule is not None:
            issuer.rule(claims)
        principal = principal_of(
            issuer,
            self._names,
            subject,
            claims,
            recorded_claims(claims),
            now=now,
            expires_at=expires_at,
            grace=issuer.session_grace,
            raw=raw,
            proof_id=claims.get("jti"),
        )
        return principal, claims

    def _issuer(self, token: UnverifiedToken) -> tuple[OidcIssuer, IssuerKeys]:
        """By `iss`; a JWT-SVID need not have one, or a known one, and belongs to its subject's trust domain."""
        for url in (token.claims.get("iss"), trust_domain_url(token.claims.get("sub"))):
            if isinstance(url, str) and (found := self._issuers.get(url)) is not None:
                if token.kind == SVID_TYPE and found[0].trust_domain is None:
                    raise wrong_type()
                return found
        raise refused("its issuer (iss) is not one of those configured here", "use a token of a configured issuer")

    async def _verify_signature(
        self, token: UnverifiedToken, issuer: OidcIssuer, keys: IssuerKeys, known: VerifyingKey | None
    ) -> VerifyingKey:
        """The key that signed it, which this issuer publishes now. `known`: it signed these very bytes."""
        if token.algorithm not in issuer.algorithms:
            raise refused(
                f'its signature algorithm is not allowed for issuer "{issuer.name}"',
                f"ask the issuer for a token signed with one of {', '.join(issuer.algorithms)}",
            )
        try:
            candidates = await keys.candidates(token.kid, token.algorithm)
        except KeysUnavailable as error:
            raise refused(
                f'it can\'t be verified, the keys of issuer "{issuer.name}" are not to be had: {error}',
                f"try again in {keys.pause:.0f} seconds; if it stays so, its operator must look at the issuer",
            ) from None
        if not candidates:
            raise refused(
                f'it names no key that issuer "{issuer.name}" has published for its algorithm',
                f"get a new token; if the issuer has just changed its keys, try again in {keys.pause:.0f} seconds",
            )
        for key in candidates:
            if key is known or key.verify(token.algorithm, token.signed, token.signature):
                return key
        raise refused(f'its signature is not one of issuer "{issuer.name}"')
