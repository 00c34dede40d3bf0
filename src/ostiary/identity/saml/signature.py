"""What of a document was signed by the identity provider, read from the very bytes that were verified.

A signature wrapper lets one element be verified and another be read. Here that has no room: there is one Assertion in
the whole document, ids are unique, a signature stands directly in what it signs and refers to it alone, and the caller
gets the canonical bytes parsed anew, never the document that came. `KeyInfo` is thrown away before it could be read.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from ostiary.gate.ports import Refused
from ostiary.identity.saml.document import DS, SAML, SAMLP, Element, parse
from ostiary.identity.saml.refuse import WRONG_ASSERTION, refused

_EXCLUSIVE: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"
_TRANSFORMS: Final = ("http://www.w3.org/2000/09/xmldsig#enveloped-signature", _EXCLUSIVE)
_METHODS: Final = frozenset(
    method
    for method in SignatureMethod
    if method.name.removesuffix("_RSA_MGF1").removeprefix("RSA_").removeprefix("ECDSA_")
    in ("SHA256", "SHA384", "SHA512")
)
_DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_IDS: Final = frozenset({"id", "assertionid", "responseid", "requestid"})


def signed_assertion(
    root: Element, certificates: Iterable[x509.Certificate], now: float
) -> tuple[Element, Element | None]:
    """The Assertion, and the Response around it when that was signed too or instead. Raises Refused.

    Args:
        root: a tree of `document.parse`.
        certificates: pinned; those that are not valid at `now` do not count.
        now: Unix seconds.
    """
    assertion = _only_assertion(root)
    _check_ids(root)
    response = root if root is not assertion else None
    holders = [each for each in (response, assertion) if each is not None and each.find(f"{DS}Signature") is not None]
    if not holders:
        raise refused("it is not signed")
    if len(list(root.iter(f"{DS}Signature"))) != len(holders):
        raise refused("it has a signature where none belongs")
    moment = datetime.fromtimestamp(now, UTC)
    pinned = [each for each in certificates if each.not_valid_before_utc <= moment <= each.not_valid_after_utc]
    if not pinned:
        raise refused(
            "the identity provider's metadata has no certificate that is valid now",
            "the gateway's operator must renew the metadata",
        )
    # The Response first: what is thrown away of the signature inside it is part of what its own covers.
    verified = [_verified(holder, pinned, moment) for holder in holders]
    inner = verified[-1]
    if inner.tag == f"{SAML}Assertion":
        return inner, verified[0] if len(verified) > 1 else None
    return _only_assertion(inner), inner


def _only_assertion(root: Element) -> Element:
    names = [etree.QName(each).localname for each in root.iter(etree.Element)]
    if "EncryptedAssertion" in names:
        raise refused(
            "its assertion is encrypted, which this gateway does not take",
            "have the identity provider sign the assertion and leave it unencrypted: TLS keeps it from others",
        )
    if names.count("Assertion") > 1:
        raise refused("it holds more than one assertion")
    if root.tag == f"{SAML}Assertion":
        return root
    found = root.find(f"{SAML}Assertion") if root.tag == f"{SAMLP}Response" else None
    if found is None:
        raise refused("it is neither a SAML 2.0 Assertion nor a Response with one")
    return found


def _check_ids(root: Element) -> None:
    """No two elements answer to one id, whatever attribute a reader takes for the id."""
    seen: set[str] = set()
    for element in root.iter(etree.Element):
        for name, value in element.attrib.items():
            if etree.QName(name).localname.lower() in _IDS:
                if value in seen:
                    raise refused("two of its elements have the same id")
                seen.add(str(value))


def _verified(holder: Element, pinned: list[x509.Certificate], moment: datetime) -> Element:
    _check_profile(holder)
    document = etree.tostring(holder, with_tail=False)
    configuration = SignatureConfiguration(
        location="./", signature_methods=_METHODS, digest_algorithms=_DIGESTS, verification_time=moment
    )
    for certificate in pinned:
        try:
            result = XMLVerifier().verify(document, x509_cert=certificate, expect_config=configuration)
        except (SignXMLException, etree.LxmlError, ValueError, TypeError):
            # Not only a wrong signature: another kind of key than the method's, values that its schema does not allow.
            continue
        assert isinstance(result, VerifyResult)
        element = parse(result.signed_data.decode())
        if element.tag != holder.tag or element.get("ID") != holder.get("ID"):
            break
        return element
    raise refused("its signature is not one of the identity provider's", WRONG_ASSERTION)


def _check_profile(holder: Element) -> None:
    """SAML core §5.4, and stricter: what is not named here does not occur."""
    signatures = holder.findall(f"{DS}Signature")
    identity = holder.get("ID")
    if len(signatures) != 1 or not identity:
        raise _unfit()
    (signature,) = signatures
    for info in signature.findall(f"{DS}KeyInfo"):
        signature.remove(info)
    info, value = _children(signature, "SignedInfo", "SignatureValue")
    c14n, method, reference = _children(info, "CanonicalizationMethod", "SignatureMethod", "Reference")
    transforms, digest, digest_value = _children(reference, "Transforms", "DigestMethod", "DigestValue")
    if len(value) or len(digest_value) or len(method) or len(digest):
        raise _unfit()
    named = tuple(each.get("Algorithm") for each in transforms)
    if (
        c14n.get("Algorithm") != _EXCLUSIVE
        or named != _TRANSFORMS
        or any(each.tag != f"{DS}Transform" for each in transforms)
    ):
        raise refused("its signature uses a transform other than enveloped-signature and exclusive canonicalization")
    if method.get("Algorithm") not in {each.value for each in _METHODS}:
        raise refused(
            "its signature method is weak or unknown", "have the identity provider sign with SHA-256 or better"
        )
    if digest.get("Algorithm") not in {each.value for each in _DIGESTS}:
        raise refused("its digest is weak or unknown", "have the identity provider sign with SHA-256 or better")
    if reference.get("URI") != f"#{identity}":
        raise refused("its signature is about another element than the one it stands in")


def _children(element: Element, *names: str) -> list[Element]:
    if [child.tag for child in element] != [f"{DS}{name}" for name in names]:
        raise _unfit()
    return list(element)


def _unfit() -> Refused:
    return refused("its signature is not of the form that SAML 2.0 demands")
