"""Client certificates to principals, X.509-SVIDs among them.

The TLS library has verified the chain when it comes here: signatures, validity, `clientAuth`, path length, name
constraints, up to one of the configured roots. Here is decided whose the root is, and what the leaf says: names are
taken whole.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from cryptography import x509

from ostiary.core import Principal, Proof
from ostiary.gate.ports import Refused
from ostiary.identity.certificate_issuer import X509Issuer, is_authority, read_authorities
from ostiary.identity.claims import is_safe_text
from ostiary.identity.groups import GroupNames
from ostiary.identity.principal import principal_of
from ostiary.identity.refuse import refused as refused_proof
from ostiary.identity.revocation import RevocationList, Revoked, check_chain, is_revoked, named, read_list
from ostiary.identity.rules import MAX_SUBJECT, check_bound
from ostiary.identity.spiffe import is_workload

_NAMES = {
    "CN": x509.NameOID.COMMON_NAME,
    "O": x509.NameOID.ORGANIZATION_NAME,
    "OU": x509.NameOID.ORGANIZATIONAL_UNIT_NAME,
}
_OTHER_CERTIFICATE = "use a client certificate of an authority that is configured here"
_NEW_CERTIFICATE = "get a new certificate and connect again"


class X509Identity:
    """Knows the holders of client certificates.

    Args:
        issuers: Where two trust one root, each has a trust domain of its own.
        names: of the groups of all issuers.
        clock: Unix seconds.

    Raises:
        OSError: A bundle or a revocation list can't be read.
        ValueError: A bundle or a revocation list is none, or two issuers can't be told apart.
    """

    def __init__(self, issuers: Iterable[X509Issuer], names: GroupNames, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._names = names
        self._issuers: list[tuple[X509Issuer, frozenset[bytes]]] = []
        self._lists: dict[str, tuple[RevocationList, ...]] = {}
        for issuer in issuers:
            roots = read_authorities(issuer.ca)
            for other, taken in self._issuers:
                apart = (
                    None not in (issuer.trust_domain, other.trust_domain) and issuer.trust_domain != other.trust_domain
                )
                if roots & taken and not apart:
                    raise ValueError(f'issuer "{issuer.name}": "{other.name}" trusts the same authority')
            self._issuers.append((issuer, roots))
            self._lists[issuer.name] = tuple(map(read_list, issuer.crl))

    def identify(self, proof: Proof) -> Principal:
        """The holder of the certificate that TLS verified. Raises Refused(IDENTITY)."""
        try:
            chain = [x509.load_der_x509_certificate(each) for each in proof.certificates]
            leaf = chain[0]
            claims = _claims(leaf)
            authority = is_authority(leaf)
        except ValueError:
            raise refused("it can't be read") from None
        issuer = self._issuer(proof.certificates[-1], claims)
        now = self._clock()
        ends = leaf.not_valid_after_utc.timestamp()
        if not leaf.not_valid_before_utc <= datetime.fromtimestamp(now, UTC) <= leaf.not_valid_after_utc:
            raise refused("it has expired, or is not valid yet", _NEW_CERTIFICATE)
        if authority:
            raise refused("it is an authority's own")
        shown = {"serial": f"{leaf.serial_number:x}"}
        if lists := self._lists[issuer.name]:
            try:
                check_chain(chain, lists, now)
            except Revoked as error:
                raise refused(str(error), "ask who runs the authority for a new certificate or list") from None
            shown["chain"] = named(chain)
        subject = _subject(issuer, leaf, claims)
        check_bound(issuer.name, issuer.bind, claims)
        return principal_of(
            issuer,
            self._names,
            subject,
            claims,
            shown,
            now=now,
            expires_at=ends,
            grace=issuer.session_grace,
            raw=proof.certificates[0],
            what="certificate",
        )

    def revoked(self, principal: Principal) -> bool:
        """Was a certificate revoked that let this holder of one in?"""
        return is_revoked(principal.claims.get("chain", ""), self._lists.get(principal.issuer, ()))

    def _issuer(self, root: bytes, claims: dict[str, object]) -> X509Issuer:
        """Whose root it is; of several that share one, whose trust domain."""
        uri = claims.get("uri")
        known = [issuer for issuer, roots in self._issuers if root in roots]
        for issuer in known:
            if issuer.trust_domain is None or (isinstance(uri, str) and is_workload(uri, issuer.trust_domain)):
                return issuer
        if known:
            raise refused(
                "it is no X.509-SVID of a workload: it must have one URI, a SPIFFE ID in a configured trust domain"
            )
        raise refused("its authority is not one of those configured here")


def refused(reason: str, hint: str = _OTHER_CERTIFICATE) -> Refused:
    """`certificate refused: REASON`."""
    return refused_proof(reason, hint, what="certificate")


def _claims(leaf: x509.Certificate) -> dict[str, object]:
    """Names by kind: text, or a list of texts when there are several. Raises ValueError."""
    found: dict[str, list[object]] = {
        name: [attribute.value for attribute in leaf.subject.get_attributes_for_oid(oid)]
        for name, oid in _NAMES.items()
    }
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        found["dns"] = [*alternative.get_values_for_type(x509.DNSName)]
        found["uri"] = [*alternative.get_values_for_type(x509.UniformResourceIdentifier)]
        found["email"] = [*alternative.get_values_for_type(x509.RFC822Name)]
    # What an authority certifies needs no `email_verified` beside it.
    claims: dict[str, object] = {"email_verified": True}
    return claims | {name: values[0] if len(values) == 1 else values for name, values in found.items() if values}


def _subject(issuer: X509Issuer, leaf: x509.Certificate, claims: dict[str, object]) -> str:
    name = "uri" if issuer.trust_domain is not None else issuer.subject.replace("common-name", "CN")
    if issuer.trust_domain is not None:
        _check_svid(leaf)
    subject = claims.get(name)
    if not is_safe_text(subject, MAX_SUBJECT):
        raise refused(f"it does not have one {name} that is plain text of at most {MAX_SUBJECT} characters")
    return subject


def _check_svid(leaf: x509.Certificate) -> None:
    """X.509-SVID §4.3: a leaf signs handshakes, and no certificates or revocations."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        raise refused("it is no X.509-SVID: its key usage is missing") from None
    if not usage.digital_signature or usage.key_cert_sign or usage.crl_sign:
        raise refused("it is no X.509-SVID of a workload: its key usage is another")
