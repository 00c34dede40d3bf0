"""The `Identity` port: each proof to the kind of issuer it is of."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from ostiary.core import Principal, Proof
from ostiary.identity.aws.issuer import AwsIssuer
from ostiary.identity.aws.proof import is_proof
from ostiary.identity.aws.service import AwsIdentity
from ostiary.identity.aws.sts import HttpSts, Sts
from ostiary.identity.certificate_issuer import X509Issuer
from ostiary.identity.certificates import X509Identity
from ostiary.identity.fetch import Fetch
from ostiary.identity.groups import GroupNames
from ostiary.identity.issuer import OidcIssuer
from ostiary.identity.keys import IssuerKeys
from ostiary.identity.oidc import OidcIdentity
from ostiary.identity.rules import check_private
from ostiary.identity.saml.issuer import SamlIssuer

if TYPE_CHECKING:
    from ostiary.identity.saml.service import SamlIdentity

AnyIssuer = OidcIssuer | SamlIssuer | AwsIssuer | X509Issuer


class Identities:
    """Verifies the proofs of all configured issuers.

    Args:
        issuers: Names are unique.
        fetch: How documents of OIDC issuers are had.
        sts: How STS is asked about proofs of AWS; over HTTPS unless told otherwise.
        clock: Unix seconds.
        allow_plaintext_loopback: Accept a token without TLS when the client is on a loopback address.
        used: Of SAML assertions, as of `SamlIdentity`.
        beside: Issuers whose tokens are not taken here, though names of groups are theirs too.

    Raises:
        OSError: A file of an issuer can't be read.
        ValueError: Two issuers can't be told apart, or a file is not what it must be.
    """

    def __init__(
        self,
        issuers: Iterable[AnyIssuer],
        fetch: Fetch,
        clock: Callable[[], float],
        *,
        allow_plaintext_loopback: bool = False,
        sts: Sts | None = None,
        beside: Iterable[AnyIssuer] = (),
        used: dict[tuple[str, str], float] | None = None,
    ) -> None:
        issuers = tuple(issuers)
        if len({issuer.name for issuer in issuers}) != len(issuers):
            raise ValueError("two issuers have the same name")
        self._allow_plaintext_loopback = allow_plaintext_loopback
        self._fetch, self._clock, self._sts = fetch, clock, sts
        #: Assertions of SAML issuers that may not be used again.
        self._used: dict[tuple[str, str], float] = {} if used is None else used
        #: Names of the groups of all issuers.
        self.names = names = GroupNames(template for issuer in (*issuers, *beside) for template in issuer.templates)
        self._oidc = OidcIdentity(
            (issuer for issuer in issuers if isinstance(issuer, OidcIssuer)),
            fetch,
            clock,
            allow_plaintext_loopback=allow_plaintext_loopback,
            names=names,
        )
        saml = [issuer for issuer in issuers if isinstance(issuer, SamlIssuer)]
        self._x509 = X509Identity((issuer for issuer in issuers if isinstance(issuer, X509Issuer)), names, clock)
        self._saml = _saml(saml, names, clock, self._used) if saml else None
        aws = [issuer for issuer in issuers if isinstance(issuer, AwsIssuer)]
        self._aws = AwsIdentity(aws, sts or HttpSts(), clock, names) if aws else None

    def keys(self) -> Mapping[str, IssuerKeys]:
        """Those of each OIDC issuer, by its name."""
        return self._oidc.keys()

    def revoked(self, principal: Principal) -> bool:
        """See `X509Identity.revoked`."""
        return self._x509.revoked(principal)

    def renewed(self, issuers: Iterable[AnyIssuer], beside: Iterable[AnyIssuer] = ()) -> "Identities":
        """Identities of these issuers that know what this one knows. Raises as the class does; this one stays."""
        made = Identities(
            issuers,
            self._fetch,
            self._clock,
            allow_plaintext_loopback=self._allow_plaintext_loopback,
            sts=self._sts,
            beside=beside,
            used=self._used,
        )
        made._oidc.inherit(self._oidc)
        return made

    async def identify(self, proof: Proof) -> Principal:
        """Verify the proof in full. Raises Refused(IDENTITY); its sentences hold nothing of the proof."""
        check_private(proof, allow_plaintext_loopback=self._allow_plaintext_loopback)
        token = proof.token.reveal()
        if proof.certificates and not token:
            return self._x509.identify(proof)
        if self._aws is not None and is_proof(token):
            return await self._aws.identify(proof)
        # A JWT has dots, base64 has none.
        if self._saml is not None and b"." not in token:
            return self._saml.identify(proof)
        return await self._oidc.identify(proof)


def _saml(
    issuers: list[SamlIssuer], names: GroupNames, clock: Callable[[], float], used: dict[tuple[str, str], float]
) -> "SamlIdentity":
    from ostiary.identity.saml.service import SamlIdentity

    return SamlIdentity(issuers, names, clock, used)
