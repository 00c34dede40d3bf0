"""Assertions of the configured identity providers to principals.

bounds → XML → issuer → signature → the signed bytes alone: issuer → audience, times, recipient → subject → bound
attributes → groups → replay
"""

from collections.abc import Callable, Iterable
from typing import Final

from ostiary.core import Principal, Proof, Secret
from ostiary.identity.claims import recorded_claims
from ostiary.identity.groups import GroupNames
from ostiary.identity.principal import principal_of
from ostiary.identity.rules import check_bound
from ostiary.identity.saml.document import SAML, decode, parse
from ostiary.identity.saml.issuer import SamlIssuer
from ostiary.identity.saml.metadata import Metadata, read_metadata
from ostiary.identity.saml.refuse import NEW_ASSERTION, refused
from ostiary.identity.saml.rules import attributes_of, check_answer, check_response, check_window, issuer_of, subject_of
from ostiary.identity.saml.signature import signed_assertion

MAX_USED: Final = 10_000


class SamlIdentity:
    """Verifies assertions.

    Args:
        issuers: Names and entity ids are unique.
        names: of the groups of all issuers.
        clock: Unix seconds.
        used: assertions that may not be used again, where others know some, too.

    Raises:
        OSError: A metadata file can't be read.
        ValueError: One is not what it must be, or two issuers have the same entity id.
    """

    def __init__(
        self,
        issuers: Iterable[SamlIssuer],
        names: GroupNames,
        clock: Callable[[], float],
        used: dict[tuple[str, str], float] | None = None,
    ) -> None:
        self._clock = clock
        self._names = names
        self._issuers: dict[str, tuple[SamlIssuer, Metadata]] = {}
        #: Assertions that may not be used again: issuer and id → when that follows from their expiry.
        self._used: dict[tuple[str, str], float] = {} if used is None else used
        for issuer in issuers:
            if issuer.entity_id in self._issuers:
                raise ValueError(f'issuer "{issuer.name}": another issuer has the same entity_id')
            self._issuers[issuer.entity_id] = issuer, read_metadata(issuer.metadata, issuer.entity_id)

    def identify(self, proof: Proof) -> Principal:
        """Verify the password of the proof. Raises Refused(IDENTITY); its sentences hold nothing of the assertion."""
        return self._verified(proof.token.reveal(), proof.source, None)

    def answered(self, response: Secret, request_id: str) -> Principal:
        """Whom a Response in base64 names (SAML profiles §4.1.4). Raises as `identify`.

        Args:
            response: of the HTTP-POST binding.
            request_id: `ID` of the AuthnRequest that it must answer.
        """
        return self._verified(response.reveal(), None, request_id)

    def _verified(self, raw: bytes, source: str | None, request_id: str | None) -> Principal:
        root = parse(decode(raw))
        # Which issuer it claims: this chooses the certificates, and is checked again on what they signed.
        claimed = issuer_of(next(root.iter(f"{SAML}Assertion"), root))
        if claimed is None or claimed not in self._issuers:
            raise refused("its issuer is not one of those configured here", "use an assertion of a configured issuer")
        issuer, metadata = self._issuers[claimed]
        now = self._clock()
        if metadata.valid_until is not None and now >= metadata.valid_until:
            raise refused(
                f'the metadata of issuer "{issuer.name}" is out of date', "the gateway's operator must renew the file"
            )
        assertion, response = signed_assertion(root, metadata.certificates, now)
        if issuer_of(assertion) != issuer.entity_id:
            raise refused("its signature is another issuer's")
        if response is not None:
            check_response(issuer, response)
        if request_id is not None:
            check_answer(issuer, root, assertion, request_id, signed=response is not None)
        window = check_window(issuer, assertion, source, now, request_id)
        subject = subject_of(assertion)
        # An attribute is what the provider itself says: there is no `email_verified` to wait for.
        attributes = {"email_verified": True, **attributes_of(assertion)}
        check_bound(issuer.name, issuer.bind, attributes)
        identity = assertion.get("ID", "")
        principal = principal_of(
            issuer,
            self._names,
            subject,
            attributes,
            recorded_claims(attributes),
            now=now,
            expires_at=window.expires_at,
            grace=issuer.session_grace,
            raw=raw,
            proof_id=identity,
        )
        if window.one_time:
            self._use(issuer, identity, window.expires_at, now)
        return principal

    def _use(self, issuer: SamlIssuer, identity: str, expires_at: float, now: float) -> None:
        key = issuer.name, identity
        if key in self._used:
            raise refused("it was used before, and may be used once only", NEW_ASSERTION)
        if len(self._used) >= MAX_USED:
            self._used = {used: end for used, end in self._used.items() if end > now}
            if len(self._used) >= MAX_USED:
                raise refused("more assertions are used once than this gateway can remember", "try again later")
        self._used[key] = expires_at + issuer.leeway
