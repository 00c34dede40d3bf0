"""The `Identity` port for OIDC tokens: one pass from bytes to a principal, each step refusing what the next relies on.

plain text → form and algorithm → issuer → key → signature → audience → times → subject → bound claims → groups

Nothing a token says has an effect before its signature was verified, but for `iss`, `kid` and `alg`: they choose among
what is configured, and among the keys that this issuer published.
"""

import hashlib
from collections.abc import Callable, Iterable

from ostiary.core import Principal, Proof
from ostiary.identity.claims import is_safe_text, recorded_claims
from ostiary.identity.compact import UnverifiedToken, parse_compact
from ostiary.identity.fetch import Fetch
from ostiary.identity.groups import GroupNames, UnfitClaim
from ostiary.identity.issuer import OidcIssuer
from ostiary.identity.keys import PAUSE, IssuerKeys, KeysUnavailable
from ostiary.identity.refuse import refused
from ostiary.identity.rules import check_audience, check_bearer, check_bound, check_private, check_subject, check_times


class OidcIdentity:
    """Verifies the tokens of the issuers it is given.

    Args:
        issuers: Names and issuer URLs are unique.
        fetch: How discovery documents and key sets are had.
        clock: Unix seconds.
        allow_plaintext_loopback: Accept a token without TLS when the client is on a loopback address.
        fetch_seconds: Bound for discovery and key set together.

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
    ) -> None:
        self._clock = clock
        self._allow_plaintext_loopback = allow_plaintext_loopback
        self._issuers: dict[str, tuple[OidcIssuer, IssuerKeys]] = {}
        names: set[str] = set()
        for issuer in issuers:
            if issuer.name in names or issuer.issuer in self._issuers:
                raise ValueError(f'issuer "{issuer.name}": another issuer has the same name or URL')
            names.add(issuer.name)
            self._issuers[issuer.issuer] = issuer, IssuerKeys(issuer, fetch, clock, fetch_seconds)
        self._names = GroupNames(template for issuer, _ in self._issuers.values() for template in issuer.templates)

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof in full. Raises Refused(IDENTITY); its sentences hold nothing of the token."""
        check_private(proof, allow_plaintext_loopback=self._allow_plaintext_loopback)
        raw = proof.token.reveal()
        token = parse_compact(raw)
        url = token.claims.get("iss")
        if not isinstance(url, str) or url not in self._issuers:
            raise refused("its issuer (iss) is not one of those configured here", "use a token of a configured issuer")
        issuer, keys = self._issuers[url]
        await self._verify_signature(token, issuer, keys)
        now = self._clock()
        claims = token.claims
        check_audience(issuer, claims)
        expires_at = check_times(issuer, claims, now)
        check_bearer(claims)
        subject = check_subject(claims)
        check_bound(issuer, claims)
        try:
            groups = self._names.groups(issuer.templates, claims)
        except UnfitClaim as error:
            raise refused(str(error), f'change the claim, or the group templates of issuer "{issuer.name}"') from None
        jti = claims.get("jti")
        return Principal(
            kind=issuer.kind,
            issuer=issuer.name,
            subject=subject,
            groups=groups,
            expires_at=expires_at,
            session_until=min(expires_at + issuer.session_grace, now + issuer.max_session),
            proof_id=jti if is_safe_text(jti, 128) else f"sha256:{hashlib.sha256(raw).hexdigest()[:32]}",
            claims=recorded_claims(claims),
        )

    async def _verify_signature(self, token: UnverifiedToken, issuer: OidcIssuer, keys: IssuerKeys) -> None:
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
                f"try again in {PAUSE:.0f} seconds; if it stays so, the gateway's operator must look at the issuer",
            ) from None
        if not candidates:
            raise refused(
                f'it names no key that issuer "{issuer.name}" has published for its algorithm',
                f"get a new token; if the issuer has just changed its keys, try again in {PAUSE:.0f} seconds",
            )
        if not any(key.verify(token.algorithm, token.signed, token.signature) for key in candidates):
            raise refused(f'its signature is not one of issuer "{issuer.name}"')
